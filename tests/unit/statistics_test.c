/* Ceph's answers as one view, and what of it is told to the cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"
#include "node/statistics.h"

static struct statistics s;
static struct cluster c;
static struct command_ceph_report report;

static int open_all(void **state)
{
	s = (struct statistics){0};
	report = (struct command_ceph_report){0};
	cluster_init(&c);
	c.settings.schema = 1;
	c.primary.node = 1;
	c.primary.epoch = 5;
	return 0;
}

static int close_all(void **state)
{
	statistics_clear(&s);
	record_clear(command_record(COMMAND_ceph_report), &report);
	cluster_close(&c);
	return 0;
}

/* A view of its own, as a worker's answer is. */
static struct ceph_view view_of(const struct ceph_osd *osds, uint32_t n)
{
	struct ceph_view view = {.listed = true};
	view.osds.items = must_alloc((n + 1) * sizeof(*osds));
	view.osds.count = n;
	if (n)
		memcpy(view.osds.items, osds, n * sizeof(*osds));
	return view;
}

static void look(const struct ceph_osd *osds, uint32_t n)
{
	struct ceph_view view = view_of(osds, n);
	statistics_looked(&s, &view);
	assert_null(view.osds.items);
}

static void look_health(enum ceph_health health)
{
	struct ceph_view view = view_of(NULL, 0);
	view.status.items = must_alloc(sizeof(*view.status.items));
	*view.status.items = (struct ceph){.known = CEPH_STATUS, .health = health};
	view.status.count = 1;
	statistics_looked(&s, &view);
}

static void measure(const struct ceph_osd *osds, uint32_t n)
{
	struct ceph_view view = view_of(osds, n);
	statistics_measured(&s, &view);
	record_clear(ceph_view_record(), &view);
}

/* What is due becomes part of the value. */
static bool tell(void)
{
	struct buffer bytes = {0};
	struct err err;
	struct command command = {.number = COMMAND_ceph_report};
	record_clear(command_record(COMMAND_ceph_report), &report);
	if (!statistics_report(&s, &c, &report))
		return false;
	report.node = 1;
	report.epoch = 5;
	command.ceph_report = report;
	command_encode(&command, &bytes);
	if (cluster_apply(&c, c.index + 1, bytes.data, bytes.size, &err))
		fail_msg("%s", err.text);
	buffer_close(&bytes);
	return true;
}

static void answers_are_matched_by_their_id(void **state)
{
	const struct ceph_osd looked[] = {
	    {.id = 7, .known = CEPH_OSD_DUMP, .up = true}, {.id = 2, .known = CEPH_OSD_DUMP}};
	const struct ceph_osd measured[] = {{.id = 2, .known = CEPH_OSD_PERF, .commit_ms = 22},
	    {.id = 5, .known = CEPH_OSD_PERF, .commit_ms = 55},
	    {.id = 7, .known = CEPH_OSD_PERF, .commit_ms = 77}};
	look(looked, 2);
	measure(measured, 3);
	assert_int_equal(s.view.osds.count, 2);
	assert_int_equal(s.view.osds.items[0].id, 2);
	assert_int_equal(s.view.osds.items[0].commit_ms, 22);
	assert_false(s.view.osds.items[0].up);
	assert_int_equal(s.view.osds.items[1].id, 7);
	assert_int_equal(s.view.osds.items[1].commit_ms, 77);
	assert_true(s.view.osds.items[1].up);
	assert_int_equal(s.view.osds.items[1].known, CEPH_OSD_DUMP | CEPH_OSD_PERF);
}

static void what_is_not_said_again_is_as_it_was(void **state)
{
	const struct ceph_osd first = {.known = CEPH_OSD_DUMP | CEPH_OSD_TREE, .host = "hv1"};
	const struct ceph_osd second = {.known = CEPH_OSD_DUMP, .up = true, .host = "no word"};
	const struct ceph_osd measured = {.known = CEPH_OSD_DF, .pgs = 9};
	look(&first, 1);
	measure(&measured, 1);
	look(&second, 1);
	assert_true(s.view.osds.items[0].up);
	assert_string_equal(s.view.osds.items[0].host, "hv1");
	assert_int_equal(s.view.osds.items[0].pgs, 9);
}

