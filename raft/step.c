/* libraft's core, and the wall around it.
 *
 * raft_step() of 0.22.1 trusts its caller: it asserts on messages that a peer may well send, and
 * on a few that merely come late; and Debian builds it without its asserts, so that it would go on
 * with a broken state instead. Each rule below that keeps something from it says which. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core.h"

uint64_t core_term_of(const struct replica *r, uint64_t index)
{
	if (r->image && index == r->image->index)
		return r->image->term;
	return entries_term(&r->log, index);
}

/* ---- What comes out ---- */

static void take_entries(struct replica *r, const struct raft_update *update)
{
	uint64_t index = update->entries.index;
	entries_truncate(&r->log, index);
	assert(entries_last(&r->log) + 1 == index);
	for (unsigned i = 0; i < update->entries.n; i++) {
		const struct raft_entry *e = &update->entries.batch[i];
		entries_append(&r->log, (struct entry){.term = e->term,
					    .type = (enum disk_entry_type)e->type,
					    .payload = payload_new(e->buf.base, e->buf.len)});
	}
	/* One allocation for all of them; ours to free at this version. */
	raft_free(update->entries.batch[0].batch);
	writes_append(r, index, update->entries.n);
}

/* The last index a member may be sent while a change is under way. A voter that the change
 * takes the vote from, holding that entry when the leader goes down, would by its own newest
 * configuration neither campaign nor vote, and for the others have too long a log:
 * libraft does not follow thesis 4.2.2 there. So a change goes to a member that is no voter in
 * it when it is committed, and to nobody before it is on the leader's own disk. */
static uint64_t send_limit(const struct replica *r, const struct member *member)
{
	uint64_t change = r->raft.configuration_uncommitted_index;
	bool voter = member && member->role == MEMBER_VOTER;
	if (change == 0 || (voter && r->raft.last_stored >= change))
		return UINT64_MAX;
	return change - 1;
}

static void send_append(struct replica *r, uint64_t to, const struct raft_append_entries *a)
{
	struct message m = {.kind = MESSAGE_append};
	struct member *member = core_member(r, to);
	uint64_t prev = a->prev_log_index, last = prev + a->n_entries;
	uint64_t prev_term = a->prev_log_term, limit = send_limit(r, member);
	if (last > limit) /* libraft notices by the next refusal */
		last = limit > prev ? limit : prev;
	if (member && member->sent < last)
		member->sent = last;
	if (member)
		member->told = a->leader_commit < last ? a->leader_commit : last;
	do {
		struct buffer tail = {0};
		m.append = (struct message_append){.term = a->term,
		    .prev_index = prev,
		    .prev_term = prev_term,
		    .commit = a->leader_commit};
		while (prev < last) {
			const struct entry *e = entries_at(&r->log, prev + 1);
			assert(e);
			if (tail.size && tail.size + e->payload->size > APPEND_BYTES)
				break;
			message_entry_add(&tail, &(struct disk_entry){e->term, e->type,
						     e->payload->size, e->payload->data});
			prev++;
			prev_term = e->term;
			m.append.count++;
		}
		m.tail = tail.data;
		m.tail_size = tail.size;
		core_send(r, to, &m);
		buffer_close(&tail);
	} while (prev < last);
}

static void send_committed(struct replica *r, struct member *member, uint64_t index)
{
	struct message m = {.kind = MESSAGE_committed};
	m.committed = (struct message_committed){
	    .term = r->raft.current_term, .index = index, .index_term = core_term_of(r, index)};
	if (m.committed.index_term == 0)
		return;
	member->told = index;
	core_send(r, member->id, &m);
}

void core_push(struct replica *r, struct member *member)
{
	uint64_t match = core_match(r, member->id), last = entries_last(&r->log);
	struct raft_append_entries a = {.term = r->raft.current_term,
	    .prev_log_index = match,
	    .prev_log_term = core_term_of(r, match),
	    .leader_commit = r->raft.commit_index};
	if (a.prev_log_term == 0)
		return;
	if (match + 1 == last && member->sent < last && last <= send_limit(r, member)) {
		a.n_entries = 1;
		send_append(r, member->id, &a);
		return;
	}
	uint64_t useful = a.leader_commit < match ? a.leader_commit : match;
	if (member->told < useful)
		send_committed(r, member, useful);
}

