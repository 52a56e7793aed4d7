/* pvc raft diff A B: the first entry at which two members part, and what differs in the value.
 *
 * The values are compared at one and the same entry, the last that both have: one that is only
 * behind does not differ. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "node/operation/entry_json.h"
#include "node/operation/json.h"
#include "node/operation/value_json.h"
#include "raft/batch.h"
#include "tools/cli.h"
#include "tools/raft/diff.h"
#include "tools/raft/image.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

struct side {
	const char *path;
	enum { SIDE_DIRECTORY, SIDE_FILE } kind;
	struct source source;
	struct image image;
	uint64_t first, last; /* entries; of a file, last alone: what its value is of */
};

static int side_open(struct side *s, const char *path, struct err *err)
{
	struct stat st;
	struct inspect_status status;
	*s = (struct side){.path = path};
	if (stat(path, &st))
		return err_set(err, -errno,
		    "%.300s: %s; a member that runs is compared with another one, by their names",
		    path, strerror(errno));
	s->kind = S_ISDIR(st.st_mode) ? SIDE_DIRECTORY : SIDE_FILE;
	int result = s->kind == SIDE_DIRECTORY ? source_open_at(&s->source, path, err)
					       : image_read(&s->image, path, err);
	if (result)
		return result;
	if (s->kind == SIDE_FILE) {
		s->last = s->image.file.snapshot.index;
		s->first = s->last + 1;
		return 0;
	}
	inspect_status(s->source.in, &status);
	s->first = status.first;
	s->last = status.last;
	return 0;
}

static void side_close(struct side *s)
{
	if (s->kind == SIDE_DIRECTORY)
		source_close(&s->source);
	else
		image_close(&s->image);
}

/* A new reference to the value after entry at; NULL with err: the side does not lead there. */
static json_t *side_value(const struct side *s, uint64_t at, struct err *err)
{
	struct replay r;
	if (s->kind == SIDE_FILE && at != s->last) {
		err_set(err, -ENOENT, "%.300s is of entry %" PRIu64 " alone", s->path, s->last);
		return NULL;
	}
	if (s->kind == SIDE_FILE)
		return value_json(&s->image.cluster);
	if (replay_run(&r, s->source.in, at, err)) {
		err_wrap(err, 0, "%.200s", s->path);
		return NULL;
	}
	json_t *json = value_json(&r.cluster);
	replay_close(&r);
	return json;
}

static bool same(const struct disk_entry *a, const struct disk_entry *b)
{
	return a->term == b->term && a->type == b->type && a->size == b->size &&
	       (!a->size || !memcmp(a->data, b->data, a->size));
}

/* The first entry that both have and that differs; 0: there is none. */
static uint64_t part_at(const struct side *a, const struct side *b)
{
	struct disk_entry x, y;
	uint64_t i = a->first > b->first ? a->first : b->first;
	if (a->kind == SIDE_FILE || b->kind == SIDE_FILE)
		return 0;
	for (; !inspect_entry(a->source.in, i, &x) && !inspect_entry(b->source.in, i, &y); i++)
		if (!same(&x, &y))
			return i;
	return 0;
}

/* What an entry says, in a line. */
static json_t *entry_text(const struct side *s, uint64_t index)
{
	struct disk_entry entry;
	struct buffer text = {0};
	const uint8_t *operation;
	size_t size;
	inspect_entry(s->source.in, index, &entry);
	buffer_print(&text, "term %" PRIu64 ", ", entry.term);
	if (entry.type != DISK_COMMAND)
		buffer_print(&text, "%s", entry.type == DISK_CHANGE ? "change" : "barrier");
	struct batch_reader in = batch_read(entry.data, entry.size);
	for (unsigned n = 0; entry.type == DISK_COMMAND && batch_next(&in, &operation, &size);
	     n++) {
		json_t *json = entry_operation(operation, size, ENTRY_BRIEF, NULL);
		const char *its = json_string_value(json_object_get(json, "text"));
		char *client = json_dumps(json_object_get(json, "client"), JSON_ENCODE_ANY);
		buffer_print(&text, "%s%s", n ? "; " : "", its);
		/* Else two that were asked for twice would look the same. */
		if (client && strcmp(client, "0") != 0)
			buffer_print(&text, " (client %s)", client);
		free(client);
		json_decref(json);
	}
	buffer_append_u8(&text, 0);
	json_t *json = json_text((const char *)text.data);
	buffer_close(&text);
	return json;
}

