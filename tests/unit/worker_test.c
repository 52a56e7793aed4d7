/* The worker's parent and child, with a role that misbehaves on demand. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/log/log.h"
#include "node/worker/worker.h"
#include "node/worker/worker_main.h"
#include "tests/unit/patience.h"

#define BIG	 (2u << 20)
#define FRAME_FD 3
#define SLOW_MS	 1500

/* The child */

static int test_open(void **state, const char *argument, struct err *err)
{
	if (strncmp(argument, "closed until ", 13) == 0 && access(argument + 13, F_OK) < 0)
		return err_set(err, -ENOTCONN, "%s is not there yet", argument + 13);
	if (strncmp(argument, "spoilt until ", 13) == 0 && access(argument + 13, F_OK) < 0)
		return err_set(err, -ENOTRECOVERABLE, "never in this process");
	*state = must_alloc(1);
	return 0;
}

static void answer_descriptors(struct buffer *answer)
{
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (*e->d_name != '.' && strtol(e->d_name, NULL, 10) != dirfd(d))
			buffer_print(answer, "%s ", e->d_name);
	}
	closedir(d);
}

static void misbehave(const char *how)
{
	static const unsigned char garbage[] = {8, 0, 0, 0, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff};
	static const unsigned char nonsense[] = {5, 0, 0, 0, 0x70, 0x11, 1, 0, 0};
	static const unsigned char endless[] = {0xff, 0xff, 0xff, 0xff};
	ssize_t n = 0;
	if (strcmp(how, "garble") == 0)
		n = write(FRAME_FD, garbage, sizeof(garbage));
	else if (strcmp(how, "nonsense") == 0)
		n = write(FRAME_FD, nonsense, sizeof(nonsense));
	else if (strcmp(how, "endless") == 0)
		n = write(FRAME_FD, endless, sizeof(endless));
	else if (strcmp(how, "exit") == 0)
		_exit(3);
	else if (strcmp(how, "crash") == 0)
		raise(SIGKILL);
	else if (strcmp(how, "hang up") == 0)
		close(FRAME_FD);
	for (;;)
		pause();
	(void)n;
}

static void answer_big(struct buffer *answer, size_t size)
{
	uint8_t *bytes = must_alloc(size);
	buffer_append(answer, bytes, size);
	free(bytes);
}

static int test_serve(void *state, struct reader *request, struct buffer *answer, struct err *err)
{
	char what[64] = "";
	size_t size = reader_left(request);
	const uint8_t *bytes = reader_bytes(request, size);
	if (size < sizeof(what))
		memcpy(what, bytes, size);
	if (strncmp(what, "echo", 4) == 0 || size >= sizeof(what))
		buffer_append(answer, bytes, size);
	else if (strcmp(what, "big") == 0)
		answer_big(answer, BIG);
	else if (strcmp(what, "huge") == 0)
		answer_big(answer, WORKER_FRAME_MAX);
	else if (strcmp(what, "descriptors") == 0)
		answer_descriptors(answer);
	else if (strcmp(what, "slow") == 0)
		poll(NULL, 0, SLOW_MS);
	else if (strcmp(what, "refuse") == 0)
		return err_set(err, -EBUSY, "not now");
	else
		misbehave(what);
	return 0;
}

static const struct worker_role test_role = {"test", test_open, test_serve};
static const struct worker_role *const roles[] = {&test_role, NULL};

/* The parent */

struct outcome {
	bool answered;
	int status;
	char text[ERR_TEXT_MAX];
	struct buffer bytes;
	unsigned order; /* of all answers */
};

struct events {
	unsigned count[4];
	char text[4][ERR_TEXT_MAX];
};

static struct worker *w;
static struct events events;
static unsigned answers;
static bool closed;

static void on_told(void *data, enum worker_event event, const char *text)
{
	events.count[event]++;
	snprintf(events.text[event], sizeof(events.text[event]), "%s", text);
}

