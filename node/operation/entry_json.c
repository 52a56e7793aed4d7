#include "node/operation/entry_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node/guess.h"
#include "node/operation/json.h"
#include "raft/batch.h"
#include "raft/configuration.h"

#define BRIEF_TEXT_MAX	1024
#define BRIEF_ITEMS_MAX 8
/* For rows_max: what a row holds beside its operation, and the most of an operation that a brief
 * one shows. */
#define ROW_BYTES	64
#define BRIEF_ROW_BYTES 8192

/* One operation. */

static json_t *text_json(struct buffer *text)
{
	buffer_append_u8(text, 0);
	json_t *json = json_text((const char *)text->data);
	buffer_close(text);
	return json;
}

static json_t *named(const char *name, const char *text)
{
	return json_pack("{s:s, s:s}", "command", name, "text", text);
}

/* A tick says much: people are told who was heard. */
static void print_tick(
    const struct command_tick *tick, const struct record_names *names, struct buffer *text)
{
	buffer_print(text, "tick elapsed_ms=%" PRIu64 " hash_index=%" PRIu64 " keepalives=[",
	    tick->elapsed_ms, tick->hash_index);
	for (uint32_t i = 0; i < tick->keepalives.count; i++) {
		uint32_t id = tick->keepalives.items[i].node;
		const char *name = names ? names->name(names->data, "node", id) : NULL;
		if (name)
			buffer_print(text, "%s%s", i ? " " : "", name);
		else
			buffer_print(text, "%s%" PRIu32, i ? " " : "", id);
	}
	buffer_print(text, "]");
}

/* Every member of the union starts where the first one does. */
static void *field_of(const struct command *command, const struct field *f)
{
	return (char *)(uintptr_t)&command->tick + f->offset;
}

static void print_ids(const char *name, const struct list *list, size_t size, struct buffer *text)
{
	buffer_print(text, " %s=[", name);
	/* Every record of an OSD or a pool begins with its id. */
	for (uint32_t i = 0; i < list->count; i++)
		buffer_print(text, "%s%" PRIu32, i ? " " : "",
		    *(const uint32_t *)((const char *)list->items + (size_t)i * size));
	buffer_print(text, "]");
}

/* Which OSDs and pools it is about, not all that is said of each. */
static void print_report(
    const struct command *command, const struct record_names *names, struct buffer *text)
{
	const struct record *record = command_record(COMMAND_ceph_report);
	uint32_t id = command->ceph_report.node;
	const char *name = names ? names->name(names->data, "node", id) : NULL;
	buffer_print(text, "ceph_report node=");
	if (name)
		buffer_print(text, "%s", name);
	else
		buffer_print(text, "%" PRIu32, id);
	buffer_print(text, " epoch=%" PRIu64, command->ceph_report.epoch);
	if (command->ceph_report.status.count)
		buffer_print(text, " health=%s",
		    state_name(ceph_health_names, command->ceph_report.status.items->health));
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		const struct list *list = field_of(command, f);
		if (f->type == FIELD_LIST && f->element != ceph_record && list->count)
			print_ids(f->name, list, f->element()->size, text);
	}
}

/* The items stay where they are: record_clear() frees them, and they own nothing. */
static void cut_list(struct list *list, const struct field *f, json_t *cut)
{
	if (list->count <= BRIEF_ITEMS_MAX)
		return;
	json_object_set_new(cut, f->name, json_pack("{s:I}", "items", (json_int_t)list->count));
	list->count = 0;
}

/* What is large by nature is cut before it becomes JSON, not after. */
static json_t *cut_texts(struct command *command)
{
	const struct record *record = command_record(command->number);
	json_t *cut = json_object();
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		struct blob *blob = field_of(command, f);
		if (f->type == FIELD_LIST && command->number == COMMAND_ceph_report)
			cut_list(field_of(command, f), f, cut);
		if (f->type != FIELD_BLOB || blob->size <= BRIEF_TEXT_MAX)
			continue;
		json_object_set_new(cut, f->name, json_pack("{s:i}", "bytes", (int)blob->size));
		blob->size = 0;
	}
	return cut;
}

static void cut_keepalives(struct command_tick *tick)
{
	for (uint32_t i = 0; i < tick->keepalives.count; i++) {
		tick->keepalives.items[i].sightings.count = 0;
		tick->keepalives.items[i].collectors.count = 0;
		tick->keepalives.items[i].osds.count = 0;
	}
}

static json_t *brief_json(struct command *command)
{
	size_t i;
	json_t *keepalive, *cut = cut_texts(command);
	if (command->number == COMMAND_tick)
		cut_keepalives(&command->tick);
	json_t *json = json_command(command);
	json_object_update(json, cut);
	json_decref(cut);
	if (command->number != COMMAND_tick)
		return json;
	json_array_foreach(json_object_get(json, "keepalives"), i, keepalive)
	{
		json_object_del(keepalive, "sightings");
		json_object_del(keepalive, "collectors");
		json_object_del(keepalive, "osds");
	}
	return json;
}

