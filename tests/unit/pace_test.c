/* The election time-out, stretched by what was measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/member/pace.h"

static unsigned pace(uint32_t rtt_us, uint64_t p50_us, uint64_t p99_us, unsigned present_ms)
{
	struct pace p = {.election_ms = 300,
	    .heartbeat_ms = 50,
	    .rtt_us = rtt_us,
	    .write_us_p50 = p50_us,
	    .write_us_p99 = p99_us};
	return pace_election(&p, present_ms);
}

static void a_fast_cluster_keeps_what_is_configured(void **state)
{
	assert_int_equal(pace(0, 0, 0, 300), 300);
	assert_int_equal(pace(500, 200, 3000, 300), 300);
	assert_int_equal(pace(43000, 200, 10000, 300), 300);
}

static void a_slow_network_or_disk_stretches_it(void **state)
{
	assert_in_range(pace(100000, 0, 0, 300), 400, 501);
	assert_in_range(pace(0, 40000, 100000, 300), 600, 701);
	assert_in_range(pace(100000, 40000, 100000, 300), 900, 1001);
}

static void one_write_that_took_long_does_not(void **state)
{
	assert_int_equal(pace(0, 200, 2000000, 300), 300);
}

static void it_has_an_end(void **state)
{
	assert_int_equal(pace(UINT32_MAX, 0, 0, 300), 300 * PACE_STRETCH_MAX);
	assert_int_equal(pace(0, UINT32_MAX, UINT32_MAX, 300), 300 * PACE_STRETCH_MAX);
}

static void it_does_not_follow_every_measurement_but_comes_back(void **state)
{
	unsigned stretched_ms = pace(200000, 0, 0, 300);
	assert_int_equal(pace(198000, 0, 0, stretched_ms), stretched_ms);
	assert_int_equal(pace(180000, 0, 0, stretched_ms), stretched_ms);
	assert_int_equal(pace(500, 0, 0, stretched_ms), 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_fast_cluster_keeps_what_is_configured),
	    cmocka_unit_test(a_slow_network_or_disk_stretches_it),
	    cmocka_unit_test(one_write_that_took_long_does_not),
	    cmocka_unit_test(it_has_an_end),
	    cmocka_unit_test(it_does_not_follow_every_measurement_but_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
