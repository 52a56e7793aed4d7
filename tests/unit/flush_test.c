/* Nodes are emptied and filled again, whatever comes in between. */
#include <errno.h>

#include "fsm/flush.h"
#include "fsm/vm_define.h"
#include "tests/unit/vms.h"

static struct vm *web, *db; /* run on hv1 */
static struct node *hv1;

static int begin(void **state)
{
	nodes_up(3);
	web = running("web", 1);
	db = running("db", 1);
	hv1 = cluster_node(&c, 1);
	return 0;
}

static int flush(uint32_t node)
{
	return APPLY(node_domain, .node = node, .domain = DOMAIN_FLUSH);
}

static int flush_hard(uint32_t node)
{
	return APPLY(node_domain, .node = node, .domain = DOMAIN_FLUSH, .shutdown = true);
}

static int ready(uint32_t node)
{
	return APPLY(node_domain, .node = node, .domain = DOMAIN_READY);
}

/* The others have no room. */
static void fill(void)
{
	for (uint32_t node = 2; node <= 3; node++) {
		char name[16];
		snprintf(name, sizeof(name), "big%u", node);
		struct command big = definition(name, node);
		big.vm_define.memory_mib = NODE_MIB - 1024;
		see(define(big), OBSERVED_SHUTOFF);
	}
}

static void arrive(struct vm *vm)
{
	assert_true(vm->target);
	assert_int_equal(migrated(vm), 0);
	see(vm, OBSERVED_RUNNING);
}

static void what_runs_moves_on_and_then_the_node_is_flushed(void **state)
{
	struct vm *off = define(definition("off", 1));
	see(off, OBSERVED_SHUTOFF);
	assert_int_equal(flush(1), 0);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSH);
	seconds(1);
	assert_int_equal(flush_left(&c, hv1), 2);
	assert_true(web->target && db->target);
	assert_int_equal(web->why, MOVE_FLUSH);
	arrive(web);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSH);
	arrive(db);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSHED);
	assert_int_equal(off->node, 1);
	assert_int_equal(web->home, 1);
	assert_int_equal(flush_left(&c, hv1), 0);
}

static void ready_brings_back_what_was_moved(void **state)
{
	flush(1);
	seconds(1);
	arrive(web);
	arrive(db);
	seconds(1);
	/* A person's own migration is his to end. */
	struct vm *own = running("own", 2);
	migrate(own, 3);
	arrive(own);
	ready(1);
	assert_int_equal(hv1->domain_state, DOMAIN_UNFLUSH);
	seconds(1);
	assert_int_equal(web->state, VM_UNMIGRATE);
	assert_int_equal(web->target, 1);
	assert_int_equal(flush_left(&c, hv1), 2);
	arrive(web);
	arrive(db);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_READY);
	assert_int_equal(web->node, 1);
	assert_int_equal(web->home, 0);
	assert_int_equal(own->node, 3);
}

static void what_was_stopped_meanwhile_comes_back_stopped(void **state)
{
	flush(1);
	seconds(1);
	arrive(web);
	arrive(db);
	want(web, VM_STOP);
	see(web, OBSERVED_SHUTOFF);
	seconds(1);
	ready(1);
	seconds(1);
	assert_int_equal(web->node, 1);
	assert_int_equal(web->state, VM_STOP);
}

static void without_room_it_stays_and_the_node_says_which(void **state)
{
	fill();
	flush(1);
	seconds(3);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSH);
	assert_string_equal(
	    hv1->domain_reason, "web: no node has room for it; db: no node has room for it");
	assert_int_equal(web->state, VM_START);
	/* As soon as there is some, it moves. */
	struct vm *big = cluster_vm_named(&c, "big2");
	assert_int_equal(APPLY(vm_undefine, .vm = big->id), 0);
	seconds(1);
	assert_int_equal(web->target, 2);
	assert_string_equal(hv1->domain_reason, "");
}

static void without_room_it_is_shut_down_as_asked_and_started_again(void **state)
{
	fill();
	flush_hard(1);
	seconds(1);
	assert_int_equal(web->state, VM_SHUTDOWN);
	assert_true(web->flushed_off);
	assert_string_equal(web->failed_reason, "no node has room for it");
	see(web, OBSERVED_SHUTOFF);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSH);
	see(db, OBSERVED_SHUTOFF);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSHED);
	/* Somebody wants this one to stay off. */
	want(db, VM_DISABLE);
	see(db, OBSERVED_SHUTOFF);
	ready(1);
	seconds(2);
	assert_int_equal(hv1->domain_state, DOMAIN_READY);
	assert_int_equal(web->state, VM_START);
	assert_int_equal(web->node, 1);
	assert_string_equal(web->failed_reason, "");
	assert_int_equal(db->state, VM_DISABLE);
}

