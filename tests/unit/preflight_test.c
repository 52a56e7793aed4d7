/* What is said of a change of members before it is made, and which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/operation/preflight.h"
#include "tests/unit/seating.h"

static enum replica_role asked = REPLICA_FOLLOWER;

static struct preflight look(const char *line, struct preflight_change change)
{
	struct health_log log = {.members_count = 0};
	log.status.role = asked;
	log.status.heard_ms = SEATING_NOW_MS;
	seating_make(line);
	log.status.leader = leader;
	log.members_count = n;
	memcpy(log.members, members, sizeof(members));
	struct preflight p = preflight_of(&c, &log, &change);
	cluster_close(&c);
	return p;
}

#define LOOK(line, KIND, ...)                                                                      \
	look(line, (struct preflight_change){.kind = PREFLIGHT_##KIND, __VA_ARGS__})

static void assert_says(struct preflight p, const char *expected)
{
	char text[PREFLIGHT_TEXT_MAX];
	preflight_print(&p, text);
	assert_string_equal(text, expected);
}

static void assert_refused(struct preflight p, const char *why)
{
	struct err err = {""};
	assert_int_equal(preflight_judge(&p, &err), -EPERM);
	if (!strstr(err.text, why))
		fail_msg("%s: not: %s", err.text, why);
	assert_null(strchr(err.text, '\n'));
	assert_true(strlen(err.text) < sizeof(err.text) - 1);
}

static void assert_passes(struct preflight p)
{
	struct err err = {""};
	if (preflight_judge(&p, &err))
		fail_msg("%s", err.text);
}

static void it_says_what_is_left_of_the_tolerance(void **state)
{
	assert_says(LOOK("cV cV cV", REMOVE, .node = 3),
	    "voters 3 → 2, in touch 3 → 2, failure tolerance 1 → 0");
	assert_says(LOOK("cV cV cV cV cV", REMOVE, .node = 2),
	    "voters 5 → 3, in touch 5 → 3, failure tolerance 2 → 1");
	assert_says(LOOK("cV cV cV cS", REMOVE, .node = 2),
	    "voters 3 → 3, in touch 3 → 3, failure tolerance 1 → 1");
	assert_says(LOOK("cV cV hS", PROMOTE, .node = 3),
	    "voters 2 → 3, in touch 2 → 3, failure tolerance 0 → 1");
	assert_says(LOOK("cV cV cV-", REMOVE, .node = 3),
	    "voters 3 → 2, in touch 2 → 2, failure tolerance 0 → 0");
	assert_says(LOOK("cV cV cV hS", DEMOTE, .node = 3),
	    "voters 3 → 2, in touch 3 → 2, failure tolerance 1 → 0");
	assert_says(LOOK("cV", ADD), "voters 1 → 2, in touch 1 → 2, failure tolerance 0 → 0");
	assert_says(LOOK("cV cV", ADD), "voters 2 → 3, in touch 2 → 3, failure tolerance 0 → 1");
	assert_says(LOOK("cV cV cV- hS", REPLACE, .node = 3, .successor = 4),
	    "voters 3 → 3, in touch 2 → 3, failure tolerance 0 → 1");
	assert_says(LOOK("cV cV cV hS-", REPLACE, .node = 3, .successor = 4),
	    "voters 3 → 2, in touch 3 → 2, failure tolerance 1 → 0");
}

static void what_keeps_a_tolerance_passes(void **state)
{
	assert_passes(LOOK("cV cV cV hS", REMOVE, .node = 4));
	assert_passes(LOOK("cV cV cV cS", REMOVE, .node = 2));
	assert_passes(LOOK("cV cV cV cV cV", DEMOTE, .node = 2));
	assert_passes(LOOK("cV cV wV hS", REPLACE, .node = 2, .successor = 4));
	assert_passes(LOOK("cV cV cV", ADD));
}

static void where_there_was_none_to_lose_a_dead_one_goes(void **state)
{
	assert_passes(LOOK("cV cV cV-", REMOVE, .node = 3));
	assert_passes(LOOK("cV cV cVf", REMOVE, .node = 3));
	assert_passes(LOOK("cV cV", REMOVE, .node = 2));
	assert_passes(LOOK("cV wV", REMOVE, .node = 2));
}

static void the_last_tolerance_is_not_given_away_silently(void **state)
{
	assert_refused(
	    LOOK("cV cV cV", REMOVE, .node = 3), "failure tolerance 1 → 0: no voter might");
	assert_refused(LOOK("cV cV wV", REMOVE, .node = 3), "no voter might fail any more");
	assert_refused(LOOK("cV cV cV", DEMOTE, .node = 2), "pvc cluster member add NAME");
	assert_refused(
	    LOOK("cV cV cV hS-", REPLACE, .node = 3, .successor = 4), "failure tolerance 1 → 0");
}

static void the_quorum_is_not_given_away_silently(void **state)
{
	struct preflight p = LOOK("cV cV cV-", REMOVE, .node = 2);
	assert_refused(p, "the quorum would not survive it");
	assert_says(p, "voters 3 → 2, in touch 2 → 1, failure tolerance 0 → 0");
	assert_true(p.kept);
	assert_refused(LOOK("cV cV cV-", DEMOTE, .node = 2), "--force");
	/* One silent one less votes, and then the majority is in touch without it. */
	p = LOOK("cV cV cV- cV- cV", REMOVE, .node = 2);
	assert_passes(p);
	assert_says(p, "voters 5 → 3, in touch 3 → 2, failure tolerance 0 → 0");
}

