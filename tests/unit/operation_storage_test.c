/* What people and programs are told of Ceph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "fsm/ceph.h"
#include "node/member/health.h"
#include "tests/unit/stage.h"
#include "tools/view.h"

static struct stage s;

static const struct ceph_osd osds[] = {
    {.id = 0,
	.known = CEPH_OSD_DUMP | CEPH_OSD_TREE | CEPH_OSD_DF | CEPH_OSD_PERF | CEPH_OSD_IO,
	.uuid = "d383b04b-1ef1-469b-a7bb-f119b4cb3c23",
	.up = true,
	.in = true,
	.reweight_micro = 950000,
	.affinity_micro = 500000,
	.host = "box",
	.device_class = "hdd",
	.weight_micro = 1953,
	.pgs = 33,
	.size_kib = 2097152,
	.used_kib = 524288,
	.available_kib = 1572864,
	.utilization_micro = 25000000,
	.variance_micro = 1020000,
	.commit_ms = 3,
	.apply_ms = 4,
	.read_ops = 7,
	.read_bytes = 8192,
	.write_ops = 9,
	.write_bytes = 20480},
    {.id = 3, .known = CEPH_OSD_DUMP | CEPH_OSD_TREE, .host = "hv1", .in = true},
    {.id = 4, .known = CEPH_OSD_DUMP},
};
static const struct ceph_pool pools[] = {
    {.id = 1, .name = ".mgr"},
    {.id = 2,
	.name = "vms",
	.known = CEPH_POOL_DUMP | CEPH_POOL_DF,
	.pgs = 32,
	.replicas = 3,
	.stored_kib = 1024,
	.used_kib = 3072,
	.available_kib = 4096,
	.utilization_micro = 1500000,
	.objects = 12},
};
static const struct ceph status = {.known = CEPH_STATUS | CEPH_DF,
    .fsid = "00000000-0000-4000-8000-000000000000",
    .health = CEPH_WARNING,
    .health_message = "1 osds down",
    .osds = 3,
    .osds_up = 1,
    .osds_in = 2,
    .pgs = 33,
    .pgs_message = "33 active+clean",
    .monitors = 3,
    .monitors_in_quorum = 2,
    .manager = true,
    .size_kib = 6291456,
    .used_kib = 1024,
    .available_kib = 6290432};

static void report(const struct ceph *of)
{
	struct command command = {.number = COMMAND_ceph_report,
	    .ceph_report = {.node = 1,
		.epoch = 7,
		.status = {(struct ceph *)(uintptr_t)of, 1},
		.osds = {(struct ceph_osd *)(uintptr_t)osds, 3},
		.pools = {(struct ceph_pool *)(uintptr_t)pools, 2}}};
	assert_int_equal(stage_apply(&s, &command, NULL), 0);
}

/* The OSD 0 is in the machine of hv1, which Ceph calls otherwise. */
static void hear(void)
{
	struct ceph_id id = {0};
	struct collector collectors[] = {{.name = "host", .state = COLLECTOR_OK},
	    {.name = "pool", .state = COLLECTOR_OK, .age_ms = 300},
	    {.name = "manager", .state = COLLECTOR_STUCK, .age_ms = 12000}};
	struct keepalive keepalive = {.node = 1, .osds = {&id, 1}, .collectors = {collectors, 3}};
	struct command command = {
	    .number = COMMAND_tick, .tick = {.elapsed_ms = 4000, .keepalives = {&keepalive, 1}}};
	assert_int_equal(stage_apply(&s, &command, NULL), 0);
}

static int open_storage(void **state)
{
	stage_open(&s);
	report(&status);
	hear();
	return 0;
}

static int close_storage(void **state)
{
	stage_close(&s);
	return 0;
}

static struct stage_answer ask(const char *name, json_t *arguments)
{
	struct operation_call call;
	struct stage_answer answer = {0};
	struct err err;
	if (operation_read(name, arguments, &call, &err))
		fail_msg("%s", err.text);
	operation_run(&s.context, &call, stage_done, &answer);
	operation_call_close(&call);
	json_decref(arguments);
	assert_true(answer.done);
	return answer;
}

static void assert_json(const char *name, json_t *arguments, const char *wanted)
{
	struct stage_answer answer = ask(name, arguments);
	assert_int_equal(answer.status, 0);
	char *text = json_dumps(answer.result, JSON_COMPACT | JSON_REAL_PRECISION(9));
	assert_string_equal(text, wanted);
	free(text);
	json_decref(answer.result);
}

