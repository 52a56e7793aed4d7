#include "node/operation/value_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/guess.h"
#include "node/operation/json.h"

#define NAMES_SHOWN	12
#define LIST_ITEM_BYTES 64 /* of JSON, about */

unsigned value_parts(const struct cluster *c, struct value_part parts[VALUE_PARTS_MAX])
{
	const struct value_part all[] = {
#define PART(name, type)       {#name, type##_record(), &c->name, NULL},
#define TABLE_PART(name, type) {#name, type##_record(), NULL, &c->name},
#include "fsm/parts.def"
	};
	const unsigned n = sizeof(all) / sizeof(*all);
	_Static_assert(sizeof(all) / sizeof(*all) <= VALUE_PARTS_MAX, "there is room for each");
	memcpy(parts, all, sizeof(all));
	return n;
}

static json_t *table_json(const struct table *t)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < t->count; i++)
		json_array_append_new(list, json_record(t->record, t->items[i]));
	return list;
}

json_t *value_json(const struct cluster *c)
{
	struct value_part parts[VALUE_PARTS_MAX];
	unsigned n = value_parts(c, parts);
	json_t *json = json_object();
	for (unsigned i = 0; i < n; i++)
		json_object_set_new(json, parts[i].name,
		    parts[i].table ? table_json(parts[i].table)
				   : json_record(parts[i].record, parts[i].object));
	return json;
}

/* Paths. */

/* By what an item of a list is called; the first that it has counts for people. */
static const char *const labels[] = {"name", "uuid", "key", "client", "id", "node", "vm", NULL};

/* The item's label of this kind as text; false: it has none. */
static bool label_text(const json_t *item, const char *kind, char text[VALUE_NAME_MAX])
{
	const json_t *label = json_object_get(item, kind);
	if (json_is_string(label) && json_string_length(label))
		snprintf(text, VALUE_NAME_MAX, "%s", json_string_value(label));
	else if (json_is_integer(label))
		snprintf(text, VALUE_NAME_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(label));
	else
		return false;
	return true;
}

void value_name(const json_t *object, char name[VALUE_NAME_MAX])
{
	*name = 0;
	for (unsigned i = 0; labels[i]; i++)
		if (label_text(object, labels[i], name))
			return;
}

static json_t *labelled(const json_t *list, const char *kind, const char *wanted)
{
	char text[VALUE_NAME_MAX];
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item)
	{
		if (label_text(item, kind, text) && !strcmp(text, wanted))
			return item;
	}
	return NULL;
}

static json_t *list_item(const json_t *list, const char *wanted)
{
	json_t *item = NULL;
	for (unsigned i = 0; labels[i] && !item; i++)
		item = labelled(list, labels[i], wanted);
	if (item || json_is_object(json_array_get(list, 0)))
		return item;
	/* Of numbers, by its place. */
	char *end;
	size_t at = strtoul(wanted, &end, 10);
	return end != wanted && !*end ? json_array_get(list, at) : NULL;
}

/* What the names in json are, one after the other; "" at the end. */
static void name_at(const json_t *json, size_t n, char text[VALUE_NAME_MAX])
{
	const char *key;
	json_t *value;
	*text = 0;
	if (json_is_array(json)) {
		const json_t *item = json_array_get(json, n);
		value_name(item, text);
		if (item && !*text)
			snprintf(text, VALUE_NAME_MAX, "%zu", n);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		if (n-- == 0)
			snprintf(text, VALUE_NAME_MAX, "%s", key);
	}
}

void value_path_add(struct buffer *path, const char *name)
{
	for (; *name; name++)
		if (*name == '~' || *name == '/')
			buffer_print(path, *name == '~' ? "~0" : "~1");
		else
			buffer_append_u8(path, (uint8_t)*name);
}

/* "nodes/hv9 is not there; nodes has hv1, hv2 (did you mean ...)". */
static void say_missing(const json_t *json, const char *path, size_t known, struct err *err)
{
	char name[VALUE_NAME_MAX];
	struct buffer all = {0}, names[NAMES_SHOWN] = {0};
	size_t n = json_is_array(json) ? json_array_size(json) : json_object_size(json);
	const char *rest = path + known + (known > 0);
	struct guess guess = guess_of(rest);
	for (size_t i = 0; i < n && i < NAMES_SHOWN; i++) {
		name_at(json, i, name);
		value_path_add(&names[i], name);
		buffer_append_u8(&names[i], 0);
		guess_offer(&guess, (const char *)names[i].data);
		buffer_print(&all, "%s%.64s", i ? ", " : "", (const char *)names[i].data);
	}
	if (n > NAMES_SHOWN)
		buffer_print(&all, " and %zu more", n - NAMES_SHOWN);
	buffer_append_u8(&all, 0);
	const char *where = known ? path : "the value";
	int size = known ? (int)known : (int)strlen(where);
	if (!n)
		err_set(err, 0, "%.100s is not there: %.*s has nothing in it", path, size, where);
	else
		err_set(err, 0, "%.100s is not there: %.*s has %s", path, size, where,
		    (const char *)all.data);
	guess_append(&guess, err->text, sizeof(err->text));
	buffer_close(&all);
	for (unsigned i = 0; i < NAMES_SHOWN; i++)
		buffer_close(&names[i]);
}

