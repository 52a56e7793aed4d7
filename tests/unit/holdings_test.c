/* What the primary holds on a machine: let go of in order, and said so when it is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/primary/holdings.h"
#include "raft/clock.h"

#define DEADLINE_MS 20000

struct fixture {
	uv_loop_t loop;
	char directory[64];
	struct config config;
	struct holdings *holdings;
	pid_t frozen; /* a guard; 0: none */
	unsigned changes;
};

static void path_of(const struct fixture *f, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", f->directory, name);
}

static bool file_exists(const struct fixture *f, const char *name)
{
	char path[128];
	path_of(f, name, path);
	return access(path, F_OK) == 0;
}

static void file_make(const struct fixture *f, const char *name)
{
	char path[128];
	path_of(f, name, path);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
}

/* How often the service's stop command has begun. */
static unsigned stops(const struct fixture *f)
{
	char path[128], text[256];
	path_of(f, "stops", path);
	FILE *file = fopen(path, "r");
	if (!file)
		return 0;
	size_t size = fread(text, 1, sizeof(text), file);
	fclose(file);
	return (unsigned)size;
}

static void changed(void *data)
{
	((struct fixture *)data)->changes++;
}

/* One address, and one service whose stop command takes until there is a file "go". */
static void fixture_open(struct fixture *f)
{
	static struct config_service service;
	struct config *c = &f->config;
	struct err err = {""};
	c->functions.enable_networking = true;
	c->address.driver = CONFIG_ADDRESS_SIM;
	snprintf(c->cluster.networks.upstream.floating_ip,
	    sizeof(c->cluster.networks.upstream.floating_ip), "10.0.0.254/24");
	snprintf(c->system.configuration.networking.upstream.device,
	    sizeof(c->system.configuration.networking.upstream.device), "ens1");
	service = (struct config_service){.name = "one", .start = "true", .timeout_s = 30};
	snprintf(service.stop, sizeof(service.stop),
	    "printf x >>%s/stops; while [ -e %s ] && [ ! -e %s/go ]; do sleep 0.02; done",
	    f->directory, f->directory, f->directory);
	c->services[0] = service;
	c->services_count = 1;
	struct holdings_options options = {
	    .loop = &f->loop, .config = c, .changed = changed, .data = f};
	if (holdings_open(&f->holdings, &options, &err))
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	static struct fixture f;
	memset(&f, 0, sizeof(f));
	snprintf(f.directory, sizeof(f.directory), "/tmp/holdings_test.XXXXXX");
	assert_non_null(mkdtemp(f.directory));
	setenv("PVC_ADDRESS_SIM", f.directory, 1);
	setenv("PVC_ADDRESS_SIM_HOLDER", "self", 1);
	unsetenv("HOLDINGS_NO_GUARD");
	uv_loop_init(&f.loop);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"10.0.0.254", ".lock", "double", "stops", "go"};
	struct fixture *f = *state;
	char path[128];
	file_make(f, "go");
	if (f->frozen)
		kill(f->frozen, SIGCONT);
	holdings_close(f->holdings);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(f, names[i], path);
		unlink(path);
	}
	rmdir(f->directory);
	return 0;
}

