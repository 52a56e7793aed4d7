/* When a collector is asked, what it is taken for, and what is said of that. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/worker/collector.h"
#include "node/log/log.h"

static struct agent agent;
static struct collector_watch w;
static uint64_t logged; /* up to here the log was read */

static int open_watch(void **state)
{
	struct buffer passed = {0};
	agent_init(&agent, &(struct agent_options){.node = 1, .hypervisor = true});
	collector_open(
	    &w, &(struct collector_options){.name = "pool", .agent = &agent, .every_ms = 2000});
	logged = log_after(logged, 1000, &passed);
	buffer_close(&passed);
	return 0;
}

static int close_watch(void **state)
{
	agent_close(&agent);
	return 0;
}

/* Ask at now_ms and be answered took_ms later. */
static void ask(uint64_t now_ms, unsigned took_ms, const struct collector_answer *answer)
{
	collector_begin(&w, now_ms);
	collector_end(&w, answer, now_ms + took_ms);
}

static const struct collector_answer good = {.text = ""};

static struct collector_answer killed(uint64_t kills)
{
	return (struct collector_answer){.status = -ETIMEDOUT,
	    .text = "the pool worker (pid 4711) did not answer within 1800 ms and was killed",
	    .kills = kills};
}

static void assert_logged(const char *lines)
{
	const size_t date = strlen("2026/11/22 14:18:54.123456 ");
	struct buffer said = {0}, plain = {0};
	logged = log_after(logged, 1000, &said);
	buffer_append_u8(&said, 0);
	/* "PROMPT: DATE TEXT": the same but for the date. */
	for (char *at = (char *)said.data, *end; (end = strchr(at, '\n')); at = end + 1) {
		size_t prompt = strcspn(at, " ") + 1;
		buffer_append(&plain, at, prompt);
		at += prompt + date;
		buffer_append(&plain, at, (size_t)(end - at) + 1);
	}
	buffer_append_u8(&plain, 0);
	assert_string_equal((const char *)plain.data, lines);
	buffer_close(&plain);
	buffer_close(&said);
}

static void the_deadline_is_before_the_next_keepalive_and_half_a_second_at_least(void **state)
{
	assert_int_equal(collector_deadline_ms(2000), 1800);
	assert_int_equal(collector_deadline_ms(5000), 4800);
	assert_int_equal(collector_deadline_ms(1000), 800);
	assert_int_equal(collector_deadline_ms(700), 500);
	assert_int_equal(collector_deadline_ms(300), 500);
	assert_int_equal(collector_begin(&w, 10), 1800);
}

static void it_is_asked_once_an_interval_and_never_twice_at_a_time(void **state)
{
	assert_int_equal(collector_due_ms(&w), 0);
	collector_begin(&w, 10000);
	assert_int_equal(collector_due_ms(&w), UINT64_MAX);
	collector_end(&w, &good, 10003);
	assert_int_equal(collector_due_ms(&w), 12000);
}

static void what_may_have_changed_is_asked_at_once(void **state)
{
	ask(10000, 3, &good);
	collector_hasten(&w);
	assert_int_equal(collector_due_ms(&w), 0);
	/* Also when the answer under way may be of before the change. */
	collector_begin(&w, 10010);
	collector_hasten(&w);
	assert_int_equal(collector_due_ms(&w), UINT64_MAX);
	collector_end(&w, &good, 10012);
	assert_int_equal(collector_due_ms(&w), 0);
}

static void one_that_was_late_is_left_alone_if_so_wanted(void **state)
{
	struct collector_answer late = killed(1);
	w.options.pause_ms = 10000;
	ask(10000, 1800, &late);
	assert_int_equal(collector_due_ms(&w), 21800);
	collector_hasten(&w);
	assert_int_equal(collector_due_ms(&w), 21800);
	ask(21800, 3, &good);
	assert_int_equal(collector_due_ms(&w), 23800);
	/* One that fails at once holds nobody up. */
	ask(23800, 1, &(struct collector_answer){.status = -ECONNREFUSED, .text = "refused"});
	assert_int_equal(collector_due_ms(&w), 25800);
}

