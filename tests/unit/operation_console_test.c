/* `vm console`: who is asked, and for what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "node/config/config.h"
#include "node/worker/console_client.h"
#include "tests/unit/stage.h"

static struct stage stage; /* of hv1, which is this node, and hv2 */
static struct config config;
static struct stage_answer answer;

static struct { /* what was asked for */
	unsigned count;
	struct console_query query;
	int status;
} console;

static struct {
	unsigned count;
	uint32_t node;
	json_t *arguments;
	unsigned answer_ms;
	int status;
} asked;

static void console_double(
    void *data, const struct console_query *query, console_done done, void *done_data)
{
	struct err err = {"/c/web1.log: gone"};
	struct console_sight sight = {.mark = 77, .more = true};
	console.count++;
	console.query = *query;
	buffer_append(&sight.lines, "one\ntwo\n", 8);
	done(done_data, console.status, console.status ? NULL : &sight, &err);
	console_sight_close(&sight);
}

static void ask_double(void *data, uint32_t node, const struct operation_call *call,
    operation_done done, void *done_data)
{
	asked.count++;
	asked.node = node;
	asked.answer_ms = call->answer_ms;
	asked.arguments = json_deep_copy(call->arguments);
	struct err err = {"too late"};
	done(done_data, asked.status, asked.status ? NULL : json_pack("{s:[s]}", "lines", "there"),
	    &err);
}

static void forget_answer(void)
{
	json_decref(answer.result);
	json_decref(asked.arguments);
	asked.arguments = NULL;
	answer = (struct stage_answer){.done = false};
}

