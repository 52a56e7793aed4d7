/* The rules of raft/step.c, membership.c and writes.c that keep libraft from stumbling, and the
 * promises that hang on them: each alone. */
#include "tests/unit/group.h"

static void tell(struct node *to, uint64_t from, const struct message *m)
{
	struct buffer bytes = {0};
	message_encode(m, &bytes);
	replica_receive(to->replica, from, bytes.data, bytes.size, clock_of(to));
	buffer_close(&bytes);
}

struct script { /* entries to be sent by a leader that is not there */
	struct buffer tail;
	struct message m;
};

static void script_begin(struct script *s, uint64_t term, uint64_t prev_index, uint64_t prev_term)
{
	s->tail.size = 0;
	s->m = (struct message){.kind = MESSAGE_append};
	s->m.append.term = term;
	s->m.append.prev_index = prev_index;
	s->m.append.prev_term = prev_term;
}

static void script_add(struct script *s, uint64_t term, unsigned voters)
{
	struct configuration c = {0};
	struct buffer bytes = {0};
	struct disk_entry e = {term, DISK_BARRIER, 8, (const uint8_t *)"\0\0\0\0\0\0\0"};
	for (unsigned i = 0; i < voters; i++) {
		char address[32];
		snprintf(address, sizeof(address), "10.0.0.%u:7000", i + 1);
		configuration_set(&c, i + 1, address, MEMBER_VOTER);
	}
	configuration_encode(&c, &bytes);
	if (voters)
		e = (struct disk_entry){term, DISK_CHANGE, (uint32_t)bytes.size, bytes.data};
	message_entry_add(&s->tail, &e);
	s->m.append.count++;
	buffer_close(&bytes);
}

static void script_play(struct script *s, struct node *to, uint64_t from)
{
	s->m.tail = s->tail.data;
	s->m.tail_size = s->tail.size;
	tell(to, from, &s->m);
}

static void a_leader_that_knows_little_of_a_compacted_follower_does_not_start_it_over(void **state)
{
	struct group *g = group_new(3, 1);
	group_bootstrap(g, 3);
	for (unsigned i = 1; i < 3; i++)
		g->nodes[i].snapshot_log_bytes = 500;
	group_start(g, 3);
	struct node *leader = &g->nodes[0], *late = &g->nodes[1];
	for (unsigned i = 0; i < 20 && group_elect(g) != leader; i++) {
		replica_transfer(group_leader(g)->replica, 1, clock_of(group_leader(g)));
		group_run(g, 100);
	}
	assert_ptr_equal(group_leader(g), leader);
	g->cut[late->number][leader->number] = true; /* what it has the leader never learns */
	write_some(leader, 1, 25);
	group_run(g, 1000);
	assert_int_equal(late->length, 25);
	assert_true(status_of(late).first > 2);
	g->cut[late->number][leader->number] = false;
	group_run(g, 300);
	write_some(leader, 1, 5);
	group_run(g, 300);
	everyone_has(g, 30);
	group_free(g);
}

static void a_promoted_member_votes_before_it_knows_of_it(void **state)
{
	struct group *g = group_new(2, 1);
	group_bootstrap(g, 1);
	group_start(g, 2);
	change(g, 2, MEMBER_STANDBY);
	group_run(g, 100);
	group_cut(g, 0, 1, true);
	node_change(&g->nodes[0], 2, MEMBER_VOTER);
	group_run(g, 20);
	assert_int_equal(status_of(&g->nodes[0]).voters, 2);
	node_crash(&g->nodes[0]);
	group_cut(g, 0, 1, false);
	node_start(&g->nodes[0]);
	write_some(group_elect(g), 1, 1);
	group_free(g);
}

static void a_member_that_loses_its_vote_holds_nobody_up(void **state)
{
	struct group *g = started(2);
	struct node *leader = group_elect(g), *other = another(g, leader);
	group_run(g, 100);
	leader->stuck = true; /* the change is not on the leader's disk when it goes down */
	node_change(leader, other->number + 1, MEMBER_STANDBY);
	group_run(g, 20);
	while (leader->jobs)
		free(disk_pop(leader));
	node_crash(leader);
	node_start(leader);
	write_some(group_elect(g), 1, 1);
	group_free(g);
}

