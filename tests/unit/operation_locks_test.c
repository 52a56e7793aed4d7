/* `vm flush-locks`: when it is refused, and who carries it out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/vm/execute.h"
#include "tests/unit/stage.h"

static struct stage s;
static struct stage_answer answer;

/* What the pool and other nodes were asked. */
static struct {
	unsigned flushes, asks;
	struct execute_flush flush;
	uint32_t node;
} asked;

static void on_flush(void *data, const struct execute_flush *flush)
{
	asked.flushes++;
	asked.flush = *flush;
}

static void on_ask(void *data, uint32_t node, const struct operation_call *call,
    void (*done)(void *data, int status, json_t *result, const struct err *err), void *done_data)
{
	asked.asks++;
	asked.node = node;
	done(done_data, 0, json_pack("{s:s}", "message", "from there"), NULL);
}

static void vm_state(enum vm_state state)
{
	struct command command = {
	    .number = COMMAND_vm_state, .vm_state = {.vm = 1, .state = state}};
	assert_int_equal(stage_apply(&s, &command, NULL), 0);
}

static void vm_place(uint32_t node)
{
	struct command command = {.number = COMMAND_vm_place, .vm_place = {.vm = 1, .node = node}};
	assert_int_equal(stage_apply(&s, &command, NULL), 0);
}

/* Its node says what it sees of web1. */
static void seen(enum vm_observed observed)
{
	const struct vm *vm = cluster_vm(&s.cluster, 1);
	struct command command = {.number = COMMAND_vm_report,
	    .vm_report = {
		.node = vm->node, .vm = 1, .generation = vm->generation, .observed = observed}};
	assert_int_equal(stage_apply(&s, &command, NULL), 0);
}

/* hv1, which is this node, hv2, and web1, which is off on hv1. */
static int begin(void **state)
{
	struct command define = {.number = COMMAND_vm_define,
	    .vm_define = {.name = "web1",
		.uuid = "4dea22b3-1d52-4dec-8f23-2516782e98ab",
		.memory_mib = 512,
		.vcpus = 1,
		.node = 1}};
	memset(&asked, 0, sizeof(asked));
	memset(&answer, 0, sizeof(answer));
	stage_open(&s);
	stage_node(&s, 2, "hv2");
	s.context.flush = on_flush;
	s.context.ask = on_ask;
	assert_int_equal(stage_apply(&s, &define, NULL), 1);
	vm_state(VM_STOP);
	seen(OBSERVED_SHUTOFF);
	return 0;
}

static int end(void **state)
{
	json_decref(answer.result);
	stage_close(&s);
	return 0;
}

static void flush_as(const char *caller, const char *force)
{
	struct operation_call call;
	struct err err;
	json_t *arguments = json_pack("{s:s}", "vm", "web1");
	if (force)
		json_object_set_new(arguments, force, json_true());
	if (operation_read("vm flush-locks", arguments, &call, &err))
		fail_msg("%s", err.text);
	snprintf(call.caller, sizeof(call.caller), "%s", caller);
	json_decref(answer.result);
	answer = (struct stage_answer){0};
	operation_run(&s.context, &call, stage_done, &answer);
	operation_call_close(&call);
	json_decref(arguments);
}

static void flush(void)
{
	flush_as("uid 0", NULL);
}

static void flushed(int status, const char *text, const struct release_result *result)
{
	struct err err;
	err_set(&err, 0, "%s", text);
	asked.flush.done(asked.flush.data,
	    &(struct locks_outcome){.status = status, .err = &err, .result = result});
}

static const struct release_lock lock = {
    .volume = "vms/web1", .locker = {.entity = "client.4711", .address = "v1:10.0.0.9:0/7"}};

static void what_is_off_is_flushed_and_said_what_of_it(void **state)
{
	const struct release_result none = {0},
				    freed = {.locks = (struct release_lock *)(uintptr_t)&lock,
					.count = 1};
	flush();
	assert_int_equal(asked.flushes, 1);
	assert_int_equal(asked.flush.extent, RELEASE_STALE);
	assert_int_equal(asked.flush.vm->id, 1);
	assert_false(answer.done);
	flushed(0, "", &freed);
	assert_true(answer.done && !answer.status);
	char *text = json_dumps(answer.result, JSON_COMPACT);
	assert_string_equal(text,
	    "{\"name\":\"web1\",\"freed\":[{\"volume\":\"vms/web1\",\"client\":\"client.4711\","
	    "\"address\":\"10.0.0.9\"}],\"message\":\"web1: freed vms/web1 of client.4711\"}");
	free(text);
	flush();
	flushed(0, "", &none);
	assert_string_equal(json_string_value(json_object_get(answer.result, "message")),
	    "web1: no volume of it is locked");
	flush();
	flushed(-EBUSY, "it runs here", NULL);
	assert_int_equal(answer.status, -EBUSY);
	assert_string_equal(answer.err.text, "it runs here");
}

