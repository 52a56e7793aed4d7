/* A whole group of members in one thread and virtual time, for the tests of the replica.
 *
 * The machine keeps a list of numbers. An operation is {client, sequence, value}, applied at most
 * once; its result is its place in the list. Whatever any member ever applied is kept in
 * `truth`, and every member is held against it: so a contradiction shows at once. Each member has
 * a clock of its own. */
#ifndef TESTS_UNIT_GROUP_H
#define TESTS_UNIT_GROUP_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/buffer.h"
#include "raft/configuration.h"
#include "raft/message.h"
#include "raft/replica.h"

#define NODES	     6
#define CLIENTS	     64
#define HEARTBEAT_MS 50
#define ELECTION_MS  300
#define LEASE_MS     240

struct operation {
	uint32_t client, sequence, value;
};

struct request { /* what was asked of a member */
	enum { ASK_WRITE, ASK_READ, ASK_CHANGE } kind;
	unsigned node;
	struct operation operation;
	uint64_t floor; /* what a read must see */
	bool answered;
	int result;
	uint64_t index;
};

struct packet {
	struct packet *next;
	uint64_t due_ms;
	unsigned from, to;
	size_t size;
	uint8_t bytes[];
};

struct job { /* a write under way */
	struct job *next;
	const struct disk_request *request;
	uint64_t due_ms;
};

struct store { /* what is on a disk */
	uint64_t term, vote;
	uint32_t promise_ms;
	bool has_snapshot;
	struct disk_snapshot snapshot;
	uint64_t first;
	unsigned n;
	struct disk_entry *entries;
};

struct group;
struct node {
	struct group *group;
	unsigned number; /* id - 1 */
	struct replica *replica;
	struct store store;
	struct job *jobs, *jobs_last;
	struct job *taken; /* a snapshot that is written between the others; NULL: none is */
	bool stuck; /* its disk answers nothing */
	bool fail_next; /* its next write fails, and then every one */
	unsigned changes, restores, snapshots;
	size_t snapshot_log_bytes; /* 0: the group's */
	uint64_t distrusts; /* the member that may ask for nothing, while this one leads; 0: none */
	unsigned election_ms; /* 0: ELECTION_MS; its lease is four fifths of it */
	/* The machine. */
	struct operation *list;
	unsigned length;
	uint32_t last_sequence[CLIENTS];
	int last_result[CLIENTS];
};

struct group {
	uint64_t now_ms;
	uint32_t random;
	struct node nodes[NODES];
	unsigned n;
	bool cut[NODES][NODES]; /* [from][to] */
	struct packet *packets;
	unsigned delay_ms, jitter_ms, drop_percent, double_percent;
	unsigned disk_ms;
	unsigned snapshot_ms; /* for a snapshot that was taken; 0: in its turn, as all else */
	size_t snapshot_log_bytes;
	unsigned proposal_limit;
	struct operation *truth;
	unsigned truth_length;
	struct request *requests;
	unsigned n_requests;
	uint64_t sent; /* messages */
	enum message_kind lose; /* messages of this kind; 0: none */
	bool many_truths; /* members hold what they apply against nothing */
	bool lenient; /* do not check the lease: connections are said to break that do not */
};

static inline uint32_t group_random(struct group *g, uint32_t below)
{
	g->random ^= g->random << 13;
	g->random ^= g->random >> 17;
	g->random ^= g->random << 5;
	return below ? g->random % below : 0;
}

static inline uint64_t clock_of(const struct node *n)
{
	return n->group->now_ms + 1000 + n->number * 100000;
}

/* ---- Machine ---- */

static inline void truth_check(struct node *n, unsigned place)
{
	struct group *g = n->group;
	if (g->many_truths)
		return;
	if (place == g->truth_length) {
		g->truth = must_realloc(g->truth, (place + 1) * sizeof(*g->truth));
		g->truth[g->truth_length++] = n->list[place];
	}
	assert_true(place < g->truth_length);
	assert_memory_equal(&g->truth[place], &n->list[place], sizeof(struct operation));
}

