/* Elections that need not wait: after a resignation, for a second time-out, for a question that
 * was lost. */
#include "tests/unit/group.h"

#define ROUNDS	       20
#define ROUND_TRIPS_MS 60 /* for a pre-vote and a vote, their writes, and everybody's turn */

static void cut_ears(struct group *g, const struct node *n, bool cut)
{
	for (unsigned i = 0; i < g->n; i++)
		g->cut[i][n->number] = cut;
}

static unsigned until_other_leader(struct group *g, const struct node *old)
{
	uint64_t begin_ms = g->now_ms;
	wait_for_other_leader(g, old);
	return (unsigned)(g->now_ms - begin_ms);
}

static void a_leader_that_hears_nobody_says_that_it_gives_up(void **state)
{
	struct group *g = started(3);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct node *leader = group_elect(g);
		group_run(g, 200 + round);
		cut_ears(g, leader, true);
		while (status_of(leader).role == REPLICA_LEADER)
			group_run(g, 1);
		assert_in_range(until_other_leader(g, leader), 0, ROUND_TRIPS_MS);
		cut_ears(g, leader, false);
	}
	group_free(g);
}

static void tell_resigned(struct group *g, const struct node *from, uint64_t term)
{
	struct message m = {.kind = MESSAGE_resigned, .resigned = {.term = term}};
	struct buffer bytes = {0};
	message_encode(&m, &bytes);
	for (unsigned i = 0; i < g->n; i++)
		replica_receive(g->nodes[i].replica, from->number + 1, bytes.data, bytes.size,
		    clock_of(&g->nodes[i]));
	buffer_close(&bytes);
	group_run(g, ELECTION_MS);
}

static void a_resignation_counts_for_who_leads_and_its_term(void **state)
{
	struct group *g = started(5);
	struct node *old = group_elect(g);
	uint64_t before = status_of(old).term;
	replica_transfer(old->replica, 0, clock_of(old));
	wait_for_other_leader(g, old);
	struct node *leader = group_elect(g);
	group_run(g, 100);
	uint64_t term = status_of(leader).term;
	assert_true(term > before);
	tell_resigned(g, leader, before);
	tell_resigned(g, old, term);
	assert_int_equal(status_of(leader).role, REPLICA_LEADER);
	assert_int_equal(status_of(leader).term, term);
	group_free(g);
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
	    cmocka_unit_test(a_leader_that_hears_nobody_says_that_it_gives_up),
	    cmocka_unit_test(a_resignation_counts_for_who_leads_and_its_term),
	    cmocka_unit_test(the_first_whose_time_is_out_is_elected),
	    cmocka_unit_test(a_vote_is_asked_for_again_where_the_question_was_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
