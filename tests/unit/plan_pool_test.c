/* What becomes of a start whose VM has its volumes in the pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fsm/change.h"
#include "fsm/text.h"
#include "node/agent.h"
#include "node/vm/plan.h"

static struct cluster c;
static struct local local;
static struct plan plan;
static struct vm *vm;
static struct action start; /* of vm, as planned by begin_start */
static struct standing current = {.id = 1, .current = true, .leader_id = 2, .term = 5};
static struct standing blind = {.id = 1, .term = 5};

static struct vm *add_vm(uint32_t id)
{
	struct vm *one = must_alloc(sizeof(*one));
	*one = (struct vm){.id = id, .node = 1, .generation = 3, .state = VM_START};
	snprintf(one->uuid, sizeof(one->uuid), "uuid-%u", id);
	change_insert(&c, &c.vms, one);
	return one;
}

static unsigned plan_at(const struct standing *standing, uint64_t now_ms)
{
	struct plan_options options = {.node = 1, .shutdown_timeout_ms = 3000};
	/* What was seen counts. */
	local_note(&local, &c, 1, now_ms);
	for (unsigned i = 0; i < local.count; i++)
		local.vms[i].fresh = true;
	plan_make(&plan, &c, standing, &options, &local, now_ms);
	return plan.count;
}

static int begin(void **state)
{
	struct node *node = must_alloc(sizeof(*node));
	cluster_init(&c);
	c.settings.schema = 1;
	*node = (struct node){.id = 1, .name = "hv1", .daemon_state = DAEMON_RUN};
	change_insert(&c, &c.nodes, node);
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

/* Planned, and with the pool. */
static int begin_start(void **state)
{
	begin(state);
	assert_int_equal(plan_at(&current, 1000), 1);
	start = plan.actions[0];
	plan_wait(&local, &start);
	return 0;
}

static void a_vm_that_waits_for_the_pool_is_busy(void **state)
{
	assert_int_equal(plan_at(&current, 1001), 0);
	assert_int_equal(local_observed(&local, vm->uuid, 1001), OBSERVED_UNKNOWN);
	vm->state = VM_STOP;
	vm->generation++;
	assert_int_equal(plan_at(&current, 1002), 0);
	assert_int_equal(local_observed(&local, vm->uuid, 1002), OBSERVED_UNKNOWN);
}

/* However many wait for a pool that hangs. */
static void vms_that_wait_for_the_pool_leave_room_for_others(void **state)
{
	for (uint32_t id = 100; id < 100 + 4 * PLAN_BUSY_MAX; id++)
		add_vm(id);
	unsigned waiting = 1;
	for (unsigned n; (n = plan_at(&current, 1001)); waiting += n) {
		assert_true(n <= PLAN_STARTS_MAX);
		for (unsigned i = 0; i < n; i++)
			plan_wait(&local, &plan.actions[i]);
	}
	assert_int_equal(waiting, 1 + 4 * PLAN_BUSY_MAX);
	add_vm(1000);
	assert_int_equal(plan_at(&current, 1002), 1);
	assert_int_equal(plan.actions[0].vm, 1000);
}

static void a_vm_whose_volumes_are_free_is_started(void **state)
{
	assert_false(plan_is_released(&local, &start, 1500));
	plan_released(&local, &start, 1500);
	assert_int_equal(local_observed(&local, vm->uuid, 1500), OBSERVED_SHUTOFF);
	assert_int_equal(plan_at(&current, 1501), 1);
	assert_int_equal(plan.actions[0].type, ACTION_START);
	assert_true(plan_is_released(&local, &plan.actions[0], 1501));
	plan_done(&local, &plan.actions[0], -EIO, "no such image", 1600);
	assert_false(plan_is_released(&local, &start, 1601));
}

static void what_was_freed_is_not_free_for_ever(void **state)
{
	plan_released(&local, &start, 1500);
	assert_true(plan_is_released(&local, &start, 11499));
	assert_false(plan_is_released(&local, &start, 11500));
}

static void a_vm_that_changed_while_its_volumes_were_freed_is_not_started(void **state)
{
	plan_released(&local, &start, 1500);
	vm->state = VM_STOP;
	vm->generation++;
	assert_int_equal(plan_at(&current, 1501), 0);
	/* Wanted again: that is another start, for which nothing was freed. */
	vm->state = VM_START;
	vm->generation++;
	assert_int_equal(plan_at(&current, 1502), 1);
	assert_false(plan_is_released(&local, &plan.actions[0], 1502));
}

static void a_vm_that_went_elsewhere_while_its_volumes_were_freed_is_not_started(void **state)
{
	plan_released(&local, &start, 1500);
	vm->node = 2;
	assert_int_equal(plan_at(&current, 1501), 0);
}

/* It may run elsewhere by now. */
static void a_node_that_lost_touch_meanwhile_does_not_start_what_it_freed(void **state)
{
	plan_released(&local, &start, 1500);
	assert_int_equal(plan_at(&blind, 1501), 0);
	assert_int_equal(plan_at(&current, 1502), 1);
}

static void what_is_postponed_is_no_failure(void **state)
{
	plan_postpone(&local, &start, 1700);
	assert_int_equal(local_observed(&local, vm->uuid, 1500), OBSERVED_SHUTOFF);
	assert_int_equal(plan_at(&current, 1699), 0);
	assert_int_equal(plan_at(&current, 1700), 1);
	assert_int_equal(local_find(&local, vm->uuid)->failures, 0);
	assert_string_equal(local_find(&local, vm->uuid)->reason, "");
}

static void a_start_that_failed_in_the_pool_is_tried_again_and_never_in_doubt(void **state)
{
	plan_done(&local, &start, -EIO, "the pool does not answer", 1500);
	assert_false(plan_doubts(&local, vm->uuid, 1500));
	assert_int_equal(local_observed(&local, vm->uuid, 1500), OBSERVED_SHUTOFF);
	assert_int_equal(plan_at(&current, 1501), 0);
	assert_int_equal(plan_at(&current, 2500), 1);
}

static void a_reason_that_is_cut_off_is_a_text_all_the_same(void **state)
{
	char reason[300];
	memset(reason, 'a', sizeof(reason));
	memcpy(reason + 198, "\xc3\xa4", 3);
	plan_refused(&local, &start, reason);
	const struct local_vm *known = local_find(&local, vm->uuid);
	assert_int_equal(strlen(known->reason), 199);
	assert_true(text_is_plain(known->reason));
}

static void a_start_that_was_refused_waits_for_a_person(void **state)
{
	plan_refused(&local, &start, "vms/web1 is locked");
	assert_int_equal(local_observed(&local, vm->uuid, 1500), OBSERVED_SHUTOFF);
	assert_int_equal(plan_at(&current, 1000000), 0);
	vm->generation += 2;
	assert_int_equal(plan_at(&current, 1000001), 1);
}

/* The agent. */

static const struct command *told(const struct agent_turn *t, enum command_number number)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->commands[i].number == number)
			return &t->commands[i];
	return NULL;
}

