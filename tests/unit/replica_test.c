/* The replica, one rule a test. */
#include "tests/unit/group.h"

#define BIG_BATCH 1000

static struct group *started(unsigned n)
{
	struct group *g = group_new(n, 1);
	group_bootstrap(g, n);
	group_start(g, n);
	return g;
}

static struct operation next_operation(uint32_t client)
{
	static uint32_t sequence[CLIENTS];
	return (struct operation){client, ++sequence[client], 7};
}

static void write_some(struct node *n, uint32_t client, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned number = node_write(n, next_operation(client), 5000);
		struct request *q = group_wait(n->group, number);
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

static struct node *another(struct group *g, const struct node *than)
{
	for (unsigned i = 0; i < g->n; i++)
		if (&g->nodes[i] != than && g->nodes[i].replica)
			return &g->nodes[i];
	return NULL;
}

static void tell_lost(struct group *g, const struct node *gone)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->nodes[i].replica)
			replica_lost(g->nodes[i].replica, gone->number + 1, clock_of(&g->nodes[i]));
}

static void wait_for_other_leader(struct group *g, const struct node *old)
{
	for (unsigned ms = 0; ms < 5000 && (!group_leader(g) || group_leader(g) == old); ms++)
		group_run(g, 1);
	assert_non_null(group_leader(g));
	assert_ptr_not_equal(group_leader(g), old);
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

static void change(struct group *g, uint64_t id, enum member_role role)
{
	struct request *q = group_wait(g, node_change(group_elect(g), id, role));
	if (q->result != 0)
		fail_msg("member %u to role %u: %d", (unsigned)id, role, q->result);
}

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

/* ---- Rules that keep libraft from stumbling ---- */

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
	    cmocka_unit_test(a_member_far_behind_gets_a_snapshot_in_pieces),
	    cmocka_unit_test(
		a_leader_that_knows_little_of_a_compacted_follower_does_not_start_it_over),
	    cmocka_unit_test(a_promoted_member_votes_before_it_knows_of_it),
	    cmocka_unit_test(a_member_that_loses_its_vote_holds_nobody_up),
	    cmocka_unit_test(the_longest_log_wins_in_spite_of_its_old_term),
	    cmocka_unit_test(a_late_refusal_is_ignored),
	    cmocka_unit_test(a_second_leader_of_the_same_term_is_not_believed),
	    cmocka_unit_test(a_contradiction_below_the_commit_index_stops_a_member),
	    cmocka_unit_test(a_change_that_is_taken_back_leaves_the_one_before),
	    cmocka_unit_test(an_entry_counts_as_written_by_its_own_write_only),
	    cmocka_unit_test(a_follower_that_becomes_the_only_voter_takes_a_new_term),
	    cmocka_unit_test(a_promise_counts_from_when_the_leader_was_last_heard),
	    cmocka_unit_test(a_deposed_leader_answers_no_read_by_round),
	    cmocka_unit_test(operations_of_one_proposer_never_overtake_each_other),
	    cmocka_unit_test(no_change_begins_before_an_entry_of_the_leaders_term_is_committed),
	    cmocka_unit_test(no_message_of_a_peer_brings_a_member_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
