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

static bool is_up(enum vm_observed observed)
{
	return observed == OBSERVED_RUNNING || observed == OBSERVED_PAUSED ||
	       observed == OBSERVED_TRANSIT;
}

/* What one VM adds to the sums of its owner, or of the node that it moves to. */
static struct memory share_of(const struct node *node, const struct vm *vm)
{
	bool arrives = vm->node != node->id;
	if (node->daemon_state == DAEMON_FENCED)
		return (struct memory){0};
	struct memory share = {.vms = 1, .provisioned_mib = vm->memory_mib};
	/* Of many that leave a node at once not all are to choose the same one. */
	if (arrives || is_up(vm->observed)) {
		share.vms_running = !arrives;
		share.allocated_mib = vm->memory_mib;
		share.vcpus_allocated = vm->vcpus;
	}
	return share;
}

static void add(struct memory *m, const struct memory *share)
{
	m->vms += share->vms;
	m->vms_running += share->vms_running;
	m->provisioned_mib += share->provisioned_mib;
	m->allocated_mib += share->allocated_mib;
	m->vcpus_allocated += share->vcpus_allocated;
}

static void take(struct memory *m, const struct memory *share)
{
	m->vms -= share->vms;
	m->vms_running -= share->vms_running;
	m->provisioned_mib -= share->provisioned_mib;
	m->allocated_mib -= share->allocated_mib;
	m->vcpus_allocated -= share->vcpus_allocated;
}

/* Count it in, or out, wherever it counts. */
static void count(const struct cluster *c, const struct vm *vm, struct memory *memories,
    void (*sum)(struct memory *m, const struct memory *share))
{
	const uint32_t ends[] = {vm->node, vm->target};
	for (unsigned i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		uint32_t at = ends[i] ? table_position(&c->nodes, &ends[i]) : c->nodes.count;
		if (at == c->nodes.count)
			continue;
		struct memory share = share_of(c->nodes.items[at], vm);
		sum(&memories[at], &share);
	}
}

void memory_of(const struct cluster *c, const struct node *node, struct memory *m)
{
	begin(node, m);
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->node != node->id && vm->target != node->id)
			continue;
		struct memory share = share_of(node, vm);
		add(m, &share);
	}
}

void memory_of_all(const struct cluster *c, struct memory memories[CLUSTER_NODES_MAX])
{
	for (uint32_t i = 0; i < c->nodes.count; i++)
		begin(c->nodes.items[i], &memories[i]);
	cluster_each(c->vms, struct vm, vm) count(c, vm, memories, add);
}

void memory_leave(const struct cluster *c, const struct vm *vm, struct memory *memories)
{
	count(c, vm, memories, take);
}

void memory_enter(const struct cluster *c, const struct vm *vm, struct memory *memories)
{
	count(c, vm, memories, add);
}

uint64_t memory_promisable(const struct memory *m)
{
	/* A node can come back with less memory than was promised on it: its VMs
	 * keep their promises, new ones must wait. */
	uint64_t spoken_for = MEMORY_RESERVED_MIB + m->provisioned_mib;
	return m->total_mib > spoken_for ? m->total_mib - spoken_for : 0;
}

uint64_t memory_overprovisioned(const struct memory *m)
{
	uint64_t spoken_for = MEMORY_RESERVED_MIB + m->provisioned_mib;
	return m->total_mib && spoken_for > m->total_mib ? spoken_for - m->total_mib : 0;
}