static void without_a_quorum_it_says_so(void **state)
{
	assert_refused(LOOK("cV cV- cV-", REMOVE, .node = 3),
	    "with 1 of 3 voters in touch nothing can be agreed on");
	assert_refused(LOOK("cV cV-", REMOVE, .node = 2), "pvc raft recover");
}

/* It hears those whose keepalives are far apart, too. */
static void the_leader_goes_by_whom_it_hears(void **state)
{
	asked = REPLICA_LEADER;
	assert_says(LOOK("cV cV cV-", REMOVE, .node = 3),
	    "voters 3 → 2, in touch 2 → 2, failure tolerance 0 → 0");
	assert_passes(LOOK("cV cVf cV cV cV", REMOVE, .node = 2));
	assert_says(LOOK("cV cVk cVk", REMOVE, .node = 3),
	    "voters 3 → 2, in touch 3 → 2, failure tolerance 1 → 0");
	asked = REPLICA_FOLLOWER;
}

/* A place is another's only once its voter is fenced, and never while that one is heard. */
static void a_fenced_voter_makes_room_and_one_that_is_only_silent_does_not(void **state)
{
	struct preflight p = LOOK("cV cV cVf hS", PROMOTE, .node = 4);
	assert_true(p.votes);
	assert_says(p, "voters 3 → 3, in touch 2 → 3, failure tolerance 0 → 1");
	p = LOOK("cV cV cV- hS", PROMOTE, .node = 4);
	assert_false(p.votes);
	assert_says(p, "voters 3 → 3, in touch 2 → 2, failure tolerance 0 → 0");
	asked = REPLICA_LEADER;
	assert_false(LOOK("cV cV cVF hS", PROMOTE, .node = 4).votes);
	asked = REPLICA_FOLLOWER;
}

static void where_no_leader_is_heard_nothing_is_promised(void **state)
{
	struct health_log log = {.members_count = 0};
	struct preflight_change change = {.kind = PREFLIGHT_REMOVE, .node = 4};
	seating_make("cV cV cV hS");
	log.members_count = n;
	memcpy(log.members, members, sizeof(members));
	struct preflight p = preflight_of(&c, &log, &change);
	cluster_close(&c);
	assert_refused(p, "this node hears no leader");
}

static void it_knows_who_will_vote(void **state)
{
	assert_true(LOOK("cV cV hS", PROMOTE, .node = 3).votes);
	assert_false(LOOK("cV cV cV hS", PROMOTE, .node = 4).votes);
	assert_true(LOOK("cV cV cV hS", REPLACE, .node = 3, .successor = 4).votes);
	assert_true(LOOK("cV cV", ADD).votes);
	assert_false(LOOK("cV cV cV", ADD).votes);
	assert_false(LOOK("cV cV cV hS", REPLACE, .node = 3, .successor = 4).kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_says_what_is_left_of_the_tolerance),
	    cmocka_unit_test(what_keeps_a_tolerance_passes),
	    cmocka_unit_test(where_there_was_none_to_lose_a_dead_one_goes),
	    cmocka_unit_test(the_last_tolerance_is_not_given_away_silently),
	    cmocka_unit_test(the_quorum_is_not_given_away_silently),
	    cmocka_unit_test(without_a_quorum_it_says_so),
	    cmocka_unit_test(the_leader_goes_by_whom_it_hears),
	    cmocka_unit_test(a_fenced_voter_makes_room_and_one_that_is_only_silent_does_not),
	    cmocka_unit_test(where_no_leader_is_heard_nothing_is_promised),
	    cmocka_unit_test(it_knows_who_will_vote),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
