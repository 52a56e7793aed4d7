/* pvc raft diff hv1 hv2: since which entry two members that run differ, and in what.
 *
 * The daemon asks each for the hashes that it still keeps; that they are equal says that the
 * values are. Only where they are not are the values themselves asked for, of one and the same
 * entry. They say nothing of secrets. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "fsm/cluster.h"
#include "node/operation/json.h"
#include "node/operation/value_json.h"
#include "tools/cli.h"
#include "tools/raft/ask.h"
#include "tools/raft/diff.h"

/* Both go on meanwhile: how often it is tried to meet them at the same entry. */
#define ATTEMPTS   30
#define ATTEMPT_MS 20

struct member {
	const char *name;
	json_t *told; /* raft-hash/1 with "hashes"; owned */
};

struct comparison {
	struct client *client;
	struct member a, b;
	unsigned common; /* entries of which both have a hash */
	uint64_t index; /* the last of them */
	uint64_t parts_at; /* the first of them where they differ; 0: none */
	uint64_t parted_by; /* the same, but the very first: they may have differed before */
	bool same; /* at index */
	json_t *changes; /* owned; NULL: the values were not compared */
	struct err note; /* what is to be said of that */
};

static uint64_t index_at(const json_t *hashes, size_t i)
{
	return (uint64_t)json_integer_value(json_object_get(json_array_get(hashes, i), "index"));
}

static const char *hash_at(const json_t *hashes, size_t i)
{
	const char *hash = json_string_value(json_object_get(json_array_get(hashes, i), "hash"));
	return hash ? hash : "";
}

static int member_ask(struct client *client, struct member *m, const char *name, struct err *err)
{
	json_t *arguments = json_pack("{s:i, s:o}", "from", 1, "member", json_text(name));
	m->name = name;
	int result = ask_daemon(client, "raft hash", arguments, &m->told, err);
	json_decref(arguments);
	return result ? err_wrap(err, result, "%.100s is no directory here; as a member", name) : 0;
}

static void note_common(struct comparison *c, uint64_t index, bool same)
{
	if (!same && !c->parts_at && !c->parted_by)
		*(c->common ? &c->parts_at : &c->parted_by) = index;
	c->common++;
	c->index = index;
	c->same = same;
}

static int compare_hashes(struct comparison *c, struct err *err)
{
	const json_t *a = json_object_get(c->a.told, "hashes");
	const json_t *b = json_object_get(c->b.told, "hashes");
	for (size_t i = 0, k = 0; i < json_array_size(a) && k < json_array_size(b);) {
		uint64_t x = index_at(a, i), y = index_at(b, k);
		if (x == y)
			note_common(c, x, !strcmp(hash_at(a, i), hash_at(b, k)));
		i += x <= y;
		k += y <= x;
	}
	if (c->common)
		return 0;
	return err_set(err, -ENODATA,
	    "%.100s and %.100s remember no entry in common: one is far behind, see pvc raft "
	    "status --cluster",
	    c->a.name, c->b.name);
}

/* The value of m, or a part of it; 0, or -errno with err. */
static int member_dump(const struct comparison *c, const struct member *m, const char *path,
    json_t **dump, struct err *err)
{
	json_t *arguments = json_pack("{s:o}", "member", json_text(m->name));
	if (path)
		json_object_set_new(arguments, "path", json_string(path));
	json_decref(*dump);
	int result = ask_daemon(c->client, "raft dump", arguments, dump, err);
	json_decref(arguments);
	return result;
}

static uint64_t dump_index(const json_t *dump)
{
	return (uint64_t)json_integer_value(json_object_get(dump, "hash_index"));
}

/* Both at the same entry: 0; -EAGAIN: they could not be met there; or -errno; with err. */
static int dump_both(
    const struct comparison *c, const char *path, json_t *dumps[2], struct err *err)
{
	int result = member_dump(c, &c->a, path, &dumps[0], err);
	if (!result)
		result = member_dump(c, &c->b, path, &dumps[1], err);
	for (unsigned i = 0; !result && i < ATTEMPTS; i++) {
		uint64_t a = dump_index(dumps[0]), b = dump_index(dumps[1]);
		if (a == b)
			return 0;
		if (i > 1)
			poll(NULL, 0, ATTEMPT_MS);
		/* The one that is behind catches up. */
		result = a < b ? member_dump(c, &c->a, path, &dumps[0], err)
			       : member_dump(c, &c->b, path, &dumps[1], err);
	}
	return result ? result
		      : err_set(err, -EAGAIN, "whenever they were asked, one was further on");
}

static json_t *wrapped(const char *path, json_t *dump)
{
	json_t *value = json_object_get(dump, "value");
	return path ? json_pack("{s:O}", path, value) : json_incref(value);
}

static int compare_at(struct comparison *c, const char *path, struct err *err)
{
	json_t *dumps[2] = {NULL, NULL};
	int result = dump_both(c, path, dumps, err);
	if (!result) {
		json_t *old = wrapped(path, dumps[0]), *new = wrapped(path, dumps[1]);
		if (!c->changes)
			c->changes = json_array();
		value_diff(old, new, c->changes);
		c->index = dump_index(dumps[0]);
		json_decref(old);
		json_decref(new);
	}
	json_decref(dumps[0]);
	json_decref(dumps[1]);
	return result;
}

