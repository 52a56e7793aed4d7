/* The replica, one rule a test. */
#include "tests/unit/group.h"

#define BIG_BATCH 1000

static void tell_lost(struct group *g, const struct node *gone)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->nodes[i].replica)
			replica_lost(g->nodes[i].replica, gone->number + 1, clock_of(&g->nodes[i]));
}

/* ---- Log ---- */

static void three_members_elect_one_and_apply_what_any_of_them_proposes(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	for (unsigned i = 0; i < 3; i++)
		write_some(&g->nodes[i], i, 10);
	group_run(g, 10);
	everyone_has(g, 30);
	assert_int_equal(status_of(leader).voters, 3);
	assert_int_equal(status_of(leader).voters_seen, 3);
	group_free(g);
}

static void what_is_proposed_in_one_turn_shares_few_entries(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	uint64_t before = status_of(leader).last;
	unsigned last = 0;
	for (unsigned i = 0; i < BIG_BATCH; i++)
		last = node_write(leader, next_operation(1), 5000);
	assert_true(group_wait(g, last)->result >= 0);
	assert_int_equal(status_of(leader).last, before + 1);
	for (unsigned i = 0; i < BIG_BATCH; i++)
		last = node_write(another(g, leader), next_operation(2), 5000);
	assert_true(group_wait(g, last)->result >= 0);
	assert_int_equal(status_of(leader).last, before + 2);
	group_free(g);
}

static void the_commit_index_reaches_followers_at_once(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	write_some(leader, 1, 1);
	group_run(g, 120);
	write_some(leader, 1, 1);
	group_run(g, 2);
	everyone_has(g, 2);
	group_free(g);
}

static void an_idle_group_takes_a_write_without_waiting_for_a_heartbeat(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	/* A leader that did not run for a while takes its followers for gone. */
	g->now_ms += 90;
	group_run(g, 400);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t before = g->now_ms;
		group_run(g, 37);
		before = g->now_ms;
		write_some(leader, 1, 1);
		assert_true(g->now_ms - before <= 6);
	}
	group_free(g);
}

static void all_go_down_at_once_and_nothing_acknowledged_is_lost(void **state)
{
	struct group *g = started(3);
	for (unsigned round = 0; round < 20; round++) {
		struct node *leader = group_elect(g);
		write_some(another(g, leader), 1, 5);
		unsigned length = g->truth_length;
		for (unsigned i = 0; i < 40; i++) /* torn: some of these are being written */
			node_write(leader, next_operation(2 + i), 5000);
		group_run(g, round % 4);
		for (unsigned i = 0; i < 3; i++)
			node_crash(&g->nodes[i]);
		group_start(g, 3);
		leader = group_elect(g);
		write_some(leader, 60, 1);
		assert_true(g->truth_length > length);
		group_run(g, 100);
		everyone_has(g, g->truth_length);
	}
	group_free(g);
}

static uint64_t stored_term(const struct node *n, uint64_t index)
{
	const struct store *s = &n->store;
	return index >= s->first && index < s->first + s->n ? s->entries[index - s->first].term : 0;
}

/* Thesis 5.4.2, figure 3.7: an entry of an earlier term on a majority is not committed for that. */
static void an_entry_of_an_old_term_is_not_committed_by_counting(void **state)
{
	struct group *g = started(3);
	struct node *a = group_elect(g), *b = another(g, a);
	struct node *c = &g->nodes[3 - a->number - b->number];
	uint64_t x = status_of(a).last + 1;
	group_isolate(g, a, true);
	node_write(a, next_operation(1), 100);
	group_run(g, 10); /* X is on the disk of A alone */
	node_crash(a);
	wait_for_other_leader(g, a);
	node_crash(b);
	node_crash(c);
	group_isolate(g, a, false);
	group_isolate(g, c, true);
	node_start(a);
	node_start(b);
	uint64_t term = stored_term(a, x);
	for (unsigned ms = 0; ms < 3000; ms++) {
		group_run(g, 1);
		struct node *leader = group_leader(g);
		uint64_t commit = leader ? status_of(leader).commit : 0;
		if (commit >= x && stored_term(leader, x) == term)
			assert_true(stored_term(leader, commit) > term);
	}
	group_isolate(g, c, false);
	node_start(c);
	write_some(group_elect(g), 2, 3);
	group_run(g, 500);
	everyone_has(g, g->truth_length);
	group_free(g);
}

