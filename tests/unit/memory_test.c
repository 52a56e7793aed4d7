/* Memory is counted right, whatever happened: random lives of clusters, and after every command
 * each node's sums are compared with those of a plain list of the VMs that were ever defined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/memory.h"

#define NODES	4
#define VMS_MAX 64
#define SEEDS	60
#define STEPS	400

static struct cluster c;
static uint32_t seed, chance_state;
static unsigned step;

/* What is known of each VM by having defined it; by id. */
static struct {
	uint64_t memory_mib;
	uint32_t vcpus;
	uint32_t node, target; /* before the last command */
} defined[VMS_MAX + 1];

/* What was seen at all: a test of nothing would pass as well. */
static struct {
	unsigned runs, moves, fences, waits, refusals, migrations;
} seen;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)chance_state * below >> 32);
}

static int apply(const struct command *command)
{
	struct buffer bytes = {0};
	command_encode(command, &bytes);
	int result = cluster_apply(&c, c.index + 1, bytes.data, bytes.size, NULL);
	buffer_close(&bytes);
	return result;
}

#define APPLY(what, ...) apply(&(struct command){.number = COMMAND_##what, .what = {__VA_ARGS__}})

/* What it sees of its VMs is as true as anything. */
static void keepalive(uint32_t node)
{
	struct sighting sightings[VMS_MAX];
	struct keepalive k = {.node = node,
	    .memory_total_mib = node * 4096,
	    .vcpus_total = 8,
	    .sightings_known = chance(10) > 0,
	    .sightings.items = sightings};
	cluster_each(c.vms, struct vm, vm)
	{
		if ((vm->node != node && vm->target != node) || !chance(4))
			continue;
		sightings[k.sightings.count++] = (struct sighting){.vm = vm->id,
		    .generation = vm->generation - !chance(8),
		    .observed = chance(2) ? OBSERVED_RUNNING : chance(OBSERVED_TRANSIT + 1)};
	}
	struct command command = {.number = COMMAND_tick, .tick = {.elapsed_ms = 500}};
	command.tick.keepalives.items = &k;
	command.tick.keepalives.count = 1;
	assert_int_equal(apply(&command), 0);
}

static void node_up(uint32_t node)
{
	APPLY(node_hello, .node = node, .hypervisor = true);
	APPLY(node_state, .node = node, .state = DAEMON_RUN);
	keepalive(node);
}

static void define(void)
{
	struct command command = {.number = COMMAND_vm_define};
	struct command_vm_define *define = &command.vm_define;
	uint32_t id = c.settings.next_vm;
	if (id > VMS_MAX)
		return;
	define->memory_mib = 1 + chance(2048);
	define->vcpus = 1 + chance(4);
	define->selector = chance(SELECTOR_VMS + 1);
	define->node = chance(3) ? 0 : 1 + chance(NODES);
	snprintf(define->name, sizeof(define->name), "vm%u", id);
	snprintf(define->uuid, sizeof(define->uuid), "00000000-0000-4000-8000-%012x", id);
	defined[id].memory_mib = define->memory_mib;
	defined[id].vcpus = define->vcpus;
	seen.refusals += apply(&command) < 0;
}

/* Nothing is heard of it until it is proven off; some time later it may come back. */
static void fence(uint32_t node)
{
	for (unsigned i = 0; i < 6; i++)
		APPLY(tick, .elapsed_ms = 1000);
	seen.fences += APPLY(node_fenced, .node = node, .by_hand = true) == 0;
}

/* It is begun, ends well, or fails; the states are whatever they are. */
static void migrate(uint32_t id, uint32_t node)
{
	const struct vm *vm = cluster_vm(&c, id);
	if (vm && vm->target && chance(3))
		APPLY(vm_migrated, .node = vm->node, .vm = id, .generation = vm->generation);
	else if (vm && vm->target)
		APPLY(vm_migrate_failed, .node = vm->node, .vm = id, .generation = vm->generation);
	else
		APPLY(vm_migrate, .vm = id, .node = node, .why = MOVE_MIGRATE);
}

static void one_command(void)
{
	uint32_t vm = 1 + chance(c.settings.next_vm), node = 1 + chance(NODES);
	const struct node *its = cluster_node(&c, node);
	switch (chance(14)) {
	case 0:
		define();
		return;
	case 1:
		APPLY(vm_undefine, .vm = vm);
		return;
	case 2:
	case 3:
		APPLY(vm_state, .vm = vm, .state = chance(VM_FAIL));
		return;
	case 4:
		APPLY(vm_place, .vm = vm, .node = node);
		return;
	case 5:
		if (!chance(6))
			fence(node);
		return;
	case 6:
		migrate(vm, chance(2) ? node : 0);
		return;
	case 7:
		if (its->daemon_state != DAEMON_RUN)
			node_up(node);
		return;
	default:
		if (its->daemon_state == DAEMON_RUN)
			keepalive(node);
	}
}

#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("seed %u, step %u: " #condition, seed, step);                     \
	} while (0)

