/* Entries of the log as rows: which are found, and what is told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/operation/entry_json.h"
#include "raft/batch.h"
#include "raft/configuration.h"

#define ENTRIES_MAX 64

struct shelf { /* a log from index 10 on */
	struct disk_entry entries[ENTRIES_MAX];
	struct buffer bytes[ENTRIES_MAX];
	unsigned n;
	struct batch batch;
	unsigned read; /* entries that were asked for */
	struct entry_source source;
	struct entry_query query;
	uint64_t searched_from;
};

static int shelf_entry(const void *data, uint64_t index, struct disk_entry *entry)
{
	struct shelf *s = (void *)(uintptr_t)data;
	if (index < 10 || index >= 10 + s->n)
		return -ENOENT;
	s->read++;
	*entry = s->entries[index - 10];
	return 0;
}

static int shelf_result(const void *data, uint64_t index, unsigned n, int *result)
{
	*result = (int)(index * 100 + n);
	return index < 12 ? -ENOENT : 0;
}

static int open_shelf(void **state)
{
	struct shelf *s = must_alloc(sizeof(*s));
	s->source = (struct entry_source){.data = s,
	    .entry = shelf_entry,
	    .result = shelf_result,
	    .first = 10,
	    .last = 9,
	    .committed = UINT64_MAX,
	    .beyond = "uncommitted"};
	*state = s;
	return 0;
}

static int close_shelf(void **state)
{
	struct shelf *s = *state;
	for (unsigned i = 0; i < s->n; i++)
		buffer_close(&s->bytes[i]);
	batch_close(&s->batch);
	free(s);
	return 0;
}

static void put(struct shelf *s, enum disk_entry_type type)
{
	struct buffer *b = &s->bytes[s->n];
	if (type == DISK_COMMAND)
		batch_encode(&s->batch, b);
	batch_close(&s->batch);
	s->batch = (struct batch){0};
	s->entries[s->n++] = (struct disk_entry){
	    .term = 3, .type = type, .size = (uint32_t)b->size, .data = b->data};
	s->source.last++;
}

static void say(struct shelf *s, const struct command *command)
{
	struct buffer bytes = {0};
	command_encode(command, &bytes);
	batch_add(&s->batch, bytes.data, bytes.size);
	buffer_close(&bytes);
}

static void put_command(struct shelf *s, const struct command *command)
{
	say(s, command);
	put(s, DISK_COMMAND);
}

static void put_tick(struct shelf *s)
{
	struct sighting sighting = {.vm = 7};
	struct keepalive keepalive = {.node = 2, .sightings = {&sighting, 1}};
	struct command tick = {.number = COMMAND_tick};
	tick.tick.elapsed_ms = 1000;
	tick.tick.keepalives.items = &keepalive;
	tick.tick.keepalives.count = 1;
	put_command(s, &tick);
}

static void put_takeover(struct shelf *s, uint32_t node)
{
	struct command command = {.number = COMMAND_takeover};
	command.takeover.node = node;
	command.takeover.epoch = 41;
	put_command(s, &command);
}

/* "10 takeover, 11-13 tick": what was found. */
static void assert_found(struct shelf *s, const char *wanted)
{
	char text[512] = "";
	size_t i;
	const json_t *row;
	json_t *rows = entry_list(&s->source, &s->query, &s->searched_from);
	json_array_foreach(rows, i, row)
	{
		size_t used = strlen(text);
		const json_t *first = json_object_get(row, "first_index");
		json_int_t index = json_integer_value(json_object_get(row, "index"));
		snprintf(text + used, sizeof(text) - used, "%s", i ? ", " : "");
		used = strlen(text);
		if (first && json_integer_value(first) != index)
			snprintf(text + used, sizeof(text) - used, "%d-",
			    (int)json_integer_value(first));
		used = strlen(text);
		snprintf(text + used, sizeof(text) - used, "%d %s", (int)index,
		    json_string_value(
			json_object_get(json_object_get(row, "operation"), "command")));
	}
	json_decref(rows);
	assert_string_equal(text, wanted);
}

