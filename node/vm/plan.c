#include "node/vm/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/text.h"
#include "fsm/vm.h"

#define RETRY_MS_MIN 1000
#define RETRY_MS_MAX 60000
/* A guest that has arrived stands still until then. */
#define RESUME_AGAIN_MS 250
/* A migration that was aborted and still goes on is aborted again. */
#define ABORT_AGAIN_MS 2000
/* A start or a resume whose worker was killed may still be carried out by a hypervisor
 * that hung: for so long its VM is not said to be off. */
#define DOUBT_MS 60000
/* What the pool said of a VM's volumes is good for that long. */
#define RELEASED_MS 10000
#define ABANDONED   "the daemon that sent it has ended"

/* One round of judging. */
struct round {
	struct plan *plan;
	const struct plan_options *options;
	const struct standing *standing;
	uint64_t now_ms;
};

static uint64_t retry_after_ms(unsigned failures)
{
	uint64_t wait_ms = RETRY_MS_MIN;
	while (--failures > 0 && wait_ms < RETRY_MS_MAX)
		wait_ms *= 2;
	return wait_ms < RETRY_MS_MAX ? wait_ms : RETRY_MS_MAX;
}

static void add(
    struct plan *plan, enum action_type type, const struct vm *vm, struct local_vm *local)
{
	if (plan->count == plan->capacity) {
		plan->capacity = plan->capacity ? plan->capacity * 2 : 16;
		plan->actions =
		    must_realloc(plan->actions, plan->capacity * sizeof(*plan->actions));
	}
	struct action *action = &plan->actions[plan->count++];
	*action = (struct action){.type = type, .vm = vm->id, .generation = vm->generation};
	memcpy(action->uuid, vm->uuid, sizeof(action->uuid));
	if (local->acted_generation != vm->generation) {
		local->failures = 0;
		local->reason[0] = 0;
	}
	local->acted_generation = vm->generation;
	if (type == ACTION_MIGRATE) {
		action->target = vm->target;
		return;
	}
	plan->room--;
	local->busy = true;
	local->starting = type == ACTION_START;
}

/* To end what runs here is safe by a value that may be old, if it is newer than what we did. */
static bool certain(const struct round *r, const struct vm *vm, const struct local_vm *local)
{
	return r->standing->current ||
	       (local->acted_generation && vm->generation > local->acted_generation);
}

static bool is_here(enum vm_observed observed)
{
	return observed == OBSERVED_RUNNING || observed == OBSERVED_PAUSED ||
	       observed == OBSERVED_TRANSIT;
}

/* Has it run under this very owner? Unobservable is said only of what was seen before. */
static bool had_run(const struct vm *vm, const struct local_vm *local)
{
	return local->ran || is_here(vm->observed) || vm->observed == OBSERVED_UNOBSERVABLE;
}

static void judge_off(struct round *r, const struct vm *vm, struct local_vm *local)
{
	if (is_here(local->observed) && certain(r, vm, local))
		add(r->plan, ACTION_STOP, vm, local);
}

static void judge_shutdown(struct round *r, const struct vm *vm, struct local_vm *local)
{
	if (!is_here(local->observed) || !certain(r, vm, local))
		return;
	if (local->asked_generation != vm->generation) {
		local->asked_generation = vm->generation;
		local->asked_ms = r->now_ms;
		add(r->plan, ACTION_SHUTDOWN, vm, local);
	} else if (r->now_ms - local->asked_ms >= r->options->shutdown_timeout_ms) {
		add(r->plan, ACTION_STOP, vm, local);
	}
}

static void refuse(struct local_vm *local, uint64_t generation, enum vm_state state)
{
	local->refused_generation = generation;
	local->refused_state = state;
	local->told_fail_ms = 0;
}

