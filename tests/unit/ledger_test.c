/* The log as the daemon holds it: who waits is answered once, whatever the disk does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fsm/snapshot.h"
#include "node/member/ledger.h"
#include "raft/clock.h"

#define DEADLINE_MS 20000

static char directory[64];
static uv_loop_t loop;
static uv_prepare_t prepare;
static uv_timer_t timer;
static struct cluster value;
static struct ledger *ledger;
static _Atomic unsigned slow_ms; /* each sync takes that long */
static _Atomic int broken; /* 0, or the errno that each sync fails with */
static unsigned answers;
static int answer;

/* The library's, as the log's writer calls it. */
int fdatasync(int fd)
{
	if (slow_ms)
		usleep(slow_ms * 1000);
	if (!broken)
		return (int)syscall(SYS_fdatasync, fd);
	errno = broken;
	return -1;
}

static uint64_t now_ms(void)
{
	return clock_ms();
}

static void wake(uv_timer_t *handle)
{
}

static void turn(uv_prepare_t *handle)
{
	if (!ledger)
		return;
	uint64_t now = now_ms(), next = ledger_turn(ledger, now);
	uv_update_time(&loop);
	uv_timer_start(&timer, wake, next > now ? next - now : 0, 0);
}

static void send_to(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
}

static void stirred(void *data)
{
}

static void program_answered(void *data, uint64_t request, int result, uint64_t index)
{
	answers++;
	answer = result;
}

static void proposed(void *data, int result, uint64_t index, const struct err *err)
{
	answers++;
	answer = result;
}

static int open_ledger(struct err *err)
{
	struct ledger_options options = {
	    .loop = &loop,
	    .directory = directory,
	    .replica =
		{.id = 1, .address = "a:1", .heartbeat_ms = 10, .election_ms = 50, .lease_ms = 40},
	    .cluster = &value,
	    .send = send_to,
	    .stirred = stirred,
	    .program_answered = program_answered,
	};
	return ledger_open(&ledger, &options, err);
}

static bool leads(void)
{
	struct replica_status status;
	if (!ledger_replica(ledger))
		return false;
	replica_status(ledger_replica(ledger), &status);
	return replica_lease_left(ledger_replica(ledger), now_ms()) > 0;
}

static bool closed(void)
{
	return !ledger_replica(ledger);
}

static bool answered(void)
{
	return answers > 0;
}

static void await(bool (*condition)(void))
{
	uint64_t until = now_ms() + DEADLINE_MS;
	while (!condition() && now_ms() < until)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(condition());
}

/* As bootstrap leaves it. */
static void found(void)
{
	struct wal *wal;
	struct disk_state state;
	struct err err;
	struct buffer configuration = {0};
	struct wal_options options = {.directory = directory};
	assert_int_equal(wal_open(&wal, &options, &state, &err), 0);
	wal_forget_state(wal);
	assert_int_equal(replica_first_entry(1, "a:1", &configuration), 0);
	struct disk_entry entry = {.term = 1,
	    .type = DISK_CHANGE,
	    .size = (uint32_t)configuration.size,
	    .data = configuration.data};
	struct disk_request vote = {.type = DISK_VOTE, .ticket = 1, .vote = {.term = 1}};
	struct disk_request append = {
	    .type = DISK_APPEND, .ticket = 2, .append = {.index = 1, .entries = &entry, .n = 1}};
	struct disk disk = wal_disk(wal);
	disk.submit(disk.data, &vote);
	disk.submit(disk.data, &append);
	wal_close(wal);
	buffer_close(&configuration);
}

