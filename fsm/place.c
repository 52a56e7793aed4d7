#include "fsm/place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fsm/memory.h"

static const struct {
	const char *name, *text;
} steps[] = {
#define PLACE_STEP(number, NAME, step, what) [number] = {step, what},
#include "fsm/place.def"
};

/* One node for one VM: every step asks this. */
struct question {
	const struct cluster *c;
	const struct vm *vm;
	const struct node *node;
	const struct memory *memory;
};

struct candidate {
	const struct node *node;
	const struct memory *memory;
	int64_t score;
};

/* Larger scores win. */
static int64_t score(const struct question *q)
{
	const struct memory *m = q->memory;
	const struct keepalive *k = q->node->last.count ? q->node->last.items : NULL;
	switch (q->vm->selector) {
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

/* A score in words. */
static void say_score(enum selector selector, int64_t value, struct err *err)
{
	switch (selector) {
	case SELECTOR_MEMFREE:
		err_set(err, 0, "%" PRId64 " MiB free", value);
		return;
	case SELECTOR_MEM:
		err_set(err, 0, "%" PRId64 " MiB not allocated", value);
		return;
	case SELECTOR_MEMPROV:
		err_set(err, 0, "%" PRId64 " MiB promised", -value);
		return;
	case SELECTOR_LOAD:
		err_set(err, 0, "load %" PRId64 ".%02" PRId64, -value / 1000, -value % 1000 / 10);
		return;
	case SELECTOR_VCPUS:
		err_set(err, 0, "%" PRId64 " vCPUs not allocated", value);
		return;
	case SELECTOR_VMS:
		err_set(err, 0, "%" PRId64 " VM%s placed there", -value, value == -1 ? "" : "s");
		return;
	}
}

static bool is_within_limit(const struct vm *vm, uint32_t node)
{
	for (uint32_t i = 0; i < vm->limit.count; i++)
		if (vm->limit.items[i].node == node)
			return true;
	return !vm->limit.count;
}

/* The decision: the first step that the node does not pass. */
static enum place_step fall(const struct question *q)
{
	const struct node *node = q->node;
	if (node->id == q->vm->node)
		return PLACE_OTHER;
	if (!node->hypervisor)
		return PLACE_RUNS_VMS;
	if (node->daemon_state != DAEMON_RUN)
		return PLACE_RUN;
	/* What a flush moved away comes back before its node is ready for others. */
	bool comes_home = node->domain_state == DOMAIN_UNFLUSH && q->vm->home == node->id;
	if (node->domain_state != DOMAIN_READY && !comes_home)
		return PLACE_READY;
	if (!node->last.count || q->c->settings.time_ms - node->seen_ms > PLACE_FRESH_MS)
		return PLACE_CURRENT;
	if (!is_within_limit(q->vm, node->id))
		return PLACE_LIMIT;
	if (memory_promisable(q->memory) < q->vm->memory_mib)
		return PLACE_ROOM;
	return PLACE_BEST;
}

/* Why it fell at this step, and as which errno. */
static int say_fall(const struct question *q, enum place_step step, struct err *err)
{
	const struct node *node = q->node;
	switch (step) {
	case PLACE_OTHER:
		return err_set(err, -EEXIST, "%s has %s already", node->name, q->vm->name);
	case PLACE_RUNS_VMS:
		return err_set(
		    err, -EINVAL, "%s runs no VMs (enable_hypervisor is off there)", node->name);
	case PLACE_RUN:
		return err_set(err, -EHOSTDOWN, "%s is %s, not run", node->name,
		    state_name(daemon_state_names, node->daemon_state));
	case PLACE_READY:
		return err_set(err, -EHOSTDOWN, "%s is %s, not ready", node->name,
		    state_name(domain_state_names, node->domain_state));
	case PLACE_CURRENT:
		return err_set(err, -EHOSTDOWN, "%s has not sent a keepalive lately", node->name);
	case PLACE_LIMIT:
		return err_set(
		    err, -EINVAL, "%s is limited to other nodes than %s", q->vm->name, node->name);
	case PLACE_ROOM:
		return err_set(err, -ENOMEM,
		    "%s can promise %" PRIu64 " MiB more, %s needs %" PRIu64, node->name,
		    memory_promisable(q->memory), q->vm->name, q->vm->memory_mib);
	case PLACE_BEST:
		break;
	}
	return 0;
}

int place_check(
    const struct cluster *c, const struct vm *vm, const struct node *node, struct err *err)
{
	struct memory m;
	/* A person may well say where it is already. */
	struct vm anywhere = *vm;
	anywhere.node = 0;
	memory_of(c, node, &m);
	struct question q = {c, &anywhere, node, &m};
	return say_fall(&q, fall(&q), err);
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

static void tell(const struct place_listener *listener, const struct question *q,
    const struct place_finding *finding, struct err *reason)
{
	if (finding->step == PLACE_BEST)
		say_score(q->vm->selector, finding->score, reason);
	else
		say_fall(q, finding->step, reason);
	listener->found(listener->data, finding);
}

uint32_t place_explain(const struct cluster *c, const struct vm *vm, const struct memory *memories,
    const struct place_listener *listener)
{
	struct candidate best = {0};
	struct err reason;
	struct question q = {c, vm, NULL, memories};
	cluster_each(c->nodes, struct node, node)
	{
		q.node = node;
		struct place_finding finding = {.node = node, .reason = reason.text};
		finding.step = fall(&q);
		if (finding.step == PLACE_BEST) {
			finding.score = score(&q);
			struct candidate one = {node, q.memory, finding.score};
			if (!best.node || better(&one, &best))
				best = one;
		}
		if (listener)
			tell(listener, &q, &finding, &reason);
		q.memory++;
	}
	return best.node ? best.node->id : 0;
}

uint32_t place_choose(const struct cluster *c, const struct vm *vm, const struct memory *memories)
{
	return place_explain(c, vm, memories, NULL);
}

int place_order(const struct vm *a, const struct vm *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (a->memory_mib != b->memory_mib)
		return a->memory_mib > b->memory_mib ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

const char *place_step_name(enum place_step step)
{
	return steps[step].name;
}

const char *place_step_text(enum place_step step)
{
	return steps[step].text;
}

const char *place_none(const struct vm *vm)
{
	return vm->limit.count ? "no node that it may be on has room for it"
			       : "no node has room for it";
}
