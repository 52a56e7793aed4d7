#include "fsm/tolerance.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/place.h"
#include "fsm/vm.h"
#include "fsm/vm_change.h"

#define NAMES_SHOWN 5

/* Every VM that should run, and the room that there is. */
struct scene {
	const struct cluster *c;
	struct memory memories[CLUSTER_NODES_MAX];
	const struct vm **vms; /* by node, then by place_order() */
	uint32_t count;
};

static int compare(const void *a, const void *b)
{
	const struct vm *one = *(const struct vm *const *)a;
	const struct vm *other = *(const struct vm *const *)b;
	if (one->node != other->node)
		return one->node < other->node ? -1 : 1;
	return place_order(one, other);
}

/* Its owner's limit says that it is to be on this node or nowhere. */
static bool is_bound(const struct vm *vm)
{
	return vm->limit.count == 1 && vm->limit.items[0].node == vm->node;
}

static void collect(struct scene *s, const struct vm *vm)
{
	if (vm_is_wanted(vm) && !is_bound(vm))
		s->vms[s->count++] = vm;
}

/* instead, when there is one, stands for the VM of its id. */
static void scene_open(struct scene *s, const struct cluster *c, const struct vm *instead)
{
	const struct vm *old = instead ? cluster_vm(c, instead->id) : NULL;
	s->c = c;
	s->count = 0;
	s->vms = must_alloc((c->vms.count + 1) * sizeof(struct vm *));
	memory_of_all(c, s->memories);
	cluster_each(c->vms, struct vm, vm) if (vm != old) collect(s, vm);
	if (instead) {
		if (old)
			memory_leave(c, old, s->memories);
		memory_enter(c, instead, s->memories);
		collect(s, instead);
	}
	qsort(s->vms, s->count, sizeof(*s->vms), compare);
}

/* A place for one more; false: there is none. */
static bool place(const struct scene *s, const struct vm *vm, struct memory *memories)
{
	struct vm moved = *vm;
	moved.node = place_choose(s->c, vm, memories);
	moved.target = 0;
	moved.observed = OBSERVED_UNKNOWN;
	if (moved.node)
		memory_enter(s->c, &moved, memories);
	return moved.node;
}

/* How many from `from` on are of one node. */
static uint32_t group(const struct scene *s, uint32_t from)
{
	uint32_t n = 1;
	while (from + n < s->count && s->vms[from + n]->node == s->vms[from]->node)
		n++;
	return n;
}

/* Those of s->vms[from .. from + n) that find no place are moved to the front. */
static struct tolerance_loss lose(
    const struct scene *s, uint32_t from, uint32_t n, struct memory *memories)
{
	const struct vm **vms = s->vms + from;
	struct tolerance_loss loss = {.node = vms[0]->node, .vms = vms};
	for (uint32_t i = 0; i < n; i++) {
		memory_leave(s->c, vms[i], memories);
		if (place(s, vms[i], memories))
			continue;
		loss.memory_mib += vms[i]->memory_mib;
		vms[loss.count++] = vms[i];
	}
	return loss;
}

/* only: of this node alone; 0: of each. */
static void judge(
    const struct cluster *c, const struct vm *instead, uint32_t only, struct tolerance *t)
{
	struct scene s;
	struct memory memories[CLUSTER_NODES_MAX];
	const size_t size = c->nodes.count * sizeof(*memories);
	scene_open(&s, c, instead);
	*t = (struct tolerance){.vms = s.vms};
	t->losses = must_alloc((c->nodes.count + 1) * sizeof(*t->losses));
	for (uint32_t from = 0, n; from < s.count; from += n) {
		uint32_t node = s.vms[from]->node;
		n = group(&s, from);
		if (node && only && node != only)
			continue;
		/* Who waits now gets what room there is before anything is lost. */
		memcpy(memories, s.memories, size);
		struct tolerance_loss loss = lose(&s, from, n, node ? memories : s.memories);
		if (loss.count)
			t->losses[t->count++] = loss;
	}
}