static void nobody_is_shut_down_for_who_is_just_silent(void **state)
{
	fill();
	APPLY(vm_undefine, .vm = cluster_vm_named(&c, "big2")->id);
	for (unsigned i = 0; i < 12; i++)
		keepalive(1, NULL, 0);
	flush_hard(1);
	for (unsigned i = 0; i < 3; i++)
		keepalive(1, NULL, 0);
	assert_int_equal(web->state, VM_MIGRATE);
	assert_false(web->flushed_off);
	seconds(1);
	assert_int_equal(web->target, 2);
}

static void what_is_not_to_be_moved_is_named_or_shut_down(void **state)
{
	APPLY(vm_meta, .vm = web->id, .given = 2, .method = MIGRATION_NONE);
	flush(1);
	seconds(1);
	assert_string_equal(hv1->domain_reason, "web: its migration method is none");
	flush_hard(1);
	seconds(1);
	assert_int_equal(web->state, VM_SHUTDOWN);
}

static void the_most_important_leave_first(void **state)
{
	struct vm *more[4];
	for (unsigned i = 0; i < 4; i++) {
		char name[16];
		snprintf(name, sizeof(name), "vm%u", i);
		more[i] = running(name, 1);
		APPLY(vm_meta, .vm = more[i]->id, .given = 8, .priority = i + 1);
	}
	flush(1);
	seconds(1);
	for (unsigned i = 0; i < 4; i++)
		assert_true(more[i]->target);
	assert_false(web->target || db->target);
	arrive(more[0]);
	assert_true(web->target);
	assert_false(db->target);
}

static void ready_while_it_is_flushed_calls_it_off(void **state)
{
	flush(1);
	seconds(1);
	arrive(web);
	assert_true(db->target);
	ready(1);
	assert_true(db->abort);
	migration_failed(db);
	assert_int_equal(db->state, VM_START);
	seconds(1);
	assert_int_equal(db->node, 1);
	assert_int_equal(db->target, 0);
	assert_int_equal(web->target, 1);
	arrive(web);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_READY);
}

static void flush_while_it_gets_ready_calls_it_off(void **state)
{
	flush(1);
	seconds(1);
	arrive(web);
	arrive(db);
	seconds(1);
	ready(1);
	seconds(1);
	arrive(web);
	assert_int_equal(db->target, 1);
	flush(1);
	assert_true(db->abort);
	migration_failed(db);
	seconds(1);
	assert_true(web->target > 1);
	arrive(web);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSHED);
	assert_true(db->node > 1);
}

static void what_cannot_come_back_does_not_hold_up_ready(void **state)
{
	flush(1);
	seconds(1);
	arrive(web);
	arrive(db);
	APPLY(vm_meta, .vm = web->id, .given = 2, .method = MIGRATION_NONE);
	ready(1);
	seconds(1);
	arrive(db);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_READY);
	assert_true(web->node > 1);
	assert_int_equal(web->home, 1);
	assert_int_equal(web->why, MOVE_MIGRATE);
}

static void who_may_not_come_back_any_more_does_not_hold_up_ready(void **state)
{
	flush(1);
	seconds(1);
	arrive(web);
	arrive(db);
	ready(1);
	seconds(1);
	migration_failed(web);
	struct node_ref others[] = {{2}, {3}};
	struct command meta = {.number = COMMAND_vm_meta};
	meta.vm_meta.vm = web->id;
	meta.vm_meta.given = VM_META_LIMIT;
	meta.vm_meta.limit.items = others;
	meta.vm_meta.limit.count = 2;
	assert_int_equal(apply(meta), 0);
	arrive(db);
	seconds(5);
	assert_int_equal(hv1->domain_state, DOMAIN_READY);
	assert_int_equal(web->state, VM_START);
	assert_int_equal(web->why, MOVE_MIGRATE);
}

