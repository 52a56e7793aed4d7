/* The log: how lines look, and that no sink ever holds anybody up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "node/log/banner.h"
#include "node/log/log.h"

#define DEADLINE_MS 30000

static char directory[64];
static char path[100];

static int setup(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/log_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/pvcnoded.log", directory);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(directory);
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void open_log(const struct log_options *options)
{
	struct err err = {""};
	if (log_open(options, &err) < 0)
		fail_msg("%s", err.text);
}

/* The end of a file, all of a small one. */
static void text_of(const char *file, char out[8192])
{
	memset(out, 0, 8192);
	int fd = open(file, O_RDONLY);
	if (fd < 0)
		return;
	off_t size = lseek(fd, 0, SEEK_END);
	assert_true(pread(fd, out, 8191, size > 8191 ? size - 8191 : 0) >= 0);
	close(fd);
}

/* Wait until a file has the text in it. */
static void wait_for(const char *file, const char *text)
{
	char found[8192];
	uint64_t deadline = now_ms() + DEADLINE_MS;
	do {
		text_of(file, found);
		if (strstr(found, text))
			return;
		poll(NULL, 0, 2);
	} while (now_ms() < deadline);
	fail_msg("no '%s' in %s, which has '%s'", text, file, found);
}

/* What follows a line that is in the log already. */
static uint64_t mark(void)
{
	return log_after(0, 0, NULL);
}

static void assert_logged_after(uint64_t sequence, const char *text)
{
	struct buffer out = {0};
	log_after(sequence, 100000, &out);
	buffer_append_u8(&out, 0);
	if (!strstr((char *)out.data, text))
		fail_msg("no '%s' in '%s'", text, (char *)out.data);
	buffer_close(&out);
}

static void wait_until_logged(uint64_t sequence, const char *text)
{
	uint64_t deadline = now_ms() + DEADLINE_MS;
	struct buffer out = {0};
	while (now_ms() < deadline) {
		log_after(sequence, 100000, &out);
		buffer_append_u8(&out, 0);
		if (strstr((char *)out.data, text))
			break;
		buffer_close(&out);
		poll(NULL, 0, 2);
	}
	buffer_close(&out);
	assert_logged_after(sequence, text);
}

/* Standard output as a socket that keeps each write(2) apart. */
struct captured {
	int before, reader;
};

static struct captured capture(void)
{
	struct captured c;
	int pair[2];
	fflush(stdout);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	c.before = dup(STDOUT_FILENO);
	c.reader = pair[0];
	assert_true(dup2(pair[1], STDOUT_FILENO) >= 0);
	close(pair[1]);
	return c;
}

static void release(struct captured *c)
{
	dup2(c->before, STDOUT_FILENO);
	close(c->before);
	close(c->reader);
}

/* One write, or 0 when there is none within wait_ms. */
static size_t read_write(struct captured *c, char out[2048], int wait_ms)
{
	struct pollfd readable = {.fd = c->reader, .events = POLLIN};
	if (poll(&readable, 1, wait_ms) != 1)
		return 0;
	ssize_t size = recv(c->reader, out, 2047, 0);
	out[size < 0 ? 0 : size] = '\0';
	return size < 0 ? 0 : (size_t)size;
}

static void each_state_has_its_word(void **state)
{
	char text[8192];
	open_log(&(struct log_options){.name = "t", .node = "n", .file = path, .debug = true});
	log_ok("a");
	log_error("b");
	log_warning("c");
	log_tick("d");
	log_info("e");
	log_system("f");
	log_debug("worker", "g %d", 7);
	log_plain("h");
	log_close(DEADLINE_MS);
	text_of(path, text);
	assert_string_equal(text, "ok: a\nfailed: b\nwarning: c\ntick: d\ninfo: e\nsystem: f\n"
				  "debug: worker - g 7\nh\n");
}

static void each_state_has_its_colour(void **state)
{
	char text[8192];
	open_log(&(struct log_options){
	    .name = "t", .node = "n", .file = path, .debug = true, .colours = true});
	log_ok("a");
	log_error("b");
	log_warning("c");
	log_tick("d");
	log_info("e");
	log_system("f");
	log_debug("worker", "g");
	log_plain("h");
	log_close(DEADLINE_MS);
	text_of(path, text);
	assert_string_equal(text,
	    "\033[92m>>> \033[0ma\n\033[91m>>> \033[0mb\n\033[93m>>> \033[0mc\n"
	    "\033[95m>>> \033[0md\n\033[94m>>> \033[0me\n\033[96m>>> \033[0mf\n"
	    "\033[97m>>> \033[0mworker - g\nh\n");
}

