/* The guard: what is held is let go of, whatever becomes of the lease, of it and of the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "node/primary/guard.h"
#include "raft/clock.h"

#define DEADLINE_MS 20000

static const struct address upstream = {"ens1", "10.0.0.254/24"};
static const struct address both[] = {{"ens1", "10.0.0.254/24"}, {"ens2", "fd00::fe/64"}};
static const struct address *const storage = &both[1];

static struct {
	uv_loop_t loop;
	uv_timer_t lease_timer;
	char directory[64];
	struct guard *guard;
	uint64_t lease_ms; /* 0: not renewed */
	unsigned changes;
} f;
static struct guard_status s; /* of WAIT_FOR */

static void in_directory(const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", f.directory, name);
}

static void file_write(const char *name, const char *text)
{
	char path[128];
	in_directory(name, path);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static bool file_exists(const char *name)
{
	char path[128];
	in_directory(name, path);
	return access(path, F_OK) == 0;
}

/* Somebody else has the address on this network. */
static void other_holds(const char *name)
{
	file_write(name, "other 18446744073709551615\n");
}

static void other_lets_go(const char *name)
{
	char path[128];
	in_directory(name, path);
	unlink(path);
}

static void renew(uv_timer_t *timer)
{
	if (f.lease_ms)
		guard_lease(f.guard, clock_ms() + f.lease_ms);
}

static void count_change(void *data)
{
	f.changes++;
}

static void open_guard(const struct service_spec *services, unsigned count)
{
	struct err err;
	struct guard_options options = {.port = &address_sim,
	    .services = services,
	    .service_count = count,
	    .changed = count_change};
	assert_int_equal(guard_open(&f.guard, &f.loop, &options, &err), 0);
	uv_timer_start(&f.lease_timer, renew, 0, 50);
}

static void begin(const char *directory)
{
	memset(&f, 0, sizeof(f));
	snprintf(f.directory, sizeof(f.directory), "%s", directory);
	uv_loop_init(&f.loop);
	uv_timer_init(&f.loop, &f.lease_timer);
}

static void end(void)
{
	f.lease_ms = 0;
	uv_close((uv_handle_t *)&f.lease_timer, NULL);
	if (f.guard)
		guard_close(f.guard);
	uv_run(&f.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f.loop), 0);
}

static int setup(void **state)
{
	char directory[] = "/tmp/guard_test.XXXXXX";
	assert_non_null(mkdtemp(directory));
	setenv("PVC_ADDRESS_SIM", directory, 1);
	setenv("PVC_ADDRESS_SIM_HOLDER", "self", 1);
	begin(directory);
	return 0;
}

static void remove_all(const char *directory)
{
	static const char *const names[] = {
	    "10.0.0.254", "fd00::fe", ".lock", "double", "stopped", "order"};
	char path[128];
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	rmdir(directory);
}

static int teardown(void **state)
{
	end();
	remove_all(f.directory);
	return 0;
}

