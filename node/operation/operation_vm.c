#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsm/vm.h"
#include "node/config/config.h"
#include "node/worker/domain.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"

static json_t *vm_json(const struct cluster *c, const struct vm *vm)
{
	json_t *json = json_object();
	json_object_set_new(json, "name", json_text(vm->name));
	json_object_set_new(json, "uuid", json_text(vm->uuid));
	json_object_set_new(json, "state", json_string(state_name(vm_state_names, vm->state)));
	json_object_set_new(
	    json, "observed", json_string(state_name(vm_observed_names, vm->observed)));
	json_object_set_new(json, "node", node_name_json(c, vm->node));
	json_object_set_new(json, "last_node", node_name_json(c, vm->last_node));
	json_object_set_new(json, "generation", json_u64(vm->generation));
	json_object_set_new(json, "memory_mib", json_u64(vm->memory_mib));
	json_object_set_new(json, "vcpus", json_integer(vm->vcpus));
	json_object_set_new(json, "failed_reason", json_text(vm->failed_reason));
	return json;
}

/* Does it match --node and --state? */
static bool selected(const struct operation_turn *turn, const struct vm *vm, uint32_t node)
{
	const char *state = argument_text(turn->arguments, "state");
	if (node && vm->node != node)
		return false;
	return !state || !strcmp(state, state_name(vm_state_names, vm->state));
}

void operation_vm_list(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	uint32_t node_id = 0;
	if (argument_given(turn->arguments, "node")) {
		const struct node *node = turn_node(turn, "node");
		if (!node)
			return;
		node_id = node->id;
	}
	json_t *list = json_array();
	cluster_each(c->vms, struct vm, vm) if (selected(turn, vm, node_id))
	    json_array_append_new(list, vm_json(c, vm));
	turn_answer(turn, list);
}

void operation_vm_info(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	const struct vm *vm = turn_vm(turn);
	if (!vm)
		return;
	json_t *json = vm_json(c, vm);
	json_object_set_new(json, "id", json_integer(vm->id));
	json_object_set_new(json, "observed_generation", json_u64(vm->observed_generation));
	json_object_set_new(
	    json, "selector", json_string(state_name(selector_names, vm->selector)));
	json_object_set_new(json, "changed_age_ms", json_u64(c->settings.time_ms - vm->changed_ms));
	json_object_set_new(json, "off", json_boolean(vm_is_off(c, vm)));
	turn_answer(turn, json);
}

void operation_vm_dump(struct operation_turn *turn)
{
	const struct vm *vm = turn_vm(turn);
	if (vm)
		turn_answer(turn, json_pack("{s:o, s:o}", "name", json_text(vm->name), "xml",
				      json_bytes(vm->xml.data, vm->xml.size)));
}

static json_t *defined(struct operation_turn *turn, int result)
{
	const struct cluster *c = turn->context->cluster;
	const struct vm *vm = cluster_vm(c, (uint32_t)result);
	if (!vm)
		return json_object();
	json_t *json = vm_json(c, vm);
	json_object_set_new(json, "message",
	    json_sprintf(vm->node ? "%s is defined on %s" : "%s is defined, and waits for a place",
		vm->name, node_name(c, vm->node)));
	return json;
}

static enum selector selector_of(const struct operation_turn *turn)
{
	const struct config *config = turn->context->config;
	const char *name = argument_text(turn->arguments, "selector");
	if (name)
		return (enum selector)state_value(selector_names, name);
	return config ? (enum selector)config->system.migration.target_selector : SELECTOR_MEM;
}

void operation_vm_define(struct operation_turn *turn)
{
	struct err err;
	struct domain domain;
	struct command command = {.number = COMMAND_vm_define};
	struct command_vm_define *define = &command.vm_define;
	const json_t *xml = json_object_get(turn->arguments, "xml");
	int status = domain_read(json_string_value(xml), json_string_length(xml), &domain, &err);
	if (!status && argument_given(turn->arguments, "node")) {
		const struct node *node = argument_node(turn->context, turn->arguments, &err);
		status = node ? 0 : -ENOENT;
		define->node = node ? node->id : 0;
	}
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	memcpy(define->name, domain.name, sizeof(define->name));
	memcpy(define->uuid, domain.uuid, sizeof(define->uuid));
	define->memory_mib = domain.memory_mib;
	define->vcpus = domain.vcpus;
	define->selector = selector_of(turn);
	define->xml.data = (uint8_t *)(uintptr_t)json_string_value(xml);
	define->xml.size = (uint32_t)json_string_length(xml);
	turn->finish = defined;
	turn_propose(turn, &command);
}