static void a_date_stands_behind_the_word(void **state)
{
	char text[8192];
	regex_t wanted;
	open_log(&(struct log_options){.name = "t", .node = "n", .file = path, .dates = true});
	log_info("hello");
	log_plain("plain");
	log_close(DEADLINE_MS);
	text_of(path, text);
	assert_int_equal(
	    regcomp(&wanted,
		"^info: [0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6} hello\n"
		"plain\n$",
		REG_EXTENDED),
	    0);
	assert_int_equal(regexec(&wanted, text, 0, NULL, 0), 0);
	regfree(&wanted);
}

static void debug_lines_need_debug(void **state)
{
	char text[8192];
	open_log(&(struct log_options){.name = "t", .node = "n", .file = path});
	log_debug("main", "hidden");
	log_info("shown");
	log_close(DEADLINE_MS);
	text_of(path, text);
	assert_string_equal(text, "info: shown\n");
}

static void a_text_cannot_forge_a_line(void **state)
{
	char text[8192], longer[LOG_TEXT_MAX * 2];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	open_log(&(struct log_options){.name = "t", .node = "n", .file = path});
	log_info("one\nok: two\033[2J\x7f");
	log_info("%s", longer);
	log_close(DEADLINE_MS);
	text_of(path, text);
	assert_true(!strncmp(text, "info: one ok: two?[2J?\ninfo: xxx", 31));
	assert_int_equal(strlen(strchr(text, '\n') + 1), strlen("info: ") + LOG_TEXT_MAX);
	assert_string_equal(text + strlen(text) - 5, "x...\n");
}

static void a_line_is_one_write(void **state)
{
	char packet[2048];
	struct captured c = capture();
	open_log(&(struct log_options){
	    .name = "t", .node = "n", .to_stdout = true, .colours = true, .dates = true});
	for (int i = 0; i < 50; i++)
		log_info("line %d", i);
	bool good = true;
	for (int i = 0; i < 50 && good; i++) {
		char ending[32];
		snprintf(ending, sizeof(ending), " line %d\n", i);
		size_t size = read_write(&c, packet, DEADLINE_MS);
		good = size > strlen(ending) && !strcmp(packet + size - strlen(ending), ending) &&
		       !strncmp(packet, "\033[94m>>> ", 9);
	}
	log_close(DEADLINE_MS);
	release(&c);
	assert_true(good);
}

static void lines_of_before_the_log_was_opened_are_not_lost(void **state)
{
	char text[8192];
	log_info("early");
	open_log(&(struct log_options){.name = "t", .node = "n", .file = path});
	log_info("late");
	log_close(DEADLINE_MS);
	text_of(path, text);
	assert_string_equal(text, "info: early\ninfo: late\n");
}

struct tally {
	unsigned received, dropped;
	bool last; /* the last line came */
};

static void tally_add(struct tally *t, const char *packet)
{
	t->received += strstr(packet, "info: line ") ? 1 : 0;
	if (!strcmp(packet, "info: line 19999\n"))
		t->last = true;
	if (strstr(packet, " log lines dropped: standard output is too slow\n"))
		t->dropped += (unsigned)strtoul(strchr(packet, ' ') + 1, NULL, 10);
}

static void a_sink_that_nobody_reads_holds_up_nobody(void **state)
{
	enum { LINES = 20000 };
	char packet[2048] = "";
	struct captured c = capture();
	open_log(&(struct log_options){
	    .name = "t", .node = "n", .file = path, .to_stdout = true, .lines = 64});
	uint64_t before = mark();
	for (int i = 0; i < LINES; i++)
		log_info("line %d", i);
	/* We are here although nobody read a line; and the other sink is not held up either. */
	wait_for(path, "line 19999\n");
	/* Now somebody reads: the last lines come, and what was lost is said. */
	struct tally t = {0};
	while (!t.last && read_write(&c, packet, DEADLINE_MS))
		tally_add(&t, packet);
	log_close(DEADLINE_MS);
	while (read_write(&c, packet, 0))
		tally_add(&t, packet);
	release(&c);
	assert_true(t.last);
	assert_true(t.dropped > 0);
	/* Warnings of what was dropped may have been dropped, too. */
	assert_in_range(t.received + t.dropped, LINES, mark() - before);
	assert_logged_after(before, " log lines dropped: standard output is too slow\n");
}

