/* Where a VM goes when nobody says: a pure decision in numbered steps. */
#ifndef FSM_PLACE_H
#define FSM_PLACE_H

#include "fsm/memory.h"

/* The best node for vm, never its present one. 0: none has room now.
 *  1. Only nodes that run VMs, whose daemon is `run`, domain state `ready`, and that
 *     were heard within PLACE_FRESH_MS of cluster time.
 *  2. Only those that can still promise the VM's memory.
 *  3. The best by the VM's selector; of those the one with the least memory promised, then with
 *     the fewest VMs, then with the lowest id.
 * memories is memory_of_all()'s, of the cluster as it is now. */
uint32_t place_choose(const struct cluster *c, const struct vm *vm, const struct memory *memories);

/* May vm be placed on node by a person? 0 or -errno with err. */
int place_check(
    const struct cluster *c, const struct vm *vm, const struct node *node, struct err *err);

#define PLACE_FRESH_MS 10000

#endif
