/* VMs on nodes that are up, for tests of what becomes of them. Beside value.h. */
#ifndef TESTS_UNIT_VMS_H
#define TESTS_UNIT_VMS_H

#include "fsm/hash.h"
#include "fsm/vm.h"
#include "tests/unit/value.h"

#define NODE_MIB 8192

/* One second, and what node sees. */
static inline void keepalive(uint32_t node, struct sighting *sightings, uint32_t count)
{
	struct keepalive k = {
	    .node = node, .memory_total_mib = NODE_MIB, .vcpus_total = 8, .sightings_known = true};
	k.sightings.items = sightings;
	k.sightings.count = count;
	struct command command = {.number = COMMAND_tick, .tick = {.elapsed_ms = 1000}};
	command.tick.keepalives.items = &k;
	command.tick.keepalives.count = 1;
	assert_int_equal(apply(command), 0);
}

/* Nothing is said in it but that all who run go on. */
static inline void second(void)
{
	struct keepalive k[CLUSTER_NODES_MAX] = {{0}};
	struct command command = {.number = COMMAND_tick, .tick = {.elapsed_ms = 1000}};
	command.tick.keepalives.items = k;
	cluster_each(c.nodes, struct node, node)
	{
		if (node->daemon_state != DAEMON_RUN)
			continue;
		k[command.tick.keepalives.count++] =
		    (struct keepalive){.node = node->id, .memory_total_mib = NODE_MIB};
	}
	assert_int_equal(apply(command), 0);
}

static inline void seconds(unsigned count)
{
	while (count--)
		second();
}

/* Nobody is heard. */
static inline void silence(unsigned count)
{
	while (count--)
		assert_int_equal(APPLY(tick, .elapsed_ms = 1000), 0);
}

static inline void node_up(uint32_t node)
{
	assert_int_equal(APPLY(node_hello, .node = node, .hypervisor = true), 0);
	assert_int_equal(APPLY(node_state, .node = node, .state = DAEMON_RUN), 0);
	keepalive(node, NULL, 0);
}

static inline void nodes_up(uint32_t count)
{
	value_found();
	for (uint32_t i = 2; i <= count; i++)
		value_join(i, NODE_COORDINATOR);
	for (uint32_t i = 1; i <= count; i++)
		node_up(i);
}

/* It is silent for so long, and then proven off; the others are heard all the while. */
static inline void fence(uint32_t node)
{
	struct node *n = cluster_node(&c, node);
	assert_int_equal(APPLY(node_state, .node = node, .state = DAEMON_STOP), 0);
	seconds(3);
	assert_int_equal(APPLY(node_fenced, .node = node, .by_hand = true), 0);
	assert_int_equal(n->daemon_state, DAEMON_FENCED);
}

/* A command that defines one of 1024 MiB; one UUID for each name. */
static inline struct command definition(const char *name, uint32_t node)
{
	struct command command = {
	    .number = COMMAND_vm_define,
	    .vm_define = {.memory_mib = 1024, .vcpus = 1, .node = node},
	};
	uint64_t hash = hash_bytes(0, name, strlen(name));
	snprintf(command.vm_define.name, sizeof(command.vm_define.name), "%s", name);
	snprintf(command.vm_define.uuid, sizeof(command.vm_define.uuid),
	    "%08x-0000-4000-8000-00%010llx", (uint32_t)hash, (unsigned long long)hash >> 32);
	return command;
}

static inline struct vm *define(struct command command)
{
	int id = apply(command);
	if (id <= 0)
		fail_msg("%s", err.text);
	return cluster_vm(&c, (uint32_t)id);
}

/* What a node that knows the present generation says of a VM. */
static inline void node_sees(uint32_t node, const struct vm *vm, enum vm_observed observed)
{
	struct sighting s = {.vm = vm->id, .generation = vm->generation, .observed = observed};
	keepalive(node, &s, 1);
}

static inline void see(const struct vm *vm, enum vm_observed observed)
{
	node_sees(vm->node, vm, observed);
}

static inline int want(const struct vm *vm, enum vm_state state)
{
	return APPLY(vm_state, .vm = vm->id, .state = state);
}

/* It runs there. */
static inline struct vm *running(const char *name, uint32_t node)
{
	struct vm *vm = define(definition(name, node));
	assert_int_equal(want(vm, VM_START), 0);
	see(vm, OBSERVED_RUNNING);
	return vm;
}

static inline int migrate(const struct vm *vm, uint32_t node)
{
	return APPLY(vm_migrate, .vm = vm->id, .node = node, .why = MOVE_MIGRATE);
}

/* What its owner says of the attempt that it was to make. */
static inline int migrated(const struct vm *vm)
{
	return APPLY(vm_migrated, .node = vm->node, .vm = vm->id, .generation = vm->generation);
}

static inline int migration_failed(const struct vm *vm)
{
	return APPLY(vm_migrate_failed, .node = vm->node, .vm = vm->id,
	    .generation = vm->generation, .reason = "broken pipe");
}

#endif
