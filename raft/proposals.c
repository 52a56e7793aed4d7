/* Operations: from whoever proposes to the leader, into an entry, and the answer back.
 *
 * A proposer keeps every operation until it has an answer, and sends all that have none again
 * when leader or term change or nothing is heard for long: in order, as a new attempt. A leader
 * takes the frames of an attempt in sequence only, so that operations of one
 * proposer never overtake each other. That one may be applied twice is the
 * machine's to see to (replica_propose). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core.h"

#define RESEND_MS_MAX 5000

static struct pending *pending_at(const struct proposals *p, uint64_t serial)
{
	if (serial < p->first || serial - p->first >= p->n)
		return NULL;
	return &p->ring[(p->head + (unsigned)(serial - p->first)) & (p->capacity - 1)];
}

static uint64_t end_serial(const struct proposals *p)
{
	return p->first + p->n;
}

static void pending_grow(struct proposals *p)
{
	unsigned capacity = p->capacity ? p->capacity * 2 : 64;
	struct pending *ring = must_alloc(capacity * sizeof(*ring));
	for (unsigned i = 0; i < p->n; i++)
		ring[i] = *pending_at(p, p->first + i);
	free(p->ring);
	p->ring = ring;
	p->head = 0;
	p->capacity = capacity;
}

void proposals_add(struct replica *r, uint64_t request, const uint8_t *operation, size_t size,
    uint64_t deadline_ms)
{
	struct proposals *p = &r->proposals;
	int refused = 0;
	if (size > REPLICA_OPERATION_MAX)
		refused = -EMSGSIZE;
	else if (p->n >= r->options.proposal_limit || p->bytes + size > PENDING_BYTES)
		refused = -EAGAIN;
	if (refused) {
		core_answer(r, request, refused, 0);
		return;
	}
	if (p->n == p->capacity)
		pending_grow(p);
	p->n++;
	struct pending *one = pending_at(p, end_serial(p) - 1);
	*one = (struct pending){.request = request,
	    .deadline_ms = deadline_ms,
	    .state = PENDING_NEW,
	    .size = size,
	    .bytes = must_alloc(size)};
	if (size)
		memcpy(one->bytes, operation, size);
	p->bytes += size;
	core_deadline(r, deadline_ms);
}

static void pending_answer(struct replica *r, struct pending *one, int result, uint64_t index)
{
	struct proposals *p = &r->proposals;
	if (one->state == PENDING_DECIDED)
		p->decided--;
	one->state = PENDING_ANSWERED;
	p->bytes -= one->size;
	free(one->bytes);
	one->bytes = NULL;
	core_answer(r, one->request, result, index);
}

static void pending_trim(struct proposals *p)
{
	while (p->n && pending_at(p, p->first)->state == PENDING_ANSWERED) {
		p->head = (p->head + 1) & (p->capacity - 1);
		p->first++;
		p->n--;
	}
	if (p->next_send < p->first)
		p->next_send = p->first;
}

static void decide(struct replica *r, const struct message_answer *answer)
{
	struct pending *one = pending_at(&r->proposals, answer->serial);
	if (!one || (one->state != PENDING_NEW && one->state != PENDING_SENT))
		return;
	one->state = PENDING_DECIDED;
	one->result = answer->result;
	one->index = answer->index;
	r->proposals.decided++;
}

void proposals_applied(struct replica *r)
{
	struct proposals *p = &r->proposals;
	unsigned left = p->decided;
	for (uint64_t s = p->first; left && s < end_serial(p); s++) {
		struct pending *one = pending_at(p, s);
		if (one->state != PENDING_DECIDED)
			continue;
		left--;
		if (one->index <= r->applied)
			pending_answer(r, one, one->result, one->index);
	}
	pending_trim(p);
}

/* ---- As leader ---- */

static void turn_free(struct turn *t)
{
	batch_close(&t->batch);
	free(t->marks);
	free(t);
}

static struct turn *turn_pop(struct turn **first, struct turn **last)
{
	struct turn *t = *first;
	*first = t->next;
	if (!*first)
		*last = NULL;
	t->next = NULL;
	return t;
}

static void turn_push(struct turn **first, struct turn **last, struct turn *t)
{
	if (*last)
		(*last)->next = t;
	else
		*first = t;
	*last = t;
}

static void queue_add(struct proposals *p, struct mark mark, const uint8_t *operation, size_t size)
{
	struct turn *t = p->queue_last;
	if (!t || t->batch.operations.size + size > ENTRY_BYTES) {
		t = must_alloc(sizeof(*t));
		turn_push(&p->queue, &p->queue_last, t);
	}
	if (t->batch.n == t->capacity) {
		t->capacity = t->capacity ? t->capacity * 2 : 16;
		t->marks = must_realloc(t->marks, t->capacity * sizeof(*t->marks));
	}
	t->marks[t->batch.n] = mark;
	size_t before = t->batch.operations.size;
	batch_add(&t->batch, operation, size);
	p->queued_bytes += t->batch.operations.size - before;
}