/* By the plain list. */
static void reckon(uint32_t node, struct memory *m)
{
	*m = (struct memory){0};
	for (uint32_t id = 1; id <= VMS_MAX; id++) {
		const struct vm *vm = cluster_vm(&c, id);
		if (!vm || (vm->node != node && vm->target != node))
			continue;
		m->vms++;
		m->provisioned_mib += defined[id].memory_mib;
		if (vm->target == node || vm->observed == OBSERVED_RUNNING ||
		    vm->observed == OBSERVED_PAUSED || vm->observed == OBSERVED_TRANSIT) {
			m->vms_running += vm->node == node;
			m->allocated_mib += defined[id].memory_mib;
			m->vcpus_allocated += defined[id].vcpus;
		}
	}
}

static void check_node(const struct node *node, const struct memory *m)
{
	struct memory alone, reckoned;
	const struct memory nothing = {0};
	memory_of(&c, node, &alone);
	ASSERT(!memcmp(&alone, m, sizeof(alone)));
	ASSERT(m->allocated_mib <= m->provisioned_mib);
	ASSERT(m->vms_running <= m->vms);
	if (node->daemon_state == DAEMON_FENCED) {
		ASSERT(!memcmp(m, &nothing, sizeof(nothing)));
		return;
	}
	reckon(node->id, &reckoned);
	ASSERT(m->provisioned_mib == reckoned.provisioned_mib && m->vms == reckoned.vms);
	ASSERT(m->allocated_mib == reckoned.allocated_mib);
	ASSERT(m->vms_running == reckoned.vms_running);
	ASSERT(m->vcpus_allocated == reckoned.vcpus_allocated);
	ASSERT(memory_promisable(m) + m->provisioned_mib <= m->total_mib || !memory_promisable(m));
	seen.runs += m->vms_running;
}

static void find_room(uint32_t node, uint32_t before, const struct memory memories[])
{
	if (node && node != before)
		ASSERT(memories[node - 1].provisioned_mib + MEMORY_RESERVED_MIB <=
		       memories[node - 1].total_mib);
}

/* Who moved found room there. */
static void check_moves(const struct memory memories[])
{
	for (uint32_t id = 1; id <= VMS_MAX; id++) {
		const struct vm *vm = cluster_vm(&c, id);
		uint32_t before = defined[id].node, target = defined[id].target;
		defined[id].node = vm ? vm->node : 0;
		defined[id].target = vm ? vm->target : 0;
		seen.waits += vm && !vm->node;
		find_room(vm ? vm->target : 0, target, memories);
		seen.migrations += vm && vm->target && vm->target != target;
		if (!vm || vm->node == before)
			continue;
		seen.moves += before && vm->node;
		find_room(vm->node, before, memories);
	}
}

static void check_all(void)
{
	struct memory memories[CLUSTER_NODES_MAX];
	uint64_t counted_mib = 0, all_mib = 0;
	memory_of_all(&c, memories);
	cluster_each(c.nodes, struct node, node)
	{
		const struct memory *m = &memories[node->id - 1];
		check_node(node, m);
		counted_mib += m->provisioned_mib;
	}
	/* Nothing is counted twice, and what is not counted is nowhere or on a node that is off. */
	cluster_each(c.vms, struct vm, vm)
	{
		const struct node *owner = cluster_node(&c, vm->node);
		const struct node *target = cluster_node(&c, vm->target);
		if (owner && owner->daemon_state != DAEMON_FENCED)
			all_mib += vm->memory_mib;
		if (target && target->daemon_state != DAEMON_FENCED)
			all_mib += vm->memory_mib;
	}
	ASSERT(counted_mib == all_mib);
	check_moves(memories);
}

static void open_cluster(void)
{
	cluster_init(&c);
	memset(defined, 0, sizeof(defined));
	APPLY(found, .name = "lab", .uuid = "u", .node = "hv1", .address = "hv1:7000",
	    .incarnation = "i1", .schema = 1);
	for (unsigned i = 2; i <= NODES; i++) {
		struct command token = {.number = COMMAND_token, .token = {.valid_ms = 60000}};
		struct command join = {.number = COMMAND_join, .join = {.hypervisor = true}};
		memset(token.token.hash, 'a', 64);
		memset(join.join.hash, 'a', 64);
		snprintf(join.join.name, sizeof(join.join.name), "hv%u", i);
		snprintf(join.join.address, sizeof(join.join.address), "hv%u:7000", i);
		snprintf(join.join.incarnation, sizeof(join.join.incarnation), "i%u", i);
		assert_true(apply(&token) > 0);
		assert_int_equal(apply(&join), i);
	}
	for (uint32_t i = 1; i <= NODES; i++)
		node_up(i);
}

static void memory_adds_up_whatever_happens(void **state)
{
	for (seed = 1; seed <= SEEDS; seed++) {
		chance_state = seed;
		open_cluster();
		for (step = 0; step < STEPS; step++) {
			one_command();
			check_all();
		}
		cluster_close(&c);
	}
	/* Enough of everything has happened. */
	assert_true(seen.runs > 1000);
	assert_true(seen.migrations > 100);
	assert_true(seen.moves > 100);
	assert_true(seen.fences > 100);
	assert_true(seen.waits > 100);
	assert_true(seen.refusals > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(memory_adds_up_whatever_happens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