/* Runs the loop until the condition holds; evaluates to nothing. */
#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t give_up_ms = uv_hrtime() / 1000000 + DEADLINE_MS;                         \
		for (;;) {                                                                         \
			guard_status(f.guard, &s);                                                 \
			if (condition)                                                             \
				break;                                                             \
			if (uv_hrtime() / 1000000 > give_up_ms)                                    \
				fail_msg("never came true: %s", #condition);                       \
			uv_run(&f.loop, UV_RUN_NOWAIT);                                            \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

/* The upstream address, with a lease that is renewed for so long. */
static void hold(const struct service_spec *services, unsigned count, uint64_t lease_ms)
{
	open_guard(services, count);
	f.lease_ms = lease_ms;
	guard_hold(f.guard, &upstream, 1);
	WAIT_FOR(s.held == 1);
}

static void release(void)
{
	guard_release(f.guard);
	WAIT_FOR(s.released);
}

static void a_wanted_address_is_probed_and_held(void **state)
{
	open_guard(NULL, 0);
	f.lease_ms = 1000;
	assert_int_equal(guard_hold(f.guard, both, 2), 0);
	WAIT_FOR(s.held == 2);
	assert_true(s.alive && !s.released && s.pid > 0 && s.count == 2);
	assert_true(file_exists("10.0.0.254") && file_exists("fd00::fe"));
	assert_string_equal(s.addresses[0].text, "");
	assert_true(f.changes > 0);
}

static void only_what_is_wanted_stays(void **state)
{
	open_guard(NULL, 0);
	f.lease_ms = 1000;
	guard_hold(f.guard, both, 2);
	WAIT_FOR(s.held == 2);
	guard_hold(f.guard, storage, 1);
	WAIT_FOR(s.count == 1);
	assert_string_equal(s.addresses[0].address.cidr, storage->cidr);
	assert_int_equal(s.addresses[0].state, GUARD_HELD);
	assert_true(!file_exists("10.0.0.254") && file_exists("fd00::fe"));
}

static void released_is_said_once_all_are_off(void **state)
{
	hold(NULL, 0, 1000);
	guard_release(f.guard);
	guard_status(f.guard, &s);
	assert_false(s.released);
	WAIT_FOR(s.released);
	assert_false(file_exists("10.0.0.254"));
	assert_int_equal(s.count, 0);
}

static void nothing_is_put_on_without_a_lease(void **state)
{
	open_guard(NULL, 0);
	guard_hold(f.guard, &upstream, 1);
	WAIT_FOR(s.count == 1 && s.alive);
	uint64_t until = uv_hrtime() + 400 * 1000000ull;
	WAIT_FOR(uv_hrtime() > until);
	assert_int_equal(s.addresses[0].state, GUARD_ABSENT);
	assert_false(file_exists("10.0.0.254"));
	f.lease_ms = 1000;
	WAIT_FOR(s.held == 1);
}

static void what_went_on_as_the_lease_ended_comes_off_again_unsaid(void **state)
{
	bool held = false;
	setenv("PVC_ADDRESS_SIM_DELAY_MS", "1500", 1);
	open_guard(NULL, 0);
	unsetenv("PVC_ADDRESS_SIM_DELAY_MS");
	guard_lease(f.guard, clock_ms() + 1000);
	guard_hold(f.guard, &upstream, 1);
	WAIT_FOR((held |= s.held > 0, s.lapses == 1));
	assert_false(held);
	assert_false(file_exists("10.0.0.254"));
}

static void an_address_that_another_answers_is_waited_for(void **state)
{
	other_holds("10.0.0.254");
	open_guard(NULL, 0);
	f.lease_ms = 1000;
	guard_hold(f.guard, both, 2);
	WAIT_FOR(s.held == 1 && s.addresses[0].state == GUARD_CONFLICT);
	assert_string_equal(s.addresses[0].text, "10.0.0.254 is still answered by other");
	other_lets_go("10.0.0.254");
	WAIT_FOR(s.held == 2);
	assert_false(file_exists("double"));
}

static void the_end_of_the_lease_takes_all_off_and_its_return_puts_them_on_again(void **state)
{
	hold(NULL, 0, 1000);
	assert_int_equal(s.lapses, 0);
	f.lease_ms = 0;
	WAIT_FOR(s.held == 0);
	assert_false(file_exists("10.0.0.254"));
	WAIT_FOR(s.lapses == 1);
	f.lease_ms = 1000;
	WAIT_FOR(s.held == 1);
	assert_int_equal(s.lapses, 1);
	assert_int_equal(s.restarts, 0);
}

static void the_end_of_the_lease_stops_the_services_last_first(void **state)
{
	char first[256], second[256];
	snprintf(first, sizeof(first), "echo first >> %s/order; touch %s/stopped", f.directory,
	    f.directory);
	snprintf(second, sizeof(second), "echo second >> %s/order; sleep 600", f.directory);
	const struct service_spec services[] = {
	    {.name = "first", .start = "true", .stop = first},
	    {.name = "second", .start = "true", .stop = second, .timeout_ms = 200},
	};
	hold(services, 2, 1000);
	f.lease_ms = 0;
	WAIT_FOR(s.stopping);
	WAIT_FOR(!s.stopping && file_exists("stopped"));
	char path[128], line[32] = "";
	in_directory("order", path);
	FILE *file = fopen(path, "r");
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	assert_string_equal(line, "second\n");
}

static void a_lease_that_is_given_back_stops_no_service(void **state)
{
	char stop[256];
	snprintf(stop, sizeof(stop), "touch %s/stopped", f.directory);
	const struct service_spec service = {.name = "one", .start = "true", .stop = stop};
	hold(&service, 1, 300);
	release();
	f.lease_ms = 0;
	guard_lease(f.guard, 0);
	uint64_t until = uv_hrtime() + 600 * 1000000ull; /* twice the lease */
	WAIT_FOR(uv_hrtime() > until);
	assert_int_equal(s.lapses, 0);
	assert_false(file_exists("stopped"));
}

static void a_killed_guard_is_replaced_and_keeps_what_is_on(void **state)
{
	hold(NULL, 0, 1000);
	int pid = s.pid;
	kill(pid, SIGKILL);
	WAIT_FOR(s.restarts == 1 && s.held == 1);
	assert_int_not_equal(s.pid, pid);
	assert_true(file_exists("10.0.0.254"));
	release();
	assert_false(file_exists("10.0.0.254"));
}

static void a_replaced_guard_takes_off_what_is_no_longer_wanted(void **state)
{
	hold(NULL, 0, 1000);
	kill(s.pid, SIGSTOP);
	guard_release(f.guard);
	kill(s.pid, SIGKILL);
	WAIT_FOR(s.restarts == 1 && s.released);
	assert_false(file_exists("10.0.0.254"));
}

static void a_frozen_guard_is_replaced(void **state)
{
	hold(NULL, 0, 1000);
	kill(s.pid, SIGSTOP);
	WAIT_FOR(s.restarts == 1 && s.held == 1);
}

static void a_guard_ignores_polite_signals(void **state)
{
	hold(NULL, 0, 1000);
	kill(s.pid, SIGTERM);
	kill(s.pid, SIGINT);
	kill(s.pid, SIGHUP);
	release();
	assert_int_equal(s.restarts, 0);
}

/* In a process of its own, to be killed: prints the guard's pid once the address is held. */
static int parent_main(const char *directory)
{
	char stop[256];
	snprintf(stop, sizeof(stop), "touch %s/stopped", directory);
	const struct service_spec service = {.name = "one", .start = "true", .stop = stop};
	begin(directory);
	hold(&service, 1, 60000);
	printf("%d\n", s.pid);
	fflush(stdout);
	return uv_run(&f.loop, UV_RUN_DEFAULT);
}

static void the_death_of_the_daemon_takes_all_off_at_once(void **state)
{
	int out[2];
	assert_int_equal(pipe(out), 0);
	/* The guard becomes ours to wait for: not every first process reaps what it inherits. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	pid_t daemon = fork();
	if (daemon == 0) {
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		execl("/proc/self/exe", "guard_test", "parent", f.directory, NULL);
		_exit(127);
	}
	close(out[1]);
	char line[16] = "";
	assert_true(read(out[0], line, sizeof(line) - 1) > 0);
	close(out[0]);
	pid_t guard = (pid_t)strtol(line, NULL, 10);
	assert_true(guard > 0 && file_exists("10.0.0.254"));
	kill(daemon, SIGKILL);
	waitpid(daemon, NULL, 0);
	uint64_t until = uv_hrtime() + DEADLINE_MS * 1000000ull;
	/* Long before the lease of a minute, and the file's own lifetime is never removed. */
	bool gone = false;
	while (!gone || file_exists("10.0.0.254") || !file_exists("stopped")) {
		assert_true(uv_hrtime() < until);
		usleep(1000);
		gone = gone || waitpid(guard, NULL, WNOHANG) == guard;
	}
}

/* In a time namespace whose machine has slept for a day: the address is held while
 * the lease is renewed, and is off when that is over. */
static int slept_main(const char *directory)
{
	if (clock_ms() < uv_hrtime() / 1000000 + 86000000)
		return 2;
	begin(directory);
	hold(NULL, 0, 300);
	f.lease_ms = 0;
	WAIT_FOR(s.held == 0 && s.lapses == 1);
	end();
	return file_exists("10.0.0.254");
}

/* Says how the child of a child did, which is the first one in the new namespace. */
static int slept_in_namespace(void)
{
	static const char slept[] = "boottime 86400 0";
	int status = 0, fd = -1;
	if (unshare(CLONE_NEWTIME) == 0)
		fd = open("/proc/self/timens_offsets", O_WRONLY);
	if (fd < 0 || write(fd, slept, strlen(slept)) < 0)
		return 77;
	pid_t child = fork();
	if (child == 0) {
		execl("/proc/self/exe", "guard_test", "slept", f.directory, NULL);
		_exit(127);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void the_lease_is_judged_by_a_clock_that_counts_sleep(void **state)
{
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(slept_in_namespace());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* not root, or no such namespaces */
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void what_cannot_be_held_is_refused(void **state)
{
	struct address many[GUARD_ADDRESSES_MAX + 1], unnamed = {"", "10.0.0.1/24"};
	open_guard(NULL, 0);
	for (unsigned i = 0; i <= GUARD_ADDRESSES_MAX; i++) {
		many[i] = upstream;
		snprintf(many[i].cidr, sizeof(many[i].cidr), "10.0.0.%u/24", i);
	}
	assert_int_equal(guard_hold(f.guard, many, GUARD_ADDRESSES_MAX + 1), -EINVAL);
	assert_int_equal(guard_hold(f.guard, &unnamed, 1), -EINVAL);
	memset(&unnamed, 'x', sizeof(unnamed));
	assert_int_equal(guard_hold(f.guard, &unnamed, 1), -EINVAL);
}

static void an_address_that_is_none_is_said_and_can_be_released(void **state)
{
	const struct address none = {"ens1", "10.0.0.300/24"};
	open_guard(NULL, 0);
	f.lease_ms = 1000;
	guard_hold(f.guard, &none, 1);
	WAIT_FOR(s.addresses[0].state == GUARD_FAILED);
	assert_string_equal(
	    s.addresses[0].text, "\"10.0.0.300/24\" is not an address with a prefix");
	release();
}

static void a_guard_that_cannot_be_started_is_an_error(void **state)
{
	struct err err = {0};
	struct guard_options options = {.port = &address_sim, .executable = "/nowhere/pvc"};
	assert_int_equal(guard_open(&f.guard, &f.loop, &options, &err), -ENOENT);
	assert_string_equal(err.text, "guard: No such file or directory");
	f.guard = NULL;
}

static void without_a_guard_the_daemon_lets_go_itself(void **state)
{
	struct guard_options options = {.port = &address_sim, .executable = "/bin/false"};
	struct err err;
	file_write("10.0.0.254", "self 18446744073709551615\n");
	assert_int_equal(guard_open(&f.guard, &f.loop, &options, &err), 0);
	f.lease_ms = 1000;
	uv_timer_start(&f.lease_timer, renew, 0, 50);
	guard_hold(f.guard, &upstream, 1);
	WAIT_FOR(!file_exists("10.0.0.254"));
	/* It goes on trying, and all the while says that and why the address is nowhere. */
	for (unsigned tries = 1; tries <= 3; tries++) {
		WAIT_FOR(s.restarts > tries);
		assert_int_equal(s.held, 0);
		assert_int_equal(s.addresses[0].state, GUARD_FAILED);
		assert_string_equal(s.addresses[0].text, "there is no guard");
	}
	release();
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "guard"))
		return guard_main((int)strtol(argv[2], NULL, 10), (int)strtol(argv[3], NULL, 10));
	if (argc == 3 && !strcmp(argv[1], "parent"))
		return parent_main(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "slept"))
		return slept_main(argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_wanted_address_is_probed_and_held),
	    TEST(only_what_is_wanted_stays),
	    TEST(released_is_said_once_all_are_off),
	    TEST(nothing_is_put_on_without_a_lease),
	    TEST(what_went_on_as_the_lease_ended_comes_off_again_unsaid),
	    TEST(an_address_that_another_answers_is_waited_for),
	    TEST(the_end_of_the_lease_takes_all_off_and_its_return_puts_them_on_again),
	    TEST(the_end_of_the_lease_stops_the_services_last_first),
	    TEST(a_lease_that_is_given_back_stops_no_service),
	    TEST(a_killed_guard_is_replaced_and_keeps_what_is_on),
	    TEST(a_replaced_guard_takes_off_what_is_no_longer_wanted),
	    TEST(a_frozen_guard_is_replaced),
	    TEST(a_guard_ignores_polite_signals),
	    TEST(the_death_of_the_daemon_takes_all_off_at_once),
	    TEST(the_lease_is_judged_by_a_clock_that_counts_sleep),
	    TEST(what_cannot_be_held_is_refused),
	    TEST(an_address_that_is_none_is_said_and_can_be_released),
	    TEST(a_guard_that_cannot_be_started_is_an_error),
	    TEST(without_a_guard_the_daemon_lets_go_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