static void on_done(void *data, const struct worker_answer *answer)
{
	struct outcome *o = data;
	assert_false(o->answered);
	o->answered = true;
	o->status = answer->status;
	o->order = ++answers;
	snprintf(o->text, sizeof(o->text), "%s", answer->text);
	buffer_append(&o->bytes, answer->bytes, answer->size);
}

static void await_event(enum worker_event event, unsigned count)
{
	AWAIT(events.count[event] >= count);
}

static void ask_bytes(struct outcome *o, const void *bytes, size_t size, unsigned deadline_ms)
{
	*o = (struct outcome){0};
	assert_int_equal(worker_request(w, &(struct worker_request){.bytes = bytes,
					       .size = size,
					       .deadline_ms = deadline_ms,
					       .done = on_done,
					       .data = o}),
	    0);
	assert_false(o->answered);
}

static void ask(struct outcome *o, const char *what, unsigned deadline_ms)
{
	ask_bytes(o, what, strlen(what), deadline_ms);
}

static void assert_echoed(struct outcome *o, const char *what)
{
	await(&o->answered);
	assert_int_equal(o->status, 0);
	assert_int_equal(o->bytes.size, strlen(what));
	assert_memory_equal(o->bytes.data, what, strlen(what));
	buffer_close(&o->bytes);
}

static void worker_begin(const char *role, const char *argument)
{
	events = (struct events){0};
	answers = 0;
	w = worker_new(&(struct worker_options){
	    .loop = &loop, .role = role, .argument = argument, .told = on_told});
}

static void on_closed(void *data)
{
	closed = true;
}

