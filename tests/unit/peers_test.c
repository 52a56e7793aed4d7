/* Real sockets on loopback; every wait is for a condition. SIGPIPE stays as it
 * is by default, so a write that raises it ends the test. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/endpoint.h"
#include "raft/peers.h"
#include "raft/tls.h"
#include "tests/unit/authority.h"

#define DEADLINE_MS  20000
#define MEMBERS_MAX  4
#define NODE_UNKNOWN 77

struct node { /* one member in this process */
	struct peers *peers;
	uint64_t id;
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

static struct authority authority;
static uv_loop_t loop;

/* --- Nodes --- */

static void on_received(void *data, uint64_t from, const uint8_t *bytes, size_t size)
{
	struct node *n = data;
	struct reader r = reader_of(bytes, size);
	if (reader_u64(&r) != n->received[from])
		n->disorder++;
	n->received[from]++;
}

static void on_lost(void *data, uint64_t member)
{
	struct node *n = data;
	n->lost[member]++;
	n->lost_ns = uv_hrtime();
}

static void on_stranger(void *data, const char *address, const char *why)
{
	struct node *n = data;
	n->strangers++;
	snprintf(n->stranger, sizeof(n->stranger), "%s", why);
}

static void on_joined(void *data, uint64_t guest, const struct guest_request *request)
{
	struct node *n = data;
	n->joined++;
	n->guest = guest;
	n->request = *request;
}

struct place { /* where and how a node listens; zero is right for most */
	const char *address;
	uint16_t port;
	size_t queue_max;
	uint64_t id;
};

static void node_open_at(struct node *n, uv_loop_t *on, const struct place *place)
{
	struct err err = {""};
	struct identity_files files = authority_admit(&authority, place->id, authority.cluster, 30);
	*n = (struct node){.id = place->id};
	struct peers_options options = {
	    .loop = on,
	    .files = &files,
	    .listen_address = place->address ? place->address : "127.0.0.1",
	    .port = place->port,
	    .queue_max = place->queue_max,
	    .user_timeout_ms = 500,
	    .handshake_ms = 400,
	    .handlers = {n, on_received, on_lost, on_stranger, on_joined},
	};
	authority_check(peers_open(&n->peers, &options, &err), &err);
	identity_files_close(&files);
}

static void node_open(struct node *n, uint64_t id)
{
	node_open_at(n, &loop, &(struct place){.id = id});
}

static void on_closed(void *data)
{
	((struct node *)data)->closed++;
}

static void node_close(struct node *n)
{
	peers_close(n->peers, on_closed, n);
	for (int i = 0; i < 1000 && !n->closed; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(n->closed, 1);
}

/* --- Waiting --- */

static void on_tick(uv_timer_t *timer)
{
}

static uint64_t now_ms(void)
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

static void turn(void)
{
	static uv_timer_t timer;
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_tick, 2, 0);
	uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
}

static void turns_for(uint64_t ms)
{
	for (uint64_t end_ms = now_ms() + ms; now_ms() < end_ms;)
		turn();
}

static int loop_open(void **state)
{
	return uv_loop_init(&loop);
}

static int loop_close(void **state)
{
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

/* --- Members --- */

static struct peers_member member_at(uint64_t id, uint16_t port)
{
	struct peers_member m = {.id = id};
	snprintf(m.address, sizeof(m.address), "127.0.0.1:%u", port);
	return m;
}

static void introduce(struct node *nodes, unsigned n)
{
	struct peers_member members[MEMBERS_MAX];
	for (unsigned i = 0; i < n; i++)
		members[i] = member_at(nodes[i].id, peers_port(nodes[i].peers));
	for (unsigned i = 0; i < n; i++)
		peers_members(nodes[i].peers, members, n);
}

static bool connected(const struct node *n, unsigned others)
{
	struct peers_status status[MEMBERS_MAX];
	unsigned standing = 0, listed = peers_status(n->peers, status, MEMBERS_MAX);
	for (unsigned i = 0; i < listed; i++)
		standing += status[i].sending && status[i].receiving;
	return standing == others;
}

static bool all_connected(const struct node *nodes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!connected(&nodes[i], n - 1))
			return false;
	return true;
}

