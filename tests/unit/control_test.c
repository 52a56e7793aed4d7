/* The control socket: a server and its clients in one thread and one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "node/control/control.h"
#include "node/control/control_socket.h"
#include "node/control/control_wire.h"
#include "tests/unit/stage.h"

#define DEADLINE_MS 20000
#define ASKED_MAX   8192

struct server {
	uv_loop_t loop;
	struct stage stage;
	struct control *control;
	char directory[64], path[96];
	/* What the ports were given and have not answered. */
	uint64_t asked[ASKED_MAX];
	unsigned asked_count;
	struct buffer operation; /* the last one */
	bool answer_at_once;
};

static void take(struct server *s, uint64_t request)
{
	if (s->answer_at_once) {
		control_answered(s->control, request, 5, 77);
		return;
	}
	assert_true(s->asked_count < ASKED_MAX);
	s->asked[s->asked_count++] = request;
}

static void port_propose(void *data, uint64_t request, const uint8_t *operation, size_t size)
{
	struct server *s = data;
	s->operation.size = 0;
	buffer_append(&s->operation, operation, size);
	take(s, request);
}

static void port_read(void *data, uint64_t request)
{
	take(data, request);
}

static int open_at(struct server *s, struct control **control, struct err *err)
{
	struct control_options options = {
	    .loop = &s->loop,
	    .path = s->path,
	    .context = &s->stage.context,
	    .ports = {s, port_propose, port_read, port_read},
	};
	return control_open(control, &options, err);
}

