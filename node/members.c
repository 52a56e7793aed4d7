#include "node/members.h"

#include <stdio.h>

static const struct replica_member *find(
    const struct replica_member *members, unsigned n, uint64_t id)
{
	for (unsigned i = 0; i < n; i++)
		if (members[i].id == id)
			return &members[i];
	return NULL;
}

static struct member_change set(const struct node *node, enum member_role role)
{
	struct member_change change = {.type = MEMBER_CHANGE_SET, .id = node->id, .role = role};
	snprintf(change.address, sizeof(change.address), "%s", node->address);
	return change;
}

struct member_change members_change(
    const struct cluster *c, const struct replica_member *members, unsigned n, uint64_t self)
{
	unsigned voters = 0;
	/* Before `found` is applied the value says nothing about anybody. */
	if (!c->settings.schema)
		return (struct member_change){0};
	for (unsigned i = 0; i < n; i++)
		voters += members[i].role == MEMBER_VOTER;
	cluster_each(c->nodes, struct node, node)
	{
		const struct replica_member *member = find(members, n, node->id);
		if (!member)
			return set(node, MEMBER_STANDBY);
		if (node->coordinator && member->role != MEMBER_VOTER &&
		    voters < MEMBERS_VOTERS_MAX)
			return set(node, MEMBER_VOTER);
	}
	for (unsigned i = 0; i < n; i++)
		if (members[i].id != self && !cluster_node(c, (uint32_t)members[i].id))
			return (struct member_change){
			    .type = MEMBER_CHANGE_REMOVE, .id = members[i].id};
	return (struct member_change){0};
}
