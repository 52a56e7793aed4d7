#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "node/primary/service.h"

#define DEADLINE_MS 20000
#define LINE_SIZE   400

struct fixture {
	uv_loop_t loop;
	char directory[64];
	struct services *services;
	struct service_status status[SERVICES_MAX];
	char lines[4][3][LINE_SIZE];
	struct service_spec specs[4];
};

/* A service whose being there is a file named like it, and which writes down what is
 * done to it in "log". */
static void service_like_a_file(struct fixture *f, unsigned i, const char *name)
{
	const char *d = f->directory;
	snprintf(
	    f->lines[i][0], LINE_SIZE, "echo start %s >> %s/log; touch %s/%s", name, d, d, name);
	snprintf(f->lines[i][1], LINE_SIZE, "echo stop %s >> %s/log; rm %s/%s", name, d, d, name);
	snprintf(f->lines[i][2], LINE_SIZE, "test -e %s/%s", d, name);
	f->specs[i] = (struct service_spec){.name = name,
	    .start = f->lines[i][0],
	    .stop = f->lines[i][1],
	    .check = f->lines[i][2],
	    .timeout_ms = 5000};
}

static void fixture_open(struct fixture *f, unsigned count)
{
	struct err err;
	assert_int_equal(services_open(&f->services, &f->loop, f->specs, count, &err), 0);
}

static bool file_exists(const struct fixture *f, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", f->directory, name);
	return access(path, F_OK) == 0;
}

static void file_make(const struct fixture *f, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", f->directory, name);
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_true(fd >= 0);
	close(fd);
}

static void file_remove(const struct fixture *f, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", f->directory, name);
	unlink(path);
}

static void assert_log(const struct fixture *f, const char *expected)
{
	char path[128], text[512] = "";
	snprintf(path, sizeof(path), "%s/log", f->directory);
	int fd = open(path, O_RDONLY);
	if (fd >= 0) {
		assert_true(read(fd, text, sizeof(text) - 1) >= 0);
		close(fd);
	}
	assert_string_equal(text, expected);
}

