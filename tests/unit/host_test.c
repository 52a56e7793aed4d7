/* What a process may have of its machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/resource.h>

#include "node/host.h"

static void files_are_raised_to_what_is_allowed_and_never_lowered(void **state)
{
	struct rlimit now, before;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	struct rlimit low = {.rlim_cur = 64, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	host_raise_files();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(
	    now.rlim_cur, before.rlim_max < HOST_FILES_MAX ? before.rlim_max : HOST_FILES_MAX);
	assert_int_equal(now.rlim_max, before.rlim_max);
	/* As root before: more than that stays. */
	if (before.rlim_max <= HOST_FILES_MAX)
		return;
	low.rlim_cur = HOST_FILES_MAX + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	host_raise_files();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(now.rlim_cur, HOST_FILES_MAX + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_are_raised_to_what_is_allowed_and_never_lowered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
