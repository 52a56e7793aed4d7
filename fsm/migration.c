#include "fsm/migration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/node.h"
#include "fsm/place.h"
#include "fsm/vm.h"
#include "fsm/vm_change.h"
#include "fsm/vm_set.h"

/* Nobody tries again at once what just failed for good, not even a flush. */
#define AGAIN_MS 30000

/* Cluster time as a mark: 0 is for none. */
static uint64_t mark_now(const struct cluster *c)
{
	return c->settings.time_ms ? c->settings.time_ms : 1;
}

static uint64_t since_ms(const struct cluster *c, uint64_t mark_ms)
{
	return c->settings.time_ms > mark_ms ? c->settings.time_ms - mark_ms : 0;
}

static bool is_off(enum vm_observed observed)
{
	return observed == OBSERVED_SHUTOFF || observed == OBSERVED_CRASHED;
}

static bool moves(const struct vm *vm)
{
	return vm->state == VM_MIGRATE || vm->state == VM_UNMIGRATE;
}

/* The attempt is over: whatever is left of it is of an older generation. */
static void clear_attempt(struct cluster *c, struct vm *vm)
{
	if (vm->target)
		vm->generation++;
	vm->target = 0;
	vm->target_observed = OBSERVED_UNKNOWN;
	vm->attempt_ms = vm->whole_ms = 0;
	vm->abort = false;
	vm->by = MIGRATION_LIVE;
	vm_touch(c, vm);
}

static void clear_wish(struct vm *vm)
{
	vm->destination = 0;
	vm->live_only = false;
	vm->tries = 0;
	if (!vm->home)
		vm->why = MOVE_NONE;
}

void migration_forget(struct cluster *c, struct vm *vm)
{
	clear_attempt(c, vm);
	clear_wish(vm);
	vm->arrived = false;
}

void migration_forget_home(struct cluster *c, struct vm *vm)
{
	vm->home = 0;
	if (vm->state == VM_UNMIGRATE && !vm->target) {
		migration_forget(c, vm);
		vm_set_state(c, vm, VM_START);
	} else if (!moves(vm)) {
		vm->why = MOVE_NONE;
	}
	vm_touch(c, vm);
}

/* It stays where it is. */
static void give_up(struct cluster *c, struct vm *vm, const char *reason)
{
	/* What a flush moved and ready cannot bring back stays until a person says more. */
	if (vm->state == VM_UNMIGRATE && vm->why == MOVE_FLUSH)
		vm->why = MOVE_MIGRATE;
	migration_forget(c, vm);
	vm->attempt_ms = mark_now(c) + AGAIN_MS;
	vm_set_state(c, vm, VM_START);
	vm_set_reason(c, vm, reason);
}

static void arrive(struct cluster *c, struct vm *vm)
{
	uint32_t from = vm->node, to = vm->target;
	bool live = vm->by == MIGRATION_LIVE;
	/* One generation for it all. */
	vm->target = 0;
	clear_attempt(c, vm);
	if (vm->why == MOVE_MOVE)
		vm->home = 0;
	else if (!vm->home)
		vm->home = from;
	clear_wish(vm);
	vm->state = VM_START;
	vm_set_owner(c, vm, to);
	vm->arrived = live;
	vm_set_reason(c, vm, "");
}

/* Its owner saw it off and does not know more. */
static void resolve(struct cluster *c, struct vm *vm)
{
	const struct node *target = cluster_node(c, vm->target);
	if (!vm->attempt_ms || vm->by != MIGRATION_LIVE)
		return;
	uint64_t off_ms = since_ms(c, vm->attempt_ms);
	if (target->daemon_state == DAEMON_FENCED) {
		give_up(c, vm, "it was lost with the target of its migration");
	} else if (vm->whole_ms) {
		if (vm->attempt_ms <= vm->whole_ms + MIGRATION_TRUST_MS)
			arrive(c, vm);
		else
			give_up(c, vm, "it ran on after its copy was whole, and is off now");
	} else if (off_ms >= MIGRATION_OFF_MS && is_off(vm->target_observed)) {
		give_up(c, vm, "it went off while it was migrated");
	} else if (off_ms >= MIGRATION_UNKNOWN_MS) {
		give_up(
		    c, vm, "it went off while it was migrated, and nothing is known of its copy");
	}
}

