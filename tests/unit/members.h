/* Members of a cluster on loopback, in one process, for tests: real sockets, and every wait
 * is for a condition. SIGPIPE stays as it is by default, so a write that raises it
 * ends the test. */
#ifndef TESTS_UNIT_MEMBERS_H
#define TESTS_UNIT_MEMBERS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/endpoint.h"
#include "raft/peers.h"
#include "raft/tls.h"
#include "tests/unit/authority.h"

#define DEADLINE_MS 20000
#define MEMBERS_MAX 4

struct member { /* one member in this process */
	struct peers *peers;
	uint64_t id;
	char incarnation[IDENTITY_INCARNATION_SIZE];
	uint64_t received[MEMBERS_MAX + 1]; /* frames of each, in order */
	unsigned disorder;
	unsigned lost[MEMBERS_MAX + 1];
	uint64_t lost_ns;
	unsigned strangers;
	char stranger[ERR_TEXT_MAX];
	unsigned joined;
	uint64_t guest;
	struct guest_request request;
	unsigned closed;
};

static struct issuer authority;
static uv_loop_t loop;

/* --- Nodes --- */

static inline void on_received(void *data, uint64_t from, const uint8_t *bytes, size_t size)
{
	struct member *n = data;
	struct reader r = reader_of(bytes, size);
	if (reader_u64(&r) != n->received[from])
		n->disorder++;
	n->received[from]++;
}

static inline void on_lost(void *data, uint64_t member)
{
	struct member *n = data;
	n->lost[member]++;
	n->lost_ns = uv_hrtime();
}

static inline void on_stranger(void *data, const char *address, const char *why)
{
	struct member *n = data;
	n->strangers++;
	snprintf(n->stranger, sizeof(n->stranger), "%s", why);
}

static inline void on_joined(void *data, uint64_t guest, const struct guest_request *request)
{
	struct member *n = data;
	n->joined++;
	n->guest = guest;
	n->request = *request;
}

struct place { /* where and how a node listens; zero is right for most */
	const char *address;
	uint16_t port;
	size_t queue_max;
	uint64_t id;
	int days; /* its certificate holds */
	void (*younger)(void *data, const struct peers_member *who);
};

static inline void node_open_at(struct member *n, uv_loop_t *on, const struct place *place)
{
	struct err err = {""};
	char address[ENDPOINT_SIZE];
	struct identity_files files = authority_admit(
	    &authority, place->id, authority.cluster, place->days ? place->days : 30);
	*n = (struct member){.id = place->id};
	struct peers_options options = {
	    .loop = on,
	    .files = &files,
	    .listen_address = place->address ? place->address : "127.0.0.1",
	    .port = place->port,
	    .queue_max = place->queue_max,
	    .user_timeout_ms = 500,
	    .handshake_ms = 400,
	    .anew_ms = 600,
	    .handlers = {n, on_received, on_lost, on_stranger, on_joined, place->younger},
	};
	snprintf(address, sizeof(address), "127.0.0.1:%u", place->port);
	options.address = place->port ? address : NULL;
	authority_check(peers_open(&n->peers, &options, &err), &err);
	authority_check(identity_incarnation((const char *)files.certificate.data,
			    files.certificate.size, n->incarnation, &err),
	    &err);
	identity_files_close(&files);
}

static inline void node_open(struct member *n, uint64_t id)
{
	node_open_at(n, &loop, &(struct place){.id = id});
}

static inline void on_closed(void *data)
{
	((struct member *)data)->closed++;
}

static inline void node_close(struct member *n)
{
	peers_close(n->peers, on_closed, n);
	for (int i = 0; i < 1000 && !n->closed; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(n->closed, 1);
}

/* --- Waiting --- */

static inline void on_tick(uv_timer_t *timer)
{
}

static inline uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000;
}

/* Turn the loop until condition holds; a timer bounds every sleep. */
#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t end_ms = now_ms() + DEADLINE_MS;                                          \
		while (!(condition)) {                                                             \
			if (now_ms() > end_ms)                                                     \
				fail_msg("waited in vain for: %s", #condition);                    \
			turn();                                                                    \
		}                                                                                  \
	} while (0)

static inline void turn(void)
{
	static uv_timer_t timer;
	uv_timer_init(&loop, &timer);
	/* Repeated: one that is due before the loop sleeps would not end its sleep. */
	uv_timer_start(&timer, on_tick, 2, 2);
	uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
}

static inline void turns_for(uint64_t ms)
{
	for (uint64_t end_ms = now_ms() + ms; now_ms() < end_ms;)
		turn();
}

static inline int loop_open(void **state)
{
	return uv_loop_init(&loop);
}