static void send_numbered(struct peers *from, uint64_t to, uint64_t number)
{
	/* Sizes from 8 bytes to some above a TLS record and the read buffer. */
	static uint8_t bytes[70000];
	struct buffer head = {0};
	buffer_append_u64(&head, number);
	memcpy(bytes, head.data, head.size);
	buffer_close(&head);
	size_t size = number % 1000 == 999 ? sizeof(bytes) : 8 + number * 37 % 500;
	peers_send(from, to, bytes, size);
}

static void exchange(struct node *nodes, unsigned n, uint64_t frames)
{
	for (uint64_t sent = 0; sent < frames; turn())
		for (uint64_t i = 0; i < 250 && sent < frames; i++, sent++)
			for (unsigned from = 0; from < n; from++)
				for (unsigned to = 0; to < n; to++)
					if (to != from)
						send_numbered(
						    nodes[from].peers, nodes[to].id, sent);
	for (unsigned to = 0; to < n; to++) {
		for (unsigned from = 0; from < n; from++)
			if (from != to)
				WAIT_FOR(nodes[to].received[nodes[from].id] == frames);
		assert_int_equal(nodes[to].disorder, 0);
	}
}

static void members_exchange(unsigned n, uint64_t frames)
{
	struct node nodes[MEMBERS_MAX];
	for (unsigned i = 0; i < n; i++)
		node_open(&nodes[i], i + 1);
	introduce(nodes, n);
	WAIT_FOR(all_connected(nodes, n));
	exchange(nodes, n, frames);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(nodes[i].strangers, 0);
		node_close(&nodes[i]);
	}
}

static void two_members_exchange_ten_thousand_frames_in_order(void **state)
{
	members_exchange(2, 10000);
}

static void three_members_exchange_ten_thousand_frames_in_order(void **state)
{
	members_exchange(3, 10000);
}