static void send_vote_request(struct replica *r, uint64_t to, const struct raft_request_vote *v)
{
	struct message m = {.kind = MESSAGE_vote_request};
	m.vote_request.term = v->term;
	m.vote_request.last_index = v->last_log_index;
	m.vote_request.last_term = v->last_log_term;
	m.vote_request.flags =
	    (v->pre_vote ? VOTE_PRE : 0) | (v->disrupt_leader ? VOTE_DISRUPT : 0);
	core_send(r, to, &m);
}

static void send_vote(struct replica *r, uint64_t to, const struct raft_request_vote_result *v)
{
	struct message m = {.kind = MESSAGE_vote};
	m.vote.term = v->term;
	/* To refuse a pre-vote libraft repeats the candidate's term. One with the best log and an
	 * old term would never learn why nobody wants it. */
	if (v->pre_vote && !v->vote_granted && m.vote.term < r->raft.current_term)
		m.vote.term = r->raft.current_term;
	m.vote.flags = (v->pre_vote ? VOTE_PRE : 0) | (v->vote_granted ? VOTE_GRANTED : 0);
	core_send(r, to, &m);
}

static void send_appended(
    struct replica *r, uint64_t to, const struct raft_append_entries_result *a)
{
	struct message m = {.kind = MESSAGE_appended};
	if (r->answers_unwanted && a->rejected == 0)
		return;
	m.appended.term = a->term;
	m.appended.rejected = a->rejected;
	m.appended.last_index = a->last_log_index;
	core_send(r, to, &m);
}

static void send_timeout_now(struct replica *r, uint64_t to, const struct raft_timeout_now *t)
{
	struct message m = {.kind = MESSAGE_timeout_now};
	m.timeout_now.term = t->term;
	m.timeout_now.last_index = t->last_log_index;
	m.timeout_now.last_term = t->last_log_term;
	r->transfer_sent = true;
	core_send(r, to, &m);
}

static void take_message(struct replica *r, const struct raft_message *m)
{
	if (m->server_id == NOBODY || m->server_id == 0)
		return;
	switch (m->type) {
	case RAFT_REQUEST_VOTE:
		send_vote_request(r, m->server_id, &m->request_vote);
		break;
	case RAFT_REQUEST_VOTE_RESULT:
		send_vote(r, m->server_id, &m->request_vote_result);
		break;
	case RAFT_APPEND_ENTRIES:
		send_append(r, m->server_id, &m->append_entries);
		break;
	case RAFT_APPEND_ENTRIES_RESULT:
		send_appended(r, m->server_id, &m->append_entries_result);
		break;
	case RAFT_INSTALL_SNAPSHOT:
		install_send(r, m->server_id);
		break;
	case RAFT_TIMEOUT_NOW:
		send_timeout_now(r, m->server_id, &m->timeout_now);
		break;
	}
}

/* What is known of a member goes with it into the new list. */
static struct member member_keep(struct member *old, unsigned n, uint64_t id)
{
	for (unsigned i = 0; i < n; i++) {
		struct member found = old[i];
		if (found.id != id)
			continue;
		old[i].id = 0;
		return found;
	}
	return (struct member){.id = id};
}

/* Follow libraft's newest configuration, committed or not, as it does itself. */
static void sync_members(struct replica *r)
{
	const struct raft_configuration *c = &r->raft.configuration;
	struct member old[REPLICA_MEMBERS_MAX];
	unsigned n_old = r->n_members;
	memcpy(old, r->members, n_old * sizeof(*old));
	r->n_members = c->n;
	assert(c->n <= REPLICA_MEMBERS_MAX);
	for (unsigned i = 0; i < c->n; i++) {
		r->members[i] = member_keep(old, n_old, c->servers[i].id);
		r->members[i].role = (enum member_role)c->servers[i].role;
	}
	for (unsigned i = 0; i < n_old; i++) {
		if (old[i].id == 0)
			continue;
		install_stop_sending(&old[i]);
		buffer_close(&old[i].answers);
	}
}