static void retry_later(struct cluster *c, struct vm *vm, const char *reason)
{
	clear_attempt(c, vm);
	vm->attempt_ms = mark_now(c) + MIGRATION_RETRY_MS * vm->tries;
	vm_set_reason(c, vm, reason);
}

/* That there was no copy before says nothing of now; the target may be silent just then. */
static void source_went_off(struct cluster *c, struct vm *vm)
{
	vm->attempt_ms = mark_now(c);
	if (is_off(vm->target_observed))
		vm->target_observed = OBSERVED_UNOBSERVABLE;
}

void migration_source_seen(struct cluster *c, struct vm *vm)
{
	const struct node *target = cluster_node(c, vm->target);
	bool off = is_off(vm->observed);
	if (vm->by == MIGRATION_SHUTDOWN) {
		if (off && target->daemon_state == DAEMON_RUN)
			arrive(c, vm);
		else if (off)
			retry_later(c, vm, "its target is no longer up");
		return;
	}
	if (off && !vm->attempt_ms)
		source_went_off(c, vm);
	else if (!off && vm->observed != OBSERVED_UNKNOWN && vm->observed != OBSERVED_UNOBSERVABLE)
		vm->attempt_ms = 0;
	resolve(c, vm);
}

void migration_source_rebooted(struct cluster *c, const struct node *node)
{
	cluster_each(c->vms, struct vm,
	    vm) if (vm->node == node->id && vm->target && vm->by == MIGRATION_LIVE)
	    give_up(c, vm, "its node was rebooted while it was migrated");
}

void migration_target_seen(struct cluster *c, struct vm *vm, enum vm_observed observed)
{
	bool whole = observed == OBSERVED_PAUSED || observed == OBSERVED_RUNNING;
	if (vm->target_observed != observed) {
		vm->target_observed = observed;
		if (!whole)
			vm->whole_ms = 0;
		else if (!vm->whole_ms)
			vm->whole_ms = mark_now(c);
		vm_touch(c, vm);
	}
	resolve(c, vm);
}

void migration_target_lost(struct cluster *c, struct vm *vm)
{
	if (vm->by == MIGRATION_SHUTDOWN) {
		retry_later(c, vm, "its target was lost");
		return;
	}
	/* The owner's attempt fails by itself. */
	vm->target_observed = OBSERVED_UNKNOWN;
	vm->whole_ms = 0;
	vm_touch(c, vm);
	resolve(c, vm);
}

/* Where no daemon runs nobody would resume the copy, maybe for long. */
static bool target_is_missed(const struct cluster *c, const struct vm *vm)
{
	const struct node *target = cluster_node(c, vm->target);
	return target->daemon_state == DAEMON_STOP ||
	       node_silence_ms(c, target) >= node_patience_ms(c, target, MIGRATION_SILENT_MS);
}

/* The VM, if node was to make that attempt; else NULL with *result. */
static struct vm *find_sent(
    struct cluster *c, const struct sighting *of, uint32_t node, int *result, struct err *err)
{
	struct vm *vm = vm_find_owned(c, of, node, result, err);
	if (!vm || vm_duty(vm, node) == VM_DUTY_SEND)
		return vm;
	*result = err_set(err, -EINVAL, "%s is not being migrated", vm->name);
	return NULL;
}

int apply_vm_migrated(struct cluster *c, struct command_vm_migrated *command, struct err *err)
{
	int result = 0;
	struct sighting of = {.vm = command->vm, .generation = command->generation};
	struct vm *vm = find_sent(c, &of, command->node, &result, err);
	if (!vm)
		return result;
	if (cluster_node(c, vm->target)->daemon_state == DAEMON_FENCED)
		give_up(c, vm, "it was lost with the target of its migration");
	else
		arrive(c, vm);
	vm_change_resume(c, vm);
	return 0;
}

