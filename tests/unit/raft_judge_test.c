/* What follows from what members said: of their hashes, and of how they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/operation/raft_judge.h"
#include "tests/unit/parsed.h"

static void assert_common(const char *text, uint64_t wanted)
{
	json_t *rows = parsed(text);
	assert_int_equal(raft_hash_common(rows), wanted);
	json_decref(rows);
}

static void the_common_entry_is_the_lowest_that_all_know(void **state)
{
	assert_common("[{'index': 20, 'oldest_index': 1}, {'index': 18, 'oldest_index': 1},"
		      "{'index': 25, 'oldest_index': 2}]",
	    18);
	/* One far behind, of whose entry the others have forgotten the hash. */
	assert_common("[{'index': 5000, 'oldest_index': 3977}, {'index': 100, 'oldest_index': 1},"
		      "{'index': 5002, 'oldest_index': 3979}]",
	    5000);
	/* One that has just begun from a snapshot. */
	assert_common("[{'index': 20, 'oldest_index': 1}, {'index': 21, 'oldest_index': 21},"
		      "{'problem': 'no connection'}]",
	    21);
	assert_common("[{'problem': 'no connection'}]", 0);
}

/* The states in order: "same differs unknown", and what the exit status says. */
static void assert_states(const char *text, const char *wanted, int exit_status)
{
	char states[128] = "";
	size_t i;
	const json_t *row;
	json_t *judged = raft_hash_judge(parsed(text), 7);
	json_array_foreach(json_object_get(judged, "members"), i, row)
	{
		size_t used = strlen(states);
		snprintf(states + used, sizeof(states) - used, "%s%s", i ? " " : "",
		    json_string_value(json_object_get(row, "state")));
	}
	assert_string_equal(states, wanted);
	assert_int_equal(json_integer_value(json_object_get(judged, "exit_status")), exit_status);
	assert_int_equal(json_is_true(json_object_get(judged, "agree")), !exit_status);
	json_decref(judged);
}

static void of_a_few_members_nothing_follows_for_all(void **state)
{
	static const struct {
		const char *rows, *missing;
		json_type agree;
	} cases[] = {
	    {"[{'hash': 'a'}]", NULL, JSON_TRUE},
	    {"[{'hash': 'a'}, {'problem': 'x'}, {'hash': 'a'}]", "1 of 3", JSON_TRUE},
	    {"[{'hash': 'a'}, {'problem': 'x'}, {'problem': 'y'}]", "2 of 3", JSON_NULL},
	    {"[{'hash': 'a'}, {'problem': 'x'}]", "1 of 2", JSON_NULL},
	    /* What is wrong is wrong, however few have seen it. */
	    {"[{'hash': 'a'}, {'hash': 'b'}, {'problem': 'x'}, {'problem': 'y'}]", "2 of 4",
		JSON_FALSE},
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *judged = raft_hash_judge(parsed(cases[i].rows), 7);
		const char *missing = json_string_value(json_object_get(judged, "missing"));
		assert_int_equal(json_typeof(json_object_get(judged, "agree")), cases[i].agree);
		assert_int_equal(json_integer_value(json_object_get(judged, "exit_status")),
		    cases[i].agree != JSON_TRUE);
		assert_int_equal(!missing, !cases[i].missing);
		if (missing)
			assert_int_equal(
			    strncmp(missing, cases[i].missing, strlen(cases[i].missing)), 0);
		json_decref(judged);
	}
}

static void who_differs_from_most_is_named(void **state)
{
	assert_states("[{'hash': 'a'}, {'hash': 'a'}, {'hash': 'a'}]", "same same same", 0);
	assert_states("[{'hash': 'a'}, {'hash': 'b'}, {'hash': 'a'}]", "same differs same", 1);
	assert_states("[{'hash': 'a'}, {'problem': 'x'}, {'hash': 'a'}]", "same unknown same", 0);
	/* Nobody can say which of two is right. */
	assert_states("[{'hash': 'a'}, {'hash': 'b'}]", "differs differs", 1);
	assert_states("[{'hash': 'a'}, {'hash': 'b'}, {'hash': 'c'}, {'hash': 'd'}]",
	    "differs differs differs differs", 1);
	/* One that was found out before differs, whatever its hash is by now. */
	assert_states("[{'hash': 'a'}, {'hash': 'a', 'diverged_at': 3}]", "same differs", 1);
}

#define LEADER                                                                                     \
	"{'id': 1, 'node': 'hv1', 'role': 'leader', 'term': 7, 'leader': 'hv1', 'voters': 3,"      \
	"'failure_tolerance': 1, 'election_ms': 300, 'heartbeat_ms': 50, 'lease_ms': 240,"         \
	"'members': [{'node': 'hv1', 'heard_age_ms': 0, 'lag': 0}, %s]}"
#define WELL "{'node': 'hv2', 'heard_age_ms': 20, 'lag': 1}"

/* Health by what the leader says of hv2, and by what a third row is. */
static void assert_health(
    const char *member, const char *row, const char *health, const char *reason)
{
	char leader[1024], text[2048];
	snprintf(leader, sizeof(leader), LEADER, member);
	snprintf(text, sizeof(text), "[%s%s%s]", leader, *row ? ", " : "", row);
	struct raft_probe probe = {.index = 40, .took_us = 1500, .why = ""};
	json_t *judged = raft_health_judge(&probe, parsed(text));
	const json_t *reasons = json_object_get(judged, "reasons");
	const char *first = json_string_value(json_array_get(reasons, 0));
	assert_string_equal(first ? first : "", reason);
	assert_int_equal(json_array_size(reasons), *reason ? 1 : 0);
	assert_string_equal(json_string_value(json_object_get(judged, "health")), health);
	assert_int_equal(json_integer_value(json_object_get(judged, "exit_status")), !!*reason);
	json_decref(judged);
}

