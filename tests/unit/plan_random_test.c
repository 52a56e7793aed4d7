/* Two nodes that move VMs between them, at random: whatever their hypervisors and daemons do, no
 * VM's CPUs run on both, and none goes on with memory from before what it wrote to its disk.
 *
 * Each node judges by a value of its own, which may lag behind; its hypervisor carries out what it
 * is asked now or later, says so or not, and moves copies in phases that may fail in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/check.h"
#include "fsm/node.h"
#include "fsm/vm.h"
#include "node/agent.h"

#define NODES	     2
#define VMS	     3
#define ENTRIES	     40000
#define ORDERS	     256
#define STEPS	     1500
#define SEEDS	     500
#define LATE_MS	     4000
#define VERY_LATE_MS 30000
#define NOBODY	     UINT64_MAX /* waits for an order any more */
#define SETTLE_MS    400000

enum guest_state {
	GUEST_OFF,
	GUEST_RUNNING,
	GUEST_PAUSED, /* a whole copy, or by a person */
	GUEST_COPY, /* not whole */
	GUEST_HALTED, /* the source, once the copy is whole */
};

struct guest { /* a VM on one node */
	enum guest_state state;
	uint64_t memory; /* the disk's version that it knows */
	uint64_t job_ms; /* of a migration from here, when its next phase is due; 0: none */
	uint64_t job_call; /* the order that waits for it */
};

struct order {
	bool used;
	struct action action;
	unsigned node;
	uint64_t life; /* of the daemon that waits for it */
	uint64_t due_ms, number;
	bool heard; /* it is answered when it is done */
};

struct place {
	struct cluster value;
	struct agent agent;
	uint64_t life, hello_index;
	bool looking;
	uint64_t look, look_ms;
	struct guest guests[VMS];
	struct buffer keepalive;
};

static struct cluster c; /* what the log says by now */
static struct buffer entries[ENTRIES];
static uint64_t entry_count;
static struct place machines[NODES];
static struct order orders[ORDERS];
static uint64_t order_number, now_ms, tick_ms, random_state;
static uint64_t disks[VMS]; /* the version of what each VM wrote */
static uint64_t moved; /* migrations that came about */
static bool calm; /* faults have ended */
static uint64_t seed_now;

/* With PLAN_SEED=N that one runs alone, and shows what it does. */
#define TRACE(...)                                                                                 \
	do {                                                                                       \
		if (getenv("PLAN_SEED"))                                                           \
			print_message(__VA_ARGS__);                                                \
	} while (0)