/* The next name of a path, without its escapes. Returns how long it is in the path. */
static size_t next_name(const char *path, char name[VALUE_NAME_MAX])
{
	size_t at = 0, used = 0;
	for (; path[at] && path[at] != '/'; at++) {
		char c = path[at];
		if (c == '~' && (path[at + 1] == '0' || path[at + 1] == '1'))
			c = path[++at] == '0' ? '~' : '/';
		if (used + 1 < VALUE_NAME_MAX)
			name[used++] = c;
	}
	name[used] = 0;
	return at;
}

json_t *value_at(json_t *value, const char *path, struct err *err)
{
	char name[VALUE_NAME_MAX];
	size_t at = *path == '/', known = 0;
	while (path[at]) {
		at += next_name(path + at, name);
		json_t *next =
		    json_is_array(value) ? list_item(value, name) : json_object_get(value, name);
		if (!next) {
			say_missing(value, path, known, err);
			return NULL;
		}
		value = next;
		known = at;
		at += path[at] == '/';
	}
	return value;
}

/* A part of a value, without the rest of it being made. */

/* The field of this name as text; false: there is none. */
static bool field_text(
    const struct record *record, const void *object, const char *kind, char text[VALUE_NAME_MAX])
{
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		const void *at = (const char *)object + f->offset;
		if (strcmp(f->name, kind) != 0)
			continue;
		if (f->type == FIELD_TEXT)
			snprintf(text, VALUE_NAME_MAX, "%s", (const char *)at);
		else if (f->type == FIELD_U32)
			snprintf(text, VALUE_NAME_MAX, "%" PRIu32, *(const uint32_t *)at);
		else if (f->type == FIELD_U64)
			snprintf(text, VALUE_NAME_MAX, "%" PRIu64, *(const uint64_t *)at);
		else
			continue;
		return *text;
	}
	return false;
}

static bool may_mean(const struct record *record, const void *object, const char *name)
{
	char text[VALUE_NAME_MAX];
	for (unsigned i = 0; labels[i]; i++)
		if (field_text(record, object, labels[i], text) && !strcmp(text, name))
			return true;
	return false;
}

/* The items that the name may mean; when there are none, what they are called. */
static json_t *items_json(const struct table *t, const char *name)
{
	char text[VALUE_NAME_MAX];
	json_t *list = json_array();
	for (uint32_t i = 0; i < t->count; i++)
		if (may_mean(t->record, t->items[i], name))
			json_array_append_new(list, json_record(t->record, t->items[i]));
	for (uint32_t i = 0, found = (uint32_t)json_array_size(list); i < t->count && !found; i++)
		for (unsigned k = 0; labels[k]; k++) {
			if (!field_text(t->record, t->items[i], labels[k], text))
				continue;
			json_array_append_new(list, json_pack("{s:o}", "name", json_text(text)));
			break;
		}
	return list;
}

/* How much JSON it makes, about: names, quotes and digits take more than the record itself. */
static uint64_t record_bytes(const struct record *record, const void *object)
{
	uint64_t bytes = 2 * (uint64_t)record->size;
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		const void *at = (const char *)object + f->offset;
		if (f->type == FIELD_BLOB)
			bytes += ((const struct blob *)at)->size;
		else if (f->type == FIELD_LIST)
			bytes += LIST_ITEM_BYTES * (uint64_t)((const struct list *)at)->count;
	}
	return bytes;
}

static uint64_t part_bytes(const struct value_part *part)
{
	uint64_t bytes = 0;
	if (!part->table)
		return record_bytes(part->record, part->object);
	for (uint32_t i = 0; i < part->table->count; i++)
		bytes += record_bytes(part->record, part->table->items[i]);
	return bytes;
}

static json_t *part_json(const struct value_part *part, const char *item)
{
	if (!part->table)
		return json_record(part->record, part->object);
	return *item ? items_json(part->table, item) : table_json(part->table);
}

int value_part_json(
    const struct cluster *c, const char *path, uint64_t bytes_max, json_t **value, struct err *err)
{
	struct value_part parts[VALUE_PARTS_MAX];
	char first[VALUE_NAME_MAX], item[VALUE_NAME_MAX] = "";
	unsigned n = value_parts(c, parts);
	uint64_t bytes = 0;
	size_t at = *path == '/';
	at += next_name(path + at, first);
	if (path[at])
		next_name(path + at + 1, item);
	json_t *json = json_object();
	for (unsigned i = 0; i < n; i++) {
		bool wanted = !*first || !strcmp(parts[i].name, first);
		if (wanted && !(parts[i].table && *item))
			bytes += part_bytes(&parts[i]);
		json_object_set_new(json, parts[i].name,
		    wanted && bytes <= bytes_max ? part_json(&parts[i], item) : json_null());
	}
	*value = NULL;
	int result = -ENOENT;
	if (bytes > bytes_max)
		result = err_set(err, -EMSGSIZE, "%s%s is too large: about %" PRIu64 " KiB",
		    *path ? "" : "the value", path, bytes >> 10);
	else
		*value = json_incref(value_at(json, path, err));
	json_decref(json);
	return *value ? 0 : result;
}