static int begin(void **state)
{
	stage_open(&stage);
	stage_node(&stage, 2, "hv2");
	struct command define = {
	    .number = COMMAND_vm_define, .vm_define = {.memory_mib = 512, .vcpus = 1, .node = 1}};
	snprintf(define.vm_define.name, sizeof(define.vm_define.name), "web1");
	memcpy(define.vm_define.uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", 37);
	define.vm_define.xml = (struct blob){(uint8_t *)STAGE_WEB1, sizeof(STAGE_WEB1) - 1};
	assert_int_equal(stage_apply(&stage, &define, NULL), 1);
	config = (struct config){.system.configuration.logging.console_log_lines = 1000};
	snprintf(config.system.configuration.directories.console_log_directory, 8, "/c");
	stage.context.config = &config;
	stage.context.console = console_double;
	stage.context.ask = ask_double;
	memset(&console, 0, sizeof(console));
	memset(&asked, 0, sizeof(asked));
	return 0;
}

static int end(void **state)
{
	forget_answer();
	stage_close(&stage);
	return 0;
}

static void ask(const char *arguments, const char *caller)
{
	struct operation_call call;
	struct err err;
	json_t *json = json_loads(arguments, 0, NULL);
	assert_non_null(json);
	assert_int_equal(operation_read("vm console", json, &call, &err), 0);
	json_decref(json);
	snprintf(call.caller, sizeof(call.caller), "%s", caller);
	forget_answer();
	operation_run(&stage.context, &call, stage_done, &answer);
	operation_call_close(&call);
	assert_true(answer.done);
}

static void of_a_vm_that_is_here_the_file_is_read(void **state)
{
	ask("{\"vm\": \"web1\"}", "uid 0");
	assert_int_equal(answer.status, 0);
	assert_string_equal(console.query.path, "/c/web1.log");
	assert_int_equal(console.query.from, CONSOLE_LAST);
	assert_int_equal(console.query.lines_max, 1000);
	assert_int_equal(json_array_size(json_object_get(answer.result, "lines")), 2);
	assert_int_equal(json_integer_value(json_object_get(answer.result, "newest")), 77);
	assert_true(json_is_true(json_object_get(answer.result, "more")));
	assert_string_equal(json_string_value(json_object_get(answer.result, "node")), "hv1");
	assert_int_equal(asked.count, 0);
}

static void not_more_lines_are_shown_than_the_node_would_have(void **state)
{
	ask("{\"vm\": \"web1\", \"last\": 20}", "uid 0");
	assert_int_equal(console.query.lines_max, 20);
	ask("{\"vm\": \"web1\", \"last\": 99999999999, \"after\": 5}", "uid 0");
	assert_int_equal(console.query.lines_max, 1000);
	assert_int_equal(console.query.from, CONSOLE_FOLLOW);
	assert_int_equal(console.query.mark, 5);
	config.system.configuration.logging.console_log_lines = 0;
	ask("{\"vm\": \"web1\"}", "uid 0");
	assert_int_equal(answer.status, -ENODATA);
	assert_int_equal(console.count, 2);
}

static void a_file_that_is_not_there_is_no_vm_that_is_not_there(void **state)
{
	console.status = -ENOENT;
	ask("{\"vm\": \"web1\"}", "uid 0");
	assert_int_equal(answer.status, -ENODATA);
	assert_string_equal(answer.err.text, "it has said nothing on hv1 yet: /c/web1.log: gone");
	console.status = -ETIMEDOUT;
	ask("{\"vm\": \"web1\"}", "uid 0");
	assert_int_equal(answer.status, -ETIMEDOUT);
}

static void of_a_vm_elsewhere_its_node_is_asked_and_told_that_it_is_meant(void **state)
{
	cluster_vm(&stage.cluster, 1)->node = 2;
	ask("{\"vm\": \"web1\", \"after\": 9}", "uid 0");
	assert_int_equal(answer.status, 0);
	assert_int_equal(console.count, 0);
	assert_int_equal(asked.node, 2);
	assert_true(asked.answer_ms > 2 * CONSOLE_DEADLINE_MS);
	assert_string_equal(json_string_value(json_object_get(asked.arguments, "node")), "hv2");
	assert_int_equal(json_integer_value(json_object_get(asked.arguments, "after")), 9);
	/* Whoever is asked like that does not ask on, whatever its own value says. */
	ask("{\"vm\": \"web1\", \"node\": \"hv1\"}", "node 2");
	assert_int_equal(answer.status, 0);
	assert_int_equal(console.count, 1);
	ask("{\"vm\": \"web1\"}", "node 3");
	assert_int_equal(answer.status, -EREMOTE);
	assert_int_equal(asked.count, 1);
}

static void a_node_whose_daemon_has_ended_is_not_waited_for(void **state)
{
	cluster_node(&stage.cluster, 2)->daemon_state = DAEMON_FENCED;
	ask("{\"vm\": \"web1\", \"node\": \"hv2\"}", "uid 0");
	assert_int_equal(answer.status, -EHOSTDOWN);
	assert_string_equal(answer.err.text, "hv2 is fenced: nobody answers there");
	assert_int_equal(asked.count, 0);
}

static void who_only_looked_need_not_look_whether_it_was_done(void **state)
{
	cluster_vm(&stage.cluster, 1)->node = 2;
	asked.status = -ETIMEDOUT;
	ask("{\"vm\": \"web1\"}", "uid 0");
	assert_int_equal(answer.status, -EHOSTUNREACH);
	assert_string_equal(answer.err.text, "too late");
}

static void of_a_vm_without_a_place_there_is_none(void **state)
{
	cluster_vm(&stage.cluster, 1)->node = 0;
	ask("{\"vm\": \"web1\"}", "uid 0");
	assert_int_equal(answer.status, -ENODATA);
	ask("{\"vm\": \"web1\", \"node\": \"hv1\"}", "uid 0");
	assert_int_equal(answer.status, 0);
	cluster_vm(&stage.cluster, 1)->node = 1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(of_a_vm_that_is_here_the_file_is_read),
	    TEST(not_more_lines_are_shown_than_the_node_would_have),
	    TEST(a_file_that_is_not_there_is_no_vm_that_is_not_there),
	    TEST(of_a_vm_elsewhere_its_node_is_asked_and_told_that_it_is_meant),
	    TEST(a_node_whose_daemon_has_ended_is_not_waited_for),
	    TEST(who_only_looked_need_not_look_whether_it_was_done),
	    TEST(of_a_vm_without_a_place_there_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