/* One that is destroyed has no place any more, and one that is down may have no latencies. */
static void what_is_said_of_others_alone_goes(void **state)
{
	const struct ceph_osd looked[] = {
	    {.id = 0, .known = CEPH_OSD_DUMP | CEPH_OSD_TREE, .host = "hv1"},
	    {.id = 1, .known = CEPH_OSD_DUMP | CEPH_OSD_TREE, .host = "hv2"}};
	const struct ceph_osd measured[] = {
	    {.id = 0, .known = CEPH_OSD_DF | CEPH_OSD_PERF, .pgs = 7, .commit_ms = 5},
	    {.id = 1, .known = CEPH_OSD_DF | CEPH_OSD_PERF, .pgs = 8, .commit_ms = 6}};
	const struct ceph_osd fewer[] = {
	    {.id = 0, .known = CEPH_OSD_PERF, .commit_ms = 4}, {.id = 1}};
	const struct ceph_osd displaced[] = {looked[0], {.id = 1, .known = CEPH_OSD_DUMP}};
	look(looked, 2);
	measure(measured, 2);
	measure(fewer, 2);
	assert_int_equal(s.view.osds.items[0].commit_ms, 4);
	assert_int_equal(s.view.osds.items[1].known, CEPH_OSD_DUMP | CEPH_OSD_TREE | CEPH_OSD_DF);
	assert_int_equal(s.view.osds.items[1].commit_ms, 0);
	assert_int_equal(s.view.osds.items[1].pgs, 8);
	look(displaced, 2);
	assert_int_equal(s.view.osds.items[1].known, CEPH_OSD_DUMP | CEPH_OSD_DF);
	assert_string_equal(s.view.osds.items[1].host, "");
	assert_string_equal(s.view.osds.items[0].host, "hv1");
}

static void what_was_never_said_is_absent_and_zero(void **state)
{
	const struct ceph_osd osd = {.known = CEPH_OSD_DUMP, .pgs = 9, .host = "no word"};
	look(&osd, 1);
	assert_int_equal(s.view.osds.items[0].known, CEPH_OSD_DUMP);
	assert_int_equal(s.view.osds.items[0].pgs, 0);
	assert_string_equal(s.view.osds.items[0].host, "");
}

static void nothing_is_told_before_the_monitors_have_answered(void **state)
{
	const struct ceph_osd osd = {.known = CEPH_OSD_PERF};
	struct ceph_id gone = {4};
	c.osds.count = 0;
	measure(&osd, 1);
	assert_false(tell());
	assert_int_equal(s.view.osds.count, 0);
	look(&(struct ceph_osd){.id = gone.id}, 1);
	assert_true(tell());
	statistics_clear(&s);
	/* One that has just begun knows of no OSDs, and takes none away. */
	assert_false(tell());
	assert_int_equal(c.osds.count, 1);
}

static void what_the_value_has_is_not_told_again(void **state)
{
	const struct ceph_osd osds[] = {{.id = 0, .known = CEPH_OSD_DUMP, .up = true},
	    {.id = 1, .known = CEPH_OSD_DUMP, .up = true}};
	struct ceph_osd changed = osds[1];
	look(osds, 2);
	assert_true(tell());
	assert_int_equal(report.osds.count, 2);
	look(osds, 2);
	assert_false(tell());
	changed.known = CEPH_OSD_PERF;
	changed.apply_ms = 3;
	measure(&changed, 1);
	assert_true(tell());
	assert_int_equal(report.osds.count, 1);
	assert_int_equal(report.osds.items[0].id, 1);
	assert_int_equal(report.status.count, 0);
	assert_false(tell());
}

static void an_osd_that_is_gone_is_told(void **state)
{
	const struct ceph_osd osds[] = {{.id = 0}, {.id = 1}, {.id = 2}};
	look(osds, 3);
	assert_true(tell());
	look(osds + 1, 1);
	assert_true(tell());
	assert_int_equal(report.osds.count, 0);
	assert_int_equal(report.osds_gone.count, 2);
	assert_int_equal(report.osds_gone.items[1].id, 2);
	assert_int_equal(c.osds.count, 1);
	look(NULL, 0);
	assert_true(tell());
	assert_int_equal(c.osds.count, 0);
	assert_false(tell());
}

static void a_look_that_lists_nothing_takes_nothing_away(void **state)
{
	const struct ceph_osd osds[] = {{.id = 0}, {.id = 1}};
	const struct ceph_osd partly = {.id = 1, .known = CEPH_OSD_TREE, .host = "hv1"};
	struct ceph_view view = view_of(&partly, 1);
	look(osds, 2);
	assert_true(tell());
	view.listed = false;
	statistics_looked(&s, &view);
	assert_true(tell());
	assert_int_equal(c.osds.count, 2);
	assert_string_equal(ceph_osd_find(&c, 1)->host, "hv1");
}

static void health_is_told_when_it_changes(void **state)
{
	look_health(CEPH_OK);
	assert_true(tell());
	c.settings.time_ms = 5000;
	look_health(CEPH_OK);
	assert_false(tell());
	look_health(CEPH_WARNING);
	assert_true(tell());
	assert_int_equal(report.osds.count, 0);
	assert_int_equal(c.ceph.health, CEPH_WARNING);
	assert_int_equal(c.ceph.changed_ms, 5000);
	assert_false(tell());
}

