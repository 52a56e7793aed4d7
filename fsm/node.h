/* What nodes say of themselves, and what the cluster makes of it. */
#ifndef FSM_NODE_H
#define FSM_NODE_H

#include "fsm/cluster.h"

/* The last keepalive of a node, NULL when there was none. */
const struct keepalive *node_keepalive(const struct node *node);

/* The age of values that never came. */
#define NODE_AGE_NEVER UINT64_MAX

/* Cluster time since its last keepalive, in ms; UINT64_MAX when there was none. */
uint64_t node_silence_ms(const struct cluster *c, const struct node *node);

/* How old by now the values are that one of its collectors had; NODE_AGE_NEVER. */
uint64_t node_collector_age_ms(
    const struct cluster *c, const struct node *node, const struct collector *collector);

/* How often it sends one, as it said by a fact: its key, a number in milliseconds. A node that said
 * nothing sends one every NODE_INTERVAL_MS. */
#define NODE_INTERVAL_MS 1000
struct node_interval_key {
	char text[32];
};
struct node_interval_key node_interval_key(uint32_t node);
uint64_t node_interval_ms(const struct cluster *c, const struct node *node);

/* What of its silence says nothing yet: at_least_ms, and two of its intervals. */
uint64_t node_patience_ms(const struct cluster *c, const struct node *node, uint64_t at_least_ms);

/* A node that leaves takes with it what it said. */
void node_forget(struct cluster *c, uint32_t node);

/* Take in one keepalive: levels. Its lists move into the value. */
void node_heard(struct cluster *c, struct keepalive *keepalive);

#endif
