/* Ceph's answers, as a cluster of Ceph 16.2 gave them: the fuzzer's corpus, whose first byte is the
 * number of the command. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/ceph.h"
#include "storage/ceph_answer.h"
#include "storage/ceph_view.h"

#define RECORDED "tests/fuzz/corpus/ceph_answer/"
#define OSD_ALL	 (CEPH_OSD_DUMP | CEPH_OSD_TREE | CEPH_OSD_DF | CEPH_OSD_PERF | CEPH_OSD_IO)

#define PERF "{\"commit_latency_ms\": -5, \"apply_latency_ms\": 1e99}"

static struct ceph_view view;

static int view_clear(void **state)
{
	record_clear(ceph_view_record(), &view);
	return 0;
}

/* name: command-cluster, a file of RECORDED. */
static void read_recorded(const char *name)
{
	char path[256];
	static char answer[1 << 16];
	snprintf(path, sizeof(path), RECORDED "%s", name);
	FILE *file = fopen(path, "rb");
	if (!file)
		fail_msg("no %s: not started in the top directory?", path);
	size_t size = fread(answer, 1, sizeof(answer), file);
	fclose(file);
	assert_in_range(size, 1, sizeof(answer) - 1);
	struct err err = {""};
	int rc = ceph_answer_read(
	    (enum ceph_command)(answer[0] - '0'), answer + 1, size - 1, &view, &err);
	if (rc != 0)
		fail_msg("%s: %s", name, err.text);
}

static int read_text(enum ceph_command command, const char *text)
{
	return ceph_answer_read(command, text, strlen(text), &view, NULL);
}

static const struct ceph_osd *osd(uint32_t id)
{
	const struct ceph_osd *found = ceph_view_osd_seek(&view, id);
	assert_non_null(found);
	return found;
}

static void a_healthy_cluster_is_told_in_whole(void **state)
{
	read_recorded("status-busy");
	read_recorded("df-busy");
	assert_int_equal(view.status.count, 1);
	const struct ceph *c = view.status.items;
	assert_int_equal(c->known, CEPH_STATUS | CEPH_DF);
	assert_string_equal(c->fsid, "048bded0-af9a-48b9-956d-8397bdf9d15c");
	assert_int_equal(c->health, CEPH_OK);
	assert_string_equal(c->health_message, "");
	assert_int_equal(c->osds, 3);
	assert_int_equal(c->osds_up, 3);
	assert_int_equal(c->osds_in, 3);
	assert_int_equal(c->pgs, 13);
	assert_string_equal(c->pgs_message, "13 active+clean");
	assert_int_equal(c->monitors, 1);
	assert_int_equal(c->monitors_in_quorum, 1);
	assert_true(c->manager);
	assert_int_equal(c->size_kib, 6291456);
	assert_int_equal(c->used_kib, 1987223552 / 1024);
	assert_int_equal(c->available_kib, 4455227392 / 1024);
}

static void what_is_wrong_is_told_shortest_first(void **state)
{
	read_recorded("status-degraded");
	const struct ceph *c = view.status.items;
	assert_int_equal(c->health, CEPH_WARNING);
	assert_string_equal(c->health_message,
	    "1 osds down; noout flag(s) set; "
	    "Degraded data redundancy: 10557/28194 objects degraded (37.444%), 6 pgs degraded");
	assert_string_equal(c->pgs_message,
	    "3 active+clean+remapped, 3 active+undersized, "
	    "3 active+recovery_wait+undersized+degraded+remapped, 2 active+undersized+degraded, "
	    "1 active+clean, 1 active+recovering+undersized+degraded+remapped");
	assert_int_equal(c->osds, 4);
	assert_int_equal(c->osds_up, 2);
}

