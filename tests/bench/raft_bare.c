/* One member of three of a key-value store that is libraft and nothing else: what the daemon's
 * speed is measured against. It has libraft's best: requests of one loop turn packed in one
 * entry, reads of one turn behind one barrier, TCP_NODELAY, pre-vote. No TLS, no sessions.
 *
 *   raft_bare 1|2|3 DIRECTORY PEER_PORT CLIENT_PORT     member N listens on PORT + N */
#include <raft.h>
#include <raft/uv.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "tests/bench/load.h"
#include "tests/bench/raft_bare.h"

#define MEMBERS		     3
#define ENTRIES_IN_FLIGHT    2
#define READ_SIZE	     (64 * 1024)
#define OPERATIONS_PER_ENTRY 900 /* 256 KiB */
#define SNAPSHOT_ENTRIES     8192
#define SNAPSHOT_TRAILING    4096

struct client {
	uv_tcp_t tcp;
	struct buffer in, out;
	unsigned pending; /* requests that will want to answer */
	bool closed;
	struct client *next;
};

struct question { /* a request on its way through the log */
	struct client *client;
	struct bare_request request;
	uint8_t value[LOAD_VALUE_SIZE];
};

struct batch { /* the questions of one entry, or of one barrier */
	union {
		struct raft_apply apply;
		struct raft_barrier barrier;
	};
	unsigned count;
	struct question questions[OPERATIONS_PER_ENTRY];
};

struct operation { /* an entry is operations, one after another */
	uint64_t key;
	uint8_t value[LOAD_VALUE_SIZE];
};

static uv_loop_t loop;
static struct raft raft;
static struct raft_io io;
static struct raft_uv_transport transport;
static uint8_t values[LOAD_KEYS][LOAD_VALUE_SIZE];
static struct client *clients;
static struct batch *put_batch, *read_batch; /* being filled */
static unsigned entries_in_flight;
static char read_bytes[READ_SIZE];

static int fsm_apply(struct raft_fsm *f, const struct raft_buffer *entry, void **result)
{
	const struct operation *operations = entry->base;
	for (size_t i = 0; i < entry->len / sizeof(*operations); i++)
		memcpy(values[operations[i].key], operations[i].value, LOAD_VALUE_SIZE);
	*result = NULL;
	return 0;
}

static int fsm_snapshot(struct raft_fsm *f, struct raft_buffer *buffers[], unsigned *count)
{
	*buffers = raft_malloc(sizeof(**buffers));
	**buffers =
	    (struct raft_buffer){.base = raft_malloc(sizeof(values)), .len = sizeof(values)};
	memcpy((*buffers)->base, values, sizeof(values));
	*count = 1;
	return 0;
}

static int fsm_restore(struct raft_fsm *f, struct raft_buffer *buffer)
{
	memcpy(values, buffer->base, sizeof(values));
	raft_free(buffer->base);
	return 0;
}

/* libraft leaves Nagle's algorithm on: 40 ms for every second message. */
static int (*plain_connect)(struct raft_uv_transport *, struct raft_uv_connect *, raft_id,
    const char *, raft_uv_connect_cb);
static raft_uv_connect_cb connected;

static void connect_done(struct raft_uv_connect *request, struct uv_stream_s *stream, int status)
{
	if (status == 0)
		uv_tcp_nodelay((uv_tcp_t *)stream, 1);
	connected(request, stream, status);
}

static int prompt_connect(struct raft_uv_transport *t, struct raft_uv_connect *request, raft_id id,
    const char *address, raft_uv_connect_cb cb)
{
	connected = cb;
	return plain_connect(t, request, id, address, connect_done);
}

static void client_free(struct client *c)
{
	struct client **at = &clients;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	buffer_close(&c->in);
	buffer_close(&c->out);
	free(c);
}

static void answer(struct question *q, int status)
{
	struct client *c = q->client;
	struct bare_answer a = {q->request.tag, q->request.op, status == 0};
	c->pending--;
	buffer_append(&c->out, &a, sizeof(a));
	if (a.op == BARE_READ && a.ok)
		buffer_append(&c->out, values[q->request.key], LOAD_VALUE_SIZE);
	if (c->closed && !c->pending)
		client_free(c);
}