static void ticks_in_a_row_are_one_row(void **state)
{
	struct shelf *s = *state;
	put_tick(s);
	put_takeover(s, 1);
	put_tick(s);
	put_tick(s);
	put_tick(s);
	put(s, DISK_BARRIER);
	put_tick(s);
	assert_found(s, "10 tick, 11 takeover, 12-14 tick, 15 barrier, 16 tick");
	s->query.ticks = ENTRY_TICKS_APART;
	assert_found(s, "10 tick, 11 takeover, 12 tick, 13 tick, 14 tick, 15 barrier, 16 tick");
}

static void the_newest_rows_are_found_from_the_end(void **state)
{
	struct shelf *s = *state;
	for (unsigned i = 0; i < 20; i++)
		put_takeover(s, i);
	s->query.most = 2;
	assert_found(s, "28 takeover, 29 takeover");
	assert_int_equal(s->searched_from, 28);
	assert_int_equal(s->read, 2);
}

static void a_row_of_ticks_is_counted_to_its_end_and_nothing_comes_behind_it(void **state)
{
	struct shelf *s = *state;
	put(s, DISK_BARRIER);
	for (unsigned i = 0; i < 5; i++)
		put_tick(s);
	s->query.most = 1;
	assert_found(s, "11-15 tick");
}

static void a_part_is_found_by_its_indexes(void **state)
{
	struct shelf *s = *state;
	for (unsigned i = 0; i < 9; i++)
		put_takeover(s, i);
	s->query.from = 12;
	s->query.to = 13;
	assert_found(s, "12 takeover, 13 takeover");
	s->query.from = 17;
	s->query.to = 0;
	assert_found(s, "17 takeover, 18 takeover");
	s->query.from = 90;
	assert_found(s, "");
	s->query.from = 1;
	s->query.to = 10;
	assert_found(s, "10 takeover");
}

static void an_empty_log_has_no_rows(void **state)
{
	struct shelf *s = *state;
	assert_found(s, "");
	s->source.first = 1;
	s->source.last = 0;
	assert_found(s, "");
}

static void a_type_finds_its_operations_within_entries(void **state)
{
	struct shelf *s = *state;
	struct command state_of_two = {.number = COMMAND_node_state};
	struct command place = {.number = COMMAND_vm_place};
	say(s, &state_of_two);
	say(s, &place);
	say(s, &state_of_two);
	put(s, DISK_COMMAND);
	put(s, DISK_BARRIER);
	put_tick(s);
	s->query.type = "node_state";
	assert_found(s, "10 node_state, 10 node_state");
	s->query.type = "tick";
	assert_found(s, "12 tick");
	s->query.type = "barrier";
	assert_found(s, "11 barrier");
	struct err err;
	assert_int_equal(entry_query_check(&(struct entry_query){.type = "vm_place"}, &err), 0);
	assert_int_equal(entry_query_check(&(struct entry_query){.type = "change"}, &err), 0);
	assert_int_equal(entry_query_check(&(struct entry_query){.from = 5, .to = 5}, &err), 0);
	assert_int_equal(entry_query_check(&(struct entry_query){.from = 5}, &err), 0);
	assert_int_equal(
	    entry_query_check(&(struct entry_query){.type = "takover"}, &err), -EINVAL);
	assert_string_equal(
	    err.text, "there are no operations of the type 'takover' (did you mean 'takeover'?)");
	assert_int_equal(
	    entry_query_check(&(struct entry_query){.from = 6, .to = 5}, &err), -EINVAL);
}

static void a_node_finds_what_concerns_it(void **state)
{
	struct shelf *s = *state;
	struct command join = {.number = COMMAND_join, .join = {.name = "hv2"}};
	struct command place = {.number = COMMAND_vm_place, .vm_place = {.vm = 7, .node = 2}};
	put_command(s, &join);
	put_tick(s);
	put_takeover(s, 1);
	put_takeover(s, 2);
	put_command(s, &place);
	put(s, DISK_BARRIER);
	s->query.node = 2;
	s->query.node_name = "hv2";
	assert_found(s, "10 join, 13 takeover, 14 vm_place");
	s->query.vm = 7;
	assert_found(s, "14 vm_place");
}

