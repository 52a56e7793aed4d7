/* How long a node may be silent and yet be well: by how often it says that it is to be heard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "fsm/membership.h"
#include "fsm/node.h"
#include "tests/unit/stage.h"

static int begin(void **state)
{
	static struct stage stage;
	stage_open(&stage);
	stage_node(&stage, 2, "hv2");
	stage_node(&stage, 3, "hv3");
	*state = &stage;
	return 0;
}

static int end(void **state)
{
	stage_close(*state);
	return 0;
}

static void say(struct stage *s, const char *key, const char *text)
{
	struct command command = {.number = COMMAND_fact};
	snprintf(command.fact.key, sizeof(command.fact.key), "%s", key);
	command.fact.value = (struct blob){(uint8_t *)text, (uint32_t)strlen(text)};
	assert_int_equal(stage_apply(s, &command, NULL), 0);
}

static void silence(struct stage *s, uint64_t ms)
{
	stage_tick(s, 0, ms, COLLECTOR_OK);
}

static int fence(struct stage *s, uint32_t node)
{
	struct command command = {
	    .number = COMMAND_node_fenced, .node_fenced = {.node = node, .by_hand = true}};
	return stage_apply(s, &command, NULL);
}

static int want(struct stage *s, uint32_t node)
{
	struct command command = {.number = COMMAND_primary_want, .primary_want.node = node};
	return stage_apply(s, &command, NULL);
}

static void a_node_that_is_seldom_heard_is_not_off_for_its_silence(void **state)
{
	struct stage *s = *state;
	say(s, "keepalive_interval/2", "10000");
	silence(s, 19999);
	assert_int_equal(fence(s, 2), -EBUSY);
	assert_int_equal(want(s, 2), 0);
	assert_int_equal(fence(s, 3), 0);
	silence(s, 2);
	assert_int_equal(want(s, 2), -EHOSTDOWN);
	assert_int_equal(fence(s, 2), 0);
}

static void an_interval_that_is_none_counts_as_the_usual_one(void **state)
{
	struct stage *s = *state;
	static const char *const texts[] = {"", "x", "-1", "1e9", "0"};
	const struct node *node = cluster_node(&s->cluster, 2);
	assert_int_equal(node_interval_ms(&s->cluster, node), NODE_INTERVAL_MS);
	for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		say(s, "keepalive_interval/2", texts[i]);
		assert_int_equal(node_interval_ms(&s->cluster, node), NODE_INTERVAL_MS);
	}
	say(s, "keepalive_interval/2", "99999999999999999999999999");
	assert_true(node_interval_ms(&s->cluster, node) > 300000);
	say(s, "keepalive_interval/2", "300000");
	assert_int_equal(node_interval_ms(&s->cluster, node), 300000);
}

static void a_node_that_leaves_takes_its_interval_with_it(void **state)
{
	struct stage *s = *state;
	struct command leave = {
	    .number = COMMAND_leave, .leave = {2, membership_mark(&s->cluster)}};
	say(s, "keepalive_interval/2", "10000");
	silence(s, 30000);
	assert_int_equal(stage_apply(s, &leave, NULL), 0);
	assert_null(cluster_fact(&s->cluster, "keepalive_interval/2"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(a_node_that_is_seldom_heard_is_not_off_for_its_silence),
	    TEST(an_interval_that_is_none_counts_as_the_usual_one),
	    TEST(a_node_that_leaves_takes_its_interval_with_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
