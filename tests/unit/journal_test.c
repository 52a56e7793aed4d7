/* What came of the last operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "node/log/journal.h"

static struct journal *journal;

static int begin(void **state)
{
	journal = journal_new();
	return 0;
}

static int end(void **state)
{
	journal_free(journal);
	return 0;
}

static void assert_result(uint64_t index, unsigned n, int wanted)
{
	int result = 0;
	assert_int_equal(journal_result(journal, index, n, &result), 0);
	assert_int_equal(result, wanted);
}

static void assert_nothing(uint64_t index, unsigned n)
{
	int result;
	assert_int_equal(journal_result(journal, index, n, &result), -ENOENT);
}

static void operations_of_one_entry_are_told_apart(void **state)
{
	assert_nothing(1, 0);
	journal_note(journal, 4, 10);
	journal_note(journal, 7, 20);
	journal_note(journal, 7, -21);
	journal_note(journal, 9, 30);
	assert_result(4, 0, 10);
	assert_result(7, 0, 20);
	assert_result(7, 1, -21);
	assert_result(9, 0, 30);
	assert_nothing(7, 2);
	assert_nothing(5, 0);
	assert_nothing(10, 0);
}

static void the_oldest_are_forgotten(void **state)
{
	for (unsigned i = 1; i <= JOURNAL_LENGTH + 5; i++)
		journal_note(journal, i, (int)i);
	assert_nothing(5, 0);
	assert_result(6, 0, 6);
	assert_result(JOURNAL_LENGTH + 5, 0, JOURNAL_LENGTH + 5);
}

static void a_log_that_is_applied_anew_is_noted_anew(void **state)
{
	journal_note(journal, 5, 100);
	journal_note(journal, 6, 100);
	journal_restart(journal);
	assert_nothing(5, 0);
	journal_note(journal, 6, 1);
	assert_result(6, 0, 1);
	assert_nothing(6, 1);
	assert_nothing(5, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(operations_of_one_entry_are_told_apart),
	    TEST(the_oldest_are_forgotten),
	    TEST(a_log_that_is_applied_anew_is_noted_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
