/* Raft's configuration follows the value's nodes: the leader looks at both and
 * says which one change is due. Pure, level by level: there is no second list of
 * members that could disagree with raft's own.
 *
 * Coordinators and witnesses may vote. As many do as members_voters_wanted() says, the
 * others stand by; a voter that is gone for good is replaced by one of them. No change of
 * voters is due that would cost the majority, or that lowers the failure tolerance of its
 * own accord: what a person asked for waits until it can be survived. */
#ifndef NODE_MEMBER_MEMBERS_H
#define NODE_MEMBER_MEMBERS_H

#include "fsm/cluster.h"
#include "raft/replica.h"

#define MEMBERS_VOTERS_MAX 7
/* Who was not heard for so long by the leader is not in touch. */
#define MEMBERS_TOUCH_MS  2000
#define MEMBERS_SEATS_MAX (CLUSTER_NODES_MAX + REPLICA_MEMBERS_MAX)

/* A node of the value, a member of the log, or both. */
struct seat {
	uint64_t id;
	uint64_t heard_ms; /* by the leader */
	enum node_mode mode; /* of a known one */
	uint64_t follows; /* a member that is no node any more and has this one's address: its
			     machine has joined anew; 0: none */
	bool known; /* a node of the value */
	bool member, voter;
	bool live; /* in touch */
	bool gone; /* for good, as far as one can tell; never a live one */
};

struct seats {
	unsigned n;
	uint64_t leader;
	struct seat items[MEMBERS_SEATS_MAX]; /* nodes by id, then members that are no nodes */
};

/* What the leader `self` sees. */
struct members_view {
	const struct cluster *cluster;
	const struct replica_member *members;
	unsigned n;
	uint64_t self;
	uint64_t now_ms; /* by the same clock as their heard_ms */
	uint64_t replace_after_ms; /* cluster time of silence until a voter is gone for good */
};

enum member_change_type {
	MEMBER_CHANGE_NONE,
	MEMBER_CHANGE_SET,
	MEMBER_CHANGE_REMOVE,
	MEMBER_CHANGE_LEAD, /* leadership is to go to id */
};

struct member_change {
	enum member_change_type type;
	uint64_t id;
	char address[128];
	enum member_role role;
};

/* How many of so many that may vote do: all of one or two, else the largest odd number. */
unsigned members_voters_wanted(unsigned eligible);

/* Who sits where; nobody is live or gone yet. */
void seats_of(
    struct seats *seats, const struct cluster *c, const struct replica_member *members, unsigned n);

/* The change that is due next, without its address:
 *  1. A leader that is no coordinator: leadership goes to a coordinator in touch.
 *  2. A node of the value that is no member: added as stand-by; whom it follows goes first,
 *     voter or not, for that one cannot come back.
 *  3. A free place among the voters: to a stand-by in touch, coordinators first.
 *  4. A voter that is gone for good, or a witness while a coordinator waits: the one in touch
 *     who waits is made a voter as well.
 *  5. A voter that may not vote any more: made stand-by; a member that is no node of the
 *     value: removed; never the leader, and a voter not while the majority would go with it.
 *  6. A voter too many: made stand-by, the gone first, then the silent, then witnesses.
 * While more than half of the voters are silent, none of 3 to 6. */
struct member_change seats_change(const struct seats *seats);

struct member_change members_change(const struct members_view *view);

#endif