/* It is off, and nobody here has seen to that. */
static void die(struct round *r, const struct vm *vm, struct local_vm *local)
{
	unsigned old = 0;
	local->ran = false;
	while (old < local->deaths && r->now_ms - local->deaths_ms[old] >= PLAN_DEATHS_MS)
		old++;
	local->deaths -= old;
	memmove(
	    local->deaths_ms, local->deaths_ms + old, local->deaths * sizeof(*local->deaths_ms));
	local->deaths_ms[local->deaths++] = r->now_ms;
	local->acted_generation = vm->generation;
	local->retry_ms = r->now_ms + retry_after_ms(local->deaths);
	const char *how = state_name(vm_observed_names, local->observed);
	if (local->deaths < PLAN_DEATHS_MAX) {
		snprintf(
		    local->reason, sizeof(local->reason), "it died (%s): it is started again", how);
		return;
	}
	snprintf(local->reason, sizeof(local->reason), "died %u times in %u minutes, last: %s",
	    local->deaths, PLAN_DEATHS_MS / 60000, how);
	local->deaths = 0;
	refuse(local, vm->generation, VM_FAIL);
}

/* In the order of their priority they are begun when all are known. */
static void wait_to_start(struct plan *plan, struct vm *vm)
{
	if (plan->waiting_count == plan->waiting_capacity) {
		plan->waiting_capacity = plan->waiting_capacity ? plan->waiting_capacity * 2 : 16;
		plan->waiting =
		    must_realloc(plan->waiting, plan->waiting_capacity * sizeof(*plan->waiting));
	}
	plan->waiting[plan->waiting_count++] = vm;
}

static void judge_paused(struct round *r, const struct vm *vm, struct local_vm *local)
{
	bool transit = local->observed == OBSERVED_TRANSIT;
	if (vm->arrived || (transit && had_run(vm, local)))
		add(r->plan, ACTION_RESUME, vm, local);
	else if ((transit || vm->observed == OBSERVED_UNKNOWN) &&
		 r->now_ms >= local->doubt_until_ms)
		add(r->plan, ACTION_STOP, vm, local);
}

static void judge_run(struct round *r, struct vm *vm, struct local_vm *local)
{
	if (!r->standing->current)
		return;
	/* The guest stands still: whether it is here shows when it is resumed. */
	if (!local->fresh)
		add(r->plan, ACTION_RESUME, vm, local);
	else if (is_here(local->observed) && local->job.active && !vm->arrived)
		add(r->plan, ACTION_ABORT, vm, local);
	else if (local->observed == OBSERVED_PAUSED || local->observed == OBSERVED_TRANSIT)
		judge_paused(r, vm, local);
	else if (vm_observed_off(local->observed) && !local->sending && !r->options->leaving &&
		 local->refused_generation != vm->generation)
		wait_to_start(r->plan, vm);
}

static void judge_send(struct round *r, const struct vm *vm, struct local_vm *local)
{
	bool goes_on = local->sending || local->job.active;
	if (goes_on && vm->abort && certain(r, vm, local))
		add(r->plan, ACTION_ABORT, vm, local);
	bool ready = vm_observed_off(vm->target_observed) && is_here(local->observed) &&
		     local->observed != OBSERVED_TRANSIT && !local->job.unknown;
	/* Gone from here for sure must it be afterwards: no start may come about late. */
	bool doubted = r->now_ms < local->doubt_until_ms;
	if (goes_on || vm->abort || !ready || doubted || !r->standing->current ||
	    local->sent_generation == vm->generation)
		return;
	add(r->plan, ACTION_MIGRATE, vm, local);
	local->sending = true;
	local->sent_generation = vm->generation;
	local->sent_status = 0;
	local->job_ms = r->now_ms;
}

static void judge_receive(struct round *r, const struct vm *vm, struct local_vm *local)
{
	bool left_over = vm->target_observed == OBSERVED_UNKNOWN && is_here(local->observed);
	if (left_over && r->standing->current)
		add(r->plan, ACTION_STOP, vm, local);
}

/* A job that an earlier daemon began: how its call ends nobody will hear. */
static void adopt(const struct vm *vm, struct local_vm *local)
{
	if (local->sending || local->sent_generation == vm->generation)
		return;
	local->sent_generation = vm->generation;
	local->sent_status = -EPIPE;
	snprintf(local->sent_reason, sizeof(local->sent_reason), "%s", ABANDONED);
}