static void assert_view(const char *name, json_t *arguments, const char *wanted)
{
	struct stage_answer answer = ask(name, arguments);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	view_print(name, answer.result, TABLE_PLAIN, out);
	fclose(out);
	assert_string_equal(text, wanted);
	free(text);
	json_decref(answer.result);
}

static void what_was_not_given_has_no_key(void **state)
{
	assert_json("storage osd info", json_pack("{s:i}", "osd", 4),
	    "{\"id\":4,\"uuid\":\"\",\"up\":false,\"in\":false,\"reweight\":0.0,"
	    "\"affinity\":0.0}");
	assert_json("storage osd info", json_pack("{s:i}", "osd", 0),
	    "{\"id\":0,\"uuid\":\"d383b04b-1ef1-469b-a7bb-f119b4cb3c23\",\"up\":true,\"in\":true,"
	    "\"reweight\":0.95,\"affinity\":0.5,\"host\":\"box\",\"device_class\":\"hdd\","
	    "\"weight\":0.001953,\"pgs\":33,\"size_kib\":2097152,\"used_kib\":524288,"
	    "\"available_kib\":1572864,\"utilization\":25.0,\"variance\":1.02,\"commit_ms\":3,"
	    "\"apply_ms\":4,\"read_ops\":7,\"read_bytes\":8192,\"write_ops\":9,"
	    "\"write_bytes\":20480,\"node\":\"hv1\"}");
	assert_json("storage pool list", NULL,
	    "[{\"id\":1,\"name\":\".mgr\"},{\"id\":2,\"name\":\"vms\",\"pgs\":32,\"replicas\":3,"
	    "\"stored_kib\":1024,\"used_kib\":3072,\"available_kib\":4096,\"utilization\":1.5,"
	    "\"objects\":12}]");
}

static void an_osd_is_of_the_node_that_says_so_or_is_called_as_its_host(void **state)
{
	struct stage_answer answer = ask("storage osd list", NULL);
	static const char *const wanted[] = {"hv1", "hv1", NULL};
	assert_int_equal(json_array_size(answer.result), 3);
	for (size_t i = 0; i < 3; i++) {
		const char *node =
		    json_string_value(json_object_get(json_array_get(answer.result, i), "node"));
		if (wanted[i])
			assert_string_equal(node, wanted[i]);
		else
			assert_null(node);
	}
	json_decref(answer.result);
}

static void a_node_shows_its_osds_and_addresses(void **state)
{
	struct command hello = {.number = COMMAND_node_hello,
	    .node_hello = {.node = 1, .addresses = "10.0.0.1 fd00::1"}};
	assert_int_equal(stage_apply(&s, &hello, NULL), 0);
	struct stage_answer answer = ask("node info", json_pack("{s:s}", "node", "hv1"));
	char *text = json_dumps(json_object_get(answer.result, "addresses"), JSON_COMPACT);
	assert_string_equal(text, "[\"10.0.0.1\",\"fd00::1\"]");
	free(text);
	text = json_dumps(json_object_get(answer.result, "osds"), JSON_COMPACT);
	assert_string_equal(text, "[0]");
	free(text);
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	view_print("node info", answer.result, TABLE_PLAIN, out);
	fclose(out);
	assert_non_null(
	    strstr(text, "\nOSDs                0\nown addresses       10.0.0.1, fd00::1\n"));
	free(text);
	json_decref(answer.result);
}

static void there_is_no_osd_of_another_number(void **state)
{
	struct stage_answer answer = ask("storage osd info", json_pack("{s:i}", "osd", 2));
	assert_int_equal(answer.status, -ENOENT);
	assert_string_equal(answer.err.text, "there is no OSD 2");
	answer = ask(
	    "storage osd info", json_pack("{s:I}", "osd", (json_int_t)UINT32_MAX + 1 + osds[1].id));
	assert_int_equal(answer.status, -ENOENT);
}

