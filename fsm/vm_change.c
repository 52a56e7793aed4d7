#include "fsm/vm_change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/migration.h"
#include "fsm/place.h"
#include "fsm/tolerance.h"
#include "fsm/vm.h"
#include "fsm/vm_set.h"

enum doing {
#define DOING(name, text) DOING_##name,
#define CHANGE(...)
#define REFUSAL(name, code, text)
#include "fsm/vm_change.def"
	DOING_COUNT,
};

static const char *const doing_texts[] = {
#define DOING(name, text) text,
#define CHANGE(...)
#define REFUSAL(name, code, text)
#include "fsm/vm_change.def"
};

static const struct refusal {
	int code;
	const char *text;
} refusals[] = {
#define DOING(name, text)
#define CHANGE(...)
#define REFUSAL(name, code, text) [ANSWER_##name] = {-(code), text},
#include "fsm/vm_change.def"
};

/* The columns are in the order of enum doing. */
static const enum vm_answer answers[][DOING_COUNT] = {
#define A(answer) ANSWER_##answer
#define DOING(name, text)
#define CHANGE(request, a, b, c, d, e, f, g, h, i, j, k)                                           \
	[REQUEST_##request] = {A(a), A(b), A(c), A(d), A(e), A(f), A(g), A(h), A(i), A(j), A(k)},
#define REFUSAL(name, code, text)
#include "fsm/vm_change.def"
#undef A
};

static enum doing doing(const struct vm *vm)
{
	if (vm->target)
		return vm->by == MIGRATION_LIVE ? DOING_sending : DOING_moving;
	if (vm->arrived)
		return DOING_arrived;
	switch (vm->state) {
	case VM_STOP:
		break;
	case VM_START:
		return DOING_start;
	case VM_SHUTDOWN:
		return DOING_shutdown;
	case VM_RESTART:
		return DOING_restart;
	case VM_DISABLE:
		return DOING_disable;
	case VM_FAIL:
		return DOING_fail;
	case VM_PROVISION:
		return DOING_provision;
	case VM_MIGRATE:
	case VM_UNMIGRATE:
		return DOING_migrate;
	}
	return DOING_stop;
}

enum vm_answer vm_change_answer(
    const struct cluster *c, const struct vm *vm, enum vm_request request)
{
	enum vm_answer answer = answers[request][doing(vm)];
	if (answer == ANSWER_OFF)
		answer = vm_is_off(c, vm) ? ANSWER_NOW : ANSWER_QUEUE;
	return answer;
}

const char *vm_change_doing(const struct vm *vm)
{
	return doing_texts[doing(vm)];
}

void vm_change_possible(const struct cluster *c, const struct vm *vm, char *text, size_t size)
{
	size_t used = 0;
	snprintf(text, size, "nothing");
	for (unsigned i = REQUEST_START; i <= REQUEST_MOVE && used < size; i++) {
		enum vm_answer answer = vm_change_answer(c, vm, (enum vm_request)i);
		bool homeless = i == REQUEST_UNMIGRATE && !vm->home;
		if (answer != ANSWER_SAME && answer <= ANSWER_CUT && !homeless)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
			    state_name(vm_request_names, i));
	}
}

int vm_change_check(
    const struct cluster *c, const struct vm *vm, enum vm_request request, struct err *err)
{
	enum vm_answer answer = vm_change_answer(c, vm, request);
	char possible[128];
	if (answer <= ANSWER_CUT)
		return 0;
	vm_change_possible(c, vm, possible, sizeof(possible));
	return err_set(err, refusals[answer].code, "%s %s: %s (possible: %s)", vm->name,
	    vm_change_doing(vm), refusals[answer].text, possible);
}

/* What is asked for. */
struct wish {
	enum vm_request request;
	uint32_t node; /* of migrate and move; 0: any */
	bool live_only;
};

bool vm_change_stays(const struct cluster *c, const struct vm *vm)
{
	const struct node *owner = cluster_node(c, vm->node);
	bool well = owner && owner->daemon_state == DAEMON_RUN &&
		    (owner->domain_state == DOMAIN_READY || owner->domain_state == DOMAIN_UNFLUSH);
	return well || !vm_is_off(c, vm);
}

void vm_change_start(struct cluster *c, struct vm *vm)
{
	bool stays = vm_change_stays(c, vm);
	vm->flushed_off = false;
	vm_touch(c, vm);
	vm_set_state(c, vm, VM_START);
	vm_set_reason(c, vm, "");
	if (!stays)
		vm_place(c, vm);
}

/* Nothing of it can have begun to run, or it is off: it just belongs elsewhere from now on. */
static int put(struct cluster *c, struct vm *vm, uint32_t node_id, struct err *err)
{
	const struct node *node = cluster_node(c, node_id);
	if (node_id == vm->node)
		return 0;
	int result = place_check(c, vm, node, err);
	if (!result)
		vm_set_owner(c, vm, node_id);
	return result;
}

