/* The replica, one rule a test. */
#include "tests/unit/group.h"

static struct group *three(void)
{
	struct group *g = group_new(3, 1);
	group_bootstrap(g, 3);
	group_start(g, 3);
	return g;
}

static void write_some(struct group *g, struct node *n, uint32_t client, unsigned count)
{
	static uint32_t sequence[CLIENTS];
	for (unsigned i = 0; i < count; i++) {
		struct operation o = {client, ++sequence[client], i};
		struct request *q = group_wait(g, node_write(n, o, 5000));
		if (q->result < 0)
			fail_msg("write on %u: %d", n->number + 1, q->result);
	}
}

static void everyone_has(struct group *g, unsigned length)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->nodes[i].replica)
			assert_int_equal(g->nodes[i].length, length);
}

static void three_members_elect_one_and_apply_what_any_of_them_proposes(void **state)
{
	struct group *g = three();
	struct node *leader = group_elect(g);
	for (unsigned i = 0; i < 3; i++)
		write_some(g, &g->nodes[i], i, 10);
	group_run(g, 10);
	everyone_has(g, 30);
	assert_int_equal(status_of(leader).voters, 3);
	assert_int_equal(status_of(leader).voters_seen, 3);
	group_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(three_members_elect_one_and_apply_what_any_of_them_proposes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