static void the_longest_log_wins_in_spite_of_its_old_term(void **state)
{
	struct group *g = group_new(3, 1);
	struct disk_entry e = {2, DISK_BARRIER, 8, (const uint8_t *)"\0\0\0\0\0\0\0"};
	group_bootstrap(g, 3);
	store_append(&g->nodes[0].store, 2, &e, 1);
	g->nodes[0].store.term = 2;
	g->nodes[1].store.term = 9;
	group_start(g, 2);
	assert_ptr_equal(group_elect(g), &g->nodes[0]);
	group_free(g);
}

static void a_late_refusal_is_ignored(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *gone = another(g, leader);
	write_some(leader, 1, 5);
	group_run(g, 100);
	node_crash(gone);
	group_run(g, 400);
	uint64_t match = status_of(leader).last;
	struct message m = {.kind = MESSAGE_appended};
	m.appended = (struct message_appended){status_of(leader).term, match, match - 1};
	tell(leader, gone->number + 1, &m);
	assert_int_equal(status_of(leader).role, REPLICA_LEADER);
	group_free(g);
}

/* By a copy of yesterday, say. It has a vote that it may have given since. */
static void a_member_whose_disk_was_put_back_notices(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *back = another(g, leader);
	write_some(leader, 1, 9);
	group_run(g, 200);
	node_crash(back);
	store_truncate(&back->store, 6);
	node_start(back);
	group_run(g, 1000);
	assert_int_equal(status_of(back).role, REPLICA_FAILED);
	assert_non_null(strstr(replica_failure(back->replica), "the log ends at 5 here"));
	assert_int_equal(status_of(leader).role, REPLICA_LEADER);
	write_some(leader, 1, 1);
	group_free(g);
}

static void a_second_leader_of_the_same_term_is_not_believed(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	struct script s = {0};
	script_begin(&s, status_of(leader).term, 1, 1);
	script_add(&s, 1, 0);
	script_play(&s, leader, another(g, leader)->number + 1);
	assert_int_equal(status_of(leader).role, REPLICA_LEADER);
	assert_int_equal(status_of(leader).bad_messages, 1);
	buffer_close(&s.tail);
	group_free(g);
}

static void a_contradiction_below_the_commit_index_stops_a_member(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *n = another(g, leader);
	write_some(leader, 1, 5);
	group_run(g, 10);
	struct script s = {0};
	script_begin(&s, 99, 1, 1);
	script_add(&s, 99, 0);
	script_play(&s, n, 1 + leader->number);
	assert_int_equal(status_of(n).role, REPLICA_FAILED);
	assert_non_null(strstr(replica_failure(n->replica), "contradicts"));
	buffer_close(&s.tail);
	group_free(g);
}

static void a_change_that_is_taken_back_leaves_the_one_before(void **state)
{
	struct group *g = group_new(3, 1);
	struct script s = {0};
	group_start(g, 1);
	script_begin(&s, 2, 0, 0);
	script_add(&s, 1, 2);
	script_add(&s, 2, 0);
	script_add(&s, 2, 3);
	script_play(&s, &g->nodes[0], 2);
	assert_int_equal(status_of(&g->nodes[0]).voters, 3);
	script_begin(&s, 3, 2, 2);
	script_add(&s, 3, 0);
	script_play(&s, &g->nodes[0], 3);
	assert_int_equal(status_of(&g->nodes[0]).voters, 2);
	buffer_close(&s.tail);
	group_free(g);
}

static unsigned acknowledged(const struct group *g, uint64_t index)
{
	unsigned n = 0;
	for (const struct packet *p = g->packets; p; p = p->next) {
		struct message m;
		assert_int_equal(message_decode(p->bytes, p->size, &m), 0);
		n += m.kind == MESSAGE_appended && !m.appended.rejected &&
		     m.appended.last_index >= index;
	}
	return n;
}

/* The same entry, written, replaced and written again: the first write's answer says
 * nothing about what a crash would leave now. */