static int open_server(void **state)
{
	struct server *s = must_alloc(sizeof(*s));
	struct err err;
	stage_open(&s->stage);
	uv_loop_init(&s->loop);
	snprintf(s->directory, sizeof(s->directory), "/tmp/control_test.XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	snprintf(s->path, sizeof(s->path), "%s/socket", s->directory);
	assert_int_equal(open_at(s, &s->control, &err), 0);
	*state = s;
	return 0;
}

static int close_server(void **state)
{
	struct server *s = *state;
	if (s->control)
		control_close(s->control);
	for (unsigned i = 0; i < s->asked_count; i++)
		control_answered(s->control, s->asked[i], 0, 0);
	assert_int_equal(uv_run(&s->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&s->loop), 0);
	assert_int_equal(access(s->path, F_OK), -1);
	rmdir(s->directory);
	stage_close(&s->stage);
	buffer_close(&s->operation);
	free(s);
	return 0;
}

static uint64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void turn(struct server *s)
{
	uv_run(&s->loop, UV_RUN_NOWAIT);
}

/* Turn the loop until the condition holds. */
#define until(s, condition)                                                                        \
	do {                                                                                       \
		uint64_t deadline_ms = clock_ms() + DEADLINE_MS;                                   \
		while (!(condition)) {                                                             \
			assert_true(clock_ms() < deadline_ms);                                     \
			turn(s);                                                                   \
		}                                                                                  \
	} while (0)

struct visitor {
	int fd;
	struct buffer in;
	size_t used;
	bool closed;
};

static struct visitor visit(struct server *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct visitor v = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
	memcpy(address.sun_path, s->path, strlen(s->path));
	assert_true(v.fd >= 0);
	assert_int_equal(connect(v.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return v;
}

static void leave(struct visitor *v)
{
	close(v->fd);
	buffer_close(&v->in);
}

static void look(struct visitor *v)
{
	uint8_t bytes[65536];
	ssize_t n;
	while ((n = recv(v->fd, bytes, sizeof(bytes), 0)) > 0)
		buffer_append(&v->in, bytes, (size_t)n);
	if (n == 0 || errno != EAGAIN)
		v->closed = true;
}

/* Is there a whole frame that was not taken yet? */
static bool heard(struct visitor *v)
{
	look(v);
	if (v->used == v->in.size)
		return false;
	return control_frame_size(v->in.data + v->used, v->in.size - v->used) > 0;
}

static struct control_frame next_frame(struct server *s, struct visitor *v)
{
	struct control_frame frame;
	until(s, heard(v));
	const uint8_t *at = v->in.data + v->used;
	int64_t size = control_frame_size(at, v->in.size - v->used);
	assert_int_equal(control_answer_decode(
			     &frame, at + CONTROL_HEADER_SIZE, (size_t)size - CONTROL_HEADER_SIZE),
	    0);
	v->used += (size_t)size;
	return frame;
}

static void say_bytes(struct server *s, struct visitor *v, const void *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = send(v->fd, (const char *)bytes + at, size - at, MSG_NOSIGNAL);
		assert_true(n > 0 || errno == EAGAIN);
		at += n > 0 ? (size_t)n : 0;
		turn(s);
	}
}

static void say(struct server *s, struct visitor *v, const struct control_frame *frame)
{
	struct buffer bytes = {0};
	control_request_encode(frame, &bytes);
	say_bytes(s, v, bytes.data, bytes.size);
	buffer_close(&bytes);
}

static void say_json(struct server *s, struct visitor *v, const char *text)
{
	struct control_frame frame = {.type = CONTROL_JSON};
	frame.data = (const uint8_t *)text;
	frame.size = strlen(text);
	say(s, v, &frame);
}

/* The next frame, as text. */
static void assert_json(struct server *s, struct visitor *v, const char *wanted)
{
	struct control_frame frame = next_frame(s, v);
	assert_int_equal(frame.type, CONTROL_JSON);
	assert_int_equal(frame.size, strlen(wanted));
	assert_memory_equal(frame.data, wanted, frame.size);
}

static void assert_answer(
    struct server *s, struct visitor *v, enum control_type type, uint64_t request, int result)
{
	struct control_frame frame = next_frame(s, v);
	assert_int_equal(frame.type, type);
	assert_int_equal(frame.request, request);
	assert_int_equal(frame.result, result);
}

static void a_request_in_json_is_answered(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	say_json(s, &v,
	    "{\"id\": 3, \"op\": \"fact set\", \"args\": {\"key\": \"a\", \"value\": \"b\"}}");
	assert_json(s, &v, "{\"id\":3,\"ok\":true,\"result\":{\"message\":\"a is set\"}}");
	say_json(s, &v, "{\"id\": 4, \"op\": \"fact get\", \"args\": {\"key\": \"a\"}}");
	assert_json(s, &v, "{\"id\":4,\"ok\":true,\"result\":{\"key\":\"a\",\"value\":\"b\"}}");
	leave(&v);
}

static void a_refusal_has_code_message_and_hint(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	say_json(s, &v, "{\"id\": 1, \"op\": \"fact get\", \"args\": {\"key\": \"x\"}}");
	assert_json(s, &v,
	    "{\"id\":1,\"ok\":false,\"error\":{\"code\":\"ENOENT\",\"message\":\"there is no fact "
	    "x\",\"hint\":\"\"}}");
	say_json(s, &v, "{\"id\": 2, \"op\": \"fact git\"}");
	assert_json(s, &v,
	    "{\"id\":2,\"ok\":false,\"error\":{\"code\":\"ENOENT\",\"message\":\"there is no "
	    "operation 'fact git' (did you mean 'fact get'?)\",\"hint\":\"\"}}");
	say_json(s, &v, "{\"id\": 3}");
	assert_json(s, &v,
	    "{\"id\":3,\"ok\":false,\"error\":{\"code\":\"EINVAL\",\"message\":\"the request names "
	    "no operation (op)\",\"hint\":\"\"}}");
	say_json(s, &v, "{\"id\": 4, ");
	assert_json(s, &v,
	    "{\"id\":0,\"ok\":false,\"error\":{\"code\":\"EBADMSG\",\"message\":\"the request is "
	    "not JSON\",\"hint\":\"\"}}");
	leave(&v);
}

static void progress_is_asked_for_without_doing_it(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	uint64_t index = s->stage.cluster.index;
	say_json(s, &v,
	    "{\"id\": 1, \"op\": \"node primary\", \"args\": {\"node\": \"hv1\"}, "
	    "\"progress\": true}");
	assert_json(s, &v,
	    "{\"id\":1,\"ok\":true,\"result\":{\"state\":\"done\",\"text\":\"hv1 is the "
	    "primary\"}}");
	say_json(s, &v, "{\"id\": 2, \"op\": \"status\", \"progress\": true}");
	assert_json(s, &v,
	    "{\"id\":2,\"ok\":false,\"error\":{\"code\":\"EINVAL\",\"message\":\"status: there is "
	    "nothing to wait for\",\"hint\":\"\"}}");
	assert_int_equal(s->stage.cluster.index, index);
	leave(&v);
}

static void bytes_reach_the_port_and_answers_come_in_any_order(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	struct control_frame operation = {.type = CONTROL_OPERATION, .request = 900};
	struct control_frame read = {.type = CONTROL_READ, .request = UINT64_MAX};
	operation.data = (const uint8_t *)"abc";
	operation.size = 3;
	say(s, &v, &operation);
	say(s, &v, &read);
	until(s, s->asked_count == 2);
	assert_int_equal(s->operation.size, 3);
	assert_memory_equal(s->operation.data, "abc", 3);
	control_answered(s->control, s->asked[1], -ETIMEDOUT, 0);
	control_answered(s->control, s->asked[0], 12, 1u << 20);
	s->asked_count = 0;
	assert_answer(s, &v, CONTROL_READ, UINT64_MAX, -ETIMEDOUT);
	struct control_frame frame = next_frame(s, &v);
	assert_int_equal(frame.request, 900);
	assert_int_equal(frame.result, 12);
	assert_int_equal(frame.index, 1u << 20);
	leave(&v);
}

static void frames_may_come_in_any_pieces(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	struct buffer bytes = {0};
	struct control_frame frame = {.type = CONTROL_READ_BY_ROUND};
	s->answer_at_once = true;
	for (frame.request = 0; frame.request < 40; frame.request++)
		control_request_encode(&frame, &bytes);
	for (size_t at = 0, size = 1; at < bytes.size; at += size, size = size % 7 + 1) {
		size = size < bytes.size - at ? size : bytes.size - at;
		say_bytes(s, &v, bytes.data + at, size);
		turn(s);
	}
	for (uint64_t request = 0; request < 40; request++)
		assert_answer(s, &v, CONTROL_READ_BY_ROUND, request, 5);
	buffer_close(&bytes);
	leave(&v);
}

static void a_watch_tells_the_newest_index_once_a_turn(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	struct control_frame watch = {.type = CONTROL_WATCH, .request = 6, .index = 0};
	say(s, &v, &watch);
	struct control_frame told = next_frame(s, &v);
	assert_int_equal(told.request, 6);
	assert_int_equal(told.index, s->stage.cluster.index);
	for (int i = 0; i < 10; i++) {
		stage_tick(&s->stage, 0, 1, COLLECTOR_OK);
		control_changed(s->control);
	}
	told = next_frame(s, &v);
	assert_int_equal(told.index, s->stage.cluster.index);
	for (int i = 0; i < 20; i++) {
		control_changed(s->control);
		turn(s);
	}
	assert_false(heard(&v));
	leave(&v);
}

static void a_watch_from_an_index_to_come_is_told_when_it_has_come(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	struct control_frame watch = {.type = CONTROL_WATCH, .request = 1};
	watch.index = s->stage.cluster.index + 1;
	say(s, &v, &watch);
	for (int i = 0; i < 20; i++)
		turn(s);
	assert_false(heard(&v));
	stage_tick(&s->stage, 0, 1, COLLECTOR_OK);
	control_changed(s->control);
	for (int i = 0; i < 20; i++)
		turn(s);
	assert_false(heard(&v));
	stage_tick(&s->stage, 0, 1, COLLECTOR_OK);
	control_changed(s->control);
	assert_int_equal(next_frame(s, &v).index, watch.index + 1);
	leave(&v);
}

static void bytes_that_are_no_request_close_that_client_alone(void **state)
{
	struct server *s = *state;
	static const struct {
		size_t size;
		const char *bytes;
	} wrong[] = {
	    {4, "\0\0\0\0"}, /* empty */
	    {4, "\1\0\100\0"}, /* 4 MiB and one */
	    {4, "\377\377\377\377"}, {5, "\1\0\0\0\1"}, /* no request number */
	    {6, "\2\0\0\0\2\200"}, /* a number that does not end */
	    {7, "\3\0\0\0\2\200\0"}, /* a number that is not in its shortest form */
	    {7, "\3\0\0\0\2\1\1"}, /* something after it */
	    {6, "\2\0\0\0\5\1"}, /* no such type */
	    {6, "\2\0\0\0\4\1"}, /* no index */
	};
	struct visitor good = visit(s);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct visitor bad = visit(s);
		say_bytes(s, &bad, wrong[i].bytes, wrong[i].size);
		until(s, (look(&bad), bad.closed));
		leave(&bad);
	}
	say_json(s, &good, "{\"id\": 1, \"op\": \"fact list\"}");
	assert_json(s, &good, "{\"id\":1,\"ok\":true,\"result\":[]}");
	until(s, control_connections(s->control) == 1);
	leave(&good);
}

/* One with a read and an operation under way, which are kept waiting. */
static struct visitor visit_asking(struct server *s)
{
	struct visitor v = visit(s);
	struct control_frame read = {.type = CONTROL_READ, .request = 1};
	s->stage.hold = true;
	say(s, &v, &read);
	say_json(s, &v, "{\"id\": 2, \"op\": \"maintenance on\"}");
	return v;
}

/* As `socat` does, and a shell's pipe. */
static void one_that_says_no_more_is_told_the_answer(void **state)
{
	struct server *s = *state;
	struct visitor v = visit_asking(s);
	assert_int_equal(shutdown(v.fd, SHUT_WR), 0);
	until(s, s->asked_count == 1 && s->stage.held);
	for (int i = 0; i < 20; i++)
		turn(s);
	assert_int_equal(control_connections(s->control), 1);
	control_answered(s->control, s->asked[0], 7, 0);
	s->asked_count = 0;
	assert_answer(s, &v, CONTROL_READ, 1, 7);
	stage_release(&s->stage, 0);
	struct control_frame answer = next_frame(s, &v);
	assert_int_equal(answer.type, CONTROL_JSON);
	until(s, control_connections(s->control) == 0);
	leave(&v);
	/* One that only looks in. */
	v = visit(s);
	assert_int_equal(shutdown(v.fd, SHUT_WR), 0);
	until(s, (look(&v), v.closed));
	leave(&v);
}

static void a_load_has_as_many_digits_as_it_was_measured_with(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	struct node *node = cluster_node(&s->stage.cluster, 1);
	assert_int_equal(node->last.count, 1);
	node->last.items->load_milli = 600;
	say_json(s, &v, "{\"id\": 1, \"op\": \"node list\"}");
	struct control_frame frame = next_frame(s, &v);
	char *text = strndup((const char *)frame.data, frame.size);
	assert_non_null(strstr(text, "\"load\":0.6,"));
	free(text);
	leave(&v);
}

static void an_answer_for_one_that_has_left_finds_nobody(void **state)
{
	struct server *s = *state;
	struct visitor v = visit_asking(s);
	until(s, s->asked_count == 1 && s->stage.held);
	leave(&v);
	until(s, control_connections(s->control) == 0);
	struct visitor next = visit(s);
	until(s, control_connections(s->control) == 1);
	control_answered(s->control, s->asked[0], 0, 0);
	stage_release(&s->stage, 0);
	s->asked_count = 0;
	for (int i = 0; i < 20; i++)
		turn(s);
	assert_false(heard(&next));
	leave(&next);
}

/* Ask for reads without reading answers; returns how many the server took. */
static uint64_t flood(struct server *s, struct visitor *v, uint64_t limit)
{
	struct buffer bytes = {0};
	struct control_frame read = {.type = CONTROL_READ};
	uint64_t sent = 0;
	unsigned idle = 0;
	for (unsigned i = 0; i < 1000; i++)
		control_request_encode(&read, &bytes);
	size_t at = 0;
	while (sent < limit && idle < 1000) {
		ssize_t n = send(v->fd, bytes.data + at, bytes.size - at, MSG_NOSIGNAL);
		turn(s);
		idle = n > 0 ? 0 : idle + 1;
		at += n > 0 ? (size_t)n : 0;
		if (at == bytes.size) {
			at = 0;
			sent += 1000;
		}
	}
	buffer_close(&bytes);
	return sent;
}

static void one_that_does_not_read_is_not_read_from(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	s->answer_at_once = true;
	uint64_t sent = flood(s, &v, 4000000);
	assert_true(sent < 4000000);
	/* What was taken is answered as soon as it reads, and then it is read from again. */
	uint64_t answered = 0;
	while (answered < sent) {
		assert_answer(s, &v, CONTROL_READ, 0, 5);
		answered++;
		if (v.used > 1u << 16) {
			memmove(v.in.data, v.in.data + v.used, v.in.size - v.used);
			v.in.size -= v.used;
			v.used = 0;
		}
	}
	leave(&v);
}

static void requests_under_way_are_bounded(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	flood(s, &v, 100000);
	assert_int_equal(s->asked_count, CONTROL_IN_FLIGHT_MAX);
	control_answered(s->control, s->asked[--s->asked_count], 0, 0);
	until(s, s->asked_count == CONTROL_IN_FLIGHT_MAX);
	leave(&v);
}

static void one_that_reads_late_gets_everything(void **state)
{
	struct server *s = *state;
	struct visitor v = visit(s);
	char value[60001];
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = 0;
	char *request = NULL;
	assert_true(asprintf(&request,
			"{\"id\": 1, \"op\": \"fact set\", \"args\": {\"key\": \"a\", \"value\": "
			"\"%s\"}}",
			value) > 0);
	say_json(s, &v, request);
	free(request);
	next_frame(s, &v);
	/* 200 answers of 60 kB each: more than is kept for one that does not read. */
	for (int i = 0; i < 200; i++) {
		struct buffer bytes = {0};
		struct control_frame get = {.type = CONTROL_JSON};
		get.data = (const uint8_t
			*)"{\"id\": 2, \"op\": \"fact get\", \"args\": {\"key\": \"a\"}}";
		get.size = strlen((const char *)get.data);
		control_request_encode(&get, &bytes);
		send(v.fd, bytes.data, bytes.size, MSG_NOSIGNAL);
		buffer_close(&bytes);
		turn(s);
	}
	for (int i = 0; i < 200; i++)
		assert_int_equal(next_frame(s, &v).type, CONTROL_JSON);
	assert_int_equal(control_connections(s->control), 1);
	leave(&v);
}

static void the_socket_is_for_root_and_group_alone(void **state)
{
	struct server *s = *state;
	struct stat status;
	assert_int_equal(stat(s->path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0660);
}

static void a_second_daemon_is_refused_and_an_old_socket_replaced(void **state)
{
	struct server *s = *state;
	struct control *second = NULL;
	struct err err;
	assert_int_equal(open_at(s, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "a daemon is listening there already"));
	/* What a daemon that was killed leaves behind. */
	char old[128];
	snprintf(old, sizeof(old), "%s/old", s->directory);
	int fd = control_socket_listen(old, &err);
	assert_true(fd >= 0);
	close(fd);
	fd = control_socket_listen(old, &err);
	assert_true(fd >= 0);
	close(fd);
	unlink(old);
}

static void one_client_too_many_is_told_so(void **state)
{
	struct server *s = *state;
	struct rlimit files;
	static struct visitor all[CONTROL_CONNECTIONS_MAX];
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_max < 2 * CONTROL_CONNECTIONS_MAX + 100) {
		skip();
		return;
	}
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		all[i] = visit(s);
		until(s, control_connections(s->control) == i + 1);
	}
	struct visitor late = visit(s);
	assert_json(s, &late,
	    "{\"id\":0,\"ok\":false,\"error\":{\"code\":\"EUSERS\",\"message\":\"too many clients "
	    "are connected\",\"hint\":\"\"}}");
	until(s, (look(&late), late.closed));
	leave(&late);
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		leave(&all[i]);
	until(s, control_connections(s->control) == 0);
}

