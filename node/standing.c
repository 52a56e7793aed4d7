#include "node/standing.h"

struct standing standing_of(const struct replica *r, uint64_t now_ms)
{
	struct replica_status status;
	struct standing s = {0};
	if (!r)
		return s;
	replica_status(r, &status);
	uint64_t lease_ms = replica_lease_left(r, now_ms);
	s.id = (uint32_t)status.id;
	s.term = status.term;
	s.leader_id = status.leader;
	s.leader_since_ms = status.leader_since_ms;
	s.leader = status.role == REPLICA_LEADER && lease_ms > 0;
	s.lease_until_ms = lease_ms ? now_ms + lease_ms : 0;
	if (status.role == REPLICA_LEADER) {
		s.current = lease_ms > 0;
		return s;
	}
	uint64_t silence_ms = now_ms - status.heard_ms;
	s.current = status.role == REPLICA_FOLLOWER && status.leader && status.leader_commit &&
		    silence_ms <= (uint64_t)status.election_ms * STANDING_TOUCH_ELECTIONS &&
		    status.applied >= status.leader_commit;
	return s;
}
