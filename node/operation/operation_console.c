/* `vm console`: what a VM has said, read on the node where it is. */
#include <errno.h>
#include <string.h>

#include "node/config/config.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"
#include "node/worker/console_file.h"
#include "node/worker/effective.h"

/* For the VM's node, whose worker may have to be waited for, and then for the file. */
#define CONSOLE_ANSWER_MS 7000

_Static_assert(CONSOLE_FILE_MAX == CONSOLE_PATH_MAX, "what is in the XML can be asked for");

/* The node whose file is wanted: by now where the VM is, unless somebody says another. */
static const struct node *console_node(struct operation_turn *turn, const struct vm *vm)
{
	if (argument_given(turn->arguments, "node"))
		return turn_node(turn, "node");
	const struct node *node = cluster_node(turn->context->cluster, vm->node);
	if (!node)
		turn_deny(turn, -ENODATA, "%s is on no node yet", vm->name);
	return node;
}

static void seen(void *data, int status, const struct console_sight *sight, const struct err *err)
{
	struct operation_turn *turn = data;
	const struct cluster *c = turn->context->cluster;
	if (status == -ENOENT) {
		turn_deny(turn, -ENODATA, "it has said nothing on %s yet: %s",
		    node_name(c, turn->context->id), err->text);
		return;
	}
	if (status) {
		turn_refuse(turn, status, err);
		return;
	}
	turn_answer(turn, json_pack("{s:o, s:o, s:b, s:o}", "node",
			      node_name_json(c, turn->context->id), "newest", json_u64(sight->mark),
			      "more", sight->more, "lines", json_lines(&sight->lines)));
}

static void console_here(struct operation_turn *turn, const struct vm *vm)
{
	const struct context *context = turn->context;
	const struct config_configuration *c =
	    context->config ? &context->config->system.configuration : NULL;
	if (!context->console || !c) {
		turn_deny(turn, -ENODATA, "no console is kept here");
		return;
	}
	struct err err;
	unsigned most = (unsigned)c->logging.console_log_lines;
	uint64_t last = argument_number(turn->arguments, "last");
	if (!most) {
		turn_deny(turn, -ENODATA, "consoles are not read on %s: its console_log_lines is 0",
		    node_name(context->cluster, context->id));
		return;
	}
	struct console_query query = {
	    .from = argument_given(turn->arguments, "after") ? CONSOLE_FOLLOW : CONSOLE_LAST,
	    .mark = argument_number(turn->arguments, "after"),
	    .lines_max = last && last < most ? (unsigned)last : most,
	};
	int result =
	    domain_console(&vm->xml, c->directories.console_log_directory, query.path, &err);
	if (result)
		turn_refuse(turn, result, &err);
	else
		context->console(context->data, &query, seen, turn);
}

/* Which node is said to the one that is asked: its own value may be older than ours. */
static void console_there(struct operation_turn *turn, const struct node *node)
{
	const struct context *context = turn->context;
	if (!context->ask || !strncmp(turn->caller, "node ", 5)) {
		turn_deny(turn, -EREMOTE, "the console is on %s: ask there", node->name);
		return;
	}
	if (!turn_reaches(turn, node))
		return;
	struct operation_call call = {.operation = turn->operation,
	    .arguments = json_copy(turn->arguments),
	    .answer_ms = CONSOLE_ANSWER_MS};
	json_object_set_new(call.arguments, "node", json_text(node->name));
	context->ask(context->data, node->id, &call, turn_forwarded, turn);
	json_decref(call.arguments);
}

void operation_vm_console(struct operation_turn *turn)
{
	const struct vm *vm = turn_vm(turn);
	const struct node *node = vm ? console_node(turn, vm) : NULL;
	if (!node)
		return;
	if (node->id == turn->context->id)
		console_here(turn, vm);
	else
		console_there(turn, node);
}
