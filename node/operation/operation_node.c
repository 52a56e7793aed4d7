#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsm/flush.h"
#include "fsm/memory.h"
#include "fsm/node.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"
#include "node/operation/vm_json.h"

json_t *collectors_json(const struct cluster *c, const struct node *node)
{
	const struct keepalive *k = node_keepalive(node);
	json_t *json = json_object();
	for (uint32_t i = 0; k && i < k->collectors.count; i++) {
		const struct collector *collector = &k->collectors.items[i];
		uint64_t age_ms = node_collector_age_ms(c, node, collector);
		json_t *one = json_pack("{s:o, s:s, s:I}", "age_ms",
		    age_ms == NODE_AGE_NEVER ? json_null() : json_u64(age_ms), "state",
		    state_name(collector_state_names, collector->state), "kills",
		    (json_int_t)collector->kills);
		if (*collector->message)
			json_object_set_new(one, "message", json_text(collector->message));
		json_object_set_new(json, collector->name, one);
	}
	return json;
}

static json_t *memory_json(const struct memory *m)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)m->total_mib,
	    "used", (json_int_t)m->used_mib, "free", (json_int_t)m->free_mib, "allocated",
	    (json_int_t)m->allocated_mib, "provisioned", (json_int_t)m->provisioned_mib,
	    "promisable", (json_int_t)memory_promisable(m), "overprovisioned",
	    (json_int_t)memory_overprovisioned(m));
}

static json_t *node_json(const struct cluster *c, const struct node *node)
{
	const struct keepalive *k = node_keepalive(node);
	struct memory m;
	memory_of(c, node, &m);
	json_t *json = json_pack("{s:o, s:I, s:s, s:s, s:s, s:s}", "name", json_text(node->name),
	    "id", (json_int_t)node->id, "mode", state_name(node_mode_names, node->mode),
	    "daemon_state", state_name(daemon_state_names, node->daemon_state), "coordinator_state",
	    state_name(coordinator_state_names, node->coordinator_state), "domain_state",
	    state_name(domain_state_names, node->domain_state));
	json_object_set_new(json, "domain_reason", json_text(node->domain_reason));
	json_object_set_new(
	    json, "keepalive_age_ms", k ? json_u64(node_silence_ms(c, node)) : json_null());
	json_object_set_new(json, "keepalive_late_ms", k ? json_integer(k->late_ms) : json_null());
	json_object_set_new(json, "load", json_real(k ? k->load_milli / 1000.0 : 0.0));
	json_object_set_new(json, "vcpus",
	    json_pack("{s:I, s:I}", "total", (json_int_t)m.vcpus_total, "allocated",
		(json_int_t)m.vcpus_allocated));
	json_object_set_new(json, "memory", memory_json(&m));
	json_object_set_new(json, "vms_running", json_integer(m.vms_running));
	json_object_set_new(json, "version", json_text(node->version));
	json_object_set_new(json, "collectors", collectors_json(c, node));
	return json;
}

void operation_node_list(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	const char *state = argument_text(turn->arguments, "state");
	json_t *list = json_array();
	cluster_each(c->nodes, struct node, node)
	{
		const char *its = state_name(daemon_state_names, node->daemon_state);
		if (!state || !strcmp(state, its))
			json_array_append_new(list, node_json(c, node));
	}
	turn_answer(turn, list);
}

static json_t *osds_json(const struct node *node)
{
	const struct keepalive *k = node_keepalive(node);
	json_t *json = json_array();
	for (uint32_t i = 0; k && i < k->osds.count; i++)
		json_array_append_new(json, json_integer(k->osds.items[i].id));
	return json;
}

/* Its own, as it said them at its start: "10.0.0.1 fd00::1". */
static json_t *addresses_json(const struct node *node)
{
	json_t *json = json_array();
	const char *at = node->addresses;
	while (*at) {
		size_t size = strcspn(at, " ");
		json_array_append_new(json, json_sprintf("%.*s", (int)size, at));
		at += size;
		at += *at == ' ';
	}
	return json;
}