/* The command is not whole any more afterwards. */
static json_t *command_json(
    struct command *command, enum entry_detail detail, const struct record_names *names)
{
	struct buffer text = {0};
	if (command->number == COMMAND_tick)
		print_tick(&command->tick, names, &text);
	else if (command->number == COMMAND_ceph_report)
		print_report(command, names, &text);
	else
		command_print_named(command, names, &text);
	json_t *json = detail == ENTRY_BRIEF ? brief_json(command) : json_command(command);
	/* As `raft hash` has it, to compare with. */
	if (command->number == COMMAND_tick)
		json_object_set_new(json, "hash", json_sprintf("%016" PRIx64, command->tick.hash));
	json_object_set_new(json, "client", json_u64(command->client));
	json_object_set_new(json, "sequence", json_u64(command->sequence));
	json_object_set_new(json, "text", text_json(&text));
	return json;
}

json_t *entry_operation(const uint8_t *operation, size_t size, enum entry_detail detail,
    const struct record_names *names)
{
	struct command command;
	int result = command_decode(&command, operation, size);
	if (result)
		return named("?", result == -ENOTSUP ? "(of a newer version)" : "(not a command)");
	json_t *json = command_json(&command, detail, names);
	command_clear(&command);
	return json;
}

json_t *entry_members(const struct configuration *c)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < c->n; i++)
		json_array_append_new(
		    list, json_pack("{s:o, s:o, s:s}", "id", json_u64(c->members[i].id), "address",
			      json_text(c->members[i].address), "role",
			      state_name(member_role_names, c->members[i].role)));
	return list;
}

static json_t *change_json(const struct disk_entry *entry)
{
	struct configuration c;
	struct buffer text = {0};
	if (configuration_decode(entry->data, entry->size, &c))
		return named("change", "change (not one)");
	buffer_print(&text, "change");
	for (unsigned i = 0; i < c.n; i++)
		buffer_print(&text, "%s %" PRIu64 "=%s %s", i ? "," : "", c.members[i].id,
		    c.members[i].address, state_name(member_role_names, c.members[i].role));
	return json_pack("{s:s, s:o, s:o}", "command", "change", "members", entry_members(&c),
	    "text", text_json(&text));
}

/* What is asked for. */

static int check_type(const char *type, struct err *err)
{
	struct guess guess = guess_of(type);
	for (unsigned number = 1; number < COMMAND_NUMBER_END; number++) {
		const struct record *record = command_record(number);
		if (record)
			guess_offer(&guess, record->name + strlen("command_"));
	}
	guess_offer(&guess, "barrier");
	guess_offer(&guess, "change");
	if (guess.best && !strcmp(guess.best, type))
		return 0;
	err_set(err, 0, "there are no operations of the type '%.64s'", type);
	if (err)
		guess_append(&guess, err->text, sizeof(err->text));
	return -EINVAL;
}

int entry_query_check(const struct entry_query *query, struct err *err)
{
	if (query->to && query->from > query->to)
		return err_set(err, -EINVAL, "from %" PRIu64 " on, up to %" PRIu64 ": that is none",
		    query->from, query->to);
	return query->type ? check_type(query->type, err) : 0;
}

/* 0: it is none. */
static uint32_t id_of(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t id = digits && digits < 11 && !text[digits] ? strtoull(text, NULL, 10) : 0;
	return id <= UINT32_MAX ? (uint32_t)id : 0;
}

static int query_node(
    struct entry_query *query, const struct cluster *c, const char *name, struct err *err)
{
	const struct node *node = cluster_node_named(c, name);
	if (!node && id_of(name))
		node = cluster_node(c, id_of(name));
	struct guess guess = guess_of(name);
	query->node_name = node ? node->name : name;
	query->node = node ? node->id : id_of(name);
	if (query->node)
		return 0;
	cluster_each(c->nodes, struct node, one) guess_offer(&guess, one->name);
	err_set(err, 0, "there is no node %.128s (one that has left can be named by its id)", name);
	if (err)
		guess_append(&guess, err->text, sizeof(err->text));
	return -ENOENT;
}

static int query_vm(
    struct entry_query *query, const struct cluster *c, const char *name, struct err *err)
{
	const struct vm *vm = cluster_vm_named(c, name);
	if (!vm && id_of(name))
		vm = cluster_vm(c, id_of(name));
	struct guess guess = guess_of(name);
	query->vm_name = vm ? vm->name : name;
	query->vm_uuid = vm ? vm->uuid : name;
	query->vm = vm ? vm->id : id_of(name);
	if (query->vm)
		return 0;
	cluster_each(c->vms, struct vm, one) guess_offer(&guess, one->name);
	err_set(err, 0, "there is no VM %.128s (one that is gone can be named by its id)", name);
	if (err)
		guess_append(&guess, err->text, sizeof(err->text));
	return -ENOENT;
}