static void the_tables_show_a_dash_for_what_was_not_given(void **state)
{
	assert_view("storage osd list", NULL,
	    "OSD  NODE  HOST  UP   IN   CLASS    WEIGHT  REWEIGHT  PGS        SIZE "
	    "      USED   AVAILABLE      USE   VAR  READ OPS  READ/S  WRITE OPS   W"
	    "RITE/S  COMMIT  APPLY\n"
	    "  0  hv1   box   yes  yes  hdd    0.001953      0.95   33  2048.0 MiB "
	    " 512.0 MiB  1536.0 MiB  25.00 %  1.02         7  8192 B          9  20"
	    ".0 KiB    3 ms   4 ms\n"
	    "  3  hv1   hv1   no   yes                0         0    -           - "
	    "         -           -        -     -         -       -          -    "
	    "     -       -      -\n"
	    "  4  -     -     no   no   -             -         0    -           - "
	    "         -           -        -     -         -       -          -    "
	    "     -       -      -\n");
	assert_view("storage pool list", NULL,
	    "NAME  ID  PGS  REPLICAS      STORED        USED   AVAILABLE     USE  O"
	    "BJECTS  READ OPS  READ/S  WRITE OPS  WRITE/S\n"
	    ".mgr   1    -         -           -           -           -       -   "
	    "     -         -       -          -        -\n"
	    "vms    2   32         3  1024.0 KiB  3072.0 KiB  4096.0 KiB  1.50 %   "
	    "    12         -       -          -        -\n");
}

static void status_tells_since_when_and_how_old_it_is(void **state)
{
	assert_view("storage status", NULL,
	    "health              warning\n"
	    "because             1 osds down\n"
	    "for                 4.0 s\n"
	    "cluster             00000000-0000-4000-8000-000000000000\n"
	    "monitors            3\n"
	    "in quorum           2\n"
	    "manager             yes\n"
	    "OSDs                3\n"
	    "OSDs up             1\n"
	    "OSDs in             2\n"
	    "PGs                 33\n"
	    "PGs by state        33 active+clean\n"
	    "pools               2\n"
	    "size                6144.0 MiB\n"
	    "used                1024.0 KiB\n"
	    "available           6143.0 MiB\n"
	    "measured by         hv1\n"
	    "collectors          pool ok (0.3 s), manager stuck (12 s)\n");
}

static void before_the_first_report_nothing_is_known(void **state)
{
	struct stage_answer answer;
	stage_close(&s);
	stage_open(&s);
	assert_json("storage status", NULL,
	    "{\"pools\":0,\"node\":\"hv1\",\"collectors\":{},"
	    "\"health_message\":\"the primary has not asked Ceph: "
	    "see functions.enable_storage there\"}");
	assert_json("storage osd list", NULL, "[]");
	answer = ask("storage osd info", json_pack("{s:i}", "osd", 0));
	assert_string_equal(
	    answer.err.text, "there is no OSD 0: Ceph has none, or was not asked yet");
	answer = ask("status", NULL);
	assert_true(json_is_null(json_object_get(answer.result, "storage")));
	json_decref(answer.result);
}

/* Judged as if nothing else were there. */
static enum health_level judged(enum ceph_health ceph, const char *wanted)
{
	struct ceph is = status;
	struct health_log log = {.status = {.leader = 1, .role = REPLICA_LEADER, .voters = 1}};
	struct health health;
	bool said = false;
	is.health = ceph;
	report(&is);
	stage_tick(&s, 1, 100, COLLECTOR_OK);
	health_judge(&s.cluster, &log, 0, &health);
	for (unsigned i = 0; i < health.count; i++)
		said = said || !strcmp(health.messages[i], wanted);
	assert_int_equal(said, *wanted != 0);
	assert_int_equal(health.count, *wanted != 0);
	return health.level;
}

static void the_cluster_is_as_well_as_ceph_is(void **state)
{
	assert_int_equal(judged(CEPH_OK, ""), HEALTH_HEALTHY);
	assert_int_equal(judged(CEPH_WARNING, "Ceph: warning: 1 osds down"), HEALTH_DEGRADED);
	assert_int_equal(judged(CEPH_ERROR, "Ceph: error: 1 osds down"), HEALTH_CRITICAL);
	assert_int_equal(judged(CEPH_UNKNOWN, ""), HEALTH_HEALTHY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_storage, close_storage)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_not_given_has_no_key),
	    TEST(an_osd_is_of_the_node_that_says_so_or_is_called_as_its_host),
	    TEST(a_node_shows_its_osds_and_addresses),
	    TEST(there_is_no_osd_of_another_number),
	    TEST(the_tables_show_a_dash_for_what_was_not_given),
	    TEST(status_tells_since_when_and_how_old_it_is),
	    TEST(before_the_first_report_nothing_is_known),
	    TEST(the_cluster_is_as_well_as_ceph_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
