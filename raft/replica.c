#include "raft/replica.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core.h"

#define SNAPSHOT_LOG_BYTES (8u << 20)
#define PROPOSAL_LIMIT	   4096

/* ---- What the other files ask ---- */

enum replica_role core_role(const struct replica *r)
{
	if (r->failed)
		return REPLICA_FAILED;
	if (r->raft.state == RAFT_LEADER)
		return REPLICA_LEADER;
	return r->raft.state == RAFT_CANDIDATE ? REPLICA_CANDIDATE : REPLICA_FOLLOWER;
}

bool core_leads(const struct replica *r)
{
	return !r->failed && r->raft.state == RAFT_LEADER;
}

uint64_t core_leader(const struct replica *r)
{
	if (core_leads(r))
		return r->options.id;
	bool follows = !r->failed && r->raft.state == RAFT_FOLLOWER;
	return follows ? r->raft.follower_state.current_leader.id : 0;
}

struct member *core_member(struct replica *r, uint64_t id)
{
	for (unsigned i = 0; i < r->n_members; i++)
		if (r->members[i].id == id)
			return &r->members[i];
	return NULL;
}

unsigned core_voters(const struct replica *r)
{
	unsigned voters = 0;
	for (unsigned i = 0; i < r->n_members; i++)
		voters += r->members[i].role == MEMBER_VOTER;
	return voters;
}

uint64_t core_match(const struct replica *r, uint64_t id)
{
	raft_index match = 0;
	if (!core_leads(r) || raft_match_index(&r->raft, id, &match) != 0)
		return 0;
	return match;
}

bool core_heard(const struct replica *r, const struct member *m)
{
	return m->heard_ms && r->now_ms - m->heard_ms < r->options.election_ms;
}

void core_send(struct replica *r, uint64_t to, const struct message *m)
{
	struct buffer bytes = {0};
	if (r->failed || to == 0 || to == NOBODY || to == r->options.id)
		return;
	message_encode(m, &bytes);
	writes_send(r, to, &bytes);
}

void core_answer(struct replica *r, uint64_t request, int result, uint64_t index)
{
	if (r->n_answers == r->answers_capacity) {
		r->answers_capacity = r->answers_capacity ? r->answers_capacity * 2 : 64;
		r->answers = must_realloc(r->answers, r->answers_capacity * sizeof(*r->answers));
	}
	r->answers[r->n_answers++] = (struct answer){request, index, result};
}

void core_deadline(struct replica *r, uint64_t deadline_ms)
{
	if (deadline_ms < r->deadline_ms)
		r->deadline_ms = deadline_ms;
}

void core_fail(struct replica *r, const char *format, ...)
{
	va_list args;
	if (r->failed)
		return;
	va_start(args, format);
	vsnprintf(r->failure, sizeof(r->failure), format, args);
	va_end(args);
	r->failed = true;
	r->changed = true;
	proposals_fail(r);
	reads_fail(r);
	membership_fail(r);
	for (unsigned i = 0; i < r->n_members; i++)
		install_stop_sending(&r->members[i]);
}

/* ---- Life ---- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static void set_options(struct replica *r, const struct replica_options *options)
{
	r->options = *options;
	snprintf(r->address, sizeof(r->address), "%s", options->address);
	r->options.address = r->address;
	if (r->options.snapshot_log_bytes == 0)
		r->options.snapshot_log_bytes = SNAPSHOT_LOG_BYTES;
	if (r->options.proposal_limit == 0)
		r->options.proposal_limit = PROPOSAL_LIMIT;
}

static void set_raft(struct replica *r)
{
	if (raft_init(&r->raft, NULL, NULL, r->options.id, r->address) != 0)
		abort();
	raft_seed(&r->raft, r->options.seed);
	raft_set_pre_vote(&r->raft, true);
	raft_set_election_timeout(&r->raft, r->options.election_ms);
	raft_set_heartbeat_timeout(&r->raft, r->options.heartbeat_ms);
	/* To ask again costs nothing while one is being sent. */
	raft_set_install_snapshot_timeout(&r->raft, 4 * r->options.election_ms);
}

