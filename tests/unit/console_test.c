/* Consoles: the end of a file that grows, is moved aside and cut short, and holds anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fsm/text.h"
#include "node/worker/console_file.h"
#include "node/worker/console_text.h"
#include "node/worker/console_wire.h"

static char directory[64], path[128];
static struct console_sight sight;
static struct err err;

static void in(const char *suffix, char where[160])
{
	snprintf(where, 160, "%s%s", path, suffix);
}

static void write_to(const char *suffix, const void *bytes, size_t size)
{
	char where[160];
	in(suffix, where);
	int fd = open(where, O_WRONLY | O_CREAT | O_APPEND, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static void says(const char *text)
{
	write_to("", text, strlen(text));
}

/* Nothing was added for an hour. */
static void falls_silent(void)
{
	struct timespec then[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};
	assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
}

static void moved_aside(void)
{
	char old[160], older[160];
	in(".0", old);
	in(".1", older);
	rename(old, older);
	assert_int_equal(rename(path, old), 0);
}

static int look(enum console_from from, uint64_t mark, unsigned lines_max)
{
	struct console_query query = {.from = from, .mark = mark, .lines_max = lines_max};
	snprintf(query.path, sizeof(query.path), "%s", path);
	console_sight_close(&sight);
	return console_read(&query, &sight, &err);
}

static void assert_lines(const char *expected)
{
	buffer_append_u8(&sight.lines, 0);
	assert_string_equal((const char *)sight.lines.data, expected);
	sight.lines.size--;
}

static void assert_last(unsigned lines_max, const char *expected)
{
	assert_int_equal(look(CONSOLE_LAST, 0, lines_max), 0);
	assert_lines(expected);
}

/* What comes after the last look; then nothing does. */
static void assert_follows(const char *expected)
{
	assert_int_equal(look(CONSOLE_FOLLOW, sight.mark, 1000), 0);
	assert_lines(expected);
	assert_int_equal(look(CONSOLE_FOLLOW, sight.mark, 1000), 0);
	assert_lines("");
}

static int begin(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/pvc-console-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/web1.log", directory);
	sight = (struct console_sight){.mark = 0};
	return 0;
}

static int end(void **state)
{
	static const char *const suffixes[] = {"", ".0", ".1", ".2", ".3"};
	char where[160];
	for (unsigned i = 0; i < 5; i++) {
		in(suffixes[i], where);
		unlink(where);
	}
	console_sight_close(&sight);
	return rmdir(directory);
}

static void as_many_lines_as_wanted_are_shown(void **state)
{
	says("one\ntwo\r\nthree\n");
	assert_last(2, "two\nthree\n");
	assert_last(1000, "one\ntwo\nthree\n");
	assert_false(sight.more);
	says("login: ");
	assert_last(2, "three\nlogin: \n");
}

static void without_a_file_it_is_said_and_who_follows_waits(void **state)
{
	assert_int_equal(look(CONSOLE_LAST, 0, 10), -ENOENT);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(look(CONSOLE_FOLLOW, 0, 10), 0);
	assert_lines("");
	says("hello\n");
	assert_follows("hello\n");
	says("");
	says("again\n");
	assert_follows("again\n");
}

static void an_empty_file_has_no_lines(void **state)
{
	says("");
	assert_last(10, "");
	assert_int_equal(look(CONSOLE_FOLLOW, 0, 10), 0);
	says("hello\n");
	assert_follows("hello\n");
}

static void what_is_not_ended_is_followed_once_it_is_or_the_guest_is_silent(void **state)
{
	says("boot\nlog");
	assert_int_equal(look(CONSOLE_FOLLOW, 0, 10), 0);
	assert_lines("boot\n");
	says("in: ");
	assert_follows("");
	falls_silent();
	assert_follows("login: \n");
	says("root\n");
	assert_follows("root\n");
}

