/* A VM of which node 1 has some duty, in a cluster of two nodes. */
#ifndef TESTS_UNIT_OWNED_H
#define TESTS_UNIT_OWNED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fsm/change.h"
#include "fsm/vm.h"
#include "node/agent.h"
#include "node/vm/plan.h"

static struct cluster c;
static struct local local;
static struct plan plan;
static struct vm *vm;
static struct standing current = {.id = 1, .current = true, .leader_id = 2, .term = 5};

static struct vm *add_vm(uint32_t id)
{
	struct vm *one = must_alloc(sizeof(*one));
	*one = (struct vm){.id = id, .node = 1, .generation = 3, .state = VM_START};
	snprintf(one->uuid, sizeof(one->uuid), "uuid-%u", id);
	change_insert(&c, &c.vms, one);
	return one;
}

static int begin(void **state)
{
	cluster_init(&c);
	c.settings.schema = 1;
	for (uint32_t id = 1; id <= 2; id++) {
		struct node *node = must_alloc(sizeof(*node));
		*node = (struct node){.id = id, .daemon_state = DAEMON_RUN};
		snprintf(node->name, sizeof(node->name), "hv%u", id);
		change_insert(&c, &c.nodes, node);
	}
	vm = add_vm(7);
	local = (struct local){.known = true};
	return 0;
}

static int end(void **state)
{
	cluster_close(&c);
	local_close(&local);
	plan_close(&plan);
	return 0;
}

static const struct hypervisor_job idle, active = {.active = true, .percent = 40};

/* As if node 1 had that duty. */
static void be(enum vm_duty duty)
{
	vm->node = duty == VM_DUTY_NONE || duty == VM_DUTY_RECEIVE ? 2 : 1;
	vm->target = duty == VM_DUTY_SEND ? 2 : duty == VM_DUTY_RECEIVE ? 1 : 0;
	vm->state = duty == VM_DUTY_SHUTDOWN ? VM_SHUTDOWN
		    : duty == VM_DUTY_OFF    ? VM_STOP
		    : vm->target	     ? VM_MIGRATE
					     : VM_START;
	vm->by = MIGRATION_LIVE;
	vm->arrived = vm->abort = false;
	vm->observed = OBSERVED_RUNNING;
	vm->target_observed = vm->target ? OBSERVED_SHUTOFF : OBSERVED_UNKNOWN;
	vm->generation++;
	assert_int_equal(vm_duty(vm, 1), duty);
}

#endif
