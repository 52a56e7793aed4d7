/* Whatever becomes of a worker, its parent gets an error that says what it was, and nothing stays
 * behind: no descriptor, no zombie, no memory. The same for what a worker is told from outside. */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/worker/worker.h"
#include "node/worker/worker_main.h"
#include "storage/ceph_answer.h"

#define PATIENCE_MS 60000
#define ROUNDS	    5
#define FRAME_FD    3
#define MIB	    (1u << 20)

/* What one process holds. */
struct burden {
	uint32_t descriptors;
	uint64_t
	    bytes; /* of memory in use; of no meaning under a sanitizer, which has its own way */
};

static struct burden burden_now(void)
{
	struct burden b = {.bytes = mallinfo2().uordblks};
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		b.descriptors += *e->d_name != '.' && strtol(e->d_name, NULL, 10) != dirfd(d);
	closedir(d);
	return b;
}

/* ---- the child ---- */

static int abuse_open(void **state, const char *argument, struct err *err)
{
	*state = must_alloc(1);
	return 0;
}

static void frame_break(const char *how)
{
	static const unsigned char half[] = {100, 0, 0, 0, 0, 0, 0, 0};
	static const unsigned char garbage[] = {8, 0, 0, 0, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff};
	static const unsigned char endless[] = {0xff, 0xff, 0xff, 0xff};
	ssize_t n = 0;
	if (strcmp(how, "half") == 0)
		n = write(FRAME_FD, half, sizeof(half));
	else if (strcmp(how, "garble") == 0)
		n = write(FRAME_FD, garbage, sizeof(garbage));
	else if (strcmp(how, "endless") == 0)
		n = write(FRAME_FD, endless, sizeof(endless));
	else if (strcmp(how, "exit") == 0)
		_exit(3);
	else if (strcmp(how, "abort") == 0)
		raise(SIGKILL);
	else if (strcmp(how, "hang up") == 0)
		close(FRAME_FD);
	else if (strcmp(how, "stop") == 0)
		raise(SIGSTOP);
	(void)n;
	for (;;)
		pause();
}

/* An `osd perf` of as many OSDs as have room in size bytes, spread over lines. */
static void perf_print(struct buffer *b, size_t size, const char *between)
{
	unsigned id = 0;
	buffer_print(b, "{\"osdstats\":%s{\"osd_perf_infos\":%s[", between, between);
	for (; b->size + 200 < size; id++)
		buffer_print(b,
		    "%s{\"id\":%s%u,%s\"perf_stats\":%s{\"commit_latency_ms\":%s%u,%s"
		    "\"apply_latency_ms\":%s%u%s}%s}",
		    id ? "," : "", between, id, between, between, between, id % 1000, between,
		    between, id % 7, between, between);
	buffer_print(b, "]}}");
	while (b->size < size)
		buffer_append_u8(b, '\n');
}

static void repeat(struct buffer *b, const char *what, size_t size)
{
	while (b->size < size)
		buffer_print(b, "%s", what);
}

/* What a command of Ceph's may answer on a bad day. */
static void json_make(struct buffer *b, const char *what)
{
	if (strcmp(what, "1 MiB") == 0)
		perf_print(b, MIB, "");
	else if (strcmp(what, "100,000 lines") == 0)
		perf_print(b, MIB * 3 / 2, "\n");
	else if (strcmp(what, "1 MiB cut off") == 0)
		perf_print(b, MIB, ""), b->size = MIB / 2;
	else if (strcmp(what, "100,000 lines of nothing") == 0)
		repeat(b, "pool\n", 5 * 100000);
	else if (strcmp(what, "1 MiB of brackets") == 0)
		repeat(b, "[", MIB);
	else if (strcmp(what, "1 MiB of bytes") == 0)
		repeat(b, "\xff\xfe", MIB);
}

static int json_serve(const char *what, struct buffer *answer, struct err *err)
{
	struct buffer json = {0};
	struct ceph_view view = {0};
	json_make(&json, what);
	int rc = ceph_answer_read(CEPH_osd_perf, (const char *)json.data, json.size, &view, err);
	if (rc == 0)
		record_encode(ceph_view_record(), &view, answer);
	record_clear(ceph_view_record(), &view);
	buffer_close(&json);
	return rc;
}

