#include "node/vm/execute.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/worker/collector.h"
#include "node/worker/effective.h"
#include "node/worker/hypervisor_client.h"
#include "node/log/log.h"
#include "node/vm/movers.h"
#include "node/vm/starting.h"
#include "raft/clock.h"

/* A hypervisor that starts a large guest, or one with a slow disk, is given that long. */
#define START_DEADLINE_MS 60000
#define STOP_DEADLINE_MS  30000
#define SOON_DEADLINE_MS  10000
/* A person waits for it. */
#define VALIDATE_DEADLINE_MS 5000
/* As long as it takes: one that does not go on is noticed otherwise (plan_is_stuck). */
#define MIGRATE_DEADLINE_MS (24 * 3600 * 1000)

struct execute {
	struct execute_options options;
	const char *directory; /* for starting.h */
	struct movers *movers;
	struct freeing *freeing; /* NULL: this node has no part in the pool */
	unsigned under_way; /* actions, without those that wait for the pool */
	struct collector_watch look;
	uint64_t look_number; /* of the one that is asked for */
	void (*closed)(void *data);
	void *closed_data;
};

struct begun {
	struct execute *execute;
	struct action action;
};

static const struct deed {
	const char *name; /* for people */
	enum hypervisor_op op;
	unsigned deadline_ms;
} deeds[] = {
    [ACTION_START] = {"start", HYPERVISOR_start, START_DEADLINE_MS},
    [ACTION_SHUTDOWN] = {"shut down", HYPERVISOR_shutdown, STOP_DEADLINE_MS},
    [ACTION_STOP] = {"stop", HYPERVISOR_stop, STOP_DEADLINE_MS},
    [ACTION_MIGRATE] = {"migrate", HYPERVISOR_migrate, MIGRATE_DEADLINE_MS},
    [ACTION_ABORT] = {"abort its migration", HYPERVISOR_abort, SOON_DEADLINE_MS},
    [ACTION_RESUME] = {"resume", HYPERVISOR_resume, SOON_DEADLINE_MS},
};

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
	struct execute *e = must_alloc(sizeof(*e));
	e->options = *options;
	e->movers = movers_new(options->loop, options->config);
	struct freeing_options freeing = {
	    .loop = options->loop,
	    .config = options->config,
	    .agent = options->agent,
	    .cluster = options->cluster,
	    .hypervisor = movers_looks(e->movers),
	    .list_deadline_ms = movers_alone(e->movers) ? START_DEADLINE_MS : SOON_DEADLINE_MS,
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

static void saw(struct execute *e, const struct hypervisor_listing *listing)
{
	struct seen_vm *seen = must_alloc(listing->n * sizeof(*seen));
	for (unsigned i = 0; i < listing->n; i++) {
		memcpy(seen[i].uuid, listing->vms[i].uuid, sizeof(seen[i].uuid));
		seen[i].observed = listing->vms[i].observed;
		seen[i].job = listing->vms[i].job;
	}
	agent_saw_vms(e->options.agent, e->look_number, seen, listing->n);
	free(seen);
}

static void looked(void *data, const struct hypervisor_listing *listing)
{
	struct execute *e = data;
	if (e->closed)
		return;
	struct worker_status worker = hypervisor_client_status(movers_looks(e->movers));
	struct collector_answer answer = {
	    .status = listing->status, .text = listing->err->text, .kills = worker.kills};
	if (listing->status)
		agent_saw_nothing(e->options.agent);
	else
		saw(e, listing);
	collector_end(&e->look, &answer, clock_ms());
	e->options.changed(e->options.data);
}

static void acted(void *data, int status, const struct err *err)
{
	struct begun *begun = data;
	struct execute *e = begun->execute;
	const struct vm *vm = cluster_vm(e->options.cluster, begun->action.vm);
	const char *name = vm ? vm->name : begun->action.uuid;
	const char *what = deeds[begun->action.type].name;
	e->under_way--;
	if (status)
		log_error("VM %s: %s: %s", name, what, err->text);
	else
		log_ok("VM %s: %s: done", name, what);
	uint64_t now = clock_ms();
	agent_action_done(e->options.agent, &begun->action, status, status ? err->text : "", now);
	if (action_wakes(begun->action.type) &&
	    !plan_doubts(&e->options.agent->local, begun->action.uuid, now))
		starting_clear(e->directory, begun->action.uuid);
	free(begun);
	/* Look soon: what was asked for may have come about otherwise. */
	collector_hasten(&e->look);
	e->options.changed(e->options.data);
}

/* Where the VM is to go. */
static struct hypervisor_migration migration_of(
    const struct execute *e, const struct action *action)
{
	const struct config_migration *config = &e->options.config->system.migration;
	const struct node *target = cluster_node(e->options.cluster, action->target);
	return (struct hypervisor_migration){
	    .uuid = action->uuid,
	    .uri = target ? target->migration_uri : "",
	    .downtime_ms_max = config->downtime_ms,
	    .rate_mib_max = config->rate_mib,
	    .tls = config->tls,
	};
}

/* For a daemon that comes after this one (starting.h). */
static int note(const struct execute *e, const struct action *action, struct err *err)
{
	int result = starting_note(e->directory, action->uuid);
	return err_set(err, result, "%s: %s", e->directory, strerror(-result));
}

static int order_start(struct begun *begun, struct hypervisor_order *order, struct err *err)
{
	struct execute *e = begun->execute;
	const struct config_directories *directories =
	    &e->options.config->system.configuration.directories;
	const struct vm *vm = cluster_vm(e->options.cluster, begun->action.vm);
	struct buffer xml = {0};
	int result = domain_effective(&vm->xml, directories->console_log_directory, &xml, err);
	if (!result)
		result = note(e, &begun->action, err);
	buffer_append_u8(&xml, 0);
	order->xml = (const char *)xml.data;
	if (!result) {
		result = movers_order(e->movers, &begun->action, order);
		err_set(err, 0, "the hypervisor's worker: %s", strerror(-result));
	}
	buffer_close(&xml);
	return result;
}

/* 0: acted() is called. */
static int order(struct begun *begun, struct err *err)
{
	struct execute *e = begun->execute;
	const struct action *action = &begun->action;
	const struct deed *deed = &deeds[action->type];
	struct hypervisor_migration migration = migration_of(e, action);
	struct hypervisor_order order = {
	    .op = deed->op,
	    .uuid = action->uuid,
	    .deadline_ms = deed->deadline_ms,
	    .done = acted,
	    .data = begun,
	};
	if (action->type == ACTION_START)
		return order_start(begun, &order, err);
	if (action->type == ACTION_MIGRATE && !*migration.uri)
		return err_set(err, -EOPNOTSUPP,
		    "the target says no address at which its hypervisor takes VMs");
	if (action->type == ACTION_MIGRATE)
		order.migration = &migration;
	int result = action_wakes(action->type) ? note(e, action, err) : 0;
	if (result)
		return result;
	result = movers_order(e->movers, action, &order);
	return err_set(err, result, "the hypervisor's worker: %s", strerror(-result));
}

void execute_begin(struct execute *e, const struct action *action)
{
	if (e->freeing && freeing_holds(e->freeing, action))
		return;
	const struct vm *vm = cluster_vm(e->options.cluster, action->vm);
	struct begun *begun = must_alloc(sizeof(*begun));
	begun->execute = e;
	begun->action = *action;
	log_info("VM %s: %s", vm->name, deeds[action->type].name);
	e->under_way++;
	struct err err;
	int result = order(begun, &err);
	if (result)
		acted(begun, result, &err);
}

void execute_flush(struct execute *e, const struct execute_flush *flush)
{
	if (e->freeing)
		freeing_flush(e->freeing, flush);
	else
		freeing_refuse(flush, -EOPNOTSUPP, "this node has no part in the disk pool");
}

struct validation {
	struct execute *execute;
	context_checked done;
	void *data;
};

static void validated(void *data, int status, const struct err *err)
{
	struct validation v = *(struct validation *)data;
	struct err end;
	free(data);
	if (v.execute->closed)
		/* Whoever would go on finds nothing there to go on with. */
		v.done(v.data, err_set(&end, -ESHUTDOWN, "the daemon of this node ends"), &end);
	else
		v.done(v.data, status, err);
}

void execute_validate(struct execute *e, const char *xml, context_checked done, void *data)
{
	struct validation *v = must_alloc(sizeof(*v));
	*v = (struct validation){.execute = e, .done = done, .data = data};
	struct hypervisor_order order = {
	    .op = HYPERVISOR_validate,
	    .xml = xml,
	    .deadline_ms = VALIDATE_DEADLINE_MS,
	    .done = validated,
	    .data = v,
	};
	struct err err;
	int result = e->closed ? -ESHUTDOWN : movers_question(e->movers, &order);
	if (!result)
		return;
	err_set(&err, 0, "its worker is at something else (%s)", strerror(-result));
	validated(v, result, &err);
}

static void look(struct execute *e, uint64_t now)
{
	struct hypervisor_client *client = movers_looks(e->movers);
	struct collector_answer refused = {.kills = hypervisor_client_status(client).kills};
	unsigned deadline_ms = collector_begin(&e->look, now);
	e->look_number = agent_looks(e->options.agent);
	refused.status = hypervisor_list(client, deadline_ms, looked, e);
	refused.text = strerror(-refused.status);
	if (!refused.status)
		return;
	agent_saw_nothing(e->options.agent);
	collector_end(&e->look, &refused, now);
}

void execute_look(struct execute *e)
{
	collector_hasten(&e->look);
}

uint64_t execute_turn(struct execute *e, uint64_t now)
{
	uint64_t next_ms = movers_turn(e->movers, &e->options.agent->local, now);
	/* One that starts a large guest is asked when it is done; that is not well for ever. */
	if (e->under_way && movers_alone(e->movers))
		return collector_held_up(&e->look, "waits for a VM's start or stop", now);
	if (now >= collector_due_ms(&e->look))
		look(e, now);
	uint64_t look_ms = collector_due_ms(&e->look);
	return look_ms < next_ms ? look_ms : next_ms;
}

static void closed(void *data)
{
	struct execute *e = data;
	e->closed(e->closed_data);
	free(e);
}

static void movers_closed(void *data)
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
	movers_close(e->movers, movers_closed, e);
}
