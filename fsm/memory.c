#include "fsm/memory.h"

void memory_of(const struct cluster *c, const struct node *node, struct memory *m)
{
	*m = (struct memory){0};
	if (node->daemon_state == DAEMON_FENCED)
		return;
	if (node->last.count) {
		const struct keepalive *k = node->last.items;
		m->total_mib = k->memory_total_mib;
		m->used_mib = k->memory_used_mib;
		m->free_mib = k->memory_free_mib;
		m->vcpus_total = k->vcpus_total;
	}
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->node != node->id)
			continue;
		m->vms++;
		m->provisioned_mib += vm->memory_mib;
		if (vm->observed != OBSERVED_RUNNING && vm->observed != OBSERVED_PAUSED)
			continue;
		m->vms_running++;
		m->allocated_mib += vm->memory_mib;
		m->vcpus_allocated += vm->vcpus;
	}
}

uint64_t memory_promisable(const struct memory *m)
{
	/* A node can come back with less memory than was promised on it: its VMs
	 * keep their promises, new ones must wait. */
	uint64_t spoken_for = MEMORY_RESERVED_MIB + m->provisioned_mib;
	return m->total_mib > spoken_for ? m->total_mib - spoken_for : 0;
}