static void a_file_that_is_moved_aside_is_read_to_its_end(void **state)
{
	says("one\ntwo\n");
	assert_last(10, "one\ntwo\n");
	says("three\nfo");
	moved_aside();
	/* The new one is made a moment later. */
	assert_int_equal(look(CONSOLE_FOLLOW, sight.mark, 1000), 0);
	assert_lines("three\n");
	says("ur\nfive\n");
	assert_follows("four\nfive\n");
	moved_aside();
	says("six\n");
	moved_aside();
	says("seven\n");
	assert_follows("six\nseven\n");
	assert_last(3, "five\nsix\nseven\n");
}

static void a_file_that_is_cut_short_is_read_from_its_beginning(void **state)
{
	says("one\ntwo\nthree\n");
	assert_last(10, "one\ntwo\nthree\n");
	assert_int_equal(truncate(path, 0), 0);
	assert_follows("");
	says("new\n");
	assert_follows("new\n");
}

static void who_comes_from_another_file_gets_the_last_lines(void **state)
{
	char other[160];
	in(".elsewhere", other);
	says("one\n");
	assert_last(10, "one\n");
	assert_int_equal(rename(path, other), 0);
	says("there\nhere\n");
	assert_int_equal(look(CONSOLE_FOLLOW, sight.mark, 1), 0);
	assert_lines("here\n");
	assert_int_equal(unlink(other), 0);
}

static void what_could_harm_a_terminal_is_left_out(void **state)
{
	static const char raw[] = "\x1b[0;32m  OK  \x1b[0m started\r\n"
				  "\x1b]0;title\a\x1b]0;title\x1b\\\x1b(Bplain\x1b"
				  "c\n"
				  "10%\r20%\r\n"
				  "a\tb\x08\x7f\x01\n"
				  "nul\0nul\n"
				  "\xff\xfe gr\xc3\xbc\xc3\x9f \xc2\x9b"
				  "31m\n"
				  "\x1b[";
	write_to("", raw, sizeof(raw) - 1);
	assert_last(
	    100, "  OK   started\nplain\n10% 20%\na       b\nnulnul\n?? gr\u00fc\u00df ?31m\n\n");
}

/* Of bytes that are mostly those that mean something. */
static void whatever_a_guest_says_can_be_shown(void **state)
{
	static const uint8_t often[] = {
	    0x1b, '[', ']', '\r', '\n', '\t', 7, 0, 0xc3, 0xbc, 'm', 'x'};
	uint8_t bytes[256];
	uint32_t random = 1;
	for (unsigned round = 0; round < 20000; round++) {
		size_t size = round % sizeof(bytes);
		for (size_t i = 0; i < size; i++) {
			random = random * 1664525 + 1013904223;
			uint8_t any = (uint8_t)(random >> 24);
			bytes[i] = any & 0x80 ? any : often[any % sizeof(often)];
		}
		struct reader r = reader_of(bytes, size);
		struct buffer out = {0};
		assert_int_equal(console_lines(&r, CONSOLE_END_WHOLE, &out), size);
		for (size_t i = 0; i < out.size; i++)
			if (out.data[i] == '\n')
				out.data[i] = ' ';
		buffer_append_u8(&out, 0);
		assert_true(text_is_plain((const char *)out.data));
		assert_int_equal(strlen((const char *)out.data), out.size - 1);
		buffer_close(&out);
	}
}

static void a_huge_line_is_cut_and_none_of_it_lost(void **state)
{
	static char huge[3 * CONSOLE_LINE_MAX + 10];
	memset(huge, 'x', sizeof(huge));
	write_to("", huge, sizeof(huge));
	says("\nnext\n");
	assert_int_equal(look(CONSOLE_LAST, 0, 100), 0);
	assert_int_equal(sight.lines.size, sizeof(huge) + 4 + strlen("next\n"));
	assert_int_equal(look(CONSOLE_LAST, 0, 2), 0);
	assert_lines("xxxxxxxxxx\nnext\n");
	/* One that is just as long as may be is one. */
	assert_int_equal(truncate(path, 0), 0);
	write_to("", huge, CONSOLE_LINE_MAX);
	says("\n");
	assert_int_equal(look(CONSOLE_LAST, 0, 1), 0);
	assert_int_equal(sight.lines.size, CONSOLE_LINE_MAX + 1);
}

