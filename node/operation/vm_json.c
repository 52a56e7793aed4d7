#include "node/operation/vm_json.h"

#include <inttypes.h>

#include "fsm/node.h"
#include "fsm/vm.h"
#include "fsm/vm_change.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"

bool vm_runs(const struct vm *vm)
{
	return vm->node && vm->observed == OBSERVED_RUNNING &&
	       vm->observed_generation == vm->generation;
}

bool vm_moves(const struct vm *vm)
{
	return vm->state == VM_MIGRATE || vm->state == VM_UNMIGRATE || vm->target || vm->arrived;
}

static json_t *tags_json(const struct vm *vm)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < vm->tags.count; i++)
		json_array_append_new(list, json_text(vm->tags.items[i].name));
	return list;
}

static json_t *limit_json(const struct cluster *c, const struct vm *vm)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < vm->limit.count; i++)
		json_array_append_new(list, node_name_json(c, vm->limit.items[i].node));
	return list;
}

/* null: nothing is. */
static json_t *queued_json(const struct vm *vm)
{
	if (vm->queued == REQUEST_NONE)
		return json_null();
	return json_string(state_name(vm_request_names, vm->queued));
}

json_t *vm_json(const struct cluster *c, const struct vm *vm)
{
	json_t *json = json_object();
	json_object_set_new(json, "name", json_text(vm->name));
	json_object_set_new(json, "uuid", json_text(vm->uuid));
	json_object_set_new(json, "state", json_string(state_name(vm_state_names, vm->state)));
	json_object_set_new(
	    json, "observed", json_string(state_name(vm_observed_names, vm->observed)));
	json_object_set_new(json, "node", node_name_json(c, vm->node));
	json_object_set_new(json, "last_node", node_name_json(c, vm->last_node));
	json_object_set_new(json, "target", node_name_json(c, vm->target));
	json_object_set_new(json, "home", node_name_json(c, vm->home));
	json_object_set_new(json, "queued", queued_json(vm));
	json_object_set_new(json, "generation", json_u64(vm->generation));
	json_object_set_new(json, "memory_mib", json_u64(vm->memory_mib));
	json_object_set_new(json, "vcpus", json_integer(vm->vcpus));
	json_object_set_new(json, "autostart", json_boolean(vm->autostart));
	json_object_set_new(json, "tags", tags_json(vm));
	json_object_set_new(json, "failed_reason", json_text(vm->failed_reason));
	return json;
}

const struct movement *vm_movement(const struct cluster *c, const struct vm *vm)
{
	const struct node *node = vm->target ? cluster_node(c, vm->node) : NULL;
	const struct keepalive *k = node ? node_keepalive(node) : NULL;
	for (uint32_t i = 0; k && i < k->movements.count; i++) {
		const struct movement *m = &k->movements.items[i];
		if (m->vm == vm->id && m->generation == vm->generation)
			return m;
	}
	return NULL;
}

/* null: it is not asked for. */
static json_t *migration_json(const struct cluster *c, const struct vm *vm)
{
	const struct movement *m = vm_movement(c, vm);
	uint64_t now_ms = c->settings.time_ms;
	if (!vm_moves(vm))
		return json_null();
	json_t *json = json_object();
	json_object_set_new(json, "why", json_string(state_name(move_reason_names, vm->why)));
	json_object_set_new(json, "by", json_string(state_name(migration_method_names, vm->by)));
	json_object_set_new(json, "to", node_name_json(c, vm->target));
	json_object_set_new(json, "asked_for", node_name_json(c, vm->destination));
	json_object_set_new(json, "live_only", json_boolean(vm->live_only));
	json_object_set_new(json, "aborted", json_boolean(vm->abort));
	json_object_set_new(json, "arrived", json_boolean(vm->arrived));
	json_object_set_new(json, "tries", json_integer(vm->tries));
	json_object_set_new(json, "again_in_ms",
	    !vm->target && vm->attempt_ms > now_ms ? json_u64(vm->attempt_ms - now_ms)
						   : json_null());
	json_object_set_new(
	    json, "seen_there", json_string(state_name(vm_observed_names, vm->target_observed)));
	json_object_set_new(json, "movement", m ? json_record(movement_record(), m) : json_null());
	return json;
}

/* What may be asked for now: a list of operations' last words. */
static json_t *possible_json(const struct cluster *c, const struct vm *vm)
{
	json_t *list = json_array();
	for (unsigned i = REQUEST_START; vm_request_names[i]; i++) {
		enum vm_answer answer = vm_change_answer(c, vm, (enum vm_request)i);
		if (i == REQUEST_UNMIGRATE && !vm->home)
			continue;
		if (answer != ANSWER_SAME && answer <= ANSWER_CUT)
			json_array_append_new(list, json_string(vm_request_names[i]));
	}
	return list;
}

json_t *vm_info_json(const struct cluster *c, const struct vm *vm)
{
	json_t *json = vm_json(c, vm);
	json_object_set_new(json, "id", json_integer(vm->id));
	json_object_set_new(json, "observed_generation", json_u64(vm->observed_generation));
	json_object_set_new(
	    json, "selector", json_string(state_name(selector_names, vm->selector)));
	json_object_set_new(
	    json, "method", json_string(state_name(migration_method_names, vm->method)));
	json_object_set_new(json, "priority", json_integer(vm->priority));
	json_object_set_new(json, "limit", limit_json(c, vm));
	json_object_set_new(json, "migration", migration_json(c, vm));
	json_object_set_new(json, "possible", possible_json(c, vm));
	json_object_set_new(json, "queued_node", node_name_json(c, vm->queued_node));
	json_object_set_new(json, "flushed_off", json_boolean(vm->flushed_off));
	json_object_set_new(json, "changed_age_ms", json_u64(c->settings.time_ms - vm->changed_ms));
	json_object_set_new(json, "off", json_boolean(vm_is_off(c, vm)));
	json_object_set_new(json, "xml_hash", json_sprintf("%016" PRIx64, vm->xml_hash));
	return json;
}

static void stand_moving(const struct cluster *c, const struct vm *vm, struct buffer *out)
{
	if (vm->arrived)
		buffer_print(out, ", has come to %s", node_name(c, vm->node));
	else if (vm->target)
		buffer_print(
		    out, ", from %s to %s", node_name(c, vm->node), node_name(c, vm->target));
	else
		buffer_print(out, ", on %s", node_name(c, vm->node));
	if (vm->tries)
		buffer_print(out, ", try %u", vm->tries + 1);
	if (vm->abort)
		buffer_print(out, ", is aborted");
}

void vm_stand(const struct cluster *c, const struct vm *vm, struct buffer *out)
{
	buffer_print(out, "%s", state_name(vm_state_names, vm->state));
	if (vm_moves(vm))
		stand_moving(c, vm, out);
	else if (vm->node)
		buffer_print(out, ", on %s", node_name(c, vm->node));
	else
		buffer_print(out, ", waits for a place");
	if (*vm->failed_reason)
		buffer_print(out, ": %s", vm->failed_reason);
	if (vm->queued != REQUEST_NONE)
		buffer_print(out, "; then %s", state_name(vm_request_names, vm->queued));
}
