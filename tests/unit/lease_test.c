/* The lease among members that are not set alike, and whose settings change. */
#include "tests/unit/group.h"

#define SHORT_MS 300
#define LONG_MS	 4000

static struct group *mixed(unsigned first_ms, unsigned second_ms, unsigned third_ms)
{
	struct group *g = group_new(3, 1);
	const unsigned election_ms[] = {first_ms, second_ms, third_ms};
	for (unsigned i = 0; i < 3; i++)
		g->nodes[i].election_ms = election_ms[i];
	group_bootstrap(g, 3);
	group_start(g, 3);
	return g;
}

/* This one leads, and has for a while. */
static struct node *lead(struct group *g, uint64_t id)
{
	for (unsigned tries = 0; tries < 20; tries++) {
		struct node *leader = group_elect(g);
		group_run(g, 200);
		if (leader == &g->nodes[id - 1])
			return leader;
		replica_transfer(leader->replica, id, clock_of(leader));
		group_run(g, 200);
	}
	fail_msg("%u does not lead", (unsigned)id);
	return NULL;
}

static struct node *lead_first(struct group *g)
{
	return lead(g, 1);
}

static void a_lease_ends_before_the_least_patient_of_a_majority_may_vote(void **state)
{
	static const unsigned settings[][3] = {{LONG_MS, SHORT_MS, SHORT_MS},
	    {LONG_MS, LONG_MS, SHORT_MS}, {LONG_MS, SHORT_MS, LONG_MS},
	    {SHORT_MS, LONG_MS, LONG_MS}, {SHORT_MS, LONG_MS, SHORT_MS}};
	for (unsigned i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		struct group *g = mixed(settings[i][0], settings[i][1], settings[i][2]);
		struct node *leader = lead_first(g);
		/* group_run() looks for a second leader at every step. */
		group_isolate(g, leader, true);
		group_run(g, 3 * LONG_MS);
		assert_ptr_not_equal(group_leader(g), leader);
		group_free(g);
	}
}

static void the_more_patient_majority_gives_a_long_lease(void **state)
{
	struct group *g = mixed(LONG_MS, LONG_MS, SHORT_MS);
	struct node *leader = lead_first(g);
	assert_true(replica_lease_left(leader->replica, clock_of(leader)) > LONG_MS / 2);
	group_free(g);
}

/* The third would lead at any time, if the second voted for it. */
static void restarts_with_less_patience_keep_the_promise(unsigned restarts)
{
	struct group *g = mixed(LONG_MS, LONG_MS, SHORT_MS);
	struct node *leader = lead_first(g), *voter = &g->nodes[1];
	group_cut(g, leader->number, 2, true);
	group_isolate(g, leader, true);
	for (unsigned i = 0; i < restarts; i++) {
		voter->election_ms = SHORT_MS;
		node_crash(voter);
		node_start(voter);
		group_run(g, 100);
	}
	group_run(g, 3 * LONG_MS);
	assert_ptr_not_equal(group_leader(g), leader);
	group_free(g);
}

static void a_member_started_with_less_patience_keeps_its_old_promise(void **state)
{
	restarts_with_less_patience_keep_the_promise(1);
}

static void one_that_is_started_twice_does_too(void **state)
{
	restarts_with_less_patience_keep_the_promise(3);
}

static void a_member_started_with_more_patience_keeps_its_new_promise(void **state)
{
	struct group *g = mixed(LONG_MS, SHORT_MS, SHORT_MS);
	struct node *leader = lead_first(g), *voter = &g->nodes[1];
	voter->election_ms = LONG_MS;
	node_crash(voter);
	node_start(voter);
	group_run(g, 1000);
	assert_ptr_equal(group_leader(g), leader);
	assert_true(replica_lease_left(leader->replica, clock_of(leader)) > LONG_MS / 2);
	group_isolate(g, leader, true);
	voter->election_ms = SHORT_MS;
	node_crash(voter);
	node_start(voter);
	group_run(g, 2 * LONG_MS);
	assert_ptr_not_equal(group_leader(g), leader);
	group_free(g);
}