/* A person did that, and only a person can end it. */
static void who_is_paused_does_not_hold_up_ready(void **state)
{
	flush(1);
	seconds(1);
	arrive(web);
	arrive(db);
	see(web, OBSERVED_PAUSED);
	ready(1);
	seconds(1);
	arrive(db);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_READY);
	assert_int_equal(web->state, VM_START);
}

static void ready_waits_until_the_node_is_up(void **state)
{
	flush(1);
	seconds(1);
	arrive(web);
	arrive(db);
	assert_int_equal(APPLY(node_state, .node = 1, .state = DAEMON_STOP), 0);
	ready(1);
	seconds(3);
	assert_int_equal(hv1->domain_state, DOMAIN_UNFLUSH);
	node_up(1);
	seconds(1);
	assert_int_equal(web->target, 1);
	arrive(web);
	arrive(db);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_READY);
}

static void what_failed_to_leave_is_tried_again_later(void **state)
{
	flush(1);
	seconds(1);
	want(web, VM_START);
	migration_failed(web);
	seconds(1);
	assert_int_equal(web->state, VM_START);
	assert_string_equal(hv1->domain_reason, "web: the migration was aborted");
	seconds(30);
	assert_true(web->target);
	assert_string_equal(hv1->domain_reason, "");
}

static void nothing_new_is_placed_on_a_node_that_is_flushed(void **state)
{
	flush(1);
	struct command command = definition("new", 1);
	assert_int_equal(apply(command), -EHOSTDOWN);
	assert_string_equal(err.text, "hv1 is flush, not ready");
	/* And who is off there starts elsewhere. */
	want(web, VM_STOP);
	see(web, OBSERVED_SHUTOFF);
	want(web, VM_START);
	assert_true(web->node > 1);
}

static void a_node_that_is_lost_while_it_is_flushed_is_flushed(void **state)
{
	flush(1);
	seconds(1);
	fence(1);
	seconds(1);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSHED);
	assert_true(web->node > 1 && db->node > 1);
	assert_int_equal(web->state, VM_START);
}

static void only_flush_and_ready_are_asked_for(void **state)
{
	assert_int_equal(APPLY(node_domain, .node = 1, .domain = DOMAIN_FLUSHED), -EINVAL);
	assert_int_equal(APPLY(node_domain, .node = 9, .domain = DOMAIN_FLUSH), -ENOENT);
	assert_int_equal(ready(1), 0);
	assert_int_equal(hv1->domain_state, DOMAIN_READY);
	flush(1);
	assert_int_equal(flush(1), 0);
	assert_int_equal(hv1->domain_state, DOMAIN_FLUSH);
}

static void many_names_do_not_burst_what_a_node_says(void **state)
{
	for (unsigned i = 0; i < 5; i++) {
		char name[64];
		snprintf(name, sizeof(name),
		    "a-long-name-of-a-machine-that-says-nothing-%u-\xc3\xa4", i);
		APPLY(vm_meta, .vm = running(name, 1)->id, .given = 2, .method = MIGRATION_NONE);
	}
	flush(1);
	seconds(1);
	assert_int_equal(strlen(hv1->domain_reason), sizeof(hv1->domain_reason) - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, value_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_runs_moves_on_and_then_the_node_is_flushed),
	    TEST(ready_brings_back_what_was_moved),
	    TEST(what_was_stopped_meanwhile_comes_back_stopped),
	    TEST(without_room_it_stays_and_the_node_says_which),
	    TEST(without_room_it_is_shut_down_as_asked_and_started_again),
	    TEST(nobody_is_shut_down_for_who_is_just_silent),
	    TEST(what_is_not_to_be_moved_is_named_or_shut_down),
	    TEST(the_most_important_leave_first),
	    TEST(ready_while_it_is_flushed_calls_it_off),
	    TEST(flush_while_it_gets_ready_calls_it_off),
	    TEST(what_cannot_come_back_does_not_hold_up_ready),
	    TEST(who_may_not_come_back_any_more_does_not_hold_up_ready),
	    TEST(who_is_paused_does_not_hold_up_ready),
	    TEST(ready_waits_until_the_node_is_up),
	    TEST(what_failed_to_leave_is_tried_again_later),
	    TEST(nothing_new_is_placed_on_a_node_that_is_flushed),
	    TEST(a_node_that_is_lost_while_it_is_flushed_is_flushed),
	    TEST(only_flush_and_ready_are_asked_for),
	    TEST(many_names_do_not_burst_what_a_node_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
