/* The value as people look into it: paths, differences, and a value that begins anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/authority.h"
#include "fsm/check.h"
#include "fsm/refound.h"
#include "fsm/snapshot.h"
#include "node/operation/value_json.h"

static void apply(struct cluster *c, struct command command)
{
	struct buffer bytes = {0};
	struct err err;
	command_encode(&command, &bytes);
	if (cluster_apply(c, c->index + 1, bytes.data, bytes.size, &err) < 0)
		fail_msg("%s", err.text);
	buffer_close(&bytes);
}

static void set_fact(struct cluster *c, const char *key, const char *value)
{
	struct command command = {.number = COMMAND_fact};
	snprintf(command.fact.key, sizeof(command.fact.key), "%s", key);
	command.fact.value = (struct blob){(uint8_t *)(uintptr_t)value, (uint32_t)strlen(value)};
	apply(c, command);
}

static void make_authority(struct cluster *c, char digit)
{
	struct command command = {.number = COMMAND_authority_made};
	memset(command.authority_made.fingerprint, digit, 64);
	command.authority_made.certificate[0] = 'c';
	apply(c, command);
}

static int found(void **state)
{
	struct cluster *c = must_alloc(sizeof(*c));
	cluster_init(c);
	apply(c, (struct command){.number = COMMAND_found,
		     .found = {.name = "lab",
			 .uuid = "u",
			 .node = "hv1",
			 .address = "hv1:1",
			 .incarnation = "old",
			 .schema = 1}});
	make_authority(c, 'a');
	apply(c, (struct command){.number = COMMAND_token,
		     .token = {.hash = "0123456789abcdef0123456789abcdef"
				       "0123456789abcdef0123456789abcdef"}});
	*state = c;
	return 0;
}

static int lose(void **state)
{
	cluster_close(*state);
	free(*state);
	return 0;
}

/* Whoever gives the value a table must give it to value_parts() as well. */
static void every_part_of_a_snapshot_is_a_part_of_the_value(void **state)
{
	struct cluster *c = *state;
	struct value_part parts[VALUE_PARTS_MAX];
	struct buffer whole = {0}, sum = {0};
	set_fact(c, "key", "value");
	snapshot_encode(c, &whole);
	unsigned n = value_parts(c, parts);
	for (unsigned i = 0; i < n; i++) {
		const struct table *t = parts[i].table;
		if (t)
			buffer_append_varint(&sum, t->count);
		else
			record_encode(parts[i].record, parts[i].object, &sum);
		for (uint32_t k = 0; t && k < t->count; k++)
			record_encode(t->record, t->items[k], &sum);
	}
	assert_int_equal(sum.size, whole.size - 28);
	assert_memory_equal(sum.data, whole.data + 28, sum.size);
	buffer_close(&whole);
	buffer_close(&sum);
}

static void assert_part(struct cluster *c, const char *path, const char *wanted)
{
	struct err err = {""};
	json_t *json = value_json(c);
	json_t *part = value_at(json, path, &err);
	char *text = part ? json_dumps(part, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	assert_string_equal(text ? text : err.text, wanted);
	free(text);
	json_decref(json);
}

static void a_part_is_found_by_name_id_and_key(void **state)
{
	struct cluster *c = *state;
	set_fact(c, "a/b~c", "1");
	assert_part(c, "nodes/hv1/address", "\"hv1:1\"");
	assert_part(c, "/nodes/1/address/", "\"hv1:1\"");
	assert_part(c, "facts/a~1b~0c/value", "\"1\"");
	assert_part(c, "nodes/hv1/keys/1", "0");
}

static void a_path_that_leads_nowhere_says_how_far_it_leads(void **state)
{
	assert_part(
	    *state, "nodes/hv2", "nodes/hv2 is not there: nodes has hv1 (did you mean 'hv1'?)");
	assert_part(*state, "facts/x", "facts/x is not there: facts has nothing in it");
	set_fact(*state, "a/b", "1");
	assert_part(
	    *state, "facts/a/b", "facts/a/b is not there: facts has a~1b (did you mean 'a~1b'?)");
	assert_part(
	    *state, "nodes/hv1/keys/7", "nodes/hv1/keys/7 is not there: nodes/hv1/keys has 0, 1");
}

static void assert_changes(const char *old, const char *new, const char *wanted)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *a = json_loads(old, 0, NULL), *b = json_loads(new, 0, NULL);
	json_t *changes = json_array();
	assert_non_null(a);
	assert_non_null(b);
	value_diff(a, b, changes);
	value_diff_print(changes, out);
	fclose(out);
	assert_string_equal(text, wanted);
	free(text);
	json_decref(a);
	json_decref(b);
	json_decref(changes);
}