static void a_vm_finds_what_concerns_it(void **state)
{
	struct shelf *s = *state;
	struct command define = {
	    .number = COMMAND_vm_define, .vm_define = {.name = "web1", .uuid = "abc"}};
	struct command place = {.number = COMMAND_vm_place, .vm_place = {.vm = 7, .node = 2}};
	put_command(s, &define);
	put_takeover(s, 7);
	put_command(s, &place);
	place.vm_place.vm = 8;
	put_command(s, &place);
	s->query.vm = 7;
	s->query.vm_name = "web1";
	assert_found(s, "10 vm_define, 12 vm_place");
	s->query.vm_name = NULL;
	s->query.vm_uuid = "abc";
	assert_found(s, "10 vm_define, 12 vm_place");
}

static void a_member_finds_the_changes_that_name_it(void **state)
{
	struct shelf *s = *state;
	struct configuration c = {0};
	assert_int_equal(configuration_set(&c, 1, "a:1", MEMBER_VOTER), 0);
	configuration_encode(&c, &s->bytes[0]);
	put(s, DISK_CHANGE);
	assert_int_equal(configuration_set(&c, 2, "b:1", MEMBER_STANDBY), 0);
	configuration_encode(&c, &s->bytes[1]);
	put(s, DISK_CHANGE);
	s->query.node = 2;
	s->query.node_name = "hv2";
	assert_found(s, "11 change");
}

static void no_more_is_read_than_was_allowed(void **state)
{
	struct shelf *s = *state;
	for (unsigned i = 0; i < 20; i++)
		put_takeover(s, i);
	s->query.type = "barrier";
	s->query.scan_max = 3 * s->entries[0].size;
	assert_found(s, "");
	assert_int_equal(s->searched_from, 27);
}

static void no_more_rows_are_made_than_were_allowed(void **state)
{
	struct shelf *s = *state;
	for (unsigned i = 0; i < 20; i++)
		put_takeover(s, i);
	s->query.rows_max = 100;
	assert_found(s, "28 takeover, 29 takeover");
	assert_int_equal(s->searched_from, 28);
}

static const json_t *row_at(const json_t *rows, size_t i, const char *name)
{
	const json_t *row = json_array_get(rows, i);
	const json_t *value = json_object_get(row, name);
	return value ? value : json_object_get(json_object_get(row, "operation"), name);
}

static void a_row_says_what_came_of_it_and_whether_it_is_committed(void **state)
{
	struct shelf *s = *state;
	put_takeover(s, 1);
	put_takeover(s, 1);
	struct command place = {.number = COMMAND_vm_place};
	say(s, &place);
	say(s, &place);
	put(s, DISK_COMMAND);
	s->source.committed = 11;
	json_t *rows = entry_list(&s->source, &s->query, &s->searched_from);
	assert_int_equal(json_array_size(rows), 4);
	assert_true(json_is_null(row_at(rows, 0, "result")));
	assert_int_equal(json_integer_value(row_at(rows, 2, "result")), 1200);
	assert_int_equal(json_integer_value(row_at(rows, 3, "result")), 1201);
	assert_int_equal(json_integer_value(row_at(rows, 3, "term")), 3);
	assert_string_equal(json_string_value(row_at(rows, 1, "state")), "committed");
	assert_string_equal(json_string_value(row_at(rows, 2, "state")), "uncommitted");
	assert_string_equal(json_string_value(row_at(rows, 0, "text")), "takeover node=1 epoch=41");
	json_decref(rows);
}

static void a_report_on_ceph_is_told_by_its_ids(void **state)
{
	struct shelf *s = *state;
	struct ceph_osd osds[9] = {{.id = 7}};
	struct ceph_id gone[] = {{10}, {11}};
	struct ceph status = {.health = CEPH_WARNING};
	struct command report = {.number = COMMAND_ceph_report,
	    .ceph_report = {.node = 2,
		.epoch = 5,
		.status = {&status, 1},
		.osds = {osds, 9},
		.osds_gone = {gone, 2}}};
	for (uint32_t i = 1; i < 9; i++)
		osds[i].id = 7 + i;
	put_command(s, &report);
	json_t *whole = entry_list(&s->source, &s->query, &s->searched_from);
	s->query.detail = ENTRY_BRIEF;
	json_t *brief = entry_list(&s->source, &s->query, &s->searched_from);
	assert_string_equal(json_string_value(row_at(brief, 0, "text")),
	    "ceph_report node=2 epoch=5 health=warning osds=[7 8 9 10 11 12 13 14 15] "
	    "osds_gone=[10 11]");
	assert_int_equal(json_array_size(row_at(whole, 0, "osds")), 9);
	assert_int_equal(json_integer_value(json_object_get(row_at(brief, 0, "osds"), "items")), 9);
	assert_int_equal(json_array_size(row_at(brief, 0, "osds_gone")), 2);
	json_decref(whole);
	json_decref(brief);
}

