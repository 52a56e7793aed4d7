#include "node/member/standing.h"

/* In touch: a leader was heard lately, it said how far the log is committed, and all of
 * that is applied here. A value that is behind may still say that a VM is ours. */
static bool follower_current(const struct replica_status *status, uint64_t now_ms)
{
	uint64_t silence_ms = now_ms - status->heard_ms;
	uint64_t touch_ms = (uint64_t)status->election_ms * STANDING_TOUCH_ELECTIONS;
	return status->role == REPLICA_FOLLOWER && status->leader && status->leader_commit &&
	       silence_ms <= touch_ms && status->applied >= status->leader_commit;
}

struct standing standing_judge(
    const struct replica_status *status, uint64_t lease_ms, uint64_t now_ms)
{
	bool leader = status->role == REPLICA_LEADER && lease_ms > 0;
	return (struct standing){
	    .id = (uint32_t)status->id,
	    .leader = leader,
	    .current = leader || follower_current(status, now_ms),
	    .term = status->term,
	    .leader_id = status->leader,
	    .leader_since_ms = status->leader_since_ms,
	    .lease_until_ms = lease_ms ? now_ms + lease_ms : 0,
	    .free_ms = leader ? status->free_ms : 0,
	};
}

struct standing standing_of(const struct replica *r, uint64_t now_ms)
{
	struct replica_status status;
	if (!r)
		return (struct standing){0};
	replica_status(r, &status);
	return standing_judge(&status, replica_lease_left(r, now_ms), now_ms);
}
