/* Somebody vouches that a node is off which the leader hears: three nodes with a log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/trio.h"

/* No keepalive ever came here: the value has nothing to say against it. */

static struct member_at *third(void)
{
	return &at[6 - leader()->id - follower()->id];
}

static void refused_as_heard(struct member_at *by, uint32_t node)
{
	char line[64];
	snprintf(line, sizeof(line), "node fenced hv%u --by-hand", node);
	run_for(500);
	struct asked a = run(by, line);
	assert_int_equal(a.status, -EBUSY);
	assert_non_null(strstr(a.err.text, "answered the leader"));
	assert_non_null(strstr(a.err.text, "ms ago: it is not off"));
	assert_int_not_equal(cluster_node(&leader()->value, node)->daemon_state, DAEMON_FENCED);
}

static void who_answers_the_leader_is_not_declared_off(void **state)
{
	refused_as_heard(leader(), third()->id);
	refused_as_heard(follower(), third()->id);
	refused_as_heard(follower(), leader()->id);
	refused_as_heard(follower(), follower()->id);
}

static void who_has_been_silent_for_a_second_is(void **state)
{
	struct member_at *gone = third(), *by = follower();
	char line[64];
	snprintf(line, sizeof(line), "node fenced hv%u --by-hand", gone->id);
	gone->down = true;
	run_for(500);
	assert_int_equal(run(by, line).status, -EBUSY);
	run_for(1000);
	done(by, line);
	run_for(200);
	assert_int_equal(cluster_node(&leader()->value, gone->id)->daemon_state, DAEMON_FENCED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	const struct CMUnitTest tests[] = {
	    TEST(who_answers_the_leader_is_not_declared_off),
	    TEST(who_has_been_silent_for_a_second_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
