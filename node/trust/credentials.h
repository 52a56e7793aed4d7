/* Who this node is: the files of identity/ as the daemon starts with them.
 *
 * A clock that is wrong keeps no node from starting: what it says is held against a certificate
 * by the others (raft/identity.h), and told to people here. */
#ifndef NODE_TRUST_CREDENTIALS_H
#define NODE_TRUST_CREDENTIALS_H

#include "node/config/config.h"
#include "raft/identity.h"

#define CREDENTIALS_PATH_MAX 1024

void credentials_directory(const struct config *config, char path[CREDENTIALS_PATH_MAX]);

/* Returns 0, or -errno with err: -EUCLEAN: a person has to see to it. Who has the key of the CA
 * renews what has expired. Blocks; logs. */
int credentials_load(const struct config *config, struct identity_files *files,
    struct identity *identity, struct err *err);

#endif