/* Runs the loop until the condition holds. */
#define WAIT_FOR(f, condition)                                                                     \
	do {                                                                                       \
		uint64_t give_up_ms = uv_hrtime() / 1000000 + DEADLINE_MS;                         \
		while (services_status((f)->services, (f)->status), !(condition)) {                \
			if (uv_hrtime() / 1000000 > give_up_ms)                                    \
				fail_msg("never came true: %s", #condition);                       \
			uv_run(&(f)->loop, UV_RUN_NOWAIT);                                         \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

static int setup(void **state)
{
	static struct fixture f;
	memset(&f, 0, sizeof(f));
	snprintf(f.directory, sizeof(f.directory), "/tmp/service_test.XXXXXX");
	assert_non_null(mkdtemp(f.directory));
	uv_loop_init(&f.loop);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"a", "b", "c", "log", "pid"};
	struct fixture *f = *state;
	if (f->services)
		services_close(f->services);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		file_remove(f, names[i]);
	rmdir(f->directory);
	return 0;
}

static void services_start_in_order_and_stop_in_reverse(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a");
	service_like_a_file(f, 1, "b");
	service_like_a_file(f, 2, "c");
	fixture_open(f, 3);
	services_want(f->services, SERVICES_RUNNING);
	WAIT_FOR(f, services_settled(f->services));
	assert_log(f, "start a\nstart b\nstart c\n");
	for (int i = 0; i < 3; i++)
		assert_int_equal(f->status[i].state, SERVICE_RUNNING);
	services_want(f->services, SERVICES_STOPPED);
	WAIT_FOR(f, services_settled(f->services));
	assert_log(f, "start a\nstart b\nstart c\nstop c\nstop b\nstop a\n");
	for (int i = 0; i < 3; i++)
		assert_int_equal(f->status[i].state, SERVICE_STOPPED);
}

static void one_that_runs_already_is_not_started_again(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a");
	file_make(f, "a");
	fixture_open(f, 1);
	services_want(f->services, SERVICES_RUNNING);
	WAIT_FOR(f, services_settled(f->services));
	assert_log(f, "");
}

static void one_that_the_machine_started_is_stopped(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a");
	file_make(f, "a");
	fixture_open(f, 1);
	services_want(f->services, SERVICES_STOPPED);
	assert_false(services_settled(f->services));
	WAIT_FOR(f, services_settled(f->services));
	assert_false(file_exists(f, "a"));
}

static void stopping_what_does_not_run_is_no_failure(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a"); /* its stop fails then */
	fixture_open(f, 1);
	services_want(f->services, SERVICES_STOPPED);
	WAIT_FOR(f, services_settled(f->services));
	assert_int_equal(f->status[0].attempts, 0);
}

static void a_failing_one_is_shown_and_retried_and_holds_up_nobody(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a");
	service_like_a_file(f, 1, "b");
	f->specs[0].start = "echo first line; echo there is no database >&2; exit 3";
	fixture_open(f, 2);
	services_want(f->services, SERVICES_RUNNING);
	WAIT_FOR(f, f->status[1].state == SERVICE_RUNNING && f->status[0].attempts >= 2);
	assert_int_equal(f->status[0].state, SERVICE_FAILING);
	assert_string_equal(f->status[0].text, "there is no database");
	assert_false(services_settled(f->services));
	file_make(f, "a"); /* somebody helps */
	WAIT_FOR(f, services_settled(f->services));
	assert_int_equal(f->status[0].attempts, 0);
	assert_string_equal(f->status[0].text, "");
}

static void one_that_never_ends_is_killed_with_all_it_started(void **state)
{
	struct fixture *f = *state;
	char line[LINE_SIZE], path[128], text[16] = "";
	service_like_a_file(f, 0, "a");
	service_like_a_file(f, 1, "b");
	snprintf(line, sizeof(line), "sleep 600 & echo $! > %s/pid; wait", f->directory);
	f->specs[0].start = line;
	f->specs[0].timeout_ms = 300;
	fixture_open(f, 2);
	services_want(f->services, SERVICES_RUNNING);
	WAIT_FOR(f, f->status[0].state == SERVICE_FAILING && f->status[1].state == SERVICE_RUNNING);
	assert_string_equal(f->status[0].text, "no end within 300 ms");
	snprintf(path, sizeof(path), "%s/pid", f->directory);
	int fd = open(path, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	pid_t sleeper = (pid_t)strtol(text, NULL, 10);
	services_want(f->services, SERVICES_STOPPED); /* no more of them */
	char proc[32];
	snprintf(proc, sizeof(proc), "/proc/%d/exe", (int)sleeper);
	char link[8];
	WAIT_FOR(f, readlink(proc, link, sizeof(link)) < 0); /* gone, or not reaped by init yet */
}

static void one_that_is_started_but_does_not_answer_is_failing(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a");
	f->specs[0].start = "true";
	f->specs[0].timeout_ms = 600;
	fixture_open(f, 1);
	services_want(f->services, SERVICES_RUNNING);
	WAIT_FOR(f, f->status[0].state == SERVICE_FAILING);
	assert_string_equal(f->status[0].text, "exit status 1");
	assert_string_equal(service_state_name(f->status[0].state), "failing");
}

static void one_that_died_is_started_again(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a");
	fixture_open(f, 1);
	services_want(f->services, SERVICES_RUNNING);
	WAIT_FOR(f, services_settled(f->services));
	file_remove(f, "a");
	services_look(f->services);
	WAIT_FOR(f, file_exists(f, "a") && services_settled(f->services));
	assert_log(f, "start a\nstart a\n");
}

static void stopping_cuts_a_start_short(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a");
	service_like_a_file(f, 1, "b");
	f->specs[0].start = "sleep 600";
	f->specs[0].timeout_ms = 3600 * 1000;
	fixture_open(f, 2);
	services_want(f->services, SERVICES_RUNNING);
	WAIT_FOR(f, f->status[0].state == SERVICE_STARTING);
	assert_int_equal(f->status[1].state, SERVICE_WANTED);
	services_want(f->services, SERVICES_STOPPED);
	WAIT_FOR(f, services_settled(f->services));
	assert_false(file_exists(f, "b"));
}

static void one_that_does_not_stop_holds_up_nobody(void **state)
{
	struct fixture *f = *state;
	service_like_a_file(f, 0, "a");
	service_like_a_file(f, 1, "b");
	f->specs[1].stop = "echo busy; false";
	fixture_open(f, 2);
	services_want(f->services, SERVICES_RUNNING);
	WAIT_FOR(f, services_settled(f->services));
	services_want(f->services, SERVICES_STOPPED);
	WAIT_FOR(f, f->status[0].state == SERVICE_STOPPED && f->status[1].attempts >= 2);
	assert_int_equal(f->status[1].state, SERVICE_STOPPING);
	assert_string_equal(f->status[1].text, "busy");
	file_remove(f, "b");
	WAIT_FOR(f, services_settled(f->services));
}

static void one_that_cannot_be_asked_is_not_taken_for_stopped(void **state)
{
	struct fixture *f = *state;
	f->specs[0] = (struct service_spec){
	    .name = "a", .start = "true", .stop = "false", .check = "sleep 600", .timeout_ms = 200};
	fixture_open(f, 1);
	services_want(f->services, SERVICES_STOPPED);
	WAIT_FOR(f, f->status[0].attempts >= 1);
	assert_int_equal(f->status[0].state, SERVICE_STOPPING);
}

static void changes_are_told(void *data)
{
	++*(unsigned *)data;
}

static void each_change_is_told_from_the_loop(void **state)
{
	struct fixture *f = *state;
	unsigned told = 0;
	service_like_a_file(f, 0, "a");
	fixture_open(f, 1);
	services_on_change(f->services, changes_are_told, &told);
	services_want(f->services, SERVICES_RUNNING);
	assert_int_equal(told, 0);
	WAIT_FOR(f, services_settled(f->services));
	WAIT_FOR(f, told >= 1);
	unsigned before = told;
	services_want(f->services, SERVICES_STOPPED);
	assert_int_equal(told, before);
	WAIT_FOR(f, services_settled(f->services) && told > before);
}

static void units_are_asked_of_systemd(void **state)
{
	const char *argv[SERVICE_ARGUMENTS];
	const struct service_spec unit = {.name = "api", .start = "unit:pvcapid.service"};
	assert_true(service_arguments(&unit, SERVICE_STOP, argv));
	assert_string_equal(argv[0], "systemctl");
	assert_string_equal(argv[2], "stop");
	assert_string_equal(argv[3], "pvcapid.service");
	assert_null(argv[4]);
	assert_true(service_arguments(&unit, SERVICE_CHECK, argv));
	assert_string_equal(argv[2], "is-active");
	const struct service_spec line = {.name = "x", .start = "xd --start"};
	assert_true(service_arguments(&line, SERVICE_START, argv));
	assert_string_equal(argv[0], "/bin/sh");
	assert_string_equal(argv[2], "xd --start");
	assert_false(service_arguments(&line, SERVICE_STOP, argv));
	assert_false(service_arguments(&line, SERVICE_CHECK, argv));
}

static void services_without_name_or_start_are_refused(void **state)
{
	struct fixture *f = *state;
	struct err err;
	char long_line[SERVICE_COMMAND_MAX + 1];
	memset(long_line, 'x', sizeof(long_line) - 1);
	long_line[sizeof(long_line) - 1] = 0;
	const struct service_spec bad[] = {{.name = "", .start = "true"}, {.name = "a"},
	    {.name = "a", .start = "true", .check = long_line}};
	for (int i = 0; i < 3; i++)
		assert_int_equal(services_open(&f->services, &f->loop, &bad[i], 1, &err), -EINVAL);
	f->services = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(services_start_in_order_and_stop_in_reverse),
	    TEST(one_that_runs_already_is_not_started_again),
	    TEST(one_that_the_machine_started_is_stopped),
	    TEST(stopping_what_does_not_run_is_no_failure),
	    TEST(a_failing_one_is_shown_and_retried_and_holds_up_nobody),
	    TEST(one_that_never_ends_is_killed_with_all_it_started),
	    TEST(one_that_is_started_but_does_not_answer_is_failing),
	    TEST(one_that_died_is_started_again),
	    TEST(stopping_cuts_a_start_short),
	    TEST(one_that_does_not_stop_holds_up_nobody),
	    TEST(one_that_cannot_be_asked_is_not_taken_for_stopped),
	    TEST(each_change_is_told_from_the_loop),
	    TEST(units_are_asked_of_systemd),
	    TEST(services_without_name_or_start_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
