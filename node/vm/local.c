#include "node/vm/local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

bool vm_observed_off(enum vm_observed observed)
{
	return observed == OBSERVED_SHUTOFF || observed == OBSERVED_CRASHED;
}

uint64_t local_look(struct local *l)
{
	l->look_wanted = false;
	return ++l->looks;
}

static void see(struct local_vm *vm, uint64_t look, const struct seen_vm *seen)
{
	if (look < vm->look_min)
		return;
	vm->observed = seen->observed;
	vm->job = seen->job;
	vm->fresh = true;
}

void local_saw(struct local *l, uint64_t look, const struct seen_vm *vms, unsigned n)
{
	static const struct seen_vm off = {.observed = OBSERVED_SHUTOFF};
	/* One that was overtaken by another is of the past. */
	if (l->known && look < l->look_seen)
		return;
	l->known = true;
	l->lost = false;
	l->look_seen = look;
	for (unsigned i = 0; i < l->count; i++)
		l->vms[i].fresh = l->vms[i].fresh && look < l->vms[i].look_min;
	for (unsigned i = 0; i < n; i++)
		see(local_add(l, vms[i].uuid), look, &vms[i]);
	for (unsigned i = 0; i < l->count; i++)
		if (!l->vms[i].fresh)
			see(&l->vms[i], look, &off);
}

void local_lost(struct local *l)
{
	l->known = false;
	l->lost = true;
}

void local_touch(struct local *l, struct local_vm *vm)
{
	vm->look_min = l->looks + 1;
	l->look_wanted = true;
}

void local_blur(struct local *l, struct local_vm *vm)
{
	vm->fresh = false;
	vm->job = (struct hypervisor_job){0};
	local_touch(l, vm);
}

/* The generations of another VM mean nothing, even where they are the same numbers; what is under
 * way here, or may still come about, has the UUID alone to go by. */
static void begin_anew(struct local *l, struct local_vm *vm, uint32_t id)
{
	struct local_vm past = *vm;
	*vm = (struct local_vm){
	    .vm = id,
	    .observed = past.observed,
	    .moving = past.moving,
	    .busy = past.busy,
	    .starting = past.starting,
	    .waits = past.waits,
	    .doubt_until_ms = past.doubt_until_ms,
	    .sending = past.sending,
	    .job_ms = past.job_ms,
	};
	memcpy(vm->uuid, past.uuid, sizeof(vm->uuid));
	local_blur(l, vm);
}

void local_note(struct local *l, const struct cluster *c, uint32_t node, uint64_t now_ms)
{
	cluster_each(c->vms, struct vm, vm)
	{
		struct local_vm *local = local_find(l, vm->uuid);
		if (!local && vm->node != node && vm->target != node)
			continue;
		if (!local)
			local = local_add(l, vm->uuid);
		if (local->vm != vm->id)
			begin_anew(l, local, vm->id);
		if (local->generation == vm->generation)
			continue;
		local->generation = vm->generation;
		local->since_ms = now_ms;
		local_blur(l, local);
	}
}

enum vm_observed local_observed(const struct local *l, const char *uuid, uint64_t now_ms)
{
	const struct local_vm *vm = local_find(l, uuid);
	if (!l->known)
		return l->lost ? OBSERVED_UNOBSERVABLE : OBSERVED_UNKNOWN;
	if (!vm || !vm->fresh || vm->busy)
		return OBSERVED_UNKNOWN;
	if (vm_observed_off(vm->observed) && now_ms < vm->doubt_until_ms)
		return OBSERVED_UNKNOWN;
	return vm->observed;
}