void tolerance_open(const struct cluster *c, struct tolerance *t)
{
	judge(c, NULL, 0, t);
}

void tolerance_close(struct tolerance *t)
{
	free(t->losses);
	free(t->vms);
	*t = (struct tolerance){0};
}

bool tolerance_is_possible(const struct cluster *c)
{
	unsigned n = 0;
	cluster_each(c->nodes, struct node, node) n += node->hypervisor;
	return n >= 2;
}

const struct tolerance_loss *tolerance_worst(const struct tolerance *t)
{
	const struct tolerance_loss *worst = t->count ? t->losses : NULL;
	for (uint32_t i = 1; i < t->count; i++)
		if (t->losses[i].memory_mib > worst->memory_mib)
			worst = &t->losses[i];
	return worst;
}

void tolerance_text(
    const struct cluster *c, const struct tolerance_loss *loss, char text[TOLERANCE_TEXT_MAX])
{
	struct buffer names = {0};
	const struct node *node = cluster_node(c, loss->node);
	if (node)
		buffer_print(&names, "without %s ", node->name);
	for (uint32_t i = 0; i < loss->count && i < NAMES_SHOWN; i++)
		buffer_print(&names, "%s%s", i ? ", " : "", loss->vms[i]->name);
	if (loss->count > NAMES_SHOWN)
		buffer_print(&names, " and %" PRIu32 " more", loss->count - NAMES_SHOWN);
	snprintf(text, TOLERANCE_TEXT_MAX, "%.*s (%" PRIu64 " MiB) %s no room%s", (int)names.size,
	    (const char *)names.data, loss->memory_mib, loss->count == 1 ? "has" : "have",
	    node ? "" : " even now");
	buffer_close(&names);
}

static uint64_t lost_mib(const struct tolerance *t, uint32_t node)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (t->losses[i].node == node)
			return t->losses[i].memory_mib;
	return 0;
}

/* The loss that becomes worse by most; NULL: none does. */
static const struct tolerance_loss *worse(
    const struct tolerance *before, const struct tolerance *after)
{
	const struct tolerance_loss *worst = NULL;
	uint64_t most_mib = 0;
	for (uint32_t i = 0; i < after->count; i++) {
		const struct tolerance_loss *loss = &after->losses[i];
		uint64_t mib = lost_mib(before, loss->node);
		if (loss->memory_mib <= mib + most_mib)
			continue;
		most_mib = loss->memory_mib - mib;
		worst = loss;
	}
	return worst;
}

int tolerance_check(const struct cluster *c, const struct vm *would_be, struct err *err)
{
	struct tolerance before, after;
	char text[TOLERANCE_TEXT_MAX];
	/* Who waits for a place itself takes nobody's. */
	if (!would_be->node || !tolerance_is_possible(c))
		return 0;
	const struct vm *vm = cluster_vm(c, would_be->id);
	/* While its promise stays as it is, no other node's VMs find more or less room. */
	bool stays = vm && vm->node == would_be->node && vm->memory_mib == would_be->memory_mib;
	uint32_t only = stays ? vm->node : 0;
	judge(c, NULL, only, &before);
	judge(c, would_be, only, &after);
	const struct tolerance_loss *loss = worse(&before, &after);
	int result = loss ? -ENOMEM : 0;
	if (loss) {
		tolerance_text(c, loss, text);
		err_set(err, 0, "%s", text);
	}
	tolerance_close(&before);
	tolerance_close(&after);
	return result;
}

int tolerance_check_start(const struct cluster *c, const struct vm *vm, struct err *err)
{
	struct memory memories[CLUSTER_NODES_MAX];
	struct vm started = *vm;
	started.state = VM_START;
	if (!vm_change_stays(c, vm)) {
		memory_of_all(c, memories);
		started.node = place_choose(c, vm, memories);
	}
	return tolerance_check(c, &started, err);
}
