/* The CAs in the cluster's value: a rotation goes from phase to phase, and waits for every node. */
#include <errno.h>

#include "fsm/authority.h"
#include "fsm/membership.h"
#include "fsm/snapshot.h"
#include "tests/unit/value.h"

static int made(uint32_t authority, char digit)
{
	struct command command = {
	    .number = COMMAND_authority_made,
	    .authority_made = {.authority = authority, .certificate = "PEM"},
	};
	memset(command.authority_made.fingerprint, digit, 64);
	return apply(command);
}

#define TRUST(who, by, ...) APPLY(node_trust, .node = who, .signer = by, __VA_ARGS__)

static bool waits_for(const char *names)
{
	char text[128];
	authority_awaited(&c, text, sizeof(text));
	return strcmp(text, names) == 0;
}

/* Two coordinators and a node that is none, with CA 1. */
static int three_nodes(void **state)
{
	value_found();
	value_join(2, NODE_COORDINATOR);
	value_join(3, NODE_HYPERVISOR);
	assert_int_equal(made(0, 'a'), 1);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(TRUST(i, 1, .trusts = {1}, .keys = {i < 3 ? 1 : 0}), 0);
	return 0;
}

static void the_first_ca_is_active_and_told_once(void **state)
{
	assert_int_equal(authority_active(&c)->id, 1);
	assert_int_equal(made(0, 'b'), -EEXIST);
	assert_null(authority_moving(&c));
	assert_true(waits_for(""));
}

static void a_rotation_goes_through_its_phases_as_the_nodes_follow(void **state)
{
	assert_int_equal(APPLY(authority_rotate, .active = 1), 2);
	assert_int_equal(authority_moving(&c)->state, AUTHORITY_WANTED);
	assert_int_equal(APPLY(authority_shift, .authority = 2), -ESTALE);
	assert_int_equal(made(2, 'b'), 3);
	assert_int_equal(authority_moving(&c)->state, AUTHORITY_INCOMING);
	assert_true(waits_for("hv1, hv2, hv3"));
	assert_int_equal(TRUST(1, 1, .trusts = {1, 3}, .keys = {1, 3}), 0);
	assert_int_equal(TRUST(2, 1, .trusts = {1, 3}, .keys = {1}), 0);
	assert_int_equal(TRUST(3, 1, .trusts = {1, 3}), 0);
	/* A coordinator has to have the key, too. */
	assert_true(waits_for("hv2"));
	assert_int_equal(APPLY(authority_shift, .authority = 3), -EBUSY);
	assert_non_null(strstr(err.text, "waits for hv2"));
	assert_int_equal(TRUST(2, 1, .trusts = {1, 3}, .keys = {3, 1}), 0);
	assert_int_equal(APPLY(authority_shift, .authority = 3), 0);
	assert_int_equal(authority_active(&c)->id, 3);
	assert_int_equal(authority_moving(&c)->id, 1);
	assert_int_equal(authority_moving(&c)->state, AUTHORITY_OUTGOING);
	/* Said again it does nothing. */
	assert_int_equal(APPLY(authority_shift, .authority = 3), -ESTALE);
	assert_true(waits_for("hv1, hv2, hv3"));
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(APPLY(authority_shift, .authority = 1), -EBUSY);
		assert_int_equal(TRUST(i, 3, .trusts = {1, 3}), 0);
	}
	assert_int_equal(APPLY(authority_shift, .authority = 1), 0);
	assert_null(authority_moving(&c));
	assert_int_equal(c.authorities.count, 1);
	assert_int_equal(authority_active(&c)->id, 3);
}

static void only_one_rotation_at_a_time(void **state)
{
	assert_int_equal(APPLY(authority_rotate, .active = 7), -ESTALE);
	assert_int_equal(APPLY(authority_rotate, .active = 1), 2);
	assert_int_equal(APPLY(authority_rotate, .active = 1), -EALREADY);
	made(2, 'b');
	assert_int_equal(APPLY(authority_rotate, .active = 1), -EALREADY);
}