static void a_full_disk_is_said_at_once_and_counted_when_it_is_over(void **state)
{
	char text[8192];
	assert_int_equal(symlink("/dev/full", path), 0);
	open_log(&(struct log_options){.name = "t", .node = "n", .file = path});
	uint64_t before = mark();
	log_info("lost 1");
	wait_until_logged(before, "pvcnoded.log: No space left on device: log lines are dropped");
	log_info("lost 2");
	log_info("lost 3");
	assert_int_equal(unlink(path), 0);
	/* "lost 2" and "lost 3" may still be written to the new file. */
	log_reopen();
	log_info("kept");
	wait_until_logged(before, "log lines dropped: ");
	log_close(DEADLINE_MS);
	text_of(path, text);
	assert_non_null(strstr(text, "log lines dropped: /tmp/log_test."));
	assert_non_null(strstr(text, "pvcnoded.log failed: No space left on device\n"));
	assert_non_null(strstr(text, "info: kept\n"));
	assert_null(strstr(text, "lost 1"));
}

static void a_file_that_was_moved_away_is_opened_anew(void **state)
{
	char moved[160];
	snprintf(moved, sizeof(moved), "%s.1", path);
	open_log(&(struct log_options){.name = "t", .node = "n", .file = path});
	log_info("first");
	wait_for(path, "first");
	assert_int_equal(rename(path, moved), 0);
	log_info("second");
	wait_for(moved, "second");
	log_reopen();
	log_info("third");
	wait_for(path, "info: third\n");
	log_close(DEADLINE_MS);
	unlink(moved);
}

static void a_file_that_cannot_be_opened_leaves_the_other_sinks(void **state)
{
	char packet[2048] = "";
	struct err err;
	struct captured c = capture();
	int status = log_open(
	    &(struct log_options){
		.name = "t", .node = "n", .file = "/no/such/place/log", .to_stdout = true},
	    &err);
	log_info("still here");
	read_write(&c, packet, DEADLINE_MS);
	log_close(DEADLINE_MS);
	release(&c);
	assert_int_equal(status, -ENOENT);
	assert_string_equal(err.text, "log to /no/such/place/log: No such file or directory");
	assert_string_equal(packet, "info: still here\n");
}

static void the_journal_gets_fields(void **state)
{
	char packet[4096] = "";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	open_log(&(struct log_options){
	    .name = "pvcnoded", .node = "hv1", .to_journal = true, .journal = path, .debug = true});
	log_debug("main", "hello\nPRIORITY=0");
	assert_true(recv(fd, packet, sizeof(packet) - 1, 0) > 0);
	log_close(DEADLINE_MS);
	close(fd);
	assert_true(!strncmp(packet, "MESSAGE=main - hello PRIORITY=0\nPRIORITY=7\n", 43));
	assert_non_null(strstr(packet, "\nSYSLOG_IDENTIFIER=pvcnoded\n"));
	assert_non_null(strstr(packet, "\nPVC_NODE=hv1\n"));
	assert_non_null(strstr(packet, "\nPVC_STATE=d\n"));
	assert_non_null(strstr(packet, "\nPVC_COMPONENT=main\n"));
}

static void without_systemd_the_journal_is_nothing(void **state)
{
	open_log(&(struct log_options){
	    .name = "t", .node = "n", .to_journal = true, .journal = "/no/such/socket"});
	uint64_t before = mark();
	log_info("alone");
	log_close(DEADLINE_MS);
	assert_int_equal(mark(), before + 1);
}

