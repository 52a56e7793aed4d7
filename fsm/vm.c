#include "fsm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/blobs.h"
#include "fsm/hash.h"
#include "fsm/place.h"
#include "fsm/text.h"

static void vm_touch(struct cluster *c, struct vm *vm)
{
	change_touch(c, &c->vms, vm);
}

static struct vm *find(struct cluster *c, uint32_t id, int *result, struct err *err)
{
	struct vm *vm = cluster_vm(c, id);
	if (!vm)
		*result = err_set(err, -ENOENT, "there is no VM %" PRIu32, id);
	return vm;
}

bool vm_is_off(const struct cluster *c, const struct vm *vm)
{
	const struct node *owner = cluster_node(c, vm->node);
	if (!owner || owner->daemon_state == DAEMON_FENCED)
		return true;
	if (vm->state == VM_START || vm->observed_generation != vm->generation)
		return false;
	return vm->observed == OBSERVED_SHUTOFF || vm->observed == OBSERVED_CRASHED;
}

static void set_owner(struct cluster *c, struct vm *vm, uint32_t node)
{
	if (vm->node)
		vm->last_node = vm->node;
	vm->node = node;
	vm->generation++;
	vm->observed = OBSERVED_UNKNOWN;
	vm->changed_ms = c->settings.time_ms;
	vm_touch(c, vm);
}

static void set_reason(struct vm *vm, const char *reason)
{
	snprintf(vm->failed_reason, sizeof(vm->failed_reason), "%s", reason);
}

static void set_state(struct cluster *c, struct vm *vm, enum vm_state state)
{
	if (vm->state == state)
		return;
	vm->state = state;
	vm->generation++;
	vm->changed_ms = c->settings.time_ms;
	vm_touch(c, vm);
}

/* True when it has got another owner, or none any more. */
static bool place_by(struct cluster *c, struct vm *vm, const struct memory *memories)
{
	uint32_t node = place_choose(c, vm, memories);
	const char *reason = node ? "" : "no node has room for it";
	bool moves = node != vm->node;
	if (moves)
		set_owner(c, vm, node);
	if (strcmp(vm->failed_reason, reason) != 0) {
		set_reason(vm, reason);
		vm_touch(c, vm);
	}
	return moves;
}

static void place(struct cluster *c, struct vm *vm)
{
	struct memory memories[CLUSTER_NODES_MAX];
	memory_of_all(c, memories);
	place_by(c, vm, memories);
}

static int check_new(struct cluster *c, const struct command_vm_define *command, struct err *err)
{
	if (!*command->name || !*command->uuid || !command->memory_mib || !command->vcpus)
		return err_set(err, -EINVAL, "a VM needs a name, a UUID, memory and vCPUs");
	if (!text_is_vm_name(command->name))
		return err_set(err, -EINVAL,
		    "a VM's name has no '/' and no control character in it, and is not . or ..");
	if (!text_is_uuid(command->uuid))
		return err_set(err, -EINVAL,
		    "a VM's UUID is as 01234567-89ab-4cde-8f01-23456789abcd, in small letters");
	if (c->vms.count >= CLUSTER_VMS_MAX)
		return err_set(err, -ENOSPC, "the cluster has %u VMs already", c->vms.count);
	int result = blobs_room(c, 0, command->xml.size, err);
	if (result)
		return result;
	/* Both name a VM: one must not be taken for the other. */
	const struct vm *vm = cluster_vm_named(c, command->name);
	if (vm)
		return err_set(err, -EEXIST, "there is a VM %s already", command->name);
	vm = cluster_vm_named(c, command->uuid);
	if (vm)
		return err_set(
		    err, -EEXIST, "the VM %s has the UUID %s already", vm->name, command->uuid);
	return 0;
}

