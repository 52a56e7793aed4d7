/* What must hold of one VM, beside what check.c looks at in all of them together. */
#include "fsm/check_vm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsm/migration.h"
#include "fsm/vm_define.h"

static bool rightly_proven_off(const struct vm *vm)
{
	for (unsigned i = 0; i < PROVEN_OFF_MAX; i++) {
		if (i && vm->proven_off[i] && !vm->proven_off[i - 1])
			return false;
		for (unsigned k = 0; k < i; k++)
			if (vm->proven_off[i] && vm->proven_off[k] == vm->proven_off[i])
				return false;
	}
	return true;
}

static bool moves(const struct vm *vm)
{
	return vm->state == VM_MIGRATE || vm->state == VM_UNMIGRATE;
}

/* Each returns what is wrong, as "NAME ..."; NULL: nothing. */

static const char *wrong_owner(const struct cluster *c, const struct vm *vm)
{
	if (vm->node && !cluster_node(c, vm->node))
		return "is on a node that is none";
	if (vm->node && !vm->generation)
		return "was placed without a generation";
	if (vm->observed_generation > vm->generation)
		return "was seen in the future";
	if (!vm->node && vm->observed == OBSERVED_RUNNING)
		return "runs nowhere";
	if (!rightly_proven_off(vm))
		return "has a list of nodes proven off that is none";
	if (vm->home && (vm->home == vm->node || !cluster_node(c, vm->home)))
		return "has a home that is none, or is there";
	return NULL;
}

static const char *wrong_attempt(const struct cluster *c, const struct vm *vm)
{
	bool whole =
	    vm->target_observed == OBSERVED_PAUSED || vm->target_observed == OBSERVED_RUNNING;
	if (!vm->target)
		return vm->target_observed || vm->whole_ms || vm->abort || vm->by
			   ? "has what belongs to an attempt, and there is none"
			   : NULL;
	if (vm->target == vm->node || !vm->node || !cluster_node(c, vm->target))
		return "moves from nowhere, or to nowhere";
	if (!moves(vm))
		return "moves, and nobody wants it";
	if (vm->by == MIGRATION_NONE)
		return "moves by no method";
	if (vm->abort && vm->by != MIGRATION_LIVE)
		return "is to be aborted where nothing can be";
	if (!vm->whole_ms != !whole)
		return "has a copy that is whole and not whole";
	return NULL;
}

static const char *wrong_wish(const struct cluster *c, const struct vm *vm)
{
	if (moves(vm) && !vm->node)
		return "is to be moved, and is nowhere";
	if (moves(vm) && vm->why == MOVE_NONE)
		return "moves for no reason";
	if (!moves(vm) && !vm->home && vm->why != MOVE_NONE)
		return "has a reason to be where it is, and belongs nowhere else";
	if (!moves(vm) && (vm->destination || vm->live_only || vm->tries))
		return "has a wish to move that nobody has";
	if (vm->destination && !cluster_node(c, vm->destination))
		return "is to go to a node that is none";
	if (vm->tries > MIGRATION_TRIES)
		return "was tried too often";
	if (vm->arrived && (vm->state != VM_START || !vm->node))
		return "has arrived, and is not to run there";
	if (vm->flushed_off && vm->state != VM_SHUTDOWN && vm->state != VM_STOP)
		return "was shut down by a flush, and is not";
	return NULL;
}

static const char *wrong_queue(const struct cluster *c, const struct vm *vm)
{
	bool placed = vm->queued >= REQUEST_MIGRATE;
	if (!placed && (vm->queued_node || vm->queued_live_only))
		return "has a request queued that says where";
	if (vm->queued_node && !cluster_node(c, vm->queued_node))
		return "has a request queued for a node that is none";
	return NULL;
}

static const char *wrong_lists(const struct cluster *c, const struct vm *vm)
{
	if (vm->limit.count > VM_LIMIT_MAX || vm->tags.count > VM_TAGS_MAX)
		return "has too many tags or nodes";
	for (uint32_t i = 0; i < vm->limit.count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (vm->limit.items[i].node == vm->limit.items[k].node)
				return "is limited to a node twice";
	for (uint32_t i = 0; i < vm->tags.count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(vm->tags.items[i].name, vm->tags.items[k].name))
				return "has a tag twice";
	return NULL;
}

int check_vm(const struct cluster *c, const struct vm *vm, struct err *err)
{
	const char *(*const rules[])(const struct cluster *, const struct vm *) = {
	    wrong_owner, wrong_attempt, wrong_wish, wrong_queue, wrong_lists};
	if (!vm->id || vm->id >= c->settings.next_vm)
		return err_set(err, -EBADMSG, "VM %" PRIu32 " was never given out", vm->id);
	for (unsigned i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const char *wrong = rules[i](c, vm);
		if (wrong)
			return err_set(err, -EBADMSG, "%s %s", vm->name, wrong);
	}
	return 0;
}