static void answer_all(struct batch *b, int status)
{
	for (unsigned i = 0; i < b->count; i++)
		answer(&b->questions[i], status);
	free(b);
}

static void apply_done(struct raft_apply *request, int status, void *result)
{
	entries_in_flight--;
	answer_all((struct batch *)request, status);
}

static void barrier_done(struct raft_barrier *request, int status)
{
	answer_all((struct batch *)request, status);
}

static void put_submit(void)
{
	struct batch *b = put_batch;
	put_batch = NULL;
	struct raft_buffer entry = {.len = b->count * sizeof(struct operation)};
	entry.base = raft_malloc(entry.len);
	struct operation *operations = entry.base;
	for (unsigned i = 0; i < b->count; i++) {
		operations[i].key = b->questions[i].request.key;
		memcpy(operations[i].value, b->questions[i].value, LOAD_VALUE_SIZE);
	}
	entries_in_flight++;
	int rv = raft_apply(&raft, &b->apply, &entry, 1, apply_done);
	if (rv != 0) {
		raft_free(entry.base);
		apply_done(&b->apply, rv, NULL);
	}
}

static void read_submit(void)
{
	struct batch *b = read_batch;
	read_batch = NULL;
	int rv = raft_barrier(&raft, &b->barrier, barrier_done);
	if (rv != 0)
		barrier_done(&b->barrier, rv);
}

static void write_done(uv_write_t *request, int status)
{
	free(request);
}

static void client_write(struct client *c)
{
	uv_buf_t bytes = uv_buf_init((char *)c->out.data, (unsigned)c->out.size);
	int sent = uv_try_write((uv_stream_t *)&c->tcp, &bytes, 1);
	size_t rest = c->out.size - (size_t)(sent > 0 ? sent : 0);
	if (rest) {
		uv_write_t *request = must_alloc(sizeof(*request) + rest);
		bytes = uv_buf_init((char *)(request + 1), (unsigned)rest);
		memcpy(bytes.base, c->out.data + c->out.size - rest, rest);
		uv_write(request, (uv_stream_t *)&c->tcp, &bytes, 1, write_done);
	}
	c->out.size = 0;
}

static void note_leadership(void)
{
	static raft_id noted_leader;
	static raft_term noted_term;
	raft_id leader;
	const char *address;
	raft_leader(&raft, &leader, &address);
	if (!leader || (leader == noted_leader && raft.current_term == noted_term))
		return;
	noted_leader = leader;
	noted_term = raft.current_term;
	printf("leader %llu %llu\n", (unsigned long long)leader, (unsigned long long)noted_term);
	fflush(stdout);
}

/* Both ends of a loop turn: what has come goes into the log, what is answered goes out. */
static void turn(void)
{
	if (put_batch && entries_in_flight < ENTRIES_IN_FLIGHT)
		put_submit();
	if (read_batch)
		read_submit();
	for (struct client *c = clients; c; c = c->next) {
		if (c->out.size && !uv_is_closing((uv_handle_t *)&c->tcp))
			client_write(c);
	}
	note_leadership();
}

static void turn_check(uv_check_t *handle)
{
	turn();
}

static void turn_prepare(uv_prepare_t *handle)
{
	turn();
}

static struct question *question_new(struct batch **filling)
{
	if (!*filling) {
		*filling = must_alloc(sizeof(**filling));
		(*filling)->count = 0;
	}
	return &(*filling)->questions[(*filling)->count++];
}

/* Uses up one whole request from the front of data and returns its size, or 0. */
static size_t request_take(struct client *c, const uint8_t *data, size_t size)
{
	struct bare_request request;
	if (size < sizeof(request))
		return 0;
	memcpy(&request, data, sizeof(request));
	size_t whole = sizeof(request) + (request.op == BARE_PUT ? LOAD_VALUE_SIZE : 0);
	if (size < whole)
		return 0;
	struct batch **filling = request.op == BARE_PUT ? &put_batch : &read_batch;
	struct question *q = question_new(filling);
	q->client = c;
	q->request = request;
	q->request.key %= LOAD_KEYS;
	memcpy(q->value, data + sizeof(request), whole - sizeof(request));
	c->pending++;
	if ((*filling)->count == OPERATIONS_PER_ENTRY)
		request.op == BARE_PUT ? put_submit() : read_submit();
	return whole;
}