static void worker_end(void)
{
	closed = false;
	worker_close(w, on_closed, NULL);
	await(&closed);
	/* Nothing of it is left: no handle and no zombie. */
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static int setup(void **state)
{
	worker_begin("test", "");
	return 0;
}

static int teardown(void **state)
{
	worker_end();
	return 0;
}

static void a_request_is_answered(void **state)
{
	struct outcome o;
	ask(&o, "echo hello", PATIENCE_MS);
	assert_echoed(&o, "echo hello");
	assert_int_equal(events.count[WORKER_STARTED], 1);
	struct worker_status s = worker_status(w);
	assert_int_equal(s.starts, 1);
	assert_true(s.pid > 0 && s.busy_ms == 0 && s.answer_age_ms < PATIENCE_MS);
}

static void a_refusal_comes_with_its_reason(void **state)
{
	struct outcome o;
	ask(&o, "refuse", PATIENCE_MS);
	await(&o.answered);
	assert_int_equal(o.status, -EBUSY);
	assert_string_equal(o.text, "not now");
	assert_int_equal(o.bytes.size, 0);
}

static void requests_are_answered_in_order(void **state)
{
	struct outcome o[20];
	char what[20][16];
	for (unsigned i = 0; i < 20; i++) {
		snprintf(what[i], sizeof(what[i]), "echo %u", i);
		ask(&o[i], what[i], PATIENCE_MS);
	}
	assert_int_equal(worker_status(w).waiting, 20);
	for (unsigned i = 0; i < 20; i++) {
		assert_echoed(&o[i], what[i]);
		assert_int_equal(o[i].order, i + 1);
	}
}

static void large_requests_and_answers_pass(void **state)
{
	struct outcome o;
	uint8_t *big = must_alloc(BIG);
	ask_bytes(&o, big, BIG, PATIENCE_MS);
	await(&o.answered);
	assert_int_equal(o.status, 0);
	assert_int_equal(o.bytes.size, BIG);
	buffer_close(&o.bytes);
	free(big);
	ask(&o, "big", PATIENCE_MS);
	await(&o.answered);
	assert_int_equal(o.bytes.size, BIG);
	buffer_close(&o.bytes);
	ask(&o, "huge", PATIENCE_MS);
	await(&o.answered);
	assert_int_equal(o.status, -EMSGSIZE);
}

static void past_its_deadline_a_worker_is_killed_and_started_again(void **state)
{
	struct outcome o;
	int pid = worker_status(w).pid;
	ask(&o, "hang", 50);
	await(&o.answered);
	assert_int_equal(o.status, -ETIMEDOUT);
	assert_non_null(strstr(o.text, "did not answer within 50 ms and was killed"));
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
	assert_int_equal(kill(pid, 0), -1);
	assert_int_not_equal(worker_status(w).pid, pid);
	assert_int_equal(worker_status(w).kills, 1);
	assert_int_equal(events.count[WORKER_STARTED], 2);
}

static void a_frozen_worker_is_killed_at_the_deadline(void **state)
{
	struct outcome o;
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
	kill(worker_status(w).pid, SIGSTOP);
	ask(&o, "echo", 50);
	await(&o.answered);
	assert_int_equal(o.status, -ETIMEDOUT);
	ask(&o, "echo again", PATIENCE_MS);
	assert_echoed(&o, "echo again");
}

static void a_request_is_not_killed_for_the_time_of_another(void **state)
{
	struct outcome first, second;
	ask(&first, "slow", PATIENCE_MS);
	/* Enough to wait for the first and enough to be served, not for both together. */
	ask(&second, "slow", SLOW_MS * 5 / 3);
	await(&second.answered);
	assert_int_equal(first.status, 0);
	assert_int_equal(second.status, 0);
	assert_int_equal(worker_status(w).kills, 0);
}

static void a_request_that_waits_too_long_is_answered_and_kills_nobody(void **state)
{
	struct outcome hang, o;
	ask(&hang, "hang", PATIENCE_MS);
	ask(&o, "echo", 20);
	await(&o.answered);
	assert_int_equal(o.status, -ETIMEDOUT);
	assert_non_null(strstr(o.text, "behind another request"));
	assert_false(hang.answered);
	assert_int_equal(worker_status(w).kills, 0);
	assert_true(worker_status(w).busy_ms > 0);
	kill(worker_status(w).pid, SIGKILL);
	await(&hang.answered);
}

static void assert_broken(const char *what, int status, const char *text)
{
	struct outcome o;
	ask(&o, what, PATIENCE_MS);
	await(&o.answered);
	assert_int_equal(o.status, status);
	if (!strstr(o.text, text))
		fail_msg("%s: '%s' instead of '%s'", what, o.text, text);
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
}

static void a_worker_that_dies_over_a_request_answers_it_with_an_error(void **state)
{
	assert_broken("exit", -EPIPE, "exited with status 3");
	assert_broken("crash", -EPIPE, "died of signal 9");
	assert_broken("hang up", -EPIPE, "died of signal 9");
	assert_int_equal(worker_status(w).exits, 3);
	assert_int_equal(worker_status(w).kills, 0);
}

static void an_answer_that_makes_no_sense_ends_the_worker(void **state)
{
	assert_broken("garble", -EPROTO, "no answer");
	assert_broken("nonsense", -EPROTO, "no answer");
	assert_broken("endless", -EPROTO, "no answer");
	assert_int_equal(worker_status(w).kills, 3);
}

static void an_idle_worker_that_dies_is_started_again(void **state)
{
	kill(worker_status(w).pid, SIGKILL);
	await_event(WORKER_EXITED, 1);
	assert_non_null(strstr(events.text[WORKER_EXITED], "died of signal 9"));
	await_event(WORKER_STARTED, 2);
	struct outcome o;
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
}

static void signals_for_the_group_do_not_end_it(void **state)
{
	struct outcome o;
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
	kill(worker_status(w).pid, SIGINT);
	kill(worker_status(w).pid, SIGTERM);
	kill(worker_status(w).pid, SIGHUP);
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
	assert_int_equal(worker_status(w).starts, 1);
}

static void the_child_has_nothing_open_but_its_socket(void **state)
{
	/* Even what somebody forgot to mark close-on-exec. */
	int leak = fcntl(STDOUT_FILENO, F_DUPFD, 50);
	worker_end();
	worker_begin("test", "");
	struct outcome o;
	ask(&o, "descriptors", PATIENCE_MS);
	assert_echoed(&o, "0 1 2 3 ");
	close(leak);
}

static void the_child_has_its_name(void **state)
{
	struct outcome o;
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
	char path[64], name[32] = "";
	snprintf(path, sizeof(path), "/proc/%d/comm", worker_status(w).pid);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	assert_non_null(fgets(name, sizeof(name), file));
	fclose(file);
	assert_string_equal(name, "pvc-test\n");
}

static void with_debug_the_log_says_what_was_asked_and_how_long_it_took(void **state)
{
	struct outcome o = {0};
	struct buffer said = {0};
	struct err err;
	assert_int_equal(log_open(&(struct log_options){.debug = true}, &err), 0);
	uint64_t before = log_after(0, 0, &said);
	struct worker_request request = {
	    .what = "list", .bytes = "echo", .size = 4, .deadline_ms = PATIENCE_MS};
	request.done = on_done;
	request.data = &o;
	assert_int_equal(worker_request(w, &request), 0);
	assert_echoed(&o, "echo");
	assert_broken("exit", -EPIPE, "exited with status 3");
	log_after(before, 1000, &said);
	buffer_append_u8(&said, 0);
	log_close(1000);
	const char *text = (const char *)said.data;
	assert_non_null(strstr(text, "test worker - list: done, waited "));
	assert_non_null(strstr(text, "test worker - a request: the test worker (pid "));
	assert_non_null(strstr(text, " exited with status 3, waited "));
	buffer_close(&said);
}

static void the_queue_is_bounded_and_closing_answers_all_of_it(void **state)
{
	static struct outcome o[WORKER_QUEUE_MAX];
	for (unsigned i = 0; i < WORKER_QUEUE_MAX; i++)
		ask(&o[i], "hang", PATIENCE_MS);
	struct worker_request more = {.bytes = "echo", .size = 4, .done = on_done};
	assert_int_equal(worker_request(w, &more), -EAGAIN);
	more.size = (size_t)WORKER_FRAME_MAX + 1;
	assert_int_equal(worker_request(w, &more), -EMSGSIZE);
	worker_end();
	for (unsigned i = 0; i < WORKER_QUEUE_MAX; i++) {
		assert_true(o[i].answered);
		assert_int_equal(o[i].status, -ECANCELED);
	}
	worker_begin("test", "");
}

static void a_role_that_cannot_open_says_so_and_tries_again(void **state)
{
	char path[64], argument[96];
	snprintf(path, sizeof(path), "/tmp/worker_test.%d", (int)getpid());
	snprintf(argument, sizeof(argument), "closed until %s", path);
	worker_end();
	worker_begin("test", argument);
	struct outcome o;
	ask(&o, "echo", PATIENCE_MS);
	await(&o.answered);
	assert_int_equal(o.status, -ENOTCONN);
	assert_non_null(strstr(o.text, "is not there yet"));
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
	unlink(path);
	assert_int_equal(worker_status(w).starts, 1);
}

static void a_role_that_is_spoilt_gets_a_new_process(void **state)
{
	char path[64], argument[96];
	snprintf(path, sizeof(path), "/tmp/worker_test.%d", (int)getpid());
	snprintf(argument, sizeof(argument), "spoilt until %s", path);
	worker_end();
	worker_begin("test", argument);
	struct outcome o;
	ask(&o, "echo", PATIENCE_MS);
	await(&o.answered);
	assert_int_equal(o.status, -ENOTRECOVERABLE);
	assert_string_equal(o.text, "never in this process");
	await_event(WORKER_EXITED, 1);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
	unlink(path);
	assert_int_equal(worker_status(w).starts, 2);
}

static void a_worker_that_never_comes_up_is_retried_ever_more_slowly(void **state)
{
	struct outcome o;
	worker_end();
	worker_begin("no such role", "");
	ask(&o, "echo", 1000);
	await(&o.answered);
	assert_true(o.status == -ETIMEDOUT || o.status == -EPIPE);
	assert_non_null(strstr(o.text, "exited with status 2"));
	uint64_t began_ms = uv_now(&loop);
	await_event(WORKER_EXITED, 5);
	/* Rests of 100, 200, 400 and 800 ms lie between five exits, and some of it is over. */
	assert_true(uv_now(&loop) - began_ms >= 300);
	assert_true(worker_status(w).starts < 12);
}

static struct outcome second;

static void on_done_ask_again(void *data, const struct worker_answer *answer)
{
	on_done(data, answer);
	ask(&second, "echo second", PATIENCE_MS);
}

static void an_answer_may_lead_to_the_next_request(void **state)
{
	struct outcome first = {0};
	assert_int_equal(worker_request(w, &(struct worker_request){.bytes = "echo",
					       .size = 4,
					       .deadline_ms = PATIENCE_MS,
					       .done = on_done_ask_again,
					       .data = &first}),
	    0);
	assert_echoed(&first, "echo");
	assert_echoed(&second, "echo second");
}

static void on_done_close(void *data, const struct worker_answer *answer)
{
	on_done(data, answer);
	closed = false;
	worker_close(w, on_closed, NULL);
}

static void an_answer_may_lead_to_the_end(void **state)
{
	static const char *const ways[] = {"echo", "hang", "exit", "garble"};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct outcome o = {0};
		assert_int_equal(worker_request(w, &(struct worker_request){.bytes = ways[i],
						       .size = strlen(ways[i]),
						       .deadline_ms = 200,
						       .done = on_done_close,
						       .data = &o}),
		    0);
		await(&o.answered);
		await(&closed);
		buffer_close(&o.bytes);
		worker_begin("test", "");
	}
}