static void a_lock_of_no_node_takes_force(void **state)
{
	const struct release_result refused = {
	    .locks = (struct release_lock *)(uintptr_t)&lock, .count = 1, .refused = true};
	flush();
	flushed(0, "", &refused);
	assert_int_equal(answer.status, -EBUSY);
	assert_non_null(strstr(answer.err.text, "10.0.0.9 (client.4711)"));
	assert_non_null(strstr(answer.err.text, "--force"));
	flush_as("uid 0", "force");
	assert_int_equal(asked.flush.extent, RELEASE_ALL);
	flushed(0, "", &(struct release_result){0});
	assert_int_equal(answer.status, 0);
}

static void assert_refused(int status, const char *part)
{
	assert_true(answer.done);
	assert_int_equal(answer.status, status);
	if (!strstr(answer.err.text, part))
		fail_msg("%s", answer.err.text);
	assert_int_equal(asked.flushes, 0);
}

static void what_is_to_run_or_may_run_is_not_flushed_by_force_either(void **state)
{
	static const char *const force[] = {NULL, "force"};
	for (unsigned i = 0; i < 2; i++) {
		vm_state(VM_START);
		flush_as("uid 0", force[i]);
		assert_refused(-EBUSY, "stop it first");
		seen(OBSERVED_SHUTOFF);
		flush_as("uid 0", force[i]);
		assert_refused(-EBUSY, "stop it first");
		seen(OBSERVED_RUNNING);
		vm_state(VM_STOP);
		/* Nobody has seen it off since. */
		flush_as("uid 0", force[i]);
		assert_refused(-EBUSY, "not known to be off");
		seen(OBSERVED_UNOBSERVABLE);
		flush_as("uid 0", force[i]);
		assert_refused(-EBUSY, "not known to be off");
		seen(OBSERVED_PAUSED);
		flush_as("uid 0", force[i]);
		assert_refused(-EBUSY, "not known to be off");
	}
}

static void its_own_node_flushes_it(void **state)
{
	vm_place(2);
	seen(OBSERVED_SHUTOFF);
	flush();
	assert_true(answer.done && !answer.status);
	assert_int_equal(asked.asks, 1);
	assert_int_equal(asked.node, 2);
	/* It does not go round in circles. */
	flush_as("node 2", NULL);
	assert_refused(-EREMOTE, "another node");
	assert_int_equal(asked.asks, 1);
}

static void of_a_node_that_is_proven_off_any_other_flushes(void **state)
{
	struct command fenced = {
	    .number = COMMAND_node_fenced, .node_fenced = {.node = 2, .by_hand = true}};
	vm_place(2);
	stage_tick(&s, 1, 60000, COLLECTOR_OK);
	assert_int_equal(stage_apply(&s, &fenced, NULL), 0);
	flush();
	assert_int_equal(asked.flushes, 1);
	assert_int_equal(asked.asks, 0);
	flushed(0, "", &(struct release_result){0});
}

/* The value of this node was an old one: what the log has says otherwise. */
static void what_the_log_knows_better_is_not_flushed(void **state)
{
	s.hold = true;
	flush();
	vm_state(VM_START);
	stage_release(&s, 1);
	assert_refused(-EBUSY, "stop it first");
	vm_state(VM_STOP);
	seen(OBSERVED_SHUTOFF);
	flush();
	vm_place(2);
	seen(OBSERVED_SHUTOFF);
	stage_release(&s, 1);
	assert_refused(-EREMOTE, "another node");
	vm_place(1);
	seen(OBSERVED_SHUTOFF);
	flush();
	stage_release(&s, 1);
	assert_int_equal(asked.flushes, 1);
	flushed(0, "", &(struct release_result){0});
}

static void a_node_without_the_pool_says_so(void **state)
{
	s.context.flush = NULL;
	flush();
	assert_refused(-EOPNOTSUPP, "no part in the disk pool");
	s.context.flush = on_flush;
	s.context.ask = NULL;
	vm_place(2);
	seen(OBSERVED_SHUTOFF);
	flush();
	assert_refused(-EREMOTE, "another node");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_off_is_flushed_and_said_what_of_it),
	    TEST(a_lock_of_no_node_takes_force),
	    TEST(what_is_to_run_or_may_run_is_not_flushed_by_force_either),
	    TEST(its_own_node_flushes_it),
	    TEST(of_a_node_that_is_proven_off_any_other_flushes),
	    TEST(what_the_log_knows_better_is_not_flushed),
	    TEST(a_node_without_the_pool_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