/* ---- Votes and leases ---- */

static void a_vote_is_on_the_disk_before_it_is_sent(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *voter = another(g, leader);
	struct node *other = &g->nodes[3 - leader->number - voter->number];
	voter->stuck = true;
	node_crash(leader);
	/* Pre-votes need no disk, the vote does: without it the other is no leader. */
	group_run(g, 3000);
	assert_int_not_equal(status_of(other).role, REPLICA_LEADER);
	assert_int_not_equal(status_of(voter).role, REPLICA_LEADER);
	voter->stuck = false;
	group_elect(g);
	group_free(g);
}

static void a_restarted_voter_keeps_the_promise_it_made(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *voter = another(g, leader);
	struct node *rival = &g->nodes[3 - leader->number - voter->number];
	group_run(g, 100);
	group_cut(g, leader->number, rival->number, true);
	/* The rival campaigns all the time; group_run() checks the lease at every step. */
	for (unsigned i = 0; i < 40; i++) {
		group_run(g, 40 + i);
		node_crash(voter);
		group_run(g, 1);
		node_start(voter);
	}
	group_free(g);
}

static void the_lease_ends_before_another_can_lead(void **state)
{
	struct group *g = started(5);
	for (unsigned round = 0; round < 10; round++) {
		struct node *leader = group_elect(g);
		assert_true(replica_lease_left(leader->replica, clock_of(leader)) <= LEASE_MS);
		group_isolate(g, leader, true);
		group_run(g, LEASE_MS + 1);
		assert_int_equal(replica_lease_left(leader->replica, clock_of(leader)), 0);
		wait_for_other_leader(g, leader);
		group_isolate(g, leader, false);
	}
	group_free(g);
}

static void a_killed_leader_is_replaced_at_once(void **state)
{
	struct group *g = started(3);
	for (unsigned round = 0; round < 10; round++) {
		struct node *leader = group_elect(g);
		group_run(g, 50 + round);
		node_crash(leader);
		tell_lost(g, leader);
		uint64_t before = g->now_ms;
		wait_for_other_leader(g, leader);
		assert_true(g->now_ms - before <= 60);
		node_start(leader);
		group_run(g, 1000);
	}
	group_free(g);
}

static void a_leader_hands_over_and_loses_its_lease_at_once(void **state)
{
	struct group *g = started(3);
	for (unsigned round = 0; round < 10; round++) {
		struct node *leader = group_elect(g), *to = another(g, leader);
		group_run(g, 100);
		for (unsigned i = 0; i < 30; i++)
			node_write(leader, next_operation(i), 3000);
		replica_flush(leader->replica, clock_of(leader));
		assert_int_equal(
		    replica_transfer(leader->replica, to->number + 1, clock_of(leader)), 0);
		assert_int_equal(replica_lease_left(leader->replica, clock_of(leader)), 0);
		uint64_t before = g->now_ms;
		wait_for_other_leader(g, leader);
		assert_ptr_equal(group_leader(g), to);
		assert_true(g->now_ms - before <= 20);
	}
	group_free(g);
}

