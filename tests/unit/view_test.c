/* What people see: tables, fields and words in colour. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/stage.h"
#include "tools/view.h"

static void assert_view(
    const char *operation, json_t *result, enum table_colours colours, const char *wanted)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	view_print(operation, result, colours, out);
	fclose(out);
	assert_string_equal(text, wanted);
	free(text);
	json_decref(result);
}

/* What an operation without arguments answers on this stage. */
static json_t *answer_of(struct stage *s, const char *name)
{
	struct operation_call call;
	struct stage_answer answer = {0};
	assert_int_equal(operation_read(name, NULL, &call, NULL), 0);
	operation_run(&s->context, &call, stage_done, &answer);
	operation_call_close(&call);
	assert_int_equal(answer.status, 0);
	return answer.result;
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	json_t *rows = json_pack("[{s:s, s:s}, {s:s, s:s}]", "key", "a", "value", "1", "key",
	    "a-longer-key", "value", "2");
	assert_view("fact list", rows, TABLE_PLAIN,
	    "KEY           VALUE\n"
	    "a             1\n"
	    "a-longer-key  2\n");
}

static void letters_are_counted_and_not_bytes(void **state)
{
	json_t *rows = json_pack("[{s:s, s:s}, {s:s, s:s}]", "key",
	    "gr\xc3\xb6\xc3\x9f"
	    "e",
	    "value", "1", "key", "groesse", "value", "2");
	assert_view("fact list", rows, TABLE_PLAIN,
	    "KEY      VALUE\n"
	    "gr\xc3\xb6\xc3\x9f"
	    "e    1\n"
	    "groesse  2\n");
}

static void a_cell_cannot_speak_to_the_terminal(void **state)
{
	json_t *rows = json_pack("[{s:s, s:s}]", "key", "a\n\033[2Jb", "value", "1");
	assert_view("fact list", rows, TABLE_PLAIN,
	    "KEY      VALUE\n"
	    "a  [2Jb  1\n");
}

static void numbers_stand_on_the_right_and_states_in_colour(void **state)
{
	json_t *rows = json_pack("{s:[{s:i, s:s, s:s, s:s, s:i, s:i, s:n}]}", "members", "id", 1,
	    "node", "hv1", "role", "voter", "address", "hv1:7000", "match_index", 12345, "lag", 3,
	    "heard_age_ms");
	assert_view("raft members", rows, TABLE_PLAIN,
	    "ID  NODE  ROLE   ADDRESS   MATCH  LAG  HEARD\n"
	    " 1  hv1   voter  hv1:7000  12345    3      -\n");
	rows =
	    json_pack("[{s:s, s:s, s:s}]", "name", "web1", "state", "fail", "observed", "running");
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	view_print("vm list", rows, TABLE_COLOURED, out);
	fclose(out);
	assert_non_null(strstr(text, "\033[31mfail\033[0m"));
	assert_non_null(strstr(text, "\033[32mrunning\033[0m"));
	free(text);
	json_decref(rows);
}

static void status_says_it_in_a_screen(void **state)
{
	struct stage s;
	stage_open(&s);
	assert_view("status", answer_of(&s, "status"), TABLE_PLAIN,
	    "cluster             prod\n"
	    "health              critical\n"
	    "                    this node's log is not open: the disk is full\n"
	    "maintenance         off\n"
	    "primary             hv1 (primary for 0.0 s, epoch 7)\n"
	    "log                 not open\n"
	    "schema              1\n"
	    "nodes               1: 1 run\n"
	    "VMs                 0\n");
	stage_close(&s);
}

static void what_has_no_view_says_its_message(void **state)
{
	assert_view("vm start", json_pack("{s:s}", "message", "web1: start, on hv1"), TABLE_PLAIN,
	    "web1: start, on hv1\n");
	assert_view("vm start", json_object(), TABLE_PLAIN, "done\n");
	assert_view(
	    "vm dump", json_pack("{s:s}", "xml", "<domain/>\n"), TABLE_PLAIN, "<domain/>\n");
	assert_view("cluster token", json_pack("{s:s}", "token", "abc"), TABLE_PLAIN, "abc\n");
}

/* Every view is of an operation that there is, and finds what it shows in its answer. */
static void every_list_has_its_columns(void **state)
{
	static const char *const names[] = {"node list", "cluster member list", "operation list",
	    "raft status", "raft hash", "version"};
	struct stage s;
	stage_open(&s);
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);
		json_t *result = answer_of(&s, names[i]);
		view_print(names[i], result, TABLE_PLAIN, out);
		fclose(out);
		assert_true(size > 20);
		assert_null(strstr(text, "(...)"));
		free(text);
		json_decref(result);
	}
	stage_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
	    cmocka_unit_test(letters_are_counted_and_not_bytes),
	    cmocka_unit_test(a_cell_cannot_speak_to_the_terminal),
	    cmocka_unit_test(numbers_stand_on_the_right_and_states_in_colour),
	    cmocka_unit_test(status_says_it_in_a_screen),
	    cmocka_unit_test(what_has_no_view_says_its_message),
	    cmocka_unit_test(every_list_has_its_columns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
