/* Three nodes of a cluster with real replicas, in one thread and in virtual time, for tests of
 * operations that take more than a value.
 *
 * Disks answer at once, messages arrive in the same step. Only one test includes it. */
#ifndef TESTS_UNIT_TRIO_H
#define TESTS_UNIT_TRIO_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/snapshot.h"
#include "node/log/journal.h"
#include "node/operation/operation.h"
#include "raft/configuration.h"
#include "raft/peers.h"
#include "raft/wal.h"

#define PEERS	    3
#define STEP_MS	    10
#define DEADLINE_MS 20000
#define TICKETS_MAX 1024
#define WAITING_MAX 64

struct packet {
	struct packet *next;
	unsigned from, to;
	size_t size;
	uint8_t bytes[];
};

struct waiting {
	context_done done;
	void *data;
};

struct member_at { /* one member: a node of the cluster */
	uint32_t id;
	struct replica *replica;
	struct cluster value;
	struct context context;
	struct journal *journal;
	struct buffer first;
	bool down; /* neither hears nor is heard */
	uint64_t tickets[TICKETS_MAX];
	unsigned n_tickets;
	struct waiting waiting[WAITING_MAX];
	unsigned n_waiting;
	struct wal_status files;
};

static struct member_at at[PEERS + 1];
static uint64_t clock_ms;
static struct packet *packets;
static uint64_t sequence;

/* The world. */

static inline uint64_t now(void *data)
{
	return clock_ms;
}

static inline void submit(void *data, const struct disk_request *request)
{
	struct member_at *m = data;
	assert_true(m->n_tickets < TICKETS_MAX);
	m->tickets[m->n_tickets++] = request->ticket;
}

static inline int apply(void *data, uint64_t index, const uint8_t *operation, size_t size)
{
	struct member_at *m = data;
	int result = cluster_apply(&m->value, index, operation, size, NULL);
	journal_note(m->journal, index, result);
	return result;
}

static inline void take_snapshot(void *data, struct buffer *out)
{
	snapshot_encode(&((struct member_at *)data)->value, out);
}

static inline int restore(void *data, uint64_t index, const uint8_t *bytes, size_t size)
{
	return snapshot_decode(&((struct member_at *)data)->value, bytes, size, NULL);
}

static inline void send_packet(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	struct member_at *m = data;
	struct packet *p = must_alloc(sizeof(*p) + size), **last = &packets;
	*p = (struct packet){.from = m->id, .to = (unsigned)to, .size = size};
	memcpy(p->bytes, bytes, size);
	while (*last)
		last = &(*last)->next;
	*last = p;
}

static inline void answered(void *data, uint64_t request, int result, uint64_t index)
{
	struct member_at *m = data;
	struct waiting w = m->waiting[request];
	if (w.done)
		w.done(w.data, result, index, NULL);
}

static inline void changed(void *data)
{
}

static inline struct replica *replica_at(void *data)
{
	return ((struct member_at *)data)->replica;
}

static inline const char *trouble(void *data)
{
	return "the disk is full";
}

static inline void propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	struct member_at *m = data;
	struct buffer bytes = {0};
	assert_true(m->n_waiting < WAITING_MAX);
	m->waiting[m->n_waiting] = (struct waiting){done, done_data};
	command->client = command->number == COMMAND_probe ? 0 : 100 + m->id;
	command->sequence = command->client ? ++sequence : 0;
	command_encode(command, &bytes);
	replica_propose(
	    m->replica, m->n_waiting++, bytes.data, bytes.size, clock_ms + timeout_ms, clock_ms);
	buffer_close(&bytes);
}

static inline void files(void *data, struct wal_status *status)
{
	*status = ((struct member_at *)data)->files;
}

static inline unsigned peers(void *data, struct peers_status *status, unsigned max)
{
	unsigned n = 0;
	struct member_at *m = data;
	for (unsigned i = 1; i <= PEERS; i++) {
		if (i == m->id)
			continue;
		status[n] = (struct peers_status){.id = i, .sending = !at[i].down, .rtt_us = 70};
		snprintf(status[n].error, sizeof(status[n].error), "%s",
		    at[i].down ? "no route to host" : "");
		n++;
	}
	return n;
}