static int abuse_serve(void *state, struct reader *request, struct buffer *answer, struct err *err)
{
	char what[64] = "";
	size_t size = reader_left(request);
	memcpy(what, reader_bytes(request, size), size);
	if (strncmp(what, "json ", 5) == 0)
		return json_serve(what + 5, answer, err);
	if (strcmp(what, "burden") == 0) {
		struct burden b = burden_now();
		buffer_append_u32(answer, b.descriptors);
		buffer_append_u64(answer, b.bytes);
	} else if (strcmp(what, "hello") != 0) {
		frame_break(what);
	}
	return 0;
}

static const struct worker_role abuse_role = {"abuse", abuse_open, abuse_serve};
static const struct worker_role *const roles[] = {&abuse_role, NULL};

/* ---- the parent ---- */

static uv_loop_t loop;
static uv_timer_t alarm_timer;
static struct worker *w;
static bool closed;

static struct {
	bool there;
	int status;
	char text[ERR_TEXT_MAX];
	struct buffer bytes;
} answer;

static void on_answer(void *data, const struct worker_answer *a)
{
	assert_false(answer.there);
	answer.there = true;
	answer.status = a->status;
	snprintf(answer.text, sizeof(answer.text), "%s", a->text);
	buffer_append(&answer.bytes, a->bytes, a->size);
}

static void on_alarm(uv_timer_t *timer)
{
	fail_msg("waited in vain");
}

static void await(const bool *condition)
{
	uv_timer_start(&alarm_timer, on_alarm, PATIENCE_MS, 0);
	while (!*condition)
		uv_run(&loop, UV_RUN_ONCE);
	uv_timer_stop(&alarm_timer);
}

static int ask(const char *what, unsigned deadline_ms)
{
	struct worker_request request = {.what = "abuse",
	    .bytes = what,
	    .size = strlen(what),
	    .deadline_ms = deadline_ms,
	    .done = on_answer};
	buffer_close(&answer.bytes);
	answer.there = false;
	assert_int_equal(worker_request(w, &request), 0);
	await(&answer.there);
	return answer.status;
}

static int setup(void **state)
{
	w = worker_new(&(struct worker_options){.loop = &loop, .role = "abuse"});
	return 0;
}

static void on_closed(void *data)
{
	closed = true;
}

static int teardown(void **state)
{
	closed = false;
	worker_close(w, on_closed, NULL);
	await(&closed);
	uv_run(&loop, UV_RUN_NOWAIT);
	buffer_close(&answer.bytes);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return 0;
}

/* Children of this process that there are, dead ones too. */
static unsigned children(void)
{
	char path[64], pid[16];
	unsigned n = 0;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	while (fscanf(file, "%15s", pid) == 1)
		n++;
	fclose(file);
	return n;
}

static void assert_same(const struct burden *before, const struct burden *after)
{
	assert_int_equal(before->descriptors, after->descriptors);
	if (after->bytes > before->bytes)
		fail_msg("%llu bytes became %llu", (unsigned long long)before->bytes,
		    (unsigned long long)after->bytes);
}

static const struct {
	const char *how;
	int status;
	const char *text;
} misdeeds[] = {
    {"hang", -ETIMEDOUT, "did not answer within 50 ms and was killed"},
    {"stop", -ETIMEDOUT, "did not answer within 50 ms and was killed"},
    {"half", -ETIMEDOUT, "did not answer within 50 ms and was killed"},
    {"exit", -EPIPE, "exited with status 3"},
    {"abort", -EPIPE, "died of signal 9"},
    {"hang up", -EPIPE, "died of signal 9"},
    {"garble", -EPROTO, "sent something that is no answer and was killed"},
    {"endless", -EPROTO, "sent something that is no answer and was killed"},
};

static void commit_all(void)
{
	for (size_t i = 0; i < sizeof(misdeeds) / sizeof(*misdeeds); i++) {
		bool waits = misdeeds[i].status == -ETIMEDOUT;
		/* It is up: what follows is this misdeed's, and not that it came late. */
		assert_int_equal(ask("hello", PATIENCE_MS), 0);
		int status = ask(misdeeds[i].how, waits ? 50 : PATIENCE_MS);
		assert_int_equal(status, misdeeds[i].status);
		if (!strstr(answer.text, misdeeds[i].text) || !strstr(answer.text, "abuse worker"))
			fail_msg("%s: '%s'", misdeeds[i].how, answer.text);
	}
	assert_int_equal(ask("hello", PATIENCE_MS), 0);
}

