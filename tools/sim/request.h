/* What is asked of the log through a node, and what becomes of the answers. */
#ifndef TOOLS_SIM_REQUEST_H
#define TOOLS_SIM_REQUEST_H

#include "tools/sim/node.h"

/* Propose as this node's daemon, under its own client and sequence. kind and number come back in
 * the answer. A node without a log asks nothing, and nothing answers. */
void request_propose(
    struct sim_node *n, struct command *command, enum ask_kind kind, uint64_t number);
/* The same of bytes that have their client and sequence already. */
void request_bytes(
    struct sim_node *n, const struct buffer *operation, enum ask_kind kind, uint64_t number);
/* A linearizable read: ASK_READ and number come back. */
void request_read(struct sim_node *n, uint64_t number);

/* The replica's port. */
void request_answered(void *node, uint64_t request, int result, uint64_t index);

#endif
