/* pvc raft snapshot list|save|inspect|diff: snapshots of data directories, and saved ones. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsm/snapshot.h"
#include "node/operation/entry_json.h"
#include "node/operation/json.h"
#include "node/operation/value_json.h"
#include "tools/cli.h"
#include "tools/raft/image.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

#define LARGEST_MAX 10

/* list */

static json_t *row_json(const struct inspect_snapshot *s)
{
	const char *state = s->counts ? "newest" : s->valid ? "older" : "damaged";
	return json_pack("{s:o, s:o, s:o, s:o, s:s}", "file", json_text(s->name), "index",
	    json_u64(s->index), "term", json_u64(s->term), "file_bytes", json_u64(s->file_bytes),
	    "state", state);
}

int raft_snapshot_list(const struct raft_call *call)
{
	struct source source;
	struct inspect_snapshot s;
	struct err err;
	int status = CLI_DONE, result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	json_t *list = json_array();
	for (unsigned i = 0; !inspect_snapshot(source.in, i, &s); i++) {
		json_array_append_new(list, row_json(&s));
		if (!s.valid)
			status = CLI_REFUSED;
	}
	raft_show_part(call, "raft snapshot list", "snapshots",
	    json_pack("{s:s, s:o}", "schema", "raft-snapshot-list/1", "snapshots", list));
	source_close(&source);
	return status;
}

/* save */

static int save(
    const struct source *source, uint64_t at, const char *path, json_t **told, struct err *err)
{
	struct replay r;
	struct configuration c;
	struct buffer value = {0}, members = {0};
	char sha256[IDENTITY_HEX_SIZE];
	int result = replay_run(&r, source->in, at, err);
	if (result)
		return result;
	struct disk_snapshot s = {.index = r.index, .term = r.term};
	s.configuration_index = source_configuration(source, r.index, &c);
	if (!s.configuration_index) {
		replay_close(&r);
		return err_set(err, -ENOENT, "no configuration is known at %" PRIu64, r.index);
	}
	snapshot_encode(&r.cluster, &value);
	configuration_encode(&c, &members);
	s.data = value.data;
	s.size = value.size;
	s.configuration = members.data;
	s.configuration_size = members.size;
	result = image_write(path, &s, sha256, err);
	if (!result)
		*told = json_pack("{s:s, s:o, s:o, s:o, s:s, s:o}", "schema",
		    "raft-snapshot-save/1", "file", json_text(path), "index", json_u64(s.index),
		    "term", json_u64(s.term), "sha256", sha256, "hash",
		    json_sprintf("%016" PRIx64, r.cluster.hash));
	buffer_close(&value);
	buffer_close(&members);
	replay_close(&r);
	return result;
}

/* Standard output has room for one thing. */
static int check_piped(const struct raft_call *call, struct err *err)
{
	if (strcmp(raft_text(call, "file"), "-") != 0)
		return 0;
	if (call->json)
		return err_set(
		    err, -EINVAL, "- is standard output, and so is -f json: name a file");
	if (isatty(STDOUT_FILENO))
		return err_set(err, -EINVAL, "a snapshot is not for a terminal: name a file");
	return 0;
}

int raft_snapshot_save(const struct raft_call *call)
{
	struct source source;
	struct err err;
	json_t *told = NULL;
	uint64_t at = raft_number(call, "at");
	int result = check_piped(call, &err);
	if (!result)
		result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	source_warn(&source, call);
	if (!at)
		at = source_committed(&source);
	if (at)
		result = save(&source, at, raft_text(call, "file"), &told, &err);
	else
		result = err_set(&err, -ENODATA,
		    "nothing in it is committed for certain yet: say --at INDEX for what is there");
	source_close(&source);
	if (result)
		return raft_fail(call, result, &err);
	if (call->json)
		raft_show(call, "", told);
	else
		fprintf(strcmp(raft_text(call, "file"), "-") ? stdout : stderr,
		    "%s: entry %" JSON_INTEGER_FORMAT ", term %" JSON_INTEGER_FORMAT
		    ", SHA-256 %s\n",
		    raft_text(call, "file"), json_integer_value(json_object_get(told, "index")),
		    json_integer_value(json_object_get(told, "term")),
		    json_string_value(json_object_get(told, "sha256")));
	if (!call->json)
		json_decref(told);
	return CLI_DONE;
}

/* inspect */

struct large {
	const struct value_part *part;
	const void *object;
	size_t bytes;
};

struct sizes {
	struct large largest[LARGEST_MAX]; /* by size */
	unsigned n;
	json_t *kinds;
};

static size_t object_bytes(const struct record *record, const void *object)
{
	struct buffer bytes = {0};
	record_encode(record, object, &bytes);
	size_t size = bytes.size;
	buffer_close(&bytes);
	return size;
}

static void note_size(struct sizes *s, struct large one)
{
	unsigned at = s->n;
	if (at == LARGEST_MAX && one.bytes <= s->largest[at - 1].bytes)
		return;
	if (at < LARGEST_MAX)
		s->n++;
	else
		at--;
	for (; at > 0 && s->largest[at - 1].bytes < one.bytes; at--)
		s->largest[at] = s->largest[at - 1];
	s->largest[at] = one;
}

static void measure(struct sizes *s, const struct value_part *part)
{
	uint64_t sum = 0;
	uint32_t n = part->table ? part->table->count : 1;
	for (uint32_t i = 0; i < n; i++) {
		const void *object = part->table ? part->table->items[i] : part->object;
		size_t bytes = object_bytes(part->record, object);
		sum += bytes;
		note_size(s, (struct large){part, object, bytes});
	}
	json_array_append_new(s->kinds, json_pack("{s:s, s:I, s:o}", "kind", part->name, "objects",
					    (json_int_t)n, "bytes", json_u64(sum)));
}

