/* How far what was asked of a VM has come about: what --wait waits for. */
#include <string.h>

#include "fsm/vm.h"
#include "node/operation/operation_turn.h"
#include "node/operation/vm_json.h"

/* "web1: start, on hv1 (shutoff)", with the figures of a migration. */
static void pending(const struct cluster *c, const struct vm *vm, struct operation_progress *p)
{
	const struct movement *m = vm_movement(c, vm);
	struct buffer text = {0};
	vm_stand(c, vm, &text);
	buffer_append_u8(&text, 0);
	/* Of a migration, and of a place, that is no news. */
	if (vm_moves(vm) || !vm->node)
		progress_set(p, PROGRESS_PENDING, "%s: %s", vm->name, (const char *)text.data);
	else
		progress_set(p, PROGRESS_PENDING, "%s: %s (%s)", vm->name, (const char *)text.data,
		    state_name(vm_observed_names, vm->observed));
	buffer_close(&text);
	if (m)
		p->movement = *m;
}

/* The VM while nothing can be said of it but that it waits; else NULL, and p is set. */
static const struct vm *awaited(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct vm *vm = argument_vm(context, arguments, NULL);
	if (!vm)
		progress_set(
		    p, PROGRESS_FAILED, "%s is no longer defined", argument_text(arguments, "vm"));
	return vm;
}

/* Something else was asked for, or what was asked for cannot be. */
static void overtaken(const struct vm *vm, struct operation_progress *p)
{
	progress_set(p, PROGRESS_FAILED, "%s: %s is wanted by now%s%s", vm->name,
	    state_name(vm_state_names, vm->state), *vm->failed_reason ? ": " : "",
	    vm->failed_reason);
}

void progress_vm_start(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct vm *vm = awaited(context, arguments, p);
	if (!vm)
		return;
	if (vm->queued == REQUEST_START || vm_moves(vm) || vm->state == VM_RESTART)
		pending(c, vm, p);
	else if (vm->state != VM_START)
		overtaken(vm, p);
	else if (vm_runs(vm))
		progress_set(p, PROGRESS_DONE, "%s runs on %s", vm->name, node_name(c, vm->node));
	else
		pending(c, vm, p);
}

void progress_vm_restart(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct vm *vm = awaited(context, arguments, p);
	if (vm && vm->queued == REQUEST_RESTART)
		pending(context->cluster, vm, p);
	else if (vm)
		progress_vm_start(context, arguments, p);
}

void progress_vm_off(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct vm *vm = awaited(context, arguments, p);
	if (!vm)
		return;
	if (vm->queued == REQUEST_STOP || vm->queued == REQUEST_SHUTDOWN)
		pending(c, vm, p);
	else if (vm->state == VM_START || vm->state == VM_RESTART || vm_moves(vm))
		overtaken(vm, p);
	else if (vm_is_off(c, vm))
		progress_set(p, PROGRESS_DONE, "%s is off", vm->name);
	else
		pending(c, vm, p);
}

/* Not where it was to go, and not on its way any more. */
static void stayed(const struct cluster *c, const struct vm *vm, struct operation_progress *p)
{
	progress_set(p, PROGRESS_FAILED, "%s is on %s%s%s", vm->name, node_name(c, vm->node),
	    *vm->failed_reason ? ": " : " still", vm->failed_reason);
}

/* It moves no more. where: the node asked for, 0: any. */
static void moved(
    const struct cluster *c, const struct vm *vm, uint32_t where, struct operation_progress *p)
{
	bool wanted = vm_is_wanted(vm);
	if (where ? vm->node != where : wanted && *vm->failed_reason)
		stayed(c, vm, p);
	else if (wanted && !vm_runs(vm))
		pending(c, vm, p);
	else
		progress_set(p, PROGRESS_DONE, "%s %s on %s", vm->name, wanted ? "runs" : "is",
		    node_name(c, vm->node));
}

static bool is_moving(const struct vm *vm)
{
	return vm_moves(vm) || vm->queued == REQUEST_MIGRATE || vm->queued == REQUEST_MOVE ||
	       vm->queued == REQUEST_UNMIGRATE;
}

void progress_vm_move(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct vm *vm = awaited(context, arguments, p);
	const struct node *node = NULL;
	if (!vm)
		return;
	if (argument_given(arguments, "node") && !(node = argument_node(context, arguments, NULL)))
		progress_set(p, PROGRESS_FAILED, "the node has left the cluster");
	else if (is_moving(vm))
		pending(c, vm, p);
	else
		moved(c, vm, node ? node->id : 0, p);
}

void progress_vm_migrate(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct vm *vm = awaited(context, arguments, p);
	/* Only what is to run is migrated: by now it is not. */
	if (vm && !is_moving(vm) && !vm_is_wanted(vm))
		overtaken(vm, p);
	else if (vm)
		progress_vm_move(context, arguments, p);
}

void progress_vm_unmigrate(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct vm *vm = awaited(context, arguments, p);
	if (!vm)
		return;
	if (is_moving(vm))
		pending(c, vm, p);
	else if (vm->home)
		stayed(c, vm, p);
	else
		moved(c, vm, vm->node, p);
}