static uint64_t any(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static bool fault(uint64_t one_in)
{
	return !calm && any(one_in) == 0;
}

static void trace_command(const struct command *command, int result)
{
	struct buffer text = {0};
	if (command->number == COMMAND_tick)
		return;
	command_print(command, &text);
	buffer_append_u8(&text, 0);
	TRACE("%8" PRIu64 " log %s%s\n", now_ms, (char *)text.data, result < 0 ? " (refused)" : "");
	buffer_close(&text);
}

static int append(const struct command *command)
{
	struct err wrong = {{0}};
	assert_true(entry_count < ENTRIES);
	struct buffer *entry = &entries[entry_count++];
	*entry = (struct buffer){0};
	command_encode(command, entry);
	int result = cluster_apply(&c, entry_count, entry->data, entry->size, NULL);
	trace_command(command, result);
	if (check_rules(&c, &wrong))
		fail_msg("%s", wrong.text);
	return result;
}

#define APPEND(name, ...) append(&(struct command){.number = COMMAND_##name, .name = {__VA_ARGS__}})

static struct vm *vm_at(unsigned i)
{
	return cluster_vm(&c, i + 1);
}

/* Guests. */

static void check_guests(void)
{
	for (unsigned i = 0; i < VMS; i++) {
		unsigned running = 0;
		for (unsigned n = 0; n < NODES; n++) {
			struct guest *guest = &machines[n].guests[i];
			if (guest->state != GUEST_RUNNING)
				continue;
			running++;
			if (guest->memory != disks[i])
				fail_msg("seed %" PRIu64 ": vm %u goes on with old memory on hv%u",
				    seed_now, i + 1, n + 1);
		}
		if (running > 1)
			fail_msg("seed %" PRIu64 ": vm %u runs twice", seed_now, i + 1);
	}
}

static void write_disks(void)
{
	check_guests();
	for (unsigned i = 0; i < VMS; i++)
		for (unsigned n = 0; n < NODES; n++)
			if (machines[n].guests[i].state == GUEST_RUNNING)
				machines[n].guests[i].memory = ++disks[i];
}

static enum vm_observed shown(const struct guest *guest)
{
	static const enum vm_observed as[] = {[GUEST_OFF] = OBSERVED_SHUTOFF,
	    [GUEST_RUNNING] = OBSERVED_RUNNING,
	    [GUEST_PAUSED] = OBSERVED_PAUSED,
	    [GUEST_COPY] = OBSERVED_TRANSIT,
	    [GUEST_HALTED] = OBSERVED_TRANSIT};
	return as[guest->state];
}

/* Orders. */

static unsigned index_of(const struct action *action)
{
	return action->vm - 1;
}

static void answer(struct order *order, int status)
{
	struct place *m = &machines[order->node];
	order->used = false;
	if (order->life == m->life)
		agent_action_done(
		    &m->agent, &order->action, status, status ? "it did not work" : "", now_ms);
}

static struct order *order_numbered(uint64_t number)
{
	for (unsigned i = 0; i < ORDERS; i++)
		if (orders[i].used && orders[i].number == number)
			return &orders[i];
	return NULL;
}

static void begin_order(unsigned node, const struct action *action, uint64_t life)
{
	TRACE("%8" PRIu64 " hv%u does %d to vm %u\n", now_ms, node + 1, action->type, action->vm);
	for (unsigned i = 0; i < ORDERS; i++) {
		if (orders[i].used)
			continue;
		orders[i] = (struct order){.used = true,
		    .action = *action,
		    .node = node,
		    .life = life,
		    .number = ++order_number,
		    .heard = !fault(6),
		    .due_ms = now_ms + 5 + any(fault(4) ? LATE_MS : 300)};
		return;
	}
	fail_msg("too many orders");
}

static void job_end(struct place *m, unsigned i, int status)
{
	struct order *order = order_numbered(m->guests[i].job_call);
	m->guests[i].job_ms = m->guests[i].job_call = 0;
	if (order)
		answer(order, order->heard ? status : -EPIPE);
	TRACE("%8" PRIu64 " the move of vm %u ends: %d\n", now_ms, i + 1, status);
}

/* One phase further: copying, halted here and whole there, gone from here. */
static void job_turn(struct place *m, unsigned i)
{
	struct guest *guest = &m->guests[i];
	struct guest *copy = &machines[m == machines ? 1 : 0].guests[i];
	bool fails = fault(4);
	guest->job_ms = now_ms + 5 + any(fault(3) ? LATE_MS : 200);
	if (guest->state == GUEST_RUNNING && copy->state == GUEST_COPY && !fails) {
		guest->state = GUEST_HALTED;
	} else if (guest->state == GUEST_HALTED && copy->state == GUEST_COPY && !fails) {
		copy->state = GUEST_PAUSED;
		copy->memory = guest->memory;
	} else if (guest->state == GUEST_HALTED && copy->state == GUEST_PAUSED && !fails) {
		guest->state = GUEST_OFF;
		moved++;
		job_end(m, i, 0);
	} else {
		/* As libvirt does when the last word is lost: the source runs on, the copy
		 * stays. */
		if (copy->state == GUEST_COPY)
			copy->state = GUEST_OFF;
		if (guest->state == GUEST_HALTED && !fault(3))
			guest->state = GUEST_RUNNING;
		job_end(m, i, -EIO);
	}
}

static int migrate(struct order *order)
{
	struct place *m = &machines[order->node];
	struct guest *guest = &m->guests[index_of(&order->action)];
	struct guest *copy = &machines[order->action.target - 1].guests[index_of(&order->action)];
	if (guest->state != GUEST_RUNNING || guest->job_ms || copy->state != GUEST_OFF)
		return -EBUSY;
	copy->state = GUEST_COPY;
	guest->job_ms = now_ms + 5 + any(300);
	guest->job_call = order->number;
	return 1;
}

/* 0, a negative errno, or 1: it goes on. */
static int carry_out(struct order *order)
{
	unsigned i = index_of(&order->action);
	struct place *m = &machines[order->node];
	struct guest *guest = &m->guests[i];
	switch (order->action.type) {
	case ACTION_START:
		if (guest->state == GUEST_OFF)
			*guest = (struct guest){.state = GUEST_RUNNING, .memory = disks[i]};
		return 0;
	case ACTION_SHUTDOWN:
	case ACTION_STOP:
		if (order->action.type == ACTION_SHUTDOWN && guest->state != GUEST_RUNNING)
			return 0;
		guest->state = GUEST_OFF;
		if (guest->job_ms)
			job_turn(m, i);
		return 0;
	case ACTION_MIGRATE:
		return migrate(order);
	case ACTION_ABORT:
		if (guest->job_ms && guest->state == GUEST_RUNNING) {
			machines[m == machines ? 1 : 0].guests[i].state = GUEST_OFF;
			job_end(m, i, -ECANCELED);
		}
		return 0;
	case ACTION_RESUME:
		if (guest->state == GUEST_OFF)
			return -ENOENT;
		if (guest->state == GUEST_COPY || guest->job_ms)
			return -EBUSY;
		guest->state = GUEST_RUNNING;
		return 0;
	}
	return 0;
}

/* Its worker is killed at its deadline; the hypervisor, which hung, comes to it later. */
static bool put_off(struct order *order)
{
	struct order late = *order;
	if (order->heard || order->life == NOBODY || any(2))
		return false;
	answer(order, -ETIMEDOUT);
	late.life = NOBODY;
	late.due_ms = now_ms + any(VERY_LATE_MS);
	*order = late;
	return true;
}

static void turn_orders(void)
{
	for (unsigned i = 0; i < ORDERS; i++) {
		struct order *order = &orders[i];
		if (!order->used || order->due_ms > now_ms)
			continue;
		if (put_off(order))
			continue;
		order->due_ms = UINT64_MAX;
		int status = fault(8) ? -EIO : carry_out(order);
		if (status != 1)
			answer(order, order->heard ? status : -ETIMEDOUT);
		/* Its worker is killed; what it began goes on. */
		else if (!order->heard && any(2))
			answer(order, -ETIMEDOUT);
		check_guests();
	}
	for (unsigned n = 0; n < NODES; n++)
		for (unsigned i = 0; i < VMS; i++)
			if (machines[n].guests[i].job_ms && machines[n].guests[i].job_ms <= now_ms)
				job_turn(&machines[n], i);
}

/* Nodes. */

static void turn_look(struct place *m)
{
	struct seen_vm seen[VMS];
	if (!m->looking) {
		m->looking = true;
		m->look = agent_looks(&m->agent);
		m->look_ms = now_ms + any(fault(5) ? LATE_MS : 60);
		return;
	}
	if (now_ms < m->look_ms)
		return;
	m->looking = false;
	if (fault(20)) {
		agent_saw_nothing(&m->agent);
		return;
	}
	unsigned n = 0;
	for (unsigned i = 0; i < VMS; i++) {
		const struct guest *guest = &m->guests[i];
		if (guest->state == GUEST_OFF)
			continue;
		seen[n] = (struct seen_vm){
		    .observed = shown(guest), .job = {.active = guest->job_ms > 0}};
		memcpy(seen[n++].uuid, vm_at(i)->uuid, sizeof(seen[0].uuid));
	}
	agent_saw_vms(&m->agent, m->look, seen, n);
}

static void open_agent(unsigned n)
{
	struct place *m = &machines[n];
	struct agent_options options = {.node = n + 1,
	    .keepalive_interval_ms = 1000,
	    .shutdown_timeout_ms = 3000,
	    .lease_ms = 270,
	    .hypervisor = true};
	agent_init(&m->agent, &options);
	m->agent.host.memory_total_mib = m->agent.host.memory_free_mib = 65536;
	m->looking = false;
	m->hello_index = 0;
	m->life++;
}

/* Killed, and started again. Starts that were under way are in doubt (starting.h). */
static void restart(unsigned n)
{
	struct place *m = &machines[n];
	agent_close(&m->agent);
	open_agent(n);
	for (unsigned i = 0; i < ORDERS; i++)
		if (orders[i].used && orders[i].node == n && action_wakes(orders[i].action.type))
			plan_doubt(&m->agent.local, orders[i].action.uuid, now_ms);
}

static void turn_node(unsigned n)
{
	struct place *m = &machines[n];
	struct agent_turn t;
	struct holding none = {.addresses_gone = true, .services_gone = true};
	struct standing standing = {
	    .id = n + 1, .current = !fault(10), .leader_id = NODES + 1, .term = 5};
	while (m->value.index < entry_count && !fault(3)) {
		const struct buffer *entry = &entries[m->value.index];
		cluster_apply(&m->value, m->value.index + 1, entry->data, entry->size, NULL);
	}
	m->agent.hello_done = m->hello_index && m->value.index >= m->hello_index;
	agent_turn(&m->agent, &m->value, &standing, &none, now_ms, &t);
	for (unsigned i = 0; i < t.count; i++) {
		append(&t.commands[i]);
		if (t.commands[i].number == COMMAND_node_hello)
			m->hello_index = entry_count;
	}
	for (unsigned i = 0; i < t.action_count; i++)
		begin_order(n, &t.actions[i], m->life);
	if (t.keepalive.size) {
		buffer_close(&m->keepalive);
		m->keepalive = t.keepalive;
		t.keepalive = (struct buffer){0};
	}
	agent_turn_close(&t);
	turn_look(m);
}

static void tick(void)
{
	struct command command = {.number = COMMAND_tick};
	if (now_ms - tick_ms < 1000)
		return;
	command.tick.elapsed_ms = now_ms - tick_ms;
	command.tick.hash_index = c.index;
	command.tick.keepalives.items = must_alloc(NODES * sizeof(struct keepalive));
	tick_ms = now_ms;
	for (unsigned n = 0; n < NODES; n++) {
		struct buffer *bytes = &machines[n].keepalive;
		if (!bytes->size)
			continue;
		struct reader in = reader_of(bytes->data + 1, bytes->size - 1);
		assert_int_equal(
		    record_decode(keepalive_record(), &in,
			&command.tick.keepalives.items[command.tick.keepalives.count++]),
		    0);
		buffer_close(bytes);
	}
	append(&command);
	command_clear(&command);
}

static void people(void)
{
	uint32_t vm = 1 + (uint32_t)any(VMS);
	static const enum vm_state states[] = {
	    VM_START, VM_START, VM_SHUTDOWN, VM_STOP, VM_RESTART};
	if (!any(8))
		APPEND(node_domain, .node = 1 + (uint32_t)any(NODES),
		    .domain = any(2) ? DOMAIN_FLUSH : DOMAIN_READY, .shutdown = any(2));
	else if (any(3))
		APPEND(vm_migrate, .vm = vm, .why = MOVE_MIGRATE, .live_only = any(2));
	else
		APPEND(vm_state, .vm = vm, .state = states[any(5)]);
}

/* Its QEMU dies. Not where a whole copy of it is left elsewhere: that two things went wrong before
 * anybody looked cannot be told from a migration whose answer was lost (migration.h, 5). */
static void kill_guest(unsigned n, unsigned i)
{
	if (machines[1 - n].guests[i].state != GUEST_PAUSED)
		machines[n].guests[i].state = GUEST_OFF;
}

static void step(void)
{
	now_ms += 1 + any(any(10) ? 60 : 900);
	write_disks();
	if (fault(40))
		people();
	if (fault(300))
		restart((unsigned)any(NODES));
	if (fault(400))
		kill_guest((unsigned)any(NODES), (unsigned)any(VMS));
	turn_orders();
	for (unsigned n = 0; n < NODES; n++)
		turn_node(n);
	tick();
	check_guests();
}

static void found(void)
{
	cluster_init(&c);
	APPEND(found, .name = "lab", .uuid = "u", .node = "hv1", .address = "hv1:7000",
	    .incarnation = "i1", .schema = 1);
	for (uint32_t id = 2; id <= NODES + 1; id++) {
		struct command token = {.number = COMMAND_token, .token = {.valid_ms = 60000}};
		struct command join = {.number = COMMAND_join, .join = {.hypervisor = id <= NODES}};
		memset(token.token.hash, 'a', 64);
		memset(join.join.hash, 'a', 64);
		snprintf(join.join.name, sizeof(join.join.name), "hv%u", id);
		snprintf(join.join.address, sizeof(join.join.address), "hv%u:7000", id);
		snprintf(join.join.incarnation, sizeof(join.join.incarnation), "i%u", id);
		assert_true(append(&token) > 0);
		assert_int_equal(append(&join), id);
	}
}

/* What is wanted runs where it is owned, and nothing else is anywhere. */
static bool rests(unsigned i)
{
	const struct vm *vm = vm_at(i);
	bool on = vm->state == VM_START && !vm->target && !vm->arrived;
	if ((!on && vm->state != VM_STOP && vm->state != VM_FAIL) || vm->queued)
		return false;
	for (unsigned n = 0; n < NODES; n++) {
		bool here = on && vm->node == n + 1;
		if (machines[n].guests[i].state != (here ? GUEST_RUNNING : GUEST_OFF))
			return false;
	}
	return !on || vm->node;
}

static bool settled(void)
{
	for (unsigned i = 0; i < VMS; i++)
		if (!rests(i))
			return false;
	return true;
}

static void close_all(void)
{
	for (unsigned n = 0; n < NODES; n++) {
		agent_close(&machines[n].agent);
		cluster_close(&machines[n].value);
		buffer_close(&machines[n].keepalive);
		machines[n] = (struct place){0};
	}
	for (uint64_t i = 0; i < entry_count; i++)
		buffer_close(&entries[i]);
	cluster_close(&c);
	memset(orders, 0, sizeof(orders));
	entry_count = order_number = tick_ms = 0;
}

static void say_unsettled(void)
{
	print_message("seed %" PRIu64 " does not come to rest\n", seed_now);
	for (unsigned i = 0; i < VMS; i++) {
		struct vm *vm = vm_at(i);
		print_message("vm %u: %s, hv%u, target %u, seen %s and %s: %s\n", vm->id,
		    state_name(vm_state_names, vm->state), vm->node, vm->target,
		    state_name(vm_observed_names, vm->observed),
		    state_name(vm_observed_names, vm->target_observed), vm->failed_reason);
	}
}

static void begin_world(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15 + 1;
	now_ms = 100000;
	tick_ms = now_ms;
	calm = true;
	memset(disks, 0, sizeof(disks));
	found();
	for (unsigned n = 0; n < NODES; n++) {
		cluster_init(&machines[n].value);
		open_agent(n);
	}
	for (unsigned i = 0; i < 100; i++)
		step();
	for (uint32_t i = 0; i < VMS; i++) {
		struct command define = {
		    .number = COMMAND_vm_define, .vm_define = {.memory_mib = 1024, .vcpus = 1}};
		snprintf(define.vm_define.name, sizeof(define.vm_define.name), "web%u", i + 1);
		snprintf(define.vm_define.uuid, sizeof(define.vm_define.uuid),
		    "01234567-89ab-4cde-8f01-0000000000%02u", i);
		assert_int_equal(append(&define), (int)i + 1);
		APPEND(vm_state, .vm = i + 1, .state = VM_START);
	}
}

static void run(uint64_t seed)
{
	begin_world(seed);
	calm = false;
	for (unsigned i = 0; i < STEPS; i++)
		step();
	for (uint32_t id = 1; id <= NODES; id++)
		APPEND(node_domain, .node = id, .domain = DOMAIN_READY);
	TRACE("%8" PRIu64 " faults end\n", now_ms);
	calm = true;
	uint64_t until_ms = now_ms + SETTLE_MS;
	while (!settled() && now_ms < until_ms)
		step();
	if (!settled())
		say_unsettled();
	assert_true(settled());
}

static void a_vm_never_runs_twice_nor_with_old_memory_and_comes_to_rest(void **state)
{
	const char *only = getenv("PLAN_SEED");
	uint64_t first = only ? strtoull(only, NULL, 10) : 1;
	moved = 0;
	for (uint64_t seed = first; seed < first + (only ? 1 : SEEDS); seed++) {
		seed_now = seed;
		run(seed);
		close_all();
	}
	assert_true(only || moved > SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_vm_never_runs_twice_nor_with_old_memory_and_comes_to_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