struct replica *replica_new(const struct replica_options *options,
    const struct replica_ports *ports, const struct disk_state *state, uint64_t now_ms,
    struct err *err)
{
	bool sane = options->id != 0 && options->id != NOBODY && options->heartbeat_ms > 0 &&
		    options->heartbeat_ms < options->election_ms &&
		    options->lease_ms < options->election_ms &&
		    strlen(options->address) < REPLICA_ADDRESS_MAX;
	if (!sane) {
		err_set(err, -EINVAL, "raft: id, address or intervals are out of range");
		return NULL;
	}
	struct replica *r = must_alloc(sizeof(*r));
	set_options(r, options);
	r->ports = *ports;
	r->now_ms = now_ms;
	r->deadline_ms = UINT64_MAX;
	r->seen_role = REPLICA_FOLLOWER;
	r->promise_ms = options->election_ms;
	/* Nothing of an earlier life of this member is taken for something of this. */
	uint64_t incarnation = mix(now_ms ^ mix(options->seed ^ mix(options->id)));
	r->proposals.incarnation = incarnation;
	r->proposals.first = r->proposals.next_send = 1;
	r->proposals.resend_after_ms = 2 * options->election_ms;
	r->reads.serial = incarnation >> 8;
	set_raft(r);
	if (core_start(r, state, err) != 0) {
		replica_free(r);
		return NULL;
	}
	core_settle(r);
	return r;
}

void replica_free(struct replica *r)
{
	if (!r)
		return;
	writes_close(r);
	proposals_close(r);
	reads_close(r);
	for (unsigned i = 0; i < r->n_members; i++) {
		install_stop_sending(&r->members[i]);
		buffer_close(&r->members[i].answers);
	}
	if (r->installing)
		raft_configuration_close(&r->installed.configuration);
	raft_close(&r->raft, NULL);
	entries_close(&r->log);
	image_drop(r->image);
	buffer_close(&r->configuration);
	buffer_close(&r->receiving.bytes);
	free(r->answers);
	free(r);
}

/* ---- Events ---- */

static void begin(struct replica *r, uint64_t now_ms)
{
	if (now_ms > r->now_ms)
		r->now_ms = now_ms;
}

/* Answers last, when everything else is as it should be: they may propose again. */
static void end(struct replica *r)
{
	core_settle(r);
	if (r->answering)
		return;
	r->answering = true;
	for (unsigned i = 0; i < r->n_answers; i++) {
		struct answer a = r->answers[i];
		r->ports.answered(r->ports.data, a.request, a.result, a.index);
	}
	r->n_answers = 0;
	r->answering = false;
	if (!r->changed)
		return;
	r->changed = false;
	r->ports.changed(r->ports.data);
}

static void expire(struct replica *r)
{
	if (r->now_ms < r->deadline_ms)
		return;
	uint64_t proposals = proposals_expire(r), reads = reads_expire(r);
	uint64_t membership = membership_expire(r);
	r->deadline_ms = UINT64_MAX;
	core_deadline(r, proposals);
	core_deadline(r, reads);
	core_deadline(r, membership);
}

static void beat(struct replica *r)
{
	r->beat_ms = r->now_ms + r->options.heartbeat_ms;
	core_timeout(r);
	core_settle(r);
	if (!core_leads(r))
		return;
	reads_beat(r);
	membership_beat(r);
}

void replica_tick(struct replica *r, uint64_t now_ms)
{
	begin(r, now_ms);
	expire(r);
	if (!r->failed) {
		/* libraft judges its followers at every time-out it is given, by whether they
		 * answered since the last: so it gets one per heartbeat and no more. */
		if (core_leads(r) && r->now_ms >= r->beat_ms)
			beat(r);
		else
			election_tick(r);
		writes_tick(r);
		install_tick(r);
		proposals_tick(r);
	}
	end(r);
}

static void dispatch(struct replica *r, uint64_t from, const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_vote_request:
	case MESSAGE_vote:
	case MESSAGE_append:
	case MESSAGE_appended:
	case MESSAGE_committed:
	case MESSAGE_timeout_now:
		core_receive(r, from, m);
		break;
	case MESSAGE_ping:
	case MESSAGE_pong:
	case MESSAGE_read:
	case MESSAGE_read_ok:
		reads_receive(r, from, m);
		break;
	case MESSAGE_propose:
		proposals_receive(r, from, m);
		break;
	case MESSAGE_proposed:
		proposals_receive_answers(r, m);
		break;
	case MESSAGE_chunk:
		install_receive(r, from, m);
		break;
	case MESSAGE_chunk_ok:
		install_acknowledged(r, from, m);
		break;
	}
}

