/* Where this node stands: is it leader, is it in touch, how long does its lease last?
 *
 * Pure. All times are this node's own monotonic milliseconds. */
#ifndef NODE_MEMBER_STANDING_H
#define NODE_MEMBER_STANDING_H

#include <stdbool.h>
#include <stdint.h>

#include "raft/replica.h"

/* In touch means a leader was heard within so many election time-outs. */
#define STANDING_TOUCH_ELECTIONS 4

struct standing {
	uint32_t id; /* 0: the log is not open */
	bool leader; /* this node leads, and has applied an entry of its own term */
	bool current; /* in touch with a leader and not behind it: it may start things */
	uint64_t term;
	uint64_t leader_id; /* 0: none known */
	uint64_t leader_since_ms;
	uint64_t lease_until_ms; /* until then no other leader exists; 0: no lease */
	uint64_t free_ms; /* on the leader: from then on no leader before it has a lease */
};

/* r NULL: the log is not open, and this node stands nowhere. */
struct standing standing_of(const struct replica *r, uint64_t now_ms);

/* The judgement itself: from what the replica says, and what is left of its lease. */
struct standing standing_judge(
    const struct replica_status *status, uint64_t lease_ms, uint64_t now_ms);

#endif
