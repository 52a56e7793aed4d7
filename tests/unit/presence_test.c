/* What a node may say of itself, and what follows from its silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "fsm/node.h"
#include "fsm/place.h"
#include "fsm/primary.h"
#include "tests/unit/stage.h"

static int begin(void **state)
{
	static struct stage stage;
	stage_open(&stage);
	stage_node(&stage, 2, "hv2");
	*state = &stage;
	return 0;
}

static int end(void **state)
{
	stage_close(*state);
	return 0;
}

static int define(struct stage *s, unsigned n, uint32_t node)
{
	struct command command = {.number = COMMAND_vm_define,
	    .vm_define = {.memory_mib = 512, .vcpus = 1, .node = node}};
	struct command_vm_define *vm = &command.vm_define;
	snprintf(vm->name, sizeof(vm->name), "vm%u", n);
	snprintf(vm->uuid, sizeof(vm->uuid), "00000000-0000-4000-8000-%012u", n);
	return stage_apply(s, &command, NULL);
}

static int say(struct stage *s, uint32_t node, enum daemon_state daemon_state)
{
	struct command command = {
	    .number = COMMAND_node_state, .node_state = {.node = node, .state = daemon_state}};
	return stage_apply(s, &command, NULL);
}

static void a_new_daemon_does_not_run_before_it_says_so(void **state)
{
	struct stage *s = *state;
	struct command hello = {
	    .number = COMMAND_node_hello, .node_hello = {.node = 2, .hypervisor = true}};
	assert_int_equal(cluster_node(&s->cluster, 2)->daemon_state, DAEMON_RUN);
	assert_int_equal(stage_apply(s, &hello, NULL), 0);
	assert_int_equal(cluster_node(&s->cluster, 2)->daemon_state, DAEMON_INIT);
	assert_int_equal(define(s, 1, 2), -EHOSTDOWN);
	assert_int_equal(say(s, 2, DAEMON_RUN), 0);
	assert_true(define(s, 1, 2) > 0);
}

/* It would be a fence without a proof, and without what follows from one. */
static void a_node_does_not_say_of_itself_that_it_is_off(void **state)
{
	struct stage *s = *state;
	assert_int_equal(say(s, 2, DAEMON_FENCED), -EINVAL);
	assert_int_equal(say(s, 2, DAEMON_DEAD), -EINVAL);
	assert_int_equal(cluster_node(&s->cluster, 2)->daemon_state, DAEMON_RUN);
	assert_int_equal(say(s, 2, DAEMON_STOP), 0);
}

/* Whoever comes after it would wait for its word until the lease is over. */
static void a_primary_that_is_fenced_has_let_go(void **state)
{
	struct stage *s = *state;
	struct command takeover = {.number = COMMAND_takeover, .takeover = {.node = 2, .epoch = 8}};
	struct command fence = {
	    .number = COMMAND_node_fenced, .node_fenced = {.node = 1, .by_hand = true}};
	assert_int_equal(stage_apply(s, &takeover, NULL), 0);
	const struct node *old = cluster_node(&s->cluster, 1);
	assert_int_equal(old->coordinator_state, COORDINATOR_RELINQUISH);
	assert_false(primary_may_begin(&s->cluster, 2));
	stage_tick(s, 2, 60000, COLLECTOR_OK);
	assert_int_equal(stage_apply(s, &fence, NULL), 0);
	assert_int_equal(old->coordinator_state, COORDINATOR_SECONDARY);
	assert_true(primary_may_begin(&s->cluster, 2));
}

static void nothing_is_placed_on_a_node_that_is_silent(void **state)
{
	struct stage *s = *state;
	stage_tick(s, 1, PLACE_FRESH_MS + 1, COLLECTOR_OK);
	assert_int_equal(define(s, 1, 2), -EHOSTDOWN);
	for (unsigned n = 2; n <= 4; n++) {
		int id = define(s, n, 0);
		assert_true(id > 0);
		assert_int_equal(cluster_vm(&s->cluster, (uint32_t)id)->node, 1);
	}
	stage_tick(s, 2, 0, COLLECTOR_OK);
	assert_true(define(s, 1, 2) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_new_daemon_does_not_run_before_it_says_so),
	    TEST(a_node_does_not_say_of_itself_that_it_is_off),
	    TEST(a_primary_that_is_fenced_has_let_go),
	    TEST(nothing_is_placed_on_a_node_that_is_silent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
