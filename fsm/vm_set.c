#include "fsm/vm_set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/change.h"
#include "fsm/place.h"

void vm_touch(struct cluster *c, struct vm *vm)
{
	change_touch(c, &c->vms, vm);
}

struct vm *vm_find(struct cluster *c, uint32_t id, int *result, struct err *err)
{
	struct vm *vm = cluster_vm(c, id);
	if (!vm)
		*result = err_set(err, -ENOENT, "there is no VM %" PRIu32, id);
	return vm;
}

struct vm *vm_find_owned(
    struct cluster *c, const struct sighting *of, uint32_t node, int *result, struct err *err)
{
	struct vm *vm = vm_find(c, of->vm, result, err);
	if (!vm || (vm->node == node && vm->generation == of->generation))
		return vm;
	*result =
	    err_set(err, -ESTALE, "%s is no longer owned by node %" PRIu32 " generation %" PRIu64,
		vm->name, node, of->generation);
	return NULL;
}

void vm_set_owner(struct cluster *c, struct vm *vm, uint32_t node)
{
	if (vm->node)
		vm->last_node = vm->node;
	vm->node = node;
	vm->generation++;
	vm->observed = OBSERVED_UNKNOWN;
	vm->arrived = false;
	vm->changed_ms = c->settings.time_ms;
	if (node && vm->home == node) {
		vm->home = 0;
		vm->why = MOVE_NONE;
	}
	vm_touch(c, vm);
}

void vm_set_state(struct cluster *c, struct vm *vm, enum vm_state state)
{
	if (vm->state == state)
		return;
	vm->state = state;
	vm->generation++;
	vm->changed_ms = c->settings.time_ms;
	vm_touch(c, vm);
}

void vm_set_reason(struct cluster *c, struct vm *vm, const char *reason)
{
	char text[sizeof(vm->failed_reason)];
	snprintf(text, sizeof(text), "%s", reason);
	if (!strcmp(vm->failed_reason, text))
		return;
	memcpy(vm->failed_reason, text, sizeof(text));
	vm_touch(c, vm);
}

bool vm_place_by(struct cluster *c, struct vm *vm, const struct memory *memories)
{
	uint32_t node = place_choose(c, vm, memories);
	bool moves = node != vm->node;
	if (moves)
		vm_set_owner(c, vm, node);
	vm_set_reason(c, vm, node ? "" : place_none(vm));
	return moves;
}

void vm_place(struct cluster *c, struct vm *vm)
{
	struct memory memories[CLUSTER_NODES_MAX];
	memory_of_all(c, memories);
	vm_place_by(c, vm, memories);
}

void vm_note_proven_off(struct vm *vm, uint32_t node)
{
	unsigned used = 0;
	for (unsigned i = 0; i < PROVEN_OFF_MAX; i++)
		if (vm->proven_off[i] && vm->proven_off[i] != node)
			vm->proven_off[used++] = vm->proven_off[i];
	/* The newest is the last. */
	if (used == PROVEN_OFF_MAX) {
		used--;
		memmove(vm->proven_off, vm->proven_off + 1, used * sizeof(*vm->proven_off));
	}
	vm->proven_off[used++] = node;
	memset(vm->proven_off + used, 0, (PROVEN_OFF_MAX - used) * sizeof(*vm->proven_off));
}

int vm_compare(const void *a, const void *b)
{
	const struct vm *one = *(const struct vm *const *)a;
	const struct vm *other = *(const struct vm *const *)b;
	if (one->priority != other->priority)
		return one->priority > other->priority ? -1 : 1;
	return one->id < other->id ? -1 : one->id > other->id;
}
