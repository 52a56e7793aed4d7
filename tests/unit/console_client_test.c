/* Readers of consoles in the daemon: a worker that comes when somebody asks, and hangs at times. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/worker/console_client.h"
#include "node/worker/worker_main.h"
#include "tests/unit/patience.h"

static struct console_client *client;
static char directory[64], path[128];

static struct {
	unsigned count, good;
	int status;
	char text[ERR_TEXT_MAX], lines[256];
} heard;

static void on_sight(
    void *data, int status, const struct console_sight *sight, const struct err *err)
{
	heard.count++;
	heard.status = status;
	heard.good += status == 0;
	snprintf(heard.text, sizeof(heard.text), "%s", err->text);
	if (!status)
		snprintf(heard.lines, sizeof(heard.lines), "%.*s", (int)sight->lines.size,
		    (const char *)sight->lines.data);
}

static void read_file(const char *of)
{
	struct console_query query = {.lines_max = 10};
	snprintf(query.path, sizeof(query.path), "%s", of);
	assert_int_equal(console_ask(client, &query, on_sight, NULL), 0);
}

/* The worker's process id; 0: there is none. */
static int worker_pid(void)
{
	char command[64];
	int pid = 0;
	snprintf(command, sizeof(command), "/proc/self/task/%d/children", (int)getpid());
	FILE *file = fopen(command, "r");
	assert_non_null(file);
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	fclose(file);
	return pid;
}

static void wait_until_heard(unsigned count)
{
	AWAIT(heard.count >= count);
	assert_int_equal(heard.count, count);
}

static int begin(void **state)
{
	memset(&heard, 0, sizeof(heard));
	snprintf(directory, sizeof(directory), "/tmp/pvc-console-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/web1.log", directory);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "hello\n", 6), 6);
	close(fd);
	patience_begin();
	client = console_client_new(&loop);
	return 0;
}

static int end(void **state)
{
	if (client)
		console_client_close(client);
	client = NULL;
	uv_close((uv_handle_t *)&alarm_timer, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	unlink(path);
	return rmdir(directory);
}

static void nobody_is_there_until_somebody_asks(void **state)
{
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(worker_pid(), 0);
	read_file(path);
	assert_int_equal(heard.count, 0);
	wait_until_heard(1);
	assert_int_equal(heard.status, 0);
	assert_string_equal(heard.lines, "hello\n");
	int pid = worker_pid();
	assert_true(pid > 0);
	read_file(directory);
	wait_until_heard(2);
	assert_int_equal(heard.status, -EINVAL);
	assert_non_null(strstr(heard.text, directory));
	assert_int_equal(worker_pid(), pid);
}

static void one_that_hangs_is_killed_and_the_next_reading_is_well(void **state)
{
	read_file(path);
	wait_until_heard(1);
	int pid = worker_pid();
	kill(pid, SIGSTOP);
	read_file(path);
	wait_until_heard(2);
	assert_int_equal(heard.status, -ETIMEDOUT);
	read_file(path);
	wait_until_heard(3);
	assert_int_equal(heard.status, 0);
	assert_int_not_equal(worker_pid(), pid);
}

static void whoever_waits_at_the_end_is_told_at_once(void **state)
{
	read_file(path);
	read_file(path);
	console_client_close(client);
	client = NULL;
	assert_int_equal(heard.count, 2);
	assert_int_equal(heard.status, -ECANCELED);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(heard.count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	static const struct worker_role *const roles[] = {&console_role, NULL};
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return worker_serve(roles, argc - 1, argv + 1);
	const struct CMUnitTest tests[] = {
	    TEST(nobody_is_there_until_somebody_asks),
	    TEST(one_that_hangs_is_killed_and_the_next_reading_is_well),
	    TEST(whoever_waits_at_the_end_is_told_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