/* What is remembered of one that runs, or does not any more. */
static void remember(
    struct round *r, const struct vm *vm, struct local_vm *local, enum vm_duty duty)
{
	bool runs = duty == VM_DUTY_RUN || duty == VM_DUTY_SEND;
	bool off = local->fresh && vm_observed_off(local->observed);
	local->moving = duty == VM_DUTY_SEND || duty == VM_DUTY_RECEIVE ||
			(duty == VM_DUTY_RUN && vm->arrived && !off);
	if (local->job.active)
		local->job_ms = r->now_ms;
	if (!local->job.unknown)
		local->unclear_ms = 0;
	else if (!local->unclear_ms)
		local->unclear_ms = r->now_ms;
	if (duty == VM_DUTY_SEND && local->job.active)
		adopt(vm, local);
	if (!runs) {
		local->ran = false;
		local->deaths = 0;
	} else if (local->fresh && local->observed == OBSERVED_RUNNING) {
		local->ran = true;
	}
}

static void judge(struct round *r, struct vm *vm, struct local_vm *local)
{
	enum vm_duty duty = vm_duty(vm, r->options->node);
	remember(r, vm, local, duty);
	if (local->busy)
		return;
	if (duty == VM_DUTY_RUN && local->ran && local->fresh && vm_observed_off(local->observed))
		die(r, vm, local);
	/* What failed waits, but not for long when somebody asks anew. */
	bool early = local->acted_generation == vm->generation && r->now_ms < local->retry_ms;
	bool blind = !local->fresh && !(duty == VM_DUTY_RUN && vm->arrived) &&
		     !(duty == VM_DUTY_SEND && local->sending);
	if (early || blind || !r->plan->room)
		return;
	switch (duty) {
	case VM_DUTY_NONE:
	case VM_DUTY_OFF:
		judge_off(r, vm, local);
		break;
	case VM_DUTY_SHUTDOWN:
		judge_shutdown(r, vm, local);
		break;
	case VM_DUTY_RUN:
		judge_run(r, vm, local);
		break;
	case VM_DUTY_SEND:
		judge_send(r, vm, local);
		break;
	case VM_DUTY_RECEIVE:
		judge_receive(r, vm, local);
		break;
	}
}

static int compare_starts(const void *a, const void *b)
{
	const struct vm *one = *(struct vm *const *)a, *other = *(struct vm *const *)b;
	if (one->priority != other->priority)
		return one->priority > other->priority ? -1 : 1;
	return one->id < other->id ? -1 : one->id > other->id;
}

static void add_starts(struct plan *plan, struct local *local)
{
	if (plan->waiting_count)
		qsort(plan->waiting, plan->waiting_count, sizeof(*plan->waiting), compare_starts);
	for (unsigned i = 0; i < plan->waiting_count; i++) {
		if (plan->starts >= PLAN_STARTS_MAX || !plan->room)
			return;
		const struct vm *vm = plan->waiting[i];
		add(plan, ACTION_START, vm, local_find(local, vm->uuid));
		plan->starts++;
	}
}

void plan_make(struct plan *plan, const struct cluster *c, const struct standing *standing,
    const struct plan_options *options, struct local *local, uint64_t now_ms)
{
	struct round round = {
	    .plan = plan, .options = options, .standing = standing, .now_ms = now_ms};
	plan->count = plan->starts = plan->waiting_count = 0;
	plan->room = PLAN_BUSY_MAX;
	if (!local->known)
		return;
	for (unsigned i = 0; i < local->count; i++) {
		bool counts = local->vms[i].busy && !local->vms[i].waits;
		plan->room -= plan->room && counts;
		plan->starts += counts && local->vms[i].starting;
	}
	cluster_each(c->vms, struct vm, vm)
	{
		struct local_vm *found = local_find(local, vm->uuid);
		if (found)
			judge(&round, vm, found);
	}
	add_starts(plan, local);
}

void plan_close(struct plan *plan)
{
	free(plan->actions);
	free(plan->waiting);
	*plan = (struct plan){0};
}

bool action_wakes(enum action_type type)
{
	return type == ACTION_START || type == ACTION_RESUME;
}

static bool is_unknown(int status)
{
	return status == -ETIMEDOUT || status == -EPIPE || status == -EPROTO;
}

