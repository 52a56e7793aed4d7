/* Elections that need not wait: for a second time-out, for a question that was lost, for a lease
 * that is over. */
#include "tests/unit/group.h"

#define ROUNDS	       20
#define ROUND_TRIPS_MS 60 /* for a pre-vote and a vote, their writes, and everybody's turn */

static unsigned until_other_leader(struct group *g, const struct node *old)
{
	uint64_t begin_ms = g->now_ms;
	wait_for_other_leader(g, old);
	return (unsigned)(g->now_ms - begin_ms);
}

static bool somebody_campaigns(const struct group *g)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->nodes[i].replica && status_of(&g->nodes[i]).role == REPLICA_CANDIDATE)
			return true;
	return false;
}

static void the_first_whose_time_is_out_is_elected(void **state)
{
	struct group *g = started(3);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct node *leader = group_elect(g);
		group_run(g, 200 + round);
		node_crash(leader); /* and no connection breaks */
		while (!somebody_campaigns(g))
			group_run(g, 1);
		assert_in_range(until_other_leader(g, leader), 0, ROUND_TRIPS_MS);
		node_start(leader);
		group_run(g, 2 * ELECTION_MS);
	}
	group_free(g);
}

static void a_vote_is_asked_for_again_where_the_question_was_lost(void **state)
{
	struct group *g = started(3);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct node *leader = group_elect(g), *a = another(g, leader);
		struct node *b = &g->nodes[3 - leader->number - a->number];
		group_run(g, 200);
		node_crash(leader);
		group_cut(g, a->number, b->number, true);
		group_run(g, 10); /* what it said last arrives */
		replica_lost(a->replica, leader->number + 1, clock_of(a));
		replica_lost(b->replica, leader->number + 1, clock_of(b));
		group_run(g, 70 + round);
		group_cut(g, a->number, b->number, false);
		assert_in_range(until_other_leader(g, leader), 0, HEARTBEAT_MS + ROUND_TRIPS_MS);
		node_start(leader);
		group_run(g, 2 * ELECTION_MS);
	}
	group_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_whose_time_is_out_is_elected),
	    cmocka_unit_test(a_vote_is_asked_for_again_where_the_question_was_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
