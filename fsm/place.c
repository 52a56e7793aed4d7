#include "fsm/place.h"

#include <errno.h>
#include <inttypes.h>

#include "fsm/memory.h"

struct candidate {
	const struct node *node;
	const struct memory *memory;
	int64_t score;
};

/* Larger scores win. */
static int64_t score(enum selector selector, const struct node *node, const struct memory *m)
{
	const struct keepalive *k = node->last.count ? node->last.items : NULL;
	switch (selector) {
	case SELECTOR_MEMFREE:
		return (int64_t)m->free_mib;
	case SELECTOR_MEM:
		return (int64_t)m->total_mib - (int64_t)m->allocated_mib;
	case SELECTOR_MEMPROV:
		return -(int64_t)m->provisioned_mib;
	case SELECTOR_LOAD:
		return k ? -(int64_t)k->load_milli : INT64_MIN;
	case SELECTOR_VCPUS:
		return (int64_t)m->vcpus_total - (int64_t)m->vcpus_allocated;
	case SELECTOR_VMS:
		return -(int64_t)m->vms;
	}
	return 0;
}

static int check(const struct cluster *c, const struct vm *vm, const struct node *node,
    const struct memory *m, struct err *err)
{
	if (!node->hypervisor)
		return err_set(
		    err, -EINVAL, "%s runs no VMs (enable_hypervisor is off there)", node->name);
	if (node->daemon_state != DAEMON_RUN)
		return err_set(err, -EHOSTDOWN, "%s is %s, not run", node->name,
		    state_name(daemon_state_names, node->daemon_state));
	if (node->domain_state != DOMAIN_READY)
		return err_set(err, -EHOSTDOWN, "%s is %s, not ready", node->name,
		    state_name(domain_state_names, node->domain_state));
	if (!node->last.count || c->settings.time_ms - node->seen_ms > PLACE_FRESH_MS)
		return err_set(err, -EHOSTDOWN, "%s has not sent a keepalive lately", node->name);
	if (memory_promisable(m) < vm->memory_mib)
		return err_set(err, -ENOMEM,
		    "%s can promise %" PRIu64 " MiB more, %s needs %" PRIu64, node->name,
		    memory_promisable(m), vm->name, vm->memory_mib);
	return 0;
}

int place_check(
    const struct cluster *c, const struct vm *vm, const struct node *node, struct err *err)
{
	struct memory m;
	memory_of(c, node, &m);
	return check(c, vm, node, &m, err);
}

/* Is a better than b, where both have room and b has the lower id? */
static bool better(const struct candidate *a, const struct candidate *b)
{
	if (a->score != b->score)
		return a->score > b->score;
	if (a->memory->provisioned_mib != b->memory->provisioned_mib)
		return a->memory->provisioned_mib < b->memory->provisioned_mib;
	return a->memory->vms < b->memory->vms;
}

uint32_t place_choose(const struct cluster *c, const struct vm *vm, const struct memory *memories)
{
	struct candidate best = {0};
	const struct memory *m = memories;
	cluster_each(c->nodes, struct node, node)
	{
		const struct memory *its = m++;
		if (node->id == vm->node || check(c, vm, node, its, NULL))
			continue;
		struct candidate one = {node, its, score(vm->selector, node, its)};
		if (!best.node || better(&one, &best))
			best = one;
	}
	return best.node ? best.node->id : 0;
}