void replica_receive(
    struct replica *r, uint64_t from, const uint8_t *bytes, size_t size, uint64_t now_ms)
{
	struct message m;
	begin(r, now_ms);
	if (r->failed)
		return;
	if (from == 0 || from == NOBODY || from == r->options.id ||
	    message_decode(bytes, size, &m) != 0) {
		r->bad_messages++;
		return;
	}
	struct member *member = core_member(r, from);
	if (member)
		member->heard_ms = member->contact_ms = r->now_ms;
	dispatch(r, from, &m);
	end(r);
}

void replica_written(struct replica *r, uint64_t ticket, int status, uint64_t now_ms)
{
	begin(r, now_ms);
	writes_done(r, ticket, status);
	end(r);
}

void replica_lost(struct replica *r, uint64_t member, uint64_t now_ms)
{
	begin(r, now_ms);
	struct member *m = core_member(r, member);
	if (m) {
		m->lost_ms = r->now_ms;
		m->promised_until_ms = 0;
		m->heard_ms = 0;
	}
	if (!r->failed && member != 0 && !core_leads(r) && core_leader(r) == member)
		election_leader_gone(r);
	end(r);
}

static void tell_commit(struct replica *r)
{
	for (unsigned i = 0; i < r->n_members; i++) {
		struct member *m = &r->members[i];
		bool heard = core_heard(r, m);
		if (heard && m->id != r->options.id && m->role != MEMBER_SPARE)
			core_push(r, m);
	}
}

