/* What the files of `pvc raft ...` share. Only for them. */
#ifndef NODE_OPERATION_OPERATION_RAFT_H
#define NODE_OPERATION_OPERATION_RAFT_H

#include "node/operation/operation_turn.h"

/* All that `raft status` says of this node, whatever state its log is in. */
json_t *raft_status_json(const struct context *context);

/* A state hash as people and programs see it: 16 digits. */
json_t *raft_hash_json(uint64_t hash);

/* Was another member named, with --member? Then the turn is its to answer, and taken over; it is
 * asked the same without the name. */
bool raft_asked_elsewhere(struct operation_turn *turn);

/* The term of an entry; 0: it is neither in this log nor what the snapshot ends with. */
uint64_t raft_term_at(const struct context *context, uint64_t index);

#endif
