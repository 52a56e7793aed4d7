/* A loop, and waiting on it for what must happen, on however busy a machine.
 *
 * Only tests/unit/ includes it; each test that does has a loop of its own. */
#ifndef TESTS_UNIT_PATIENCE_H
#define TESTS_UNIT_PATIENCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <uv.h>

#define PATIENCE_MS 60000

static uv_loop_t loop;
static uv_timer_t alarm_timer;

static inline void patience_begin(void)
{
	uv_loop_init(&loop);
	uv_timer_init(&loop, &alarm_timer);
}

static inline void patience_ends(uv_timer_t *timer)
{
	fail_msg("waited in vain");
}

#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		uv_timer_start(&alarm_timer, patience_ends, PATIENCE_MS, 0);                       \
		while (!(condition))                                                               \
			uv_run(&loop, UV_RUN_ONCE);                                                \
		uv_timer_stop(&alarm_timer);                                                       \
	} while (0)

static inline void await(const bool *condition)
{
	AWAIT(*condition);
}

#endif
