/* VMs: a wanted state, what was observed, and who owns them.
 *
 * The owner is (node, generation). Every placement, every change of what is wanted and every
 * attempt of a migration raises the generation, and what an older one reports is refused: so "off"
 * counts only from a node that knew, when it looked, that it must not start the VM any more. A VM
 * has at most one owner, and its CPUs run there alone: the owner leaves it only when it was seen
 * off like that, when a whole and paused copy is at the new owner (migration.h), or when the node
 * is proven off. It never runs on two nodes. */
#ifndef FSM_VM_H
#define FSM_VM_H

#include "fsm/cluster.h"

/* What a node is to do about a VM. */
enum vm_duty {
	VM_DUTY_NONE, /* it must not run here, and nothing of it may stay */
	VM_DUTY_RUN,
	VM_DUTY_SHUTDOWN, /* by ACPI, then by the power */
	VM_DUTY_OFF, /* at once */
	VM_DUTY_SEND, /* it runs here, is to be sent to its target, and is not started any more */
	VM_DUTY_RECEIVE, /* what comes is left alone, and not resumed before it is owned */
};
enum vm_duty vm_duty(const struct vm *vm, uint32_t node);

/* Is it off for certain, and will stay off until somebody asks otherwise? Its owner saw
 * it off and knows that it is not to be started, or the owner is proven off. */
bool vm_is_off(const struct cluster *c, const struct vm *vm);

/* Is it to run, here or elsewhere? Also while it is restarted or moves. */
bool vm_is_wanted(const struct vm *vm);

/* Levels from a node's keepalive: what it sees of each VM that it owns, or is the target of. */
void vm_sightings(struct cluster *c, struct node *node, const struct keepalive *keepalive);

/* node is proven off: its VMs that should run get new owners, or wait for one. */
void vm_recover(struct cluster *c, struct node *node);

/* Place the VMs that should run and wait for a place, and do what is queued: at every tick. */
void vm_tick(struct cluster *c);

/* A node that leaves is no VM's home any more. */
void vm_forget_node(struct cluster *c, uint32_t node);

#endif
