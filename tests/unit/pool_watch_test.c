/* The disk pool watched, with real workers that look into a directory. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/ceph.h"
#include "node/pool_watch.h"
#include "node/worker/worker_main.h"
#include "raft/clock.h"

#define PATIENCE_MS 60000
#define EVERY_MS    500

static uv_loop_t loop;
static uv_timer_t wake;
static char directory[] = "/tmp/pool_watch_test.XXXXXX";
static struct config config;
static struct cluster c;
static struct agent agent;
static struct context context;
static struct pool_watch *watch;
static struct err err;

/* What was proposed. */
static struct {
	unsigned count;
	uint64_t last_ms, shortest_ms; /* when, and how soon after the one before */
	struct command_ceph_report report; /* the last one */
	int refuse; /* the next one, with this */
} told;

static void apply(struct command *command)
{
	struct buffer bytes = {0};
	command_encode(command, &bytes);
	if (cluster_apply(&c, c.index + 1, bytes.data, bytes.size, &err) < 0)
		fail_msg("%s", err.text);
	buffer_close(&bytes);
}

/* Its own copy, by way of the log. */
static void keep(const struct command *command)
{
	struct buffer bytes = {0};
	const struct record *record = command_record(COMMAND_ceph_report);
	record_clear(record, &told.report);
	record_encode(record, &command->ceph_report, &bytes);
	struct reader in = reader_of(bytes.data, bytes.size);
	assert_int_equal(record_decode(record, &in, &told.report), 0);
	buffer_close(&bytes);
}

static void propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	uint64_t now = clock_ms();
	int result = told.refuse;
	assert_int_equal(command->number, COMMAND_ceph_report);
	if (told.count && now - told.last_ms < told.shortest_ms)
		told.shortest_ms = now - told.last_ms;
	told.last_ms = now;
	told.count++;
	told.refuse = 0;
	keep(command);
	if (!result)
		apply(command);
	done(done_data, result, c.index, &err);
}

static void changed(void *data)
{
}

static void take_role(uint32_t node, uint64_t epoch)
{
	struct command takeover = {.number = COMMAND_takeover, .takeover = {node, epoch}};
	struct command primary = {.number = COMMAND_primary, .primary = {node, epoch}};
	apply(&takeover);
	apply(&primary);
}

/* hv1, which is this node, and hv2. */
static void found(void)
{
	struct command found = {.number = COMMAND_found,
	    .found = {.name = "lab",
		.uuid = "u",
		.node = "hv1",
		.address = "hv1:1",
		.incarnation = "1",
		.schema = 1}};
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 1000}};
	struct command join = {.number = COMMAND_join,
	    .join = {
		.name = "hv2", .address = "hv2:1", .incarnation = "2", .mode = NODE_COORDINATOR}};
	memset(token.token.hash, 'a', 64);
	memset(join.join.hash, 'a', 64);
	cluster_init(&c);
	apply(&found);
	apply(&token);
	apply(&join);
}

static void file_write(const char *name, const char *text)
{
	char path[256], fresh[256];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	snprintf(fresh, sizeof(fresh), "%s/fresh", directory);
	FILE *file = fopen(fresh, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(fresh, path), 0);
}

static int setup(void **state)
{
	struct agent_options options = {.node = 1, .keepalive_interval_ms = EVERY_MS};
	memset(&told, 0, sizeof(told));
	told.shortest_ms = UINT64_MAX;
	found();
	agent_init(&agent, &options);
	context = (struct context){.id = 1, .cluster = &c, .propose = propose};
	config.pool.driver = CONFIG_POOL_SIM;
	snprintf(config.system.configuration.storage.ceph_config_file,
	    sizeof(config.system.configuration.storage.ceph_config_file), "%s", directory);
	file_write("osds", "0 hv1 up in 1000 10\n3 hv2 up in 1000 20\n4 hv1 up in 1000 30\n");
	file_write("pools", "1 vms 32 3\n");
	struct pool_watch_options watching = {.loop = &loop,
	    .config = &config,
	    .context = &context,
	    .agent = &agent,
	    .changed = changed};
	assert_int_equal(pool_watch_open(&watch, &watching, &err), 0);
	return 0;
}

static void on_closed(void *data)
{
	*(bool *)data = true;
}