static void closing_waits_for_what_is_under_way(void **state)
{
	struct server *s = *state;
	struct visitor v = visit_asking(s);
	until(s, s->asked_count == 1 && s->stage.held);
	control_close(s->control);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	stage_release(&s->stage, 0);
	control_answered(s->control, s->asked[0], 0, 0);
	s->asked_count = 0;
	s->control = NULL;
	leave(&v);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, open_server, close_server)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    SERVED(a_request_in_json_is_answered),
	    SERVED(a_refusal_has_code_message_and_hint),
	    SERVED(progress_is_asked_for_without_doing_it),
	    SERVED(bytes_reach_the_port_and_answers_come_in_any_order),
	    SERVED(frames_may_come_in_any_pieces),
	    SERVED(a_watch_tells_the_newest_index_once_a_turn),
	    SERVED(a_watch_from_an_index_to_come_is_told_when_it_has_come),
	    SERVED(bytes_that_are_no_request_close_that_client_alone),
	    SERVED(an_answer_for_one_that_has_left_finds_nobody),
	    SERVED(one_that_says_no_more_is_told_the_answer),
	    SERVED(a_load_has_as_many_digits_as_it_was_measured_with),
	    SERVED(one_that_does_not_read_is_not_read_from),
	    SERVED(requests_under_way_are_bounded),
	    SERVED(one_that_reads_late_gets_everything),
	    SERVED(the_socket_is_for_root_and_group_alone),
	    SERVED(a_second_daemon_is_refused_and_an_old_socket_replaced),
	    SERVED(one_client_too_many_is_told_so),
	    SERVED(closing_waits_for_what_is_under_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