static void checks_are_cut_at_a_whole_one_and_muted_ones_left_out(void **state)
{
	char text[2048], long_one[480];
	memset(long_one, 'a', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	snprintf(text, sizeof(text),
	    "{\"health\": {\"status\": \"HEALTH_WARN\", \"checks\": {"
	    "\"A\": {\"summary\": {\"message\": \"%s\"}},"
	    "\"B\": {\"summary\": {\"message\": \"muted\"}, \"muted\": true},"
	    "\"C\": {\"summary\": {\"message\": \"a short\\none\"}},"
	    "\"D\": {\"summary\": {\"message\": \"and one of thirty-two characters\"}}}},"
	    "\"osdmap\": {}, \"pgmap\": {}}",
	    long_one);
	assert_int_equal(read_text(CEPH_status, text), 0);
	assert_string_equal(
	    view.status.items->health_message, "a short one; and one of thirty-two characters");
}

static void one_check_that_has_no_room_is_told_in_part(void **state)
{
	char text[1024], long_one[600];
	memset(long_one, 'a', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	snprintf(text, sizeof(text),
	    "{\"health\": {\"status\": \"HEALTH_ERR\", \"checks\": {"
	    "\"A\": {\"summary\": {\"message\": \"%s\"}}}},"
	    "\"osdmap\": {}, \"pgmap\": {}}",
	    long_one);
	assert_int_equal(read_text(CEPH_status, text), 0);
	const struct ceph *c = view.status.items;
	assert_int_equal(strspn(c->health_message, "a"), sizeof(c->health_message) - 1);
}

static void disks_are_told_field_by_field(void **state)
{
	/* The manager's first: answers come in any order. */
	read_recorded("osd_status-reading");
	read_recorded("osd_perf-busy");
	read_recorded("osd_df-degraded");
	read_recorded("osd_tree-degraded");
	assert_false(view.listed);
	read_recorded("osd_dump-degraded");
	assert_true(view.listed);
	assert_int_equal(view.osds.count, 4);
	const struct ceph_osd *o = osd(2);
	assert_int_equal(o->known, OSD_ALL);
	assert_string_equal(o->uuid, "d383b04b-1ef1-469b-a7bb-f119b4cb3c23");
	assert_true(o->up && o->in);
	assert_int_equal(o->reweight_micro, 1000000);
	assert_int_equal(o->affinity_micro, 500000);
	assert_string_equal(o->host, "vm");
	assert_string_equal(o->device_class, "hdd");
	assert_int_equal(o->weight_micro, 500000);
	assert_int_equal(o->pgs, 9);
	assert_int_equal(o->size_kib, 2097152);
	assert_int_equal(o->used_kib, 762236);
	assert_int_equal(o->available_kib, 1334916);
	assert_int_equal(o->utilization_micro, 36346245);
	assert_int_equal(o->variance_micro, 836228);
	assert_int_equal(o->commit_ms, 5);
	assert_int_equal(o->apply_ms, 5);
	assert_int_equal(o->write_ops, 244);
	assert_int_equal(o->write_bytes, 976 * 1024);
	assert_int_equal(o->read_ops, 1133);
	assert_int_equal(o->read_bytes, 74239181); /* 70.8M */
	assert_int_equal(osd(0)->reweight_micro, 750000);
	assert_int_equal(osd(0)->read_ops, 359);
}

static void a_disk_that_is_down_keeps_what_is_known_of_it(void **state)
{
	read_recorded("osd_dump-degraded");
	read_recorded("osd_tree-degraded");
	read_recorded("osd_df-degraded");
	read_recorded("osd_status-degraded");
	const struct ceph_osd *o = osd(1);
	assert_false(o->up);
	assert_true(o->in);
	assert_string_equal(o->host, "vm");
	assert_int_equal(o->used_kib, 985248);
	assert_int_equal(o->pgs, 0);
	assert_true(o->known & CEPH_OSD_IO);
}

static void what_a_command_did_not_give_is_absent(void **state)
{
	/* Made known to Ceph a moment ago: it has no host, no class, no latencies yet. */
	read_recorded("osd_dump-degraded");
	read_recorded("osd_tree-degraded");
	read_recorded("osd_perf-degraded");
	read_recorded("osd_status-degraded");
	const struct ceph_osd *o = osd(3);
	assert_int_equal(o->known, CEPH_OSD_DUMP | CEPH_OSD_TREE | CEPH_OSD_IO);
	assert_string_equal(o->host, "");
	assert_string_equal(o->device_class, "");
	/* Nothing of the manager's. */
	view_clear(state);
	read_recorded("osd_tree-busy");
	assert_false(view.listed);
	read_recorded("osd_dump-busy");
	assert_true(view.listed);
	for (uint32_t id = 0; id < 3; id++)
		assert_int_equal(osd(id)->known, CEPH_OSD_DUMP | CEPH_OSD_TREE);
}

static void a_host_is_only_told_of_disks_that_are_there(void **state)
{
	assert_int_equal(read_text(CEPH_osd_tree,
			     "{\"nodes\": [{\"type\": \"host\", \"id\": -2, \"name\": \"hv1\", "
			     "\"children\": [1, 4, -3, \"x\"]}, "
			     "{\"type\": \"rack\", \"name\": \"r\", \"children\": [1]}, "
			     "{\"type\": \"osd\", \"id\": 1, \"crush_weight\": 2}]}"),
	    0);
	assert_int_equal(view.osds.count, 1);
	assert_string_equal(osd(1)->host, "hv1");
	assert_int_equal(osd(1)->weight_micro, 2000000);
	/* It was moved out of the host since. */
	assert_int_equal(read_text(CEPH_osd_tree,
			     "{\"nodes\": [{\"type\": \"osd\", \"id\": 1, \"crush_weight\": 2}]}"),
	    0);
	assert_string_equal(osd(1)->host, "");
}

static void pools_are_matched_by_id(void **state)
{
	read_recorded("osd_pool_stats-reading");
	read_recorded("df-busy");
	read_recorded("osd_dump-busy");
	assert_int_equal(view.pools.count, 3);
	const struct ceph_pool *rbd = &view.pools.items[0], *vms = &view.pools.items[2];
	assert_int_equal(rbd->known, CEPH_POOL_DUMP | CEPH_POOL_DF | CEPH_POOL_IO);
	assert_string_equal(rbd->name, "rbd");
	assert_int_equal(rbd->id, 1);
	assert_int_equal(rbd->pgs, 8);
	assert_int_equal(rbd->replicas, 2);
	assert_int_equal(rbd->stored_kib, 567508992 / 1024);
	assert_int_equal(rbd->used_kib, 1108424);
	assert_int_equal(rbd->available_kib, 1995869696 / 1024);
	assert_int_equal(rbd->utilization_micro, 22139226);
	assert_int_equal(rbd->objects, 8655);
	assert_int_equal(rbd->read_ops, 1066);
	assert_int_equal(rbd->read_bytes, 69906555);
	assert_int_equal(rbd->write_ops, 0);
	assert_string_equal(vms->name, "vms");
	assert_int_equal(vms->pgs, 4);
	assert_int_equal(vms->write_ops, 640);
	assert_int_equal(vms->write_bytes, 2623117);
}

static void no_disks_at_all_are_a_normal_state(void **state)
{
	for (enum ceph_command c = 0; c < CEPH_COMMANDS; c++) {
		static const char *const names[] = {
#define CEPH_COMMAND(name, server, words) #name "-zero",
#include "storage/ceph_command.def"
#undef CEPH_COMMAND
		};
		read_recorded(names[c]);
	}
	assert_int_equal(view.osds.count, 0);
	assert_int_equal(view.status.items->health, CEPH_WARNING);
	assert_string_equal(
	    view.status.items->health_message, "OSD count 0 < osd_pool_default_size 2");
	assert_int_equal(view.status.items->size_kib, 0);
	assert_int_equal(view.pools.count, 1);
}

static void rates_are_read_from_json_where_a_release_has_it(void **state)
{
	read_recorded("osd_status-json");
	assert_int_equal(osd(0)->known, CEPH_OSD_IO);
	assert_int_equal(osd(0)->read_ops, 2);
	assert_int_equal(osd(0)->read_bytes, 4096);
	assert_int_equal(osd(0)->write_ops, 7);
	assert_int_equal(osd(0)->write_bytes, 70);
}

static void a_map_inside_the_map_is_read_as_well(void **state)
{
	read_recorded("status-nautilus");
	assert_int_equal(view.status.items->osds_up, 2);
	assert_int_equal(view.status.items->monitors, 3);
	assert_int_equal(view.status.items->monitors_in_quorum, 2);
	assert_int_equal(view.status.items->health, CEPH_ERROR);
	assert_false(view.status.items->manager);
}

static void a_number_that_is_none_leaves_its_group_out(void **state)
{
	read_recorded("osd_df-nan");
	assert_null(ceph_view_osd_seek(&view, 0));
	assert_int_equal(osd(1)->known, CEPH_OSD_DF);
	assert_int_equal(osd(1)->used_kib, INT64_MAX);
	assert_int_equal(osd(1)->variance_micro, 1500000);
}

static void of_too_many_disks_the_lowest_ids_stay(void **state)
{
	struct buffer text = {0};
	buffer_print(&text, "{\"osd_perf_infos\": [");
	for (int id = 3 * CEPH_OSDS_MAX; id > 0; id--)
		buffer_print(&text,
		    "{\"id\": %d, \"perf_stats\": {\"commit_latency_ms\": %d, "
		    "\"apply_latency_ms\": 1}}%s",
		    id, id, id > 1 ? ", " : "]}");
	assert_int_equal(
	    ceph_answer_read(CEPH_osd_perf, (char *)text.data, text.size, &view, NULL), 0);
	buffer_close(&text);
	assert_int_equal(view.osds.count, CEPH_OSDS_MAX);
	for (uint32_t i = 0; i < view.osds.count; i++) {
		assert_int_equal(view.osds.items[i].id, i + 1);
		assert_int_equal(view.osds.items[i].commit_ms, i + 1);
	}
}

static void what_makes_no_sense_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		enum ceph_command command;
		const char *text;
	} cases[] = {
	    {CEPH_status, ""},
	    {CEPH_status, "{}"},
	    {CEPH_status, "{\"health\": 1, \"osdmap\": {}, \"pgmap\": {}}"},
	    {CEPH_status, "{\"health\": {}, \"osdmap\": {}, \"pgmap\": {}"},
	    {CEPH_osd_dump, "[]"},
	    {CEPH_osd_dump, "{\"osds\": {}, \"pools\": []}"},
	    {CEPH_osd_tree, "{\"nodes\": null}"},
	    {CEPH_df, "{\"stats\": {}, \"pools\": []}"},
	    {CEPH_osd_df, "nan"},
	    {CEPH_osd_df, "{\"nodes\": \"\\"},
	    {CEPH_osd_perf, "{\"osdstats\": []}"},
	    {CEPH_osd_pool_stats, "{}"},
	    {CEPH_osd_status, "ID HOST STATE\n1 a exists,up\n"},
	    {CEPH_osd_status, "{\"OSDs\": 1}"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (read_text(cases[i].command, cases[i].text) != -EBADMSG)
			fail_msg("taken: %s", cases[i].text);
		assert_int_equal(view.status.count + view.osds.count + view.pools.count, 0);
	}
	/* A quotation mark within a text does not end it. */
	assert_int_equal(
	    read_text(CEPH_osd_df,
		"{\"nodes\": [{\"name\": \"a\\\"nan\", \"id\": 7, \"kb\": 1, \"kb_used\": 1, "
		"\"kb_avail\": 0, \"utilization\": 1, \"var\": 1, \"pgs\": 1, \"x\": nan}]}"),
	    0);
	assert_int_equal(view.osds.count, 1);
	record_clear(ceph_view_record(), &view);
	/* One of a list that makes no sense does not spoil the others. */
	assert_int_equal(read_text(CEPH_osd_perf, "{\"osd_perf_infos\": [7, {\"id\": 2},"
						  "{\"id\": -1, \"perf_stats\": " PERF "},"
						  "{\"id\": 1e30, \"perf_stats\": " PERF "},"
						  "{\"id\": 3, \"perf_stats\": " PERF "}]}"),
	    0);
	assert_int_equal(view.osds.count, 1);
	assert_int_equal(osd(3)->known, CEPH_OSD_PERF);
	assert_int_equal(osd(3)->commit_ms, 0);
	assert_int_equal(osd(3)->apply_ms, UINT32_MAX);
}

static void rows_of_a_table_that_make_no_sense_are_left_out(void **state)
{
	assert_int_equal(read_text(CEPH_osd_status,
			     "ID  HOST  USED  AVAIL  WR OPS  WR DATA  RD OPS  RD DATA  STATE\n"
			     " 1  a  1  2  3  4k  1.5k  1.5M  exists,up\n"
			     " 2  a  1  2  3  4k  5  6q  exists,up\n"
			     " 3  a  1  2  -3  4k  5  6  exists,up\n"
			     "k  a  1  2  3  4k  5  6  exists,up\n"
			     " 4  5  6  7\n"
			     " 5  1  2  3  4  5  9E  exists\n"
			     "18446744073709551617  1  2  3  4  5  6  exists"),
	    0);
	assert_int_equal(view.osds.count, 2);
	assert_int_equal(osd(1)->write_bytes, 4096);
	assert_int_equal(osd(1)->read_ops, 1500);
	assert_int_equal(osd(1)->read_bytes, 1536 * 1024);
	assert_int_equal(osd(5)->read_ops, 5);
	assert_int_equal(osd(5)->read_bytes, INT64_MAX);
}

#define TEST(name) cmocka_unit_test_teardown(name, view_clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_healthy_cluster_is_told_in_whole),
	    TEST(what_is_wrong_is_told_shortest_first),
	    TEST(checks_are_cut_at_a_whole_one_and_muted_ones_left_out),
	    TEST(one_check_that_has_no_room_is_told_in_part),
	    TEST(disks_are_told_field_by_field),
	    TEST(a_disk_that_is_down_keeps_what_is_known_of_it),
	    TEST(what_a_command_did_not_give_is_absent),
	    TEST(a_host_is_only_told_of_disks_that_are_there),
	    TEST(pools_are_matched_by_id),
	    TEST(no_disks_at_all_are_a_normal_state),
	    TEST(rates_are_read_from_json_where_a_release_has_it),
	    TEST(a_map_inside_the_map_is_read_as_well),
	    TEST(a_number_that_is_none_leaves_its_group_out),
	    TEST(of_too_many_disks_the_lowest_ids_stay),
	    TEST(what_makes_no_sense_is_refused_and_changes_nothing),
	    TEST(rows_of_a_table_that_make_no_sense_are_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