static json_t *side_json(const struct side *s)
{
	return json_pack("{s:o, s:s, s:o, s:o}", "path", json_text(s->path), "kind",
	    s->kind == SIDE_FILE ? "snapshot" : "directory", "first_index",
	    s->kind == SIDE_FILE ? json_null() : json_u64(s->first), "last_index",
	    json_u64(s->last));
}

static void print(const json_t *json)
{
	const char *const names[] = {"a", "b"};
	const json_t *parts = json_object_get(json, "parts_at");
	const json_t *changes = json_object_get(json, "changes");
	json_int_t last[2];
	for (unsigned i = 0; i < 2; i++) {
		const json_t *side = json_object_get(json, names[i]);
		last[i] = json_integer_value(json_object_get(side, "last_index"));
		printf("%s  %s: up to entry %" JSON_INTEGER_FORMAT "\n", names[i],
		    json_string_value(json_object_get(side, "path")), last[i]);
	}
	if (json_is_null(parts)) {
		puts("no entry that both have differs");
	} else {
		printf("they part at entry %" JSON_INTEGER_FORMAT ":\n", json_integer_value(parts));
		printf("a  %s\n", json_string_value(json_object_get(json, "a_entry")));
		printf("b  %s\n", json_string_value(json_object_get(json, "b_entry")));
	}
	size_t n = json_array_size(changes);
	printf("values after entry %" JSON_INTEGER_FORMAT ": ",
	    json_integer_value(json_object_get(json, "index")));
	if (n)
		printf("%zu %s\n", n, n == 1 ? "difference" : "differences");
	else
		puts("the same");
	value_diff_print(changes, stdout);
}

static void side_warn(const struct side *s, const struct raft_call *call)
{
	if (s->kind == SIDE_DIRECTORY)
		source_warn(&s->source, call);
}

static int compare(const struct raft_call *call, const struct side *a, const struct side *b)
{
	struct err err;
	side_warn(a, call);
	side_warn(b, call);
	uint64_t parts = part_at(a, b);
	uint64_t at = raft_number(call, "at");
	if (!at)
		at = a->last < b->last ? a->last : b->last;
	json_t *old = side_value(a, at, &err), *new = old ? side_value(b, at, &err) : NULL;
	if (!new) {
		json_decref(old);
		return raft_fail(call, -ENOENT, &err);
	}
	json_t *changes = json_array();
	bool differ = value_diff(old, new, changes) || parts;
	json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "schema", "raft-diff/1", "a",
	    side_json(a), "b", side_json(b), "parts_at", parts ? json_u64(parts) : json_null(),
	    "index", json_u64(at), "changes", changes);
	json_object_set_new(json, "a_entry", parts ? entry_text(a, parts) : json_null());
	json_object_set_new(json, "b_entry", parts ? entry_text(b, parts) : json_null());
	json_object_set_new(json, "parted_by", json_null());
	json_object_set_new(json, "note", json_null());
	if (call->json)
		raft_show(call, "", json_incref(json));
	else
		print(json);
	json_decref(json);
	json_decref(old);
	json_decref(new);
	return differ ? CLI_REFUSED : CLI_DONE;
}

static bool is_path(const char *name)
{
	struct stat st;
	return strchr(name, '/') || !stat(name, &st);
}

int raft_diff(const struct raft_call *call)
{
	struct side a, b;
	struct err err;
	if (!is_path(raft_text(call, "a")) && !is_path(raft_text(call, "b")))
		return diff_members(call);
	int result = side_open(&a, raft_text(call, "a"), &err);
	if (result)
		return raft_fail(call, result, &err);
	result = side_open(&b, raft_text(call, "b"), &err);
	if (!result) {
		result = compare(call, &a, &b);
		side_close(&b);
	} else {
		result = raft_fail(call, result, &err);
	}
	side_close(&a);
	return result;
}