static void queue_own(struct replica *r)
{
	struct proposals *p = &r->proposals;
	for (; p->next_send < end_serial(p); p->next_send++) {
		struct pending *one = pending_at(p, p->next_send);
		if (one->state != PENDING_NEW && one->state != PENDING_SENT)
			continue;
		queue_add(p, (struct mark){r->options.id, p->next_send}, one->bytes, one->size);
		one->state = PENDING_SENT;
	}
}

static bool submit_turn(struct replica *r)
{
	struct proposals *p = &r->proposals;
	struct buffer bytes = {0};
	batch_encode(&p->queue->batch, &bytes);
	int code = core_submit(r, DISK_COMMAND, bytes.data, bytes.size);
	buffer_close(&bytes);
	if (code != 0)
		return false;
	struct turn *t = turn_pop(&p->queue, &p->queue_last);
	t->index = entries_last(&r->log);
	t->term = r->raft.current_term;
	p->queued_bytes -= t->batch.operations.size;
	buffer_close(&t->batch.operations);
	turn_push(&p->flight, &p->flight_last, t);
	return true;
}

static void submit_turns(struct replica *r)
{
	if (r->transferring || r->disk_failed)
		return;
	while (
	    r->proposals.queue && entries_last(&r->log) - r->raft.commit_index < ENTRIES_IN_FLIGHT)
		if (!submit_turn(r))
			return;
}

static void disown(struct turn *t, uint64_t origin)
{
	for (; t; t = t->next)
		for (unsigned i = 0; i < t->batch.n; i++)
			if (t->marks[i].origin == origin)
				t->marks[i].origin = NOBODY;
}

/* A member that was started again counts its operations from the beginning: the answers to
 * what it asked before would be taken for others. */
static void forget_marks(struct replica *r, struct member *m)
{
	disown(r->proposals.queue, m->id);
	disown(r->proposals.flight, m->id);
	m->answers.size = 0;
	m->n_answers = 0;
}

static bool in_sequence(struct replica *r, struct member *m, const struct message_propose *p)
{
	bool reborn = p->incarnation != m->incarnation;
	bool newer = reborn || p->attempt > m->attempt;
	if (newer && p->sequence == 0) {
		if (reborn)
			forget_marks(r, m);
		m->incarnation = p->incarnation;
		m->attempt = p->attempt;
		m->sequence = 0;
	} else if (newer || p->attempt < m->attempt) {
		return false;
	}
	return p->sequence == m->sequence;
}

static void reply(struct replica *r, const struct mark *mark, int result, uint64_t index)
{
	struct message_answer answer = {mark->serial, index, result};
	struct member *m = core_member(r, mark->origin);
	if (mark->origin == r->options.id) {
		decide(r, &answer);
	} else if (m) {
		message_answer_add(&m->answers, &answer);
		m->n_answers++;
	}
}

/* What it may not ask for is answered at once: that needs no entry to be true. */
static void take(struct replica *r, struct mark mark, const uint8_t *operation, size_t size)
{
	const struct machine *machine = &r->ports.machine;
	int refused =
	    machine->admit ? machine->admit(machine->data, mark.origin, operation, size) : 0;
	if (refused)
		reply(r, &mark, refused, 0);
	else
		queue_add(&r->proposals, mark, operation, size);
}

void proposals_receive(struct replica *r, uint64_t from, const struct message *m)
{
	struct member *member = core_member(r, from);
	struct proposals *p = &r->proposals;
	struct batch_reader in = batch_read(m->tail, m->tail_size);
	const uint8_t *operation;
	size_t size;
	if (!core_leads(r) || !member || p->queued_bytes > PENDING_BYTES)
		return;
	if (!in_sequence(r, member, &m->propose))
		return;
	member->sequence++;
	struct mark mark = {from, m->propose.serial};
	for (; batch_next(&in, &operation, &size); mark.serial++)
		take(r, mark, operation, size);
}

void proposals_apply(struct replica *r, uint64_t index, const struct entry *entry)
{
	struct proposals *p = &r->proposals;
	const struct machine *machine = &r->ports.machine;
	struct batch_reader in = batch_read(entry->payload->data, entry->payload->size);
	const uint8_t *operation;
	size_t size;
	struct turn *t = NULL;
	if (p->flight && p->flight->index == index && p->flight->term == entry->term)
		t = turn_pop(&p->flight, &p->flight_last);
	for (unsigned i = 0; batch_next(&in, &operation, &size); i++) {
		int result = machine->apply(machine->data, index, operation, size);
		if (t)
			reply(r, &t->marks[i], result, index);
	}
	if (t)
		turn_free(t);
}

static void drop_turns(struct proposals *p)
{
	while (p->queue)
		turn_free(turn_pop(&p->queue, &p->queue_last));
	while (p->flight)
		turn_free(turn_pop(&p->flight, &p->flight_last));
	p->queued_bytes = 0;
}

/* ---- As proposer ---- */

static void begin_attempt(struct proposals *p)
{
	p->attempt++;
	p->sequence = 0;
	p->next_send = p->first;
	p->resend_ms = 0;
}