static void take_update(struct replica *r, struct raft_update *update, bool configured)
{
	/* In this order: the vote is on the disk before entries of its term, and what is sent can
	 * be found in the log. */
	if (update->flags & (RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR))
		writes_vote(r);
	if (update->flags & RAFT_UPDATE_ENTRIES)
		take_entries(r, update);
	if (update->flags & RAFT_UPDATE_SNAPSHOT)
		install_begin(r, &update->snapshot.metadata);
	if (configured || update->flags & RAFT_UPDATE_ENTRIES)
		sync_members(r);
	if (update->flags & RAFT_UPDATE_MESSAGES)
		for (unsigned i = 0; i < update->messages.n; i++)
			take_message(r, &update->messages.batch[i]);
}

int core_step(struct replica *r, struct raft_event *event)
{
	struct raft_update update;
	memset(&update, 0, sizeof(update));
	event->time = r->now_ms;
	event->capacity = 0;
	int code = raft_step(&r->raft, event, &update);
	if (code == 0)
		take_update(r, &update,
		    event->type == RAFT_START || event->type == RAFT_PERSISTED_SNAPSHOT);
	return code;
}

/* ---- What goes in ---- */

int core_submit(struct replica *r, enum disk_entry_type type, const void *bytes, size_t size)
{
	struct raft_entry entry = {
	    .term = r->raft.current_term,
	    .type = (enum raft_entry_type)type,
	    .buf = {.base = (void *)bytes, .len = size},
	    .batch = raft_malloc(1), /* libraft wants one; take_entries() frees it */
	};
	struct raft_event event = {.type = RAFT_SUBMIT};
	event.submit.entries = &entry;
	event.submit.n = 1;
	int code = core_step(r, &event);
	if (code != 0)
		raft_free(entry.batch);
	return code;
}

static const char *address_of(const struct replica *r, uint64_t id)
{
	const struct raft_configuration *c = &r->raft.configuration;
	for (unsigned i = 0; i < c->n; i++)
		if (c->servers[i].id == id)
			return c->servers[i].address;
	return "-";
}

static void fail_contradicted(struct replica *r, uint64_t from)
{
	core_fail(r, "member %llx contradicts what is committed here, up to index %llu",
	    (unsigned long long)from, (unsigned long long)r->raft.commit_index);
}

static void receive(struct replica *r, uint64_t from, struct raft_message *m)
{
	m->server_id = from;
	m->server_address = address_of(r, from);
	struct raft_event event = {.type = RAFT_RECEIVE};
	event.receive.message = m;
	int code = core_step(r, &event);
	if (code == RAFT_SHUTDOWN)
		fail_contradicted(r, from);
	else if (code != 0)
		core_fail(r, "libraft: %s", raft_strerror(code));
}

static bool sole_voter(const struct replica *r)
{
	const struct member *self = core_member((struct replica *)r, r->options.id);
	return self && self->role == MEMBER_VOTER && core_voters(r) == 1;
}

/* A request for a vote from nobody, that cannot be granted but brings the term: the only
 * door to it, and one that every member has to leave open to everybody. */
void core_bump_term(struct replica *r)
{
	struct raft_message m = {.type = RAFT_REQUEST_VOTE};
	m.request_vote.version = 2;
	m.request_vote.term = r->raft.current_term + 1;
	m.request_vote.candidate_id = NOBODY;
	m.request_vote.disrupt_leader = true;
	receive(r, NOBODY, &m);
}

/* The only voter becomes leader without a vote, and libraft 0.22.1 gives it no new
 * term either. After a change from two voters to one, the removed leader may still be
 * leading in this one: two leaders of one term write different entries under the same
 * number. And whoever takes the term for an epoch needs a new one at every start. */
static void take_own_term(struct replica *r)
{
	core_bump_term(r);
	r->raft.voted_for = r->options.id;
	writes_vote(r);
}

static struct raft_server *own_server(struct replica *r)
{
	const struct raft_configuration *c = &r->raft.configuration;
	for (unsigned i = 0; i < c->n; i++)
		if (c->servers[i].id == r->options.id)
			return &c->servers[i];
	return NULL;
}

/* See REPLICA_GENERATION. */
static bool outdated(const struct replica *r)
{
	uint64_t last_term = core_term_of(r, entries_last(&r->log));
	return r->raft.current_term / REPLICA_GENERATION > last_term / REPLICA_GENERATION;
}

/* For libraft's next event this member has a role that its configuration does not give it.
 * Returns the one it has. */
