/* The members of the group, as libraft writes them into entries and snapshots.
 *
 * One octet 1, the number of members as 8, then for each 8 for its id, its address with
 * a zero behind and one for its role; padded with zeros to a multiple of 8. All
 * little endian. libraft's own decoder trusts every length in it: nothing reaches libraft
 * that was not decoded here first. */
#ifndef RAFT_CONFIGURATION_H
#define RAFT_CONFIGURATION_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "raft/replica.h"

extern const char *const member_role_names[]; /* by enum member_role, then NULL */

struct configuration_member {
	uint64_t id;
	enum member_role role;
	char address[REPLICA_ADDRESS_MAX];
};

struct configuration {
	unsigned n;
	struct configuration_member members[REPLICA_MEMBERS_MAX];
};

/* Returns 0, or -EBADMSG: not of this form, no or too many members, an id of 0 or
 * an address that is there twice, an unknown role. */
int configuration_decode(const uint8_t *bytes, size_t size, struct configuration *c);
void configuration_encode(const struct configuration *c, struct buffer *out);

/* NULL when it has no such member. */
struct configuration_member *configuration_find(struct configuration *c, uint64_t id);
unsigned configuration_voters(const struct configuration *c);

/* Give a member a role; add it when it is new. Returns 0, or -EINVAL: too many, the address
 * is empty, too long, another's, or not the one it has, or no voter would be left. */
int configuration_set(
    struct configuration *c, uint64_t id, const char *address, enum member_role role);
/* Returns 0, or -EINVAL: no such member, or it is the last voter. */
int configuration_remove(struct configuration *c, uint64_t id);

#endif
