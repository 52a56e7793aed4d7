#include "node/vm/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/text.h"

#define RETRY_MS_MIN 1000
#define RETRY_MS_MAX 60000
/* A start whose worker was killed may still be carried out by a hypervisor that
 * hung: for so long its VM is not said to be off. */
#define DOUBT_MS 60000
/* What the pool said of a VM's volumes is good for that long. */
#define RELEASED_MS 10000

/* The place of the first whose UUID is not less. */
static unsigned local_place(const struct local *l, const char *uuid)
{
	unsigned low = 0, high = l->count;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		if (strcmp(l->vms[middle].uuid, uuid) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct local_vm *local_find(const struct local *l, const char *uuid)
{
	unsigned at = local_place(l, uuid);
	return at < l->count && !strcmp(l->vms[at].uuid, uuid) ? &l->vms[at] : NULL;
}

struct local_vm *local_add(struct local *l, const char *uuid)
{
	struct local_vm *vm = local_find(l, uuid);
	unsigned at = local_place(l, uuid);
	if (vm)
		return vm;
	if (l->count == l->capacity) {
		l->capacity = l->capacity ? l->capacity * 2 : 16;
		l->vms = must_realloc(l->vms, l->capacity * sizeof(*l->vms));
	}
	vm = &l->vms[at];
	memmove(vm + 1, vm, (l->count++ - at) * sizeof(*vm));
	memset(vm, 0, sizeof(*vm));
	snprintf(vm->uuid, sizeof(vm->uuid), "%s", uuid);
	vm->observed = OBSERVED_SHUTOFF;
	return vm;
}

void local_close(struct local *l)
{
	free(l->vms);
	*l = (struct local){0};
}

enum vm_observed local_observed(const struct local *l, const char *uuid, uint64_t now_ms)
{
	const struct local_vm *vm = local_find(l, uuid);
	if (!l->known)
		return OBSERVED_UNOBSERVABLE;
	if (!vm)
		return OBSERVED_SHUTOFF;
	bool off = vm->observed == OBSERVED_SHUTOFF || vm->observed == OBSERVED_CRASHED;
	if (vm->busy || (off && now_ms < vm->doubt_until_ms))
		return OBSERVED_UNKNOWN;
	return vm->observed;
}

static void plan_add(
    struct plan *plan, enum action_type type, const struct vm *vm, struct local_vm *local)
{
	if (plan->count == plan->capacity) {
		plan->capacity = plan->capacity ? plan->capacity * 2 : 16;
		plan->actions =
		    must_realloc(plan->actions, plan->capacity * sizeof(*plan->actions));
	}
	struct action *action = &plan->actions[plan->count++];
	*action = (struct action){.type = type, .vm = vm->id, .generation = vm->generation};
	memcpy(action->uuid, vm->uuid, sizeof(action->uuid));
	if (local->acted_generation != vm->generation) {
		local->failures = 0;
		local->reason[0] = 0;
	}
	plan->room--;
	local->busy = true;
	local->acted_generation = vm->generation;
}

static bool runs(const struct local_vm *local)
{
	return local->observed == OBSERVED_RUNNING || local->observed == OBSERVED_PAUSED;
}

static void plan_shutdown(struct plan *plan, const struct plan_options *options,
    const struct vm *vm, struct local_vm *local, uint64_t now_ms)
{
	if (local->asked_generation != vm->generation) {
		local->asked_generation = vm->generation;
		local->asked_ms = now_ms;
		plan_add(plan, ACTION_SHUTDOWN, vm, local);
	} else if (now_ms - local->asked_ms >= options->shutdown_timeout_ms) {
		plan_add(plan, ACTION_STOP, vm, local);
	}
}

static void plan_vm(struct plan *plan, const struct standing *standing,
    const struct plan_options *options, const struct vm *vm, struct local_vm *local,
    uint64_t now_ms)
{
	/* What failed waits, but not for long when somebody asks anew. */
	bool early = local->acted_generation == vm->generation && now_ms < local->retry_ms;
	if (local->busy || early || !plan->room)
		return;
	bool certain = standing->current ||
		       (local->acted_generation && vm->generation > local->acted_generation);
	bool mine = vm->node == options->node;
	if (runs(local)) {
		if (!certain || (mine && vm->state == VM_START))
			return;
		if (mine && vm->state == VM_SHUTDOWN)
			plan_shutdown(plan, options, vm, local, now_ms);
		else
			plan_add(plan, ACTION_STOP, vm, local);
		return;
	}
	bool off = local->observed == OBSERVED_SHUTOFF || local->observed == OBSERVED_CRASHED;
	bool refused = options->leaving || local->refused_generation == vm->generation;
	if (off && mine && vm->state == VM_START && standing->current && !refused)
		plan_add(plan, ACTION_START, vm, local);
}

void plan_make(struct plan *plan, const struct cluster *c, const struct standing *standing,
    const struct plan_options *options, struct local *local, uint64_t now_ms)
{
	plan->count = 0;
	plan->room = PLAN_BUSY_MAX;
	if (!local->known)
		return;
	for (unsigned i = 0; i < local->count; i++)
		plan->room -= plan->room && local->vms[i].busy && !local->vms[i].waits;
	cluster_each(c->vms, struct vm, vm)
	{
		struct local_vm *found = local_find(local, vm->uuid);
		if (!found && vm->node != options->node)
			continue;
		if (!found)
			found = local_add(local, vm->uuid);
		plan_vm(plan, standing, options, vm, found, now_ms);
	}
}

void plan_close(struct plan *plan)
{
	free(plan->actions);
	*plan = (struct plan){0};
}

static uint64_t retry_after_ms(unsigned failures)
{
	uint64_t wait_ms = RETRY_MS_MIN;
	while (--failures > 0 && wait_ms < RETRY_MS_MAX)
		wait_ms *= 2;
	return wait_ms < RETRY_MS_MAX ? wait_ms : RETRY_MS_MAX;
}

static void failed(struct local_vm *vm, const struct action *action, int status, uint64_t now_ms)
{
	vm->failures++;
	vm->retry_ms = now_ms + retry_after_ms(vm->failures);
	bool unknown = status == -ETIMEDOUT || status == -EPIPE || status == -EPROTO;
	if (action->type == ACTION_START && unknown)
		vm->doubt_until_ms = now_ms + DOUBT_MS;
}

void plan_doubt(struct local *local, const char *uuid, uint64_t now_ms)
{
	local_add(local, uuid)->doubt_until_ms = now_ms + DOUBT_MS;
}

bool plan_doubts(const struct local *local, const char *uuid, uint64_t now_ms)
{
	const struct local_vm *vm = local_find(local, uuid);
	return vm && now_ms < vm->doubt_until_ms;
}

void plan_wait(struct local *local, const struct action *action)
{
	struct local_vm *vm = local_find(local, action->uuid);
	if (vm)
		vm->waits = true;
}

/* The VM is not busy any more; NULL: there is none. */
static struct local_vm *ended(struct local *local, const struct action *action)
{
	struct local_vm *vm = local_find(local, action->uuid);
	if (vm)
		vm->busy = vm->waits = false;
	return vm;
}

void plan_released(struct local *local, const struct action *action, uint64_t now_ms)
{
	struct local_vm *vm = ended(local, action);
	if (!vm)
		return;
	vm->released_generation = action->generation;
	vm->released_until_ms = now_ms + RELEASED_MS;
}

bool plan_is_released(const struct local *local, const struct action *action, uint64_t now_ms)
{
	const struct local_vm *vm = local_find(local, action->uuid);
	return vm && vm->released_generation == action->generation &&
	       now_ms < vm->released_until_ms;
}

bool plan_is_starting(const struct local_vm *vm, uint64_t now_ms)
{
	bool freed = vm->released_generation && vm->released_generation == vm->acted_generation;
	return vm->waits || (freed && (vm->busy || now_ms < vm->released_until_ms));
}

void plan_postpone(struct local *local, const struct action *action, uint64_t until_ms)
{
	struct local_vm *vm = ended(local, action);
	if (vm)
		vm->retry_ms = until_ms;
}

void plan_refused(struct local *local, const struct action *action, const char *reason)
{
	struct local_vm *vm = ended(local, action);
	if (!vm)
		return;
	vm->refused_generation = action->generation;
	vm->told_fail_ms = 0;
	snprintf(vm->reason, sizeof(vm->reason), "%s", reason);
	/* Of what was too long the last character may be a part of one. */
	text_clean(vm->reason, '?');
}

void plan_done(struct local *local, const struct action *action, int status, const char *reason,
    uint64_t now_ms)
{
	struct local_vm *vm = ended(local, action);
	if (!vm)
		return;
	/* The next start looks at the volumes anew. */
	vm->released_generation = 0;
	snprintf(vm->reason, sizeof(vm->reason), "%s", status ? reason : "");
	if (status) {
		failed(vm, action, status, now_ms);
		return;
	}
	vm->failures = 0;
	if (action->type == ACTION_SHUTDOWN)
		return;
	vm->observed = action->type == ACTION_START ? OBSERVED_RUNNING : OBSERVED_SHUTOFF;
}