static int put_anywhere(struct cluster *c, struct vm *vm, struct err *err)
{
	struct memory memories[CLUSTER_NODES_MAX];
	memory_of_all(c, memories);
	uint32_t node = place_choose(c, vm, memories);
	if (!node)
		return err_set(err, -ENOMEM, "%s: %s", vm->name, place_none(vm));
	vm_set_owner(c, vm, node);
	return 0;
}

static int check_wish(
    const struct cluster *c, const struct vm *vm, const struct wish *wish, struct err *err)
{
	if (wish->request == REQUEST_UNMIGRATE && !vm->home &&
	    (vm->target || vm->state == VM_MIGRATE))
		return err_set(err, -EINVAL, "%s %s, and still where it belongs: start ends that",
		    vm->name, vm_change_doing(vm));
	if (wish->request == REQUEST_UNMIGRATE && !vm->home)
		return err_set(
		    err, -EINVAL, "%s was not migrated: it is where it belongs", vm->name);
	if (wish->request < REQUEST_MIGRATE || !wish->node)
		return 0;
	if (!cluster_node(c, wish->node))
		return err_set(err, -ENOENT, "there is no node %" PRIu32, wish->node);
	if (wish->request == REQUEST_MIGRATE && wish->node == vm->node)
		return err_set(err, -EINVAL, "%s is on %s already", vm->name,
		    cluster_node(c, wish->node)->name);
	return 0;
}

static enum move_reason reason_of(enum vm_request request)
{
	return request == REQUEST_MOVE	    ? MOVE_MOVE
	       : request == REQUEST_MIGRATE ? MOVE_MIGRATE
					    : MOVE_UNMIGRATE;
}

/* It belongs where it is, and waits to go nowhere. */
static void settle_down(struct cluster *c, struct vm *vm)
{
	vm->home = 0;
	migration_forget(c, vm);
	vm->why = MOVE_NONE;
	vm_set_state(c, vm, VM_START);
	vm_set_reason(c, vm, "");
}

/* migrate, unmigrate and move of what runs, or waits to. */
static int begin_move(struct cluster *c, struct vm *vm, const struct wish *wish, struct err *err)
{
	struct migration_wish move = {.node = wish->node, .live_only = wish->live_only};
	move.why = reason_of(wish->request);
	if (!vm_is_off(c, vm) && wish->node && wish->node == vm->node) {
		settle_down(c, vm);
		return 0;
	}
	if (!vm_is_off(c, vm))
		return migration_want(c, vm, &move, err);
	int result = wish->node ? put(c, vm, wish->node, err) : put_anywhere(c, vm, err);
	if (!result && vm->home && wish->request == REQUEST_MOVE) {
		vm->home = 0;
		vm->why = MOVE_NONE;
		vm_touch(c, vm);
	}
	return result;
}

static void set_state(struct cluster *c, struct vm *vm, enum vm_state state)
{
	migration_forget(c, vm);
	vm->flushed_off = false;
	vm_touch(c, vm);
	vm_set_state(c, vm, state);
}

static int do_now(struct cluster *c, struct vm *vm, const struct wish *wish, struct err *err)
{
	if (wish->request >= REQUEST_MIGRATE)
		return begin_move(c, vm, wish, err);
	vm_set_reason(c, vm, "");
	switch (wish->request) {
	case REQUEST_START:
		migration_forget(c, vm);
		vm_change_start(c, vm);
		break;
	case REQUEST_SHUTDOWN:
		/* Where nobody has it there is nobody to wait for. */
		set_state(c, vm, vm->node && !vm_is_off(c, vm) ? VM_SHUTDOWN : VM_STOP);
		break;
	case REQUEST_RESTART:
		if (!vm_is_off(c, vm))
			set_state(c, vm, VM_RESTART);
		break;
	case REQUEST_STOP:
		set_state(c, vm, VM_STOP);
		break;
	default:
		set_state(c, vm, VM_DISABLE);
		break;
	}
	return 0;
}

static void queue(struct cluster *c, struct vm *vm, const struct wish *wish)
{
	if (vm->queued == wish->request && vm->queued_node == wish->node &&
	    vm->queued_live_only == wish->live_only)
		return;
	vm->queued = wish->request;
	vm->queued_node = wish->node;
	vm->queued_live_only = wish->live_only;
	vm_touch(c, vm);
}

static void unqueue(struct cluster *c, struct vm *vm)
{
	queue(c, vm, &(struct wish){.request = REQUEST_NONE});
}

static void abort_move(struct cluster *c, struct vm *vm)
{
	vm->abort = true;
	vm_touch(c, vm);
}