/* Differences, by a stack of what is still to be compared: the next on top. */

struct pair {
	char *path; /* owned */
	const json_t *old, *new; /* NULL: not there */
};

struct pairs {
	struct pair *items;
	size_t count, capacity;
};

static void push(
    struct pairs *p, const char *path, const char *name, const json_t *old, const json_t *new)
{
	if (p->count == p->capacity) {
		p->capacity = p->capacity ? p->capacity * 2 : 64;
		p->items = must_realloc(p->items, p->capacity * sizeof(*p->items));
	}
	struct buffer text = {0};
	buffer_print(&text, "%s%s", path, *path ? "/" : "");
	value_path_add(&text, name);
	buffer_append_u8(&text, 0);
	p->items[p->count++] = (struct pair){.path = (char *)text.data, .old = old, .new = new};
}

static void reverse(struct pairs *p, size_t from)
{
	for (size_t i = from, k = p->count; i + 1 < k; i++) {
		struct pair kept = p->items[i];
		p->items[i] = p->items[--k];
		p->items[k] = kept;
	}
}

static void push_objects(struct pairs *p, const struct pair *of)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)of->old, key, value)
	    push(p, of->path, key, value, json_object_get(of->new, key));
	json_object_foreach((json_t *)(uintptr_t)of->new, key, value)
	{
		if (!json_object_get(of->old, key))
			push(p, of->path, key, NULL, value);
	}
}

/* The items by their labels of this kind; NULL: one of them has none, or two have the same. */
static json_t *by_label(const json_t *list, const char *kind)
{
	char text[VALUE_NAME_MAX];
	size_t i;
	json_t *item, *object = json_object();
	json_array_foreach(list, i, item)
	{
		if (label_text(item, kind, text) && !json_object_get(object, text)) {
			json_object_set(object, text, item);
			continue;
		}
		json_decref(object);
		return NULL;
	}
	return object;
}

static void push_lists(struct pairs *p, const struct pair *of)
{
	for (unsigned i = 0; labels[i]; i++) {
		json_t *old = by_label(of->old, labels[i]), *new = by_label(of->new, labels[i]);
		struct pair objects = {.path = of->path, .old = old, .new = new};
		if (old && new)
			push_objects(p, &objects);
		/* The items live on in their lists. */
		json_decref(old);
		json_decref(new);
		if (old && new)
			return;
	}
	size_t olds = json_array_size(of->old), news = json_array_size(of->new);
	for (size_t i = 0; i < olds || i < news; i++) {
		char name[24];
		snprintf(name, sizeof(name), "%zu", i);
		push(p, of->path, name, json_array_get(of->old, i), json_array_get(of->new, i));
	}
}

/* A whole thing that came or went is one difference. */
static json_t *side(const json_t *json)
{
	return json ? json_incref((json_t *)(uintptr_t)json) : json_null();
}

static void compare(struct pairs *p, const struct pair *pair, json_t *changes)
{
	const json_t *old = pair->old, *new = pair->new;
	size_t from = p->count;
	if (old && new &&json_equal(old, new))
		return;
	if (json_is_object(old) && json_is_object(new))
		push_objects(p, pair);
	else if (json_is_array(old) && json_is_array(new))
		push_lists(p, pair);
	else
		json_array_append_new(changes, json_pack("{s:s, s:o, s:o}", "path", pair->path,
						   "old", side(old), "new", side(new)));
	reverse(p, from);
}

size_t value_diff(const json_t *old, const json_t *new, json_t *changes)
{
	struct pairs p = {0};
	push(&p, "", "", old, new);
	while (p.count) {
		struct pair pair = p.items[--p.count];
		compare(&p, &pair, changes);
		free(pair.path);
	}
	free(p.items);
	return json_array_size(changes);
}

static void print_side(const json_t *json, FILE *out)
{
	if (json_is_null(json))
		fputs("(not there)", out);
	else if (json_is_string(json) && json_string_length(json))
		fputs(json_string_value(json), out);
	else
		json_dumpf(json, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

void value_diff_print(const json_t *changes, FILE *out)
{
	size_t i;
	const json_t *change;
	json_array_foreach(changes, i, change)
	{
		fprintf(out, "%s: ", json_string_value(json_object_get(change, "path")));
		print_side(json_object_get(change, "old"), out);
		fputs(" -> ", out);
		print_side(json_object_get(change, "new"), out);
		fputc('\n', out);
	}
}
