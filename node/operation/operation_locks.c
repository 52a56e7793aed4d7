/* `vm flush-locks`: a person frees the volumes of a VM that is off. */
#include <errno.h>
#include <string.h>

#include "fsm/vm.h"
#include "node/vm/execute.h"
#include "node/operation/json.h"
#include "node/log/log.h"
#include "node/operation/operation_turn.h"

/* For the VM's node: an entry of the log, a look at its VMs, and the pool. */
#define FLUSH_ANSWER_MS 18000
#define FLUSH_PROBE_MS	5000

/* Does the value say that it runs nowhere, and that nobody is about to start it? */
static int check_off(const struct cluster *c, const struct vm *vm, struct err *err)
{
	if (vm->state == VM_START)
		return err_set(err, -EBUSY, "%s is to run, and is %s on %s: stop it first",
		    vm->name, state_name(vm_observed_names, vm->observed), node_name(c, vm->node));
	if (!vm_is_off(c, vm))
		return err_set(err, -EBUSY, "%s is not known to be off: it was %s on %s", vm->name,
		    state_name(vm_observed_names, vm->observed), node_name(c, vm->node));
	return 0;
}

/* The node whose hypervisor must be asked; one that is proven off has none. */
static uint32_t node_of(const struct operation_turn *turn, const struct vm *vm)
{
	const struct node *owner = cluster_node(turn->context->cluster, vm->node);
	bool there = owner && owner->daemon_state != DAEMON_FENCED;
	return there ? owner->id : turn->context->id;
}

/* The VM, if its locks may be flushed, and here; NULL when that was refused. */
static const struct vm *vm_to_flush(struct operation_turn *turn, uint32_t *node)
{
	const struct cluster *c = turn->context->cluster;
	struct err err;
	const struct vm *vm = argument_vm(turn->context, turn->arguments, &err);
	int status = vm ? check_off(c, vm, &err) : -ENOENT;
	if (status) {
		turn_refuse(turn, status, &err);
		return NULL;
	}
	*node = node_of(turn, vm);
	return vm;
}

static json_t *lock_json(const struct release_lock *lock)
{
	char address[VOLUME_CLIENT_MAX];
	lock_address_print(lock->locker.address, address);
	return json_pack("{s:o, s:o, s:o}", "volume", json_text(lock->volume), "client",
	    json_text(lock->locker.entity), "address", json_text(address));
}

static void answer_freed(
    struct operation_turn *turn, const char *name, const struct release_result *result)
{
	json_t *locks = json_array();
	struct buffer message = {0};
	buffer_print(&message, result->count ? "%s: freed" : "%s: no volume of it is locked", name);
	for (unsigned i = 0; i < result->count; i++) {
		const struct release_lock *lock = &result->locks[i];
		log_info("VM %s: freed %s, which %s at %s had locked, for %s", name, lock->volume,
		    lock->locker.entity, lock->locker.address, turn->caller);
		buffer_print(
		    &message, "%s %s of %s", i ? "," : "", lock->volume, lock->locker.entity);
		json_array_append_new(locks, lock_json(lock));
	}
	turn_answer(turn, json_pack("{s:o, s:o, s:o}", "name", json_text(name), "freed", locks,
			      "message", json_bytes(message.data, message.size)));
	buffer_close(&message);
}

static void refuse_foreign(struct operation_turn *turn, const struct release_lock *lock)
{
	char address[VOLUME_CLIENT_MAX];
	lock_address_print(lock->locker.address, address);
	turn_deny(turn, -EBUSY,
	    "volume %.200s is locked by %s (%s), which is no node of this cluster: "
	    "--force frees it all the same",
	    lock->volume, address, lock->locker.entity);
}

static void flushed(void *data, const struct locks_outcome *outcome)
{
	struct operation_turn *turn = data;
	if (outcome->status)
		turn_refuse(turn, outcome->status, outcome->err);
	else if (outcome->result->refused)
		refuse_foreign(turn, &outcome->result->locks[0]);
	else
		answer_freed(turn, argument_text(turn->arguments, "vm"), outcome->result);
}

/* Entries are committed, and this node's value has them: what it says of the VM is no old tale. */
static void probed(void *data, int result, uint64_t index, const struct err *err)
{
	struct operation_turn *turn = data;
	const struct context *context = turn->context;
	uint32_t node;
	if (result < 0) {
		turn_deny(turn, result, "the log does not say whether it is off: %s",
		    err && *err->text ? err->text : strerror(-result));
		return;
	}
	const struct vm *vm = vm_to_flush(turn, &node);
	if (!vm)
		return;
	if (node != context->id) {
		turn_deny(turn, -EREMOTE, "it went to another node meanwhile: try again");
		return;
	}
	bool force = argument_given(turn->arguments, "force");
	context->flush(context->data, &(struct execute_flush){
					  .vm = vm,
					  .extent = force ? RELEASE_ALL : RELEASE_STALE,
					  .done = flushed,
					  .data = turn,
				      });
}

static void flush_elsewhere(struct operation_turn *turn, uint32_t node)
{
	const struct context *context = turn->context;
	struct operation_call call = {.operation = turn->operation,
	    .arguments = turn->arguments,
	    .answer_ms = FLUSH_ANSWER_MS};
	/* One that a member asked does not ask on: nobody may have heard of its newest node. */
	if (context->ask && strncmp(turn->caller, "node ", 5) != 0)
		context->ask(context->data, node, &call, turn_forwarded, turn);
	else
		turn_deny(turn, -EREMOTE, "it is on another node: ask there");
}

void operation_vm_flush_locks(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	struct command command = {.number = COMMAND_probe};
	uint32_t node;
	if (!vm_to_flush(turn, &node))
		return;
	command.probe.node = context->id;
	if (node != context->id)
		flush_elsewhere(turn, node);
	else if (context->flush)
		context->propose(context->data, &command, FLUSH_PROBE_MS, probed, turn);
	else
		turn_deny(turn, -EOPNOTSUPP, "this node has no part in the disk pool");
}