void operation_node_info(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	const struct node *node = turn_node(turn, "node");
	if (!node)
		return;
	json_t *json = node_json(c, node);
	json_object_set_new(json, "address", json_text(node->address));
	json_object_set_new(json, "kernel", json_text(node->kernel));
	json_object_set_new(json, "arch", json_text(node->arch));
	json_object_set_new(json, "runs_vms", json_boolean(node->hypervisor));
	json_object_set_new(json, "schema_min", json_integer(node->schema_min));
	json_object_set_new(json, "schema_max", json_integer(node->schema_max));
	json_t *vms = json_array();
	cluster_each(c->vms, struct vm, vm) if (vm->node == node->id)
	    json_array_append_new(vms, json_text(vm->name));
	json_object_set_new(json, "vms", vms);
	json_object_set_new(json, "osds", osds_json(node));
	json_object_set_new(json, "addresses", addresses_json(node));
	turn_answer(turn, json);
}

static void want_primary(struct operation_turn *turn, const struct node *node)
{
	struct command command = {.number = COMMAND_primary_want};
	command.primary_want.node = node->id;
	turn_propose(turn, &command);
}

/* A coordinator for which there is no place among the voters. */
static bool stands_by(const struct context *context, const struct node *node)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	const struct replica *r = context->replica(context->data);
	unsigned n = r ? replica_members(r, members, REPLICA_MEMBERS_MAX) : 0;
	for (unsigned i = 0; i < n; i++)
		if (members[i].id == node->id)
			return node->mode == NODE_COORDINATOR && members[i].role != MEMBER_VOTER;
	return false;
}

void operation_node_primary(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	const struct node *node = turn_node(turn, "node");
	if (!node)
		return;
	if (stands_by(turn->context, node)) {
		turn_deny(turn, -EBUSY,
		    "%s stands by and cannot lead: there are voters enough. pvc cluster member "
		    "replace NODE %s gives it the place of one",
		    node->name, node->name);
		return;
	}
	if (c->primary.node == node->id && c->primary.state == COORDINATOR_PRIMARY)
		turn_say(turn, "%s is the primary already", node->name);
	else
		turn_say(turn, "%s is to be the primary", node->name);
	want_primary(turn, node);
}

/* Who is to follow: the coordinator that was heard last; ties go to the lowest id. */
static const struct node *successor(const struct context *context, const struct node *old)
{
	const struct cluster *c = context->cluster;
	const struct node *best = NULL;
	cluster_each(c->nodes, struct node, node)
	{
		if (node == old || node->mode != NODE_COORDINATOR ||
		    node->daemon_state != DAEMON_RUN || stands_by(context, node))
			continue;
		if (!best || node_silence_ms(c, node) < node_silence_ms(c, best))
			best = node;
	}
	return best;
}

void operation_node_secondary(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	const struct node *node = turn_node(turn, "node");
	if (!node)
		return;
	if (c->primary.node != node->id) {
		turn_deny(turn, -EINVAL, "%s is not the primary: %s is", node->name,
		    node_name(c, c->primary.node));
		return;
	}
	const struct node *next = successor(turn->context, node);
	if (!next) {
		turn_deny(turn, -EHOSTDOWN, "no other coordinator runs");
		return;
	}
	turn_say(turn, "%s is to be the primary instead of %s", next->name, node->name);
	want_primary(turn, next);
}

static void want_domain(
    struct operation_turn *turn, const struct node *node, enum domain_state state)
{
	struct command command = {.number = COMMAND_node_domain};
	command.node_domain.node = node->id;
	command.node_domain.domain = state;
	command.node_domain.shutdown =
	    state == DOMAIN_FLUSH && !argument_given(turn->arguments, "no_shutdown");
	turn_propose(turn, &command);
}

void operation_node_flush(struct operation_turn *turn)
{
	const struct node *node = turn_node(turn, "node");
	if (!node)
		return;
	turn_say(turn, "%s is to be left by its VMs", node->name);
	want_domain(turn, node, DOMAIN_FLUSH);
}

void operation_node_ready(struct operation_turn *turn)
{
	const struct node *node = turn_node(turn, "node");
	if (!node)
		return;
	turn_say(turn, "%s is to have VMs again", node->name);
	want_domain(turn, node, DOMAIN_READY);
}

/* Only the node itself has its lines. */
void operation_node_log(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	const struct node *node = turn_node(turn, "node");
	if (!node)
		return;
	if (node->id != context->id) {
		turn_ask(turn, node, turn->arguments);
		return;
	}
	if (!context->lines) {
		turn_deny(turn, -ENODATA, "%s keeps no log here", node->name);
		return;
	}
	struct buffer text = {0};
	uint64_t last = argument_number(turn->arguments, "last");
	uint64_t newest = context->lines(context->data, argument_number(turn->arguments, "after"),
	    last < UINT32_MAX ? (unsigned)last : UINT32_MAX, &text);
	json_t *lines = json_lines(&text);
	buffer_close(&text);
	turn_answer(turn, json_pack("{s:o, s:o}", "newest", json_u64(newest), "lines", lines));
}