int entry_query_name(struct entry_query *query, const struct cluster *c, const char *node,
    const char *vm, struct err *err)
{
	int result = node ? query_node(query, c, node, err) : 0;
	return !result && vm ? query_vm(query, c, vm, err) : result;
}

static bool is_text(const struct command *command, const struct field *f, const char *text)
{
	return text && f->type == FIELD_TEXT && !f->secret && !strcmp(field_of(command, f), text);
}

static bool field_names_node(
    const struct entry_query *q, const struct command *command, const struct field *f)
{
	bool newcomer = command->number == COMMAND_join || command->number == COMMAND_token;
	if (!strcmp(f->name, "node") && f->type == FIELD_U32)
		return *(const uint32_t *)field_of(command, f) == q->node;
	return (!strcmp(f->name, "node") || (newcomer && !strcmp(f->name, "name"))) &&
	       is_text(command, f, q->node_name);
}

static bool field_names_vm(
    const struct entry_query *q, const struct command *command, const struct field *f)
{
	if (!strcmp(f->name, "vm") && f->type == FIELD_U32)
		return *(const uint32_t *)field_of(command, f) == q->vm;
	return command->number == COMMAND_vm_define &&
	       ((!strcmp(f->name, "name") && is_text(command, f, q->vm_name)) ||
		   (!strcmp(f->name, "uuid") && is_text(command, f, q->vm_uuid)));
}

static bool concerns(const struct entry_query *q, const struct command *command)
{
	const struct record *record = command_record(command->number);
	bool node = !q->node, vm = !q->vm;
	for (uint32_t i = 0; i < record->count; i++) {
		node = node || field_names_node(q, command, &record->fields[i]);
		vm = vm || field_names_vm(q, command, &record->fields[i]);
	}
	return node && vm;
}

/* Rows, from the newest to the oldest. */

struct operation_at {
	const uint8_t *bytes;
	size_t size;
	uint64_t number; /* of the command */
};

struct scan {
	const struct entry_source *source;
	const struct entry_query *query;
	json_t *rows; /* the newest first */
	json_t *ticks; /* the last row, when that is of ticks; borrowed */
	uint64_t bytes; /* of the rows, about */
	uint64_t index;
	struct disk_entry entry;
	struct operation_at *operations; /* of that entry */
	unsigned n, capacity;
};

static const char *state_of(const struct scan *s)
{
	return s->index <= s->source->committed ? "committed" : s->source->beyond;
}

/* Takes operation over. n: which of the entry's operations; UINT_MAX: it is none. */
static void add(struct scan *s, json_t *operation, size_t size, unsigned n)
{
	static const char *const types[] = {"", "command", "barrier", "change"};
	int result;
	bool known = n != UINT32_MAX && s->source->result &&
		     !s->source->result(s->source->data, s->index, n, &result);
	json_array_append_new(
	    s->rows, json_pack("{s:o, s:o, s:I, s:s, s:s, s:o, s:o}", "index", json_u64(s->index),
			 "term", json_u64(s->entry.term), "size", (json_int_t)size, "type",
			 types[s->entry.type], "state", state_of(s), "result",
			 known ? json_integer(result) : json_null(), "operation", operation));
	bool cut = s->query->detail == ENTRY_BRIEF && size > BRIEF_ROW_BYTES;
	s->bytes += ROW_BYTES + (cut ? BRIEF_ROW_BYTES : size);
	s->ticks = NULL;
}

static bool full(const struct scan *s)
{
	const struct entry_query *q = s->query;
	/* Ticks that belong to the last row are still counted. */
	return !s->ticks && ((q->most && json_array_size(s->rows) >= q->most) ||
				(q->rows_max && s->bytes >= q->rows_max));
}

static bool type_wanted(const struct scan *s, const char *type)
{
	return !s->query->type || !strcmp(s->query->type, type);
}

static bool number_wanted(const struct scan *s, uint64_t number)
{
	const struct record *record =
	    number < COMMAND_NUMBER_END ? command_record((unsigned)number) : NULL;
	bool anybody = !s->query->node && !s->query->vm;
	if (!record || number == COMMAND_tick)
		return anybody && (!s->query->type || (record && type_wanted(s, "tick")));
	return type_wanted(s, record->name + strlen("command_"));
}

static void count_tick(struct scan *s)
{
	json_int_t ticks = json_integer_value(json_object_get(s->ticks, "ticks"));
	json_object_set_new(s->ticks, "ticks", json_integer(ticks + 1));
	json_object_set_new(s->ticks, "first_index", json_u64(s->index));
}