static void the_log_has_one_line_per_change(void **state)
{
	struct collector_answer late = killed(1), later = killed(2);
	ask(10000, 3, &good);
	assert_logged("ok: pool collector answers\n");
	ask(12000, 3, &good);
	assert_logged("");
	ask(14000, 1800, &late);
	ask(16000, 1800, &later);
	assert_logged("warning: pool collector exceeded 1.8 s, killed; "
		      "last values are 3 s old\n");
	ask(18000, 1, &(struct collector_answer){.status = -EPIPE, .text = "gone", .kills = 2});
	ask(20000, 1, &(struct collector_answer){.status = -EPIPE, .text = "gone", .kills = 2});
	assert_logged("warning: pool collector: gone; last values are 5 s old\n");
	ask(22000, 3, &(struct collector_answer){.text = "", .kills = 2});
	assert_logged("ok: pool collector answers again\n");
}

static void one_that_never_answered_has_no_values(void **state)
{
	struct collector_answer late = killed(1);
	ask(10000, 1800, &late);
	assert_logged("warning: pool collector exceeded 1.8 s, killed; it has no values yet\n");
}

static void what_waited_in_vain_for_a_worker_was_not_killed(void **state)
{
	struct collector_answer late = killed(3);
	ask(10000, 3, &(struct collector_answer){.text = "", .kills = 3});
	late.text = "no answer within 1800 ms: it died";
	ask(12000, 1800, &late);
	assert_logged("ok: pool collector answers\n"
		      "warning: pool collector: no answer within 1800 ms: it died; "
		      "last values are 3 s old\n");
	assert_int_equal(w.state, COLLECTOR_STUCK);
}

static void what_is_held_up_for_long_is_stuck(void **state)
{
	const char *why = "waits for a start";
	assert_true(collector_held_up(&w, why, 9000) == UINT64_MAX);
	ask(10000, 20, &good);
	uint64_t late_ms = 10020 + 2000 + COLLECTOR_HELD_UP_MS;
	assert_int_equal(collector_held_up(&w, why, 11000), late_ms);
	assert_int_equal(agent.collectors[0].state, COLLECTOR_OK);
	assert_true(collector_held_up(&w, why, late_ms) == UINT64_MAX);
	assert_int_equal(agent.collectors[0].state, COLLECTOR_STUCK);
	assert_string_equal(agent.collectors[0].message, why);
	assert_int_equal(agent.collectors[0].age_ms, 10020);
	ask(late_ms + 100, 20, &good);
	assert_int_equal(agent.collectors[0].state, COLLECTOR_OK);
}

static void the_agent_is_told_of_states_ages_and_kills(void **state)
{
	const struct collector *told = &agent.collectors[0];
	struct collector_answer late = killed(5);
	ask(10000, 3, &good);
	assert_int_equal(agent.collector_count, 1);
	assert_string_equal(told->name, "pool");
	assert_int_equal(told->state, COLLECTOR_OK);
	assert_int_equal(told->age_ms, 10003);
	assert_int_equal(told->kills, 0);
	ask(12000, 1800, &late);
	assert_int_equal(told->state, COLLECTOR_STUCK);
	assert_string_equal(told->message, "exceeded 1.8 s, killed");
	assert_int_equal(told->age_ms, 10003);
	assert_int_equal(told->kills, 5);
	ask(14000, 1, &(struct collector_answer){.status = -EPROTO, .text = "odd", .kills = 6});
	assert_int_equal(told->state, COLLECTOR_FAILED);
	assert_string_equal(told->message, "odd");
	assert_int_equal(told->kills, 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_watch, close_watch)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_deadline_is_before_the_next_keepalive_and_half_a_second_at_least),
	    TEST(it_is_asked_once_an_interval_and_never_twice_at_a_time),
	    TEST(what_may_have_changed_is_asked_at_once),
	    TEST(one_that_was_late_is_left_alone_if_so_wanted),
	    TEST(the_log_has_one_line_per_change),
	    TEST(one_that_never_answered_has_no_values),
	    TEST(what_waited_in_vain_for_a_worker_was_not_killed),
	    TEST(what_is_held_up_for_long_is_stuck),
	    TEST(the_agent_is_told_of_states_ages_and_kills),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