static void what_is_large_is_left_out_of_a_brief_row(void **state)
{
	struct shelf *s = *state;
	struct command define = {.number = COMMAND_vm_define};
	define.vm_define.xml.size = 5000;
	define.vm_define.xml.data = must_alloc(5000);
	memset(define.vm_define.xml.data, 'x', 5000);
	put_command(s, &define);
	free(define.vm_define.xml.data);
	put_tick(s);
	json_t *whole = entry_list(&s->source, &s->query, &s->searched_from);
	s->query.detail = ENTRY_BRIEF;
	json_t *brief = entry_list(&s->source, &s->query, &s->searched_from);
	assert_int_equal(json_string_length(row_at(whole, 0, "xml")), 5000);
	assert_int_equal(
	    json_integer_value(json_object_get(row_at(brief, 0, "xml"), "bytes")), 5000);
	assert_string_equal(json_string_value(row_at(brief, 0, "text")),
	    json_string_value(row_at(whole, 0, "text")));
	const json_t *keepalive = json_array_get(row_at(whole, 1, "keepalives"), 0);
	assert_int_equal(json_array_size(json_object_get(keepalive, "sightings")), 1);
	keepalive = json_array_get(row_at(brief, 1, "keepalives"), 0);
	assert_int_equal(json_integer_value(json_object_get(keepalive, "node")), 2);
	assert_null(json_object_get(keepalive, "sightings"));
	json_decref(whole);
	json_decref(brief);
}

static void bytes_that_are_no_operations_are_said_to_be_that(void **state)
{
	struct shelf *s = *state;
	batch_add(&s->batch, (const uint8_t *)"\0\0\x7f", 3);
	batch_add(&s->batch, (const uint8_t *)"\0\0\1\xff", 4);
	put(s, DISK_COMMAND);
	buffer_append(&s->bytes[1], "\x05\x09zz", 4);
	s->entries[1] = (struct disk_entry){.type = DISK_COMMAND, .size = 4};
	s->entries[1].data = s->bytes[1].data;
	s->n++;
	s->source.last++;
	json_t *rows = entry_list(&s->source, &s->query, &s->searched_from);
	assert_int_equal(json_array_size(rows), 3);
	assert_string_equal(json_string_value(row_at(rows, 0, "text")), "(of a newer version)");
	assert_string_equal(json_string_value(row_at(rows, 1, "text")), "(not a command)");
	assert_string_equal(json_string_value(row_at(rows, 2, "text")), "(not operations)");
	json_decref(rows);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_shelf, close_shelf)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    test(ticks_in_a_row_are_one_row),
	    test(the_newest_rows_are_found_from_the_end),
	    test(a_row_of_ticks_is_counted_to_its_end_and_nothing_comes_behind_it),
	    test(a_part_is_found_by_its_indexes),
	    test(an_empty_log_has_no_rows),
	    test(a_type_finds_its_operations_within_entries),
	    test(a_node_finds_what_concerns_it),
	    test(a_vm_finds_what_concerns_it),
	    test(a_member_finds_the_changes_that_name_it),
	    test(no_more_is_read_than_was_allowed),
	    test(no_more_rows_are_made_than_were_allowed),
	    test(a_row_says_what_came_of_it_and_whether_it_is_committed),
	    test(a_report_on_ceph_is_told_by_its_ids),
	    test(what_is_large_is_left_out_of_a_brief_row),
	    test(bytes_that_are_no_operations_are_said_to_be_that),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
