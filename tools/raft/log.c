/* pvc raft log --data DIR: the operations in the files. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "fsm/command.h"
#include "tools/cli.h"
#include "tools/raft/entry.h"
#include "tools/raft/source.h"
#include "tools/table.h"

#define LAST_DEFAULT 20
#define FOLLOW_MS    500

/* Is this the name of something that stands in a log? */
static bool is_type(const char *type)
{
	for (unsigned number = 1; number < COMMAND_NUMBER_END; number++) {
		const struct record *record = command_record(number);
		if (record && !strcmp(record->name + strlen("command_"), type))
			return true;
	}
	return !strcmp(type, "barrier") || !strcmp(type, "change");
}

/* Does the caller want to see it? */
static bool is_wanted(const struct raft_call *call, const json_t *row)
{
	const char *type = raft_text(call, "type");
	const json_t *operation = json_object_get(row, "operation");
	return !type || !strcmp(type, json_string_value(json_object_get(operation, "command")));
}

static json_t *entries_json(
    const struct raft_call *call, const struct inspect *in, uint64_t from, uint64_t to)
{
	json_t *rows = json_array();
	struct disk_entry entry;
	for (uint64_t i = from; i <= to && !inspect_entry(in, i, &entry); i++) {
		size_t at = json_array_size(rows);
		entry_rows(rows, i, &entry);
		while (at < json_array_size(rows))
			if (is_wanted(call, json_array_get(rows, at)))
				at++;
			else
				json_array_remove(rows, at);
	}
	return rows;
}

/* The last ones are looked for from the end: a log may be long. */
static json_t *last_json(
    const struct raft_call *call, const struct inspect *in, uint64_t from, uint64_t to)
{
	uint64_t last = raft_number(call, "last"), wanted = last ? last : LAST_DEFAULT;
	uint64_t span = wanted;
	for (;;) {
		uint64_t start = to - from >= span ? to - span + 1 : from;
		json_t *rows = entries_json(call, in, start, to);
		while (json_array_size(rows) > wanted)
			json_array_remove(rows, 0);
		if (json_array_size(rows) == wanted || start == from)
			return rows;
		json_decref(rows);
		span *= 4;
	}
}

/* Lines without a heading, which more can follow. */
static void print_lines(const struct raft_call *call, const json_t *rows)
{
	size_t i;
	const json_t *row;
	struct text_table *t = text_table_new(3);
	text_table_align_right(t, 0);
	json_array_foreach(rows, i, row)
	{
		char number[24];
		const json_t *text = json_object_get(json_object_get(row, "operation"), "text");
		if (call->json) {
			json_dumpf(row, stdout, JSON_COMPACT);
			fputc('\n', stdout);
			continue;
		}
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(json_object_get(row, "index")));
		text_table_add(t, number);
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(json_object_get(row, "term")));
		text_table_add(t, number);
		text_table_add(t, json_string_value(text));
	}
	text_table_print(t, TABLE_PLAIN, stdout);
	text_table_free(t);
	fflush(stdout);
}

/* Read all of it again and again: simple, and the node does not notice. */
static int follow(const struct raft_call *call, struct source *source, uint64_t seen)
{
	struct err err;
	while (!ferror(stdout)) {
		struct inspect_status status;
		poll(NULL, 0, FOLLOW_MS);
		int result = source_again(source, &err);
		if (result)
			return raft_fail(call, result, &err);
		inspect_status(source->in, &status);
		if (status.last < seen) {
			fprintf(stderr, "(entries after %" PRIu64 " were dropped)\n", status.last);
			seen = status.last;
		}
		uint64_t from = seen < status.first ? status.first : seen + 1;
		json_t *rows = entries_json(call, source->in, from, status.last);
		print_lines(call, rows);
		json_decref(rows);
		seen = status.last;
	}
	return CLI_DONE;
}

static json_t *wanted_json(const struct raft_call *call, const struct inspect *in)
{
	struct inspect_status status;
	uint64_t from = raft_number(call, "from"), to = raft_number(call, "to");
	bool all = !raft_number(call, "last") && (from || to);
	inspect_status(in, &status);
	if (from < status.first)
		from = status.first;
	if (!to || to > status.last)
		to = status.last;
	if (from > to)
		return json_array();
	return all ? entries_json(call, in, from, to) : last_json(call, in, from, to);
}

int raft_log(const struct raft_call *call)
{
	struct source source;
	struct inspect_status status;
	struct err err;
	const char *type = raft_text(call, "type");
	if (type && !is_type(type)) {
		fprintf(stderr, "pvc raft log: there are no operations of the type '%s'\n", type);
		return CLI_USAGE;
	}
	int result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	json_t *rows = wanted_json(call, source.in);
	if (call->follow) {
		print_lines(call, rows);
		json_decref(rows);
		inspect_status(source.in, &status);
		result = follow(call, &source, status.last);
	} else {
		raft_show(call, "raft log --data", rows);
	}
	source_close(&source);
	return result;
}