/* Why it is not on its way any more, when it is here and nothing goes on; NULL: it still may be. */
static const char *why_not_sent(const struct local_vm *local, const struct vm *vm, uint64_t now_ms)
{
	if (local->sent_generation == vm->generation)
		return local->sent_reason;
	if (local->observed == OBSERVED_TRANSIT)
		return "it stands still in the middle of a migration that has ended";
	if (vm->abort)
		return "given up";
	if (vm->target_observed == OBSERVED_TRANSIT || is_here(vm->target_observed))
		return ABANDONED;
	if (now_ms - local->since_ms < PLAN_TARGET_MS)
		return NULL;
	return now_ms < local->doubt_until_ms ? "a start that was cut off may still come about here"
					      : "the target was not ready for it in time";
}

static bool is_unclear(const struct local_vm *local, uint64_t now_ms)
{
	bool for_long = local->unclear_ms && now_ms >= local->unclear_ms + PLAN_UNCLEAR_MS;
	return local->job.unknown && !for_long;
}

enum plan_sent plan_sent(
    const struct local *l, const struct vm *vm, uint64_t now_ms, char reason[200])
{
	const struct local_vm *local = local_find(l, vm->uuid);
	if (!local || local->generation != vm->generation || local->sending)
		return PLAN_SENT_GOING;
	if (local->sent_generation == vm->generation && !local->sent_status)
		return PLAN_SENT_ARRIVED;
	if (!l->known || !local->fresh || local->busy || local->job.active ||
	    is_unclear(local, now_ms))
		return PLAN_SENT_GOING;
	/* Gone without a word, it may have arrived; with one, it died, and the copy is too old. */
	bool word = local->sent_generation == vm->generation && !is_unknown(local->sent_status);
	if (!is_here(local->observed) && !(word && vm_observed_off(local->observed)))
		return PLAN_SENT_GOING;
	const char *why = why_not_sent(local, vm, now_ms);
	if (!why)
		return PLAN_SENT_GOING;
	snprintf(reason, 200, "%.199s", why);
	text_clean(reason, '?');
	return PLAN_SENT_FAILED;
}

void plan_note_sent(struct local *l, const struct cluster *c, uint32_t node, uint64_t now_ms)
{
	char reason[200];
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm_duty(vm, node) != VM_DUTY_SEND ||
		    plan_sent(l, vm, now_ms, reason) != PLAN_SENT_FAILED)
			continue;
		struct local_vm *local = local_find(l, vm->uuid);
		local->sent_generation = vm->generation;
		local->sent_status = -ECANCELED;
		memcpy(local->sent_reason, reason, sizeof(reason));
	}
}

bool plan_is_stuck(const struct local_vm *vm, uint64_t now_ms)
{
	return vm->sending && now_ms - vm->job_ms >= PLAN_STUCK_MS;
}

/* What has said that did nothing. */
static bool is_refusal(int status)
{
	return status == -EINVAL || status == -ENOMEM;
}

static void failed(struct local_vm *vm, const struct action *action, int status, uint64_t now_ms)
{
	vm->failures++;
	vm->retry_ms = now_ms + retry_after_ms(vm->failures);
	if (action->type == ACTION_RESUME && vm->failures < 8)
		vm->retry_ms = now_ms + RESUME_AGAIN_MS;
	if (action_wakes(action->type) && is_unknown(status))
		vm->doubt_until_ms = now_ms + DOUBT_MS;
	if (action->type == ACTION_START && status == -ENOMEM)
		refuse(vm, action->generation, VM_STOP);
}

void plan_doubt(struct local *local, const char *uuid, uint64_t now_ms)
{
	local_add(local, uuid)->doubt_until_ms = now_ms + DOUBT_MS;
}

bool plan_doubts(const struct local *local, const char *uuid, uint64_t now_ms)
{
	const struct local_vm *vm = local_find(local, uuid);
	return vm && now_ms < vm->doubt_until_ms;
}

void plan_wait(struct local *local, const struct action *action)
{
	struct local_vm *vm = local_find(local, action->uuid);
	if (vm)
		vm->waits = true;
}