static bool joins_ticks(const struct scan *s)
{
	return s->ticks &&
	       !strcmp(json_string_value(json_object_get(s->ticks, "state")), state_of(s));
}

static void add_operation(struct scan *s, unsigned n)
{
	const struct operation_at *o = &s->operations[n];
	const struct entry_query *q = s->query;
	bool tick = o->number == COMMAND_tick && q->ticks == ENTRY_TICKS_TOGETHER;
	struct command command;
	if (!number_wanted(s, o->number))
		return;
	if (tick && joins_ticks(s)) {
		count_tick(s);
		return;
	}
	s->ticks = NULL;
	if (full(s))
		return;
	if ((q->node || q->vm) && command_decode(&command, o->bytes, o->size))
		return;
	if (q->node || q->vm) {
		bool wanted = concerns(q, &command);
		command_clear(&command);
		if (!wanted)
			return;
	}
	add(s, entry_operation(o->bytes, o->size, q->detail, s->source->names), o->size, n);
	if (!tick)
		return;
	s->ticks = json_array_get(s->rows, json_array_size(s->rows) - 1);
	count_tick(s);
}

static uint64_t number_of(const uint8_t *operation, size_t size)
{
	struct reader in = reader_of(operation, size);
	reader_varint(&in); /* client */
	reader_varint(&in); /* sequence */
	return reader_varint(&in);
}

/* False: the entry is no batch behind those that were read. */
static bool read_operations(struct scan *s)
{
	struct operation_at o;
	struct batch_reader in = batch_read(s->entry.data, s->entry.size);
	s->n = 0;
	while (batch_next(&in, &o.bytes, &o.size)) {
		if (s->n == s->capacity) {
			s->capacity = s->capacity ? s->capacity * 2 : 16;
			s->operations =
			    must_realloc(s->operations, s->capacity * sizeof(*s->operations));
		}
		o.number = number_of(o.bytes, o.size);
		s->operations[s->n++] = o;
	}
	return !in.in.failed;
}

static bool change_concerns(const struct entry_query *q, const struct disk_entry *entry)
{
	struct configuration c;
	return !q->vm && (!q->node || (!configuration_decode(entry->data, entry->size, &c) &&
					  configuration_find(&c, q->node)));
}

static void add_entry(struct scan *s)
{
	const struct entry_query *q = s->query;
	switch (s->entry.type) {
	case DISK_BARRIER:
		s->ticks = NULL;
		if (type_wanted(s, "barrier") && !q->node && !q->vm && !full(s))
			add(s, named("barrier", "barrier"), s->entry.size, UINT32_MAX);
		return;
	case DISK_CHANGE:
		s->ticks = NULL;
		if (type_wanted(s, "change") && change_concerns(q, &s->entry) && !full(s))
			add(s, change_json(&s->entry), s->entry.size, UINT32_MAX);
		return;
	case DISK_COMMAND:
		if (!read_operations(s) && !q->type && !q->node && !q->vm)
			add(s, named("?", "(not operations)"), s->entry.size, UINT32_MAX);
		for (unsigned n = s->n; n-- > 0 && !full(s);)
			add_operation(s, n);
		return;
	}
}

static void tell_ticks(json_t *row)
{
	json_int_t ticks = json_integer_value(json_object_get(row, "ticks"));
	json_t *operation = json_object_get(row, "operation");
	const char *text = json_string_value(json_object_get(operation, "text"));
	if (ticks > 1)
		json_object_set_new(operation, "text",
		    json_sprintf("%s (%" JSON_INTEGER_FORMAT " ticks in a row)", text, ticks));
}

/* In order of the index; the rows that were found go with it. */
static json_t *reversed(json_t *rows)
{
	json_t *list = json_array();
	for (size_t i = json_array_size(rows); i-- > 0;) {
		tell_ticks(json_array_get(rows, i));
		json_array_append(list, json_array_get(rows, i));
	}
	json_decref(rows);
	return list;
}

json_t *entry_list(
    const struct entry_source *source, const struct entry_query *query, uint64_t *searched_from)
{
	struct scan s = {.source = source, .query = query, .rows = json_array()};
	uint64_t from = query->from > source->first ? query->from : source->first;
	uint64_t to = query->to && query->to < source->last ? query->to : source->last;
	uint64_t scanned = 0;
	*searched_from = to + 1;
	for (s.index = to; s.index >= from && s.index && !full(&s); s.index--) {
		if (source->entry(source->data, s.index, &s.entry))
			break;
		scanned += s.entry.size;
		add_entry(&s);
		*searched_from = s.index;
		if (query->scan_max && scanned >= query->scan_max)
			break;
	}
	free(s.operations);
	return reversed(s.rows);
}
