/* Where a node stands: who may start things, and who must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/member/standing.h"

static struct replica_status follower(void)
{
	return (struct replica_status){
	    .role = REPLICA_FOLLOWER,
	    .id = 2,
	    .term = 5,
	    .leader = 1,
	    .heard_ms = 1000,
	    .election_ms = 300,
	    .leader_commit = 40,
	    .applied = 40,
	};
}

static bool current(struct replica_status status, uint64_t now_ms)
{
	return standing_judge(&status, 0, now_ms).current;
}

static void a_follower_that_has_applied_what_its_leader_committed_is_current(void **state)
{
	assert_true(current(follower(), 1100));
}

static void one_that_is_behind_is_not(void **state)
{
	struct replica_status status = follower();
	status.applied = 39;
	assert_false(current(status, 1100));
}

/* Just started: it may have a leader, but does not know how far the log has come. */
static void one_that_was_not_told_how_far_the_log_is_is_not(void **state)
{
	struct replica_status status = follower();
	status.leader_commit = 0;
	assert_false(current(status, 1100));
}

static void one_that_has_not_heard_for_long_is_not(void **state)
{
	struct replica_status status = follower();
	assert_true(current(status, 1000 + 300 * STANDING_TOUCH_ELECTIONS));
	assert_false(current(status, 1001 + 300 * STANDING_TOUCH_ELECTIONS));
	status.leader = 0;
	assert_false(current(status, 1100));
}

static void a_candidate_is_not(void **state)
{
	struct replica_status status = follower();
	status.role = REPLICA_CANDIDATE;
	assert_false(current(status, 1100));
}

static void a_leader_stands_by_its_lease_alone(void **state)
{
	struct replica_status status = follower();
	status.role = REPLICA_LEADER;
	struct standing with = standing_judge(&status, 200, 1100);
	struct standing without = standing_judge(&status, 0, 1100);
	assert_true(with.leader && with.current);
	assert_int_equal(with.lease_until_ms, 1300);
	assert_false(without.leader || without.current);
	assert_int_equal(without.lease_until_ms, 0);
}

static void without_a_log_nobody_stands_anywhere(void **state)
{
	struct standing s = standing_of(NULL, 1000);
	assert_false(s.leader || s.current);
	assert_int_equal(s.id, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_follower_that_has_applied_what_its_leader_committed_is_current),
	    cmocka_unit_test(one_that_is_behind_is_not),
	    cmocka_unit_test(one_that_was_not_told_how_far_the_log_is_is_not),
	    cmocka_unit_test(one_that_has_not_heard_for_long_is_not),
	    cmocka_unit_test(a_candidate_is_not),
	    cmocka_unit_test(a_leader_stands_by_its_lease_alone),
	    cmocka_unit_test(without_a_log_nobody_stands_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
