#include "fsm/flush.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/migration.h"
#include "fsm/node.h"
#include "fsm/place.h"
#include "fsm/text.h"
#include "fsm/vm.h"
#include "fsm/vm_change.h"
#include "fsm/vm_set.h"

static bool flushes(const struct node *node)
{
	return node->domain_state == DOMAIN_FLUSH || node->domain_state == DOMAIN_FLUSHED;
}

static void set_domain(struct cluster *c, struct node *node, enum domain_state state)
{
	if (node->domain_state == state)
		return;
	node->domain_state = state;
	change_touch(c, &c->nodes, node);
}

static void set_reason(struct cluster *c, struct node *node, const char *reason)
{
	if (!strcmp(node->domain_reason, reason))
		return;
	memset(node->domain_reason, 0, sizeof(node->domain_reason));
	memcpy(node->domain_reason, reason, strlen(reason));
	change_touch(c, &c->nodes, node);
}

/* What needs somebody's help, as far as it fits. */
struct reasons {
	char text[sizeof(((struct node *)0)->domain_reason)];
};

static void reasons_add(struct reasons *r, const struct vm *vm, const char *reason)
{
	struct buffer text = {0};
	buffer_print(&text, "%s%s%s: %s", r->text, *r->text ? "; " : "", vm->name, reason);
	size_t size = text.size < sizeof(r->text) ? text.size : sizeof(r->text) - 1;
	memcpy(r->text, text.data, size);
	r->text[size] = 0;
	/* Of what was too long the last character may be a part of one. */
	text_clean(r->text, '?');
	buffer_close(&text);
}

/* The present wish is given up, for a person to have another; it stays where it is. */
static void call_off(struct cluster *c, struct vm *vm)
{
	if (vm->target && vm->by == MIGRATION_LIVE) {
		vm->abort = true;
		vm_touch(c, vm);
		return;
	}
	migration_forget(c, vm);
	vm_set_state(c, vm, VM_START);
	vm_set_reason(c, vm, "");
}

static bool moves(const struct vm *vm)
{
	return vm->state == VM_MIGRATE || vm->state == VM_UNMIGRATE;
}

static void call_off_leaving(struct cluster *c, const struct node *node)
{
	cluster_each(c->vms, struct vm,
	    vm) if (vm->node == node->id && vm->why == MOVE_FLUSH && moves(vm)) call_off(c, vm);
}

static void call_off_coming(struct cluster *c, const struct node *node)
{
	cluster_each(c->vms, struct vm, vm) if (vm->destination == node->id &&
						vm->why == MOVE_FLUSH && moves(vm)) call_off(c, vm);
}

int apply_node_domain(struct cluster *c, struct command_node_domain *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	if (command->domain != DOMAIN_FLUSH && command->domain != DOMAIN_READY)
		return err_set(err, -EINVAL, "a node is asked to flush or to get ready, not to %s",
		    state_name(domain_state_names, command->domain));
	if (!node->hypervisor)
		return err_set(
		    err, -EINVAL, "%s runs no VMs (enable_hypervisor is off there)", node->name);
	change_touch(c, &c->nodes, node);
	if (command->domain == DOMAIN_FLUSH) {
		node->flush_shutdown = command->shutdown;
		/* What it waits for may be otherwise by that: the next tick says. */
		set_reason(c, node, "");
		if (flushes(node))
			return 0;
		call_off_coming(c, node);
		set_domain(c, node, DOMAIN_FLUSH);
		return 0;
	}
	if (node->domain_state == DOMAIN_READY || node->domain_state == DOMAIN_UNFLUSH)
		return 0;
	call_off_leaving(c, node);
	set_domain(c, node, DOMAIN_UNFLUSH);
	set_reason(c, node, "");
	return 0;
}

/* Somebody else may have room as soon as he is heard again. */
static bool others_are_silent(const struct cluster *c, const struct node *except)
{
	cluster_each(c->nodes, struct node, node)
	{
		if (node != except && node->hypervisor && node->domain_state == DOMAIN_READY &&
		    (node->daemon_state == DAEMON_INIT || node->daemon_state == DAEMON_RUN) &&
		    node_silence_ms(c, node) > PLACE_FRESH_MS)
			return true;
	}
	return false;
}

static void shut_down(struct cluster *c, struct vm *vm, const char *reason)
{
	migration_forget(c, vm);
	vm_set_state(c, vm, VM_SHUTDOWN);
	vm->flushed_off = true;
	vm_set_reason(c, vm, reason);
}

/* Why it cannot move on; NULL: it can, or it is not known yet. */
static const char *stuck(const struct cluster *c, const struct vm *vm, const struct node *node)
{
	struct memory memories[CLUSTER_NODES_MAX];
	if (vm->method == MIGRATION_NONE)
		return "its migration method is none";
	memory_of_all(c, memories);
	if (place_choose(c, vm, memories) || others_are_silent(c, node))
		return NULL;
	return place_none(vm);
}

