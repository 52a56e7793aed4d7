#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"
#include "fsm/node.h"
#include "fsm/schema.h"
#include "node/member/health.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"
#include "raft/configuration.h"

struct health_log *turn_log(const struct context *context)
{
	struct replica *r = context->replica(context->data);
	struct health_log *log = must_alloc(sizeof(*log));
	if (!r) {
		log->closed = context->trouble(context->data);
		return log;
	}
	log->removal = context->removal ? context->removal(context->data) : NULL;
	replica_status(r, &log->status);
	log->members_count = replica_members(r, log->members, REPLICA_MEMBERS_MAX);
	return log;
}

static json_t *log_json(const struct cluster *c, const struct health_log *log)
{
	if (log->closed)
		return json_null();
	const struct replica_status *s = &log->status;
	return json_pack("{s:I, s:o, s:I, s:I, s:i, s:i, s:i}", "term", (json_int_t)s->term,
	    "leader", node_name_json(c, s->leader), "commit_index", (json_int_t)s->commit,
	    "applied_index", (json_int_t)s->applied, "voters", (int)s->voters, "standbys",
	    (int)s->standbys, "failure_tolerance", (int)health_failure_tolerance(c, log));
}

static json_t *primary_json(const struct cluster *c)
{
	const struct primary *p = &c->primary;
	json_t *json = json_object();
	json_object_set_new(json, "node", node_name_json(c, p->node));
	json_object_set_new(json, "epoch", json_u64(p->epoch));
	json_object_set_new(json, "state",
	    p->node ? json_string(state_name(coordinator_state_names, p->state)) : json_null());
	json_object_set_new(json, "since_ms", json_u64(c->settings.time_ms - p->since_ms));
	json_object_set_new(json, "step", json_text(p->step));
	return json;
}

/* {"total": 3, "init": 0, "run": 3, ...} */
static json_t *counts_json(const char *const names[], const unsigned counts[])
{
	json_t *json = json_object();
	json_int_t total = 0;
	for (unsigned i = 0; names[i]; i++)
		total += counts[i];
	json_object_set_new(json, "total", json_integer(total));
	for (unsigned i = 0; names[i]; i++)
		json_object_set_new(json, names[i], json_integer(counts[i]));
	return json;
}

static json_t *nodes_json(const struct cluster *c)
{
	unsigned counts[DAEMON_FENCED + 1] = {0};
	cluster_each(c->nodes, struct node, node) counts[node->daemon_state]++;
	return counts_json(daemon_state_names, counts);
}

static json_t *vms_json(const struct cluster *c)
{
	unsigned counts[VM_PROVISION + 1] = {0}, running = 0;
	cluster_each(c->vms, struct vm, vm)
	{
		counts[vm->state]++;
		running += vm->observed == OBSERVED_RUNNING;
	}
	json_t *json = counts_json(vm_state_names, counts);
	json_object_set_new(json, "running", json_integer(running));
	return json;
}

/* null: nobody has reported Ceph's health yet. */
static json_t *storage_json(const struct cluster *c)
{
	const struct ceph *ceph = &c->ceph;
	if (!(ceph->known & CEPH_STATUS))
		return json_null();
	return json_pack("{s:s, s:o, s:I, s:I, s:I}", "health",
	    state_name(ceph_health_names, ceph->health), "health_message",
	    json_text(ceph->health_message), "osds", (json_int_t)ceph->osds, "osds_up",
	    (json_int_t)ceph->osds_up, "osds_in", (json_int_t)ceph->osds_in);
}

static json_t *messages_json(const struct health *health)
{
	json_t *json = json_array();
	for (unsigned i = 0; i < health->count && i < HEALTH_MESSAGES_MAX; i++)
		json_array_append_new(json, json_text(health->messages[i]));
	if (health->count > HEALTH_MESSAGES_MAX)
		json_array_append_new(
		    json, json_sprintf("and %u more", health->count - HEALTH_MESSAGES_MAX));
	return json;
}

static bool collectors_well(const struct node *node)
{
	const struct keepalive *k = node_keepalive(node);
	for (uint32_t i = 0; k && i < k->collectors.count; i++)
		if (k->collectors.items[i].state != COLLECTOR_OK)
			return false;
	return true;
}

/* By node; of those alone that are not well, unless it is asked for in detail. */
static json_t *all_collectors_json(const struct cluster *c, const json_t *arguments)
{
	json_t *json = json_object();
	cluster_each(c->nodes, struct node, node)
	{
		if (argument_given(arguments, "detail") || !collectors_well(node))
			json_object_set_new(json, node->name, collectors_json(c, node));
	}
	return json;
}