static void an_incoming_ca_whose_key_is_lost_is_replaced_under_a_new_number(void **state)
{
	APPLY(authority_rotate, .active = 1);
	assert_int_equal(made(2, 'b'), 3);
	for (uint32_t i = 1; i <= 3; i++)
		TRUST(i, 1, .trusts = {1, 3}, .keys = {1, 3});
	assert_int_equal(made(3, 'b'), -EEXIST);
	assert_int_equal(made(3, 'c'), 4);
	/* Whoever trusted the lost one does not trust this one. */
	assert_int_equal(authority_awaited(&c, err.text, sizeof(err.text)), 3);
	assert_int_equal(made(3, 'd'), -ESTALE);
}

static void a_phase_can_be_forced_and_a_node_that_is_removed_is_waited_for_no_more(void **state)
{
	APPLY(authority_rotate, .active = 1);
	made(2, 'b');
	TRUST(1, 1, .trusts = {1, 3}, .keys = {1, 3});
	TRUST(2, 1, .trusts = {1, 3}, .keys = {1, 3});
	assert_true(waits_for("hv3"));
	assert_int_equal(APPLY(authority_shift, .authority = 3, .force = true), 0);
	TRUST(1, 3, .trusts = {1, 3});
	TRUST(2, 3, .trusts = {1, 3});
	assert_true(waits_for("hv3"));
	assert_int_equal(APPLY(leave, .node = 3, .judged = membership_mark(&c)), 0);
	assert_true(waits_for(""));
	assert_int_equal(APPLY(authority_shift, .authority = 1), 0);
}

static void a_ca_whose_key_nobody_has_is_not_forced_into_its_place(void **state)
{
	APPLY(authority_rotate, .active = 1);
	made(2, 'b');
	assert_int_equal(APPLY(authority_shift, .authority = 3, .force = true), -ENOKEY);
	TRUST(1, 1, .trusts = {1, 3}, .keys = {1, 3});
	assert_int_equal(APPLY(authority_shift, .authority = 3, .force = true), 0);
}

static void names_that_do_not_fit_are_cut(void **state)
{
	char text[6];
	APPLY(authority_rotate, .active = 1);
	made(2, 'b');
	assert_int_equal(authority_awaited(&c, text, sizeof(text)), 3);
	assert_string_equal(text, "hv1, ");
}

static void a_rotation_is_in_the_snapshot(void **state)
{
	struct buffer bytes = {0};
	struct cluster again;
	APPLY(authority_rotate, .active = 1);
	made(2, 'b');
	snapshot_encode(&c, &bytes);
	cluster_init(&again);
	assert_int_equal(snapshot_decode(&again, bytes.data, bytes.size, &err), 0);
	assert_int_equal(authority_moving(&again)->id, 3);
	assert_string_equal(authority_moving(&again)->certificate, "PEM");
	assert_true(again.hash == c.hash);
	cluster_close(&again);
	buffer_close(&bytes);
}

#define IN_CLUSTER(test) cmocka_unit_test_setup_teardown(test, three_nodes, value_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_CLUSTER(the_first_ca_is_active_and_told_once),
	    IN_CLUSTER(a_rotation_goes_through_its_phases_as_the_nodes_follow),
	    IN_CLUSTER(only_one_rotation_at_a_time),
	    IN_CLUSTER(an_incoming_ca_whose_key_is_lost_is_replaced_under_a_new_number),
	    IN_CLUSTER(a_phase_can_be_forced_and_a_node_that_is_removed_is_waited_for_no_more),
	    IN_CLUSTER(a_ca_whose_key_nobody_has_is_not_forced_into_its_place),
	    IN_CLUSTER(names_that_do_not_fit_are_cut),
	    IN_CLUSTER(a_rotation_is_in_the_snapshot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