static void once_the_old_promise_is_over_the_next_start_need_not_wait_for_it(void **state)
{
	struct group *g = mixed(LONG_MS, LONG_MS, LONG_MS);
	group_elect(g);
	for (unsigned i = 0; i < 3; i++) {
		node_crash(&g->nodes[i]);
		g->nodes[i].election_ms = SHORT_MS;
	}
	group_start(g, 3);
	group_elect(g);
	group_run(g, 1000);
	for (unsigned i = 0; i < 3; i++)
		node_crash(&g->nodes[i]);
	group_start(g, 3);
	uint64_t before_ms = g->now_ms;
	group_elect(g);
	assert_true(g->now_ms - before_ms < LONG_MS / 2);
	group_free(g);
}

static void less_patience_at_run_time_breaks_no_promise(void **state)
{
	struct group *g = mixed(LONG_MS, LONG_MS, SHORT_MS);
	struct node *leader = lead_first(g);
	replica_set_election(g->nodes[1].replica, LONG_MS * 4 / 5 + 1);
	assert_int_equal(status_of(&g->nodes[1]).election_ms, LONG_MS);
	replica_set_election(g->nodes[1].replica, 2 * LONG_MS);
	assert_int_equal(status_of(&g->nodes[1]).election_ms, 2 * LONG_MS);
	replica_set_election(g->nodes[1].replica, LONG_MS);
	group_isolate(g, leader, true);
	group_run(g, 4 * LONG_MS);
	assert_ptr_not_equal(group_leader(g), leader);
	group_free(g);
}

/* Vote and term are on its disk, and the promise with them. */
static void a_new_term_shortens_no_promise_of_an_earlier_life(void **state)
{
	struct group *g = mixed(LONG_MS, LONG_MS, SHORT_MS);
	struct node *leader = lead_first(g), *voter = &g->nodes[1];
	struct message m = {
	    .kind = MESSAGE_append, .append = {.term = status_of(leader).term + 1, .commit = 0}};
	struct buffer bytes = {0};
	group_isolate(g, leader, true);
	node_crash(voter);
	voter->election_ms = SHORT_MS;
	node_start(voter);
	message_encode(&m, &bytes);
	replica_receive(voter->replica, 3, bytes.data, bytes.size, clock_of(voter));
	buffer_close(&bytes);
	group_run(g, 50);
	assert_int_equal(voter->store.term, m.append.term);
	assert_int_equal(voter->store.promise_ms, LONG_MS);
	group_free(g);
}

/* Of the leader's connections it is said that they broke, while it goes on. Whether the
 * new one promised it something itself, or only who follows it. */
static void an_early_leader_learns_how_long_the_old_lease_can_last(struct group *g)
{
	struct node *old = lead_first(g);
	g->lenient = true;
	group_isolate(g, old, true);
	uint64_t lease_ms = g->now_ms + replica_lease_left(old->replica, clock_of(old));
	for (unsigned i = 1; i < 3; i++)
		replica_lost(g->nodes[i].replica, 1, clock_of(&g->nodes[i]));
	wait_for_other_leader(g, old);
	struct node *leader = group_elect(g);
	assert_ptr_not_equal(leader, old);
	assert_true(lease_ms > g->now_ms + LONG_MS / 2);
	assert_ptr_equal(leader, &g->nodes[1]);
	uint64_t wait_ms = status_of(leader).free_ms - clock_of(leader);
	assert_true(g->now_ms + wait_ms >= lease_ms);
	assert_true(wait_ms < 2 * LONG_MS);
	/* It is known at once, and does not move any more. */
	uint64_t free_ms = status_of(leader).free_ms;
	group_run(g, 1000);
	assert_int_equal(status_of(leader).free_ms, free_ms);
	group_free(g);
}

static void an_early_leader_knows_how_long_the_old_lease_can_last(void **state)
{
	an_early_leader_learns_how_long_the_old_lease_can_last(mixed(LONG_MS, LONG_MS, SHORT_MS));
	an_early_leader_learns_how_long_the_old_lease_can_last(mixed(LONG_MS, SHORT_MS, LONG_MS));
}