static void the_largest_frame_arrives(void **state)
{
	struct node nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	uint8_t *bytes = must_alloc(PEERS_FRAME_MAX);
	peers_send(nodes[0].peers, 2, bytes, PEERS_FRAME_MAX);
	WAIT_FOR(nodes[1].received[1] == 1);
	free(bytes);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void a_member_is_found_by_name_and_over_ipv6(void **state)
{
	struct node nodes[2];
	struct peers_member members[2];
	if (access("/proc/net/if_inet6", F_OK) < 0)
		skip();
	node_open(&nodes[0], 1);
	node_open_at(&nodes[1], &loop, &(struct place){.id = 2, .address = "::"});
	introduce(nodes, 2);
	members[0] = member_at(1, peers_port(nodes[0].peers));
	members[1].id = 2;
	snprintf(members[1].address, sizeof(members[1].address), "localhost:%u",
	    peers_port(nodes[1].peers));
	snprintf(members[0].address, sizeof(members[0].address), "[::ffff:127.0.0.1]:%u",
	    peers_port(nodes[0].peers));
	peers_members(nodes[0].peers, members, 2);
	peers_members(nodes[1].peers, members, 2);
	WAIT_FOR(all_connected(nodes, 2));
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void a_member_that_comes_back_is_talked_to_again(void **state)
{
	struct node nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	uint16_t port = peers_port(nodes[1].peers);
	WAIT_FOR(all_connected(nodes, 2));
	node_close(&nodes[1]);
	WAIT_FOR(nodes[0].lost[2] == 1);
	WAIT_FOR(connected(&nodes[0], 0));
	peers_send(nodes[0].peers, 2, "dropped!", 8);
	struct peers_status status;
	assert_int_equal(peers_status(nodes[0].peers, &status, 1), 1);
	assert_int_equal(status.dropped, 1);
	assert_true(status.error[0] != '\0');
	node_open_at(&nodes[1], &loop, &(struct place){.id = 2, .port = port});
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	exchange(nodes, 2, 100);
	assert_int_equal(nodes[0].lost[2], 1);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void who_leaves_the_list_is_cut_off_but_not_called_lost(void **state)
{
	struct node nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	peers_members(nodes[0].peers, NULL, 0);
	WAIT_FOR(connected(&nodes[1], 0));
	WAIT_FOR(nodes[0].strangers > 0); /* it knocks again */
	assert_non_null(strstr(nodes[0].stranger, "node 2 (node2) is not a member"));
	assert_int_equal(nodes[0].lost[2], 0);
	assert_int_equal(nodes[1].lost[1], 0);
	struct peers_status status;
	WAIT_FOR(peers_status(nodes[1].peers, &status, 1) == 1 &&
		 strstr(status.error, "does not take us for a member"));
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void a_dialled_address_must_be_of_the_member_that_was_meant(void **state)
{
	struct node nodes[2];
	struct peers_member wrong = {.id = 3};
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	wrong = member_at(3, peers_port(nodes[1].peers));
	peers_members(nodes[0].peers, &wrong, 1);
	WAIT_FOR(nodes[0].strangers > 0);
	assert_string_equal(
	    nodes[0].stranger, "dialled node 3, but its certificate is of node 2 (node2)");
	assert_int_equal(nodes[0].lost[3], 0);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

/* --- A member in a process of its own --- */

struct process {
	pid_t pid;
	int to, from; /* pipes */
	uint16_t port;
};

static void on_echo(void *data, uint64_t from, const uint8_t *bytes, size_t size)
{
	struct node *n = data;
	on_received(data, from, bytes, size);
	peers_send(n->peers, from, bytes, size);
}

/* Talks to the members 1 .. n - 1, whose ports it reads, and sends all frames back. */
static void process_run(uint64_t id, int in, int out)
{
	uint16_t ports[MEMBERS_MAX] = {0}, port;
	struct peers_member members[MEMBERS_MAX];
	struct node n = {.id = id};
	struct err err;
	uv_loop_t own;
	uv_loop_init(&own);
	struct identity_files files = authority_admit(&authority, id, authority.cluster, 30);
	struct peers_options options = {
	    .loop = &own,
	    .files = &files,
	    .listen_address = "127.0.0.1",
	    .handlers = {&n, on_echo, on_lost, on_stranger, on_joined},
	};
	authority_check(peers_open(&n.peers, &options, &err), &err);
	port = peers_port(n.peers);
	if (write(out, &port, sizeof(port)) != sizeof(port) ||
	    read(in, ports, sizeof(ports)) != sizeof(ports))
		_exit(1);
	unsigned count = 0;
	for (unsigned i = 0; i < MEMBERS_MAX && ports[i]; i++)
		members[count++] = member_at(i + 1, ports[i]);
	peers_members(n.peers, members, count);
	uv_run(&own, UV_RUN_DEFAULT);
	_exit(0);
}

/* Before any socket of this process is open, so that the child holds none. */
static void process_start(struct process *p, uint64_t id)
{
	int in[2], out[2];
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	p->pid = fork();
	if (p->pid == 0)
		process_run(id, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	p->to = in[1];
	p->from = out[0];
	assert_int_equal(read(p->from, &p->port, sizeof(p->port)), sizeof(p->port));
}

static void process_introduce(struct process *p, uint64_t id, struct node *nodes, unsigned n)
{
	uint16_t ports[MEMBERS_MAX] = {0};
	struct peers_member members[MEMBERS_MAX];
	for (unsigned i = 0; i < n; i++) {
		ports[i] = peers_port(nodes[i].peers);
		members[i] = member_at(nodes[i].id, ports[i]);
	}
	members[n] = member_at(id, p->port);
	assert_int_equal(write(p->to, ports, sizeof(ports)), sizeof(ports));
	for (unsigned i = 0; i < n; i++)
		peers_members(nodes[i].peers, members, n + 1);
}

static void process_end(struct process *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->to);
	close(p->from);
}

static void a_killed_member_is_reported_once_within_100_ms_and_the_others_live(void **state)
{
	struct process third;
	struct node nodes[2];
	process_start(&third, 3);
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	process_introduce(&third, 3, nodes, 2);
	WAIT_FOR(connected(&nodes[0], 2) && connected(&nodes[1], 2));
	uint64_t killed_ns = uv_hrtime();
	kill(third.pid, SIGKILL);
	for (int i = 0; i < 2; i++) {
		WAIT_FOR(nodes[i].lost[3] > 0);
		assert_true(nodes[i].lost_ns - killed_ns < 100 * 1000000ull);
	}
	/* Writing to the dead must not end us, and its other connection is no news. */
	for (int i = 0; i < 100; i++) {
		peers_send(nodes[0].peers, 3, "to a dead one", 13);
		turn();
	}
	WAIT_FOR(connected(&nodes[0], 1) && connected(&nodes[1], 1));
	exchange(nodes, 2, 1000);
	assert_int_equal(nodes[0].lost[3], 1);
	assert_int_equal(nodes[1].lost[3], 1);
	assert_int_equal(nodes[0].lost[2] + nodes[1].lost[1], 0);
	process_end(&third);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void a_stopped_member_fills_its_queue_and_no_more_and_goes_on_in_order(void **state)
{
	static uint8_t bytes[60000];
	struct process second;
	struct node node;
	struct peers_status status;
	process_start(&second, 2);
	node_open_at(&node, &loop, &(struct place){.id = 1, .queue_max = 1u << 20});
	process_introduce(&second, 2, &node, 1);
	WAIT_FOR(connected(&node, 1));
	kill(second.pid, SIGSTOP);
	do { /* what the kernels take is not ours to say */
		peers_send(node.peers, 2, bytes, sizeof(bytes));
		turn();
		assert_int_equal(peers_status(node.peers, &status, 1), 1);
	} while (status.dropped < 10);
	assert_true(status.queued <= 1u << 20);
	turns_for(300);
	assert_int_equal(node.lost[2], 0);
	kill(second.pid, SIGCONT);
	WAIT_FOR(peers_status(node.peers, &status, 1) == 1 && status.queued == 0);
	WAIT_FOR(node.received[2] > 0);
	assert_int_equal(node.lost[2], 0);
	assert_int_equal(status.sending, true);
	process_end(&second);
	WAIT_FOR(node.lost[2] == 1);
	node_close(&node);
}

/* --- Strangers --- */

struct caller { /* one connection, driven by hand beside the loop */
	int fd;
	struct tls_context *context;
	struct tls *tls;
	enum { CALLER_SHAKING, CALLER_OPEN, CALLER_ENDED } state;
	size_t plain; /* bytes that came out of TLS */
};

static void caller_connect(struct caller *c, const struct node *n)
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

static void caller_send_wire(struct caller *c)
{
	struct buffer *wire = tls_wire(c->tls);
	if (wire->size > 0)
		(void)!send(c->fd, wire->data, wire->size, MSG_NOSIGNAL);
	wire->size = 0;
}

/* Take in what came; returns whether the connection stands. */
static bool caller_turn(struct caller *c)
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
	if (c->state == CALLER_OPEN)
		for (int out; (out = tls_read(c->tls, plain, sizeof(plain), &err)) > 0;)
			c->plain += (size_t)out;
	caller_send_wire(c);
	return c->state != CALLER_ENDED;
}

static void caller_shake(struct caller *c, struct tls_context *context, enum tls_purpose purpose)
{
	assert_non_null(context);
	c->context = context;
	c->tls = tls_new(context, TLS_DIAL, purpose);
	WAIT_FOR(!caller_turn(c) || c->state == CALLER_OPEN);
}

static void caller_say(struct caller *c, const void *bytes, size_t size)
{
	assert_int_equal(c->state, CALLER_OPEN);
	assert_int_equal(tls_write(c->tls, bytes, size), 0);
	caller_send_wire(c);
}

static void caller_close(struct caller *c)
{
	tls_free(c->tls);
	tls_context_free(c->context);
	close(c->fd);
}

static struct tls_context *context_of(const struct authority *a, uint64_t id, int days)
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

static struct tls_context *context_without_certificate(void)
{
	struct err err;
	return tls_context_new_pinned(authority.fingerprint, &err);
}

static void no_certificate_but_a_join_that_is_none(struct caller *c)
{
	static const uint8_t frame[] = {4, 0, 0, 0, 'r', 'a', 'f', 't'};
	caller_shake(c, context_without_certificate(), TLS_JOIN);
	caller_say(c, frame, sizeof(frame));
}

static void no_certificate_and_a_large_join(struct caller *c)
{
	static const uint8_t frame[] = {1, 0x40, 0, 0}; /* 16 KiB + 1 */
	caller_shake(c, context_without_certificate(), TLS_JOIN);
	caller_say(c, frame, sizeof(frame));
}

static void no_certificate_as_a_member(struct caller *c)
{
	caller_shake(c, context_without_certificate(), TLS_MEMBER);
}

static void certificate_of_another_ca(struct caller *c)
{
	struct authority other;
	authority_open(&other);
	caller_shake(c, context_of(&other, 2, 30), TLS_MEMBER);
	authority_close(&other);
}

static void certificate_of_no_member(struct caller *c)
{
	caller_shake(c, context_of(&authority, NODE_UNKNOWN, 30), TLS_MEMBER);
}

static void certificate_of_another_cluster(struct caller *c)
{
	struct err err;
	char uuid[IDENTITY_UUID_SIZE];
	identity_uuid(uuid);
	struct identity_files files = authority_admit(&authority, 2, uuid, 30);
	caller_shake(c, tls_context_new(&files, &err), TLS_MEMBER);
	identity_files_close(&files);
}

static void certificate_that_has_expired(struct caller *c)
{
	caller_shake(c, context_of(&authority, 2, -1), TLS_MEMBER);
}

static void plain_garbage(struct caller *c)
{
	static const char garbage[] = "GET / HTTP/1.1\r\nHost: raft\r\n\r\n";
	turn();
	(void)!send(c->fd, garbage, sizeof(garbage), MSG_NOSIGNAL);
}

static void a_huge_tls_record(struct caller *c)
{
	static const uint8_t record[64] = {0x16, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff};
	turn();
	(void)!send(c->fd, record, sizeof(record), MSG_NOSIGNAL);
}

static void a_member_with_a_huge_frame(struct caller *c)
{
	static const uint8_t length[] = {0xff, 0xff, 0xff, 0xff};
	caller_shake(c, context_of(&authority, 2, 30), TLS_MEMBER);
	WAIT_FOR(!caller_turn(c) || c->plain == 4); /* welcomed */
	caller_say(c, length, sizeof(length));
}

static void silence(struct caller *c)
{
}

static void a_visit_that_ends_at_once(struct caller *c)
{
	turn();
	shutdown(c->fd, SHUT_WR);
}

static const struct {
	void (*act)(struct caller *c);
	const char *why;
} strangers[] = {
    {no_certificate_but_a_join_that_is_none, "not a request to join"},
    {no_certificate_and_a_large_join, "a frame over the limit"},
    {no_certificate_as_a_member, "shows no certificate"},
    {certificate_of_another_ca, "its certificate is refused: "},
    {certificate_of_no_member, "node 77 (node77) is not a member"},
    {certificate_of_another_cluster, "its certificate is of cluster "},
    {certificate_that_has_expired, "certificate has expired"},
    {plain_garbage, "TLS handshake: "},
    {a_huge_tls_record, "TLS handshake: "},
    {a_member_with_a_huge_frame, "a frame over the limit"},
    {silence, "silent for too long"},
    {a_visit_that_ends_at_once, "connection closed"},
};

static void each_kind_of_stranger_is_closed_with_one_word_about_it(void **state)
{
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		struct node node;
		struct caller c;
		/* Member 2 is somewhere else, and not up. */
		struct peers_member two = {.id = 2, .address = "127.0.0.1:1"};
		node_open(&node, 1);
		peers_members(node.peers, &two, 1);
		caller_connect(&c, &node);
		strangers[i].act(&c);
		WAIT_FOR(!caller_turn(&c) && node.strangers > 0);
		turns_for(20);
		if (node.strangers != 1 || !strstr(node.stranger, strangers[i].why))
			fail_msg("%u strangers, '%s' instead of '%s'", node.strangers,
			    node.stranger, strangers[i].why);
		assert_int_equal(node.joined, 0);
		assert_int_equal(node.lost[2], 0);
		assert_int_equal(node.received[2], 0);
		caller_close(&c);
		node_close(&node);
	}
}

static void many_strangers_cost_few_words_and_no_memory(void **state)
{
	struct node node;
	struct caller c;
	size_t before = 0;
	node_open(&node, 1);
	for (int i = 0; i < 300; i++) {
		if (i == 50)
			before = mallinfo2().uordblks;
		caller_connect(&c, &node);
		if (i % 3 == 0)
			no_certificate_and_a_large_join(&c);
		else
			plain_garbage(&c);
		WAIT_FOR(!caller_turn(&c));
		caller_close(&c);
	}
	assert_true(mallinfo2().uordblks < before + (256 << 10));
	assert_in_range(node.strangers, 10, 30);
	node_close(&node);
}

static void silent_crowds_do_not_keep_a_member_out(void **state)
{
	struct caller crowd[PEERS_HALF_OPEN_MAX + 40];
	struct node nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	for (size_t i = 0; i < sizeof(crowd) / sizeof(crowd[0]); i++)
		caller_connect(&crowd[i], &nodes[0]);
	WAIT_FOR(nodes[0].strangers > 0);
	assert_non_null(strstr(nodes[0].stranger, "too many"));
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	for (size_t i = 0; i < sizeof(crowd) / sizeof(crowd[0]); i++)
		caller_close(&crowd[i]);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

/* --- Joining --- */

struct join { /* the blocking client, in a thread of its own */
	struct token token;
	struct buffer key;
	struct guest_request request;
	struct guest_answer answer;
	struct err err;
	uv_thread_t thread;
	int result;
	int done;
	unsigned timeout_ms;
};

static void join_run(void *data)
{
	struct join *j = data;
	j->result = guest_join(&j->token, &j->request, j->timeout_ms, &j->answer, &j->err);
	__atomic_store_n(&j->done, 1, __ATOMIC_RELEASE);
}

static bool join_done(struct join *j)
{
	return __atomic_load_n(&j->done, __ATOMIC_ACQUIRE);
}

static struct join *join_new(uint16_t port)
{
	struct join *j = must_alloc(sizeof(*j));
	struct buffer request = {0};
	j->timeout_ms = DEADLINE_MS;
	snprintf(j->token.cluster, sizeof(j->token.cluster), "%s", authority.cluster);
	snprintf(j->token.fingerprint, sizeof(j->token.fingerprint), "%s", authority.fingerprint);
	j->token.id = 5;
	identity_random(j->token.secret, sizeof(j->token.secret));
	/* Nobody listens at the first. */
	j->token.n_addresses = 2;
	snprintf(j->token.addresses[0], ENDPOINT_SIZE, "127.0.0.1:1");
	snprintf(j->token.addresses[1], ENDPOINT_SIZE, "127.0.0.1:%u", port);
	snprintf(j->request.name, sizeof(j->request.name), "node2");
	snprintf(j->request.address, sizeof(j->request.address), "10.0.0.2:7080");
	j->request.wants = GUEST_COORDINATOR;
	authority_check(identity_key_make(&j->key, &j->err), &j->err);
	authority_check(identity_request_make(&j->key, "node2", &request, &j->err), &j->err);
	memcpy(j->request.request, request.data, request.size);
	buffer_close(&request);
	return j;
}

static void join_start(struct join *j)
{
	assert_int_equal(uv_thread_create(&j->thread, join_run, j), 0);
}

static void join_finish(struct join *j)
{
	uv_thread_join(&j->thread);
	buffer_close(&j->key);
	free(j);
}

static void pem_copy(char pem[GUEST_PEM_SIZE], const struct buffer *b)
{
	assert_true(b->size < GUEST_PEM_SIZE);
	memcpy(pem, b->data, b->size);
}

/* What the daemon will do once the log has said yes. */
static void admit(struct node *n, const struct guest_request *request)
{
	struct guest_answer *answer = must_alloc(sizeof(*answer));
	struct buffer certificate = {0};
	struct err err;
	struct identity_signing signing = {&authority.certificate, &authority.key, {.id = 2}, 365};
	snprintf(signing.identity.cluster, IDENTITY_UUID_SIZE, "%s", authority.cluster);
	snprintf(signing.identity.name, IDENTITY_NAME_SIZE, "%s", request->name);
	authority_check(
	    identity_sign(&signing, request->request, strlen(request->request), &certificate, &err),
	    &err);
	answer->id = 2;
	snprintf(answer->cluster, sizeof(answer->cluster), "%s", authority.cluster);
	snprintf(answer->cluster_name, sizeof(answer->cluster_name), "hall");
	pem_copy(answer->ca_certificate, &authority.certificate);
	pem_copy(answer->ca_key, &authority.key);
	pem_copy(answer->certificate, &certificate);
	answer->n_members = 1;
	answer->members[0].id = 1;
	assert_int_equal(peers_guest_answer(n->peers, n->guest, answer), 0);
	buffer_close(&certificate);
	free(answer);
}

static void who_has_the_secret_joins_and_can_open_its_peers(void **state)
{
	struct node node;
	struct identity identity;
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	join_start(j);
	WAIT_FOR(node.joined == 1);
	assert_memory_equal(node.request.secret, j->token.secret, sizeof(j->token.secret));
	assert_int_equal(node.request.token, 5);
	assert_int_equal(node.request.wants, GUEST_COORDINATOR);
	turns_for(50); /* the log takes its time */
	admit(&node, &node.request);
	WAIT_FOR(join_done(j));
	if (j->result != 0)
		fail_msg("%d: %s", j->result, j->err.text);
	assert_int_equal(j->answer.id, 2);
	assert_string_equal(j->answer.cluster_name, "hall");
	assert_int_equal(j->answer.n_members, 1);
	struct identity_files files = {0};
	buffer_append(
	    &files.ca_certificate, j->answer.ca_certificate, strlen(j->answer.ca_certificate));
	buffer_append(&files.ca_key, j->answer.ca_key, strlen(j->answer.ca_key));
	buffer_append(&files.certificate, j->answer.certificate, strlen(j->answer.certificate));
	buffer_append(&files.key, j->key.data, j->key.size);
	assert_int_equal(identity_check(&files, &identity, &j->err), 0);
	assert_int_equal(identity.id, 2);
	identity_files_close(&files);
	join_finish(j);
	WAIT_FOR(peers_guest_answer(node.peers, node.guest, &(struct guest_answer){0}) == -ENOENT);
	assert_int_equal(node.strangers, 0);
	node_close(&node);
}

static void who_has_a_wrong_secret_is_told_so(void **state)
{
	struct node node;
	struct guest_answer *no = must_alloc(sizeof(*no));
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	join_start(j);
	WAIT_FOR(node.joined == 1);
	snprintf(no->refused, sizeof(no->refused), "no such token");
	assert_int_equal(peers_guest_answer(node.peers, node.guest, no), 0);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EACCES);
	assert_string_equal(j->err.text, "no such token");
	join_finish(j);
	free(no);
	node_close(&node);
}

static void a_secret_is_not_told_to_another_cluster(void **state)
{
	struct node node;
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	j->token.fingerprint[0] = j->token.fingerprint[0] == '0' ? '1' : '0';
	join_start(j);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EPROTO);
	assert_non_null(strstr(j->err.text, "not the cluster of this token"));
	WAIT_FOR(node.strangers == 1);
	assert_int_equal(node.joined, 0);
	join_finish(j);
	node_close(&node);
}

/* Seen from a server that would take anything: its handshake does not even end, so there were
 * no keys to send a secret under. */
static void a_liar_that_shows_the_right_ca_beside_its_own_certificate_gets_nothing(void **state)
{
	struct authority other;
	struct endpoint at;
	struct endpoint_address address;
	struct err err;
	authority_open(&other);
	snprintf(other.cluster, sizeof(other.cluster), "%s", authority.cluster);
	struct caller c = {.context = context_of(&other, 1, 30)};
	snprintf(at.host, sizeof(at.host), "127.0.0.1");
	snprintf(at.port, sizeof(at.port), "0");
	assert_int_equal(endpoint_numeric(&at, &address), 0);
	int listener = endpoint_listen(&address);
	assert_true(listener >= 0);
	struct join *j = join_new(endpoint_port(listener));
	join_start(j);
	WAIT_FOR((c.fd = accept(listener, NULL, NULL)) >= 0);
	c.tls = tls_new(c.context, TLS_ACCEPT, TLS_JOIN);
	WAIT_FOR(!caller_turn(&c));
	assert_int_equal(c.plain, 0);
	assert_int_not_equal(tls_handshake(c.tls, &err), 1);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EPROTO);
	join_finish(j);
	close(listener);
	caller_close(&c);
	authority_close(&other);
}

static void an_unanswered_request_is_not_called_undone(void **state)
{
	struct node node;
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	join_start(j);
	WAIT_FOR(node.joined == 1);
	node_close(&node);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EPIPE);
	join_finish(j);
}

static void a_guest_that_vanished_cannot_be_answered(void **state)
{
	struct node node;
	struct guest_answer *no = must_alloc(sizeof(*no));
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	j->timeout_ms = 200;
	join_start(j);
	WAIT_FOR(join_done(j));
	WAIT_FOR(node.joined == 1);
	assert_int_equal(j->result, -EPIPE);
	WAIT_FOR(peers_guest_answer(node.peers, node.guest, no) == -ENOENT);
	assert_int_equal(peers_guest_answer(node.peers, 12345, no), -ENOENT);
	join_finish(j);
	free(no);
	node_close(&node);
}

static void nobody_at_home_is_said_with_every_address(void **state)
{
	struct join *j = join_new(2);
	join_start(j);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EHOSTUNREACH);
	assert_non_null(strstr(j->err.text, "127.0.0.1:1: "));
	assert_non_null(strstr(j->err.text, "127.0.0.1:2: "));
	join_finish(j);
}