void operation_status(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	const struct cluster *c = context->cluster;
	struct health_log *log = turn_log(context);
	struct health *health = must_alloc(sizeof(*health));
	health_judge(c, log, context->now_ms(context->data), health);
	json_t *json = json_object();
	json_object_set_new(json, "cluster", json_text(c->settings.name));
	json_object_set_new(json, "health", json_string(health_level_names[health->level]));
	json_object_set_new(json, "health_messages", messages_json(health));
	json_object_set_new(json, "maintenance", json_boolean(c->settings.maintenance));
	json_object_set_new(json, "primary", primary_json(c));
	json_object_set_new(json, "raft", log_json(c, log));
	json_object_set_new(json, "schema_version", json_integer(c->settings.schema));
	json_object_set_new(json, "nodes", nodes_json(c));
	json_object_set_new(json, "vms", vms_json(c));
	json_object_set_new(json, "tolerance", tolerance_json(c));
	json_object_set_new(json, "overprovisioned", overprovisioned_json(c));
	json_object_set_new(json, "storage", storage_json(c));
	json_object_set_new(json, "collectors", all_collectors_json(c, turn->arguments));
	free(health);
	free(log);
	turn_answer(turn, json);
}

void operation_version(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	turn_answer(turn, json_pack("{s:s, s:o, s:i, s:i, s:I}", "version", PVC_VERSION, "node",
			      node_name_json(context->cluster, context->id), "schema_min",
			      SCHEMA_MIN, "schema_max", SCHEMA_MAX, "schema_version",
			      (json_int_t)context->cluster->settings.schema));
}

void operation_maintenance_on(struct operation_turn *turn)
{
	struct command command = {.number = COMMAND_maintenance};
	command.maintenance.on = true;
	command.maintenance.valid_ms = argument_duration_ms(turn->arguments, "for");
	const char *text = argument_text(turn->arguments, "for");
	turn_say(turn, "maintenance is on%s%.64s", text ? " for " : "", text ? text : "");
	turn_propose(turn, &command);
}

void operation_maintenance_off(struct operation_turn *turn)
{
	struct command command = {.number = COMMAND_maintenance};
	turn_say(turn, "maintenance is off");
	turn_propose(turn, &command);
}

static int fact_key(struct operation_turn *turn, struct command *command, struct err *err)
{
	const char *key = argument_text(turn->arguments, "key");
	command->number = COMMAND_fact;
	if (strlen(key) >= sizeof(command->fact.key))
		return err_set(
		    err, -EINVAL, "a key has at most %zu letters", sizeof(command->fact.key) - 1);
	memcpy(command->fact.key, key, strlen(key));
	return 0;
}

void operation_fact_set(struct operation_turn *turn)
{
	struct command command = {0};
	struct err err;
	const json_t *value = json_object_get(turn->arguments, "value");
	int status = fact_key(turn, &command, &err);
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	command.fact.value.data = (uint8_t *)(uintptr_t)json_string_value(value);
	command.fact.value.size = (uint32_t)json_string_length(value);
	turn_say(turn, "%s is set", command.fact.key);
	turn_propose(turn, &command);
}

static const struct fact *fact_or_refuse(struct operation_turn *turn)
{
	const char *key = argument_text(turn->arguments, "key");
	const struct fact *fact = cluster_fact(turn->context->cluster, key);
	if (!fact) {
		turn_deny(turn, -ENOENT, "there is no fact %.128s", key);
	}
	return fact;
}

static json_t *fact_json(const struct fact *fact)
{
	return json_pack("{s:o, s:o}", "key", json_text(fact->key), "value",
	    json_bytes(fact->value.data, fact->value.size));
}

void operation_fact_get(struct operation_turn *turn)
{
	const struct fact *fact = fact_or_refuse(turn);
	if (fact)
		turn_answer(turn, fact_json(fact));
}

void operation_fact_list(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	const char *prefix = argument_text(turn->arguments, "prefix");
	size_t size = prefix ? strlen(prefix) : 0;
	json_t *list = json_array();
	cluster_each(c->facts, struct fact, fact) if (!size || !strncmp(fact->key, prefix, size))
	    json_array_append_new(list, fact_json(fact));
	turn_answer(turn, list);
}

void operation_fact_remove(struct operation_turn *turn)
{
	const struct fact *fact = fact_or_refuse(turn);
	if (!fact)
		return;
	struct command command = {.number = COMMAND_fact};
	memcpy(command.fact.key, fact->key, sizeof(fact->key));
	turn_say(turn, "%s is removed", fact->key);
	turn_propose(turn, &command);
}