/* What everybody who waits for a primary sees. */
static void progress_takeover(const struct cluster *c, struct operation_progress *p)
{
	progress_set(p, PROGRESS_PENDING, "%s is in %s%s%s", node_name(c, c->primary.node),
	    state_name(coordinator_state_names, c->primary.state), *c->primary.step ? ": " : "",
	    c->primary.step);
}

void progress_node_primary(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct node *node = argument_node(context, arguments, NULL);
	if (!node)
		progress_set(p, PROGRESS_FAILED, "the node has left the cluster");
	else if (c->primary.node == node->id && c->primary.state == COORDINATOR_PRIMARY)
		progress_set(p, PROGRESS_DONE, "%s is the primary", node->name);
	else if (c->primary.node == node->id)
		progress_takeover(c, p);
	else if (c->primary.wanted == node->id)
		progress_set(p, PROGRESS_PENDING, "%s holds the role until leadership has moved",
		    node_name(c, c->primary.node));
	else
		progress_set(p, PROGRESS_FAILED,
		    "leadership did not move to %s in time; %s is the primary", node->name,
		    node_name(c, c->primary.node));
}

void progress_node_secondary(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct node *node = argument_node(context, arguments, NULL);
	if (!node)
		progress_set(p, PROGRESS_FAILED, "the node has left the cluster");
	else if (c->primary.node != node->id && c->primary.state == COORDINATOR_PRIMARY)
		progress_set(p, PROGRESS_DONE, "%s is the primary", node_name(c, c->primary.node));
	else if (c->primary.node != node->id)
		progress_takeover(c, p);
	else if (c->primary.wanted)
		progress_set(p, PROGRESS_PENDING, "%s holds the role until leadership has moved",
		    node->name);
	else
		progress_set(
		    p, PROGRESS_FAILED, "leadership did not move from %s in time", node->name);
}

/* How many VMs are on their way, and what is in it. */
static void progress_domain(
    const struct cluster *c, const struct node *node, struct operation_progress *p)
{
	unsigned left = flush_left(c, node);
	progress_set(p, PROGRESS_PENDING, "%s is in %s: %u VM%s %s%s%s", node->name,
	    state_name(domain_state_names, node->domain_state), left, left == 1 ? "" : "s",
	    node->domain_state == DOMAIN_FLUSH ? "still there" : "to come back",
	    *node->domain_reason ? "; " : "", node->domain_reason);
}

/* Is any of its VMs on its way, or about to be off? */
static bool is_leaving(const struct cluster *c, const struct node *node)
{
	cluster_each(c->vms, struct vm, vm)
	{
		bool ends = vm->state == VM_SHUTDOWN || vm->state == VM_RESTART;
		if (vm->node == node->id && (vm_moves(vm) || ends))
			return true;
	}
	return false;
}

void progress_node_flush(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct node *node = argument_node(context, arguments, NULL);
	if (!node)
		progress_set(p, PROGRESS_FAILED, "the node has left the cluster");
	else if (node->domain_state == DOMAIN_FLUSHED)
		progress_set(p, PROGRESS_DONE, "%s is flushed: no VM runs there", node->name);
	else if (node->domain_state != DOMAIN_FLUSH)
		progress_set(p, PROGRESS_FAILED, "%s is in %s by now", node->name,
		    state_name(domain_state_names, node->domain_state));
	else if (*node->domain_reason && !is_leaving(c, node))
		/* Nothing is on its way, and nothing will be before somebody makes room. */
		progress_set(
		    p, PROGRESS_FAILED, "%s is not flushed: %s", node->name, node->domain_reason);
	else
		progress_domain(c, node, p);
}

void progress_node_ready(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	const struct cluster *c = context->cluster;
	const struct node *node = argument_node(context, arguments, NULL);
	if (!node)
		progress_set(p, PROGRESS_FAILED, "the node has left the cluster");
	else if (node->domain_state == DOMAIN_READY)
		progress_set(p, PROGRESS_DONE, "%s is ready", node->name);
	else if (node->domain_state != DOMAIN_UNFLUSH)
		progress_set(p, PROGRESS_FAILED, "%s is in %s by now", node->name,
		    state_name(domain_state_names, node->domain_state));
	else
		progress_domain(c, node, p);
}
