/* What nodes say of themselves, and what the cluster makes of it. */
#ifndef FSM_NODE_H
#define FSM_NODE_H

#include "fsm/cluster.h"

/* The last keepalive of a node, NULL when there was none. */
const struct keepalive *node_keepalive(const struct node *node);

/* Cluster time since its last keepalive, in ms; UINT64_MAX when there was none. */
uint64_t node_silence_ms(const struct cluster *c, const struct node *node);

/* Take in one keepalive: levels. Its lists move into the value. */
void node_heard(struct cluster *c, struct keepalive *keepalive);

#endif