static void a_failed_transfer_ends_the_term(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *to = another(g, leader);
	group_run(g, 100);
	uint64_t term = status_of(leader).term;
	g->cut[leader->number][to->number] = true; /* "campaign now" is lost, or only late */
	assert_int_equal(replica_transfer(leader->replica, to->number + 1, clock_of(leader)), 0);
	for (unsigned ms = 0; ms < 1000; ms++) {
		group_run(g, 1);
		if (status_of(leader).term == term)
			assert_int_equal(replica_lease_left(leader->replica, clock_of(leader)), 0);
	}
	g->cut[leader->number][to->number] = false;
	group_elect(g);
	assert_true(status_of(group_leader(g)).term > term);
	group_free(g);
}

static void who_is_not_heard_is_not_handed_to_and_costs_no_lease(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *to = another(g, leader);
	group_run(g, 100);
	group_isolate(g, to, true);
	group_run(g, 1000);
	assert_int_equal(
	    replica_transfer(leader->replica, to->number + 1, clock_of(leader)), -EHOSTDOWN);
	assert_true(replica_lease_left(leader->replica, clock_of(leader)) > 0);
	group_free(g);
}

static void the_only_voter_leads_in_a_new_term_after_every_start(void **state)
{
	struct group *g = started(1);
	uint64_t term = 0;
	for (unsigned i = 0; i < 5; i++) {
		struct node *leader = group_elect(g);
		assert_true(status_of(leader).term > term);
		term = status_of(leader).term;
		write_some(leader, 1, 3);
		node_crash(leader);
		node_start(leader);
	}
	group_free(g);
}

/* ---- Disk ---- */

static void a_leader_whose_write_fails_hands_over_and_says_why(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	group_run(g, 100);
	leader->fail_next = true;
	node_write(another(g, leader), next_operation(1), 5000);
	uint64_t before = g->now_ms;
	wait_for_other_leader(g, leader);
	assert_true(g->now_ms - before <= 100);
	group_run(g, 400);
	assert_int_equal(status_of(leader).role, REPLICA_FAILED);
	assert_non_null(strstr(replica_failure(leader->replica), "Input/output error"));
	group_free(g);
}

static void a_leader_whose_disk_does_not_answer_relinquishes(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	group_run(g, 100);
	leader->stuck = true;
	node_write(leader, next_operation(1), 5000);
	uint64_t before = g->now_ms;
	wait_for_other_leader(g, leader);
	assert_true(g->now_ms - before <= 500);
	leader->stuck = false;
	write_some(leader, 2, 3);
	group_free(g);
}

static void a_leader_that_nobody_can_follow_gives_up_when_its_disk_hangs(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	group_run(g, 100);
	for (unsigned i = 0; i < 3; i++)
		g->nodes[i].stuck = true;
	node_write(leader, next_operation(1), 5000);
	for (unsigned ms = 0; ms < 2000 && status_of(leader).role == REPLICA_LEADER; ms++)
		group_run(g, 1);
	assert_int_not_equal(status_of(leader).role, REPLICA_LEADER);
	group_free(g);
}

/* ---- Proposals and reads ---- */

static void an_operation_sent_again_to_a_new_leader_is_applied_once(void **state)
{
	struct group *g = started(3);
	for (unsigned round = 0; round < 12; round++) {
		struct node *leader = group_elect(g), *n = another(g, leader);
		unsigned before = g->truth_length, numbers[20];
		for (unsigned i = 0; i < 20; i++)
			numbers[i] = node_write(n, next_operation(i), 10000);
		group_run(g, round); /* some are committed, some on the way, some not yet */
		node_crash(leader);
		for (unsigned i = 0; i < 20; i++)
			assert_true(group_wait(g, numbers[i])->result >= 0);
		assert_int_equal(g->truth_length, before + 20);
		node_start(leader);
		group_run(g, 500);
	}
	group_free(g);
}

