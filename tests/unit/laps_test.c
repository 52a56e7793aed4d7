/* The text of a debug line about the time that steps took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "node/laps.h"

static void every_step_is_named_with_its_time_and_the_sum_at_the_end(void **state)
{
	char text[LAPS_TEXT_MAX];
	struct laps laps = {.count = 2, .steps = {{"host", 149}, {"judging", 12051}}};
	assert_string_equal(laps_text(&laps, text), "host 0.1 ms, judging 12.1 ms, in all 12.2 ms");
}

static void a_step_lasts_from_the_end_of_the_one_before(void **state)
{
	struct laps laps = laps_begin();
	uint64_t began_us = laps.at_us;
	laps_take(&laps, "one");
	laps_take(&laps, "two");
	assert_int_equal(laps.count, 2);
	assert_int_equal(laps.steps[0].took_us + laps.steps[1].took_us, laps.at_us - began_us);
	assert_string_equal(laps.steps[1].step, "two");
}

static void steps_beyond_the_last_place_are_left_out(void **state)
{
	char text[LAPS_TEXT_MAX];
	struct laps laps = laps_begin();
	for (unsigned i = 0; i < LAPS_MAX + 3; i++)
		laps_take(&laps, "a step of which the name is longer than any that there is");
	assert_int_equal(laps.count, LAPS_MAX);
	assert_true(strlen(laps_text(&laps, text)) < LAPS_TEXT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_step_is_named_with_its_time_and_the_sum_at_the_end),
	    cmocka_unit_test(a_step_lasts_from_the_end_of_the_one_before),
	    cmocka_unit_test(steps_beyond_the_last_place_are_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
