#include "node/vm/execute.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/worker/collector.h"
#include "node/worker/hypervisor_client.h"
#include "node/log/log.h"
#include "node/vm/starting.h"
#include "raft/clock.h"

/* A guest of many GiB takes long to be set up; nothing waits for it meanwhile. */
#define START_DEADLINE_MS 60000
#define STOP_DEADLINE_MS  30000

struct execute {
	struct execute_options options;
	const char *directory; /* for starting.h */
	struct hypervisor_client *client;
	struct freeing *freeing; /* NULL: this node has no part in the pool */
	unsigned under_way; /* actions, without those that wait for the pool */
	struct collector_watch look;
	void (*closed)(void *data);
	void *closed_data;
};

struct begun {
	struct execute *execute;
	struct action action;
};

static const char *const action_names[] = {
    [ACTION_START] = "start", [ACTION_SHUTDOWN] = "shut down", [ACTION_STOP] = "stop"};

/* Every change of how it answers is the collector's to tell, what came of an action acted()'s. */
static void told(void *data, enum worker_event event, const char *text)
{
	log_debug("hypervisor worker", "%s", text);
}

static void left_open(void *data, const char *uuid)
{
	struct execute *e = data;
	log_warning("VM %s: an earlier daemon was about to start it: it may still come up", uuid);
	plan_doubt(&e->options.agent->local, uuid, clock_ms());
}

static void hasten(void *data)
{
	struct execute *e = data;
	collector_hasten(&e->look);
}

static void freed(void *data)
{
	struct execute *e = data;
	e->options.changed(e->options.data);
}

int execute_open(struct execute **execute, const struct execute_options *options, struct err *err)
{
	const struct config_hypervisor_port *port = &options->config->hypervisor;
	struct execute *e = must_alloc(sizeof(*e));
	e->options = *options;
	struct hypervisor_client_options client = {
	    .loop = options->loop,
	    .driver = config_hypervisor_names[port->driver],
	    .uri = port->uri,
	    .told = told,
	    .data = e,
	};
	e->client = hypervisor_client_new(&client);
	if (!e->client) {
		free(e);
		return err_set(err, -ENOMEM, "the hypervisor's worker cannot be started");
	}
	struct freeing_options freeing = {
	    .loop = options->loop,
	    .config = options->config,
	    .agent = options->agent,
	    .cluster = options->cluster,
	    .hypervisor = e->client,
	    .list_deadline_ms = START_DEADLINE_MS,
	    .changed = freed,
	    .hasten = hasten,
	    .data = e,
	};
	if (options->config->functions.enable_storage)
		e->freeing = freeing_new(&freeing);
	struct collector_options collector = {
	    .name = "hypervisor", .agent = options->agent, .every_ms = options->look_every_ms};
	collector_open(&e->look, &collector);
	e->directory = options->config->system.configuration.directories.dynamic_directory;
	starting_each(e->directory, left_open, e);
	*execute = e;
	return 0;
}

static void saw(struct agent *agent, const struct hypervisor_listing *listing)
{
	struct seen_vm *seen = must_alloc(listing->n * sizeof(*seen));
	for (unsigned i = 0; i < listing->n; i++) {
		memcpy(seen[i].uuid, listing->vms[i].uuid, sizeof(seen[i].uuid));
		seen[i].observed = listing->vms[i].observed;
	}
	agent_saw_vms(agent, seen, listing->n);
	free(seen);
}

static void looked(void *data, const struct hypervisor_listing *listing)
{
	struct execute *e = data;
	if (e->closed)
		return;
	struct worker_status worker = hypervisor_client_status(e->client);
	struct collector_answer answer = {
	    .status = listing->status, .text = listing->err->text, .kills = worker.kills};
	if (listing->status)
		agent_saw_nothing(e->options.agent);
	else
		saw(e->options.agent, listing);
	collector_end(&e->look, &answer, clock_ms());
	e->options.changed(e->options.data);
}

