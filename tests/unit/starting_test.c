/* Starts that the next daemon must know of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/vm/starting.h"

#define ONE "11111111-2222-3333-4444-555555555555"
#define TWO "aaaaaaaa-bbbb-CCCC-dddd-eeeeeeeeeeee"

static char directory[64];
static unsigned ones, twos, others;

static int begin(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/starting-test-XXXXXX");
	ones = twos = others = 0;
	return mkdtemp(directory) ? 0 : -1;
}

static int end(void **state)
{
	char path[128];
	starting_clear(directory, ONE);
	starting_clear(directory, TWO);
	snprintf(path, sizeof(path), "%s/starting", directory);
	rmdir(path);
	return rmdir(directory);
}

static void count(void *data, const char *uuid)
{
	ones += !strcmp(uuid, ONE);
	twos += !strcmp(uuid, TWO);
	others += strcmp(uuid, ONE) != 0 && strcmp(uuid, TWO) != 0;
}

static void what_was_noted_and_not_cleared_is_there_for_the_next(void **state)
{
	assert_int_equal(starting_note(directory, ONE), 0);
	assert_int_equal(starting_note(directory, TWO), 0);
	assert_int_equal(starting_note(directory, TWO), 0);
	starting_clear(directory, ONE);
	starting_clear(directory, ONE);
	starting_each(directory, count, NULL);
	assert_int_equal(ones, 0);
	assert_int_equal(twos, 1);
	assert_int_equal(others, 0);
}

static void after_a_reboot_there_is_nothing(void **state)
{
	starting_each(directory, count, NULL);
	assert_int_equal(ones + twos + others, 0);
}

static void what_is_no_uuid_does_not_become_a_path(void **state)
{
	assert_int_equal(starting_note(directory, "../../etc/passwd"), -EINVAL);
	assert_int_equal(starting_note(directory, ".."), -EINVAL);
	assert_int_equal(starting_note(directory, ""), -EINVAL);
	starting_each(directory, count, NULL);
	assert_int_equal(ones + twos + others, 0);
}

static void where_nothing_can_be_noted_nothing_is_started(void **state)
{
	assert_int_equal(starting_note("/nowhere", ONE), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_noted_and_not_cleared_is_there_for_the_next),
	    TEST(after_a_reboot_there_is_nothing),
	    TEST(what_is_no_uuid_does_not_become_a_path),
	    TEST(where_nothing_can_be_noted_nothing_is_started),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