static void each_thing_that_is_wrong_is_a_reason(void **state)
{
	assert_health(WELL, "", "healthy", "");
	assert_health("{'node': 'hv2', 'heard_age_ms': 20, 'lag': 1200}", "", "degraded",
	    "hv2 is 1200 entries behind");
	assert_health("{'node': 'hv2', 'heard_age_ms': 7000, 'lag': 1}", "", "degraded",
	    "the leader has not heard hv2 for 7 s");
	assert_health("{'node': 'hv2', 'heard_age_ms': null}", "", "degraded",
	    "the leader has not heard hv2");
	assert_health(WELL, "{'node': 'hv3', 'problem': 'no connection'}", "degraded",
	    "hv3 does not answer: no connection");
	assert_health(WELL, "{'node': 'hv3', 'role': 'closed', 'failure': 'disk full'}", "degraded",
	    "hv3: its log is closed: disk full");
	assert_health(
	    WELL, "{'node': 'hv3', 'role': 'candidate'}", "degraded", "hv3 hears no leader");
	assert_health(WELL, "{'node': 'hv3', 'leader': 'hv1', 'diverged_at': 12}", "degraded",
	    "hv3: its value differs from the others' since entry 12");
	assert_health(WELL, "{'node': 'hv3', 'leader': 'hv1', 'free_bytes': 1048576}", "degraded",
	    "hv3: 1 MiB are free on the log's disk");
	assert_health(WELL,
	    "{'node': 'hv3', 'leader': 'hv1', 'lease_ms': 240, 'write_waits_ms': 240}", "degraded",
	    "hv3: the log's disk has not answered for 240 ms");
}

static void whose_heartbeats_are_too_seldom_for_a_voter_is_named(void **state)
{
	assert_health(WELL,
	    "{'node': 'hv3', 'leader': 'hv1', 'heartbeat_ms': 263, 'election_ms': 900}", "degraded",
	    "hv3: raft.heartbeat_ms 263 is too long for hv1, whose raft.election_ms is 300: as "
	    "leader it loses its lease between heartbeats");
	assert_health(WELL,
	    "{'node': 'hv3', 'leader': 'hv1', 'heartbeat_ms': 262, 'election_ms': 900}", "healthy",
	    "");
	assert_health(WELL,
	    "{'node': 'hv3', 'leader': 'hv1', 'heartbeat_ms': 10, 'election_ms': 50}", "degraded",
	    "hv1: raft.heartbeat_ms 50 is too long for hv3, whose raft.election_ms is 50: as "
	    "leader it loses its lease between heartbeats");
	/* A stand-by promises nothing, and does not lead. */
	assert_health("{'node': 'hv2', 'role': 'standby', 'heard_age_ms': 20, 'lag': 1}",
	    "{'node': 'hv2', 'leader': 'hv1', 'heartbeat_ms': 400, 'election_ms': 20}", "healthy",
	    "");
}

static void voters_that_have_failed_already_are_counted(void **state)
{
	struct raft_probe probe = {.why = ""};
	json_t *judged = raft_health_judge(
	    &probe, parsed("[{'node': 'hv1', 'role': 'leader', 'leader': 'hv1', 'voters': 5,"
			   "'failure_tolerance': 1}]"));
	assert_string_equal(
	    json_string_value(json_array_get(json_object_get(judged, "reasons"), 0)),
	    "of 5 voters 2 could fail, by now 1 more may");
	json_decref(judged);
}

static void the_newer_of_two_leaders_leads(void **state)
{
	struct raft_probe probe = {.why = ""};
	json_t *judged = raft_health_judge(
	    &probe, parsed("[{'node': 'hv1', 'role': 'leader', 'leader': 'hv1', 'term': 3},"
			   "{'node': 'hv2', 'role': 'leader', 'leader': 'hv2', 'term': 4}]"));
	assert_string_equal(json_string_value(json_object_get(judged, "leader")), "hv2");
	json_decref(judged);
}

static void what_is_not_committed_is_no_quorum(void **state)
{
	struct raft_probe probe = {.status = -ETIMEDOUT, .why = "it was not in time"};
	json_t *judged = raft_health_judge(&probe, parsed("[]"));
	assert_string_equal(json_string_value(json_object_get(judged, "health")), "no quorum");
	assert_int_equal(json_integer_value(json_object_get(judged, "exit_status")), 2);
	assert_string_equal(
	    json_string_value(json_array_get(json_object_get(judged, "reasons"), 0)),
	    "an entry could not be committed: it was not in time");
	assert_true(json_is_null(json_object_get(judged, "index")));
	json_decref(judged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_common_entry_is_the_lowest_that_all_know),
	    cmocka_unit_test(who_differs_from_most_is_named),
	    cmocka_unit_test(of_a_few_members_nothing_follows_for_all),
	    cmocka_unit_test(each_thing_that_is_wrong_is_a_reason),
	    cmocka_unit_test(whose_heartbeats_are_too_seldom_for_a_voter_is_named),
	    cmocka_unit_test(voters_that_have_failed_already_are_counted),
	    cmocka_unit_test(the_newer_of_two_leaders_leads),
	    cmocka_unit_test(what_is_not_committed_is_no_quorum),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
