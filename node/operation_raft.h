/* What the files of `pvc raft ...` share. Only for node/operation_raft*.c. */
#ifndef NODE_OPERATION_RAFT_H
#define NODE_OPERATION_RAFT_H

#include "node/operation_turn.h"

/* All that `raft status` says of this node, whatever state its log is in. */
json_t *raft_status_json(const struct context *context);

/* A state hash as people and programs see it: 16 digits. */
json_t *raft_hash_json(uint64_t hash);

#endif