static int own_role_set(struct replica *r, int role)
{
	struct raft_server *self = own_server(r);
	int before = self ? self->role : role;
	if (self)
		self->role = role;
	return before;
}

void core_timeout(struct replica *r)
{
	bool due = r->raft.state == RAFT_FOLLOWER && r->now_ms >= raft_timeout(&r->raft);
	bool behind = outdated(r);
	const struct member *self = core_member(r, r->options.id);
	bool votes = self && self->role == MEMBER_VOTER && !behind;
	/* A voter forgets its leader by becoming a candidate, others never would; but
	 * see vote_as_voter(). */
	if (due && !votes)
		r->raft.follower_state.current_leader.id = 0;
	if (due && votes && sole_voter(r) && !r->installing &&
	    r->raft.last_stored == entries_last(&r->log))
		take_own_term(r);
	struct raft_event event = {.type = RAFT_TIMEOUT};
	int role = behind ? own_role_set(r, RAFT_STANDBY) : 0;
	int code = core_step(r, &event);
	if (behind)
		own_role_set(r, role);
	if (code != 0)
		core_fail(r, "libraft: %s", raft_strerror(code));
}

/* A member may be a voter by a change that has not come to it, and the candidate in need of
 * its vote to bring it: whether it has one is for the candidate to know (thesis 4.1). libraft
 * asks the configuration here, so for this one message that says what the candidate says. */
static void vote_as_voter(struct replica *r, struct raft_message *m)
{
	int role = own_role_set(r, RAFT_VOTER);
	receive(r, m->request_vote.candidate_id, m);
	own_role_set(r, role);
}

static void receive_vote_request(struct replica *r, uint64_t from, const struct message *m)
{
	const struct message_vote_request *v = &m->vote_request;
	bool disrupt = v->flags & VOTE_DISRUPT;
	/* Before it went down this member may have promised a leader its vote for an
	 * election time-out; that leader may count on it. */
	if (r->now_ms < r->vote_after_ms && !disrupt)
		return;
	election_forget_silent_leader(r);
	struct raft_message in = {.type = RAFT_REQUEST_VOTE};
	in.request_vote.version = 2;
	in.request_vote.term = v->term;
	in.request_vote.candidate_id = from;
	in.request_vote.last_log_index = v->last_index;
	in.request_vote.last_log_term = v->last_term;
	in.request_vote.disrupt_leader = disrupt;
	in.request_vote.pre_vote = v->flags & VOTE_PRE;
	vote_as_voter(r, &in);
}

static void receive_vote(struct replica *r, uint64_t from, const struct message *m)
{
	bool granted = m->vote.flags & VOTE_GRANTED;
	/* It looks at the candidate's part of a union before it looks whether this is one. */
	if (r->raft.state != RAFT_CANDIDATE)
		return;
	/* Asserted: nobody grants what was not asked for. */
	if (granted && m->vote.term > r->raft.current_term + 1) {
		r->bad_messages++;
		return;
	}
	struct raft_message in = {.type = RAFT_REQUEST_VOTE_RESULT};
	in.request_vote_result.version = 2;
	in.request_vote_result.term = m->vote.term;
	in.request_vote_result.vote_granted = granted;
	in.request_vote_result.pre_vote = m->vote.flags & VOTE_PRE;
	receive(r, from, &in);
}

/* Tell a leader of the past. libraft would, with a number in it that it never set. */
static void receive_stale(struct replica *r, uint64_t from, uint64_t rejected)
{
	struct message m = {.kind = MESSAGE_appended};
	m.appended.term = r->raft.current_term;
	m.appended.rejected = rejected;
	core_send(r, from, &m);
}

/* libraft remembers one uncommitted configuration. When the next arrives the one before is
 * committed, for no leader begins a change before; but libraft would forget it, and
 * fall back on an older one, or on none and abort, if the next is taken back. */
static void settle_previous_change(struct replica *r, uint64_t prev_index, uint64_t prev_term)
{
	uint64_t previous = r->raft.configuration_uncommitted_index;
	const struct entry *e = entries_at(&r->log, previous);
	if (previous == 0 || previous > prev_index || !e || e->type != DISK_CHANGE)
		return;
	/* Only when what came before in the leader's log is what we have. */
	if (core_term_of(r, prev_index) != prev_term)
		return;
	struct raft_event event = {.type = RAFT_CONFIGURATION};
	struct raft_buffer bytes = {.base = e->payload->data, .len = e->payload->size};
	event.configuration.index = previous;
	if (raft_configuration_decode(&bytes, &event.configuration.conf) == 0)
		core_step(r, &event);
}