static void apply(const struct command *command)
{
	struct buffer bytes = {0};
	command_encode(command, &bytes);
	assert_int_equal(cluster_apply(&c, c.index + 1, bytes.data, bytes.size, NULL), 0);
	buffer_close(&bytes);
}

static void turn_at(struct agent *agent, uint64_t now_ms, struct agent_turn *t)
{
	struct holding none = {.addresses_gone = true, .services_gone = true};
	agent_turn(agent, &c, &current, &none, now_ms, t);
}

static void the_log_is_told_that_a_vm_fails_until_it_knows(void **state)
{
	struct agent agent;
	struct agent_turn t;
	struct agent_options options = {
	    .node = 1, .keepalive_interval_ms = 1000, .lease_ms = 270, .hypervisor = true};
	agent_init(&agent, &options);
	agent.hello_done = true;
	local_note(&agent.local, &c, 1, 9000);
	agent_saw_vms(&agent, agent_looks(&agent), NULL, 0);
	turn_at(&agent, 10000, &t);
	assert_int_equal(t.action_count, 1);
	start = t.actions[0];
	agent_turn_close(&t);
	plan_refused(&agent.local, &start, "vms/web1 is locked");
	turn_at(&agent, 10001, &t);
	assert_non_null(told(&t, COMMAND_vm_fail));
	assert_string_equal(told(&t, COMMAND_vm_fail)->vm_fail.reason, "vms/web1 is locked");
	agent_turn_close(&t);
	turn_at(&agent, 10002, &t);
	assert_null(told(&t, COMMAND_vm_fail));
	agent_turn_close(&t);
	/* It was lost. */
	turn_at(&agent, 20000, &t);
	assert_non_null(told(&t, COMMAND_vm_fail));
	apply(told(&t, COMMAND_vm_fail));
	agent_turn_close(&t);
	assert_int_equal(vm->state, VM_FAIL);
	assert_string_equal(vm->failed_reason, "vms/web1 is locked");
	turn_at(&agent, 29000, &t);
	assert_true(t.look);
	agent_turn_close(&t);
	agent_saw_vms(&agent, agent_looks(&agent), NULL, 0);
	turn_at(&agent, 30000, &t);
	assert_null(told(&t, COMMAND_vm_fail));
	assert_int_equal(t.action_count, 0);
	assert_int_equal(told(&t, COMMAND_vm_report)->vm_report.observed, OBSERVED_SHUTOFF);
	agent_turn_close(&t);
	agent_close(&agent);
}

static void a_node_that_starts_says_which_addresses_are_its_own(void **state)
{
	struct agent agent;
	struct agent_turn t;
	struct agent_options options = {.node = 1, .keepalive_interval_ms = 1000, .lease_ms = 270};
	agent_init(&agent, &options);
	snprintf(agent.host.addresses, sizeof(agent.host.addresses), "10.0.0.1 fd00::1");
	turn_at(&agent, 10000, &t);
	apply(told(&t, COMMAND_node_hello));
	agent_turn_close(&t);
	assert_string_equal(cluster_node(&c, 1)->addresses, "10.0.0.1 fd00::1");
	agent_close(&agent);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_vm_that_waits_for_the_pool_is_busy, begin_start),
	    TEST(vms_that_wait_for_the_pool_leave_room_for_others, begin_start),
	    TEST(a_vm_whose_volumes_are_free_is_started, begin_start),
	    TEST(what_was_freed_is_not_free_for_ever, begin_start),
	    TEST(a_vm_that_changed_while_its_volumes_were_freed_is_not_started, begin_start),
	    TEST(a_vm_that_went_elsewhere_while_its_volumes_were_freed_is_not_started, begin_start),
	    TEST(a_node_that_lost_touch_meanwhile_does_not_start_what_it_freed, begin_start),
	    TEST(what_is_postponed_is_no_failure, begin_start),
	    TEST(a_start_that_failed_in_the_pool_is_tried_again_and_never_in_doubt, begin_start),
	    TEST(a_reason_that_is_cut_off_is_a_text_all_the_same, begin_start),
	    TEST(a_start_that_was_refused_waits_for_a_person, begin_start),
	    TEST(the_log_is_told_that_a_vm_fails_until_it_knows, begin),
	    TEST(a_node_that_starts_says_which_addresses_are_its_own, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