static inline int loop_close(void **state)
{
	/* A test that failed leaves its handles: it must not hang for them, too. */
	for (int i = 0; i < 10; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	return uv_loop_close(&loop);
}

/* --- Callers --- */

static inline struct peers_member member_at(uint64_t id, uint16_t port)
{
	struct peers_member m = {.id = id};
	snprintf(m.address, sizeof(m.address), "127.0.0.1:%u", port);
	return m;
}

struct caller { /* one connection, driven by hand beside the loop */
	int fd;
	struct tls_context *context;
	struct tls *tls;
	enum { CALLER_SHAKING, CALLER_OPEN, CALLER_ENDED } state;
	size_t plain; /* bytes that came out of TLS */
	bool told; /* the other side said that it is done */
};

static inline void caller_connect(struct caller *c, const struct member *n)
{
	struct endpoint at;
	struct endpoint_address address;
	struct peers_member m = member_at(0, peers_port(n->peers));
	*c = (struct caller){0};
	assert_int_equal(endpoint_parse(m.address, &at, NULL), 0);
	assert_int_equal(endpoint_numeric(&at, &address), 0);
	c->fd = endpoint_connect(&address);
	assert_true(c->fd >= 0);
}

static inline void caller_send_wire(struct caller *c)
{
	struct buffer *wire = tls_wire(c->tls);
	if (wire->size > 0)
		(void)!send(c->fd, wire->data, wire->size, MSG_NOSIGNAL);
	wire->size = 0;
}

/* Take in what came; returns whether the connection stands. */
static inline bool caller_turn(struct caller *c)
{
	uint8_t bytes[4096], plain[4096];
	struct err err;
	turn();
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		c->state = CALLER_ENDED;
	if (!c->tls)
		return c->state != CALLER_ENDED;
	if (n > 0)
		tls_feed(c->tls, bytes, (size_t)n);
	if (c->state == CALLER_SHAKING && tls_handshake(c->tls, &err) == 1)
		c->state = CALLER_OPEN;
	int out = c->state == CALLER_SHAKING ? 0 : 1;
	while (out > 0 && (out = tls_read(c->tls, plain, sizeof(plain), &err)) > 0)
		c->plain += (size_t)out;
	c->told = c->told || out == -ESHUTDOWN;
	caller_send_wire(c);
	return c->state != CALLER_ENDED;
}

static inline void caller_shake(
    struct caller *c, struct tls_context *context, enum tls_purpose purpose)
{
	assert_non_null(context);
	c->context = context;
	c->tls = tls_new(context, TLS_DIAL, purpose);
	WAIT_FOR(!caller_turn(c) || c->state == CALLER_OPEN);
}

static inline void caller_say(struct caller *c, const void *bytes, size_t size)
{
	assert_int_equal(c->state, CALLER_OPEN);
	assert_int_equal(tls_write(c->tls, bytes, size), 0);
	caller_send_wire(c);
}

static inline void caller_close(struct caller *c)
{
	tls_free(c->tls);
	tls_context_free(c->context);
	close(c->fd);
}

static inline struct tls_context *context_of(const struct issuer *a, uint64_t id, int days)
{
	struct err err;
	struct identity_files files = authority_admit(a, id, authority.cluster, days);
	/* Whoever it is, it knows the cluster's real CA: it is the cluster that refuses. */
	files.ca_certificate.size = 0;
	buffer_append(
	    &files.ca_certificate, authority.certificate.data, authority.certificate.size);
	struct tls_context *context = tls_context_new(&files, &err);
	identity_files_close(&files);
	return context;
}

static inline int authority_setup(void **state)
{
	authority_open(&authority);
	return 0;
}

static inline int authority_teardown(void **state)
{
	authority_close(&authority);
	return 0;
}

static inline void introduce(struct member *nodes, unsigned n)
{
	struct peers_member members[MEMBERS_MAX];
	for (unsigned i = 0; i < n; i++)
		members[i] = member_at(nodes[i].id, peers_port(nodes[i].peers));
	for (unsigned i = 0; i < n; i++)
		peers_members(nodes[i].peers, members, n);
}

static inline bool connected(const struct member *n, unsigned others)
{
	struct peers_status status[MEMBERS_MAX];
	unsigned standing = 0, listed = peers_status(n->peers, status, MEMBERS_MAX);
	for (unsigned i = 0; i < listed; i++)
		standing += status[i].sending && status[i].receiving;
	return standing == others;
}

static inline bool all_connected(const struct member *nodes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!connected(&nodes[i], n - 1))
			return false;
	return true;
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, loop_open, loop_close)

#endif
