/* VMs as they are: lists, and all of one. */
#include <errno.h>
#include <string.h>

#include "node/config/config.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"
#include "node/operation/vm_json.h"
#include "node/worker/effective.h"

static bool is_of(const char *wanted, const char *name)
{
	return !wanted || !strcmp(wanted, name);
}

static bool has_tag(const struct vm *vm, const char *tag)
{
	for (uint32_t i = 0; tag && i < vm->tags.count; i++)
		if (!strcmp(vm->tags.items[i].name, tag))
			return true;
	return !tag;
}

/* Does it match all that was asked for? */
static bool selected(const struct operation_turn *turn, const struct vm *vm, uint32_t node)
{
	const json_t *arguments = turn->arguments;
	return (!node || vm->node == node) &&
	       is_of(argument_text(arguments, "state"), state_name(vm_state_names, vm->state)) &&
	       is_of(argument_text(arguments, "observed"),
		   state_name(vm_observed_names, vm->observed)) &&
	       has_tag(vm, argument_text(arguments, "tag"));
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
	if (vm)
		turn_answer(turn, vm_info_json(c, vm));
}

static void answer_xml(struct operation_turn *turn, const struct vm *vm, const struct blob *xml)
{
	turn_answer(turn, json_pack("{s:o, s:o}", "name", json_text(vm->name), "xml",
			      json_bytes(xml->data, xml->size)));
}

/* As this node would start it: nodes may keep consoles in different places. */
static void answer_effective(struct operation_turn *turn, const struct vm *vm)
{
	const struct config *config = turn->context->config;
	struct buffer xml = {0};
	struct err err;
	int status =
	    config ? domain_effective(&vm->xml,
			 config->system.configuration.directories.console_log_directory, &xml, &err)
		   : err_set(&err, -EOPNOTSUPP, "no hypervisor is configured here");
	if (status)
		turn_refuse(turn, status, &err);
	else
		answer_xml(turn, vm, &(struct blob){xml.data, (uint32_t)xml.size});
	buffer_close(&xml);
}

void operation_vm_dump(struct operation_turn *turn)
{
	const struct vm *vm = turn_vm(turn);
	if (vm && argument_given(turn->arguments, "effective"))
		answer_effective(turn, vm);
	else if (vm)
		answer_xml(turn, vm, &vm->xml);
}
