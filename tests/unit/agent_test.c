/* What goes out with a keepalive: on its timer, whatever the collectors do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "fsm/node.h"
#include "node/agent.h"

#define INTERVAL_MS 2000

static struct agent agent;
static struct cluster c;
static struct standing standing;
static struct keepalive said;
static bool told; /* said is one */

static int open_agent(void **state)
{
	cluster_init(&c);
	agent_init(
	    &agent, &(struct agent_options){
			.node = 2, .keepalive_interval_ms = INTERVAL_MS, .hypervisor = true});
	standing = (struct standing){.id = 2, .current = true, .term = 1, .leader_id = 1};
	told = false;
	return 0;
}

static int close_agent(void **state)
{
	if (told)
		record_clear(keepalive_record(), &said);
	agent_close(&agent);
	cluster_close(&c);
	return 0;
}

/* A turn at that time. Returns whether a keepalive goes out, which is then said. */
static bool turn(uint64_t now_ms)
{
	struct agent_turn turn;
	const struct holding holding = {.addresses_gone = true, .services_gone = true};
	agent_turn(&agent, &c, &standing, &holding, now_ms, &turn);
	bool sent = turn.keepalive.size > 0;
	if (sent) {
		struct reader in = reader_of(turn.keepalive.data, turn.keepalive.size);
		if (told)
			record_clear(keepalive_record(), &said);
		assert_int_equal(reader_u8(&in), AGENT_KEEPALIVE_MARK);
		assert_int_equal(record_decode(keepalive_record(), &in, &said), 0);
		told = true;
	}
	agent_turn_close(&turn);
	return sent;
}

static void it_goes_out_on_its_timer(void **state)
{
	assert_true(turn(10000));
	assert_false(turn(11999));
	assert_int_equal(agent_next_ms(&agent, 11900), 12000);
	assert_true(turn(12000));
	assert_false(turn(12001));
}

static void a_stuck_collector_changes_nothing_but_its_age(void **state)
{
	agent_collected(&agent, "pool", COLLECTOR_OK, "", 9900);
	assert_true(turn(10000));
	assert_int_equal(said.collectors.items[0].age_ms, 100);
	for (uint64_t now_ms = 12000; now_ms <= 70000; now_ms += INTERVAL_MS) {
		agent_collected(&agent, "pool", COLLECTOR_STUCK, "exceeded 1.8 s, killed", now_ms);
		agent_counted(&agent, "pool", now_ms / INTERVAL_MS);
		assert_true(turn(now_ms));
		const struct collector *pool = said.collectors.items;
		assert_int_equal(pool->state, COLLECTOR_STUCK);
		assert_int_equal(pool->age_ms, now_ms - 9900);
		assert_int_equal(pool->kills, now_ms / INTERVAL_MS);
		assert_string_equal(pool->message, "exceeded 1.8 s, killed");
	}
	assert_int_equal(said.late_ms, 0);
}

static void values_that_never_came_have_no_age(void **state)
{
	agent_collected(&agent, "pool", COLLECTOR_FAILED, "no keyring", 9900);
	assert_true(turn(10000));
	assert_true(said.collectors.items[0].age_ms == NODE_AGE_NEVER);
}

static void it_says_how_late_the_latest_was(void **state)
{
	assert_true(turn(10000));
	assert_true(turn(12030));
	assert_int_equal(said.late_ms, 30);
	assert_true(turn(14030 + 700));
	assert_int_equal(said.late_ms, 700);
	assert_true(turn(16730 + 5));
	assert_int_equal(said.late_ms, 700);
}

static void to_wait_for_a_leader_is_not_to_be_late(void **state)
{
	assert_true(turn(10000));
	standing.leader_id = 0;
	assert_false(turn(12000));
	assert_false(turn(15000));
	standing.leader_id = 3;
	assert_true(turn(17000));
	assert_int_equal(said.late_ms, 0);
	/* From then on it counts again. */
	assert_true(turn(19010));
	assert_int_equal(said.late_ms, 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_agent, close_agent)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(it_goes_out_on_its_timer),
	    TEST(a_stuck_collector_changes_nothing_but_its_age),
	    TEST(values_that_never_came_have_no_age),
	    TEST(it_says_how_late_the_latest_was),
	    TEST(to_wait_for_a_leader_is_not_to_be_late),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