static inline int machine_apply(void *data, uint64_t index, const uint8_t *bytes, size_t size)
{
	struct node *n = data;
	struct operation o;
	(void)index;
	if (size < sizeof(o))
		return -EBADMSG;
	memcpy(&o, bytes, sizeof(o));
	assert_true(o.client < CLIENTS);
	if (o.sequence == n->last_sequence[o.client])
		return n->last_result[o.client];
	if (o.sequence < n->last_sequence[o.client])
		return -ESTALE;
	n->list = must_realloc(n->list, (n->length + 1) * sizeof(*n->list));
	n->list[n->length++] = o;
	truth_check(n, n->length - 1);
	n->last_sequence[o.client] = o.sequence;
	n->last_result[o.client] = (int)n->length - 1;
	return (int)n->length - 1;
}

static inline void machine_snapshot(void *data, struct buffer *out)
{
	struct node *n = data;
	n->snapshots++;
	buffer_append_u32(out, n->length);
	buffer_append(out, n->list, n->length * sizeof(*n->list));
}

static inline int machine_restore(void *data, uint64_t index, const uint8_t *bytes, size_t size)
{
	struct node *n = data;
	struct reader in = reader_of(bytes, size);
	uint32_t length = reader_u32(&in);
	const uint8_t *list = reader_bytes(&in, (size_t)length * sizeof(*n->list));
	(void)index;
	if (in.failed || reader_left(&in))
		return -EBADMSG;
	n->restores++;
	n->list = must_realloc(n->list, length * sizeof(*n->list));
	memcpy(n->list, list, length * sizeof(*n->list));
	n->length = length;
	memset(n->last_sequence, 0, sizeof(n->last_sequence));
	for (unsigned i = 0; i < length; i++) {
		truth_check(n, i);
		n->last_sequence[n->list[i].client] = n->list[i].sequence;
		n->last_result[n->list[i].client] = (int)i;
	}
	return 0;
}

/* ---- Disk ---- */

static inline int machine_admit(void *data, uint64_t from, const uint8_t *operation, size_t size)
{
	return from == ((struct node *)data)->distrusts ? -EPERM : 0;
}

static inline void store_truncate(struct store *s, uint64_t from)
{
	while (s->n && s->first + s->n > from)
		free((void *)s->entries[--s->n].data);
}

static inline void store_append(
    struct store *s, uint64_t index, const struct disk_entry *entries, unsigned n)
{
	store_truncate(s, index);
	if (s->n == 0)
		s->first = index;
	assert_int_equal(s->first + s->n, index);
	s->entries = must_realloc(s->entries, (s->n + n) * sizeof(*s->entries));
	for (unsigned i = 0; i < n; i++) {
		uint8_t *copy = must_alloc(entries[i].size);
		memcpy(copy, entries[i].data, entries[i].size);
		s->entries[s->n] = entries[i];
		s->entries[s->n++].data = copy;
	}
}

static inline const uint8_t *bytes_copy(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = must_alloc(size);
	memcpy(copy, bytes, size);
	return copy;
}

static inline void store_snapshot(struct store *s, const struct disk_request *r)
{
	const struct disk_snapshot *d = &r->snapshot.snapshot;
	if (s->has_snapshot) {
		free((void *)s->snapshot.configuration);
		free((void *)s->snapshot.data);
	}
	s->has_snapshot = true;
	s->snapshot = *d;
	s->snapshot.configuration = bytes_copy(d->configuration, d->configuration_size);
	s->snapshot.data = bytes_copy(d->data, d->size);
	unsigned gone = 0;
	if (r->snapshot.installed)
		store_truncate(s, 0);
	while (gone < s->n && s->first + gone < r->snapshot.keep_from)
		free((void *)s->entries[gone++].data);
	if (gone)
		memmove(s->entries, s->entries + gone, (s->n - gone) * sizeof(*s->entries));
	s->first += gone;
	s->n -= gone;
}