struct piece {
	uint64_t prev_index, prev_term;
	struct raft_entry *entries;
	unsigned n;
};

static void receive_piece(
    struct replica *r, uint64_t from, const struct message *m, struct piece *p)
{
	if (p->n && p->entries[0].type == RAFT_CHANGE)
		settle_previous_change(r, p->prev_index, p->prev_term);
	if (p->n)
		p->entries[0].batch = raft_malloc(1); /* freed by libraft or by take_entries() */
	struct raft_message in = {.type = RAFT_APPEND_ENTRIES};
	in.append_entries.term = m->append.term;
	in.append_entries.prev_log_index = p->prev_index;
	in.append_entries.prev_log_term = p->prev_term;
	in.append_entries.leader_commit = m->append.commit;
	in.append_entries.entries = p->entries;
	in.append_entries.n_entries = p->n;
	for (unsigned i = 1; i < p->n; i++)
		p->entries[i].batch = p->entries[0].batch;
	receive(r, from, &in);
	if (p->n) {
		p->prev_index += p->n;
		p->prev_term = p->entries[p->n - 1].term;
		p->n = 0;
	}
}

/* What is committed here is the same in the leader's log: a message begins behind it. libraft
 * compares with what it still has; asked about entries that a snapshot here replaced, it refuses,
 * the leader goes back to its first, and that is taken in below the snapshot. Returns false when
 * the leader does have something else. */
static bool skip_committed(struct replica *r, struct piece *p, struct reader *tail)
{
	uint64_t commit = r->raft.commit_index, term = core_term_of(r, commit);
	struct disk_entry e;
	if (term == 0 || p->prev_index >= commit)
		return true;
	if (p->prev_term && core_term_of(r, p->prev_index) &&
	    core_term_of(r, p->prev_index) != p->prev_term)
		return false;
	while (p->prev_index < commit && message_entry_next(tail, &e)) {
		uint64_t ours = core_term_of(r, ++p->prev_index);
		if (ours && ours != e.term)
			return false;
	}
	p->prev_index = commit;
	p->prev_term = term;
	return true;
}

/* libraft takes every change in a message for being at the index of the message's first
 * new entry: so each begins a message of its own. */
static void receive_entries(struct replica *r, uint64_t from, const struct message *m)
{
	struct piece piece = {.prev_index = m->append.prev_index, .prev_term = m->append.prev_term};
	struct reader tail = reader_of(m->tail, m->tail_size);
	struct disk_entry e;
	bool any = false;
	if (!skip_committed(r, &piece, &tail)) {
		fail_contradicted(r, from);
		return;
	}
	piece.entries = must_alloc((size_t)m->append.count * sizeof(*piece.entries));
	while (!r->failed && message_entry_next(&tail, &e)) {
		if (e.type == DISK_CHANGE && piece.n)
			receive_piece(r, from, m, &piece);
		piece.entries[piece.n++] = (struct raft_entry){.term = e.term,
		    .type = (enum raft_entry_type)e.type,
		    .buf = {.base = (void *)e.data, .len = e.size}};
		any = true;
	}
	if (!r->failed && (piece.n || !any))
		receive_piece(r, from, m, &piece);
	free(piece.entries);
}

static bool from_leader(struct replica *r, uint64_t from, uint64_t term)
{
	/* Asserted: there is no second leader of our term. */
	if (core_leads(r) && term == r->raft.current_term) {
		r->bad_messages++;
		return false;
	}
	return true;
}

static void heard_leader(struct replica *r, uint64_t commit)
{
	r->heard_ms = r->now_ms;
	r->campaign_ms = 0;
	if (commit > r->leader_commit)
		r->leader_commit = commit;
}

static void receive_append(struct replica *r, uint64_t from, const struct message *m)
{
	if (m->append.term < r->raft.current_term) {
		receive_stale(r, from, m->append.prev_index);
		return;
	}
	if (!from_leader(r, from, m->append.term))
		return;
	heard_leader(r, m->append.commit);
	receive_entries(r, from, m);
}

