/* Who may say what: what the leader takes from another member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "fsm/command.h"
#include "fsm/proposer.h"

static int check(uint32_t from, struct command command)
{
	struct buffer bytes = {0};
	command_encode(&command, &bytes);
	int result = proposer_check(from, bytes.data, bytes.size);
	buffer_close(&bytes);
	return result;
}

#define CHECK(from, name, ...)                                                                     \
	check(from, (struct command){.number = COMMAND_##name, .name = {__VA_ARGS__}})

static void what_the_leader_says_is_taken_from_nobody_else(void **state)
{
	assert_int_equal(CHECK(2, tick, .elapsed_ms = 1000), -ESTALE);
	assert_int_equal(CHECK(2, takeover, .node = 2, .epoch = 7), -ESTALE);
	assert_int_equal(CHECK(2, primary, .node = 2, .epoch = 7), -ESTALE);
	assert_int_equal(CHECK(2, primary_step, .node = 2, .epoch = 7), -ESTALE);
	assert_int_equal(CHECK(2, found, .schema = 1), -ESTALE);
	assert_int_equal(CHECK(2, authority_made, .authority = 2), -ESTALE);
}

static void a_node_speaks_for_itself_alone(void **state)
{
	for (uint32_t from = 2; from <= 3; from++) {
		int expected = from == 2 ? 0 : -EPERM;
		assert_int_equal(CHECK(from, relinquished, .node = 2, .epoch = 7), expected);
		assert_int_equal(CHECK(from, node_hello, .node = 2), expected);
		assert_int_equal(
		    CHECK(from, node_state, .node = 2, .state = DAEMON_STOP), expected);
		assert_int_equal(CHECK(from, node_trust, .node = 2, .signer = 1), expected);
		assert_int_equal(CHECK(from, vm_report, .node = 2, .vm = 7), expected);
		assert_int_equal(CHECK(from, vm_fail, .node = 2, .vm = 7), expected);
		assert_int_equal(CHECK(from, ceph_report, .node = 2), expected);
		assert_int_equal(CHECK(from, probe, .node = 2), expected);
	}
}

static void what_people_ask_for_is_taken_from_every_member(void **state)
{
	assert_int_equal(CHECK(4, leave, .node = 2), 0);
	assert_int_equal(CHECK(4, node_fenced, .node = 2, .by_hand = true), 0);
	assert_int_equal(CHECK(4, vm_state, .vm = 7, .state = VM_STOP), 0);
	assert_int_equal(CHECK(4, fact, .key = "k"), 0);
	assert_int_equal(CHECK(4, authority_shift, .authority = 2, .force = true), 0);
}

static void what_is_no_operation_is_refused_and_what_is_newer_is_not_judged(void **state)
{
	static const uint8_t newer[] = {1, 1, 0xff, 0x7f}, half[] = {1, 1, COMMAND_node_state, 2};
	assert_int_equal(proposer_check(2, newer, sizeof(newer)), 0);
	assert_int_equal(proposer_check(2, newer, 2), -EBADMSG);
	assert_int_equal(proposer_check(2, half, sizeof(half)), -EBADMSG);
	assert_int_equal(proposer_check(2, NULL, 0), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_the_leader_says_is_taken_from_nobody_else),
	    cmocka_unit_test(a_node_speaks_for_itself_alone),
	    cmocka_unit_test(what_people_ask_for_is_taken_from_every_member),
	    cmocka_unit_test(what_is_no_operation_is_refused_and_what_is_newer_is_not_judged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