static void without_a_leader_an_operation_is_refused_at_its_deadline(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *n = another(g, leader);
	group_isolate(g, n, true);
	group_run(g, 1000);
	assert_int_equal(group_wait(g, node_write(n, next_operation(1), 500))->result, -ENOTCONN);
	assert_int_equal(group_wait(g, node_read(n, false, 500))->result, -ENOTCONN);
	/* This one may have been sent. */
	group_isolate(g, n, false);
	group_run(g, 1000);
	unsigned number = node_write(n, next_operation(2), 500);
	replica_flush(n->replica, clock_of(n));
	group_isolate(g, n, true);
	assert_int_equal(group_wait(g, number)->result, -ETIMEDOUT);
	group_free(g);
}

static void too_much_is_refused_at_once(void **state)
{
	static uint8_t large[REPLICA_OPERATION_MAX + 1];
	struct group *g = group_new(3, 1);
	g->proposal_limit = 10;
	group_bootstrap(g, 3);
	group_start(g, 3);
	struct node *leader = group_elect(g);
	struct request *q = group_request(g);
	replica_propose(
	    leader->replica, g->n_requests - 1, large, sizeof(large), UINT64_MAX, clock_of(leader));
	assert_int_equal(q->result, -EMSGSIZE);
	unsigned number = 0;
	for (unsigned i = 0; i < 11; i++)
		number = node_write(leader, next_operation(i), 1000);
	assert_int_equal(g->requests[number].result, -EAGAIN);
	group_run(g, 100);
	assert_int_equal(g->truth_length, 10);
	group_free(g);
}

static void the_largest_operation_goes_through_from_anywhere(void **state)
{
	static uint8_t large[REPLICA_OPERATION_MAX];
	struct group *g = started(3);
	for (unsigned i = 0; i < 3; i++) {
		struct operation o = next_operation(1);
		memcpy(large, &o, sizeof(o));
		group_elect(g);
		struct request *q = group_request(g);
		unsigned number = g->n_requests - 1;
		q->kind = ASK_WRITE;
		q->operation = o;
		replica_propose(g->nodes[i].replica, number, large, sizeof(large), UINT64_MAX,
		    clock_of(&g->nodes[i]));
		assert_true(group_wait(g, number)->result >= 0);
	}
	group_free(g);
}

static void reads_see_what_was_committed_before_them(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	for (unsigned i = 0; i < 30; i++) {
		write_some(&g->nodes[i % 3], 1, 1);
		unsigned number = node_read(&g->nodes[(i + 1) % 3], i % 2, 1000);
		assert_int_equal(group_wait(g, number)->result, 0);
	}
	uint64_t sent = g->sent;
	unsigned number = node_read(leader, false, 1000);
	assert_true(g->requests[number].answered); /* by lease: at once, and without a message */
	assert_int_equal(g->sent, sent);
	group_free(g);
}

static void many_reads_share_a_round(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	group_run(g, 60);
	uint64_t sent = g->sent;
	unsigned number = 0;
	for (unsigned i = 0; i < 1000; i++)
		number = node_read(i % 2 ? leader : another(g, leader), true, 1000);
	assert_int_equal(group_wait(g, number)->result, 0);
	assert_true(g->sent - sent < 40);
	group_free(g);
}

static void a_leader_cut_off_answers_no_read(void **state)
{
	struct group *g = started(3);
	struct node *old = group_elect(g);
	group_isolate(g, old, true);
	unsigned number = node_read(old, true, 5000);
	wait_for_other_leader(g, old);
	write_some(group_leader(g), 1, 5);
	assert_false(g->requests[number].answered && g->requests[number].result == 0);
	number = node_read(old, false, 1000);
	assert_true(group_wait(g, number)->result < 0);
	group_free(g);
}

/* ---- Members ---- */