/* One for every entry, and what it would be answered the leader knows. */
static void receive_committed(struct replica *r, uint64_t from, const struct message *m)
{
	struct message append = {.kind = MESSAGE_append};
	uint64_t last = entries_last(&r->log);
	/* A leader says this only of what it was told to be on the disk here. */
	if (m->committed.term >= r->raft.current_term && m->committed.index > last &&
	    !r->installing) {
		core_fail(r,
		    "the log ends at %llu here, but this node acknowledged entry %llu: its data "
		    "directory was put back to an older state; remove this member and let it join "
		    "anew",
		    (unsigned long long)last, (unsigned long long)m->committed.index);
		return;
	}
	append.append = (struct message_append){.term = m->committed.term,
	    .prev_index = m->committed.index,
	    .prev_term = m->committed.index_term,
	    .commit = m->committed.index};
	r->answers_unwanted = true;
	receive_append(r, from, &append);
	r->answers_unwanted = false;
}

/* Ask a follower how far it is for certain: behind nothing at all it answers with what it knows
 * to be committed, see skip_committed(). Without that libraft walks back entry by entry, and
 * waits half a minute when the news of an installed snapshot was lost. */
static void ask_commit(struct replica *r, uint64_t to)
{
	const struct member *member = core_member(r, to);
	struct message m = {.kind = MESSAGE_append};
	m.append.term = r->raft.current_term;
	m.append.commit = r->raft.commit_index;
	if (member && !member->sending.image)
		core_send(r, to, &m);
}

static void remind(struct replica *r, struct member *member, uint64_t match)
{
	if (member && match)
		send_committed(
		    r, member, match < r->raft.commit_index ? match : r->raft.commit_index);
}

static void receive_appended(struct replica *r, uint64_t from, const struct message *m)
{
	const struct message_appended *a = &m->appended;
	uint64_t match = core_match(r, from);
	bool ours = core_leads(r) && a->term == r->raft.current_term;
	/* A refusal of what was accepted since came late; asserted not to. Or it has lost what it
	 * had: that it can tell by being told what it acknowledged. */
	if (ours && a->rejected && (a->rejected <= match || a->last_index < match)) {
		remind(r, core_member(r, from), match);
		return;
	}
	struct raft_message in = {.type = RAFT_APPEND_ENTRIES_RESULT};
	in.append_entries_result.version = 2;
	in.append_entries_result.term = a->term;
	in.append_entries_result.rejected = a->rejected;
	in.append_entries_result.last_log_index = a->last_index;
	receive(r, from, &in);
	if (ours && a->rejected && core_leads(r))
		ask_commit(r, from);
}

static void receive_timeout_now(struct replica *r, uint64_t from, const struct message *m)
{
	/* See take_own_term(): this way to leadership has no new term. */
	if (sole_voter(r))
		return;
	struct raft_message in = {.type = RAFT_TIMEOUT_NOW};
	in.timeout_now.term = m->timeout_now.term;
	in.timeout_now.last_log_index = m->timeout_now.last_index;
	in.timeout_now.last_log_term = m->timeout_now.last_term;
	receive(r, from, &in);
}

void core_receive(struct replica *r, uint64_t from, const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_vote_request:
		receive_vote_request(r, from, m);
		break;
	case MESSAGE_vote:
		receive_vote(r, from, m);
		break;
	case MESSAGE_append:
		receive_append(r, from, m);
		break;
	case MESSAGE_appended:
		receive_appended(r, from, m);
		membership_appended(r, from);
		break;
	case MESSAGE_committed:
		receive_committed(r, from, m);
		break;
	case MESSAGE_timeout_now:
		receive_timeout_now(r, from, m);
		break;
	default:
		break;
	}
}

