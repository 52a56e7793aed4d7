/* `vm flush-locks`: where it is carried out, and when it is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fsm/change.h"
#include "node/execute.h"
#include "tests/unit/stage.h"

static struct stage s;
static struct stage_answer answer;
static struct vm *vm;
static unsigned flushes;
static struct execute_flush flushed; /* the last one */
static uint32_t asked; /* the node that was asked instead */
static unsigned asked_answer_ms;

static void flush(void *data, const struct execute_flush *flush)
{
	flushes++;
	flushed = *flush;
}

/* It was carried out: nothing was locked. */
static void flush_end(void)
{
	struct release_result nothing = {.count = 0};
	json_decref(answer.result);
	flushed.done(flushed.data, &(struct locks_outcome){.result = &nothing});
	assert_int_equal(answer.status, 0);
}

static void ask(void *data, uint32_t node, const struct operation_call *call, operation_done done,
    void *done_data)
{
	struct err err;
	asked = node;
	asked_answer_ms = call->answer_ms;
	assert_string_equal(json_string_value(json_object_get(call->arguments, "vm")), "web1");
	done(done_data, err_set(&err, -EBUSY, "it runs there"), NULL, &err);
}

static int open_stage(void **state)
{
	struct command define = {.number = COMMAND_vm_define};
	stage_open(&s);
	stage_node(&s, 2, "hv2");
	s.context.flush = flush;
	s.context.ask = ask;
	memcpy(define.vm_define.name, "web1", 5);
	memcpy(define.vm_define.uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", 37);
	define.vm_define.memory_mib = 512;
	define.vm_define.vcpus = 1;
	define.vm_define.node = 1;
	assert_true(stage_apply(&s, &define, NULL) > 0);
	stage_tick(&s, 1, 100, COLLECTOR_OK);
	vm = cluster_vm_named(&s.cluster, "web1");
	answer = (struct stage_answer){.done = false};
	flushes = asked = asked_answer_ms = 0;
	return 0;
}

static int close_stage(void **state)
{
	json_decref(answer.result);
	stage_close(&s);
	return 0;
}

static void run_as(const char *caller, const char *force)
{
	const char *words[] = {"vm", "flush-locks", "web1", force};
	struct operation_call call;
	struct err err = {""};
	assert_int_equal(operation_parse(words, *force ? 4 : 3, &call, &err), 0);
	snprintf(call.caller, sizeof(call.caller), "%s", caller);
	answer.done = false;
	operation_run(&s.context, &call, stage_done, &answer);
	operation_call_close(&call);
}

static void want(enum vm_state wanted)
{
	struct command command = {.number = COMMAND_vm_state, .vm_state = {vm->id, wanted}};
	assert_int_equal(stage_apply(&s, &command, NULL), 0);
}

static void a_vm_that_is_off_is_flushed_here_once_the_log_has_answered(void **state)
{
	s.hold = true;
	run_as("uid 0", "");
	assert_int_equal(flushes, 0);
	stage_release(&s, 0);
	assert_int_equal(flushes, 1);
	assert_ptr_equal(flushed.vm, vm);
	assert_int_equal(flushed.extent, RELEASE_STALE);
	assert_false(answer.done);
	struct release_lock locks[] = {
	    {"vms/web1_sda", {"client.4711", "auto 1", "v1:10.0.0.12:0/7"}},
	    {"vms/web1_sdb", {"client.4711", "auto 2", "v1:10.0.0.12:0/7"}}};
	struct release_result result = {.locks = locks, .count = 2};
	flushed.done(flushed.data, &(struct locks_outcome){.result = &result});
	assert_true(answer.done && answer.status == 0);
	assert_string_equal(json_string_value(json_object_get(answer.result, "message")),
	    "web1: freed vms/web1_sda of client.4711, vms/web1_sdb of client.4711");
	json_t *freed = json_object_get(answer.result, "freed");
	assert_int_equal(json_array_size(freed), 2);
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(freed, 1), "address")), "10.0.0.12");
}

static void a_lock_of_nobodys_is_said_and_force_is_passed_on(void **state)
{
	struct release_lock lock = {"vms/web1_sda", {"client.9", "mine", "v1:[fd00::9]:0/7"}};
	struct release_result result = {.locks = &lock, .count = 1, .refused = true};
	run_as("uid 0", "");
	flushed.done(flushed.data, &(struct locks_outcome){.result = &result});
	assert_int_equal(answer.status, -EBUSY);
	assert_string_equal(answer.err.text,
	    "volume vms/web1_sda is locked by fd00::9 (client.9), which is no node of this "
	    "cluster: --force frees it all the same");
	run_as("uid 0", "--force");
	assert_int_equal(flushed.extent, RELEASE_ALL);
	flush_end();
	assert_string_equal(json_string_value(json_object_get(answer.result, "message")),
	    "web1: no volume of it is locked");
}