static inline void store_apply(struct store *s, const struct disk_request *r)
{
	switch (r->type) {
	case DISK_VOTE:
		assert_true(r->vote.term >= s->term);
		if (r->vote.term == s->term && s->vote)
			assert_int_equal(r->vote.vote, s->vote);
		s->term = r->vote.term;
		s->vote = r->vote.vote;
		s->promise_ms = r->vote.promise_ms;
		break;
	case DISK_APPEND:
		store_append(s, r->append.index, r->append.entries, r->append.n);
		break;
	case DISK_SNAPSHOT:
		store_snapshot(s, r);
		break;
	}
}

static inline void disk_submit(void *data, const struct disk_request *request)
{
	struct node *n = data;
	struct job *job = must_alloc(sizeof(*job));
	uint64_t after = n->jobs_last ? n->jobs_last->due_ms : n->group->now_ms;
	job->request = request;
	job->due_ms = after + n->group->disk_ms;
	if (n->jobs_last)
		n->jobs_last->next = job;
	else
		n->jobs = job;
	n->jobs_last = job;
}

static inline struct job *disk_pop(struct node *n)
{
	struct job *job = n->jobs;
	n->jobs = job->next;
	if (!n->jobs)
		n->jobs_last = NULL;
	return job;
}

static inline bool disk_due(const struct node *n, const struct job *job)
{
	return job && n->replica && !n->stuck && job->due_ms <= n->group->now_ms;
}

static inline void disk_finish(struct node *n, struct job *job)
{
	int status = n->fail_next ? -EIO : 0;
	if (status == 0)
		store_apply(&n->store, job->request);
	replica_written(n->replica, job->request->ticket, status, clock_of(n));
	free(job);
}

/* Whether the next one is put aside, and is done later than those behind it. */
static inline bool disk_put_aside(struct node *n, struct job *job)
{
	const struct disk_request *r = job->request;
	if (r->type != DISK_SNAPSHOT || r->snapshot.installed || !n->group->snapshot_ms)
		return false;
	job->due_ms = n->group->now_ms + n->group->snapshot_ms;
	n->taken = job;
	return true;
}

static inline bool disk_run(struct node *n)
{
	bool any = false;
	if (disk_due(n, n->taken)) {
		struct job *job = n->taken;
		n->taken = NULL;
		disk_finish(n, job);
		any = true;
	}
	while (disk_due(n, n->jobs)) {
		if (n->taken && n->jobs->request->type == DISK_SNAPSHOT)
			break;
		struct job *job = disk_pop(n);
		if (!disk_put_aside(n, job))
			disk_finish(n, job);
		any = true;
	}
	return any;
}

/* ---- Network ---- */

static inline void group_post(
    struct group *g, unsigned from, unsigned to, const uint8_t *bytes, size_t size)
{
	struct packet *p = must_alloc(sizeof(*p) + size), **at = &g->packets;
	p->from = from;
	p->to = to;
	p->size = size;
	p->due_ms = g->now_ms + g->delay_ms + group_random(g, g->jitter_ms + 1);
	memcpy(p->bytes, bytes, size);
	while (*at && (*at)->due_ms <= p->due_ms)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
	g->sent++;
}

static inline void port_send(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	struct node *n = data;
	struct group *g = n->group;
	assert_true(size <= REPLICA_MESSAGE_MAX);
	if (to > g->n || g->cut[n->number][to - 1] || group_random(g, 100) < g->drop_percent)
		return;
	if (bytes[1] == g->lose)
		return;
	group_post(g, n->number, (unsigned)to - 1, bytes, size);
	if (group_random(g, 100) < g->double_percent)
		group_post(g, n->number, (unsigned)to - 1, bytes, size);
}

