/* Whom a node that has just joined may talk to before its log tells it: the
 * members at the time, one "ID ADDRESS" a line in the data directory. */
#ifndef NODE_CONTACTS_H
#define NODE_CONTACTS_H

#include "fsm/err.h"
#include "raft/peers.h"

int contacts_save(
    const char *directory, const struct peers_member *members, unsigned n, struct err *err);
/* How many were read; 0 when there is no such file. Lines that are none are skipped. */
unsigned contacts_load(const char *directory, struct peers_member members[PEERS_MEMBERS_MAX]);

#endif