static void pools_are_told_as_osds_are(void **state)
{
	struct ceph_view view = {.listed = true}, measured = {0};
	struct ceph_pool pool = {.id = 1, .known = CEPH_POOL_IO, .read_ops = 8};
	view.pools.items = must_alloc(2 * sizeof(*view.pools.items));
	view.pools.count = 2;
	view.pools.items[0] = (struct ceph_pool){.id = 3, .name = "images"};
	view.pools.items[1] = (struct ceph_pool){.id = 1, .name = "vms"};
	measured.pools.items = &pool;
	measured.pools.count = 1;
	statistics_looked(&s, &view);
	statistics_measured(&s, &measured);
	assert_true(tell());
	assert_int_equal(c.pools.count, 2);
	assert_string_equal(ceph_pool_find(&c, 1)->name, "vms");
	assert_int_equal(ceph_pool_find(&c, 1)->read_ops, 8);
	assert_int_equal(ceph_pool_find(&c, 3)->known, 0);
	assert_false(tell());
}

/* What it measured when it was the primary the last time is older than what the value has. */
static void a_primary_goes_on_with_what_the_one_before_it_measured(void **state)
{
	const struct ceph_osd listed[] = {{.id = 0, .known = CEPH_OSD_DUMP, .up = true},
	    {.id = 1, .known = CEPH_OSD_DUMP, .up = true}};
	const struct ceph_osd old[] = {
	    {.id = 0, .known = CEPH_OSD_DF | CEPH_OSD_IO, .used_kib = 10, .read_ops = 7},
	    {.id = 1, .known = CEPH_OSD_DF, .used_kib = 20}};
	const struct ceph_osd new = {.id = 0, .known = CEPH_OSD_DF, .used_kib = 11};
	look(listed, 2);
	measure(&new, 1);
	assert_true(tell());
	measure(old, 2);
	statistics_adopt(&s, &c);
	assert_int_equal(s.view.osds.items[0].known, CEPH_OSD_DUMP | CEPH_OSD_DF);
	assert_int_equal(s.view.osds.items[0].used_kib, 11);
	assert_int_equal(s.view.osds.items[0].read_ops, 0);
	assert_true(s.view.osds.items[0].up);
	assert_int_equal(s.view.osds.items[1].known, CEPH_OSD_DUMP);
	assert_int_equal(s.view.osds.items[1].used_kib, 0);
	assert_false(tell());
}

/* An answer that nobody checked. */
static void an_id_that_comes_twice_counts_once_and_too_many_are_left_out(void **state)
{
	uint32_t n = CEPH_OSDS_MAX + 8;
	struct ceph_osd *osds = must_alloc(n * sizeof(*osds));
	for (uint32_t i = 0; i < n; i++)
		osds[i].id = n - i / 2 * 2;
	look(osds, n);
	assert_int_equal(s.view.osds.count, n / 2);
	assert_int_equal(s.left_out, 0);
	assert_true(tell());
	for (uint32_t i = 0; i < n; i++)
		osds[i].id = n - i;
	look(osds, n);
	assert_int_equal(s.view.osds.count, CEPH_OSDS_MAX);
	assert_int_equal(s.left_out, 8);
	assert_int_equal(s.view.osds.items[CEPH_OSDS_MAX - 1].id, CEPH_OSDS_MAX);
	assert_true(tell());
	assert_int_equal(c.osds.count, CEPH_OSDS_MAX);
	free(osds);
}

static void the_osds_of_a_machine_are_those_below_its_name(void **state)
{
	const struct ceph_osd osds[] = {{.id = 0, .known = CEPH_OSD_TREE, .host = "hv1"},
	    {.id = 1, .known = CEPH_OSD_TREE, .host = "hv11"},
	    {.id = 2, .known = CEPH_OSD_TREE, .host = "box.lan"}, {.id = 3},
	    {.id = 4, .known = CEPH_OSD_TREE, .host = "h"}};
	const char *const names[] = {"hv1.example.org", "box.lan", "", NULL};
	uint32_t n;
	look(osds, 5);
	struct ceph_id *ids = statistics_osds_of(&s, names, &n);
	assert_int_equal(n, 2);
	assert_int_equal(ids[0].id, 0);
	assert_int_equal(ids[1].id, 2);
	free(ids);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(answers_are_matched_by_their_id),
	    TEST(what_is_not_said_again_is_as_it_was),
	    TEST(what_is_said_of_others_alone_goes),
	    TEST(what_was_never_said_is_absent_and_zero),
	    TEST(nothing_is_told_before_the_monitors_have_answered),
	    TEST(what_the_value_has_is_not_told_again),
	    TEST(an_osd_that_is_gone_is_told),
	    TEST(a_look_that_lists_nothing_takes_nothing_away),
	    TEST(health_is_told_when_it_changes),
	    TEST(pools_are_told_as_osds_are),
	    TEST(a_primary_goes_on_with_what_the_one_before_it_measured),
	    TEST(an_id_that_comes_twice_counts_once_and_too_many_are_left_out),
	    TEST(the_osds_of_a_machine_are_those_below_its_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
