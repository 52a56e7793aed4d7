/* Who votes: what the leader changes in raft's configuration, and what it leaves alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "node/member/members.h"
#include "tests/unit/seating.h"

/* "vote 4", "stand by 3", "remove 5", "lead 2", "nothing". */
static void say(char text[32])
{
	struct members_view view = {.cluster = &c,
	    .members = members,
	    .n = n,
	    .self = leader,
	    .now_ms = SEATING_NOW_MS,
	    .replace_after_ms = SEATING_REPLACE_MS};
	struct member_change change = members_change(&view);
	static const char *const words[] = {"nothing", "", "remove", "lead"};
	const char *word = words[change.type];
	if (change.type == MEMBER_CHANGE_SET)
		word = change.role == MEMBER_VOTER ? "vote" : "stand by";
	if (change.type == MEMBER_CHANGE_NONE)
		snprintf(text, 32, "%s", word);
	else
		snprintf(text, 32, "%s %u", word, (unsigned)change.id);
}

static void expect(const char *line, const char *expected)
{
	char text[32];
	seating_make(line);
	say(text);
	cluster_close(&c);
	if (strcmp(text, expected) != 0)
		fail_msg("%s: %s, should be: %s", line, text, expected);
}

static void so_many_vote(void **state)
{
	static const unsigned wanted[] = {0, 1, 2, 3, 3, 5, 5, 7, 7, 7, 7};
	for (unsigned i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		assert_int_equal(members_voters_wanted(i), wanted[i]);
}

static void raft_s_members_follow_the_value_one_change_at_a_time(void **state)
{
	expect("cV", "nothing");
	expect("cV c h", "stand by 2");
	expect("cV cS h", "stand by 3");
	expect("cV cS hS", "vote 2");
	expect("cV cV hS", "nothing");
	expect("cV cV xV", "remove 3");
	expect("cV cV xS", "remove 3");
	expect("cV wS", "vote 2");
	expect("cV hS hS hS", "nothing");
}

static void before_the_cluster_was_founded_the_value_says_nothing(void **state)
{
	char text[32];
	seating_make("cV xV");
	c.settings.schema = 0;
	say(text);
	assert_string_equal(text, "nothing");
	cluster_close(&c);
}

static void an_even_number_of_voters_is_for_two_only(void **state)
{
	expect("cV cV cS", "vote 3");
	expect("cV cV cV cS", "nothing");
	expect("cV cV cV cS cS", "vote 4");
	expect("cV cV cV cV cS", "vote 5");
	expect("cV cV cV cV", "stand by 4");
	expect("cV cV cV cV cV cV cV cS cS", "nothing");
	expect("cV cV wS", "vote 3");
	expect("cV cV cV wS", "nothing");
	expect("cV cV cS wS cS wS", "vote 3");
}

static void a_stand_by_that_is_not_in_touch_is_not_made_a_voter(void **state)
{
	expect("cV cS- cS", "vote 3");
	expect("cV cS-", "nothing");
}

static void a_voter_that_is_gone_for_good_is_replaced(void **state)
{
	expect("cV cV cV- cS", "nothing");
	expect("cV cV cV! cS", "vote 4");
	expect("cV cV cVf cS", "vote 4");
	expect("cV cV cVF cS", "nothing");
	expect("cV cV cV! cV", "stand by 3");
	expect("cV cV cS! cV", "nothing");
	expect("cV cV cS cV", "nothing");
	expect("cV cV cV! wS", "vote 4");
	expect("cV cV cV! wS cS", "vote 5");
	expect("cV cV wV! cS", "vote 4");
	expect("cV cV cV cV! cV! cS cS", "vote 6");
}

static void without_anybody_to_take_its_place_a_voter_stays(void **state)
{
	expect("cV cV cV!", "nothing");
	expect("cV cV cV! cS-", "nothing");
	expect("cV cV cV! hS", "nothing");
}

static void when_more_than_half_are_silent_nothing_moves(void **state)
{
	expect("cV cV! cV! cS", "nothing");
	expect("cV cV! cV! xS", "nothing");
	expect("cV cV cV! cV! cV! cS cS", "nothing");
	expect("cV cV cV! cV! cV cS cS", "vote 6");
}

static void a_silent_voter_goes_before_a_live_one(void **state)
{
	expect("cV cV- cV cV", "stand by 2");
	expect("cV cV! cV- cV cV cV", "stand by 2");
	expect("cV wV cV cV", "stand by 2");
	expect("cV- cV* cV cV", "stand by 1");
}

static void a_coordinator_that_waits_takes_the_place_of_a_witness(void **state)
{
	expect("cV cV wV cS", "vote 4");
	expect("cV cV wV cV", "stand by 3");
	expect("cV cV wV cS-", "nothing");
	expect("cV wV wV", "nothing");
}

static void who_may_not_vote_any_more_stands_by(void **state)
{
	expect("cV cV hV", "stand by 3");
	expect("cV cV hV- cS", "vote 4");
	expect("cV cV hV cV cV", "stand by 3");
}

static void a_voter_that_the_majority_needs_is_kept_whatever_the_value_says(void **state)
{
	expect("cV xV cV-", "nothing");
	expect("cV hV cV-", "nothing");
	expect("cV cV xV-", "remove 3");
	expect("cV xV xV-", "remove 3");
	expect("cV xV cV- xS", "remove 4");
	expect("wV wV wV wV xV*", "nothing");
}

static void another_takes_the_place_before_one_is_removed(void **state)
{
	expect("cV cV xV cS", "vote 4");
	expect("cV cV xV cV", "remove 3");
	expect("cV cV xV cV cV", "remove 3");
}

/* Two members with one address are refused: nothing else could be changed any more. */
static void a_machine_that_joined_anew_follows_what_it_was(void **state)
{
	expect("cV xS- h@", "remove 2");
	expect("cV h h@S", "stand by 2");
	/* Whoever was a voter there cannot come back: no majority needs it. */
	expect("cV xV- c@", "remove 2");
	expect("cV cV- xV- c@", "remove 3");
	/* Another address: first come, then go. */
	expect("cV xS- h", "stand by 3");
}

static void a_leader_that_is_no_coordinator_hands_leadership_on(void **state)
{
	expect("cV cV wV*", "lead 1");
	expect("cV- cV wV*", "lead 2");
	expect("cV- cS wV*", "vote 2");
	expect("cV- hS wV* wV", "nothing");
	expect("hV* cV cV", "lead 2");
	expect("xV* cV cV", "lead 2");
	expect("wV* hV cS h", "stand by 4");
}

static void a_leader_does_not_remove_itself(void **state)
{
	expect("xV* cV- cV-", "nothing");
	expect("hV* cV- cV-", "nothing");
	expect("xV* wV wV", "nothing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(so_many_vote),
	    cmocka_unit_test(raft_s_members_follow_the_value_one_change_at_a_time),
	    cmocka_unit_test(before_the_cluster_was_founded_the_value_says_nothing),
	    cmocka_unit_test(an_even_number_of_voters_is_for_two_only),
	    cmocka_unit_test(a_stand_by_that_is_not_in_touch_is_not_made_a_voter),
	    cmocka_unit_test(a_voter_that_is_gone_for_good_is_replaced),
	    cmocka_unit_test(without_anybody_to_take_its_place_a_voter_stays),
	    cmocka_unit_test(when_more_than_half_are_silent_nothing_moves),
	    cmocka_unit_test(a_silent_voter_goes_before_a_live_one),
	    cmocka_unit_test(a_coordinator_that_waits_takes_the_place_of_a_witness),
	    cmocka_unit_test(who_may_not_vote_any_more_stands_by),
	    cmocka_unit_test(a_voter_that_the_majority_needs_is_kept_whatever_the_value_says),
	    cmocka_unit_test(another_takes_the_place_before_one_is_removed),
	    cmocka_unit_test(a_machine_that_joined_anew_follows_what_it_was),
	    cmocka_unit_test(a_leader_that_is_no_coordinator_hands_leadership_on),
	    cmocka_unit_test(a_leader_does_not_remove_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