static void why_it_failed_is_told(void **state)
{
	struct err err;
	struct locks_outcome outcome = {
	    .status = err_set(&err, -EBUSY, "it runs here"), .err = &err};
	run_as("uid 0", "");
	flushed.done(flushed.data, &outcome);
	assert_int_equal(answer.status, -EBUSY);
	assert_string_equal(answer.err.text, "it runs here");
	s.refuse = -ETIMEDOUT;
	run_as("uid 0", "");
	assert_int_equal(answer.status, -ETIMEDOUT);
	assert_non_null(strstr(answer.err.text, "whether it is off"));
	assert_int_equal(flushes, 1);
}

static void refused_with(const char *force, const char *text)
{
	run_as("uid 0", force);
	assert_true(answer.done);
	assert_int_equal(answer.status, -EBUSY);
	assert_non_null(strstr(answer.err.text, text));
	assert_int_equal(flushes, 0);
}

static void what_is_to_run_or_not_known_to_be_off_is_not_flushed_even_by_force(void **state)
{
	want(VM_START);
	refused_with("", "is to run");
	refused_with("--force", "is to run");
	stage_tick(&s, 1, 100, COLLECTOR_OK);
	refused_with("--force", "is running on hv1: stop it first");
	want(VM_STOP);
	refused_with("", "not known to be off: it was running on hv1");
	refused_with("--force", "not known to be off");
	stage_tick(&s, 1, 100, COLLECTOR_OK);
	run_as("uid 0", "");
	assert_int_equal(flushes, 1);
	flush_end();
}

/* It waits for a place, and may get one at any moment. */
static void what_is_to_run_somewhere_is_not_flushed(void **state)
{
	want(VM_START);
	vm->node = 0;
	refused_with("--force", "is to run");
}

static void what_changed_while_the_log_was_asked_is_looked_at_anew(void **state)
{
	s.hold = true;
	run_as("uid 0", "--force");
	s.hold = false;
	want(VM_START);
	stage_release(&s, 0);
	assert_int_equal(answer.status, -EBUSY);
	assert_int_equal(flushes, 0);
}

static void what_went_elsewhere_while_the_log_was_asked_is_not_flushed_here(void **state)
{
	s.hold = true;
	run_as("uid 0", "");
	vm->node = 2;
	stage_release(&s, 0);
	assert_int_equal(answer.status, -EREMOTE);
	assert_int_equal(flushes, 0);
}

static void the_vms_node_is_asked_and_asks_nobody_else(void **state)
{
	vm->node = 2;
	run_as("uid 0", "");
	assert_int_equal(asked, 2);
	assert_in_range(asked_answer_ms, 15001, 19999);
	assert_int_equal(answer.status, -EBUSY);
	assert_string_equal(answer.err.text, "it runs there");
	asked = 0;
	run_as("node 3", "");
	assert_int_equal(asked, 0);
	assert_int_equal(answer.status, -EREMOTE);
	assert_int_equal(flushes, 0);
}

static void a_vm_of_a_node_that_is_proven_off_is_flushed_wherever_it_is_asked(void **state)
{
	vm->node = 2;
	cluster_node(&s.cluster, 2)->daemon_state = DAEMON_FENCED;
	run_as("node 3", "");
	assert_int_equal(flushes, 1);
	flush_end();
	vm->node = 0;
	run_as("uid 0", "");
	assert_int_equal(flushes, 2);
	flush_end();
}

static void a_node_without_a_pool_says_so(void **state)
{
	s.context.flush = NULL;
	run_as("uid 0", "");
	assert_int_equal(answer.status, -EOPNOTSUPP);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_vm_that_is_off_is_flushed_here_once_the_log_has_answered),
	    TEST(a_lock_of_nobodys_is_said_and_force_is_passed_on),
	    TEST(why_it_failed_is_told),
	    TEST(what_is_to_run_or_not_known_to_be_off_is_not_flushed_even_by_force),
	    TEST(what_is_to_run_somewhere_is_not_flushed),
	    TEST(what_changed_while_the_log_was_asked_is_looked_at_anew),
	    TEST(what_went_elsewhere_while_the_log_was_asked_is_not_flushed_here),
	    TEST(the_vms_node_is_asked_and_asks_nobody_else),
	    TEST(a_vm_of_a_node_that_is_proven_off_is_flushed_wherever_it_is_asked),
	    TEST(a_node_without_a_pool_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
