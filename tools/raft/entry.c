#include "tools/raft/entry.h"

#include <errno.h>
#include <inttypes.h>

#include "node/json.h"
#include "raft/batch.h"

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

json_t *entry_text(struct buffer *text)
{
	buffer_append_u8(text, 0);
	json_t *json = json_text((const char *)text->data);
	buffer_close(text);
	return json;
}

static json_t *named(const char *name)
{
	return json_pack("{s:s, s:s}", "command", name, "text", name);
}

static json_t *change_json(const struct disk_entry *entry)
{
	struct configuration c;
	struct buffer text = {0};
	if (configuration_decode(entry->data, entry->size, &c))
		return json_pack("{s:s, s:s}", "command", "change", "text", "change (not one)");
	buffer_print(&text, "change");
	for (unsigned i = 0; i < c.n; i++)
		buffer_print(&text, "%s %" PRIu64 "=%s %s", i ? "," : "", c.members[i].id,
		    c.members[i].address, state_name(member_role_names, c.members[i].role));
	return json_pack("{s:s, s:o, s:o}", "command", "change", "members", entry_members(&c),
	    "text", entry_text(&text));
}

/* A tick says much: people are told who was heard, programs everything. */
static void print_tick(const struct command_tick *tick, struct buffer *text)
{
	buffer_print(text, "tick elapsed_ms=%" PRIu64 " hash_index=%" PRIu64 " keepalives=[",
	    tick->elapsed_ms, tick->hash_index);
	for (uint32_t i = 0; i < tick->keepalives.count; i++)
		buffer_print(text, "%s%" PRIu32, i ? " " : "", tick->keepalives.items[i].node);
	buffer_print(text, "]");
}

static json_t *operation_json(const uint8_t *operation, size_t size)
{
	struct command command;
	struct buffer text = {0};
	int result = command_decode(&command, operation, size);
	if (result)
		return json_pack("{s:s, s:s}", "command", "?", "text",
		    result == -ENOTSUP ? "(of a newer version)" : "(not a command)");
	json_t *json = json_command(&command);
	if (command.number == COMMAND_tick)
		print_tick(&command.tick, &text);
	else
		command_print(&command, &text);
	json_object_set_new(json, "client", json_u64(command.client));
	json_object_set_new(json, "sequence", json_u64(command.sequence));
	json_object_set_new(json, "text", entry_text(&text));
	command_clear(&command);
	return json;
}

struct row {
	uint64_t index, term;
	size_t size;
};

/* Takes operation over. */
static void add(json_t *rows, const struct row *row, json_t *operation)
{
	json_array_append_new(
	    rows, json_pack("{s:o, s:o, s:I, s:o}", "index", json_u64(row->index), "term",
		      json_u64(row->term), "size", (json_int_t)row->size, "operation", operation));
}

void entry_rows(json_t *rows, uint64_t index, const struct disk_entry *entry)
{
	struct row row = {.index = index, .term = entry->term, .size = entry->size};
	const uint8_t *operation;
	struct batch_reader in;
	switch (entry->type) {
	case DISK_BARRIER:
		add(rows, &row, named("barrier"));
		return;
	case DISK_CHANGE:
		add(rows, &row, change_json(entry));
		return;
	case DISK_COMMAND:
		in = batch_read(entry->data, entry->size);
		while (batch_next(&in, &operation, &row.size))
			add(rows, &row, operation_json(operation, row.size));
		if (in.in.failed)
			add(rows, &row,
			    json_pack("{s:s, s:s}", "command", "?", "text", "(not operations)"));
		return;
	}
}
