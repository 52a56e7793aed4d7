#include "node/vm/execute.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/vm.h"
#include "node/worker/collector.h"
#include "node/worker/domain.h"
#include "node/worker/hypervisor_client.h"
#include "node/log/log.h"
#include "node/vm/sharing.h"
#include "node/vm/starting.h"
#include "raft/clock.h"

/* A guest of many GiB takes long to be set up; nothing waits for it meanwhile. */
#define START_DEADLINE_MS 60000
#define STOP_DEADLINE_MS  30000
/* When the pool is asked for as many VMs as can be. */
#define RELEASE_AGAIN_MS 200
/* A pool that answers again is not waited for longer than that. */
#define POOL_RETRY_MS_MAX 10000
/* What a person wants is not done later than that: they may have helped themselves. */
#define FLUSH_MS_MAX 15000

struct execute {
	struct execute_options options;
	const char *directory; /* for starting.h */
	struct hypervisor_client *client;
	struct locks *locks; /* NULL: this node has no part in the pool */
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
	struct locks_options locks = {
	    .loop = options->loop,
	    .config = options->config,
	    .hypervisor = e->client,
	    .list_deadline_ms = START_DEADLINE_MS,
	};
	if (options->config->functions.enable_storage)
		e->locks = locks_new(&locks);
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

/* Freeing a VM's volumes. */

static void log_freed(const char *name, const struct release_result *result)
{
	for (unsigned i = 0; i < result->count; i++) {
		const struct release_lock *lock = &result->locks[i];
		log_info("VM %s: freed %s, which %s at %s had locked", name, lock->volume,
		    lock->locker.entity, lock->locker.address);
	}
}

static bool is_member(const struct cluster *c, const char *address)
{
	cluster_each(c->nodes, struct node,
	    node) if (lock_judge(address, node->addresses, "") == LOCK_OURS) return true;
	return false;
}

/* Whose the lock is, and what is to be typed. */
static void explain_refusal(const struct cluster *c, const char *name,
    const struct release_result *result, struct err *reason)
{
	const struct release_lock *lock = &result->locks[0];
	const char *force = is_member(c, lock->locker.address) ? "" : " --force";
	char address[VOLUME_CLIENT_MAX];
	lock_address_print(lock->locker.address, address);
	err_set(reason, 0,
	    "volume %s is locked by %s (%s), not by this node: if nobody uses it, pvc vm "
	    "flush-locks %s%s, then start it",
	    lock->volume, address, lock->locker.entity, name, force);
	if (strlen(reason->text) >= sizeof(((struct vm *)NULL)->failed_reason))
		err_set(reason, 0, "volume %.60s is locked by %.45s: pvc vm flush-locks %s%s",
		    lock->volume, address, name, force);
}

static void start_failed(struct begun *begun, const char *name, const struct err *err, uint64_t now)
{
	struct agent *agent = begun->execute->options.agent;
	struct local_vm *known = local_find(&agent->local, begun->action.uuid);
	bool said =
	    known->failures && !strncmp(known->reason, err->text, sizeof(known->reason) - 1);
	if (!said)
		log_error("VM %s: start: %s", name, err->text);
	/* The hypervisor was not asked: nothing can still come about. */
	agent_action_done(agent, &begun->action, -EIO, err->text, now);
	if (known->retry_ms > now + POOL_RETRY_MS_MAX)
		known->retry_ms = now + POOL_RETRY_MS_MAX;
}

static void start_released(struct begun *begun, const struct locks_outcome *outcome)
{
	struct execute *e = begun->execute;
	struct local *local = &e->options.agent->local;
	const struct vm *vm = cluster_vm(e->options.cluster, begun->action.vm);
	const char *name = vm ? vm->name : begun->action.uuid;
	uint64_t now = clock_ms();
	struct err reason;
	if (outcome->status == -EBUSY) {
		/* Then it need not be started. */
		plan_postpone(local, &begun->action, now + RELEASE_AGAIN_MS);
		collector_hasten(&e->look);
	} else if (outcome->status) {
		start_failed(begun, name, outcome->err, now);
	} else if (outcome->result->refused) {
		explain_refusal(e->options.cluster, name, outcome->result, &reason);
		log_error("VM %s: start: %s", name, reason.text);
		plan_refused(local, &begun->action, reason.text);
	} else {
		log_freed(name, outcome->result);
		plan_released(local, &begun->action, now);
	}
}

static void released(void *data, const struct locks_outcome *outcome)
{
	struct begun *begun = data;
	struct execute *e = begun->execute;
	if (!e->closed) {
		start_released(begun, outcome);
		e->options.changed(e->options.data);
	}
	free(begun);
}

/* Addresses of the nodes that had it and are off for certain. */
static void proven_of(const struct cluster *c, const struct vm *vm, struct buffer *text)
{
	for (unsigned i = 0; i < PROVEN_OFF_MAX; i++) {
		const struct node *node = cluster_node(c, vm->proven_off[i]);
		if (node)
			buffer_print(text, "%s ", node->addresses);
	}
	buffer_append_u8(text, 0);
}

/* Of the VMs here, those that hold their volumes or are about to. */
static bool may_run_here(void *data, const struct vm *vm)
{
	const struct local *local = data;
	const struct local_vm *known = local_find(local, vm->uuid);
	uint64_t now = clock_ms();
	if (!known)
		return false;
	bool off = known->observed == OBSERVED_SHUTOFF || known->observed == OBSERVED_CRASHED;
	return !off || plan_is_starting(known, now) || plan_doubts(local, vm->uuid, now);
}

/* Is a volume of it in use by another VM here? Then it is refused. */
static bool start_refused(struct execute *e, const struct action *action, const struct vm *vm,
    const struct volumes *volumes)
{
	struct local *local = &e->options.agent->local;
	const char *volume;
	struct err reason;
	struct sharing sharing = {.cluster = e->options.cluster,
	    .vm = vm,
	    .volumes = volumes,
	    .counts = may_run_here,
	    .data = local};
	const struct vm *other = sharing_find(&sharing, &volume);
	if (!other)
		return false;
	err_set(&reason, 0, "volume %.64s is also one of %s, which runs here: only one can have it",
	    volume, other->name);
	log_error("VM %s: start: %s", vm->name, reason.text);
	plan_refused(local, action, reason.text);
	return true;
}

static void release_begin(
    struct execute *e, const struct action *action, const struct volumes *volumes)
{
	struct local *local = &e->options.agent->local;
	const struct vm *vm = cluster_vm(e->options.cluster, action->vm);
	if (start_refused(e, action, vm, volumes))
		return;
	struct buffer proven = {0};
	struct begun *begun = must_alloc(sizeof(*begun));
	*begun = (struct begun){.execute = e, .action = *action};
	plan_wait(local, action);
	proven_of(e->options.cluster, vm, &proven);
	struct locks_order order = {
	    .uuid = action->uuid,
	    .volumes = volumes,
	    .proven = (const char *)proven.data,
	    .extent = RELEASE_STALE,
	    .done = released,
	    .data = begun,
	};
	if (locks_release(e->locks, &order)) {
		plan_postpone(local, action, clock_ms() + RELEASE_AGAIN_MS);
		free(begun);
		/* Those behind it may not need the pool. */
		e->options.changed(e->options.data);
	}
	buffer_close(&proven);
}

/* Is this a start that has to wait? Then that is seen to. */
static bool start_waits(struct execute *e, const struct action *action)
{
	struct local *local = &e->options.agent->local;
	const struct vm *vm = cluster_vm(e->options.cluster, action->vm);
	const struct local_vm *known = local_find(local, action->uuid);
	uint64_t now = clock_ms();
	struct domain domain;
	if (action->type != ACTION_START || !e->locks || plan_is_released(local, action, now))
		return false;
	if (domain_read((const char *)vm->xml.data, vm->xml.size, &domain, NULL) ||
	    !domain.volumes.count)
		return false;
	/* What may still come up must not lose its volumes when it does. */
	if (plan_doubts(local, action->uuid, now))
		plan_postpone(local, action, known->doubt_until_ms);
	else
		release_begin(e, action, &domain.volumes);
	return true;
}

void execute_begin(struct execute *e, const struct action *action)
{
	if (start_waits(e, action))
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

/* Whoever may have had it: the value says that it is off, everywhere. */
static void members_of(const struct cluster *c, struct buffer *text)
{
	cluster_each(c->nodes, struct node, node) buffer_print(text, "%s ", node->addresses);
	buffer_append_u8(text, 0);
}

static bool may_run(void *data, const struct vm *vm)
{
	return !vm_is_off(data, vm);
}

static void flush_fail(const struct execute_flush *flush, int status, const char *text)
{
	struct err err;
	err_set(&err, 0, "%s", text);
	flush->done(flush->data, &(struct locks_outcome){.status = status, .err = &err});
}

/* The VM's volumes, if they are those of no other one that may run. */
static int flush_read(
    struct execute *e, const struct vm *vm, struct domain *domain, struct err *err)
{
	const char *volume;
	struct sharing sharing = {.cluster = e->options.cluster,
	    .vm = vm,
	    .volumes = &domain->volumes,
	    .counts = may_run,
	    .data = (void *)(uintptr_t)e->options.cluster};
	int result = domain_read((const char *)vm->xml.data, vm->xml.size, domain, err);
	if (result)
		return result;
	const struct vm *other = sharing_find(&sharing, &volume);
	return other ? err_set(err, -EBUSY, "volume %.200s is also one of %s, which is not off",
			   volume, other->name)
		     : 0;
}

struct flushing {
	struct execute *execute;
	struct execute_flush flush; /* but for its VM, which may be gone */
	uint32_t vm;
	uint64_t generation, began_ms;
};

/* Of a VM that was given to another node meanwhile it would take the lock away while it runs. */
static int flush_check(void *data, struct err *err)
{
	const struct flushing *f = data;
	const struct vm *vm = cluster_vm(f->execute->options.cluster, f->vm);
	struct domain domain;
	if (!vm || vm->generation != f->generation)
		return err_set(err, -ESTALE, "something else was wanted of it meanwhile");
	/* Whoever asked was told so, and this node may have hung as well. */
	if (clock_ms() - f->began_ms > FLUSH_MS_MAX)
		return err_set(err, -ETIMEDOUT, "the hypervisor took too long: try again");
	return flush_read(f->execute, vm, &domain, err);
}

static void flushed(void *data, const struct locks_outcome *outcome)
{
	struct flushing *f = data;
	f->flush.done(f->flush.data, outcome);
	free(f);
}

void execute_flush(struct execute *e, const struct execute_flush *flush)
{
	const struct vm *vm = flush->vm;
	struct domain domain;
	struct err err;
	if (!e->locks) {
		flush_fail(flush, -EOPNOTSUPP, "this node has no part in the disk pool");
		return;
	}
	if (plan_doubts(&e->options.agent->local, vm->uuid, clock_ms())) {
		flush_fail(
		    flush, -EBUSY, "a start of it was cut off here, and may still come about");
		return;
	}
	int result = flush_read(e, vm, &domain, &err);
	if (result) {
		flush_fail(flush, result, err.text);
		return;
	}
	struct flushing *flushing = must_alloc(sizeof(*flushing));
	*flushing = (struct flushing){.execute = e,
	    .flush = *flush,
	    .vm = vm->id,
	    .generation = vm->generation,
	    .began_ms = clock_ms()};
	struct buffer members = {0};
	members_of(e->options.cluster, &members);
	struct locks_order order = {
	    .uuid = vm->uuid,
	    .volumes = &domain.volumes,
	    .proven = (const char *)members.data,
	    .extent = flush->extent,
	    .check = flush_check,
	    .done = flushed,
	    .data = flushing,
	};
	result = locks_release(e->locks, &order);
	buffer_close(&members);
	if (!result)
		return;
	free(flushing);
	flush_fail(flush, result, "the disk pool is asked for too many VMs: try again");
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
	if (e->locks)
		locks_close(e->locks, closed, e);
	else
		closed(e);
}

void execute_close(struct execute *e, void (*done)(void *data), void *data)
{
	e->closed = done;
	e->closed_data = data;
	if (e->locks)
		locks_cancel(e->locks);
	hypervisor_client_close(e->client, client_closed, e);
}
