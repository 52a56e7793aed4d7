#include "node/member/round_trip.h"

#include "raft/peers.h"
#include "raft/replica.h"

static bool votes(uint64_t id, const struct replica_member *members, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (members[i].id == id)
			return members[i].role == MEMBER_VOTER;
	return false;
}

uint32_t round_trip_slowest_us(const struct peers *peers, const struct replica *replica)
{
	struct peers_status status[PEERS_MEMBERS_MAX];
	struct replica_member members[REPLICA_MEMBERS_MAX];
	unsigned n = peers_status(peers, status, PEERS_MEMBERS_MAX);
	unsigned m = replica ? replica_members(replica, members, REPLICA_MEMBERS_MAX) : 0;
	uint32_t slowest_us = 0;
	for (unsigned i = 0; i < n; i++)
		if (status[i].sending && status[i].rtt_us > slowest_us &&
		    votes(status[i].id, members, m))
			slowest_us = status[i].rtt_us;
	return slowest_us;
}
