#include "fsm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/migration.h"
#include "fsm/place.h"
#include "fsm/vm_change.h"
#include "fsm/vm_set.h"

static enum vm_duty owner_duty(const struct vm *vm)
{
	if (vm->target)
		return vm->by == MIGRATION_LIVE ? VM_DUTY_SEND : VM_DUTY_SHUTDOWN;
	switch (vm->state) {
	case VM_START:
	case VM_MIGRATE:
	case VM_UNMIGRATE:
		return VM_DUTY_RUN;
	case VM_SHUTDOWN:
	case VM_RESTART:
		return VM_DUTY_SHUTDOWN;
	case VM_STOP:
	case VM_DISABLE:
	case VM_FAIL:
	case VM_PROVISION:
		break;
	}
	return VM_DUTY_OFF;
}

enum vm_duty vm_duty(const struct vm *vm, uint32_t node)
{
	if (!node)
		return VM_DUTY_NONE;
	if (node == vm->node)
		return owner_duty(vm);
	return node == vm->target && vm->by == MIGRATION_LIVE ? VM_DUTY_RECEIVE : VM_DUTY_NONE;
}

bool vm_is_off(const struct cluster *c, const struct vm *vm)
{
	const struct node *owner = cluster_node(c, vm->node);
	if (!owner || owner->daemon_state == DAEMON_FENCED)
		return true;
	enum vm_duty duty = owner_duty(vm);
	if (duty == VM_DUTY_RUN || duty == VM_DUTY_SEND)
		return false;
	return vm->observed_generation == vm->generation &&
	       (vm->observed == OBSERVED_SHUTOFF || vm->observed == OBSERVED_CRASHED);
}

bool vm_is_wanted(const struct vm *vm)
{
	return vm->state == VM_START || vm->state == VM_RESTART || vm->state == VM_MIGRATE ||
	       vm->state == VM_UNMIGRATE;
}

/* What was wanted has come about. */
static void settle(struct cluster *c, struct vm *vm)
{
	if (!vm_is_off(c, vm))
		return;
	/* No new generation: whoever was to shut it down was not to start it either. */
	if (vm->state == VM_SHUTDOWN) {
		vm->state = VM_STOP;
		vm->changed_ms = c->settings.time_ms;
	} else if (vm->state == VM_RESTART) {
		vm_set_state(c, vm, VM_START);
	}
}

static void runs(struct vm *vm, enum vm_observed before)
{
	/* Why it could not be moved stays to be read, for it runs all the while. */
	bool came_up =
	    before == OBSERVED_UNKNOWN || before == OBSERVED_SHUTOFF || before == OBSERVED_CRASHED;
	memset(vm->proven_off, 0, sizeof(vm->proven_off));
	if (came_up)
		memset(vm->failed_reason, 0, sizeof(vm->failed_reason));
}

/* What the owner saw, knowing of the present generation. */
static void observe(struct cluster *c, struct vm *vm, enum vm_observed observed)
{
	enum vm_observed before = vm->observed;
	if (before == observed && vm->observed_generation == vm->generation)
		return;
	vm->observed = observed;
	vm->observed_generation = vm->generation;
	if (observed == OBSERVED_RUNNING)
		runs(vm, before);
	/* The copy was resumed, or is lost. */
	if (observed == OBSERVED_RUNNING || observed == OBSERVED_SHUTOFF ||
	    observed == OBSERVED_CRASHED)
		vm->arrived = false;
	vm_touch(c, vm);
	if (vm->target)
		migration_source_seen(c, vm);
	settle(c, vm);
	vm_change_resume(c, vm);
}

/* Whose report counts: the owner's, and the target's of its copy. A node that has not yet heard of
 * this generation says nothing about it. */
static void take_in(
    struct cluster *c, struct vm *vm, uint32_t node, uint64_t generation, enum vm_observed observed)
{
	if (vm->generation != generation)
		return;
	if (vm->node == node)
		observe(c, vm, observed);
	else if (vm_duty(vm, node) == VM_DUTY_RECEIVE)
		migration_target_seen(c, vm, observed);
}

