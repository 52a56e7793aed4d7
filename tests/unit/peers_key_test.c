#include "tests/unit/members.h"

static void set_key(struct member *of, const struct member *member, const char *incarnation)
{
	struct peers_member who = member_at(member->id, peers_port(member->peers));
	snprintf(who.incarnation, sizeof(who.incarnation), "%s", incarnation);
	peers_members(of->peers, &who, 1);
}

/* As whoever keeps a CA's key could make one. */
static void a_good_certificate_of_another_key_is_no_members(void **state)
{
	struct member nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	set_key(&nodes[0], &nodes[1], nodes[0].incarnation);
	WAIT_FOR(nodes[0].strangers > 0); /* dialled */
	assert_non_null(strstr(nodes[0].stranger, "node 2 (node2), but of another key"));
	nodes[0].strangers = 0;
	set_key(&nodes[1], &nodes[0], nodes[0].incarnation);
	WAIT_FOR(nodes[0].strangers > 2); /* and who dials */
	assert_true(connected(&nodes[0], 0));
	set_key(&nodes[0], &nodes[1], nodes[1].incarnation);
	WAIT_FOR(all_connected(nodes, 2));
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void who_is_found_to_have_another_key_is_cut_off(void **state)
{
	struct member nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	set_key(&nodes[0], &nodes[1], nodes[1].incarnation);
	assert_int_equal(nodes[0].strangers, 0);
	set_key(&nodes[0], &nodes[1], nodes[0].incarnation);
	WAIT_FOR(nodes[0].strangers > 2 && connected(&nodes[0], 0) && connected(&nodes[1], 0));
	assert_int_equal(nodes[0].lost[2], 0);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_LOOP(a_good_certificate_of_another_key_is_no_members),
	    ON_LOOP(who_is_found_to_have_another_key_is_cut_off),
	};
	return cmocka_run_group_tests(tests, authority_setup, authority_teardown);
}