static int teardown(void **state)
{
	bool closed = false;
	pool_watch_close(watch, on_closed, &closed);
	while (!closed)
		uv_run(&loop, UV_RUN_ONCE);
	agent_close(&agent);
	cluster_close(&c);
	record_clear(command_record(COMMAND_ceph_report), &told.report);
	return 0;
}

static void on_wake(uv_timer_t *timer)
{
}

static void turn(void)
{
	uint64_t now = clock_ms(), next = pool_watch_turn(watch, now);
	uint64_t wait_ms = next > now ? next - now : 0;
	uv_update_time(&loop);
	uv_timer_start(&wake, on_wake, wait_ms < 100 ? wait_ms : 100, 0);
	uv_run(&loop, UV_RUN_ONCE);
}

static void run_for(uint64_t ms)
{
	for (uint64_t end_ms = clock_ms() + ms; clock_ms() < end_ms;)
		turn();
}

#define AWAIT(condition)                                                                           \
	for (uint64_t end_ms = clock_ms() + PATIENCE_MS; !(condition);) {                          \
		if (clock_ms() >= end_ms)                                                          \
			fail_msg("waited in vain for " #condition);                                \
		turn();                                                                            \
	}

/* NULL: the agent knows of none. */
static const struct collector *collector(const char *name)
{
	for (unsigned i = 0; i < agent.collector_count; i++)
		if (!strcmp(agent.collectors[i].name, name))
			return &agent.collectors[i];
	return NULL;
}

static bool is(const char *name, enum collector_state state)
{
	return collector(name) && collector(name)->state == state;
}

static void every_node_looks_and_tells_nobody(void **state)
{
	take_role(2, 5);
	AWAIT(is("pool", COLLECTOR_OK));
	run_for(3 * EVERY_MS);
	assert_null(collector("manager"));
	assert_int_equal(told.count, 0);
	assert_int_equal(agent.osd_count, 2);
	assert_int_equal(agent.osds[0].id, 0);
	assert_int_equal(agent.osds[1].id, 4);
}

static void the_primary_tells_what_monitors_and_manager_say(void **state)
{
	take_role(1, 5);
	AWAIT(c.osds.count == 3 && ceph_osd_find(&c, 3)->known & CEPH_OSD_DF);
	assert_true(ceph_osd_find(&c, 3)->known & CEPH_OSD_DUMP);
	assert_int_equal(ceph_osd_find(&c, 3)->used_kib, 20);
	assert_int_equal(c.pools.count, 1);
	assert_int_equal(c.ceph.health, CEPH_OK);
	assert_int_equal(told.report.node, 1);
	assert_int_equal(told.report.epoch, 5);
	assert_true(is("manager", COLLECTOR_OK));
}

static void only_what_is_new_is_told_and_once_an_interval_at_most(void **state)
{
	take_role(1, 5);
	AWAIT(c.osds.count == 3 && ceph_osd_find(&c, 3)->known & CEPH_OSD_DF);
	run_for(2 * EVERY_MS);
	unsigned before = told.count;
	run_for(4 * EVERY_MS);
	assert_int_equal(told.count, before);
	file_write("osds", "0 hv1 up in 1000 11\n3 hv2 down in 1000 20\n");
	AWAIT(c.osds.count == 2 && ceph_osd_find(&c, 0)->used_kib == 11);
	run_for(2 * EVERY_MS);
	assert_in_range(told.count, before + 1, before + 2);
	assert_false(ceph_osd_find(&c, 3)->up);
	/* The clock may have gone on between the turn and what it proposes. */
	assert_in_range(told.shortest_ms, EVERY_MS - 50, UINT64_MAX);
}

/* In step: what changed for both is one report, not one of each. */
static void what_both_say_goes_together(void **state)
{
	char line[64];
	take_role(1, 5);
	AWAIT(c.osds.count == 3 && ceph_osd_find(&c, 3)->known & CEPH_OSD_DF);
	bool whole = false;
	/* On a busy machine one of the two may take its time, or the file change between them. */
	for (unsigned i = 1; i <= 12 && !whole; i++) {
		/* Long enough for the report before to be no reason for anything. */
		run_for(4 * EVERY_MS);
		snprintf(line, sizeof(line), "%u hv1 up in 1000 %u\n", i, 100 + i);
		file_write("osds", line);
		unsigned before = told.count;
		AWAIT(told.count > before);
		whole = told.report.osds.count && told.report.osds.items[0].known & CEPH_OSD_DF;
	}
	assert_true(whole);
}

static void a_report_that_is_lost_is_told_again(void **state)
{
	told.refuse = -ETIMEDOUT;
	take_role(1, 5);
	AWAIT(told.count);
	assert_int_equal(c.osds.count, 0);
	AWAIT(c.osds.count == 3);
}

static void who_is_no_longer_the_primary_leaves_the_manager_alone(void **state)
{
	take_role(1, 5);
	AWAIT(c.osds.count == 3 && is("manager", COLLECTOR_OK));
	take_role(2, 6);
	AWAIT(!collector("manager"));
	unsigned before = told.count;
	file_write("osds", "0 hv1 up in 1000 10\n");
	AWAIT(agent.osd_count == 1);
	run_for(2 * EVERY_MS);
	assert_int_equal(told.count, before);
	take_role(1, 7);
	AWAIT(c.osds.count == 1 && is("manager", COLLECTOR_OK));
	assert_int_equal(told.report.epoch, 7);
}

/* Nobody measures as fast as that: what is there is what was measured in the time before. */
static void who_is_the_primary_again_does_not_tell_what_it_measured_before(void **state)
{
	struct ceph_osd other_osd = {.id = 3, .known = CEPH_OSD_DF, .used_kib = 77};
	struct command other = {.number = COMMAND_ceph_report,
	    .ceph_report = {.node = 2, .epoch = 6, .osds = {&other_osd, 1}}};
	char path[256];
	take_role(1, 5);
	AWAIT(c.osds.count == 3 && ceph_osd_find(&c, 3)->known & CEPH_OSD_DF);
	take_role(2, 6);
	AWAIT(!collector("manager"));
	/* From here on both hang. */
	snprintf(path, sizeof(path), "%s/osds", directory);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	AWAIT(is("pool", COLLECTOR_STUCK));
	apply(&other);
	unsigned before = told.count;
	take_role(1, 7);
	AWAIT(is("manager", COLLECTOR_STUCK));
	run_for(2 * EVERY_MS);
	assert_int_equal(told.count, before);
	file_write("osds", "3 hv2 up in 1000 21\n");
	AWAIT(told.count > before);
	/* Most likely the monitors are heard first: the manager has its pause. */
	assert_int_not_equal(ceph_osd_find(&c, 3)->used_kib, 20);
	AWAIT(ceph_osd_find(&c, 3)->used_kib == 21);
}

static void there_are_no_two_reports_within_an_interval(void **state)
{
	struct ceph_id gone = {3};
	struct command other = {.number = COMMAND_ceph_report,
	    .ceph_report = {.node = 2, .epoch = 6, .osds_gone = {&gone, 1}}};
	take_role(1, 5);
	AWAIT(c.osds.count == 3);
	/* Another primary came and went, and saw it otherwise. */
	take_role(2, 6);
	apply(&other);
	turn();
	take_role(1, 7);
	AWAIT(c.osds.count == 3);
	assert_in_range(told.shortest_ms, EVERY_MS - 50, UINT64_MAX);
}

static void who_hangs_is_killed_and_what_it_said_stays(void **state)
{
	char path[256];
	take_role(1, 5);
	AWAIT(c.osds.count == 3);
	snprintf(path, sizeof(path), "%s/osds", directory);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	AWAIT(is("pool", COLLECTOR_STUCK) && collector("pool")->kills >= 2);
	assert_int_equal(c.osds.count, 3);
	assert_int_equal(agent.osd_count, 2);
	file_write("osds", "0 hv1 up in 1000 10\n");
	AWAIT(is("pool", COLLECTOR_OK) && c.osds.count == 1);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return worker_main(argc - 1, argv + 1);
	if (!mkdtemp(directory))
		return 1;
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	uv_loop_init(&loop);
	uv_timer_init(&loop, &wake);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(every_node_looks_and_tells_nobody),
	    TEST(the_primary_tells_what_monitors_and_manager_say),
	    TEST(only_what_is_new_is_told_and_once_an_interval_at_most),
	    TEST(what_both_say_goes_together),
	    TEST(a_report_that_is_lost_is_told_again),
	    TEST(who_is_no_longer_the_primary_leaves_the_manager_alone),
	    TEST(who_is_the_primary_again_does_not_tell_what_it_measured_before),
	    TEST(there_are_no_two_reports_within_an_interval),
	    TEST(who_hangs_is_killed_and_what_it_said_stays),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	static const char *const names[] = {"osds", "pools", ""};
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char path[256];
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		remove(path);
	}
	return failed;
}
