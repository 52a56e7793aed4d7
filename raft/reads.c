/* Rounds of pings, and the two things they prove.
 *
 * A pong to round N proves that its sender followed this leader, in this term, after the
 * ping was sent: with a majority of them nobody else had been elected by then, so the commit index
 * known when the ping was sent is at least as new as anything committed before (thesis 6.4).
 *
 * A pong also carries a promise (thesis 6.4.1): as long as its sender believes in this leader it
 * votes for nobody else, and it goes on believing for an election time-out after it last heard of
 * it. It says how long ago that was, and how long its own time-out is, for members need not be set
 * alike; taken from the leader's own stamp, which is older than the pong, no two clocks
 * are compared. The lease ends when the first of a majority is free to vote, or sooner.
 *
 * A promise outlives the process that gave it: how long it lasts is on the disk before it is
 * given, and a member that starts votes for nobody for so long. The disk has the longest that may
 * still last, so that a member can be started with another time-out, and again right after that.
 *
 * What breaks a promise is listed at replica_lease_left() and replica_lost(). One that was made to
 * another leader and is not over is told to the new one. A majority promised the old leader its
 * lease, a majority's pongs make the new one's first lease, and one member is in both: so by then
 * the new leader knows how long to wait until the old one has none, whatever that was set to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core.h"

/* ---- Ours, on any member ---- */

static void read_answer(struct replica *r, unsigned i, int result, uint64_t index)
{
	struct reads *q = &r->reads;
	core_answer(r, q->list[i].request, result, index);
	q->list[i].serial = 0;
}

/* Close the gaps that answers left. */
static void reads_compact(struct reads *q)
{
	unsigned n = 0;
	for (unsigned i = 0; i < q->n; i++)
		if (q->list[i].serial)
			q->list[n++] = q->list[i];
	q->n = n;
}

void reads_add(struct replica *r, uint64_t request, bool by_round, uint64_t deadline_ms)
{
	struct reads *q = &r->reads;
	if (!by_round && reads_lease_left(r, r->now_ms) > 0) {
		core_answer(r, request, 0, r->applied);
		return;
	}
	if (q->n >= r->options.proposal_limit) {
		core_answer(r, request, -EAGAIN, 0);
		return;
	}
	if (q->n == q->capacity) {
		q->capacity = q->capacity ? q->capacity * 2 : 64;
		q->list = must_realloc(q->list, q->capacity * sizeof(*q->list));
	}
	q->list[q->n++] = (struct read){.request = request,
	    .deadline_ms = deadline_ms,
	    .serial = ++q->serial,
	    .by_round = by_round};
	core_deadline(r, deadline_ms);
}

static void reads_indexed(struct replica *r, uint64_t serial, uint64_t index)
{
	struct reads *q = &r->reads;
	/* Never asked in this life of the member: an answer to one of an earlier. */
	if (serial > q->serial)
		return;
	for (unsigned i = 0; i < q->n && q->list[i].serial <= serial; i++) {
		if (q->list[i].indexed)
			continue;
		q->list[i].indexed = true;
		q->list[i].index = index;
	}
	if (q->asked && q->asked <= serial)
		q->asked = 0;
}

void reads_applied(struct replica *r)
{
	struct reads *q = &r->reads;
	bool any = false;
	r->whole |= reads_lease_left(r, r->now_ms) > 0;
	for (unsigned i = 0; i < q->n; i++) {
		if (!q->list[i].indexed || q->list[i].index > r->applied)
			continue;
		read_answer(r, i, 0, q->list[i].index);
		any = true;
	}
	if (any)
		reads_compact(q);
}

uint64_t reads_expire(struct replica *r)
{
	struct reads *q = &r->reads;
	uint64_t next = UINT64_MAX;
	for (unsigned i = 0; i < q->n; i++) {
		if (q->list[i].deadline_ms <= r->now_ms)
			read_answer(r, i, core_leader(r) ? -ETIMEDOUT : -ENOTCONN, 0);
		else if (q->list[i].deadline_ms < next)
			next = q->list[i].deadline_ms;
	}
	reads_compact(q);
	return next;
}

void reads_fail(struct replica *r)
{
	struct reads *q = &r->reads;
	for (unsigned i = 0; i < q->n; i++)
		read_answer(r, i, -ENOTCONN, 0);
	q->n = 0;
	q->n_waiters = 0;
}

/* ---- As leader ---- */

static uint64_t descending(uint64_t *values, unsigned n, unsigned nth)
{
	for (unsigned i = 1; i < n; i++)
		for (unsigned j = i; j > 0 && values[j] > values[j - 1]; j--) {
			uint64_t lower = values[j - 1];
			values[j - 1] = values[j];
			values[j] = lower;
		}
	return values[nth];
}