void core_receive_snapshot(struct replica *r, struct receiving *s)
{
	if (s->term < r->raft.current_term) {
		receive_stale(r, s->from, 0);
		return;
	}
	/* While one is being installed libraft forgets to free the next. */
	if (r->installing || !from_leader(r, s->from, s->term))
		return;
	uint64_t local = core_term_of(r, s->index);
	if (s->index <= r->raft.commit_index && local != 0 && local != s->index_term) {
		core_fail(r, "a snapshot of member %llx contradicts what is committed at %llu",
		    (unsigned long long)s->from, (unsigned long long)s->index);
		return;
	}
	struct raft_message in = {.type = RAFT_INSTALL_SNAPSHOT};
	struct raft_buffer configuration = {.base = s->bytes.data, .len = s->configuration_size};
	in.install_snapshot.term = s->term;
	in.install_snapshot.last_index = s->index;
	in.install_snapshot.last_term = s->index_term;
	in.install_snapshot.conf_index = s->configuration_index;
	if (raft_configuration_decode(&configuration, &in.install_snapshot.conf) != 0)
		return;
	heard_leader(r, s->index);
	/* The bytes stay in s: libraft only hands them through. */
	receive(r, s->from, &in);
}

/* ---- Afterwards ---- */

static void apply_change(struct replica *r, uint64_t index, const struct entry *e)
{
	struct raft_event event = {.type = RAFT_CONFIGURATION};
	struct raft_buffer bytes = {.base = e->payload->data, .len = e->payload->size};
	r->configuration.size = 0;
	buffer_append(&r->configuration, bytes.base, bytes.len);
	r->configuration_index = index;
	membership_applied(r, index);
	event.configuration.index = index;
	/* It was decoded when it came, so this is short of memory. */
	if (raft_configuration_decode(&bytes, &event.configuration.conf) != 0)
		abort();
	core_step(r, &event);
}

static void apply_committed(struct replica *r)
{
	while (!r->failed && r->applied < r->raft.commit_index) {
		const struct entry *e = entries_at(&r->log, r->applied + 1);
		if (!e)
			return; /* a snapshot that holds it is being installed */
		uint64_t index = ++r->applied;
		if (e->type == DISK_COMMAND)
			proposals_apply(r, index, e);
		else if (e->type == DISK_CHANGE)
			apply_change(r, index, e);
	}
}

/* A leader knows what is committed once an entry of its own term is: libraft writes one
 * only when it must, we always, so that there is one rule for the lease and for reads. */
static void lead(struct replica *r)
{
	static const uint8_t nothing[8];
	r->beat_ms = r->now_ms;
	r->transferring = r->transfer_sent = false;
	for (unsigned i = 0; i < r->n_members; i++) {
		struct member *m = &r->members[i];
		m->promised_until_ms = m->round = m->told = m->sent = 0;
	}
	reads_promise_to(r, r->options.id);
	if (entries_term(&r->log, entries_last(&r->log)) != r->raft.current_term)
		core_submit(r, DISK_BARRIER, nothing, sizeof(nothing));
	r->term_start = entries_last(&r->log);
}

/* React to what libraft became, not to how. */
static void observe(struct replica *r)
{
	uint64_t term = r->raft.current_term, leader = core_leader(r);
	enum replica_role role = core_role(r);
	if (term == r->seen_term && leader == r->seen_leader && role == r->seen_role)
		return;
	bool leads = role == REPLICA_LEADER;
	bool began = leads && (r->seen_role != REPLICA_LEADER || r->seen_term != term);
	if (leader != r->seen_leader)
		r->leader_since_ms = r->now_ms;
	bool moved = leader != r->seen_leader || term != r->seen_term;
	if (r->seen_role == REPLICA_LEADER && !leads)
		reads_lease_given_up(r);
	r->ask_ms = r->now_ms + r->options.heartbeat_ms;
	r->seen_term = term;
	r->seen_leader = leader;
	r->seen_role = role;
	r->changed = true;
	if (!leads) {
		r->term_start = 0;
		r->transferring = false;
		membership_fail(r);
		for (unsigned i = 0; i < r->n_members; i++)
			install_stop_sending(&r->members[i]);
	}
	if (moved) {
		proposals_leader_changed(r);
		reads_leader_changed(r);
	}
	if (began)
		lead(r);
}

void core_settle(struct replica *r)
{
	if (r->failed)
		return;
	observe(r);
	apply_committed(r);
	observe(r);
	proposals_applied(r);
	reads_applied(r);
	membership_settle(r);
	observe(r);
	if (r->disk_failed && !core_leads(r))
		core_fail(r, "%s", r->disk_error.text);
	install_maybe_take(r);
}