static inline bool network_run(struct group *g)
{
	bool any = false;
	while (g->packets && g->packets->due_ms <= g->now_ms) {
		struct packet *p = g->packets;
		struct node *to = &g->nodes[p->to];
		g->packets = p->next;
		if (to->replica && !g->cut[p->from][p->to])
			replica_receive(to->replica, p->from + 1, p->bytes, p->size, clock_of(to));
		free(p);
		any = true;
	}
	return any;
}

/* ---- Answers ---- */

static inline void port_answered(void *data, uint64_t request, int result, uint64_t index)
{
	struct node *n = data;
	struct group *g = n->group;
	assert_true(request < g->n_requests);
	struct request *q = &g->requests[request];
	assert_false(q->answered);
	q->answered = true;
	q->result = result;
	q->index = index;
	if (result < 0)
		return;
	if (q->kind == ASK_READ)
		assert_true(n->length >= q->floor);
	if (q->kind == ASK_WRITE) {
		assert_true((unsigned)result < n->length);
		assert_memory_equal(&n->list[result], &q->operation, sizeof(q->operation));
	}
}

static inline void port_changed(void *data)
{
	((struct node *)data)->changes++;
}

static inline struct request *group_request(struct group *g)
{
	if (g->n_requests % 256 == 0)
		g->requests =
		    must_realloc(g->requests, (g->n_requests + 256) * sizeof(*g->requests));
	struct request *q = &g->requests[g->n_requests++];
	memset(q, 0, sizeof(*q));
	return q;
}

/* ---- Life ---- */

static inline void node_start(struct node *n)
{
	struct group *g = n->group;
	char address[32];
	struct err err = {0};
	snprintf(address, sizeof(address), "10.0.0.%u:7000", n->number + 1);
	unsigned election_ms = n->election_ms ? n->election_ms : ELECTION_MS;
	struct replica_options options = {.id = n->number + 1,
	    .address = address,
	    .heartbeat_ms = HEARTBEAT_MS,
	    .election_ms = election_ms,
	    .lease_ms = election_ms * 4 / 5,
	    .seed = group_random(g, 0xffffffff),
	    .snapshot_log_bytes =
		n->snapshot_log_bytes ? n->snapshot_log_bytes : g->snapshot_log_bytes,
	    .proposal_limit = g->proposal_limit};
	struct replica_ports ports = {
	    .disk = {.data = n, .submit = disk_submit},
	    .machine = {.data = n,
		.apply = machine_apply,
		.snapshot = machine_snapshot,
		.restore = machine_restore,
		.admit = machine_admit},
	    .data = n,
	    .send = port_send,
	    .answered = port_answered,
	    .changed = port_changed,
	};
	const struct store *s = &n->store;
	struct disk_state state = {.term = s->term,
	    .vote = s->vote,
	    .promise_ms = s->promise_ms,
	    .has_snapshot = s->has_snapshot,
	    .snapshot = s->snapshot,
	    .first = s->first,
	    .n = s->n,
	    .entries = s->entries};
	n->replica = replica_new(&options, &ports, &state, clock_of(n), &err);
	if (!n->replica)
		fail_msg("node %u does not start: %s", n->number + 1, err.text);
}

/* What was being written is lost but for a part of the first, as when power goes. */
static inline void node_crash(struct node *n)
{
	if (!n->replica)
		return;
	if (n->jobs && !n->fail_next && n->jobs->request->type == DISK_APPEND) {
		const struct disk_request *r = n->jobs->request;
		unsigned whole = group_random(n->group, r->append.n + 1);
		store_append(&n->store, r->append.index, r->append.entries, whole);
	}
	while (n->jobs)
		free(disk_pop(n));
	free(n->taken);
	n->taken = NULL;
	replica_free(n->replica);
	n->replica = NULL;
	n->length = 0;
	memset(n->last_sequence, 0, sizeof(n->last_sequence));
	n->stuck = n->fail_next = false;
}