void replica_flush(struct replica *r, uint64_t now_ms)
{
	begin(r, now_ms);
	if (!r->failed) {
		proposals_flush(r);
		reads_flush(r);
		if (core_leads(r))
			tell_commit(r);
	}
	end(r);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t replica_timeout(const struct replica *r)
{
	uint64_t next = r->deadline_ms;
	if (r->failed)
		return next;
	next = earlier(next, core_leads(r) ? r->beat_ms : UINT64_MAX);
	next = earlier(next, election_timeout(r));
	next = earlier(next, writes_timeout(r));
	next = earlier(next, install_timeout(r));
	next = earlier(next, proposals_timeout(r));
	return earlier(next, reads_timeout(r));
}

void replica_propose(struct replica *r, uint64_t request, const uint8_t *operation, size_t size,
    uint64_t deadline_ms, uint64_t now_ms)
{
	begin(r, now_ms);
	if (r->failed)
		core_answer(r, request, -ENOTCONN, 0);
	else
		proposals_add(r, request, operation, size, deadline_ms);
	end(r);
}

static void read_begin(struct replica *r, const struct read *read, uint64_t now_ms)
{
	begin(r, now_ms);
	if (r->failed)
		core_answer(r, read->request, -ENOTCONN, 0);
	else
		reads_add(r, read->request, read->by_round, read->deadline_ms);
	end(r);
}

void replica_read(struct replica *r, uint64_t request, uint64_t deadline_ms, uint64_t now_ms)
{
	struct read read = {.request = request, .deadline_ms = deadline_ms};
	read_begin(r, &read, now_ms);
}

void replica_read_by_round(
    struct replica *r, uint64_t request, uint64_t deadline_ms, uint64_t now_ms)
{
	struct read read = {.request = request, .deadline_ms = deadline_ms, .by_round = true};
	read_begin(r, &read, now_ms);
}

static void change_begin(struct replica *r, const struct change *change, uint64_t now_ms)
{
	begin(r, now_ms);
	membership_begin(r, change);
	end(r);
}

void replica_member_set(struct replica *r, uint64_t request, uint64_t id, const char *address,
    enum member_role role, uint64_t deadline_ms, uint64_t now_ms)
{
	struct change change = {.request = request, .deadline_ms = deadline_ms};
	change.member.id = id;
	change.member.role = role;
	/* One that is too long stays too long for configuration_set(). */
	snprintf(change.member.address, sizeof(change.member.address), "%s",
	    strlen(address) < REPLICA_ADDRESS_MAX ? address : "");
	change_begin(r, &change, now_ms);
}

void replica_member_remove(
    struct replica *r, uint64_t request, uint64_t id, uint64_t deadline_ms, uint64_t now_ms)
{
	struct change change = {.request = request, .deadline_ms = deadline_ms, .remove = true};
	change.member.id = id;
	change_begin(r, &change, now_ms);
}

int replica_transfer(struct replica *r, uint64_t to, uint64_t now_ms)
{
	begin(r, now_ms);
	int result = membership_transfer(r, to);
	end(r);
	return result;
}

/* ---- Questions ---- */

uint64_t replica_lease_left(const struct replica *r, uint64_t now_ms)
{
	return reads_lease_left(r, now_ms);
}

/* libraft draws from it anew whenever a leader is heard. */
void replica_set_election(struct replica *r, unsigned election_ms)
{
	if (election_ms < r->promise_ms)
		return;
	r->options.election_ms = election_ms;
	raft_set_election_timeout(&r->raft, election_ms);
}

static unsigned voters_heard(const struct replica *r)
{
	unsigned seen = 0;
	for (unsigned i = 0; core_leads(r) && i < r->n_members; i++) {
		const struct member *m = &r->members[i];
		bool heard = core_heard(r, m);
		seen += m->role == MEMBER_VOTER && (heard || m->id == r->options.id);
	}
	return seen;
}

void replica_status(const struct replica *r, struct replica_status *s)
{
	uint64_t commit = r->raft.commit_index > r->applied ? r->raft.commit_index : r->applied;
	uint64_t write_since_ms = writes_since_ms(r);
	*s = (struct replica_status){
	    .role = core_role(r),
	    .id = r->options.id,
	    .term = r->raft.current_term,
	    .vote = r->raft.voted_for,
	    .leader = core_leader(r),
	    .leader_since_ms = r->leader_since_ms,
	    .heard_ms = core_leads(r) ? r->now_ms : r->heard_ms,
	    .first = r->log.first,
	    .last = entries_last(&r->log),
	    .commit = commit,
	    .applied = r->applied,
	    .snapshot_index = r->image ? r->image->index : 0,
	    .snapshot_term = r->image ? r->image->term : 0,
	    .leader_commit = r->leader_commit > commit ? r->leader_commit : commit,
	    .log_bytes = entries_bytes(&r->log, 0),
	    .snapshot_bytes = r->image ? r->image->bytes.size : 0,
	    .voters = core_voters(r),
	    .voters_seen = voters_heard(r),
	    .bad_messages = r->bad_messages,
	    .write_ms_max = r->write_ms_max,
	    .write_since_ms = write_since_ms != UINT64_MAX ? write_since_ms : 0,
	    .election_ms = r->options.election_ms,
	    .heartbeat_ms = r->options.heartbeat_ms,
	    .lease_ms = r->options.lease_ms,
	    .free_ms = core_leads(r) ? r->free_ms : 0,
	    .transferring = core_leads(r) && r->transferring,
	};
	for (unsigned i = 0; i < r->n_members; i++)
		s->standbys += r->members[i].role == MEMBER_STANDBY;
}

static uint64_t next_of(const struct replica *r, const struct member *m)
{
	uint64_t match = core_match(r, m->id);
	if (m->id == r->options.id)
		return entries_last(&r->log) + 1;
	return (m->sent > match ? m->sent : match) + 1;
}

unsigned replica_members(const struct replica *r, struct replica_member *members, unsigned max)
{
	const struct raft_configuration *c = &r->raft.configuration;
	unsigned n = r->n_members < max ? r->n_members : max;
	for (unsigned i = 0; i < n; i++) {
		const struct member *m = &r->members[i];
		members[i] = (struct replica_member){.id = m->id, .role = m->role};
		snprintf(
		    members[i].address, sizeof(members[i].address), "%s", c->servers[i].address);
		if (core_leads(r)) {
			members[i].match = core_match(r, m->id);
			members[i].next = next_of(r, m);
			members[i].heard_ms = m->id == r->options.id ? r->now_ms : m->heard_ms;
			members[i].contact_ms = m->id == r->options.id ? r->now_ms : m->contact_ms;
		}
	}
	return n;
}

int replica_entry(const struct replica *r, uint64_t index, struct disk_entry *entry)
{
	const struct entry *e = entries_at(&r->log, index);
	if (!e)
		return -ENOENT;
	*entry = (struct disk_entry){
	    .term = e->term, .type = e->type, .size = e->payload->size, .data = e->payload->data};
	return 0;
}

const char *replica_failure(const struct replica *r)
{
	return r->failure;
}

int replica_first_entry(uint64_t id, const char *address, struct buffer *out)
{
	struct configuration c = {0};
	int code = configuration_set(&c, id, address, MEMBER_VOTER);
	if (code == 0)
		configuration_encode(&c, out);
	return code;
}

const char *replica_library_version(void)
{
	static char text[16];
	int number = raft_version_number();
	snprintf(text, sizeof(text), "%d.%d.%d", number / 10000, number / 100 % 100, number % 100);
	return text;
}