/* Is it on its way there, for that reason? Who asks again does not want it to go on from there. */
static bool goes_there(const struct vm *vm, const struct wish *wish)
{
	return wish->request >= REQUEST_MIGRATE && vm->target && !vm->abort &&
	       vm->why == reason_of(wish->request) && vm->live_only == wish->live_only &&
	       (!wish->node || wish->node == vm->target);
}

static int ask(struct cluster *c, struct vm *vm, struct wish wish, struct err *err)
{
	if (wish.request == REQUEST_UNMIGRATE)
		wish.node = vm->home;
	int result = vm_change_check(c, vm, wish.request, err);
	if (!result)
		result = check_wish(c, vm, &wish, err);
	if (result)
		return result;
	enum vm_answer answer = vm_change_answer(c, vm, wish.request);
	if (goes_there(vm, &wish))
		answer = ANSWER_SAME;
	if (answer == ANSWER_NOW)
		result = do_now(c, vm, &wish, err);
	if (result)
		return result;
	if (answer == ANSWER_ABORT || answer == ANSWER_CUT)
		abort_move(c, vm);
	if (answer == ANSWER_QUEUE || answer == ANSWER_CUT)
		queue(c, vm, &wish);
	else
		unqueue(c, vm);
	return 0;
}

/* Which request a wanted state is. */
static enum vm_request request_of(enum vm_state state)
{
	switch (state) {
	case VM_START:
		return REQUEST_START;
	case VM_SHUTDOWN:
		return REQUEST_SHUTDOWN;
	case VM_STOP:
		return REQUEST_STOP;
	case VM_RESTART:
		return REQUEST_RESTART;
	case VM_DISABLE:
		return REQUEST_DISABLE;
	case VM_MIGRATE:
	case VM_UNMIGRATE:
	case VM_FAIL:
	case VM_PROVISION:
		break;
	}
	return REQUEST_NONE;
}

int apply_vm_state(struct cluster *c, struct command_vm_state *command, struct err *err)
{
	int result = 0;
	struct wish wish = {.request = request_of(command->state)};
	struct vm *vm = vm_find(c, command->vm, &result, err);
	if (!vm)
		return result;
	if (wish.request == REQUEST_NONE)
		return err_set(err, -EINVAL, "%s is what becomes of a VM, not what is asked for",
		    state_name(vm_state_names, command->state));
	bool starts =
	    wish.request == REQUEST_START && vm_change_answer(c, vm, wish.request) == ANSWER_NOW;
	if (command->strict && starts)
		result = tolerance_check_start(c, vm, err);
	if (result)
		return err_wrap(
		    err, result, "%s is not started, for then no host may fail", vm->name);
	return ask(c, vm, wish, err);
}

int apply_vm_migrate(struct cluster *c, struct command_vm_migrate *command, struct err *err)
{
	int result = 0;
	struct wish wish = {.node = command->node, .live_only = command->live_only};
	struct vm *vm = vm_find(c, command->vm, &result, err);
	if (!vm)
		return result;
	switch (command->why) {
	case MOVE_MOVE:
		wish.request = REQUEST_MOVE;
		break;
	case MOVE_MIGRATE:
		wish.request = REQUEST_MIGRATE;
		break;
	case MOVE_UNMIGRATE:
		wish.request = REQUEST_UNMIGRATE;
		break;
	case MOVE_NONE:
	case MOVE_FLUSH:
		return err_set(err, -EINVAL, "people move, migrate or unmigrate a VM, not %s",
		    state_name(move_reason_names, command->why));
	}
	return ask(c, vm, wish, err);
}

int apply_vm_place(struct cluster *c, struct command_vm_place *command, struct err *err)
{
	int result = 0;
	struct vm *vm = vm_find(c, command->vm, &result, err);
	if (!vm)
		return result;
	if (!cluster_node(c, command->node))
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	if (vm->node == command->node)
		return 0;
	if (!vm_is_off(c, vm))
		return err_set(err, -EBUSY, "%s is not off: stop it first", vm->name);
	return put(c, vm, command->node, err);
}

void vm_change_resume(struct cluster *c, struct vm *vm)
{
	struct err err = {""};
	struct wish wish = {vm->queued, vm->queued_node, vm->queued_live_only};
	if (vm->queued == REQUEST_NONE)
		return;
	int result = vm_change_check(c, vm, wish.request, &err);
	if (!result) {
		enum vm_answer answer = vm_change_answer(c, vm, wish.request);
		if (answer != ANSWER_NOW && answer != ANSWER_SAME)
			return;
		unqueue(c, vm);
		result = answer == ANSWER_NOW ? ask(c, vm, wish, &err) : 0;
	}
	if (!result)
		return;
	unqueue(c, vm);
	vm_set_reason(c, vm, err.text);
}