static void remove_directory(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static int begin(void **state)
{
	slow_ms = answers = 0;
	broken = answer = 0;
	snprintf(directory, sizeof(directory), "/tmp/ledger_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	cluster_init(&value);
	uv_loop_init(&loop);
	uv_timer_init(&loop, &timer);
	uv_prepare_init(&loop, &prepare);
	uv_prepare_start(&prepare, turn);
	return 0;
}

static void close_ledger(void)
{
	ledger_close(ledger);
	ledger = NULL;
}

static int end(void **state)
{
	if (ledger)
		close_ledger();
	uv_close((uv_handle_t *)&timer, NULL);
	uv_close((uv_handle_t *)&prepare, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	cluster_close(&value);
	remove_directory();
	return 0;
}

static void open_founded(void)
{
	struct err err;
	found();
	assert_int_equal(open_ledger(&err), 0);
	await(leads);
	struct command command = {.number = COMMAND_found,
	    .found = {.name = "c", .uuid = "u", .node = "n", .address = "a:1", .schema = 1}};
	ledger_propose(ledger, &command, DEADLINE_MS, proposed, NULL);
	await(answered);
	assert_int_equal(answer, 1);
	answers = 0;
}

static void propose_fact(const char *key)
{
	struct command command = {.number = COMMAND_fact};
	snprintf(command.fact.key, sizeof(command.fact.key), "%s", key);
	command.fact.value = (struct blob){.data = (uint8_t *)"v", .size = 1};
	ledger_propose(ledger, &command, DEADLINE_MS, proposed, NULL);
	ledger_turn(ledger, now_ms());
}

static void a_probe_is_committed_and_changes_nothing(void **state)
{
	struct command probe = {.number = COMMAND_probe, .probe = {.node = 1}};
	open_founded();
	propose_fact("a");
	await(answered);
	answers = 0;
	uint64_t index = value.index, hash = value.hash;
	ledger_propose(ledger, &probe, DEADLINE_MS, proposed, NULL);
	await(answered);
	assert_int_equal(answer, 0);
	assert_true(value.index > index);
	assert_true(value.hash == hash);
}

static void closing_waits_for_what_the_disk_has_and_answers_everybody(void **state)
{
	open_founded();
	slow_ms = 200;
	propose_fact("one"); /* the disk has it */
	usleep(50000);
	propose_fact("two"); /* it waits behind the first */
	close_ledger();
	assert_int_equal(answers, 2);
	assert_int_equal(answer, -ETIMEDOUT);
}

static void a_log_that_cannot_be_written_is_closed_says_why_and_opens_again(void **state)
{
	open_founded();
	broken = EIO;
	propose_fact("one");
	await(closed);
	assert_int_equal(answers, 1);
	assert_int_equal(answer, -ETIMEDOUT);
	assert_non_null(strstr(ledger_trouble(ledger), strerror(EIO)));
	propose_fact("two");
	assert_int_equal(answer, -ENOTCONN);
	broken = 0;
	await(leads);
	answers = 0;
	propose_fact("three");
	await(answered);
	assert_int_equal(answer, 0);
	assert_non_null(cluster_fact(&value, "three"));
	assert_string_equal(value.settings.name, "c");
}

static void closing_while_it_is_opened_again_is_an_end(void **state)
{
	open_founded();
	broken = EIO;
	propose_fact("one");
	await(closed);
	broken = 0;
	/* The thread of the pool is at it from the turn in which it is due. */
	uint64_t until = now_ms() + 1100;
	while (now_ms() < until && closed())
		uv_run(&loop, UV_RUN_ONCE);
	close_ledger();
}

static void a_log_that_was_emptied_is_not_opened_again(void **state)
{
	open_founded();
	broken = EIO;
	propose_fact("one");
	await(closed);
	remove_directory();
	broken = 0;
	assert_int_equal(mkdir(directory, 0700), 0);
	uint64_t until = now_ms() + 2500;
	while (now_ms() < until)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(closed());
	assert_non_null(strstr(ledger_trouble(ledger), "gone"));
}

static void a_log_without_a_term_has_lost_its_vote(void **state)
{
	struct err err;
	assert_int_equal(open_ledger(&err), -ENODATA);
	assert_null(ledger);
}

/* A log that begins with this value. */
static void found_with_snapshot(const struct buffer *snapshot)
{
	struct err err;
	struct wal *wal;
	struct disk_state disk_state;
	struct buffer configuration = {0};
	struct wal_options options = {.directory = directory};
	found();
	assert_int_equal(wal_open(&wal, &options, &disk_state, &err), 0);
	wal_forget_state(wal);
	assert_int_equal(replica_first_entry(1, "a:1", &configuration), 0);
	struct disk_request request = {.type = DISK_SNAPSHOT, .ticket = 1};
	request.snapshot.snapshot = (struct disk_snapshot){.index = 1,
	    .term = 1,
	    .configuration_index = 1,
	    .configuration = configuration.data,
	    .configuration_size = configuration.size,
	    .data = snapshot->data,
	    .size = snapshot->size};
	request.snapshot.keep_from = 2;
	struct disk disk = wal_disk(wal);
	disk.submit(disk.data, &request);
	wal_close(wal);
	buffer_close(&configuration);
}

static void a_log_of_a_newer_schema_is_not_a_damaged_one(void **state)
{
	struct err err;
	struct buffer snapshot = {0};
	value.settings.schema = 1000;
	snapshot_encode(&value, &snapshot);
	found_with_snapshot(&snapshot);
	buffer_close(&snapshot);
	assert_int_equal(open_ledger(&err), -ENOTSUP);
	assert_non_null(strstr(err.text, "schema 1000"));
}

static void a_log_of_another_format_is_not_a_damaged_one(void **state)
{
	const uint8_t formats[] = {SNAPSHOT_FORMAT - 1, SNAPSHOT_FORMAT + 1};
	for (unsigned i = 0; i < sizeof(formats); i++) {
		struct err err;
		struct buffer snapshot = {0};
		/* What follows the format may be anything. */
		snapshot_encode(&value, &snapshot);
		snapshot.data[8] = formats[i];
		snapshot.size -= 2;
		found_with_snapshot(&snapshot);
		buffer_close(&snapshot);
		assert_int_equal(open_ledger(&err), -ENOTSUP);
		assert_non_null(strstr(err.text, "start the version of pvc that wrote it"));
		remove_directory();
		assert_int_equal(mkdir(directory, 0700), 0);
	}
}

static int program_says(struct command *command)
{
	struct buffer bytes = {0};
	answers = 0;
	command_encode(command, &bytes);
	ledger_program_propose(ledger, 1, bytes.data, bytes.size);
	await(answered);
	buffer_close(&bytes);
	return answer;
}

static void programs_speak_for_people_and_not_for_nodes(void **state)
{
	struct command fact = {.client = 7,
	    .sequence = 1,
	    .number = COMMAND_fact,
	    .fact = {.key = "k", .value = {.data = (uint8_t *)"v", .size = 1}}};
	struct command takeover = {.client = 7,
	    .sequence = 2,
	    .number = COMMAND_takeover,
	    .takeover = {.node = 1, .epoch = UINT64_MAX}};
	struct command tick = {
	    .client = 7, .sequence = 3, .number = COMMAND_tick, .tick.elapsed_ms = 1u << 30};
	open_founded();
	assert_int_equal(program_says(&fact), 0);
	assert_int_equal(program_says(&takeover), -EPERM);
	assert_int_equal(program_says(&tick), -EPERM);
	assert_int_equal(value.primary.epoch, 0);
	assert_int_equal(value.settings.time_ms, 0);
	/* Whoever says to be nobody would be heard as the leader. */
	fact.client = 0;
	assert_int_equal(program_says(&fact), -EPERM);
	answers = 0;
	ledger_program_propose(ledger, 1, (const uint8_t *)"\xff", 1);
	await(answered);
	assert_int_equal(answer, -EBADMSG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(a_probe_is_committed_and_changes_nothing),
	    TEST(closing_waits_for_what_the_disk_has_and_answers_everybody),
	    TEST(a_log_that_cannot_be_written_is_closed_says_why_and_opens_again),
	    TEST(closing_while_it_is_opened_again_is_an_end),
	    TEST(a_log_that_was_emptied_is_not_opened_again),
	    TEST(a_log_without_a_term_has_lost_its_vote),
	    TEST(a_log_of_a_newer_schema_is_not_a_damaged_one),
	    TEST(a_log_of_another_format_is_not_a_damaged_one),
	    TEST(programs_speak_for_people_and_not_for_nodes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