static void a_group_grows_from_one_member(void **state)
{
	struct group *g = group_new(4, 1);
	struct buffer bytes = {0};
	assert_int_equal(replica_first_entry(1, "10.0.0.1:7000", &bytes), 0);
	struct disk_entry e = {1, DISK_CHANGE, (uint32_t)bytes.size, bytes.data};
	store_append(&g->nodes[0].store, 1, &e, 1);
	buffer_close(&bytes);
	group_start(g, 4);
	write_some(group_elect(g), 1, 20);
	change(g, 2, MEMBER_VOTER);
	write_some(&g->nodes[1], 2, 5);
	change(g, 3, MEMBER_VOTER);
	change(g, 4, MEMBER_STANDBY);
	write_some(&g->nodes[3], 3, 5);
	group_run(g, 100);
	everyone_has(g, 30);
	assert_int_equal(status_of(group_leader(g)).voters, 3);
	assert_int_equal(status_of(group_leader(g)).standbys, 1);
	/* The first can go now, and the stand-by take its place. */
	node_crash(&g->nodes[0]);
	change(g, 4, MEMBER_VOTER);
	struct node *leader = group_elect(g);
	struct request *q = group_request(g);
	unsigned number = g->n_requests - 1;
	q->kind = ASK_CHANGE;
	replica_member_remove(
	    leader->replica, number, 1, clock_of(leader) + 5000, clock_of(leader));
	assert_int_equal(group_wait(g, number)->result, 0);
	write_some(group_elect(g), 4, 5);
	assert_int_equal(status_of(group_leader(g)).voters, 3);
	group_free(g);
}

static void a_change_that_cannot_be_is_refused(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g), *other = another(g, leader);
	uint64_t self = leader->number + 1;
	unsigned number = node_change(other, 4, MEMBER_VOTER);
	assert_int_equal(g->requests[number].result, -ENOTCONN);
	number = node_change(leader, self, MEMBER_STANDBY);
	assert_int_equal(g->requests[number].result, -EINVAL);
	node_change(leader, 5, MEMBER_STANDBY);
	number = node_change(leader, 6, MEMBER_STANDBY);
	assert_int_equal(g->requests[number].result, -EBUSY);
	group_free(g);
}

static void a_snapshot_that_takes_long_to_write_holds_nobody_up(void **state)
{
	struct group *g = group_new(3, 1);
	g->snapshot_log_bytes = 2000;
	g->snapshot_ms = 5000;
	group_bootstrap(g, 3);
	group_start(g, 3);
	struct node *leader = group_elect(g);
	uint64_t term = status_of(leader).term;
	while (!leader->taken)
		write_some(leader, 1, 10);
	for (unsigned i = 0; i < 40; i++) {
		write_some(leader, 2, 1);
		group_run(g, 100);
		assert_int_equal(status_of(leader).write_since_ms, 0);
	}
	assert_non_null(leader->taken);
	assert_int_equal(status_of(leader).snapshot_index, 0);
	assert_int_equal(status_of(leader).term, term);
	group_run(g, 2000);
	assert_true(status_of(leader).snapshot_index > 0);
	assert_true(status_of(leader).first > 1);
	assert_int_equal(status_of(leader).term, term);
	assert_true(status_of(leader).write_ms_max < 100);
	for (unsigned i = 0; i < 3; i++) {
		node_crash(&g->nodes[i]);
		node_start(&g->nodes[i]);
	}
	write_some(group_elect(g), 3, 3);
	group_run(g, 100);
	everyone_has(g, g->truth_length);
	group_free(g);
}

static void a_member_far_behind_gets_a_snapshot_in_pieces(void **state)
{
	struct group *g = group_new(3, 1);
	g->snapshot_log_bytes = 4000;
	group_bootstrap(g, 3);
	group_start(g, 3);
	struct node *leader = group_elect(g), *late = another(g, leader);
	node_crash(late);
	for (unsigned i = 0; i < 200; i++) {
		for (unsigned j = 0; j < 200; j++)
			node_write(leader, next_operation(j % CLIENTS), 5000);
		group_run(g, 20);
	}
	assert_true(status_of(leader).snapshot_bytes > 4 * 65536);
	assert_true(status_of(leader).first > 100);
	node_start(late);
	uint64_t term = status_of(leader).term;
	for (unsigned ms = 0; ms < 5000 && late->length < leader->length; ms++)
		group_run(g, 1);
	assert_int_equal(late->length, leader->length);
	assert_int_equal(late->restores, 1);
	assert_int_equal(status_of(leader).term, term);
	/* It starts from what it was given. */
	node_crash(late);
	node_start(late);
	write_some(leader, 63, 3);
	group_run(g, 100);
	everyone_has(g, g->truth_length);
	group_free(g);
}