int apply_vm_define(struct cluster *c, struct command_vm_define *command, struct err *err)
{
	int result = check_new(c, command, err);
	if (result)
		return result;
	struct vm candidate = {.memory_mib = command->memory_mib, .selector = command->selector};
	memcpy(candidate.name, command->name, sizeof(candidate.name));
	if (command->node) {
		const struct node *node = cluster_node(c, command->node);
		if (!node)
			return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
		result = place_check(c, &candidate, node, err);
		if (result)
			return result;
	}
	struct vm *vm = must_alloc(sizeof(*vm));
	*vm = candidate;
	vm->id = c->settings.next_vm++;
	memcpy(vm->uuid, command->uuid, sizeof(vm->uuid));
	vm->vcpus = command->vcpus;
	vm->autostart = command->autostart;
	blobs_replaced(c, 0, command->xml.size);
	vm->xml = command->xml;
	vm->xml_hash = hash_bytes(0, vm->xml.data, vm->xml.size);
	command->xml = (struct blob){0};
	change_settings(c);
	change_insert(c, &c->vms, vm);
	if (command->node)
		set_owner(c, vm, command->node);
	else
		place(c, vm);
	return (int)vm->id;
}

int apply_vm_undefine(struct cluster *c, struct command_vm_undefine *command, struct err *err)
{
	int result = 0;
	struct vm *vm = find(c, command->vm, &result, err);
	if (!vm)
		return result;
	if (!vm_is_off(c, vm))
		return err_set(err, -EBUSY, "%s is not off (%s, %s): stop it first", vm->name,
		    state_name(vm_state_names, vm->state),
		    state_name(vm_observed_names, vm->observed));
	blobs_replaced(c, vm->xml.size, 0);
	change_remove(c, &c->vms, vm);
	return 0;
}

int apply_vm_state(struct cluster *c, struct command_vm_state *command, struct err *err)
{
	int result = 0;
	struct vm *vm = find(c, command->vm, &result, err);
	if (!vm)
		return result;
	bool off = vm_is_off(c, vm);
	if (vm->state == command->state)
		return 0;
	switch (command->state) {
	case VM_START:
		if (vm->state == VM_DISABLE)
			return err_set(
			    err, -EPERM, "%s is disabled: stop enables it again", vm->name);
		break;
	case VM_SHUTDOWN:
		if (off)
			return 0;
		break;
	case VM_STOP:
		break;
	case VM_DISABLE:
		if (!off)
			return err_set(err, -EBUSY, "%s is not off: stop it first", vm->name);
		break;
	case VM_FAIL:
		return err_set(err, -EINVAL, "fail is what becomes of a VM, not what is asked for");
	}
	set_state(c, vm, command->state);
	set_reason(vm, "");
	if (vm->state == VM_START && off) {
		const struct node *owner = cluster_node(c, vm->node);
		if (!owner || owner->daemon_state != DAEMON_RUN)
			place(c, vm);
	}
	return 0;
}

int apply_vm_place(struct cluster *c, struct command_vm_place *command, struct err *err)
{
	int result = 0;
	struct vm *vm = find(c, command->vm, &result, err);
	if (!vm)
		return result;
	const struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	if (vm->node == node->id)
		return 0;
	if (!vm_is_off(c, vm))
		return err_set(err, -EBUSY, "%s is not off: stop it first", vm->name);
	result = place_check(c, vm, node, err);
	if (result)
		return result;
	set_owner(c, vm, node->id);
	return 0;
}

/* What node left locked is nobody's; the newest is the last. */
static void note_proven_off(struct vm *vm, uint32_t node)
{
	unsigned used = 0;
	for (unsigned i = 0; i < PROVEN_OFF_MAX; i++)
		if (vm->proven_off[i] && vm->proven_off[i] != node)
			vm->proven_off[used++] = vm->proven_off[i];
	if (used == PROVEN_OFF_MAX) {
		used--;
		memmove(vm->proven_off, vm->proven_off + 1, used * sizeof(*vm->proven_off));
	}
	vm->proven_off[used++] = node;
	memset(vm->proven_off + used, 0, (PROVEN_OFF_MAX - used) * sizeof(*vm->proven_off));
}

