/* The first leader of a new cluster says what it is called. */
#ifndef NODE_MEMBER_FOUND_H
#define NODE_MEMBER_FOUND_H

#include "node/config/config.h"
#include "node/member/ledger.h"
#include "node/trust/credentials.h"

/* Nothing comes of it when the cluster was founded before. */
void found_propose(const struct config *config, const struct identity_files *files,
    const struct identity *identity, struct ledger *ledger);

#endif