static void acted(void *data, int status, const struct err *err)
{
	struct begun *begun = data;
	struct execute *e = begun->execute;
	const struct vm *vm = cluster_vm(e->options.cluster, begun->action.vm);
	const char *name = vm ? vm->name : begun->action.uuid;
	const char *what = action_names[begun->action.type];
	e->under_way--;
	if (status)
		log_error("VM %s: %s: %s", name, what, err->text);
	else
		log_ok("VM %s: %s: done", name, what);
	uint64_t now = clock_ms();
	agent_action_done(e->options.agent, &begun->action, status, status ? err->text : "", now);
	if (begun->action.type == ACTION_START &&
	    !plan_doubts(&e->options.agent->local, begun->action.uuid, now))
		starting_clear(e->directory, begun->action.uuid);
	free(begun);
	/* Look soon: what was asked for may have come about otherwise. */
	collector_hasten(&e->look);
	e->options.changed(e->options.data);
}

static enum hypervisor_op order_of(enum action_type type)
{
	switch (type) {
	case ACTION_START:
		return HYPERVISOR_start;
	case ACTION_SHUTDOWN:
		return HYPERVISOR_shutdown;
	case ACTION_STOP:
		return HYPERVISOR_stop;
	}
	return HYPERVISOR_stop;
}

void execute_begin(struct execute *e, const struct action *action)
{
	if (e->freeing && freeing_holds(e->freeing, action))
		return;
	const struct vm *vm = cluster_vm(e->options.cluster, action->vm);
	struct begun *begun = must_alloc(sizeof(*begun));
	begun->execute = e;
	begun->action = *action;
	char *xml = must_alloc(vm->xml.size + 1);
	memcpy(xml, vm->xml.data, vm->xml.size);
	log_info("VM %s: %s", vm->name, action_names[action->type]);
	struct hypervisor_order order = {
	    .op = order_of(action->type),
	    .uuid = action->uuid,
	    .xml = action->type == ACTION_START ? xml : NULL,
	    .deadline_ms = action->type == ACTION_START ? START_DEADLINE_MS : STOP_DEADLINE_MS,
	    .done = acted,
	    .data = begun,
	};
	e->under_way++;
	int result = 0;
	if (action->type == ACTION_START)
		result = starting_note(e->directory, action->uuid);
	if (!result)
		result = hypervisor_order(e->client, &order);
	free(xml);
	if (result) {
		struct err err;
		err_set(&err, result, "%s", strerror(-result));
		acted(begun, result, &err);
	}
}

void execute_flush(struct execute *e, const struct execute_flush *flush)
{
	if (e->freeing)
		freeing_flush(e->freeing, flush);
	else
		freeing_refuse(flush, -EOPNOTSUPP, "this node has no part in the disk pool");
}

static void look(struct execute *e, uint64_t now)
{
	struct collector_answer refused = {.kills = hypervisor_client_status(e->client).kills};
	unsigned deadline_ms = collector_begin(&e->look, now);
	refused.status = hypervisor_list(e->client, deadline_ms, looked, e);
	refused.text = strerror(-refused.status);
	if (!refused.status)
		return;
	agent_saw_nothing(e->options.agent);
	collector_end(&e->look, &refused, now);
}

uint64_t execute_turn(struct execute *e, uint64_t now)
{
	/* One that starts a large guest is asked when it is done; that is not well for ever. */
	if (e->under_way)
		return collector_held_up(&e->look, "waits for a VM's start or stop", now);
	if (now >= collector_due_ms(&e->look))
		look(e, now);
	return collector_due_ms(&e->look);
}

static void closed(void *data)
{
	struct execute *e = data;
	e->closed(e->closed_data);
	free(e);
}

static void client_closed(void *data)
{
	struct execute *e = data;
	if (e->freeing)
		freeing_close(e->freeing, closed, e);
	else
		closed(e);
}

void execute_close(struct execute *e, void (*done)(void *data), void *data)
{
	e->closed = done;
	e->closed_data = data;
	if (e->freeing)
		freeing_cancel(e->freeing);
	hypervisor_client_close(e->client, client_closed, e);
}