static void client_closed(uv_handle_t *handle)
{
	struct client *c = handle->data;
	c->closed = true;
	if (!c->pending)
		client_free(c);
}

static void client_alloc(uv_handle_t *handle, size_t size, uv_buf_t *bytes)
{
	*bytes = uv_buf_init(read_bytes, sizeof(read_bytes));
}

static void client_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes)
{
	struct client *c = stream->data;
	if (size < 0) {
		uv_close((uv_handle_t *)stream, client_closed);
		return;
	}
	buffer_append(&c->in, bytes->base, (size_t)size);
	size_t used = 0, taken;
	while ((taken = request_take(c, c->in.data + used, c->in.size - used)) != 0)
		used += taken;
	c->in.size -= used;
	memmove(c->in.data, c->in.data + used, c->in.size);
}

static void client_accept(uv_stream_t *listener, int status)
{
	struct client *c = must_alloc(sizeof(*c));
	*c = (struct client){.next = clients};
	clients = c;
	uv_tcp_init(&loop, &c->tcp);
	c->tcp.data = c;
	uv_accept(listener, (uv_stream_t *)&c->tcp);
	uv_tcp_nodelay(&c->tcp, 1);
	uv_read_start((uv_stream_t *)&c->tcp, client_alloc, client_read);
}

static void must(int rv, const char *what)
{
	if (rv == 0)
		return;
	fprintf(stderr, "raft_bare: %s: %d %s %s\n", what, rv, raft_strerror(rv), io.errmsg);
	exit(1);
}

static void raft_begin(unsigned long id, const char *directory, unsigned long peer_port)
{
	static struct raft_fsm fsm = {
	    .version = 1, .apply = fsm_apply, .snapshot = fsm_snapshot, .restore = fsm_restore};
	char address[32];
	struct raft_configuration members;
	transport.version = 1;
	must(raft_uv_tcp_init(&transport, &loop), "transport");
	plain_connect = transport.connect;
	transport.connect = prompt_connect;
	must(raft_uv_init(&io, &loop, directory, &transport), directory);
	raft_uv_set_connect_retry_delay(&io, 100);
	snprintf(address, sizeof(address), "127.0.0.1:%lu", peer_port + id);
	must(raft_init(&raft, &io, &fsm, id, address), "init");
	raft_set_election_timeout(&raft, 300);
	raft_set_heartbeat_timeout(&raft, 50);
	raft_set_pre_vote(&raft, true);
	raft_set_snapshot_threshold(&raft, SNAPSHOT_ENTRIES);
	raft_set_snapshot_trailing(&raft, SNAPSHOT_TRAILING);
	raft_configuration_init(&members);
	for (unsigned long i = 1; i <= MEMBERS; i++) {
		snprintf(address, sizeof(address), "127.0.0.1:%lu", peer_port + i);
		must(raft_configuration_add(&members, i, address, RAFT_VOTER), "members");
	}
	int rv = raft_bootstrap(&raft, &members);
	must(rv == RAFT_CANTBOOTSTRAP ? 0 : rv, "bootstrap");
	raft_configuration_close(&members);
	must(raft_start(&raft), "start");
	printf("started\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: raft_bare 1|2|3 DIRECTORY PEER_PORT CLIENT_PORT\n");
		return 2;
	}
	unsigned long id = strtoul(argv[1], NULL, 10), client_port = strtoul(argv[4], NULL, 10);
	signal(SIGPIPE, SIG_IGN); /* or a killed peer would take us along */
	uv_loop_init(&loop);
	raft_begin(id, argv[2], strtoul(argv[3], NULL, 10));

	static uv_tcp_t listener;
	static uv_check_t check;
	static uv_prepare_t prepare;
	struct sockaddr_in address;
	uv_tcp_init(&loop, &listener);
	uv_ip4_addr("127.0.0.1", (int)(client_port + id), &address);
	uv_tcp_bind(&listener, (struct sockaddr *)&address, 0);
	must(uv_listen((uv_stream_t *)&listener, 128, client_accept), "listen");
	uv_check_init(&loop, &check);
	uv_check_start(&check, turn_check);
	uv_prepare_init(&loop, &prepare);
	uv_prepare_start(&prepare, turn_prepare);
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}