/* A process that has a worker at work, tells its pid and waits for the end. */
static void parent_run(int out)
{
	patience_begin();
	worker_begin("test", "");
	struct outcome o;
	ask(&o, "echo", PATIENCE_MS);
	assert_echoed(&o, "echo");
	ask(&o, "hang", PATIENCE_MS);
	while (worker_status(w).busy_ms == 0)
		uv_run(&loop, UV_RUN_ONCE);
	int pid = worker_status(w).pid;
	if (write(out, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	for (;;)
		pause();
}

static void a_worker_dies_with_its_parent(void **state)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	/* Orphans come to us, so that the end of one can be waited for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t parent = fork();
	if (parent == 0)
		parent_run(ends[1]);
	int pid = 0, status;
	assert_int_equal(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, &status, 0), parent);
	assert_int_equal(waitpid(pid, &status, 0), pid);
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
	patience_begin();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_request_is_answered),
	    TEST(a_refusal_comes_with_its_reason),
	    TEST(requests_are_answered_in_order),
	    TEST(large_requests_and_answers_pass),
	    TEST(past_its_deadline_a_worker_is_killed_and_started_again),
	    TEST(a_frozen_worker_is_killed_at_the_deadline),
	    TEST(a_request_is_not_killed_for_the_time_of_another),
	    TEST(a_request_that_waits_too_long_is_answered_and_kills_nobody),
	    TEST(a_worker_that_dies_over_a_request_answers_it_with_an_error),
	    TEST(an_answer_that_makes_no_sense_ends_the_worker),
	    TEST(an_idle_worker_that_dies_is_started_again),
	    TEST(signals_for_the_group_do_not_end_it),
	    TEST(the_child_has_nothing_open_but_its_socket),
	    TEST(the_child_has_its_name),
	    TEST(with_debug_the_log_says_what_was_asked_and_how_long_it_took),
	    TEST(the_queue_is_bounded_and_closing_answers_all_of_it),
	    TEST(a_role_that_cannot_open_says_so_and_tries_again),
	    TEST(a_role_that_is_spoilt_gets_a_new_process),
	    TEST(a_worker_that_never_comes_up_is_retried_ever_more_slowly),
	    TEST(an_answer_may_lead_to_the_next_request),
	    TEST(an_answer_may_lead_to_the_end),
	    TEST(a_worker_dies_with_its_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
