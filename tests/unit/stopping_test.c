/* What a node waits for before it ends, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "fsm/history.h"
#include "node/stopping.h"
#include "tests/unit/stage.h"

static struct stage stage; /* of hv1, which stops, and hv2 */
static struct stopping stopping;
static struct stopping_view view;

static int begin(void **state)
{
	stage_open(&stage);
	stage_node(&stage, 2, "hv2");
	stage_primary(&stage, 2, 8);
	struct command define = {
	    .number = COMMAND_vm_define, .vm_define = {.memory_mib = 512, .vcpus = 1, .node = 1}};
	snprintf(define.vm_define.name, sizeof(define.vm_define.name), "web1");
	memcpy(define.vm_define.uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", 37);
	assert_int_equal(stage_apply(&stage, &define, NULL), 1);
	struct command relinquished = {
	    .number = COMMAND_relinquished, .relinquished = {.node = 1, .epoch = 8}};
	assert_int_equal(stage_apply(&stage, &relinquished, NULL), 0);
	stopping = (struct stopping){0};
	view = (struct stopping_view){
	    .cluster = &stage.cluster, .node = 1, .now_ms = 1000, .follower = true, .gone = true};
	return 0;
}

static int end(void **state)
{
	stage_close(&stage);
	return 0;
}

static struct vm *web1(void)
{
	return cluster_vm(&stage.cluster, 1);
}

/* Time passes, and the log says what this node wants it to, if it is heard. */
static void pass(uint64_t ms)
{
	view.now_ms += ms;
	struct command say = {.number = COMMAND_node_state,
	    .node_state = {.node = 1, .state = stopping_says(&stopping)}};
	if (say.node_state.state != DAEMON_INIT)
		stage_apply(&stage, &say, NULL);
	stopping_turn(&stopping, &view);
}

static void assert_awaits(const char *expected)
{
	char text[STOPPING_TEXT_MAX];
	stopping_awaits(&stopping, &view, text);
	assert_string_equal(text, expected);
}

static void a_node_that_is_not_asked_goes_on(void **state)
{
	pass(100000);
	assert_int_equal(stopping.step, STOPPING_NOT);
	assert_int_equal(stopping_says(&stopping), DAEMON_INIT);
	assert_false(stopping_hands_on(&stopping) || stopping_lets_go(&stopping, &view));
	assert_awaits("");
}

static void one_that_has_nothing_to_do_ends_at_once(void **state)
{
	stopping_ask(&stopping, view.now_ms);
	assert_int_equal(stopping_says(&stopping), DAEMON_SHUTDOWN);
	assert_awaits("the log is to say so");
	for (unsigned i = 0; i < 4; i++)
		pass(0);
	assert_int_equal(stopping.step, STOPPING_DONE);
	assert_int_equal(cluster_node(&stage.cluster, 1)->daemon_state, DAEMON_STOP);
}

static void a_vm_that_goes_is_waited_for_however_long_it_takes(void **state)
{
	web1()->target = 2;
	stopping_ask(&stopping, view.now_ms);
	pass(0);
	pass(3600000);
	assert_int_equal(stopping.step, STOPPING_ENDING);
	assert_awaits("web1 is on its way to another node");
	assert_false(stopping_hands_on(&stopping));
	web1()->target = 0;
	web1()->node = 2;
	pass(0);
	assert_int_equal(stopping.step, STOPPING_HANDING);
	assert_true(stopping_hands_on(&stopping));
}

/* It does nothing any more, and by its value nobody else does either. */
static void one_whose_value_is_wrong_waits_for_no_vm(void **state)
{
	web1()->target = 2;
	history_outvoted(&stage.cluster, 1);
	stopping_ask(&stopping, view.now_ms);
	pass(1);
	assert_true(stopping.step >= STOPPING_ENDING);
	pass(1);
	assert_true(stopping.step > STOPPING_ENDING);
	web1()->target = 0;
}

static void a_vm_that_comes_is_waited_for_until_it_runs(void **state)
{
	web1()->node = 2;
	web1()->target = 1;
	stopping_ask(&stopping, view.now_ms);
	pass(0);
	pass(60000);
	assert_awaits("web1 is on its way here");
	web1()->node = 1;
	web1()->target = 0;
	web1()->arrived = true;
	pass(60000);
	assert_awaits("web1 is on its way here");
	web1()->arrived = false;
	pass(0);
	assert_int_equal(stopping.step, STOPPING_HANDING);
}

static void nobody_waits_for_a_vm_that_is_sent_by_a_node_that_is_not_there(void **state)
{
	web1()->node = 2;
	web1()->target = 1;
	stage_tick(&stage, 1, 60000, COLLECTOR_OK);
	stopping_ask(&stopping, view.now_ms);
	pass(0);
	pass(0);
	assert_int_equal(stopping.step, STOPPING_HANDING);
}

/* It is to be shut down there, and started here: by then this node says that it is not up. */
static void nobody_waits_for_a_vm_that_is_to_be_started_here(void **state)
{
	web1()->node = 2;
	web1()->target = 1;
	web1()->by = MIGRATION_SHUTDOWN;
	stopping_ask(&stopping, view.now_ms);
	pass(0);
	pass(0);
	assert_int_equal(stopping.step, STOPPING_HANDING);
}

static void in_a_hurry_no_vm_is_waited_for(void **state)
{
	web1()->target = 2;
	view.busy = true;
	stopping_ask(&stopping, view.now_ms);
	pass(0);
	pass(0);
	assert_int_equal(stopping.step, STOPPING_ENDING);
	stopping_ask(&stopping, view.now_ms);
	pass(0);
	assert_int_equal(stopping.step, STOPPING_HANDING);
	/* But for what is held here. */
	view.gone = false;
	pass(0);
	assert_int_equal(stopping.step, STOPPING_HANDING);
	assert_awaits("the primary's addresses and services are to be off");
}

static void the_lead_is_waited_for_and_not_for_ever(void **state)
{
	view.leads = true;
	view.gone = false;
	view.busy = true;
	stopping_ask(&stopping, view.now_ms);
	pass(0);
	/* The time that something else takes does not count. */
	pass(2 * STOPPING_WORD_MS);
	view.busy = false;
	pass(0);
	assert_awaits("another node is to lead");
	assert_false(stopping_lets_go(&stopping, &view));
	pass(STOPPING_WORD_MS);
	assert_true(stopping_lets_go(&stopping, &view));
	assert_awaits("the primary's addresses and services are to be off");
	pass(120000);
	assert_int_equal(stopping.step, STOPPING_HANDING);
	view.gone = true;
	pass(0);
	pass(0);
	assert_int_equal(stopping.step, STOPPING_DONE);
}

static void a_voter_alone_lets_go_at_once(void **state)
{
	view.leads = true;
	view.follower = false;
	stopping_ask(&stopping, view.now_ms);
	assert_false(stopping_lets_go(&stopping, &view));
	pass(0);
	pass(0);
	assert_true(stopping_lets_go(&stopping, &view));
}

static void a_log_that_cannot_be_told_is_not_waited_for_long(void **state)
{
	web1()->target = 2;
	stopping_ask(&stopping, view.now_ms);
	for (unsigned i = 0; i < 3; i++) {
		view.now_ms += STOPPING_WORD_MS - 1;
		stopping_turn(&stopping, &view);
		assert_int_equal(stopping.step, STOPPING_SAYING);
		view.now_ms -= STOPPING_WORD_MS - 1;
	}
	view.lost = true;
	for (unsigned i = 0; i < 4; i++)
		stopping_turn(&stopping, &view);
	assert_int_equal(stopping.step, STOPPING_DONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_node_that_is_not_asked_goes_on),
	    TEST(one_that_has_nothing_to_do_ends_at_once),
	    TEST(a_vm_that_goes_is_waited_for_however_long_it_takes),
	    TEST(one_whose_value_is_wrong_waits_for_no_vm),
	    TEST(a_vm_that_comes_is_waited_for_until_it_runs),
	    TEST(nobody_waits_for_a_vm_that_is_sent_by_a_node_that_is_not_there),
	    TEST(nobody_waits_for_a_vm_that_is_to_be_started_here),
	    TEST(in_a_hurry_no_vm_is_waited_for),
	    TEST(the_lead_is_waited_for_and_not_for_ever),
	    TEST(a_voter_alone_lets_go_at_once),
	    TEST(a_log_that_cannot_be_told_is_not_waited_for_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
