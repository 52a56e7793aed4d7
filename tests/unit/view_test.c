/* What people see: tables, fields and words in colour. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/parsed.h"
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
	    "VMs                 0\n"
	    "hosts that may fail 0: fewer than two nodes run VMs\n");
	stage_close(&s);
}

static void status_shows_how_old_values_are(void **state)
{
	struct stage s;
	stage_open(&s);
	stage_tick(&s, 1, 1000, COLLECTOR_STUCK);
	stage_tick(&s, 0, 2000, COLLECTOR_OK);
	assert_view("status", answer_of(&s, "status"), TABLE_PLAIN,
	    "cluster             prod\n"
	    "health              critical\n"
	    "                    this node's log is not open: the disk is full\n"
	    "                    hv1: hypervisor is stuck; last values are 2 s old\n"
	    "maintenance         off\n"
	    "primary             hv1 (primary for 3.0 s, epoch 7)\n"
	    "log                 not open\n"
	    "schema              1\n"
	    "nodes               1: 1 run\n"
	    "VMs                 0\n"
	    "hosts that may fail 0: fewer than two nodes run VMs\n"
	    "collectors          hv1: hypervisor stuck (2.1 s, 3 kills)\n");
	stage_close(&s);
}

static void values_that_never_came_have_no_age(void **state)
{
	assert_view("status",
	    json_pack("{s:{s:{s:{s:s, s:n, s:i}, s:{s:s, s:i, s:i}}}}", "collectors", "hv2", "pool",
		"state", "failed", "age_ms", "kills", 1, "host", "state", "ok", "age_ms", 300,
		"kills", 0),
	    TABLE_PLAIN,
	    "cluster             -\n"
	    "health              -\n"
	    "maintenance         off\n"
	    "primary             - (- for -, epoch -, -)\n"
	    "log                 not open\n"
	    "schema              -\n"
	    "nodes               0\n"
	    "VMs                 0\n"
	    "collectors          hv2: pool failed (-, 1 kill), host ok (0.3 s)\n");
}

static void status_says_who_has_no_room_and_who_promised_too_much(void **state)
{
	assert_view("status",
	    json_pack("{s:{s:i, s:s}, s:[{s:s, s:i}, {s:s, s:i}]}", "tolerance", "host_failures", 0,
		"message", "without hv1 web1 (512 MiB) has no room", "overprovisioned", "node",
		"hv1", "memory_mib", 2048, "node", "hv2", "memory_mib", 20480),
	    TABLE_PLAIN,
	    "cluster             -\n"
	    "health              -\n"
	    "maintenance         off\n"
	    "primary             - (- for -, epoch -, -)\n"
	    "log                 not open\n"
	    "schema              -\n"
	    "nodes               0\n"
	    "VMs                 0\n"
	    "hosts that may fail 0: without hv1 web1 (512 MiB) has no room\n"
	    "over-provisioned    hv1 by 2048M, hv2 by 20.0G\n");
}

static void a_warning_is_a_line_below_what_was_done(void **state)
{
	assert_view("vm start",
	    json_pack("{s:s, s:s}", "message", "web1: start, on hv1", "warning", "no room"),
	    TABLE_PLAIN,
	    "web1: start, on hv1\n"
	    "warning: no room\n");
}

static const char a_status[] =
    "{'schema': 'raft-status/1', 'id': 1, 'node': 'hv1', 'role': 'leader', "
    "'failure': null, 'term': 7, 'vote': 1, 'vote_node': 'hv1', 'leader': 'hv1', "
    "'leader_age_ms': 125000, 'lease_left_ms': 230, 'first_index': 400, "
    "'last_index': 523, 'commit_index': 522, 'applied_index': 522, "
    "'snapshot_index': 450, 'snapshot_term': 6, 'snapshot_bytes': 5000, "
    "'state_hash': '00ff00ff00ff00ff', 'hash_index': 522, 'diverged_at': null, "
    "'log_bytes': 70000, 'bytes': 33554432, 'segments_count': 2, "
    "'free_bytes': 80793493504, 'free_age_ms': 4200, 'disk_error': null, "
    "'write_us': {'p50': 117, 'p99': 2300, 'max': 41000}, 'heartbeat_ms': 50, "
    "'election_ms': 300, 'lease_ms': 240, 'voters': 3, 'standbys': 1, "
    "'failure_tolerance': 1, 'schema_version': 1, 'schema_min': 1, 'schema_max': 1, "
    "'version': '1.2.3', 'libraft': '0.22.1', 'data_directory': '/var/lib/pvc', "
    "'members': [{'id': 1, 'node': 'hv1', 'role': 'voter', 'address': 'hv1:7000', "
    "'match_index': 523, 'next_index': 524, 'lag': 0, 'heard_age_ms': 0, "
    "'rtt_us': null, 'connected': null, 'error': null}, {'id': 2, 'node': 'hv2', "
    "'role': 'voter', 'address': 'hv2:7000', 'match_index': 500, 'next_index': 501, "
    "'lag': 23, 'heard_age_ms': 61000, 'rtt_us': 310, 'connected': false, "
    "'error': 'Connection refused'}]}";

static void the_state_of_a_replica_is_a_page(void **state)
{
	assert_view("raft status", parsed(a_status), TABLE_PLAIN,
	    "id                  1\n"
	    "node                hv1\n"
	    "role                leader\n"
	    "failure             -\n"
	    "term                7\n"
	    "voted for           hv1\n"
	    "leader              hv1\n"
	    "leader since        2 min ago\n"
	    "lease left          230 ms\n"
	    "first index         400\n"
	    "last index          523\n"
	    "commit index        522\n"
	    "applied index       522\n"
	    "snapshot index      450\n"
	    "snapshot term       6\n"
	    "snapshot size       5000 B\n"
	    "state hash          00ff00ff00ff00ff\n"
	    "of index            522\n"
	    "differs since index -\n"
	    "log in memory       68.4 KiB\n"
	    "log's files         32.0 MiB\n"
	    "segments            2\n"
	    "free on disk        75.2 GiB\n"
	    "looked up           4.2 s ago\n"
	    "disk error          -\n"
	    "write, half of them 117 us\n"
	    "write, 99 %         2300 us\n"
	    "write, slowest      41.0 ms\n"
	    "heartbeat every     50 ms\n"
	    "election after      300 ms\n"
	    "lease               240 ms\n"
	    "voters              3\n"
	    "stand-bys           1\n"
	    "may fail            1\n"
	    "schema active       1\n"
	    "schema from         1\n"
	    "schema to           1\n"
	    "version             1.2.3\n"
	    "libraft             0.22.1\n"
	    "data directory      /var/lib/pvc\n"
	    "\n"
	    "ID  NODE  ROLE   ADDRESS   MATCH  NEXT  LAG  HEARD     RTT  CONNECTED  WHY NOT\n"
	    " 1  hv1   voter  hv1:7000    523   524    0  0.0 s       -  -          -\n"
	    " 2  hv2   voter  hv2:7000    500   501   23   61 s  310 us  no         Connection "
	    "refused\n");
}

static void every_member_is_a_row(void **state)
{
	assert_view("raft status",
	    parsed("{'schema': 'raft-status-cluster/1', 'members': [{'id': 1, 'node': 'hv1',"
		   "'role': 'leader', 'term': 7, 'leader': 'hv1', 'first_index': 400,"
		   "'commit_index': 522, 'applied_index': 522, 'snapshot_index': 450,"
		   "'bytes': 33554432, 'free_bytes': 80793493504, 'write_us': {'p99': 2300},"
		   "'version': '1.2.3', 'problem': null}, {'id': 2, 'node': 'hv2',"
		   "'problem': 'no connection: Connection refused'}]}"),
	    TABLE_PLAIN,
	    "ID  NODE  ROLE    TERM  LEADER  FIRST  COMMIT  APPLIED  SNAPSHOT     FILES      FREE  "
	    "WRITE 99 %  VERSION  PROBLEM\n"
	    " 1  hv1   leader     7  hv1       400     522      522       450  32.0 MiB  75.2 GiB  "
	    "   2300 us  1.2.3    -\n"
	    " 2  hv2   -          -  -           -       -        -         -         -         -  "
	    "         -  -        no connection: Connection refused\n");
}

static void health_says_why(void **state)
{
	assert_view("raft health",
	    parsed("{'schema': 'raft-health/1', 'health': 'degraded', 'committed': true,"
		   "'index': 44, 'took_us': 2363, 'leader': 'hv1', 'failure_tolerance': 0,"
		   "'reasons': ['hv2 does not answer: no connection', 'hv3 hears no leader'],"
		   "'exit_status': 1}"),
	    TABLE_PLAIN,
	    "health              degraded\n"
	    "because             hv2 does not answer: no connection\n"
	    "                    hv3 hears no leader\n"
	    "committed           yes\n"
	    "index               44\n"
	    "took                2363 us\n"
	    "leader              hv1\n"
	    "may fail            0\n");
	assert_view("raft health", parsed("{'health': 'healthy', 'reasons': []}"), TABLE_PLAIN,
	    "health              healthy\n"
	    "because             -\n"
	    "committed           -\n"
	    "index               -\n"
	    "took                -\n"
	    "leader              -\n"
	    "may fail            -\n");
}

static const char two_entries[] =
    "{'schema': 'raft-log/1', 'entries': [{'index': 9, 'term': 2, 'size': 14, "
    "'state': 'committed', 'result': -2, 'operation': {'text': 'vm_undefine vm=9'}}, "
    "{'index': 10, 'term': 2, 'size': 0, 'state': 'uncommitted', 'result': null, "
    "'operation': {'text': 'barrier'}}]}";

static void entries_are_rows_and_more_of_them_have_no_heading(void **state)
{
	char *text = NULL;
	size_t size;
	assert_view("raft log", parsed(two_entries), TABLE_PLAIN,
	    "INDEX  TERM  SIZE  STATE        RESULT  OPERATION\n"
	    "    9     2    14  committed    ENOENT  vm_undefine vm=9\n"
	    "   10     2     0  uncommitted  -       barrier\n");
	FILE *out = open_memstream(&text, &size);
	json_t *more = parsed(two_entries);
	view_print_more("raft log", more, out);
	fclose(out);
	assert_string_equal(text, " 9  2  14  committed    ENOENT  vm_undefine vm=9\n"
				  "10  2   0  uncommitted  -       barrier\n");
	free(text);
	json_decref(more);
}

static void hashes_name_who_differs(void **state)
{
	assert_view("raft hash",
	    parsed("{'schema': 'raft-hash-cluster/1', 'index': 36, 'agree': false,"
		   "'missing': '1 of 3 did not answer with a hash',"
		   "'members': [{'id': 1, 'node': 'hv1', 'hash': '6a24f585e9ee2b0f',"
		   "'state': 'same'}, {'id': 2, 'node': 'hv2', 'hash': '6a24f585e9ee2b10',"
		   "'state': 'differs', 'diverged_at': 30}], 'exit_status': 1}"),
	    TABLE_PLAIN,
	    "index               36\n"
	    "agree               no\n"
	    "missing             1 of 3 did not answer with a hash\n"
	    "\n"
	    "ID  NODE  HASH              STATE    DIFFERS SINCE  PROBLEM\n"
	    " 1  hv1   6a24f585e9ee2b0f  same                 -  -\n"
	    " 2  hv2   6a24f585e9ee2b10  differs             30  -\n");
	assert_view("raft hash", parsed("{'schema': 'raft-hash/1', 'index': 36, 'hash': '6a'}"),
	    TABLE_PLAIN,
	    "index               36\n"
	    "hash                6a\n"
	    "term                -\n"
	    "committed           -\n"
	    "differs since index -\n");
}

static void a_part_of_the_value_is_shown_as_it_is(void **state)
{
	assert_view("raft dump", parsed("{'path': 'vms/web1/state', 'value': 'start'}"),
	    TABLE_PLAIN, "start\n");
	assert_view("raft dump", parsed("{'path': 'primary', 'value': {'node': 1}}"), TABLE_PLAIN,
	    "{\n  \"node\": 1\n}\n");
	assert_view("raft dump", parsed("{'index': 7, 'path': null, 'value': {}}"), TABLE_PLAIN,
	    "{\n  \"index\": 7,\n  \"path\": null,\n  \"value\": {}\n}\n");
}

static void a_vm_that_moves_is_shown_with_its_bar(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *vm = parsed(
	    "{'name': 'web1', 'tags': [], 'limit': ['hv1', 'hv2'], 'migration': "
	    "{'by': 'live', 'to': 'hv2', 'tries': 1, 'aborted': true, 'again_in_ms': null, "
	    "'movement': {'percent': 50, 'left_mib': 9, 'rate_mib_s': 3, 'downtime_ms': 30}}}");
	view_print("vm info", vm, TABLE_PLAIN, out);
	fclose(out);
	assert_non_null(
	    strstr(text, "migration           live to hv2, try 2, is aborted\n"
			 "copied              [##########----------]  50 %, 9 MiB left, 3 MiB/s, "
			 "down 30 ms\n"));
	assert_non_null(strstr(text, "may be on           hv1, hv2\n"));
	assert_non_null(strstr(text, "tags                -\n"));
	free(text);
	json_decref(vm);
}

static void a_migration_that_waits_says_how_long(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *vm =
	    parsed("{'migration': {'by': 'live', 'to': null, 'tries': 2, 'again_in_ms': 1500}}");
	view_print("vm info", vm, TABLE_PLAIN, out);
	fclose(out);
	assert_non_null(strstr(text, "migration           live, try 3 in 1.5 s\n"));
	free(text);
	json_decref(vm);
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
	    cmocka_unit_test(status_shows_how_old_values_are),
	    cmocka_unit_test(values_that_never_came_have_no_age),
	    cmocka_unit_test(status_says_who_has_no_room_and_who_promised_too_much),
	    cmocka_unit_test(a_warning_is_a_line_below_what_was_done),
	    cmocka_unit_test(the_state_of_a_replica_is_a_page),
	    cmocka_unit_test(every_member_is_a_row),
	    cmocka_unit_test(health_says_why),
	    cmocka_unit_test(entries_are_rows_and_more_of_them_have_no_heading),
	    cmocka_unit_test(hashes_name_who_differs),
	    cmocka_unit_test(a_part_of_the_value_is_shown_as_it_is),
	    cmocka_unit_test(a_vm_that_moves_is_shown_with_its_bar),
	    cmocka_unit_test(a_migration_that_waits_says_how_long),
	    cmocka_unit_test(what_has_no_view_says_its_message),
	    cmocka_unit_test(every_list_has_its_columns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