static inline void ask(void *data, uint32_t node, const struct operation_call *call,
    operation_done done, void *done_data)
{
	struct operation_call asked = *call;
	struct member_at *m = data;
	snprintf(asked.caller, sizeof(asked.caller), "node %u", m->id);
	operation_run(&at[node].context, &asked, done, done_data);
}

static inline void member_open(struct member_at *m, uint32_t id)
{
	struct configuration c = {0};
	struct disk_entry entry = {.term = 1, .type = DISK_CHANGE};
	struct disk_state state = {.term = 1, .first = 1, .entries = &entry, .n = 1};
	struct replica_options options = {
	    .id = id, .heartbeat_ms = 50, .election_ms = 300, .lease_ms = 240, .seed = id};
	char address[32];
	struct err err;
	*m = (struct member_at){.id = id, .journal = journal_new()};
	for (uint32_t i = 1; i <= PEERS; i++) {
		snprintf(address, sizeof(address), "hv%u:7000", i);
		assert_int_equal(configuration_set(&c, i, address, MEMBER_VOTER), 0);
	}
	configuration_encode(&c, &m->first);
	entry.data = m->first.data;
	entry.size = (uint32_t)m->first.size;
	snprintf(address, sizeof(address), "hv%u:7000", id);
	options.address = address;
	cluster_init(&m->value);
	struct replica_ports ports = {.disk = {.data = m, .submit = submit},
	    .machine = {.data = m, .apply = apply, .snapshot = take_snapshot, .restore = restore},
	    .data = m,
	    .send = send_packet,
	    .answered = answered,
	    .changed = changed};
	m->replica = replica_new(&options, &ports, &state, clock_ms, &err);
	assert_non_null(m->replica);
	m->context = (struct context){.data = m,
	    .id = id,
	    .cluster = &m->value,
	    .now_ms = now,
	    .replica = replica_at,
	    .trouble = trouble,
	    .propose = propose,
	    .journal = m->journal,
	    .files = files,
	    .peers = peers,
	    .ask = ask};
	m->files = (struct wal_status){
	    .bytes = 1 << 20, .segments = 1, .free_bytes = 1ull << 40, .free_ms = clock_ms};
}

static inline void deliver(void)
{
	while (packets) {
		struct packet *p = packets;
		packets = p->next;
		if (!at[p->from].down && !at[p->to].down)
			replica_receive(at[p->to].replica, p->from, p->bytes, p->size, clock_ms);
		free(p);
	}
}

static inline void member_step(struct member_at *m)
{
	if (!m->replica)
		return;
	if (clock_ms >= replica_timeout(m->replica))
		replica_tick(m->replica, clock_ms);
	for (unsigned i = 0; i < m->n_tickets; i++)
		replica_written(m->replica, m->tickets[i], 0, clock_ms);
	m->n_tickets = 0;
	replica_flush(m->replica, clock_ms);
}

static inline void step(void)
{
	clock_ms += STEP_MS;
	for (unsigned i = 1; i <= PEERS; i++)
		member_step(&at[i]);
	deliver();
}

static inline struct member_at *leader(void)
{
	struct replica_status s;
	for (unsigned i = 1; i <= PEERS; i++) {
		if (!at[i].replica || at[i].down)
			continue;
		replica_status(at[i].replica, &s);
		if (s.role == REPLICA_LEADER && replica_lease_left(at[i].replica, clock_ms))
			return &at[i];
	}
	return NULL;
}

static inline struct member_at *follower(void)
{
	return leader() == &at[1] ? &at[2] : &at[1];
}

static inline void run_for(uint64_t ms)
{
	for (uint64_t until_ms = clock_ms + ms; clock_ms < until_ms;)
		step();
}

static inline struct member_at *await_leader(void)
{
	for (uint64_t until_ms = clock_ms + DEADLINE_MS; !leader() && clock_ms < until_ms;)
		step();
	assert_non_null(leader());
	return leader();
}