void operation_vm_undefine(struct operation_turn *turn)
{
	const struct vm *vm = turn_vm(turn);
	if (!vm)
		return;
	struct command command = {.number = COMMAND_vm_undefine};
	command.vm_undefine.vm = vm->id;
	turn_say(turn, "%s is no longer defined", vm->name);
	turn_propose(turn, &command);
}

/* The VM as it is after what was asked for, with one line for people. */
static json_t *changed(struct operation_turn *turn, int result)
{
	const struct cluster *c = turn->context->cluster;
	const struct vm *vm = cluster_vm(c, turn->about);
	if (!vm)
		return json_object();
	json_t *json = vm_json(c, vm);
	json_object_set_new(json, "message",
	    vm->node ? json_sprintf("%s: %s, on %s", vm->name,
			   state_name(vm_state_names, vm->state), node_name(c, vm->node))
		     : json_sprintf("%s: %s, waits for a place: %s", vm->name,
			   state_name(vm_state_names, vm->state), vm->failed_reason));
	return json;
}

static void want_state(struct operation_turn *turn, enum vm_state state)
{
	const struct vm *vm = turn_vm(turn);
	if (!vm)
		return;
	struct command command = {.number = COMMAND_vm_state};
	command.vm_state.vm = vm->id;
	command.vm_state.state = state;
	turn->about = vm->id;
	turn->finish = changed;
	turn_propose(turn, &command);
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

void operation_vm_disable(struct operation_turn *turn)
{
	want_state(turn, VM_DISABLE);
}

void operation_vm_move(struct operation_turn *turn)
{
	const struct vm *vm = turn_vm(turn);
	const struct node *node = vm ? turn_node(turn, "node") : NULL;
	if (!node)
		return;
	struct command command = {.number = COMMAND_vm_place};
	command.vm_place.vm = vm->id;
	command.vm_place.node = node->id;
	turn->about = vm->id;
	turn->finish = changed;
	turn_propose(turn, &command);
}

static void progress_pending(
    const struct cluster *c, const struct vm *vm, struct operation_progress *p)
{
	if (!vm->node)
		progress_set(
		    p, PROGRESS_PENDING, "%s waits for a place: %s", vm->name, vm->failed_reason);
	else
		progress_set(p, PROGRESS_PENDING, "%s: %s on %s%s%s", vm->name,
		    state_name(vm_observed_names, vm->observed), node_name(c, vm->node),
		    *vm->failed_reason ? ": " : "", vm->failed_reason);
}

static bool runs(const struct vm *vm)
{
	return vm->node && vm->observed == OBSERVED_RUNNING &&
	       vm->observed_generation == vm->generation;
}

static void progress_gone(const json_t *arguments, struct operation_progress *p)
{
	progress_set(p, PROGRESS_FAILED, "%s is no longer defined", argument_text(arguments, "vm"));
}

void progress_vm_start(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct vm *vm = argument_vm(context, arguments, NULL);
	if (!vm)
		progress_gone(arguments, p);
	else if (vm->state != VM_START)
		progress_set(p, PROGRESS_FAILED, "%s: %s is wanted by now%s%s", vm->name,
		    state_name(vm_state_names, vm->state), *vm->failed_reason ? ": " : "",
		    vm->failed_reason);
	else if (runs(vm))
		progress_set(p, PROGRESS_DONE, "%s runs on %s", vm->name, node_name(c, vm->node));
	else
		progress_pending(c, vm, p);
}

void progress_vm_off(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct vm *vm = argument_vm(context, arguments, NULL);
	if (!vm)
		progress_gone(arguments, p);
	else if (vm->state == VM_START)
		progress_set(p, PROGRESS_FAILED, "%s: start is wanted by now", vm->name);
	else if (vm_is_off(c, vm))
		progress_set(p, PROGRESS_DONE, "%s is off", vm->name);
	else
		progress_pending(c, vm, p);
}

void progress_vm_move(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct vm *vm = argument_vm(context, arguments, NULL);
	const struct node *node = argument_node(context, arguments, NULL);
	if (!vm || !node)
		progress_gone(arguments, p);
	else if (vm->node != node->id)
		progress_set(
		    p, PROGRESS_FAILED, "%s is on %s by now", vm->name, node_name(c, vm->node));
	else if (vm->state != VM_START || runs(vm))
		progress_set(p, PROGRESS_DONE, "%s is on %s", vm->name, node->name);
	else
		progress_pending(c, vm, p);
}
