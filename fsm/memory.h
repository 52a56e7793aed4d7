/* Memory of one node: what it has, and what its VMs are promised.
 *
 * A VM's memory is promised when the VM is placed, before it starts, so two
 * placements never count on the same MiB; while it moves it is promised on both
 * ends. Derived from placement, so a VM that left takes its promise along. Plain
 * values: no allocation. */
#ifndef FSM_MEMORY_H
#define FSM_MEMORY_H

#include "fsm/cluster.h"

/* Kept back for the host and its daemons. */
#define MEMORY_RESERVED_MIB 512

struct memory {
	uint64_t total_mib; /* as the node last reported it; may shrink */
	uint64_t used_mib; /* as the node last reported it */
	uint64_t free_mib; /* as the node last reported it */
	uint64_t allocated_mib; /* sum over the VMs that run here, or are on their way here */
	uint64_t provisioned_mib; /* of those and all others that are placed here */
	uint32_t vcpus_total;
	uint32_t vcpus_allocated; /* as allocated_mib */
	uint32_t vms; /* as provisioned_mib */
	uint32_t vms_running;
};

/* Everything that is known of a node's memory. A fenced node counts nothing. */
void memory_of(const struct cluster *c, const struct node *node, struct memory *m);
/* The same of all nodes at once, in the order of c->nodes. */
void memory_of_all(const struct cluster *c, struct memory memories[CLUSTER_NODES_MAX]);

/* Who places many VMs at once need not count all anew for each: leave before what is known of vm
 * changes, enter after it. memories is memory_of_all()'s. */
void memory_leave(const struct cluster *c, const struct vm *vm, struct memory *memories);
void memory_enter(const struct cluster *c, const struct vm *vm, struct memory *memories);

/* What may still be promised: 0 when full or over-promised. */
uint64_t memory_promisable(const struct memory *m);
/* What is promised beyond what there is; 0 also of a node that never said what it has. */
uint64_t memory_overprovisioned(const struct memory *m);

#endif
