/* Where VMs would go, and whether there is room for them when a node is lost. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/place.h"
#include "fsm/tolerance.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"

static json_t *steps_json(void)
{
	json_t *steps = json_array();
#define PLACE_STEP(number, NAME, name, text)                                                       \
	json_array_append_new(                                                                     \
	    steps, json_pack("{s:i, s:s, s:s}", "step", number, "rule", name, "leaves", text));
#include "fsm/place.def"
	return steps;
}

/* One node's row: a place_listener. */
static void row(void *rows, const struct place_finding *finding)
{
	bool passed = finding->step == PLACE_BEST;
	json_array_append_new(
	    rows, json_pack("{s:o, s:s, s:i, s:s, s:o, s:o}", "node",
		      json_text(finding->node->name), "result", passed ? "passed" : "fell", "step",
		      (int)finding->step, "rule", place_step_name(finding->step), "score",
		      passed ? json_integer(finding->score) : json_null(), "reason",
		      json_text(finding->reason)));
}

/* Of the rows, the one of this node; NULL: there is none. */
static json_t *row_of(json_t *rows, const char *node)
{
	size_t i;
	json_t *one;
	json_array_foreach(rows, i, one)
	{
		if (!strcmp(json_string_value(json_object_get(one, "node")), node))
			return one;
	}
	return NULL;
}

void operation_vm_place(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	struct memory memories[CLUSTER_NODES_MAX];
	const struct vm *vm = turn_vm(turn);
	if (!vm)
		return;
	json_t *json = json_object(), *rows = json_array();
	struct place_listener listener = {row, rows};
	memory_of_all(c, memories);
	uint32_t node = place_explain(c, vm, memories, &listener);
	const char *selector = state_name(selector_names, vm->selector);
	json_t *best = node ? row_of(rows, node_name(c, node)) : NULL;
	json_object_set_new(json, "vm", json_text(vm->name));
	json_object_set_new(json, "node", node_name_json(c, node));
	json_object_set_new(json, "selector", json_string(selector));
	if (best) {
		json_object_set_new(best, "result", json_string("chosen"));
		json_object_set_new(json, "message",
		    json_sprintf("%s would go to %s: %s (%s)", vm->name, node_name(c, node),
			json_string_value(json_object_get(best, "reason")), selector));
	} else {
		json_object_set_new(json, "message",
		    json_sprintf("no %snode has room for %s", vm->node ? "other " : "", vm->name));
	}
	if (argument_given(turn->arguments, "explain")) {
		json_object_set_new(json, "schema", json_string("vm-place-explained/1"));
		json_object_set(json, "nodes", rows);
		json_object_set_new(json, "steps", steps_json());
	}
	json_decref(rows);
	turn_answer(turn, json);
}

static json_t *loss_json(const struct cluster *c, const struct tolerance_loss *loss)
{
	char text[TOLERANCE_TEXT_MAX];
	json_t *vms = json_array();
	for (uint32_t i = 0; i < loss->count; i++)
		json_array_append_new(vms, json_text(loss->vms[i]->name));
	tolerance_text(c, loss, text);
	return json_pack("{s:o, s:o, s:o, s:o}", "node", node_name_json(c, loss->node), "vms", vms,
	    "memory_mib", json_u64(loss->memory_mib), "message", json_text(text));
}

json_t *tolerance_json(const struct cluster *c)
{
	struct tolerance t;
	json_t *losses = json_array();
	char why[TOLERANCE_TEXT_MAX] = "";
	bool possible = tolerance_is_possible(c);
	tolerance_open(c, &t);
	const struct tolerance_loss *worst = tolerance_worst(&t);
	if (!possible)
		snprintf(why, sizeof(why), "fewer than two nodes run VMs");
	else if (worst)
		tolerance_text(c, worst, why);
	for (uint32_t i = 0; i < t.count; i++)
		json_array_append_new(losses, loss_json(c, &t.losses[i]));
	json_t *json = json_pack("{s:i, s:o, s:o}", "host_failures", possible && !worst, "message",
	    json_text(why), "losses", losses);
	tolerance_close(&t);
	return json;
}

json_t *overprovisioned_json(const struct cluster *c)
{
	struct memory memories[CLUSTER_NODES_MAX];
	const struct memory *m = memories;
	json_t *json = json_array();
	memory_of_all(c, memories);
	cluster_each(c->nodes, struct node, node)
	{
		uint64_t mib = memory_overprovisioned(m++);
		if (mib)
			json_array_append_new(
			    json, json_pack("{s:o, s:o}", "node", json_text(node->name),
				      "memory_mib", json_u64(mib)));
	}
	return json;
}

static void warn(struct operation_turn *turn, const struct err *err)
{
	turn_warn(turn, "one host failure is no longer tolerated: %s", err->text);
}

void turn_warn_start(struct operation_turn *turn, const struct vm *vm)
{
	struct err err;
	if (tolerance_check_start(turn->context->cluster, vm, &err))
		warn(turn, &err);
}

void turn_warn_place(struct operation_turn *turn, const struct vm *vm, uint32_t node)
{
	struct err err;
	struct memory memories[CLUSTER_NODES_MAX];
	const struct cluster *c = turn->context->cluster;
	struct vm placed = *vm;
	memory_of_all(c, memories);
	placed.node = node ? node : place_choose(c, vm, memories);
	placed.target = 0;
	if (tolerance_check(c, &placed, &err))
		warn(turn, &err);
}