/* For an answer the whole may be too large, and the parts not. */
static void compare_parts(struct comparison *c)
{
	struct cluster empty;
	struct value_part parts[VALUE_PARTS_MAX];
	struct err err;
	cluster_init(&empty);
	unsigned n = value_parts(&empty, parts);
	for (unsigned i = 0; i < n; i++) {
		size_t used = strlen(c->note.text);
		if (compare_at(c, parts[i].name, &err))
			snprintf(c->note.text + used, sizeof(c->note.text) - used, "%s%s (%.100s)",
			    used ? ", " : "not compared: ", parts[i].name, err.text);
	}
	cluster_close(&empty);
}

static void compare_values(struct comparison *c)
{
	struct err err;
	int result = compare_at(c, NULL, &err);
	if (result == -EMSGSIZE)
		compare_parts(c);
	else if (result)
		err_set(&c->note, 0, "the values were not compared: %.300s", err.text);
	else if (!json_array_size(c->changes))
		err_set(&c->note, 0, "their hashes differ, but nothing that is shown does");
}

/* What the entry says where they part: its text is the same for both, else the log itself would
 * be another. */
static json_t *entry_text(const struct comparison *c)
{
	struct buffer text = {0};
	struct err err;
	json_t *result, *row;
	size_t i;
	json_t *arguments =
	    json_pack("{s:o, s:o}", "from", json_u64(c->parts_at), "to", json_u64(c->parts_at));
	ask_daemon(c->client, "raft log", arguments, &result, &err);
	json_decref(arguments);
	json_array_foreach(json_object_get(result, "entries"), i, row)
	{
		const json_t *operation = json_object_get(row, "operation");
		buffer_print(&text, "%s%s", i ? "; " : "",
		    json_string_value(json_object_get(operation, "text")));
	}
	buffer_append_u8(&text, 0);
	json_t *json = text.size > 1 ? json_text((const char *)text.data) : json_null();
	buffer_close(&text);
	json_decref(result);
	return json;
}

static json_t *member_json(const struct member *m)
{
	const json_t *hashes = json_object_get(m->told, "hashes");
	size_t n = json_array_size(hashes);
	return json_pack("{s:o, s:s, s:o, s:o}", "path", json_text(m->name), "kind", "member",
	    "first_index", json_u64(index_at(hashes, 0)), "last_index",
	    json_u64(n ? index_at(hashes, n - 1) : 0));
}

static json_t *comparison_json(const struct comparison *c)
{
	json_t *entry = c->parts_at ? entry_text(c) : json_null();
	json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:O, s:o, s:o}", "schema",
	    "raft-diff/1", "a", member_json(&c->a), "b", member_json(&c->b), "parts_at",
	    c->parts_at ? json_u64(c->parts_at) : json_null(), "index", json_u64(c->index),
	    "changes", c->changes ? json_incref(c->changes) : json_null(), "a_entry", entry,
	    "b_entry", entry, "parted_by", c->parted_by ? json_u64(c->parted_by) : json_null(),
	    "note", *c->note.text ? json_text(c->note.text) : json_null());
	return json;
}

static void print(const struct comparison *c, const json_t *json)
{
	const char *const names[] = {"a", "b"};
	const char *entry = json_string_value(json_object_get(json, "a_entry"));
	for (unsigned i = 0; i < 2; i++) {
		const json_t *side = json_object_get(json, names[i]);
		printf("%s  %s: up to entry %" JSON_INTEGER_FORMAT "\n", names[i],
		    json_string_value(json_object_get(side, "path")),
		    json_integer_value(json_object_get(side, "last_index")));
	}
	if (c->parts_at)
		printf("they part at entry %" PRIu64 "%s%s\n", c->parts_at, entry ? ": " : "",
		    entry ? entry : "");
	else if (c->parted_by)
		printf("they differ since entry %" PRIu64
		       " or before: that is the oldest of which both know their hash\n",
		    c->parted_by);
	else
		printf(
		    "the %u newest values of which both know their hash are the same\n", c->common);
	size_t n = json_array_size(c->changes);
	printf("values after entry %" PRIu64 ": ", c->index);
	if (c->same)
		puts("the same");
	else if (n)
		printf("%zu %s\n", n, n == 1 ? "difference" : "differences");
	else
		puts("they differ");
	value_diff_print(c->changes, stdout);
	if (*c->note.text)
		printf("(%s)\n", c->note.text);
}

static int show(const struct raft_call *call, struct comparison *c)
{
	bool parted = c->parts_at || c->parted_by;
	if (!c->same)
		compare_values(c);
	else
		c->changes = json_array();
	json_t *json = comparison_json(c);
	if (call->json)
		raft_show(call, "", json_incref(json));
	else
		print(c, json);
	json_decref(json);
	return parted ? CLI_REFUSED : CLI_DONE;
}

static int compare(const struct raft_call *call, struct comparison *c)
{
	struct err err;
	int result = member_ask(c->client, &c->a, raft_text(call, "a"), &err);
	if (!result)
		result = member_ask(c->client, &c->b, raft_text(call, "b"), &err);
	if (!result)
		result = compare_hashes(c, &err);
	int status = result ? raft_fail(call, result, &err) : show(call, c);
	json_decref(c->a.told);
	json_decref(c->b.told);
	json_decref(c->changes);
	return status;
}

int diff_members(const struct raft_call *call)
{
	struct comparison c = {.client = NULL};
	struct err err;
	if (raft_number(call, "at")) {
		err_set(&err, 0,
		    "--at is for directories and files: members are compared as they "
		    "are now");
		raft_fail(call, 0, &err);
		return CLI_USAGE;
	}
	if (client_open(&c.client, call->socket, &err)) {
		err_wrap(&err, 0, "%.100s is no directory here; as a member", raft_text(call, "a"));
		return raft_fail(call, -EHOSTDOWN, &err);
	}
	int status = compare(call, &c);
	client_close(c.client);
	return status;
}