static void a_follower_gets_what_is_new(void **state)
{
	struct buffer out = {0};
	open_log(&(struct log_options){.name = "t", .node = "n", .lines = 3});
	uint64_t seen = mark();
	for (int i = 1; i <= 5; i++)
		log_info("line %d", i);
	/* The ring holds three, and two were asked for. */
	uint64_t next = log_after(seen, 2, &out);
	buffer_append_u8(&out, 0);
	assert_int_equal(next, seen + 5);
	assert_null(strstr((char *)out.data, "line 3\n"));
	assert_non_null(strstr((char *)out.data, "line 4\n"));
	assert_non_null(strstr((char *)out.data, "line 5\n"));
	assert_true(!strncmp((char *)out.data, "info: 2", 7)); /* dates always */
	buffer_close(&out);

	assert_int_equal(log_after(next, 10, &out), next);
	assert_int_equal(out.size, 0);
	log_info("line 6");
	assert_int_equal(log_after(next, 10, &out), next + 1);
	assert_non_null(memmem(out.data, out.size, "line 6\n", 7));
	buffer_close(&out);

	/* A number of before a restart: from the start. */
	log_after(next + 1000, 10, &out);
	assert_null(memmem(out.data, out.size, "line 3\n", 7));
	assert_non_null(memmem(out.data, out.size, "line 4\n", 7));
	buffer_close(&out);
	log_close(DEADLINE_MS);
}

static void a_ring_that_grows_keeps_what_it_had(void **state)
{
	struct buffer out = {0};
	open_log(&(struct log_options){.name = "t", .node = "n", .lines = 2});
	for (int i = 1; i <= 5; i++)
		log_plain("line %d", i);
	log_close(DEADLINE_MS);
	open_log(&(struct log_options){.name = "t", .node = "n", .lines = 10});
	log_plain("line 6");
	log_after(0, 100, &out);
	buffer_append_u8(&out, 0);
	assert_string_equal((char *)out.data, "line 4\nline 5\nline 6\n");
	buffer_close(&out);
	log_close(DEADLINE_MS);
}

static void the_banner_says_who_and_where(void **state)
{
	open_log(&(struct log_options){.name = "t", .node = "n", .lines = 100});
	uint64_t before = mark();
	banner_print(&(struct banner_facts){.daemon = "pvcnoded",
	    .version = "1.2.3",
	    .raft_version = "0.22.1",
	    .node = "hv7",
	    .id = 7,
	    .cluster = "c1",
	    .domain = "pvc.local",
	    .ipmi_host = "",
	    .schema_min = 1,
	    .schema_max = 2});
	assert_logged_after(before, "| pvcnoded 1.2.3\n");
	assert_logged_after(before, "| libraft:       0.22.1\n");
	assert_logged_after(before, "| node:          hv7\n");
	assert_logged_after(before, "| id:            7\n");
	assert_logged_after(before, "| cluster:       c1\n");
	assert_logged_after(before, "| IPMI host:     none\n");
	assert_logged_after(before, "| schema:        1 to 2\n");
	assert_logged_after(before, "| kernel:        ");
	assert_logged_after(before, "system: ");
	log_close(DEADLINE_MS);
}

/* The last one: it leaves a thread behind that hangs in its write. */
static void closing_does_not_wait_for_ever(void **state)
{
	struct captured c = capture();
	open_log(&(struct log_options){.name = "t", .node = "n", .to_stdout = true});
	for (int i = 0; i < 5000; i++)
		log_info("line %d", i);
	uint64_t before = now_ms();
	log_close(50);
	uint64_t took = now_ms() - before;
	release(&c);
	assert_true(took < DEADLINE_MS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(each_state_has_its_word),
	    TEST(each_state_has_its_colour),
	    TEST(a_date_stands_behind_the_word),
	    TEST(debug_lines_need_debug),
	    TEST(a_text_cannot_forge_a_line),
	    TEST(a_line_is_one_write),
	    TEST(lines_of_before_the_log_was_opened_are_not_lost),
	    TEST(a_sink_that_nobody_reads_holds_up_nobody),
	    TEST(a_full_disk_is_said_at_once_and_counted_when_it_is_over),
	    TEST(a_file_that_was_moved_away_is_opened_anew),
	    TEST(a_file_that_cannot_be_opened_leaves_the_other_sinks),
	    TEST(the_journal_gets_fields),
	    TEST(without_systemd_the_journal_is_nothing),
	    TEST(a_follower_gets_what_is_new),
	    TEST(a_ring_that_grows_keeps_what_it_had),
	    TEST(the_banner_says_who_and_where),
	    TEST(closing_does_not_wait_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
