#include "node/vm/freeing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/vm.h"
#include "node/log/log.h"
#include "node/vm/locks.h"
#include "node/vm/sharing.h"
#include "node/worker/domain.h"
#include "raft/clock.h"

/* When the pool is asked for as many VMs as can be. */
#define RELEASE_AGAIN_MS 200
/* A pool that answers again is not waited for longer than that. */
#define POOL_RETRY_MS_MAX 10000
/* What a person wants is not done later than that: they may have helped themselves. */
#define FLUSH_MS_MAX 15000

struct freeing {
	struct freeing_options options;
	struct locks *locks;
	bool closed;
	void (*done)(void *data);
	void *done_data;
};

struct begun {
	struct freeing *freeing;
	struct action action;
};

struct freeing *freeing_new(const struct freeing_options *options)
{
	struct locks_options locks = {
	    .loop = options->loop,
	    .config = options->config,
	    .hypervisor = options->hypervisor,
	    .list_deadline_ms = options->list_deadline_ms,
	};
	struct freeing *f = must_alloc(sizeof(*f));
	f->options = *options;
	f->locks = locks_new(&locks);
	return f;
}

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
	struct agent *agent = begun->freeing->options.agent;
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
	struct freeing *f = begun->freeing;
	struct local *local = &f->options.agent->local;
	const struct vm *vm = cluster_vm(f->options.cluster, begun->action.vm);
	const char *name = vm ? vm->name : begun->action.uuid;
	uint64_t now = clock_ms();
	struct err reason;
	if (outcome->status == -EBUSY) {
		/* Then it need not be started. */
		plan_postpone(local, &begun->action, now + RELEASE_AGAIN_MS);
		f->options.hasten(f->options.data);
	} else if (outcome->status) {
		start_failed(begun, name, outcome->err, now);
	} else if (outcome->result->refused) {
		explain_refusal(f->options.cluster, name, outcome->result, &reason);
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
	struct freeing *f = begun->freeing;
	if (!f->closed) {
		start_released(begun, outcome);
		f->options.changed(f->options.data);
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
static bool start_refused(struct freeing *f, const struct action *action, const struct vm *vm,
    const struct volumes *volumes)
{
	struct local *local = &f->options.agent->local;
	const char *volume;
	struct err reason;
	struct sharing sharing = {.cluster = f->options.cluster,
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
    struct freeing *f, const struct action *action, const struct volumes *volumes)
{
	struct local *local = &f->options.agent->local;
	const struct vm *vm = cluster_vm(f->options.cluster, action->vm);
	if (start_refused(f, action, vm, volumes))
		return;
	struct buffer proven = {0};
	struct begun *begun = must_alloc(sizeof(*begun));
	*begun = (struct begun){.freeing = f, .action = *action};
	plan_wait(local, action);
	proven_of(f->options.cluster, vm, &proven);
	struct locks_order order = {
	    .uuid = action->uuid,
	    .volumes = volumes,
	    .proven = (const char *)proven.data,
	    .extent = RELEASE_STALE,
	    .done = released,
	    .data = begun,
	};
	if (locks_release(f->locks, &order)) {
		plan_postpone(local, action, clock_ms() + RELEASE_AGAIN_MS);
		free(begun);
		/* Those behind it may not need the pool. */
		f->options.changed(f->options.data);
	}
	buffer_close(&proven);
}

bool freeing_holds(struct freeing *f, const struct action *action)
{
	struct local *local = &f->options.agent->local;
	const struct vm *vm = cluster_vm(f->options.cluster, action->vm);
	const struct local_vm *known = local_find(local, action->uuid);
	uint64_t now = clock_ms();
	struct domain domain;
	if (action->type != ACTION_START || plan_is_released(local, action, now))
		return false;
	if (domain_read((const char *)vm->xml.data, vm->xml.size, &domain, NULL) ||
	    !domain.volumes.count)
		return false;
	/* What may still come up must not lose its volumes when it does. */
	if (plan_doubts(local, action->uuid, now))
		plan_postpone(local, action, known->doubt_until_ms);
	else
		release_begin(f, action, &domain.volumes);
	return true;
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

void freeing_refuse(const struct execute_flush *flush, int status, const char *text)
{
	struct err err;
	err_set(&err, 0, "%s", text);
	flush->done(flush->data, &(struct locks_outcome){.status = status, .err = &err});
}

/* The VM's volumes, if they are those of no other one that may run. */
static int flush_read(
    struct freeing *f, const struct vm *vm, struct domain *domain, struct err *err)
{
	const char *volume;
	struct sharing sharing = {.cluster = f->options.cluster,
	    .vm = vm,
	    .volumes = &domain->volumes,
	    .counts = may_run,
	    .data = (void *)(uintptr_t)f->options.cluster};
	int result = domain_read((const char *)vm->xml.data, vm->xml.size, domain, err);
	if (result)
		return result;
	const struct vm *other = sharing_find(&sharing, &volume);
	return other ? err_set(err, -EBUSY, "volume %.200s is also one of %s, which is not off",
			   volume, other->name)
		     : 0;
}

struct flushing {
	struct freeing *freeing;
	struct execute_flush flush; /* but for its VM, which may be gone */
	uint32_t vm;
	uint64_t generation, began_ms;
};

/* Of a VM that was given to another node meanwhile it would take the lock away while it runs. */
static int flush_check(void *data, struct err *err)
{
	const struct flushing *flushing = data;
	const struct vm *vm = cluster_vm(flushing->freeing->options.cluster, flushing->vm);
	struct domain domain;
	if (!vm || vm->generation != flushing->generation)
		return err_set(err, -ESTALE, "something else was wanted of it meanwhile");
	/* Whoever asked was told so, and this node may have hung as well. */
	if (clock_ms() - flushing->began_ms > FLUSH_MS_MAX)
		return err_set(err, -ETIMEDOUT, "the hypervisor took too long: try again");
	return flush_read(flushing->freeing, vm, &domain, err);
}

static void flushed(void *data, const struct locks_outcome *outcome)
{
	struct flushing *flushing = data;
	flushing->flush.done(flushing->flush.data, outcome);
	free(flushing);
}

void freeing_flush(struct freeing *f, const struct execute_flush *flush)
{
	const struct vm *vm = flush->vm;
	struct domain domain;
	struct err err;
	if (plan_doubts(&f->options.agent->local, vm->uuid, clock_ms())) {
		freeing_refuse(
		    flush, -EBUSY, "a start of it was cut off here, and may still come about");
		return;
	}
	int result = flush_read(f, vm, &domain, &err);
	if (result) {
		freeing_refuse(flush, result, err.text);
		return;
	}
	struct flushing *flushing = must_alloc(sizeof(*flushing));
	*flushing = (struct flushing){.freeing = f,
	    .flush = *flush,
	    .vm = vm->id,
	    .generation = vm->generation,
	    .began_ms = clock_ms()};
	struct buffer members = {0};
	members_of(f->options.cluster, &members);
	struct locks_order order = {
	    .uuid = vm->uuid,
	    .volumes = &domain.volumes,
	    .proven = (const char *)members.data,
	    .extent = flush->extent,
	    .check = flush_check,
	    .done = flushed,
	    .data = flushing,
	};
	result = locks_release(f->locks, &order);
	buffer_close(&members);
	if (!result)
		return;
	free(flushing);
	freeing_refuse(flush, result, "the disk pool is asked for too many VMs: try again");
}

void freeing_cancel(struct freeing *f)
{
	f->closed = true;
	locks_cancel(f->locks);
}

static void locks_closed(void *data)
{
	struct freeing *f = data;
	f->done(f->done_data);
	free(f);
}

void freeing_close(struct freeing *f, void (*closed)(void *data), void *data)
{
	f->done = closed;
	f->done_data = data;
	locks_close(f->locks, locks_closed, f);
}
