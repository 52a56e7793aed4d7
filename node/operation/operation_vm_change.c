/* What is wanted of a VM: on, off, elsewhere; and how it came about so far. */
#include <errno.h>
#include <string.h>

#include "fsm/vm.h"
#include "node/config/config.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"
#include "node/operation/vm_json.h"

/* The VM as it is after what was asked for, with one line for people. */
static json_t *changed(struct operation_turn *turn, int result)
{
	const struct cluster *c = turn->context->cluster;
	const struct vm *vm = cluster_vm(c, turn->about);
	struct buffer text = {0};
	if (!vm)
		return json_object();
	json_t *json = vm_json(c, vm);
	buffer_print(&text, "%s: ", vm->name);
	vm_stand(c, vm, &text);
	json_object_set_new(json, "message", json_bytes(text.data, text.size));
	buffer_close(&text);
	return json;
}

static void propose_change(
    struct operation_turn *turn, const struct vm *vm, struct command *command)
{
	turn->about = vm->id;
	turn->finish = changed;
	turn_propose(turn, command);
}

/* Is a start refused after which no node could be lost any more? Else it is done with a warning. */
static bool is_strict(const struct operation_turn *turn)
{
	const struct config *config = turn->context->config;
	return config && config->system.migration.policy == CONFIG_POLICY_STRICT;
}

static void want_state(struct operation_turn *turn, enum vm_state state)
{
	const struct vm *vm = turn_vm(turn);
	if (!vm)
		return;
	struct command command = {.number = COMMAND_vm_state};
	command.vm_state.vm = vm->id;
	command.vm_state.state = state;
	command.vm_state.strict = is_strict(turn);
	if (state == VM_START && !command.vm_state.strict)
		turn_warn_start(turn, vm);
	propose_change(turn, vm, &command);
}

void operation_vm_start(struct operation_turn *turn)
{
	want_state(turn, VM_START);
}

void operation_vm_shutdown(struct operation_turn *turn)
{
	want_state(turn, VM_SHUTDOWN);
}

void operation_vm_stop(struct operation_turn *turn)
{
	want_state(turn, VM_STOP);
}

void operation_vm_restart(struct operation_turn *turn)
{
	want_state(turn, VM_RESTART);
}

void operation_vm_disable(struct operation_turn *turn)
{
	want_state(turn, VM_DISABLE);
}

static void want_elsewhere(struct operation_turn *turn, enum move_reason why)
{
	const struct vm *vm = turn_vm(turn);
	const struct node *node = NULL;
	if (!vm)
		return;
	if (argument_given(turn->arguments, "node") && !(node = turn_node(turn, "node")))
		return;
	struct command command = {.number = COMMAND_vm_migrate};
	command.vm_migrate.vm = vm->id;
	command.vm_migrate.node = node ? node->id : 0;
	command.vm_migrate.why = why;
	command.vm_migrate.live_only = argument_given(turn->arguments, "live_only");
	turn_warn_place(turn, vm, why == MOVE_UNMIGRATE ? vm->home : command.vm_migrate.node);
	propose_change(turn, vm, &command);
}

void operation_vm_move(struct operation_turn *turn)
{
	want_elsewhere(turn, MOVE_MOVE);
}

void operation_vm_migrate(struct operation_turn *turn)
{
	want_elsewhere(turn, MOVE_MIGRATE);
}

void operation_vm_unmigrate(struct operation_turn *turn)
{
	want_elsewhere(turn, MOVE_UNMIGRATE);
}