/* What was wanted has come about. */
static void settle(struct cluster *c, struct vm *vm)
{
	/* No new generation: whoever was to shut it down was not to start it either. */
	if (vm->state == VM_SHUTDOWN && vm_is_off(c, vm)) {
		vm->state = VM_STOP;
		vm->changed_ms = c->settings.time_ms;
	}
	if (vm->observed != OBSERVED_RUNNING)
		return;
	set_reason(vm, "");
	memset(vm->proven_off, 0, sizeof(vm->proven_off));
}

/* What the owner saw, knowing of the present generation. */
static void observe(struct cluster *c, struct vm *vm, enum vm_observed observed)
{
	if (vm->observed == observed && vm->observed_generation == vm->generation)
		return;
	vm->observed = observed;
	vm->observed_generation = vm->generation;
	settle(c, vm);
	vm_touch(c, vm);
}

static int check_owner(const struct vm *vm, uint32_t node, uint64_t generation, struct err *err)
{
	if (vm->node == node && vm->generation == generation)
		return 0;
	return err_set(err, -ESTALE,
	    "%s is no longer owned by node %" PRIu32 " generation %" PRIu64, vm->name, node,
	    generation);
}

/* The VM, if node is its owner at that generation; else NULL with *result. */
static struct vm *find_owned(
    struct cluster *c, const struct sighting *of, uint32_t node, int *result, struct err *err)
{
	struct vm *vm = find(c, of->vm, result, err);
	if (vm)
		*result = check_owner(vm, node, of->generation, err);
	return *result ? NULL : vm;
}

int apply_vm_report(struct cluster *c, struct command_vm_report *command, struct err *err)
{
	int result = 0;
	struct sighting of = {.vm = command->vm, .generation = command->generation};
	struct vm *vm = find_owned(c, &of, command->node, &result, err);
	if (!vm)
		return result;
	observe(c, vm, command->observed);
	if (*command->reason) {
		set_reason(vm, command->reason);
		vm_touch(c, vm);
	}
	return 0;
}

int apply_vm_fail(struct cluster *c, struct command_vm_fail *command, struct err *err)
{
	int result = 0;
	struct sighting of = {.vm = command->vm, .generation = command->generation};
	struct vm *vm = find_owned(c, &of, command->node, &result, err);
	if (!vm)
		return result;
	if (vm->state != VM_START)
		return err_set(err, -EINVAL, "%s is not to be started (%s): it cannot fail to",
		    vm->name, state_name(vm_state_names, vm->state));
	set_state(c, vm, VM_FAIL);
	set_reason(vm, command->reason);
	return 0;
}

void vm_sightings(struct cluster *c, struct node *node, const struct keepalive *keepalive)
{
	for (uint32_t i = 0; i < keepalive->sightings.count; i++) {
		const struct sighting *s = &keepalive->sightings.items[i];
		struct vm *vm = cluster_vm(c, s->vm);
		/* A node that has not yet heard of this generation says nothing about it. */
		if (vm && vm->node == node->id && vm->generation == s->generation)
			observe(c, vm, s->observed);
	}
}

void vm_recover(struct cluster *c, struct node *node)
{
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->node != node->id)
			continue;
		vm->observed = OBSERVED_UNKNOWN;
		note_proven_off(vm, node->id);
		vm_touch(c, vm);
		if (vm->state == VM_SHUTDOWN)
			set_state(c, vm, VM_STOP);
		if (vm->state == VM_START)
			place(c, vm);
	}
}

void vm_place_waiting(struct cluster *c)
{
	struct memory memories[CLUSTER_NODES_MAX];
	bool current = false;
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->state != VM_START || vm->node)
			continue;
		if (!current)
			memory_of_all(c, memories);
		/* Who waits for room waits together with many, and mostly in vain. */
		current = !place_by(c, vm, memories);
	}
}