static void items_of_lists_are_matched_by_what_they_are_called(void **state)
{
	assert_changes(
	    "{\"vms\": [{\"id\": 1, \"name\": \"a\", \"n\": 1}, {\"id\": 2, \"name\": \"b\"}]}",
	    "{\"vms\": [{\"id\": 2, \"name\": \"b\"}, {\"id\": 1, \"name\": \"a\", \"n\": 2}]}",
	    "vms/a/n: 1 -> 2\n");
	/* Names that do not tell them apart are none. */
	assert_changes("[{\"id\": 1, \"name\": \"\"}, {\"id\": 2, \"name\": \"\", \"x\": 1}]",
	    "[{\"id\": 2, \"name\": \"\", \"x\": 3}]",
	    "1: {\"id\":1,\"name\":\"\"} -> (not there)\n2/x: 1 -> 3\n");
	assert_changes("[1, 2]", "[1, 3, 4]", "1: 2 -> 3\n2: (not there) -> 4\n");
}

static void differences_are_told_in_the_order_of_the_value(void **state)
{
	assert_changes("{\"a\": {\"x\": 1, \"y\": \"one\"}, \"b\": 1}",
	    "{\"b\": \"\", \"c~/d\": [], \"a\": {\"y\": \"two\", \"x\": null}}",
	    "a/x: 1 -> (not there)\na/y: one -> two\nb: 1 -> \"\"\nc~0~1d: (not there) -> []\n");
	assert_changes("{\"a\": []}", "{\"a\": []}", "");
}

static void a_value_that_begins_anew_is_sound_and_waits_for_an_authority(void **state)
{
	struct cluster *c = *state, again;
	struct buffer bytes = {0};
	struct err err = {""};
	assert_non_null(authority_active(c));
	cluster_refound(c, cluster_node(c, 1), "new");
	assert_int_equal(check_cluster(c, &err), 0);
	assert_null(authority_active(c));
	assert_int_equal(c->tokens.count, 0);
	assert_string_equal(cluster_node(c, 1)->incarnation, "new");
	cluster_init(&again);
	snapshot_encode(c, &bytes);
	assert_int_equal(snapshot_decode(&again, bytes.data, bytes.size, &err), 0);
	make_authority(&again, 'b');
	assert_non_null(authority_active(&again));
	cluster_close(&again);
	buffer_close(&bytes);
}

/* Without the rest being made, a part is what it is in the whole, and so is what is said of one
 * that is not there. */
static void a_part_made_alone_is_the_part_of_the_whole(void **state)
{
	static const char *const paths[] = {"", "settings", "settings/name", "nodes", "nodes/hv1",
	    "nodes/1", "/nodes/hv1/address", "facts/a~1b", "facts/a~1b/value", "tokens/1/hash",
	    "nodes/hv2", "nodes/hv1/colour", "knots", "facts/a", "settings/name/x", "vms/web1"};
	struct cluster *c = *state;
	set_fact(c, "a/b", "value");
	set_fact(c, "other", "value");
	json_t *whole = value_json(c);
	for (unsigned i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct err err = {""}, why = {""};
		json_t *part, *wanted = value_at(whole, paths[i], &why);
		int result = value_part_json(c, paths[i], UINT64_MAX, &part, &err);
		assert_int_equal(result, wanted ? 0 : -ENOENT);
		assert_true(wanted ? json_equal(part, wanted) : !part);
		assert_string_equal(err.text, why.text);
		json_decref(part);
	}
	json_decref(whole);
}

static void what_is_too_large_is_not_made_but_parts_of_it_are(void **state)
{
	struct cluster *c = *state;
	struct err err;
	json_t *part;
	char *large = must_alloc(200001);
	memset(large, 'x', 200000);
	set_fact(c, "large", large);
	set_fact(c, "small", "value");
	free(large);
	assert_int_equal(value_part_json(c, "", 100000, &part, &err), -EMSGSIZE);
	assert_int_equal(value_part_json(c, "facts", 100000, &part, &err), -EMSGSIZE);
	assert_string_equal(err.text, "facts is too large: about 195 KiB");
	assert_int_equal(value_part_json(c, "facts/small/value", 100000, &part, &err), 0);
	assert_string_equal(json_string_value(part), "value");
	json_decref(part);
	assert_int_equal(value_part_json(c, "nodes", 100000, &part, &err), 0);
	json_decref(part);
	assert_int_equal(value_part_json(c, "facts", 300000, &part, &err), 0);
	json_decref(part);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_part_is_found_by_name_id_and_key, found, lose),
	    cmocka_unit_test_setup_teardown(
		a_path_that_leads_nowhere_says_how_far_it_leads, found, lose),
	    cmocka_unit_test_setup_teardown(
		every_part_of_a_snapshot_is_a_part_of_the_value, found, lose),
	    cmocka_unit_test_setup_teardown(
		a_part_made_alone_is_the_part_of_the_whole, found, lose),
	    cmocka_unit_test_setup_teardown(
		what_is_too_large_is_not_made_but_parts_of_it_are, found, lose),
	    cmocka_unit_test(items_of_lists_are_matched_by_what_they_are_called),
	    cmocka_unit_test(differences_are_told_in_the_order_of_the_value),
	    cmocka_unit_test_setup_teardown(
		a_value_that_begins_anew_is_sound_and_waits_for_an_authority, found, lose),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