static void an_entry_counts_as_written_by_its_own_write_only(void **state)
{
	struct group *g = group_new(4, 1);
	struct node *n = &g->nodes[0];
	struct script s = {0};
	group_bootstrap(g, 3);
	node_start(n);
	for (uint64_t term = 2; term <= 4; term++) {
		script_begin(&s, term, 1, 1);
		script_add(&s, term == 3 ? 3 : 2, 0);
		script_play(&s, n, term == 3 ? 3 : 2);
	}
	while (n->jobs) {
		assert_int_equal(acknowledged(g, 2), 0);
		g->now_ms = n->jobs->due_ms;
		disk_run(n);
	}
	assert_int_equal(acknowledged(g, 2), 1);
	buffer_close(&s.tail);
	group_free(g);
}

static void what_is_told_to_be_committed_is_answered_only_when_it_is_refused(void **state)
{
	struct group *g = group_new(4, 1);
	struct node *n = &g->nodes[0];
	struct script s = {0};
	struct message m = {.kind = MESSAGE_committed, .committed = {2, 2, 2}};
	group_bootstrap(g, 3);
	node_start(n);
	script_begin(&s, 2, 1, 1);
	script_add(&s, 2, 0);
	script_add(&s, 2, 0);
	script_play(&s, n, 2);
	group_run(g, 20);
	uint64_t sent = g->sent;
	tell(n, 2, &m);
	assert_int_equal(status_of(n).applied, 2);
	assert_int_equal(g->sent, sent);
	m.committed = (struct message_committed){2, 3, 1}; /* it has another there */
	tell(n, 2, &m);
	assert_int_equal(status_of(n).commit, 2);
	assert_int_equal(g->sent, sent + 1);
	buffer_close(&s.tail);
	group_free(g);
}

static void a_follower_that_becomes_the_only_voter_takes_a_new_term(void **state)
{
	struct group *g = group_new(2, 1);
	struct node *n = &g->nodes[0];
	struct script s = {0};
	group_bootstrap(g, 2);
	node_start(n);
	script_begin(&s, 2, 1, 1);
	script_add(&s, 2, 1);
	script_play(&s, n, 2);
	assert_ptr_equal(group_elect(g), n);
	assert_true(status_of(n).term > 2);
	assert_int_equal(status_of(n).vote, 1);
	buffer_close(&s.tail);
	group_free(g);
}

static void a_promise_counts_from_when_the_leader_was_last_heard(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	group_run(g, 200);
	g->lose = MESSAGE_append; /* pings still go through, and are answered */
	group_run(g, LEASE_MS + 3);
	assert_int_equal(status_of(leader).role, REPLICA_LEADER);
	assert_int_equal(replica_lease_left(leader->replica, clock_of(leader)), 0);
	group_free(g);
}

static void a_deposed_leader_answers_no_read_by_round(void **state)
{
	struct group *g = started(3);
	struct node *old = group_elect(g);
	g->lenient = true;
	group_isolate(g, old, true);
	for (unsigned i = 0; i < 3; i++)
		if (i != old->number)
			replica_lost(g->nodes[i].replica, old->number + 1, clock_of(&g->nodes[i]));
	wait_for_other_leader(g, old);
	write_some(group_leader(g), 1, 1);
	assert_int_equal(status_of(old).role, REPLICA_LEADER);
	unsigned number = node_read(old, true, 1000);
	assert_true(group_wait(g, number)->result < 0);
	group_free(g);
}

/* Its operations are numbered from the beginning again: an answer to what it asked before, for
 * which the leader still waits, is not one to what it asks now. */
static void a_member_that_starts_again_gets_no_answers_of_its_earlier_life(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *n = another(g, leader);
	unsigned numbers[5];
	group_run(g, 200);
	for (unsigned i = 0; i < 3; i++)
		g->nodes[i].stuck = true;
	for (unsigned i = 0; i < 5; i++)
		node_write(n, next_operation(1), 5000);
	group_run(g, 5);
	node_crash(n);
	node_start(n);
	group_run(g, 60); /* it hears of the leader */
	for (unsigned i = 0; i < 5; i++)
		numbers[i] = node_write(n, next_operation(2), 5000);
	group_run(g, 5);
	assert_ptr_equal(group_leader(g), leader);
	for (unsigned i = 0; i < 3; i++)
		g->nodes[i].stuck = false;
	for (unsigned i = 0; i < 5; i++) /* port_answered() holds it against what was asked */
		assert_true(group_wait(g, numbers[i])->result >= 0);
	assert_int_equal(g->truth_length, 10);
	group_free(g);
}

