/* A cluster that was off starts what is to start by itself; one that was not does not. */
#include "fsm/autostart.h"
#include "tests/unit/vms.h"

#define BEFORE "00000000-0000-4000-8000-000000000001"
#define AFTER  "00000000-0000-4000-8000-000000000002"

static struct vm *vms[5];

static void hello(uint32_t node, const char *boot_id)
{
	struct command command = {
	    .number = COMMAND_node_hello, .node_hello = {.node = node, .hypervisor = true}};
	snprintf(command.node_hello.boot_id, sizeof(command.node_hello.boot_id), "%s", boot_id);
	assert_int_equal(apply(command), 0);
	assert_int_equal(APPLY(node_state, .node = node, .state = DAEMON_RUN), 0);
}

/* Three nodes at their first boot; five VMs, all off, and all but the last start by themselves. */
static int begin(void **state)
{
	nodes_up(3);
	for (uint32_t node = 1; node <= 3; node++)
		hello(node, BEFORE);
	for (unsigned i = 0; i < 5; i++) {
		char name[16];
		snprintf(name, sizeof(name), "vm%u", i);
		struct command command = definition(name, 1 + i % 3);
		command.vm_define.autostart = i < 4;
		command.vm_define.priority = i == 2 || i == 3;
		vms[i] = define(command);
		see(vms[i], OBSERVED_SHUTOFF);
	}
	seconds(20);
	return 0;
}

static unsigned started(void)
{
	unsigned count = 0;
	for (unsigned i = 0; i < 5; i++)
		count += vms[i]->state == VM_START;
	return count;
}

static void a_cold_start_starts_the_most_important_first_two_at_a_time(void **state)
{
	for (uint32_t node = 1; node <= 3; node++)
		hello(node, AFTER);
	seconds(9);
	assert_int_equal(started(), 0);
	seconds(1);
	assert_int_equal(started(), 2);
	assert_int_equal(vms[2]->state, VM_START);
	assert_int_equal(vms[3]->state, VM_START);
	seconds(1);
	assert_int_equal(started(), 4);
	seconds(2);
	assert_int_equal(vms[4]->state, VM_STOP);
	assert_false(c.settings.autostarting);
	cluster_each(c.nodes, struct node, node) assert_false(node->rebooted);
	/* Once: what somebody stops stays off. */
	want(vms[0], VM_STOP);
	see(vms[0], OBSERVED_SHUTOFF);
	seconds(30);
	assert_int_equal(vms[0]->state, VM_STOP);
}

static void where_somebody_went_on_it_was_no_cold_start(void **state)
{
	hello(1, AFTER);
	hello(2, AFTER);
	seconds(30);
	assert_int_equal(started(), 0);
	cluster_each(c.nodes, struct node, node) assert_false(node->rebooted);
}

static void a_daemon_that_starts_anew_is_no_reboot(void **state)
{
	for (uint32_t node = 1; node <= 3; node++)
		hello(node, BEFORE);
	seconds(30);
	assert_int_equal(started(), 0);
}

static void who_says_no_boot_says_nothing(void **state)
{
	for (uint32_t node = 1; node <= 3; node++)
		hello(node, "");
	seconds(20);
	for (uint32_t node = 1; node <= 3; node++)
		hello(node, BEFORE);
	seconds(20);
	assert_int_equal(started(), 0);
}

/* Those that are still off are not waited for. */
static void two_of_three_that_were_off_are_enough(void **state)
{
	assert_int_equal(APPLY(node_state, .node = 3, .state = DAEMON_STOP), 0);
	seconds(20);
	hello(1, AFTER);
	hello(2, AFTER);
	seconds(11);
	assert_int_equal(started(), 4);
}

/* Its keepalive came before its hello. */
static void a_node_that_is_heard_before_it_said_hello_has_not_gone_on(void **state)
{
	silence(20);
	hello(1, AFTER);
	hello(2, AFTER);
	silence(6);
	for (unsigned i = 0; i < 6; i++)
		seconds(1);
	assert_int_equal(started(), 0);
	hello(3, AFTER);
	seconds(2);
	assert_int_equal(started(), 4);
}

static void what_somebody_stops_amid_a_cold_start_stays_off(void **state)
{
	for (uint32_t node = 1; node <= 3; node++)
		hello(node, AFTER);
	seconds(10);
	assert_int_equal(started(), 2);
	want(vms[2], VM_STOP);
	seconds(1);
	assert_int_equal(vms[2]->state, VM_STOP);
	/* And another reboot in the middle of it does not begin it anew. */
	hello(1, BEFORE);
	seconds(30);
	assert_int_equal(vms[2]->state, VM_STOP);
	assert_int_equal(started(), 3);
}

static void a_vm_of_a_node_that_stays_off_starts_elsewhere(void **state)
{
	fence(1);
	seconds(20);
	hello(2, AFTER);
	hello(3, AFTER);
	seconds(12);
	assert_int_equal(vms[0]->state, VM_START);
	assert_true(vms[0]->node > 1);
	assert_true(vms[3]->node > 1);
}

static void time_without_a_quorum_does_not_pass(void **state)
{
	for (uint32_t node = 1; node <= 3; node++)
		hello(node, AFTER);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(APPLY(tick, .elapsed_ms = 0), 0);
	assert_int_equal(started(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, value_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_cold_start_starts_the_most_important_first_two_at_a_time),
	    TEST(where_somebody_went_on_it_was_no_cold_start),
	    TEST(a_daemon_that_starts_anew_is_no_reboot),
	    TEST(who_says_no_boot_says_nothing),
	    TEST(two_of_three_that_were_off_are_enough),
	    TEST(a_node_that_is_heard_before_it_said_hello_has_not_gone_on),
	    TEST(what_somebody_stops_amid_a_cold_start_stays_off),
	    TEST(a_vm_of_a_node_that_stays_off_starts_elsewhere),
	    TEST(time_without_a_quorum_does_not_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
