/* Where a VM would go, and what has no room when a node is lost, as people ask for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "fsm/place.h"
#include "node/operation/operation_turn.h"
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

/* Each node has 8192 MiB, of which 7680 can be promised. */
static struct vm *define(struct stage *s, unsigned n, uint32_t node, uint64_t memory_mib)
{
	struct command command = {.number = COMMAND_vm_define,
	    .vm_define = {.memory_mib = memory_mib, .vcpus = 1, .node = node}};
	struct command_vm_define *vm = &command.vm_define;
	snprintf(vm->name, sizeof(vm->name), "web%u", n);
	snprintf(vm->uuid, sizeof(vm->uuid), "00000000-0000-4000-8000-%012u", n);
	int id = stage_apply(s, &command, NULL);
	assert_true(id > 0);
	return cluster_vm(&s->cluster, (uint32_t)id);
}

static void start(struct stage *s, const struct vm *vm)
{
	struct command command = {
	    .number = COMMAND_vm_state, .vm_state = {.vm = vm->id, .state = VM_START}};
	assert_int_equal(stage_apply(s, &command, NULL), 0);
}

static struct stage_answer ask(struct stage *s, const char *line)
{
	struct stage_answer a = {0};
	struct operation_call call;
	struct err err = {""};
	char copy[256];
	const char *words[16];
	unsigned n = 0;
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *at = copy, *word; n < 16 && (word = strsep(&at, " "));)
		words[n++] = word;
	if (operation_parse(words, n, &call, &err))
		fail_msg("%s: %s", line, err.text);
	operation_run(&s->context, &call, stage_done, &a);
	operation_call_close(&call);
	assert_true(a.done);
	return a;
}

/* Of the list in the answer, what the nth has. */
static const char *text_of(const json_t *answer, const char *list, size_t n, const char *name)
{
	const json_t *row = json_array_get(json_object_get(answer, list), n);
	return json_string_value(json_object_get(row, name));
}

static const char *message_of(const json_t *answer)
{
	return json_string_value(json_object_get(answer, "message"));
}

static void a_vm_s_place_is_told_with_the_reason(void **state)
{
	struct stage *s = *state;
	define(s, 1, 1, 1024);
	define(s, 2, 2, 1024);
	struct stage_answer a = ask(s, "vm place web1");
	assert_int_equal(a.status, 0);
	assert_string_equal(message_of(a.result), "web1 would go to hv3: 7168 MiB free (memfree)");
	assert_null(json_object_get(a.result, "nodes"));
	json_decref(a.result);
}

static void an_explanation_says_of_each_node_what_became_of_it(void **state)
{
	struct stage *s = *state;
	define(s, 1, 1, 1024);
	define(s, 2, 2, 7680);
	struct stage_answer a = ask(s, "vm place web1 --explain");
	assert_string_equal(json_string_value(json_object_get(a.result, "node")), "hv3");
	assert_int_equal(json_array_size(json_object_get(a.result, "nodes")), 3);
	assert_string_equal(text_of(a.result, "nodes", 0, "rule"), "other");
	assert_string_equal(text_of(a.result, "nodes", 1, "rule"), "room");
	assert_string_equal(text_of(a.result, "nodes", 1, "result"), "fell");
	assert_string_equal(
	    text_of(a.result, "nodes", 1, "reason"), "hv2 can promise 0 MiB more, web1 needs 1024");
	assert_string_equal(text_of(a.result, "nodes", 2, "result"), "chosen");
	assert_int_equal(json_array_size(json_object_get(a.result, "steps")), PLACE_BEST);
	json_decref(a.result);
}

static void a_vm_without_room_elsewhere_is_told_so(void **state)
{
	struct stage *s = *state;
	define(s, 1, 1, 1024);
	define(s, 2, 2, 7680);
	define(s, 3, 3, 7680);
	struct stage_answer a = ask(s, "vm place web1");
	assert_true(json_is_null(json_object_get(a.result, "node")));
	assert_string_equal(message_of(a.result), "no other node has room for web1");
	json_decref(a.result);
}

static const char *tolerance(struct stage *s, struct stage_answer *a, int *failures)
{
	*a = ask(s, "status");
	const json_t *t = json_object_get(a->result, "tolerance");
	*failures = (int)json_integer_value(json_object_get(t, "host_failures"));
	return message_of(t);
}

static void status_says_whether_a_host_may_fail(void **state)
{
	struct stage *s = *state;
	struct stage_answer a;
	int failures;
	start(s, define(s, 1, 1, 7680));
	assert_string_equal(tolerance(s, &a, &failures), "");
	assert_int_equal(failures, 1);
	json_decref(a.result);
	define(s, 2, 2, 1024);
	define(s, 3, 3, 1024);
	assert_string_equal(tolerance(s, &a, &failures), "without hv1 web1 (7680 MiB) has no room");
	assert_int_equal(failures, 0);
	const json_t *t = json_object_get(a.result, "tolerance");
	assert_string_equal(text_of(t, "losses", 0, "node"), "hv1");
	json_decref(a.result);
}