static void operations_of_one_proposer_never_overtake_each_other(void **state)
{
	struct group *g = started(3);
	struct node *n = another(g, group_elect(g));
	unsigned last = 0;
	g->jitter_ms = 20;
	for (unsigned i = 0; i < 200; i++) {
		last = node_write(n, next_operation(1), 20000);
		group_run(g, 1);
	}
	group_wait(g, last);
	for (unsigned i = 0; i <= last; i++)
		assert_true(group_wait(g, i)->result >= 0);
	group_free(g);
}

static void no_change_begins_before_an_entry_of_the_leaders_term_is_committed(void **state)
{
	struct group *g = started(3);
	struct node *leader = NULL;
	while (!(leader = group_leader(g)))
		group_run(g, 1);
	group_isolate(g, leader, true);
	uint64_t last = status_of(leader).last;
	node_change(leader, 4, MEMBER_STANDBY);
	group_run(g, 20);
	assert_int_equal(status_of(leader).last, last);
	assert_true(status_of(leader).commit < last);
	group_free(g);
}

static void what_a_member_may_not_ask_for_is_answered_and_not_in_the_log(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *follower = another(g, leader);
	for (unsigned i = 0; i < 3; i++)
		g->nodes[i].distrusts = follower->number + 1;
	write_some(leader, 1, 3);
	group_run(g, 100);
	uint64_t last = status_of(leader).last;
	unsigned number = node_write(follower, next_operation(2), 20000);
	assert_int_equal(group_wait(g, number)->result, -EPERM);
	assert_int_equal(status_of(leader).last, last);
	/* It is the others' word that is not taken: its own counts, once it leads. */
	assert_int_equal(
	    replica_transfer(leader->replica, follower->number + 1, clock_of(leader)), 0);
	while (group_elect(g) != follower)
		group_run(g, 1);
	number = node_write(follower, next_operation(2), 20000);
	assert_true(group_wait(g, number)->result >= 0);
	group_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		a_leader_that_knows_little_of_a_compacted_follower_does_not_start_it_over),
	    cmocka_unit_test(a_promoted_member_votes_before_it_knows_of_it),
	    cmocka_unit_test(a_member_that_loses_its_vote_holds_nobody_up),
	    cmocka_unit_test(the_longest_log_wins_in_spite_of_its_old_term),
	    cmocka_unit_test(a_late_refusal_is_ignored),
	    cmocka_unit_test(a_member_whose_disk_was_put_back_notices),
	    cmocka_unit_test(a_second_leader_of_the_same_term_is_not_believed),
	    cmocka_unit_test(a_contradiction_below_the_commit_index_stops_a_member),
	    cmocka_unit_test(a_change_that_is_taken_back_leaves_the_one_before),
	    cmocka_unit_test(an_entry_counts_as_written_by_its_own_write_only),
	    cmocka_unit_test(what_is_told_to_be_committed_is_answered_only_when_it_is_refused),
	    cmocka_unit_test(a_follower_that_becomes_the_only_voter_takes_a_new_term),
	    cmocka_unit_test(a_promise_counts_from_when_the_leader_was_last_heard),
	    cmocka_unit_test(a_deposed_leader_answers_no_read_by_round),
	    cmocka_unit_test(a_member_that_starts_again_gets_no_answers_of_its_earlier_life),
	    cmocka_unit_test(operations_of_one_proposer_never_overtake_each_other),
	    cmocka_unit_test(what_a_member_may_not_ask_for_is_answered_and_not_in_the_log),
	    cmocka_unit_test(no_change_begins_before_an_entry_of_the_leaders_term_is_committed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
