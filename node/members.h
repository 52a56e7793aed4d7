/* Raft's configuration follows the value's nodes: the leader looks at both and
 * says which one change is due. Pure, level by level: there is no second list of
 * members that could disagree with raft's own. */
#ifndef NODE_MEMBERS_H
#define NODE_MEMBERS_H

#include "fsm/cluster.h"
#include "raft/replica.h"

enum member_change_type { MEMBER_CHANGE_NONE, MEMBER_CHANGE_SET, MEMBER_CHANGE_REMOVE };

struct member_change {
	enum member_change_type type;
	uint64_t id;
	char address[128];
	enum member_role role;
};

/* The change that is due next, for the leader `self`:
 *  1. A node of the value that is no member: added as stand-by.
 *  2. A coordinator that is stand-by: made a voter, while there are fewer than MEMBERS_VOTERS_MAX.
 *  3. A member that is no node of the value: removed; never self. */
struct member_change members_change(
    const struct cluster *c, const struct replica_member *members, unsigned n, uint64_t self);

#define MEMBERS_VOTERS_MAX 7

#endif