/* Everybody else who promised it something is gone: it says itself what it had. */
static void an_old_leader_tells_of_the_lease_that_it_had(void **state)
{
	static const unsigned election_ms[] = {SHORT_MS, LONG_MS, SHORT_MS, LONG_MS, LONG_MS};
	struct group *g = group_new(5, 1);
	for (unsigned i = 0; i < 5; i++)
		g->nodes[i].election_ms = election_ms[i];
	group_bootstrap(g, 5);
	group_start(g, 5);
	struct node *old = lead(g, 2), *early = &g->nodes[0];
	group_run(g, 2 * LONG_MS); /* what it promised others before is over */
	g->lenient = true;
	uint64_t lease_ms = g->now_ms + replica_lease_left(old->replica, clock_of(old));
	assert_true(lease_ms > g->now_ms + LONG_MS / 2);
	g->lose = MESSAGE_pong;
	for (unsigned i = 0; i < 5; i++)
		if (i != 1)
			replica_lost(g->nodes[i].replica, 2, clock_of(&g->nodes[i]));
	wait_for_other_leader(g, old);
	node_crash(&g->nodes[3]);
	node_crash(&g->nodes[4]);
	g->lose = 0;
	assert_ptr_equal(group_elect(g), early);
	assert_true(g->now_ms + status_of(early).free_ms - clock_of(early) >= lease_ms);
	group_free(g);
}

static void a_member_that_starts_again_does_not_make_its_leader_wait(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *other = another(g, leader);
	group_run(g, 2000);
	uint64_t free_ms = status_of(leader).free_ms;
	assert_true(free_ms < clock_of(leader));
	node_crash(other);
	node_start(other);
	group_run(g, 500);
	assert_ptr_equal(group_leader(g), leader);
	assert_int_equal(status_of(leader).free_ms, free_ms);
	group_free(g);
}

static uint64_t left(const struct node *n)
{
	return replica_lease_left(n->replica, clock_of(n));
}

static bool pong_on_the_way(const struct group *g)
{
	for (const struct packet *p = g->packets; p; p = p->next)
		if (p->bytes[1] == MESSAGE_pong)
			return true;
	return false;
}

/* A leader that closed the connections itself: who was at their other ends may now take it for dead
 * and vote, whatever it promised, and whatever of that is still on the way. */
static void a_promise_ends_with_its_connection(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	group_run(g, 200);
	assert_true(left(leader) > 0);
	g->delay_ms = 20;
	while (!pong_on_the_way(g))
		group_run(g, 1);
	g->lose = MESSAGE_ping;
	for (unsigned i = 0; i < 3; i++)
		if (i != leader->number)
			replica_lost(leader->replica, i + 1, clock_of(leader));
	assert_int_equal(left(leader), 0);
	for (unsigned ms = 0; ms < 60; ms++) {
		group_run(g, 1);
		assert_int_equal(left(leader), 0);
	}
	g->lose = 0;
	group_run(g, 120);
	assert_true(left(leader) > 0);
	group_free(g);
}

static void one_connection_of_three_costs_no_lease(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	group_run(g, 200);
	replica_lost(leader->replica, another(g, leader)->number + 1, clock_of(leader));
	assert_true(left(leader) > 0);
	group_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_lease_ends_before_the_least_patient_of_a_majority_may_vote),
	    cmocka_unit_test(the_more_patient_majority_gives_a_long_lease),
	    cmocka_unit_test(a_member_started_with_less_patience_keeps_its_old_promise),
	    cmocka_unit_test(one_that_is_started_twice_does_too),
	    cmocka_unit_test(a_member_started_with_more_patience_keeps_its_new_promise),
	    cmocka_unit_test(once_the_old_promise_is_over_the_next_start_need_not_wait_for_it),
	    cmocka_unit_test(less_patience_at_run_time_breaks_no_promise),
	    cmocka_unit_test(a_new_term_shortens_no_promise_of_an_earlier_life),
	    cmocka_unit_test(an_early_leader_knows_how_long_the_old_lease_can_last),
	    cmocka_unit_test(an_old_leader_tells_of_the_lease_that_it_had),
	    cmocka_unit_test(a_promise_ends_with_its_connection),
	    cmocka_unit_test(one_connection_of_three_costs_no_lease),
	    cmocka_unit_test(a_member_that_starts_again_does_not_make_its_leader_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