static void nothing_of_what_a_worker_did_is_left(void **state)
{
	commit_all();
	struct burden before = burden_now();
	for (unsigned i = 0; i < ROUNDS; i++)
		commit_all();
	struct burden after = burden_now();
	assert_same(&before, &after);
	assert_int_equal(children(), 1);
	struct worker_status s = worker_status(w);
	assert_int_equal(s.starts, 1 + (ROUNDS + 1) * sizeof(misdeeds) / sizeof(*misdeeds));
	assert_int_equal(s.kills, (ROUNDS + 1) * 5);
}

static struct burden child_burden(void)
{
	assert_int_equal(ask("burden", PATIENCE_MS), 0);
	struct reader r = reader_of(answer.bytes.data, answer.bytes.size);
	struct burden b = {.descriptors = reader_u32(&r)};
	b.bytes = reader_u64(&r);
	assert_false(r.failed);
	return b;
}

static void assert_view(void)
{
	struct ceph_view view;
	struct reader r = reader_of(answer.bytes.data, answer.bytes.size);
	assert_int_equal(record_decode(ceph_view_record(), &r, &view), 0);
	assert_true(view.osds.count > 1000);
	assert_int_equal(view.osds.items[999].commit_ms, 999);
	record_clear(ceph_view_record(), &view);
}

static void read_all(void)
{
	static const char *const good[] = {"json 1 MiB", "json 100,000 lines"};
	static const char *const bad[] = {"json 1 MiB cut off", "json 100,000 lines of nothing",
	    "json 1 MiB of brackets", "json 1 MiB of bytes"};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		if (ask(good[i], PATIENCE_MS) != 0)
			fail_msg("%s: %s", good[i], answer.text);
		assert_view();
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(ask(bad[i], PATIENCE_MS), -EBADMSG);
		/* One line, of what was asked. */
		if (!strstr(answer.text, "osd perf") || strchr(answer.text, '\n'))
			fail_msg("%s: '%s'", bad[i], answer.text);
	}
}

static void large_answers_of_ceph_are_read_or_refused_and_leave_nothing(void **state)
{
	read_all();
	struct burden before = burden_now(), child_before = child_burden();
	for (unsigned i = 0; i < ROUNDS; i++)
		read_all();
	struct burden after = burden_now(), child_after = child_burden();
	assert_same(&before, &after);
	assert_same(&child_before, &child_after);
	assert_int_equal(child_after.descriptors, 4);
	assert_int_equal(worker_status(w).starts, 1);
}

/* A process that has a stopped worker, tells its pid and waits for the end. */
static void parent_run(int out)
{
	uv_loop_init(&loop);
	uv_timer_init(&loop, &alarm_timer);
	setup(NULL);
	ask("hello", PATIENCE_MS);
	int pid = worker_status(w).pid;
	kill(pid, SIGSTOP);
	if (write(out, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	for (;;)
		pause();
}

/* How it ended; one that does not is ended here. */
static int status_of(pid_t pid)
{
	int status = 0;
	for (unsigned waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 10) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		poll(NULL, 0, 10);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	fail_msg("%d outlives its parent", (int)pid);
	return status;
}

static void a_stopped_worker_dies_with_its_parent(void **state)
{
	int ends[2], pid = 0, status;
	assert_int_equal(pipe(ends), 0);
	/* Orphans come to us, so that the end of one can be waited for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t parent = fork();
	if (parent == 0)
		parent_run(ends[1]);
	assert_int_equal(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, &status, 0), parent);
	status = status_of(pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(ends[0]);
	close(ends[1]);
}

int main(int argc, char **argv)
{
	/* As the daemon does: a child may die over what it is being sent. */
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return worker_serve(roles, argc - 1, argv + 1);
	/* What malloc keeps at hand for a thread it counts as in use: without that it is exact. */
	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
		execv("/proc/self/exe", argv);
	}
	uv_loop_init(&loop);
	uv_timer_init(&loop, &alarm_timer);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(nothing_of_what_a_worker_did_is_left),
	    TEST(large_answers_of_ceph_are_read_or_refused_and_leave_nothing),
	    cmocka_unit_test(a_stopped_worker_dies_with_its_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