/* Numbered lines of 16 bytes. */
static void chatters(unsigned from, unsigned n)
{
	struct buffer text = {0};
	for (unsigned i = from; i < from + n; i++)
		buffer_print(&text, "line %10u\n", i);
	write_to("", text.data, text.size);
	buffer_close(&text);
}

static unsigned first_number(void)
{
	unsigned number = 0;
	assert_int_equal(sscanf((const char *)sight.lines.data, "line %u\n", &number), 1);
	return number;
}

static void of_a_large_file_only_the_end_is_read_and_who_follows_gets_all(void **state)
{
	enum { IN_ONE = CONSOLE_BYTES_MAX / 16 };
	chatters(0, 3 * IN_ONE + 1);
	assert_int_equal(look(CONSOLE_LAST, 0, 10), 0);
	assert_int_equal(first_number(), 3 * IN_ONE + 1 - 10);
	assert_int_equal(look(CONSOLE_LAST, 0, 1000000), 0);
	assert_in_range(sight.lines.size / 16, IN_ONE - 1, IN_ONE);
	assert_false(sight.more);
	chatters(3 * IN_ONE + 1, 2 * IN_ONE + 5);
	unsigned next = 3 * IN_ONE + 1;
	do {
		assert_int_equal(look(CONSOLE_FOLLOW, sight.mark, 10), 0);
		assert_int_equal(first_number(), next);
		next += (unsigned)(sight.lines.size / 16);
	} while (sight.more);
	assert_int_equal(next, 5 * IN_ONE + 6);
}

static void nothing_but_a_file_is_read(void **state)
{
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(look(CONSOLE_LAST, 0, 10), -EINVAL);
	assert_int_equal(look(CONSOLE_FOLLOW, 0, 10), -EINVAL);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(look(CONSOLE_LAST, 0, 10), -EINVAL);
	assert_int_equal(rmdir(path), 0);
}

static void what_goes_to_the_worker_and_back_stays_the_same(void **state)
{
	struct console_query query = {
	    .path = "/var/log/x.log", .from = CONSOLE_FOLLOW, .mark = 1u << 30, .lines_max = 7};
	struct console_query back;
	struct buffer bytes = {0};
	console_query_encode(&bytes, &query);
	for (size_t size = 0; size <= bytes.size; size++) {
		struct reader r = reader_of(bytes.data, size);
		int expected = size < bytes.size ? -EPROTO : 0;
		assert_int_equal(console_query_decode(&r, &back), expected);
	}
	assert_memory_equal(&back, &query, sizeof(query));
	bytes.size = 0;
	struct console_sight seen = {.mark = 9, .more = true}, got;
	buffer_append(&seen.lines, "a\n", 2);
	console_sight_encode(&bytes, &seen);
	struct reader r = reader_of(bytes.data, bytes.size);
	assert_int_equal(console_sight_decode(&r, &got), 0);
	assert_true(got.mark == 9 && got.more && got.lines.size == 2);
	console_sight_close(&got);
	console_sight_close(&seen);
	r = reader_of("\xff\xff\xff\xff\xff\xff\xff\xff\1", 9);
	assert_int_equal(console_sight_decode(&r, &got), -EPROTO);
	buffer_close(&bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(as_many_lines_as_wanted_are_shown),
	    TEST(without_a_file_it_is_said_and_who_follows_waits),
	    TEST(an_empty_file_has_no_lines),
	    TEST(what_is_not_ended_is_followed_once_it_is_or_the_guest_is_silent),
	    TEST(a_file_that_is_moved_aside_is_read_to_its_end),
	    TEST(a_file_that_is_cut_short_is_read_from_its_beginning),
	    TEST(who_comes_from_another_file_gets_the_last_lines),
	    TEST(what_could_harm_a_terminal_is_left_out),
	    TEST(whatever_a_guest_says_can_be_shown),
	    TEST(a_huge_line_is_cut_and_none_of_it_lost),
	    TEST(of_a_large_file_only_the_end_is_read_and_who_follows_gets_all),
	    TEST(nothing_but_a_file_is_read),
	    TEST(what_goes_to_the_worker_and_back_stays_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
