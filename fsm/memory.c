#include "fsm/memory.h"

static void begin(const struct node *node, struct memory *m)
{
	*m = (struct memory){0};
	if (node->daemon_state == DAEMON_FENCED || !node->last.count)
		return;
	const struct keepalive *k = node->last.items;
	m->total_mib = k->memory_total_mib;
	m->used_mib = k->memory_used_mib;
	m->free_mib = k->memory_free_mib;
	m->vcpus_total = k->vcpus_total;
}

static void add(const struct node *node, const struct vm *vm, struct memory *m)
{
	if (node->daemon_state == DAEMON_FENCED)
		return;
	m->vms++;
	m->provisioned_mib += vm->memory_mib;
	if (vm->observed != OBSERVED_RUNNING && vm->observed != OBSERVED_PAUSED)
		return;
	m->vms_running++;
	m->allocated_mib += vm->memory_mib;
	m->vcpus_allocated += vm->vcpus;
}

void memory_of(const struct cluster *c, const struct node *node, struct memory *m)
{
	begin(node, m);
	cluster_each(c->vms, struct vm, vm) if (vm->node == node->id) add(node, vm, m);
}

void memory_of_all(const struct cluster *c, struct memory memories[CLUSTER_NODES_MAX])
{
	for (uint32_t i = 0; i < c->nodes.count; i++)
		begin(c->nodes.items[i], &memories[i]);
	cluster_each(c->vms, struct vm, vm)
	{
		uint32_t at = table_position(&c->nodes, &vm->node);
		if (at < c->nodes.count)
			add(c->nodes.items[at], vm, &memories[at]);
	}
}

uint64_t memory_promisable(const struct memory *m)
{
	/* A node can come back with less memory than was promised on it: its VMs
	 * keep their promises, new ones must wait. */
	uint64_t spoken_for = MEMORY_RESERVED_MIB + m->provisioned_mib;
	return m->total_mib > spoken_for ? m->total_mib - spoken_for : 0;
}