int apply_vm_migrate_failed(
    struct cluster *c, struct command_vm_migrate_failed *command, struct err *err)
{
	int result = 0;
	struct sighting of = {.vm = command->vm, .generation = command->generation};
	struct vm *vm = find_sent(c, &of, command->node, &result, err);
	if (!vm)
		return result;
	vm->tries++;
	if (vm->abort)
		give_up(c, vm,
		    target_is_missed(c, vm) ? "the target of its migration is not heard"
					    : "the migration was aborted");
	else if (vm->tries < MIGRATION_TRIES || (vm->method == MIGRATION_LIVE && !vm->live_only))
		retry_later(c, vm, command->reason);
	else
		give_up(c, vm, command->reason);
	vm_change_resume(c, vm);
	return 0;
}

/* What one round of attempts goes by. */
struct round {
	struct memory memories[CLUSTER_NODES_MAX];
	/* Live migrations under way, by the nodes' places. */
	unsigned out[CLUSTER_NODES_MAX], in[CLUSTER_NODES_MAX];
};

static unsigned *at_node(const struct cluster *c, unsigned *counts, uint32_t node)
{
	return &counts[table_position(&c->nodes, &node)];
}

static void round_begin(const struct cluster *c, struct round *round)
{
	*round = (struct round){0};
	memory_of_all(c, round->memories);
	cluster_each(c->vms, struct vm, vm)
	{
		if (!vm->target || vm->by != MIGRATION_LIVE)
			continue;
		++*at_node(c, round->out, vm->node);
		++*at_node(c, round->in, vm->target);
	}
}

/* What does not run has no memory to be moved. */
static enum migration_method method_now(const struct vm *vm)
{
	bool cold = is_off(vm->observed) || vm->tries >= MIGRATION_TRIES;
	if (vm->method == MIGRATION_NONE || !cold || vm->live_only)
		return vm->method;
	return MIGRATION_SHUTDOWN;
}

/* -EAGAIN: not yet. */
static int check_source(
    const struct cluster *c, const struct vm *vm, enum migration_method by, struct err *err)
{
	const struct node *owner = cluster_node(c, vm->node);
	if (by == MIGRATION_NONE)
		return err_set(err, -EPERM, "its migration method is none");
	if (owner->daemon_state != DAEMON_RUN)
		return err_set(err, -EAGAIN, "%s is %s, not run", owner->name,
		    state_name(daemon_state_names, owner->daemon_state));
	if (by == MIGRATION_LIVE && vm->observed == OBSERVED_PAUSED)
		return err_set(err, -EBUSY, "it is paused");
	if (by == MIGRATION_LIVE && vm->observed != OBSERVED_RUNNING)
		return err_set(err, -EAGAIN, "it does not run yet");
	return 0;
}

static int check_traffic(const struct cluster *c, const struct vm *vm, struct round *round,
    uint32_t target, struct err *err)
{
	const char *busy = NULL;
	if (*at_node(c, round->out, vm->node) >= MIGRATIONS_AT_ONCE)
		busy = cluster_node(c, vm->node)->name;
	else if (*at_node(c, round->in, target) >= MIGRATIONS_AT_ONCE)
		busy = cluster_node(c, target)->name;
	return busy ? err_set(
			  err, -EAGAIN, "%s has %d migrations under way", busy, MIGRATIONS_AT_ONCE)
		    : 0;
}

/* Returns the node's id; 0: there is none, with err. */
static int choose_target(
    const struct cluster *c, const struct vm *vm, struct round *round, struct err *err)
{
	if (!vm->destination) {
		uint32_t node = place_choose(c, vm, round->memories);
		return node ? (int)node : err_set(err, -ENOMEM, "%s", place_none(vm));
	}
	if (vm->destination == vm->node)
		return err_set(err, -EPERM, "it is there already");
	int result = place_check(c, vm, cluster_node(c, vm->destination), err);
	return result ? result : (int)vm->destination;
}

