/* VMs: a wanted state, what was observed, and who owns them.
 *
 * The owner is (node, generation). Every placement and every change of what is
 * wanted raises the generation, and what an older one reports is refused: so
 * "off" counts only from a node that knew, when it looked, that it must not
 * start the VM any more. A VM has at most one owner, and leaves it only when it
 * was seen off like that or the node is proven off: it never runs on two nodes. */
#ifndef FSM_VM_H
#define FSM_VM_H

#include "fsm/cluster.h"

/* Levels from a node's keepalive: what it sees of each VM that it knows to be its own. */
void vm_sightings(struct cluster *c, struct node *node, const struct keepalive *keepalive);

/* node is proven off: its VMs that should run get new owners, or wait for one. */
void vm_recover(struct cluster *c, struct node *node);

/* Place the VMs that should run and wait for a place: at every tick. */
void vm_place_waiting(struct cluster *c);

/* Is it off for certain, and will stay off until somebody asks otherwise? Its owner saw
 * it off and knows that it is not to be started, or the owner is proven off. */
bool vm_is_off(const struct cluster *c, const struct vm *vm);

#endif