#define WAIT_FOR(f, holding, condition)                                                            \
	do {                                                                                       \
		uint64_t give_up_ms = clock_ms() + DEADLINE_MS;                                    \
		while (holdings_status((f)->holdings, &(holding)), !(condition)) {                 \
			if (clock_ms() > give_up_ms)                                               \
				fail_msg("never came true: %s", #condition);                       \
			uv_run(&(f)->loop, UV_RUN_NOWAIT);                                         \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

/* With the service stopped, as it is at the start. */
static void begin(struct fixture *f, struct holding *h)
{
	fixture_open(f);
	file_make(f, "go");
	WAIT_FOR(f, *h, h->services_gone && h->addresses_gone);
	char path[128];
	path_of(f, "go", path);
	unlink(path);
	path_of(f, "stops", path);
	unlink(path);
}

static void take(struct fixture *f, struct holding *h, uint64_t lease_ms)
{
	holdings_take(f->holdings, clock_ms() + 60000);
	holdings_serve(f->holdings);
	WAIT_FOR(f, *h, h->addresses_held == 1 && h->services_tried == 1);
	assert_false(h->addresses_gone || h->services_gone);
	holdings_take(f->holdings, clock_ms() + lease_ms);
}

static void what_is_taken_is_held_and_what_is_dropped_is_gone(void **state)
{
	struct fixture *f = *state;
	struct holding h;
	begin(f, &h);
	take(f, &h, 60000);
	assert_true(holdings_guarded(f->holdings) && f->changes > 0);
	assert_true(file_exists(f, "10.0.0.254"));
	holdings_drop(f->holdings);
	WAIT_FOR(f, h, h.addresses_gone);
	assert_false(file_exists(f, "10.0.0.254"));
	WAIT_FOR(f, h, stops(f) == 1);
	assert_false(h.services_gone); /* its stop command goes on */
	file_make(f, "go");
	WAIT_FOR(f, h, h.services_gone);
}

/* While a service is being stopped the end of the lease is still the guard's business. */
static void the_lease_is_not_given_back_before_the_services_are_gone(void **state)
{
	struct fixture *f = *state;
	struct holding h;
	begin(f, &h);
	take(f, &h, 1500);
	holdings_drop(f->holdings);
	WAIT_FOR(f, h, h.addresses_gone && stops(f) == 1);
	holdings_drop(f->holdings);
	WAIT_FOR(f, h, stops(f) == 2); /* the guard's own */
}

/* The same of the addresses: a guard that is frozen has not said that they are off. */
static void the_lease_is_not_given_back_before_the_addresses_are_gone(void **state)
{
	struct fixture *f = *state;
	struct holding h;
	begin(f, &h);
	file_make(f, "go");
	take(f, &h, 1000);
	FILE *children = fopen("/proc/thread-self/children", "r");
	assert_non_null(children);
	assert_int_equal(fscanf(children, "%d", &f->frozen), 1);
	fclose(children);
	kill(f->frozen, SIGSTOP);
	holdings_drop(f->holdings);
	WAIT_FOR(f, h, h.services_gone);
	assert_false(h.addresses_gone);
	assert_int_equal(stops(f), 1);
	holdings_drop(f->holdings);
	uint64_t over_ms = clock_ms() + 1000;
	WAIT_FOR(f, h, clock_ms() > over_ms);
	kill(f->frozen, SIGCONT);
	WAIT_FOR(f, h, stops(f) == 2 && h.addresses_gone);
	assert_false(file_exists(f, "10.0.0.254"));
}

static void once_all_is_gone_the_end_of_the_lease_stops_nothing(void **state)
{
	struct fixture *f = *state;
	struct holding h;
	begin(f, &h);
	file_make(f, "go");
	take(f, &h, 1000);
	holdings_drop(f->holdings);
	WAIT_FOR(f, h, h.addresses_gone && h.services_gone);
	holdings_drop(f->holdings);
	uint64_t over_ms = clock_ms() + 1500;
	WAIT_FOR(f, h, clock_ms() > over_ms);
	assert_int_equal(stops(f), 1);
}

static void without_a_guard_nothing_is_held_up_and_it_is_known(void **state)
{
	struct fixture *f = *state;
	struct holding h;
	setenv("HOLDINGS_NO_GUARD", "1", 1);
	begin(f, &h);
	holdings_take(f->holdings, clock_ms() + 60000);
	holdings_serve(f->holdings);
	WAIT_FOR(f, h, h.addresses_held + h.addresses_failed >= h.addresses_wanted);
	assert_int_equal(h.addresses_failed, 1);
	char text[HOLDINGS_TEXT_MAX];
	assert_true(holdings_addresses_failing(f->holdings, text));
	assert_non_null(strstr(text, "there is no guard"));
	assert_false(holdings_guarded(f->holdings));
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "guard"))
		return getenv("HOLDINGS_NO_GUARD") ? 1
						   : guard_main((int)strtol(argv[2], NULL, 10),
							 (int)strtol(argv[3], NULL, 10));
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(what_is_taken_is_held_and_what_is_dropped_is_gone),
	    TEST(the_lease_is_not_given_back_before_the_services_are_gone),
	    TEST(the_lease_is_not_given_back_before_the_addresses_are_gone),
	    TEST(once_all_is_gone_the_end_of_the_lease_stops_nothing),
	    TEST(without_a_guard_nothing_is_held_up_and_it_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