/* One VM that is wanted on, and to leave. */
static void flush_vm(struct cluster *c, struct vm *vm, struct node *node, struct reasons *reasons)
{
	bool by_flush = moves(vm) && vm->why == MOVE_FLUSH;
	if (vm->target || vm->arrived || vm->state == VM_RESTART)
		return;
	const char *reason = stuck(c, vm, node);
	if (reason && node->flush_shutdown) {
		shut_down(c, vm, reason);
	} else if (reason) {
		reasons_add(reasons, vm, reason);
	} else if (vm->attempt_ms > c->settings.time_ms) {
		if (!by_flush)
			reasons_add(reasons, vm, vm->failed_reason);
	} else if (by_flush) {
		if (vm->observed == OBSERVED_PAUSED)
			reasons_add(reasons, vm, vm->failed_reason);
	} else {
		migration_want(c, vm, &(struct migration_wish){.why = MOVE_FLUSH}, NULL);
	}
}

/* The VMs of a node that are wanted on, the most important first; the caller frees. */
static struct vm **wanted_on(struct cluster *c, const struct node *node, uint32_t *count)
{
	struct vm **list = must_alloc((c->vms.count + 1) * sizeof(struct vm *));
	*count = 0;
	cluster_each(c->vms, struct vm, vm) if (vm->node == node->id && vm_is_wanted(vm))
	    list[(*count)++] = vm;
	qsort(list, *count, sizeof(struct vm *), vm_compare);
	return list;
}

unsigned flush_left(const struct cluster *c, const struct node *node)
{
	unsigned left = 0;
	cluster_each(c->vms, struct vm, vm)
	{
		if (flushes(node))
			left += vm->target == node->id ||
				(vm->node == node->id && (vm_is_wanted(vm) || !vm_is_off(c, vm)));
		else if (node->domain_state == DOMAIN_UNFLUSH)
			left += (vm->home == node->id && vm->why == MOVE_FLUSH) ||
				(vm->node == node->id && vm->flushed_off);
	}
	return left;
}

static void flush_node(struct cluster *c, struct node *node)
{
	struct reasons reasons = {""};
	uint32_t count;
	struct vm **list = wanted_on(c, node, &count);
	for (uint32_t i = 0; i < count; i++)
		flush_vm(c, list[i], node, &reasons);
	free(list);
	set_reason(c, node, reasons.text);
	if (count)
		set_domain(c, node, DOMAIN_FLUSH);
	else if (!flush_left(c, node))
		set_domain(c, node, DOMAIN_FLUSHED);
}

/* It cannot come back now: it stays, and comes when a person says unmigrate. */
static void stay(struct cluster *c, struct vm *vm, const char *reason)
{
	vm->why = MOVE_MIGRATE;
	vm_touch(c, vm);
	vm_set_reason(c, vm, reason);
}

static void bring_back_off(struct cluster *c, struct vm *vm, const struct node *node)
{
	struct err err = {""};
	if (place_check(c, vm, node, &err))
		stay(c, vm, err.text);
	else
		vm_set_owner(c, vm, node->id);
}

/* Somebody has to do something first: who waited for that would hold up all the others. */
static int check_comes(
    const struct cluster *c, const struct vm *vm, const struct node *node, struct err *err)
{
	if (vm->observed == OBSERVED_PAUSED && vm->method == MIGRATION_LIVE)
		return err_set(err, -EBUSY, "it is paused");
	int result = place_check(c, vm, node, err);
	return result == -EHOSTDOWN ? 0 : result;
}

/* One VM that a flush moved away from node. */
static void bring_back(struct cluster *c, struct vm *vm, const struct node *node)
{
	struct err err = {""};
	if (vm->target || vm->arrived)
		return;
	/* Whoever waits for room anywhere waits for it here as well. */
	if (!vm->node && vm_is_wanted(vm)) {
		vm->why = MOVE_MIGRATE;
		vm_touch(c, vm);
	} else if ((moves(vm) || vm->state == VM_START) && check_comes(c, vm, node, &err)) {
		if (moves(vm))
			call_off(c, vm);
		stay(c, vm, err.text);
	} else if (vm->state == VM_START) {
		if (migration_want(
			c, vm, &(struct migration_wish){.node = node->id, .why = MOVE_FLUSH}, &err))
			stay(c, vm, err.text);
	} else if (!vm_is_wanted(vm) && vm_is_off(c, vm)) {
		bring_back_off(c, vm, node);
	}
}

static bool is_up(const struct cluster *c, const struct node *node)
{
	return node->daemon_state == DAEMON_RUN && node_silence_ms(c, node) <= PLACE_FRESH_MS;
}

static void unflush_node(struct cluster *c, struct node *node)
{
	/* Until it is, nothing can come; what is off there waits as well. */
	if (!is_up(c, node))
		return;
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->home == node->id && vm->why == MOVE_FLUSH)
			bring_back(c, vm, node);
		else if (vm->node == node->id && vm->flushed_off)
			vm_change_start(c, vm);
	}
	if (!flush_left(c, node))
		set_domain(c, node, DOMAIN_READY);
}

void flush_tick(struct cluster *c)
{
	cluster_each(c->nodes, struct node, node)
	{
		if (flushes(node))
			flush_node(c, node);
		else if (node->domain_state == DOMAIN_UNFLUSH)
			unflush_node(c, node);
	}
}