static int authority_setup(void **state)
{
	authority_open(&authority);
	return 0;
}

static int authority_teardown(void **state)
{
	authority_close(&authority);
	return 0;
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, loop_open, loop_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_LOOP(two_members_exchange_ten_thousand_frames_in_order),
	    ON_LOOP(three_members_exchange_ten_thousand_frames_in_order),
	    ON_LOOP(the_largest_frame_arrives),
	    ON_LOOP(a_member_is_found_by_name_and_over_ipv6),
	    ON_LOOP(a_member_that_comes_back_is_talked_to_again),
	    ON_LOOP(who_leaves_the_list_is_cut_off_but_not_called_lost),
	    ON_LOOP(a_dialled_address_must_be_of_the_member_that_was_meant),
	    ON_LOOP(a_killed_member_is_reported_once_within_100_ms_and_the_others_live),
	    ON_LOOP(a_stopped_member_fills_its_queue_and_no_more_and_goes_on_in_order),
	    ON_LOOP(each_kind_of_stranger_is_closed_with_one_word_about_it),
	    ON_LOOP(many_strangers_cost_few_words_and_no_memory),
	    ON_LOOP(silent_crowds_do_not_keep_a_member_out),
	    ON_LOOP(who_has_the_secret_joins_and_can_open_its_peers),
	    ON_LOOP(who_has_a_wrong_secret_is_told_so),
	    ON_LOOP(a_secret_is_not_told_to_another_cluster),
	    ON_LOOP(a_liar_that_shows_the_right_ca_beside_its_own_certificate_gets_nothing),
	    ON_LOOP(an_unanswered_request_is_not_called_undone),
	    ON_LOOP(a_guest_that_vanished_cannot_be_answered),
	    ON_LOOP(nobody_at_home_is_said_with_every_address),
	};
	return cmocka_run_group_tests(tests, authority_setup, authority_teardown);
}