static json_t *largest_json(const struct sizes *s)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < s->n; i++) {
		const struct large *one = &s->largest[i];
		json_t *json = json_record(one->part->record, one->object);
		char name[VALUE_NAME_MAX] = "";
		struct buffer path = {0};
		if (one->part->table)
			value_name(json, name);
		buffer_print(&path, "%s%s", one->part->name, *name ? "/" : "");
		value_path_add(&path, name);
		buffer_append_u8(&path, 0);
		json_array_append_new(
		    list, json_pack("{s:o, s:I}", "path", json_text((const char *)path.data),
			      "bytes", (json_int_t)one->bytes));
		buffer_close(&path);
		json_decref(json);
	}
	return list;
}

static json_t *members_text(const struct image *image)
{
	struct buffer text = {0};
	for (unsigned i = 0; i < image->configuration.n; i++) {
		const struct configuration_member *m = &image->configuration.members[i];
		const struct node *node = cluster_node(&image->cluster, (uint32_t)m->id);
		buffer_print(&text, "%s%" PRIu64 "=%s %s", i ? ", " : "", m->id,
		    node ? node->name : m->address, state_name(member_role_names, m->role));
	}
	buffer_append_u8(&text, 0);
	json_t *json = json_text((const char *)text.data);
	buffer_close(&text);
	return json;
}

static json_t *image_json(const struct image *image, const char *path)
{
	const struct disk_snapshot *s = &image->file.snapshot;
	const struct cluster *c = &image->cluster;
	struct value_part parts[VALUE_PARTS_MAX];
	struct sizes sizes = {.kinds = json_array()};
	unsigned n = value_parts(c, parts);
	for (unsigned i = 0; i < n; i++)
		measure(&sizes, &parts[i]);
	json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
	    "raft-snapshot-inspect/1", "file", json_text(path), "index", json_u64(s->index), "term",
	    json_u64(s->term), "cluster", json_text(c->settings.name), "uuid",
	    json_text(c->settings.uuid), "value_schema", json_integer(c->settings.schema));
	json_object_set_new(json, "hash", json_sprintf("%016" PRIx64, c->hash));
	json_object_set_new(json, "hash_index", json_u64(c->index));
	json_object_set_new(json, "configuration_index", json_u64(s->configuration_index));
	json_object_set_new(json, "members", entry_members(&image->configuration));
	json_object_set_new(json, "members_text", members_text(image));
	json_object_set_new(json, "bytes", json_u64(s->size));
	json_object_set_new(json, "file_bytes", json_u64(image->bytes.size));
	json_object_set_new(
	    json, "sha256", *image->sha256 ? json_string(image->sha256) : json_null());
	json_object_set_new(json, "kinds", sizes.kinds);
	json_object_set_new(json, "largest", largest_json(&sizes));
	return json;
}

/* The newest snapshot of the directory that the call is about, as a path. */
static int newest_path(
    const struct raft_call *call, char path[2 * SOURCE_PATH_MAX], struct err *err)
{
	struct source source;
	struct inspect_snapshot s;
	int result = source_open(&source, call, err);
	if (result)
		return result;
	if (inspect_snapshot(source.in, 0, &s))
		result = err_set(err, -ENOENT, "%.300s has no snapshot yet", source.log);
	else
		snprintf(path, 2 * SOURCE_PATH_MAX, "%s/%s", source.log, s.name);
	source_close(&source);
	return result;
}

int raft_snapshot_inspect(const struct raft_call *call)
{
	char path[2 * SOURCE_PATH_MAX];
	struct image image;
	struct err err;
	const char *file = raft_text(call, "file");
	int result = file ? 0 : newest_path(call, path, &err);
	if (!result)
		result = image_read(&image, file ? file : path, &err);
	if (result)
		return raft_fail(call, result, &err);
	json_t *json = image_json(&image, file ? file : path);
	raft_show(call, "raft snapshot inspect", json_incref(json));
	if (!call->json) {
		putchar('\n');
		raft_show_part(call, "raft snapshot inspect kinds", "kinds", json_incref(json));
		putchar('\n');
		raft_show_part(call, "raft snapshot inspect largest", "largest", json_incref(json));
	}
	json_decref(json);
	image_close(&image);
	return CLI_DONE;
}

/* diff */

int raft_snapshot_diff(const struct raft_call *call)
{
	struct image a, b;
	struct err err;
	int result = image_read(&a, raft_text(call, "a"), &err);
	if (result)
		return raft_fail(call, result, &err);
	result = image_read(&b, raft_text(call, "b"), &err);
	if (result) {
		image_close(&a);
		return raft_fail(call, result, &err);
	}
	json_t *old = value_json(&a.cluster), *new = value_json(&b.cluster);
	json_t *changes = json_array();
	size_t n = value_diff(old, new, changes);
	if (call->json) {
		raft_show(call, "",
		    json_pack("{s:s, s:o, s:o, s:O}", "schema", "raft-snapshot-diff/1", "a_index",
			json_u64(a.file.snapshot.index), "b_index", json_u64(b.file.snapshot.index),
			"changes", changes));
	} else {
		printf("entry %" PRIu64 " -> %" PRIu64 ": %zu %s\n", a.file.snapshot.index,
		    b.file.snapshot.index, n, n == 1 ? "difference" : "differences");
		value_diff_print(changes, stdout);
	}
	json_decref(old);
	json_decref(new);
	json_decref(changes);
	image_close(&a);
	image_close(&b);
	return n ? CLI_REFUSED : CLI_DONE;
}