/* The newest value that a majority of the voters reached; ours counts as own. */
static uint64_t majority(
    const struct replica *r, uint64_t own, uint64_t (*of)(const struct member *))
{
	uint64_t values[REPLICA_MEMBERS_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < r->n_members; i++) {
		const struct member *m = &r->members[i];
		if (m->role == MEMBER_VOTER)
			values[n++] = m->id == r->options.id ? own : of(m);
	}
	return n ? descending(values, n, n / 2) : 0;
}

static uint64_t round_of(const struct member *m)
{
	return m->round;
}

static uint64_t promised_of(const struct member *m)
{
	return m->promised_until_ms;
}

uint64_t reads_lease_left(const struct replica *r, uint64_t now_ms)
{
	if (!core_leads(r) || r->transferring || r->disk_failed || r->term_start == 0 ||
	    r->applied < r->term_start)
		return 0;
	uint64_t until_ms = majority(r, now_ms + r->options.lease_ms, promised_of);
	return until_ms > now_ms ? until_ms - now_ms : 0;
}

/* By our clock, were it an eighth faster than the other's. */
static void owe(struct replica *r, uint64_t owed_ms)
{
	uint64_t until_ms = r->now_ms + owed_ms + owed_ms / 8;
	if (owed_ms && until_ms > r->free_ms)
		r->free_ms = until_ms;
}

void reads_lease_given_up(struct replica *r)
{
	uint64_t until_ms = r->now_ms + r->options.lease_ms;
	if (until_ms > r->owed_until_ms)
		r->owed_until_ms = until_ms;
}

static uint64_t owed(const struct replica *r)
{
	return r->owed_until_ms > r->now_ms ? r->owed_until_ms - r->now_ms : 0;
}

void reads_promise_to(struct replica *r, uint64_t leader)
{
	if (r->promised_to != leader && r->promised_until_ms > r->owed_until_ms)
		r->owed_until_ms = r->promised_until_ms;
	r->promised_to = leader;
	if (leader != r->options.id)
		return;
	r->free_ms = 0;
	r->whole = false;
	owe(r, owed(r));
}

static void ping(struct replica *r)
{
	struct message m = {.kind = MESSAGE_ping};
	m.ping.term = r->raft.current_term;
	m.ping.round = ++r->reads.round;
	m.ping.stamp_ms = r->now_ms;
	r->reads.round_ms = r->now_ms;
	/* Stand-bys as well: one that becomes a voter must not cost the lease for a round. */
	for (unsigned i = 0; i < r->n_members; i++)
		if (r->members[i].role != MEMBER_SPARE && r->members[i].id != r->options.id)
			core_send(r, r->members[i].id, &m);
}

void reads_beat(struct replica *r)
{
	ping(r);
}

static void tell_index(struct replica *r, const struct waiter *w)
{
	struct message m = {.kind = MESSAGE_read_ok};
	m.read_ok.serial = w->serial;
	m.read_ok.index = w->index;
	if (w->origin == r->options.id)
		reads_indexed(r, w->serial, w->index);
	else
		core_send(r, w->origin, &m);
}

static void tell_confirmed(struct replica *r)
{
	struct reads *q = &r->reads;
	unsigned n = 0;
	q->confirmed = majority(r, q->round, round_of);
	for (unsigned i = 0; i < q->n_waiters; i++) {
		struct waiter w = q->waiters[i];
		if (w.round <= q->confirmed)
			tell_index(r, &w);
		else
			q->waiters[n++] = w;
	}
	q->n_waiters = n;
}

static void wait_for_round(struct replica *r, uint64_t origin, uint64_t serial)
{
	struct reads *q = &r->reads;
	if (q->n_waiters == q->waiters_capacity) {
		q->waiters_capacity = q->waiters_capacity ? q->waiters_capacity * 2 : 16;
		q->waiters = must_realloc(q->waiters, q->waiters_capacity * sizeof(*q->waiters));
	}
	/* Whatever was committed in terms before lies below the first entry of this one. */
	uint64_t commit = r->raft.commit_index;
	q->waiters[q->n_waiters++] = (struct waiter){.origin = origin,
	    .serial = serial,
	    .index = commit > r->term_start ? commit : r->term_start,
	    .round = q->round + 1};
}

