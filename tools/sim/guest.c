#include "tools/sim/guest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/memory.h"
#include "tools/sim/node.h"

struct guests {
	struct sim_guest *items; /* by UUID */
	unsigned count, capacity;
};

struct guests *guests_new(void)
{
	return must_alloc(sizeof(struct guests));
}

void guests_free(struct guests *guests)
{
	free(guests->items);
	free(guests);
}

struct sim_guest *guest_of(struct world *w, const char *uuid)
{
	struct guests *g = w->guests;
	unsigned low = 0, high = g->count;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		if (strcmp(g->items[middle].uuid, uuid) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < g->count && !strcmp(g->items[low].uuid, uuid))
		return &g->items[low];
	if (g->count == g->capacity) {
		g->capacity = g->capacity ? g->capacity * 2 : 16;
		g->items = must_realloc(g->items, g->capacity * sizeof(*g->items));
	}
	memmove(&g->items[low + 1], &g->items[low], (g->count++ - low) * sizeof(*g->items));
	g->items[low] = (struct sim_guest){.runs_on = 0};
	memcpy(g->items[low].uuid, uuid, sizeof(g->items[low].uuid));
	return &g->items[low];
}

/* The value that knows most: no owner changes behind it. */
static struct sim_node *newest(struct world *w)
{
	struct sim_node *n = w->nodes[1];
	for (unsigned i = 2; i <= w->node_count; i++)
		if (!w->nodes[i]->spoiled && w->nodes[i]->value.index > n->value.index)
			n = w->nodes[i];
	return n;
}

static void check_owner(struct sim_node *by, const struct sim_guest *guest)
{
	struct world *w = by->world;
	const struct vm *vm = cluster_vm_named(&by->value, guest->uuid);
	const struct sim_node *n = w->nodes[guest->runs_on];
	if (!vm)
		world_fail(w, "VM %s runs on n%u, and is not in the value", guest->uuid, n->id);
	else if (vm->node != n->raft_id)
		world_fail(w,
		    "VM %s runs on n%u, and at index %" PRIu64 " node %" PRIu32 " owns it",
		    guest->uuid, n->id, by->value.index, vm->node);
}

void guest_runs(struct sim_node *n, struct sim_vm *vm, enum guest_from from)
{
	struct world *w = n->world;
	struct sim_guest *guest = guest_of(w, vm->uuid);
	world_trace(w, n->id, "vm %s %s", vm->uuid, from == GUEST_BOOTS ? "boots" : "goes on");
	if (guest->runs_on)
		world_fail(w, "VM %s runs on n%u and n%u", vm->uuid, guest->runs_on, n->id);
	if (from != GUEST_BOOTS && vm->age + guest->unseen < guest->age)
		world_fail(w,
		    "VM %s goes on from an older memory on n%u: it ran %" PRIu64 " times since",
		    vm->uuid, n->id, guest->age - vm->age);
	guest->boots += from == GUEST_BOOTS;
	guest->unseen = from == GUEST_IS_TAKEN_BACK ? guest->unseen + 1 : 0;
	guest->runs_on = n->id;
	vm->age = ++guest->age;
	vm->state = SIM_VM_RUNNING;
	check_owner(newest(w), guest);
}

void guest_seen(struct sim_node *n, const char *uuid)
{
	guest_of(n->world, uuid)->unseen = 0;
}

void guest_stops(struct sim_node *n, const struct sim_vm *vm)
{
	struct sim_guest *guest = guest_of(n->world, vm->uuid);
	if (vm->state != SIM_VM_RUNNING || guest->runs_on != n->id)
		return;
	guest->runs_on = 0;
	world_trace(n->world, n->id, "vm %s stops", vm->uuid);
}

void guest_died(struct sim_node *n, const struct sim_vm *vm)
{
	guest_of(n->world, vm->uuid)->deaths++;
	guest_stops(n, vm);
}

static void check_promises(struct sim_node *n)
{
	uint64_t promised[CLUSTER_NODES_MAX] = {0};
	const struct cluster *c = &n->value;
	cluster_each(c->vms, struct vm, vm)
	{
		const uint32_t ends[] = {vm->node, vm->target};
		for (unsigned i = 0; i < 2; i++) {
			uint32_t at = table_position(&c->nodes, &ends[i]);
			if (at < c->nodes.count)
				promised[at] += vm->memory_mib;
		}
	}
	for (uint32_t i = 0; i < c->nodes.count; i++) {
		const struct node *node = c->nodes.items[i];
		uint64_t total_mib = node->last.count ? node->last.items->memory_total_mib : 0;
		if (promised[i] && promised[i] + MEMORY_RESERVED_MIB > total_mib)
			world_fail(n->world,
			    "index %" PRIu64 ": %" PRIu64 " MiB are promised on node %" PRIu32
			    ", which has %" PRIu64,
			    c->index, promised[i], node->id, total_mib);
	}
}

void guests_verify(struct sim_node *n)
{
	struct guests *g = n->world->guests;
	for (unsigned i = 0; i < g->count; i++)
		if (g->items[i].runs_on)
			check_owner(n, &g->items[i]);
	check_promises(n);
}
