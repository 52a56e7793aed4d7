/* The primary coordinator: takeover and relinquish as log entries.
 *
 * epoch is the raft term of the leader that takes over, so contention has one
 * winner by the order of the log. The new primary begins its steps only when
 * primary_may_begin() says so, or when it has waited out the old one's lease. */
#ifndef FSM_PRIMARY_H
#define FSM_PRIMARY_H

#include "fsm/cluster.h"

/* Nobody else can hold anything any more: the old primary said that it let go, is fenced,
 * or there was none. Not knowing is false. */
bool primary_may_begin(const struct cluster *c, uint32_t node);

/* Only the primary of this very epoch may speak for it. 0, or -ESTALE with err. */
int primary_check(const struct cluster *c, uint32_t node, uint64_t epoch, struct err *err);

/* A wish that was not fulfilled in PRIMARY_WISH_MS of cluster time is dropped. */
#define PRIMARY_WISH_MS 10000
/* Nobody can wish for a node that was silent for longer. */
#define PRIMARY_SILENCE_MS 5000
void primary_tick(struct cluster *c);

#endif
