/* What a child prints comes whole, or is said not to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/probe.h"

#define DEADLINE_MS 60000

/* In the child. */
static int print(void *data, int out)
{
	static char bytes[65536];
	memset(bytes, 'x', sizeof(bytes));
	for (size_t left = *(size_t *)data; left > 0;) {
		ssize_t n = write(out, bytes, left < sizeof(bytes) ? left : sizeof(bytes));
		if (n <= 0)
			return 1;
		left -= (size_t)n;
	}
	return 0;
}

static int printed(size_t size, struct buffer *out)
{
	struct probe probe;
	fflush(NULL);
	assert_int_equal(probe_start(&probe, print, &size), 0);
	return probe_finish(&probe, probe_now_ms() + DEADLINE_MS, out);
}

static void some_mebibytes_come_whole(void **state)
{
	struct buffer out = {0};
	assert_int_equal(printed(5000000, &out), 0);
	assert_int_equal(out.size, 5000000);
	buffer_close(&out);
}

static void more_than_is_kept_is_said_to_be_too_much(void **state)
{
	struct buffer out = {0};
	assert_int_equal(printed((size_t)65 << 20, &out), -EFBIG);
	assert_true(out.size <= (size_t)64 << 20);
	buffer_close(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(some_mebibytes_come_whole),
	    cmocka_unit_test(more_than_is_kept_is_said_to_be_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