void proposals_leader_changed(struct replica *r)
{
	struct proposals *p = &r->proposals;
	drop_turns(p);
	begin_attempt(p);
	p->resend_after_ms = 2 * r->options.election_ms;
}

static bool sendable(const struct pending *one)
{
	return one && (one->state == PENDING_NEW || one->state == PENDING_SENT);
}

/* One frame: operations whose serials follow each other. */
static void send_some(struct replica *r)
{
	struct proposals *p = &r->proposals;
	struct message m = {.kind = MESSAGE_propose};
	struct batch batch = {0};
	struct buffer tail = {0};
	struct pending *one = pending_at(p, p->next_send);
	m.propose = (struct message_propose){.incarnation = p->incarnation,
	    .attempt = p->attempt,
	    .sequence = p->sequence++,
	    .serial = p->next_send};
	while (
	    sendable(one) && (batch.n == 0 || batch.operations.size + one->size <= ENTRY_BYTES)) {
		batch_add(&batch, one->bytes, one->size);
		one->state = PENDING_SENT;
		one = pending_at(p, ++p->next_send);
	}
	batch_encode(&batch, &tail);
	m.tail = tail.data;
	m.tail_size = tail.size;
	core_send(r, core_leader(r), &m);
	batch_close(&batch);
	buffer_close(&tail);
}

static void send_own(struct replica *r)
{
	struct proposals *p = &r->proposals;
	while (p->next_send < end_serial(p)) {
		if (sendable(pending_at(p, p->next_send))) {
			send_some(r);
			if (p->resend_ms == 0)
				p->resend_ms = r->now_ms + p->resend_after_ms;
		} else {
			p->next_send++;
		}
	}
}

void proposals_receive_answers(struct replica *r, const struct message *m)
{
	struct proposals *p = &r->proposals;
	struct reader tail = reader_of(m->tail, m->tail_size);
	struct message_answer answer;
	if (m->proposed.incarnation != p->incarnation)
		return;
	while (message_answer_next(&tail, &answer))
		decide(r, &answer);
	p->resend_after_ms = 2 * r->options.election_ms;
	p->resend_ms = r->now_ms + p->resend_after_ms;
}

static void send_answers(struct replica *r)
{
	for (unsigned i = 0; i < r->n_members; i++) {
		struct member *member = &r->members[i];
		if (member->n_answers == 0)
			continue;
		struct message m = {.kind = MESSAGE_proposed};
		m.proposed.incarnation = member->incarnation;
		m.proposed.count = member->n_answers;
		m.tail = member->answers.data;
		m.tail_size = member->answers.size;
		core_send(r, member->id, &m);
		member->answers.size = 0;
		member->n_answers = 0;
	}
}

void proposals_flush(struct replica *r)
{
	if (core_leads(r)) {
		queue_own(r);
		submit_turns(r);
	} else if (core_leader(r)) {
		send_own(r);
	}
	send_answers(r);
}

/* All that was sent has an answer, or is waited for elsewhere. */
static bool quiet(const struct replica *r)
{
	const struct proposals *p = &r->proposals;
	return p->resend_ms == 0 || core_leads(r) || p->n == p->decided;
}

void proposals_tick(struct replica *r)
{
	struct proposals *p = &r->proposals;
	if (quiet(r) || r->now_ms < p->resend_ms)
		return;
	begin_attempt(p);
	p->resend_after_ms *= 2;
	if (p->resend_after_ms > RESEND_MS_MAX)
		p->resend_after_ms = RESEND_MS_MAX;
}

uint64_t proposals_timeout(const struct replica *r)
{
	return quiet(r) ? UINT64_MAX : r->proposals.resend_ms;
}

static int unanswered(const struct pending *one)
{
	/* What was never sent cannot have been done. */
	return one->state == PENDING_NEW ? -ENOTCONN : -ETIMEDOUT;
}

uint64_t proposals_expire(struct replica *r)
{
	struct proposals *p = &r->proposals;
	uint64_t next = UINT64_MAX;
	for (uint64_t s = p->first; s < end_serial(p); s++) {
		struct pending *one = pending_at(p, s);
		if (one->state == PENDING_ANSWERED)
			continue;
		if (one->deadline_ms <= r->now_ms)
			pending_answer(r, one, unanswered(one), 0);
		else if (one->deadline_ms < next)
			next = one->deadline_ms;
	}
	pending_trim(p);
	return next;
}

void proposals_fail(struct replica *r)
{
	struct proposals *p = &r->proposals;
	for (uint64_t s = p->first; s < end_serial(p); s++) {
		struct pending *one = pending_at(p, s);
		if (one->state != PENDING_ANSWERED)
			pending_answer(r, one, unanswered(one), 0);
	}
	pending_trim(p);
	drop_turns(p);
}

void proposals_close(struct replica *r)
{
	struct proposals *p = &r->proposals;
	for (uint64_t s = p->first; s < end_serial(p); s++)
		free(pending_at(p, s)->bytes);
	free(p->ring);
	drop_turns(p);
}