static void no_message_of_a_peer_brings_a_member_down(void **state)
{
	struct group *g = started(3);
	struct node *leader = group_elect(g);
	write_some(leader, 1, 10);
	for (unsigned i = 0; i < 200000; i++) {
		struct node *n = &g->nodes[group_random(g, 3)];
		uint8_t bytes[40] = {1, (uint8_t)(1 + group_random(g, 14))};
		size_t size = 2 + group_random(g, 38);
		/* Small numbers: terms and indexes that could be. */
		for (size_t j = 2; j < size; j++)
			bytes[j] = (uint8_t)group_random(g, group_random(g, 8) ? 16 : 256);
		if (status_of(n).role != REPLICA_FAILED)
			replica_receive(
			    n->replica, 1 + group_random(g, 4), bytes, size, clock_of(n));
		if (i % 64 == 0)
			g->now_ms++;
	}
	group_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(three_members_elect_one_and_apply_what_any_of_them_proposes),
	    cmocka_unit_test(what_is_proposed_in_one_turn_shares_few_entries),
	    cmocka_unit_test(the_commit_index_reaches_followers_at_once),
	    cmocka_unit_test(an_idle_group_takes_a_write_without_waiting_for_a_heartbeat),
	    cmocka_unit_test(all_go_down_at_once_and_nothing_acknowledged_is_lost),
	    cmocka_unit_test(an_entry_of_an_old_term_is_not_committed_by_counting),
	    cmocka_unit_test(a_vote_is_on_the_disk_before_it_is_sent),
	    cmocka_unit_test(a_restarted_voter_keeps_the_promise_it_made),
	    cmocka_unit_test(the_lease_ends_before_another_can_lead),
	    cmocka_unit_test(a_killed_leader_is_replaced_at_once),
	    cmocka_unit_test(a_leader_hands_over_and_loses_its_lease_at_once),
	    cmocka_unit_test(a_failed_transfer_ends_the_term),
	    cmocka_unit_test(who_is_not_heard_is_not_handed_to_and_costs_no_lease),
	    cmocka_unit_test(the_only_voter_leads_in_a_new_term_after_every_start),
	    cmocka_unit_test(a_leader_whose_write_fails_hands_over_and_says_why),
	    cmocka_unit_test(a_leader_whose_disk_does_not_answer_relinquishes),
	    cmocka_unit_test(a_leader_that_nobody_can_follow_gives_up_when_its_disk_hangs),
	    cmocka_unit_test(an_operation_sent_again_to_a_new_leader_is_applied_once),
	    cmocka_unit_test(without_a_leader_an_operation_is_refused_at_its_deadline),
	    cmocka_unit_test(too_much_is_refused_at_once),
	    cmocka_unit_test(the_largest_operation_goes_through_from_anywhere),
	    cmocka_unit_test(reads_see_what_was_committed_before_them),
	    cmocka_unit_test(many_reads_share_a_round),
	    cmocka_unit_test(a_leader_cut_off_answers_no_read),
	    cmocka_unit_test(a_group_grows_from_one_member),
	    cmocka_unit_test(a_change_that_cannot_be_is_refused),
	    cmocka_unit_test(a_snapshot_that_takes_long_to_write_holds_nobody_up),
	    cmocka_unit_test(a_member_far_behind_gets_a_snapshot_in_pieces),
	    cmocka_unit_test(no_message_of_a_peer_brings_a_member_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