static inline struct group *group_new(unsigned n, uint32_t seed)
{
	struct group *g = must_alloc(sizeof(*g));
	g->n = n;
	g->random = seed * 2654435761u + 1;
	g->delay_ms = 1;
	g->disk_ms = 1;
	for (unsigned i = 0; i < n; i++) {
		g->nodes[i].group = g;
		g->nodes[i].number = i;
	}
	return g;
}

/* The first `voters` members have been configured together; nobody runs yet. */
static inline void group_bootstrap(struct group *g, unsigned voters)
{
	struct configuration c = {0};
	struct buffer bytes = {0};
	for (unsigned i = 0; i < voters; i++) {
		char address[32];
		snprintf(address, sizeof(address), "10.0.0.%u:7000", i + 1);
		assert_int_equal(configuration_set(&c, i + 1, address, MEMBER_VOTER), 0);
	}
	configuration_encode(&c, &bytes);
	for (unsigned i = 0; i < voters; i++) {
		struct disk_entry e = {1, DISK_CHANGE, (uint32_t)bytes.size, bytes.data};
		store_append(&g->nodes[i].store, 1, &e, 1);
		g->nodes[i].store.term = 1;
	}
	buffer_close(&bytes);
}

static inline void group_free(struct group *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		struct node *n = &g->nodes[i];
		node_crash(n);
		store_truncate(&n->store, 0);
		free(n->store.entries);
		if (n->store.has_snapshot) {
			free((void *)n->store.snapshot.configuration);
			free((void *)n->store.snapshot.data);
		}
		free(n->list);
	}
	while (g->packets) {
		struct packet *p = g->packets;
		g->packets = p->next;
		free(p);
	}
	free(g->truth);
	free(g->requests);
	free(g);
}

/* ---- Time ---- */

static inline struct replica_status status_of(const struct node *n)
{
	struct replica_status s = {0};
	if (n->replica)
		replica_status(n->replica, &s);
	return s;
}

/* Who holds the lease is the only leader of its term and all later ones. */
static inline void check_lease(const struct group *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		const struct node *n = &g->nodes[i];
		if (!n->replica || replica_lease_left(n->replica, clock_of(n)) == 0)
			continue;
		uint64_t term = status_of(n).term;
		for (unsigned j = 0; j < g->n; j++) {
			struct replica_status s = status_of(&g->nodes[j]);
			bool rival = j != i && s.role == REPLICA_LEADER && s.term >= term;
			if (rival)
				fail_msg("at %lu ms %u has the lease, and %u leads",
				    (unsigned long)g->now_ms, i + 1, j + 1);
		}
	}
}

static inline void node_turn(struct node *n)
{
	if (!n->replica)
		return;
	if (replica_timeout(n->replica) <= clock_of(n))
		replica_tick(n->replica, clock_of(n));
	replica_flush(n->replica, clock_of(n));
}

static inline void group_run(struct group *g, unsigned ms)
{
	for (uint64_t end = g->now_ms + ms; g->now_ms < end;) {
		g->now_ms++;
		network_run(g);
		for (unsigned i = 0; i < g->n; i++)
			disk_run(&g->nodes[i]);
		for (unsigned i = 0; i < g->n; i++)
			node_turn(&g->nodes[i]);
		if (!g->lenient)
			check_lease(g);
	}
}

/* The leader that most follow, or NULL. */
static inline struct node *group_leader(struct group *g)
{
	struct node *best = NULL;
	for (unsigned i = 0; i < g->n; i++) {
		struct node *n = &g->nodes[i];
		bool leads = n->replica && status_of(n).role == REPLICA_LEADER;
		if (leads && (!best || status_of(n).term > status_of(best).term))
			best = n;
	}
	return best;
}

static inline struct node *group_elect(struct group *g)
{
	for (unsigned waited = 0; waited < 10000; waited += 10) {
		struct node *leader = group_leader(g);
		if (leader && replica_lease_left(leader->replica, clock_of(leader)) > 0)
			return leader;
		group_run(g, 10);
	}
	fail_msg("no leader");
	return NULL;
}