static void status_says_which_node_promised_too_much(void **state)
{
	struct stage *s = *state;
	define(s, 1, 2, 4096);
	struct stage_answer a = ask(s, "status");
	assert_int_equal(json_array_size(json_object_get(a.result, "overprovisioned")), 0);
	json_decref(a.result);
	/* It comes back with less memory than it had. */
	struct node *node = cluster_node(&s->cluster, 2);
	((struct keepalive *)node->last.items)->memory_total_mib = 4096;
	a = ask(s, "status");
	const json_t *over = json_object_get(a.result, "overprovisioned");
	assert_int_equal(json_array_size(over), 1);
	assert_string_equal(text_of(a.result, "overprovisioned", 0, "node"), "hv2");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(over, 0), "memory_mib")),
	    MEMORY_RESERVED_MIB);
	json_decref(a.result);
}

static void warns(struct stage *s, const char *line, const char *warning)
{
	struct stage_answer a = ask(s, line);
	if (a.status)
		fail_msg("%s: %s", line, a.err.text);
	const char *said = json_string_value(json_object_get(a.result, "warning"));
	assert_string_equal(said ? said : "", warning);
	json_decref(a.result);
}

static void a_start_after_which_no_host_may_fail_is_warned_of(void **state)
{
	struct stage *s = *state;
	define(s, 1, 1, 2048);
	define(s, 2, 1, 4096);
	define(s, 3, 2, 4096);
	define(s, 4, 3, 5120);
	warns(s, "vm start web1", "");
	warns(s, "vm start web2",
	    "one host failure is no longer tolerated: without hv1 web2 (4096 MiB) has no room");
	/* It was told once. */
	warns(s, "vm start web2", "");
}

static void a_move_after_which_no_host_may_fail_is_warned_of(void **state)
{
	struct stage *s = *state;
	define(s, 1, 1, 4096);
	define(s, 2, 2, 4096);
	define(s, 3, 1, 3584);
	define(s, 4, 3, 512);
	warns(s, "vm start web1", "");
	warns(s, "vm start web2", "");
	warns(s, "vm move web4 hv2", "");
	warns(s, "vm move web4 hv3", "");
	warns(s, "vm move web3 hv3",
	    "one host failure is no longer tolerated: without hv1 web1 (4096 MiB) has no room");
}

/* It is to go on elsewhere: what is promised to it where it goes now is free then. */
static void a_move_that_changes_its_target_takes_no_room_twice(void **state)
{
	struct stage *s = *state;
	struct vm *moves = define(s, 1, 1, 2048);
	start(s, moves);
	start(s, define(s, 2, 1, 5632));
	define(s, 3, 2, 512);
	define(s, 4, 3, 512);
	stage_tick(s, 1, 0, COLLECTOR_OK);
	warns(s, "vm migrate web1 --node hv2", "");
	assert_int_equal(moves->target, 2);
	warns(s, "vm migrate web1 --node hv3", "");
}

static void a_new_vm_that_takes_the_last_room_of_others_is_warned_of(void **state)
{
	struct stage *s = *state;
	struct stage_answer a = {0};
	struct operation_call call;
	start(s, define(s, 8, 1, 7680));
	define(s, 9, 2, 512);
	json_t *arguments = json_pack("{s:s, s:s}", "xml", STAGE_WEB1, "node", "hv3");
	assert_int_equal(operation_read("vm define", arguments, &call, NULL), 0);
	json_decref(arguments);
	operation_run(&s->context, &call, stage_done, &a);
	operation_call_close(&call);
	assert_int_equal(a.status, 0);
	assert_string_equal(json_string_value(json_object_get(a.result, "warning")),
	    "one host failure is no longer tolerated: without hv1 web8 (7680 MiB) has no room");
	json_decref(a.result);
}

static int start_strictly(struct stage *s, const struct vm *vm, struct err *err)
{
	struct command command = {.number = COMMAND_vm_state,
	    .vm_state = {.vm = vm->id, .state = VM_START, .strict = true}};
	return stage_apply(s, &command, err);
}

static void a_strict_start_after_which_no_host_may_fail_is_refused(void **state)
{
	struct stage *s = *state;
	struct err err = {""};
	struct vm *fits = define(s, 1, 1, 2048), *big = define(s, 2, 1, 4096);
	define(s, 3, 2, 4096);
	define(s, 4, 3, 5120);
	assert_int_equal(start_strictly(s, fits, &err), 0);
	assert_int_equal(start_strictly(s, big, &err), -ENOMEM);
	assert_string_equal(err.text,
	    "web2 is not started, for then no host may fail: without hv1 web2 (4096 MiB) has no "
	    "room");
	assert_int_equal(big->state, VM_STOP);
	start(s, big);
	assert_int_equal(big->state, VM_START);
	/* What runs already is not started anew. */
	assert_int_equal(start_strictly(s, big, &err), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(a_vm_s_place_is_told_with_the_reason),
	    TEST(an_explanation_says_of_each_node_what_became_of_it),
	    TEST(a_vm_without_room_elsewhere_is_told_so),
	    TEST(status_says_whether_a_host_may_fail),
	    TEST(a_start_after_which_no_host_may_fail_is_warned_of),
	    TEST(a_move_after_which_no_host_may_fail_is_warned_of),
	    TEST(a_move_that_changes_its_target_takes_no_room_twice),
	    TEST(a_new_vm_that_takes_the_last_room_of_others_is_warned_of),
	    TEST(a_strict_start_after_which_no_host_may_fail_is_refused),
	    TEST(status_says_which_node_promised_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
