/* A cluster put together by hand: nodes with room, and VMs that take it.
 *
 * For tests of what is only read from a value, at random and often; nothing is applied to it, and
 * its hash is of nobody. Only tests/unit/ includes it; each test that does has a cluster of its
 * own. */
#ifndef TESTS_UNIT_ROOM_H
#define TESTS_UNIT_ROOM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "fsm/cluster.h"
#include "fsm/memory.h"

static struct cluster c;

static inline void room_open(void)
{
	cluster_init(&c);
	c.settings.time_ms = 1000000;
}

/* nN runs VMs, is well, and was just heard. */
static inline struct node *room_node(uint32_t id, uint64_t total_mib)
{
	struct node *node = must_alloc(sizeof(*node));
	struct keepalive *k = must_alloc(sizeof(*k));
	*k = (struct keepalive){.node = id,
	    .memory_total_mib = total_mib,
	    .memory_free_mib = total_mib,
	    .vcpus_total = 16};
	*node = (struct node){.id = id,
	    .daemon_state = DAEMON_RUN,
	    .domain_state = DOMAIN_READY,
	    .hypervisor = true,
	    .seen_ms = c.settings.time_ms,
	    .last.items = k,
	    .last.count = 1};
	snprintf(node->name, sizeof(node->name), "n%u", id);
	table_insert(&c.nodes, node);
	return node;
}

/* vmN of so much, off; node 0: it waits for a place. */
static inline struct vm *room_vm(uint32_t id, uint32_t node, uint64_t memory_mib)
{
	struct vm *vm = must_alloc(sizeof(*vm));
	*vm = (struct vm){
	    .id = id, .node = node, .generation = 1, .memory_mib = memory_mib, .vcpus = 1};
	snprintf(vm->name, sizeof(vm->name), "vm%u", id);
	table_insert(&c.vms, vm);
	return vm;
}

static inline int room_close(void **state)
{
	cluster_close(&c);
	return 0;
}

#endif
