/* May a node leave, be something else, or take the place of another? The rules by which the
 * commands leave, node_mode and replace are refused, for whoever wants to say so before.
 *
 * 0, or a negative errno with what to do first in err. */
#ifndef FSM_MEMBERSHIP_H
#define FSM_MEMBERSHIP_H

#include "fsm/cluster.h"

int node_may_leave(const struct cluster *c, const struct node *node, struct err *err);
int node_may_become(
    const struct cluster *c, const struct node *node, enum node_mode mode, struct err *err);
/* successor becomes the coordinator that node is, and node leaves. */
int node_may_be_replaced(const struct cluster *c, const struct node *node,
    const struct node *successor, struct err *err);

/* Who may vote, and as what, in one number: two changes that were judged on the same members, each
 * well by itself, may be one too many together. It goes with the command, which is refused with
 * -ESTALE when it is another by then. */
uint64_t membership_mark(const struct cluster *c);

#endif