static void receive_read(struct replica *r, uint64_t from, const struct message_read *m)
{
	if (!core_leads(r) || !core_member(r, from) ||
	    r->reads.n_waiters >= r->options.proposal_limit)
		return;
	struct waiter now = {.origin = from, .serial = m->serial, .index = r->applied};
	if (!(m->flags & READ_BY_ROUND) && reads_lease_left(r, r->now_ms) > 0)
		tell_index(r, &now);
	else
		wait_for_round(r, from, m->serial);
}

static void receive_pong(struct replica *r, uint64_t from, const struct message_pong *m)
{
	struct member *member = core_member(r, from);
	if (!core_leads(r) || !member || m->term != r->raft.current_term ||
	    m->round > r->reads.round || m->stamp_ms > r->now_ms)
		return;
	if (m->round > member->round)
		member->round = m->round;
	uint64_t from_ms = m->stamp_ms > m->age_ms ? m->stamp_ms - m->age_ms : 0;
	/* Its clock may be an eighth faster than ours. */
	uint64_t lasts_ms = m->promise_ms - m->promise_ms / 8;
	if (lasts_ms > r->options.lease_ms)
		lasts_ms = r->options.lease_ms;
	if (from_ms + lasts_ms > member->promised_until_ms && m->stamp_ms > member->lost_ms)
		member->promised_until_ms = from_ms + lasts_ms;
	/* What a majority owes is known when its answers make the first lease. */
	if (!r->whole)
		owe(r, m->owed_ms);
	tell_confirmed(r);
}

/* ---- As follower ---- */

static void receive_ping(struct replica *r, uint64_t from, const struct message_ping *m)
{
	const struct raft *raft = &r->raft;
	if (raft->state != RAFT_FOLLOWER || raft->follower_state.current_leader.id != from ||
	    raft->current_term != m->term)
		return;
	struct message out = {.kind = MESSAGE_pong};
	reads_promise_to(r, from);
	r->promised_until_ms = raft->election_timer_start + r->promise_ms;
	out.pong = (struct message_pong){.term = m->term,
	    .round = m->round,
	    .stamp_ms = m->stamp_ms,
	    .age_ms = r->now_ms - raft->election_timer_start,
	    .promise_ms = r->promise_ms,
	    .owed_ms = owed(r)};
	core_send(r, from, &out);
}

void reads_receive(struct replica *r, uint64_t from, const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_ping:
		receive_ping(r, from, &m->ping);
		break;
	case MESSAGE_pong:
		receive_pong(r, from, &m->pong);
		break;
	case MESSAGE_read:
		receive_read(r, from, &m->read);
		break;
	case MESSAGE_read_ok:
		reads_indexed(r, m->read_ok.serial, m->read_ok.index);
		break;
	default:
		break;
	}
}

void reads_leader_changed(struct replica *r)
{
	struct reads *q = &r->reads;
	q->asked = 0;
	q->n_waiters = 0;
	q->confirmed = 0;
}

/* All that have no index yet share one question; by_round when one of them asks for it. */
static void ask(struct replica *r)
{
	struct reads *q = &r->reads;
	uint64_t last = 0, flags = 0;
	for (unsigned i = 0; i < q->n; i++) {
		if (q->list[i].indexed)
			continue;
		last = q->list[i].serial;
		if (q->list[i].by_round)
			flags = READ_BY_ROUND;
	}
	if (last == 0)
		return;
	q->asked = last;
	q->ask_again_ms = r->now_ms + r->options.election_ms;
	struct message m = {.kind = MESSAGE_read, .read = {.serial = last, .flags = flags}};
	if (core_leads(r))
		wait_for_round(r, r->options.id, last);
	else
		core_send(r, core_leader(r), &m);
}

void reads_flush(struct replica *r)
{
	struct reads *q = &r->reads;
	if (q->asked && r->now_ms >= q->ask_again_ms)
		q->asked = 0;
	if (!q->asked && core_leader(r))
		ask(r);
	/* One round at a time: what is asked meanwhile shares the next. */
	bool under_way =
	    q->confirmed < q->round && r->now_ms < q->round_ms + r->options.heartbeat_ms;
	if (!core_leads(r) || q->n_waiters == 0)
		return;
	bool wanted = q->waiters[q->n_waiters - 1].round > q->round;
	if (wanted && !under_way) {
		ping(r);
		tell_confirmed(r); /* a leader that is the only voter needs no answer */
		reads_applied(r);
	}
}

uint64_t reads_timeout(const struct replica *r)
{
	return r->reads.asked && !core_leads(r) ? r->reads.ask_again_ms : UINT64_MAX;
}

void reads_close(struct replica *r)
{
	free(r->reads.list);
	free(r->reads.waiters);
}