static inline struct request *group_wait(struct group *g, unsigned request)
{
	for (unsigned waited = 0; waited < 20000 && !g->requests[request].answered; waited++)
		group_run(g, 1);
	assert_true(g->requests[request].answered);
	return &g->requests[request];
}

static inline unsigned node_write(struct node *n, struct operation o, unsigned within_ms)
{
	struct group *g = n->group;
	struct request *q = group_request(g);
	unsigned number = g->n_requests - 1;
	q->kind = ASK_WRITE;
	q->node = n->number;
	q->operation = o;
	replica_propose(n->replica, number, (const uint8_t *)&o, sizeof(o), clock_of(n) + within_ms,
	    clock_of(n));
	return number;
}

static inline unsigned node_read(struct node *n, bool by_round, unsigned within_ms)
{
	struct group *g = n->group;
	struct request *q = group_request(g);
	unsigned number = g->n_requests - 1;
	uint64_t deadline_ms = clock_of(n) + within_ms;
	q->kind = ASK_READ;
	q->node = n->number;
	q->floor = g->truth_length;
	if (by_round)
		replica_read_by_round(n->replica, number, deadline_ms, clock_of(n));
	else
		replica_read(n->replica, number, deadline_ms, clock_of(n));
	return number;
}

static inline unsigned node_change(struct node *n, uint64_t id, enum member_role role)
{
	struct group *g = n->group;
	struct request *q = group_request(g);
	unsigned number = g->n_requests - 1;
	char address[32];
	snprintf(address, sizeof(address), "10.0.0.%u:7000", (unsigned)id);
	q->kind = ASK_CHANGE;
	q->node = n->number;
	replica_member_set(n->replica, number, id, address, role, clock_of(n) + 10000, clock_of(n));
	return number;
}

static inline void group_start(struct group *g, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		node_start(&g->nodes[i]);
}

static inline void group_cut(struct group *g, unsigned a, unsigned b, bool cut)
{
	g->cut[a][b] = g->cut[b][a] = cut;
}

static inline void group_isolate(struct group *g, const struct node *n, bool cut)
{
	for (unsigned i = 0; i < g->n; i++)
		if (i != n->number)
			group_cut(g, n->number, i, cut);
}

/* ---- What many tests begin with ---- */

static inline struct group *started(unsigned n)
{
	struct group *g = group_new(n, 1);
	group_bootstrap(g, n);
	group_start(g, n);
	return g;
}

static inline struct operation next_operation(uint32_t client)
{
	static uint32_t sequence[CLIENTS];
	return (struct operation){client, ++sequence[client], 7};
}

static inline void write_some(struct node *n, uint32_t client, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned number = node_write(n, next_operation(client), 5000);
		struct request *q = group_wait(n->group, number);
		if (q->result < 0)
			fail_msg("write on %u: %d", n->number + 1, q->result);
	}
}

static inline void everyone_has(struct group *g, unsigned length)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->nodes[i].replica)
			assert_int_equal(g->nodes[i].length, length);
}

static inline struct node *another(struct group *g, const struct node *than)
{
	for (unsigned i = 0; i < g->n; i++)
		if (&g->nodes[i] != than && g->nodes[i].replica)
			return &g->nodes[i];
	return NULL;
}

static inline void wait_for_other_leader(struct group *g, const struct node *old)
{
	for (unsigned ms = 0; ms < 5000 && (!group_leader(g) || group_leader(g) == old); ms++)
		group_run(g, 1);
	assert_non_null(group_leader(g));
	assert_ptr_not_equal(group_leader(g), old);
}

static inline void change(struct group *g, uint64_t id, enum member_role role)
{
	struct request *q = group_wait(g, node_change(group_elect(g), id, role));
	if (q->result != 0)
		fail_msg("member %u to role %u: %d", (unsigned)id, role, q->result);
}

#endif
