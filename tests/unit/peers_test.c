#include <malloc.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/members.h"

#define NODE_UNKNOWN 77
#define NODE_RENAMED 3
#define NODE_REMOVED 4

/* --- Members --- */

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

static void exchange(struct member *nodes, unsigned n, uint64_t frames)
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
	struct member nodes[MEMBERS_MAX];
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
	struct member nodes[2];
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
	struct member nodes[2];
	struct peers_member members[2] = {0};
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

/* The one that waited dials when it is dialled, and not when its next try is due. */
static void a_member_that_comes_back_is_dialled_at_once(void **state)
{
	struct member nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	uint16_t port = peers_port(nodes[1].peers);
	for (unsigned round = 0; round < 3; round++) {
		WAIT_FOR(all_connected(nodes, 2));
		node_close(&nodes[1]);
		uint64_t tried_ms = now_ms() + 2000; /* by then it tries once in a second */
		WAIT_FOR(now_ms() >= tried_ms);
		node_open_at(&nodes[1], &loop, &(struct place){.id = 2, .port = port});
		introduce(nodes, 2);
		WAIT_FOR(connected(&nodes[1], 0));
		uint64_t back_ms = now_ms();
		WAIT_FOR(all_connected(nodes, 2));
		assert_in_range(now_ms() - back_ms, 0, 200);
	}
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void a_member_that_comes_back_is_talked_to_again(void **state)
{
	struct member nodes[2];
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
	struct member nodes[2];
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
	struct member nodes[2];
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

struct late { /* sends when the flusher of this turn has run already */
	uv_prepare_t prepare;
	struct member *from;
	unsigned sent;
};

static void on_late(uv_prepare_t *prepare)
{
	struct late *l = prepare->data;
	if (l->from && !l->sent++)
		send_numbered(l->from->peers, 2, 0);
}

static void what_is_sent_just_before_the_loop_sleeps_still_leaves(void **state)
{
	struct late late = {0};
	struct member nodes[2];
	late.prepare.data = &late;
	uv_prepare_init(&loop, &late.prepare);
	uv_prepare_start(&late.prepare, on_late); /* so it runs after those started later */
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	late.from = &nodes[0];
	uv_timer_t timer;
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_tick, DEADLINE_MS, 0); /* else it would sleep for ever */
	uint64_t start_ms = now_ms();
	while (nodes[1].received[1] == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(now_ms() - start_ms < DEADLINE_MS / 2);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_close((uv_handle_t *)&late.prepare, NULL);
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
	struct member *n = data;
	on_received(data, from, bytes, size);
	peers_send(n->peers, from, bytes, size);
}

/* Talks to the members 1 .. n - 1, whose ports it reads, and sends all frames back. */
static void process_run(uint64_t id, int in, int out)
{
	uint16_t ports[MEMBERS_MAX] = {0}, port;
	struct peers_member members[MEMBERS_MAX];
	struct member n = {.id = id};
	struct err err;
	uv_loop_t own;
	uv_loop_init(&own);
	struct identity_files files = authority_admit(&authority, id, authority.cluster, 30);
	struct peers_options options = {
	    .loop = &own,
	    .files = &files,
	    .listen_address = "127.0.0.1",
	    .handlers = {&n, on_echo, on_lost, on_stranger, on_joined, NULL},
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

static void process_introduce(struct process *p, uint64_t id, struct member *nodes, unsigned n)
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
	struct member nodes[2];
	process_start(&third, 3);
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	process_introduce(&third, 3, nodes, 2);
	WAIT_FOR(connected(&nodes[0], 2) && connected(&nodes[1], 2));
	uint64_t killed_ns = uv_hrtime();
	kill(third.pid, SIGKILL);
	assert_int_equal(waitpid(third.pid, NULL, 0), third.pid);
	/* The first goes out, the second finds the connection reset before its loop knows. */
	for (int i = 0; i < 3; i++) {
		peers_send(nodes[0].peers, 3, "to a dead one", 13);
		peers_flush(nodes[0].peers);
	}
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
	struct member node;
	struct peers_status status;
	process_start(&second, 2);
	node_open_at(&node, &loop, &(struct place){.id = 1, .queue_max = 1u << 20});
	process_introduce(&second, 2, &node, 1);
	WAIT_FOR(connected(&node, 1));
	kill(second.pid, SIGSTOP);
	uint64_t full_by_ms = now_ms() + DEADLINE_MS;
	do { /* what the kernels take is not ours to say */
		assert_true(now_ms() < full_by_ms);
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
	struct issuer other;
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

/* Of the cluster's CA, for the id of a member, but in another's name. */
static void certificate_in_the_name_of_another(struct caller *c)
{
	caller_shake(c, context_of(&authority, NODE_RENAMED, 30), TLS_MEMBER);
}

static void certificate_of_a_removed_member(struct caller *c)
{
	caller_shake(c, context_of(&authority, NODE_REMOVED, 30), TLS_MEMBER);
}

static void random_bytes(struct caller *c)
{
	uint8_t bytes[4096];
	identity_random(bytes, sizeof(bytes));
	bytes[0] |= 0x80; /* what OpenSSL takes for the beginning of a record is waited for */
	turn();
	(void)!send(c->fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
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
    {certificate_in_the_name_of_another, "node 3 (node3), but that node is three"},
    {certificate_of_a_removed_member, "node 4 (node4) was removed from the cluster"},
    {random_bytes, "TLS handshake: "},
    {plain_garbage, "TLS handshake: "},
    {a_huge_tls_record, "TLS handshake: "},
    {a_member_with_a_huge_frame, "a frame over the limit"},
    {silence, "silent for too long"},
    {a_visit_that_ends_at_once, "connection closed"},
};

static void each_kind_of_stranger_is_closed_with_one_word_about_it(void **state)
{
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		struct member node;
		struct caller c;
		/* They are somewhere else, and not up. */
		const struct peers_member members[] = {
		    {.id = 2, .address = "127.0.0.1:1", .name = "node2"},
		    {.id = NODE_RENAMED, .address = "127.0.0.1:1", .name = "three"}};
		node_open(&node, 1);
		peers_members(node.peers, members, 2);
		peers_given_out(node.peers, NODE_REMOVED + 1);
		caller_connect(&c, &node);
		strangers[i].act(&c);
		WAIT_FOR(!caller_turn(&c) && node.strangers > 0);
		turns_for(20);
		if (node.strangers != 1 || !strstr(node.stranger, strangers[i].why))
			fail_msg("%u strangers, '%s' instead of '%s'", node.strangers,
			    node.stranger, strangers[i].why);
		/* A member is told that we live, and only do not want this connection. */
		if (strangers[i].act == a_member_with_a_huge_frame)
			assert_true(c.told);
		assert_int_equal(node.joined, 0);
		assert_int_equal(node.lost[2], 0);
		assert_int_equal(node.received[2], 0);
		caller_close(&c);
		node_close(&node);
	}
}

static void many_strangers_cost_few_words_and_no_memory(void **state)
{
	struct member node;
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

/* A thousand that say nothing, while a member talks on; what the heap had at its highest. */
static size_t silent_thousand(struct member *nodes)
{
	struct caller *crowd = must_alloc(1000 * sizeof(*crowd));
	uint64_t received = nodes[0].received[2];
	size_t highest = 0;
	for (uint64_t i = 0; i < 1000; i++) {
		caller_connect(&crowd[i], &nodes[0]);
		turn();
		size_t now = mallinfo2().uordblks;
		highest = now > highest ? now : highest;
		send_numbered(nodes[1].peers, 1, received + i);
	}
	WAIT_FOR(nodes[0].received[2] == received + 1000);
	for (size_t i = 0; i < 1000; i++)
		WAIT_FOR(recv(crowd[i].fd, &(char){0}, 1, MSG_DONTWAIT) == 0);
	turns_for(20);
	for (size_t i = 0; i < 1000; i++)
		caller_close(&crowd[i]);
	free(crowd);
	return highest;
}

static void a_thousand_silent_connections_cost_no_memory(void **state)
{
	struct member nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	silent_thousand(nodes);
	size_t before = mallinfo2().uordblks, highest = silent_thousand(nodes);
	/* Each is closed, few words are lost on them, and what they cost at a time is bounded. */
	assert_true(highest < before + PEERS_HALF_OPEN_MAX * (32u << 10));
	assert_true(mallinfo2().uordblks < before + (32u << 10));
	assert_in_range(nodes[0].strangers, 1, 20);
	assert_int_equal(nodes[0].disorder, 0);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void silent_crowds_do_not_keep_a_member_out(void **state)
{
	struct caller crowd[PEERS_HALF_OPEN_MAX + 40];
	struct member nodes[2];
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

/* --- Certificates that change --- */

static void a_member_that_is_removed_is_cut_off_and_refused_from_then_on(void **state)
{
	struct member nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	struct peers_status status;
	peers_given_out(nodes[0].peers, 3);
	peers_members(nodes[0].peers, NULL, 0);
	/* It does not know yet, and dials again and again. */
	WAIT_FOR(nodes[0].strangers > 0);
	assert_non_null(strstr(nodes[0].stranger, "node 2 (node2) was removed from the cluster"));
	WAIT_FOR(peers_status(nodes[1].peers, &status, 1) == 1 && !status.sending);
	assert_int_equal(nodes[0].lost[2] + nodes[1].lost[1], 0);
	send_numbered(nodes[1].peers, 1, 0);
	turns_for(50);
	assert_int_equal(nodes[0].received[2], 0);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void append(struct buffer *to, const struct buffer *from)
{
	buffer_append(to, from->data, from->size);
}

/* A certificate of this authority for a node; it trusts the other one as well. */
static struct identity_files files_by(
    const struct issuer *by, uint64_t id, const struct issuer *other)
{
	struct identity_files files = authority_admit(by, id, authority.cluster, 30);
	append(&files.ca_certificate, &other->certificate);
	return files;
}

static void a_new_certificate_is_shown_to_the_next_and_the_standing_go_on(void **state)
{
	struct member nodes[2];
	struct peers_status status, after;
	struct issuer new;
	struct caller c;
	struct err err;
	authority_open(&new);
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	assert_int_equal(peers_status(nodes[0].peers, &status, 1), 1);
	struct identity_files files = files_by(&new, 1, &authority);
	assert_int_equal(peers_identity(nodes[0].peers, &files, &err), 0);
	send_numbered(nodes[1].peers, 1, 0);
	WAIT_FOR(nodes[0].received[2] == 1);
	assert_int_equal(peers_status(nodes[0].peers, &after, 1), 1);
	assert_true(after.sending && after.receiving && after.since_ms == status.since_ms);
	/* Somebody who trusts the new one alone is met by it. */
	struct identity_files theirs = files_by(&authority, 7, &new);
	theirs.ca_certificate.size = 0;
	append(&theirs.ca_certificate, &new.certificate);
	caller_connect(&c, &nodes[0]);
	caller_shake(&c, tls_context_new(&theirs, &err), TLS_MEMBER);
	WAIT_FOR(!caller_turn(&c) && nodes[0].strangers > 0);
	assert_non_null(strstr(nodes[0].stranger, "node 7 (node7) is not a member"));
	caller_close(&c);
	/* What is not ours is not taken. */
	struct identity_files wrong = files_by(&new, 3, &authority);
	assert_int_equal(peers_identity(nodes[0].peers, &wrong, &err), -EINVAL);
	identity_files_close(&wrong);
	identity_files_close(&theirs);
	identity_files_close(&files);
	authority_close(&new);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void members_of_two_authorities_meet_while_both_are_trusted(void **state)
{
	struct member nodes[2];
	struct issuer new;
	struct err err;
	authority_open(&new);
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	struct identity_files one = files_by(&new, 1, &authority);
	struct identity_files two = files_by(&authority, 2, &new);
	assert_int_equal(peers_identity(nodes[0].peers, &one, &err), 0);
	assert_int_equal(peers_identity(nodes[1].peers, &two, &err), 0);
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	/* The old one is trusted no more: who still shows it stays out from now on. */
	identity_authority_drop(&one, authority.fingerprint);
	assert_int_equal(peers_identity(nodes[0].peers, &one, &err), 0);
	/* Our own connection is made anew, and refused here; theirs, which they leave as it is, is
	 * closed after a while. */
	struct peers_status status;
	WAIT_FOR(nodes[0].strangers > 0);
	WAIT_FOR(peers_status(nodes[0].peers, &status, 1) == 1 && !status.receiving);
	assert_non_null(strstr(nodes[0].stranger, "its certificate is refused"));
	assert_int_equal(nodes[0].lost[2], 0);
	/* With a new certificate it is a member as ever. */
	struct identity_files renewed = files_by(&new, 2, &authority);
	assert_int_equal(peers_identity(nodes[1].peers, &renewed, &err), 0);
	WAIT_FOR(all_connected(nodes, 2));
	assert_int_equal(peers_status(nodes[1].peers, &status, 1), 1);
	uint64_t since_ms = status.since_ms;
	identity_authority_drop(&renewed, authority.fingerprint);
	assert_int_equal(peers_identity(nodes[1].peers, &renewed, &err), 0);
	identity_files_close(&renewed);
	/* Its connection is made anew, and nothing that it says meanwhile is lost. */
	uint64_t sent = 0, latest_ms = now_ms() + DEADLINE_MS;
	do {
		send_numbered(nodes[1].peers, 1, sent++);
		turn();
		assert_int_equal(peers_status(nodes[1].peers, &status, 1), 1);
	} while (!(status.sending && status.since_ms > since_ms) && now_ms() < latest_ms);
	WAIT_FOR(nodes[0].received[2] == sent);
	assert_int_equal(nodes[0].disorder, 0);
	WAIT_FOR(all_connected(nodes, 2));
	assert_int_equal(nodes[0].lost[2] + nodes[1].lost[1], 0);
	identity_files_close(&one);
	identity_files_close(&two);
	authority_close(&new);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_LOOP(two_members_exchange_ten_thousand_frames_in_order),
	    ON_LOOP(three_members_exchange_ten_thousand_frames_in_order),
	    ON_LOOP(the_largest_frame_arrives),
	    ON_LOOP(a_member_is_found_by_name_and_over_ipv6),
	    ON_LOOP(a_member_that_comes_back_is_talked_to_again),
	    ON_LOOP(a_member_that_comes_back_is_dialled_at_once),
	    ON_LOOP(who_leaves_the_list_is_cut_off_but_not_called_lost),
	    ON_LOOP(a_dialled_address_must_be_of_the_member_that_was_meant),
	    ON_LOOP(what_is_sent_just_before_the_loop_sleeps_still_leaves),
	    ON_LOOP(a_killed_member_is_reported_once_within_100_ms_and_the_others_live),
	    ON_LOOP(a_stopped_member_fills_its_queue_and_no_more_and_goes_on_in_order),
	    ON_LOOP(each_kind_of_stranger_is_closed_with_one_word_about_it),
	    ON_LOOP(many_strangers_cost_few_words_and_no_memory),
	    ON_LOOP(a_thousand_silent_connections_cost_no_memory),
	    ON_LOOP(a_member_that_is_removed_is_cut_off_and_refused_from_then_on),
	    ON_LOOP(a_new_certificate_is_shown_to_the_next_and_the_standing_go_on),
	    ON_LOOP(members_of_two_authorities_meet_while_both_are_trusted),
	    ON_LOOP(silent_crowds_do_not_keep_a_member_out),
	};
	return cmocka_run_group_tests(tests, authority_setup, authority_teardown);
}