/* The VM is not busy any more; NULL: there is none, or it is another one by now. */
static struct local_vm *ended(struct local *local, const struct action *action)
{
	struct local_vm *vm = local_find(local, action->uuid);
	if (!vm)
		return NULL;
	vm->busy = vm->waits = vm->starting = false;
	if (vm->vm == action->vm)
		return vm;
	local_blur(local, vm);
	return NULL;
}

void plan_released(struct local *local, const struct action *action, uint64_t now_ms)
{
	struct local_vm *vm = ended(local, action);
	if (!vm)
		return;
	vm->released_generation = action->generation;
	vm->released_until_ms = now_ms + RELEASED_MS;
}

bool plan_is_released(const struct local *local, const struct action *action, uint64_t now_ms)
{
	const struct local_vm *vm = local_find(local, action->uuid);
	return vm && vm->released_generation == action->generation &&
	       now_ms < vm->released_until_ms;
}

bool plan_is_starting(const struct local_vm *vm, uint64_t now_ms)
{
	bool freed = vm->released_generation && vm->released_generation == vm->acted_generation;
	return vm->waits || (freed && (vm->busy || now_ms < vm->released_until_ms));
}

void plan_postpone(struct local *local, const struct action *action, uint64_t until_ms)
{
	struct local_vm *vm = ended(local, action);
	if (vm)
		vm->retry_ms = until_ms;
}

void plan_refused(struct local *local, const struct action *action, const char *reason)
{
	struct local_vm *vm = ended(local, action);
	if (!vm)
		return;
	refuse(vm, action->generation, VM_FAIL);
	snprintf(vm->reason, sizeof(vm->reason), "%s", reason);
	/* Of what was too long the last character may be a part of one. */
	text_clean(vm->reason, '?');
}

/* The VM was not busy with it, and other things may have been done to it meanwhile. */
static void sent(struct local *local, const struct action *action, int status, const char *reason)
{
	struct local_vm *vm = local_find(local, action->uuid);
	if (!vm)
		return;
	vm->sending = false;
	vm->sent_status = status;
	snprintf(vm->sent_reason, sizeof(vm->sent_reason), "%s", status ? reason : "");
	text_clean(vm->sent_reason, '?');
	local_blur(local, vm);
	if (!status)
		vm->ran = false;
}

/* What a deed that came about has made of the VM. */
static void came_about(struct local *local, struct local_vm *vm, enum action_type type)
{
	switch (type) {
	case ACTION_START:
		/* Only a look tells whether it runs, and not that it was there all along. */
		vm->ran = true;
		local_blur(local, vm);
		break;
	case ACTION_STOP:
		vm->observed = OBSERVED_SHUTOFF;
		vm->fresh = true;
		vm->ran = false;
		break;
	case ACTION_RESUME:
		vm->observed = OBSERVED_RUNNING;
		vm->fresh = true;
		break;
	case ACTION_ABORT:
		local_blur(local, vm);
		break;
	case ACTION_SHUTDOWN:
	case ACTION_MIGRATE:
		break;
	}
}

void plan_done(struct local *local, const struct action *action, int status, const char *reason,
    uint64_t now_ms)
{
	if (action->type == ACTION_MIGRATE) {
		sent(local, action, status, reason);
		return;
	}
	const struct local_vm *before = local_find(local, action->uuid);
	bool pooled = before && before->waits;
	struct local_vm *vm = ended(local, action);
	if (!vm) {
		/* It would make the other one run. */
		if (action_wakes(action->type) && is_unknown(status))
			plan_doubt(local, action->uuid, now_ms);
		return;
	}
	/* The next start looks at the volumes anew. */
	vm->released_generation = 0;
	snprintf(vm->reason, sizeof(vm->reason), "%s", status ? reason : "");
	text_clean(vm->reason, '?');
	local_touch(local, vm);
	if (status) {
		failed(vm, action, status, now_ms);
		/* It may have come about, or there may be a reason to be seen: an error can be
		 * that of a hypervisor that died. */
		if (action->type != ACTION_START || !(pooled || is_refusal(status)))
			local_blur(local, vm);
		return;
	}
	vm->failures = 0;
	came_about(local, vm, action->type);
	if (action->type == ACTION_ABORT)
		vm->retry_ms = now_ms + ABORT_AGAIN_MS;
}
