/* Whom this node talks to: the value's nodes, the log's own members, and contacts.
 *
 * Contacts are members that the value has yet to come to. One that has just joined
 * was told of all that there were, which stand in the data directory, one "ID ADDRESS" a line. One
 * that was away is dialled by who joined meanwhile: nobody can tell it of them, for maybe one of
 * those leads, and has the log that would. Their certificates are all that there is to go by, so
 * they are taken in only while no leader is heard, and only for raft's own messages.
 *
 * Once the value has given out a contact's number it is what the value says, or nobody. */
#ifndef NODE_MEMBER_CONTACTS_H
#define NODE_MEMBER_CONTACTS_H

#include "fsm/cluster.h"
#include "fsm/err.h"
#include "raft/peers.h"
#include "raft/replica.h"

/* Without a leader, or since the start, for so long: then an unknown one may be who leads. */
#define CONTACTS_ALONE_MS 2000

struct contacts {
	uint64_t since_ms; /* of the start */
	unsigned n;
	struct peers_member items[PEERS_MEMBERS_MAX];
};

int contacts_save(
    const char *directory, const struct peers_member *members, unsigned n, struct err *err);
/* None when there is no such file. Lines that are none are skipped. */
void contacts_load(struct contacts *contacts, const char *directory, uint64_t now_ms);

/* Take in somebody who was met (peers.h: younger). Returns 0; -EALREADY: it is one; or
 * -EPERM: a leader is heard, -EINVAL: it is no such member, -ENOSPC: there are too many. */
int contacts_add(struct contacts *contacts, const struct cluster *c,
    const struct replica_status *log, const struct peers_member *who, uint64_t now_ms);

/* Has the value not come to this one? It is asked nothing and answered nothing, but by raft. */
bool contacts_unheard_of(const struct cluster *c, uint64_t id);

/* All that may connect: how many. replica NULL: its log is not open. */
unsigned contacts_members(const struct contacts *contacts, const struct cluster *c,
    const struct replica *replica, struct peers_member members[PEERS_MEMBERS_MAX]);

#endif