/* Operations. */

struct asked {
	bool done;
	int status;
	json_t *result;
	struct err err;
};

static inline void keep(void *data, int status, json_t *result, const struct err *err)
{
	struct asked *a = data;
	a->done = true;
	a->status = status;
	a->result = result;
	if (err)
		a->err = *err;
}

static inline void parse(const char *line, struct operation_call *call)
{
	char text[256], *rest = text;
	const char *words[16];
	unsigned n = 0;
	struct err err;
	snprintf(text, sizeof(text), "%s", line);
	for (char *word; (word = strsep(&rest, " ")) && n < 16;)
		words[n++] = word;
	assert_int_equal(operation_parse(words, n, call, &err), 0);
}

static inline struct asked run(struct member_at *m, const char *line)
{
	struct operation_call call;
	struct asked a = {0};
	parse(line, &call);
	operation_run(&m->context, &call, keep, &a);
	operation_call_close(&call);
	for (uint64_t until_ms = clock_ms + DEADLINE_MS; !a.done && clock_ms < until_ms;)
		step();
	assert_true(a.done);
	return a;
}

static inline json_t *result_of(struct member_at *m, const char *line)
{
	struct asked a = run(m, line);
	assert_int_equal(a.status, 0);
	assert_non_null(a.result);
	return a.result;
}

static inline void done(struct member_at *m, const char *line)
{
	json_decref(result_of(m, line));
}

static inline const char *text_at(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "(none)";
}

static inline json_int_t number_at(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static inline bool is_null(const json_t *object, const char *name)
{
	return json_is_null(json_object_get(object, name));
}

static inline const json_t *row_of(const json_t *result, uint32_t id)
{
	size_t i;
	const json_t *row;
	json_array_foreach(json_object_get(result, "members"), i, row)
	{
		if (number_at(row, "id") == id)
			return row;
	}
	fail_msg("no row of node %u", id);
	return NULL;
}

/* The cluster as a log would have it: the leader founds it, the others join. */
static inline void found(struct member_at *m)
{
	struct command command = {.number = COMMAND_found, .found = {.schema = 1}};
	snprintf(command.found.name, sizeof(command.found.name), "prod");
	snprintf(command.found.uuid, sizeof(command.found.uuid), "u");
	snprintf(command.found.node, sizeof(command.found.node), "hv1");
	snprintf(command.found.address, sizeof(command.found.address), "hv1:7000");
	struct asked a = {0};
	propose(m, &command, 5000, NULL, &a);
	for (unsigned i = 2; i <= PEERS; i++) {
		struct command token = {.number = COMMAND_token, .token = {.valid_ms = 1000}};
		struct command join = {.number = COMMAND_join};
		memset(token.token.hash, '0' + (int)i, 64);
		memset(join.join.hash, '0' + (int)i, 64);
		snprintf(join.join.name, sizeof(join.join.name), "hv%u", i);
		snprintf(join.join.address, sizeof(join.join.address), "hv%u:7000", i);
		snprintf(join.join.incarnation, sizeof(join.join.incarnation), "of hv%u", i);
		propose(m, &token, 5000, NULL, &a);
		propose(m, &join, 5000, NULL, &a);
	}
	run_for(500);
	for (unsigned i = 1; i <= PEERS; i++)
		assert_int_equal(at[i].value.nodes.count, PEERS);
}

static inline int open_world(void **state)
{
	clock_ms = 1000000;
	sequence = 0;
	for (unsigned i = 1; i <= PEERS; i++)
		member_open(&at[i], i);
	found(await_leader());
	return 0;
}

static inline int close_world(void **state)
{
	for (unsigned i = 1; i <= PEERS; i++)
		replica_free(at[i].replica);
	for (unsigned i = 1; i <= PEERS; i++)
		at[i].down = true;
	deliver();
	for (unsigned i = 1; i <= PEERS; i++) {
		cluster_close(&at[i].value);
		journal_free(at[i].journal);
		buffer_close(&at[i].first);
	}
	return 0;
}

#endif