void vm_sightings(struct cluster *c, struct node *node, const struct keepalive *keepalive)
{
	for (uint32_t i = 0; i < keepalive->sightings.count; i++) {
		const struct sighting *s = &keepalive->sightings.items[i];
		struct vm *vm = cluster_vm(c, s->vm);
		if (vm)
			take_in(c, vm, node->id, s->generation, s->observed);
	}
}

int apply_vm_report(struct cluster *c, struct command_vm_report *command, struct err *err)
{
	int result = 0;
	struct sighting of = {.vm = command->vm, .generation = command->generation};
	struct vm *vm = vm_find(c, command->vm, &result, err);
	if (!vm)
		return result;
	bool receives = vm_duty(vm, command->node) == VM_DUTY_RECEIVE;
	if (!vm_find_owned(c, &of, receives ? vm->node : command->node, &result, err))
		return result;
	take_in(c, vm, command->node, command->generation, command->observed);
	if (*command->reason && !receives)
		vm_set_reason(c, vm, command->reason);
	return 0;
}

int apply_vm_fail(struct cluster *c, struct command_vm_fail *command, struct err *err)
{
	int result = 0;
	struct sighting of = {.vm = command->vm, .generation = command->generation};
	struct vm *vm = vm_find_owned(c, &of, command->node, &result, err);
	if (!vm)
		return result;
	if (command->state != VM_FAIL && command->state != VM_STOP)
		return err_set(err, -EINVAL, "what cannot be started fails or stops, it is not %s",
		    state_name(vm_state_names, command->state));
	if (vm_duty(vm, command->node) != VM_DUTY_RUN)
		return err_set(err, -EINVAL, "%s is not to be started (%s): it cannot fail to",
		    vm->name, state_name(vm_state_names, vm->state));
	migration_forget(c, vm);
	vm_set_state(c, vm, command->state);
	vm_set_reason(c, vm, command->reason);
	vm_change_resume(c, vm);
	return 0;
}

static int compare_places(const void *a, const void *b)
{
	return place_order(*(const struct vm *const *)a, *(const struct vm *const *)b);
}

static void recover(struct cluster *c, struct vm *vm)
{
	vm->observed = OBSERVED_UNKNOWN;
	vm_note_proven_off(vm, vm->node);
	vm_touch(c, vm);
	if (vm->state == VM_SHUTDOWN)
		vm_set_state(c, vm, VM_STOP);
	if (!vm_is_wanted(vm))
		return;
	migration_forget(c, vm);
	vm_set_state(c, vm, VM_START);
	vm_place(c, vm);
}

void vm_recover(struct cluster *c, struct node *node)
{
	uint32_t count = 0;
	struct vm **list = must_alloc((c->vms.count + 1) * sizeof(struct vm *));
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->node == node->id)
			list[count++] = vm;
		else if (vm->target == node->id)
			migration_target_lost(c, vm);
	}
	qsort(list, count, sizeof(struct vm *), compare_places);
	for (uint32_t i = 0; i < count; i++)
		recover(c, list[i]);
	free(list);
}

static void place_waiting(struct cluster *c)
{
	struct memory memories[CLUSTER_NODES_MAX];
	uint32_t count = 0;
	struct vm **list = must_alloc((c->vms.count + 1) * sizeof(struct vm *));
	cluster_each(c->vms, struct vm, vm) if (vm->state == VM_START && !vm->node) list[count++] =
	    vm;
	qsort(list, count, sizeof(struct vm *), compare_places);
	if (count)
		memory_of_all(c, memories);
	for (uint32_t i = 0; i < count; i++)
		if (vm_place_by(c, list[i], memories))
			memory_enter(c, list[i], memories);
	free(list);
}

void vm_tick(struct cluster *c)
{
	place_waiting(c);
	cluster_each(c->vms, struct vm, vm) vm_change_resume(c, vm);
}

void vm_forget_node(struct cluster *c, uint32_t node)
{
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->home != node && vm->destination != node && vm->queued_node != node)
			continue;
		if (vm->home == node)
			migration_forget_home(c, vm);
		if (vm->destination == node)
			vm->destination = 0;
		if (vm->queued_node == node)
			vm->queued_node = 0;
		vm_touch(c, vm);
	}
}