static int attempt(struct cluster *c, struct vm *vm, struct round *round, struct err *err)
{
	enum migration_method by = method_now(vm);
	int result = check_source(c, vm, by, err);
	int target = result ? result : choose_target(c, vm, round, err);
	if (target < 0)
		return target;
	if (by == MIGRATION_LIVE)
		result = check_traffic(c, vm, round, (uint32_t)target, err);
	if (result)
		return result;
	clear_attempt(c, vm);
	vm->target = (uint32_t)target;
	vm->by = by;
	vm->generation++;
	vm->changed_ms = c->settings.time_ms;
	round_begin(c, round);
	return 0;
}

static void attempt_or_say(struct cluster *c, struct vm *vm, struct round *round)
{
	struct err err = {""};
	int result = attempt(c, vm, round, &err);
	if (result == -EPERM)
		give_up(c, vm, err.text);
	else if (result)
		vm_set_reason(c, vm, err.text);
}

static int check_wish(const struct cluster *c, const struct vm *vm,
    const struct migration_wish *wish, struct err *err)
{
	if (vm->method == MIGRATION_NONE)
		return err_set(err, -EPERM,
		    "%s is not to be moved while it runs (its migration method is none)", vm->name);
	if (vm->method == MIGRATION_SHUTDOWN && wish->live_only)
		return err_set(err, -EPERM,
		    "%s is moved by being shut down (its migration method is shutdown)", vm->name);
	return wish->node ? place_check(c, vm, cluster_node(c, wish->node), err) : 0;
}

int migration_want(
    struct cluster *c, struct vm *vm, const struct migration_wish *wish, struct err *err)
{
	bool back = wish->why == MOVE_UNMIGRATE || (wish->why == MOVE_FLUSH && wish->node);
	int result = check_wish(c, vm, wish, err);
	if (result)
		return result;
	clear_wish(vm);
	vm->destination = wish->node;
	vm->why = wish->why;
	vm->live_only = wish->live_only;
	vm->attempt_ms = 0;
	vm_touch(c, vm);
	vm_set_state(c, vm, back ? VM_UNMIGRATE : VM_MIGRATE);
	vm_set_reason(c, vm, "");
	struct round round;
	round_begin(c, &round);
	attempt_or_say(c, vm, &round);
	return 0;
}

static bool waits(const struct cluster *c, const struct vm *vm)
{
	return moves(vm) && !vm->target && vm->attempt_ms <= c->settings.time_ms;
}

/* Those that wait, the most important first; the caller frees. NULL: there are none. */
static struct vm **waiting(struct cluster *c, uint32_t *count)
{
	struct vm **list = NULL;
	*count = 0;
	cluster_each(c->vms, struct vm, vm)
	{
		if (!waits(c, vm))
			continue;
		if (!list)
			list = must_alloc(c->vms.count * sizeof(struct vm *));
		list[(*count)++] = vm;
	}
	if (list)
		qsort(list, *count, sizeof(struct vm *), vm_compare);
	return list;
}

static void watch(struct cluster *c, struct vm *vm)
{
	if (vm->by == MIGRATION_LIVE && !vm->abort && target_is_missed(c, vm)) {
		vm->abort = true;
		vm_touch(c, vm);
	}
	resolve(c, vm);
}

void migration_tick(struct cluster *c)
{
	uint32_t count;
	cluster_each(c->vms, struct vm, vm) if (vm->target) watch(c, vm);
	struct vm **list = waiting(c, &count);
	if (!list)
		return;
	struct round round;
	round_begin(c, &round);
	for (uint32_t i = 0; i < count; i++)
		attempt_or_say(c, list[i], &round);
	free(list);
}
