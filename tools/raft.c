/* pvc raft status|log|verify|dump --data DIR: a node's log, read from its files.
 *
 * Nothing is written and no lock is taken, so a running node does not notice. What people see
 * is made of the same JSON that programs get, as everywhere in the command line. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "node/json.h"
#include "raft/batch.h"
#include "raft/configuration.h"
#include "raft/identity.h"
#include "raft/inspect.h"
#include "tools/applet.h"
#include "tools/cli.h"
#include "tools/replay.h"
#include "tools/view.h"

#define PATH_SIZE    4096
#define LAST_DEFAULT 20
#define FOLLOW_MS    500

struct raft_options {
	const char *command;
	const char *data;
	uint64_t from, to, last, at; /* 0: not given */
	const char *type; /* NULL: every one */
	bool follow;
	bool json;
	char log[PATH_SIZE]; /* the directory of the log's files */
	char certificate[PATH_SIZE];
};

static const char status_usage[] =
    "usage: pvc raft status --data DIR [-f json]\n"
    "Show what a node's data directory holds of the log. DIR is the data directory or its\n"
    "raft/; it is only read, and its node may run.\n";
static const char log_usage[] =
    "usage: pvc raft log --data DIR [--from N] [--to N] [--last N] [--type T] [--follow]\n"
    "                    [-f json]\n"
    "Print the operations in a node's data directory, the last 20 unless told otherwise. The\n"
    "last entries may not be committed. T is an operation (takeover), barrier or change.\n";
static const char verify_usage[] =
    "usage: pvc raft verify --data DIR [-f json]\n"
    "Check every checksum, and what the log means. Exit status: 0 nothing is damaged,\n"
    "1 something is.\n";
static const char dump_usage[] =
    "usage: pvc raft dump --data DIR [--at INDEX]\n"
    "Print the cluster's value as JSON: the snapshot and the log after it, up to its last\n"
    "entry or INDEX. The last entries may not be committed; committed_index is for certain.\n";

static int usage(const struct raft_options *o, FILE *out, int status)
{
	const char *text = dump_usage;
	if (!strcmp(o->command, "status"))
		text = status_usage;
	else if (!strcmp(o->command, "log"))
		text = log_usage;
	else if (!strcmp(o->command, "verify"))
		text = verify_usage;
	fputs(text, out);
	return status;
}

static int fail(const struct raft_options *o, const struct err *err)
{
	fprintf(stderr, "pvc raft %s: %s\n", o->command, err->text);
	return CLI_REFUSED;
}

/* Options. */

static int read_number(const char *text, uint64_t *number)
{
	char *end;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return errno || end == text || *end || *text == '-' || !*number ? -EINVAL : 0;
}

/* The value of option in words[*at], written --option VALUE or --option=VALUE; NULL: it is
 * another word, or has no value. */
static const char *value_of(const char *option, const struct cli *cli, unsigned *at)
{
	const char *word = cli->words[*at];
	size_t length = strlen(option);
	if (strncmp(word, option, length) != 0)
		return NULL;
	if (word[length] == '=')
		return word + length + 1;
	if (word[length] || *at + 1 == cli->count)
		return NULL;
	return cli->words[++*at];
}

static int read_word(struct raft_options *o, const struct cli *cli, unsigned *at)
{
	const struct {
		const char *command, *option;
		uint64_t *number;
	} numbers[] = {
	    {"log", "--from", &o->from},
	    {"log", "--to", &o->to},
	    {"log", "--last", &o->last},
	    {"dump", "--at", &o->at},
	};
	bool log = !strcmp(o->command, "log");
	const char *value = value_of("--data", cli, at);
	if (value) {
		o->data = value;
		return 0;
	}
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (!strcmp(numbers[i].command, o->command) &&
		    (value = value_of(numbers[i].option, cli, at)))
			return read_number(value, numbers[i].number);
	value = log ? value_of("--type", cli, at) : NULL;
	if (value)
		o->type = value;
	else if (log && (!strcmp(cli->words[*at], "--follow") || !strcmp(cli->words[*at], "-f")))
		o->follow = true;
	else
		return -EINVAL;
	return 0;
}

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

static bool is_directory(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static void find_files(struct raft_options *o)
{
	snprintf(o->log, sizeof(o->log), "%s/raft", o->data);
	bool whole = is_directory(o->log);
	if (!whole)
		snprintf(o->log, sizeof(o->log), "%s", o->data);
	snprintf(o->certificate, sizeof(o->certificate), "%s/%sidentity/node.crt", o->data,
	    whole ? "" : "../");
}

/* CLI_DONE: go on; else the exit status, -1 for 0. */
static int read_options(struct raft_options *o, int argc, char **argv)
{
	struct cli cli;
	struct err err;
	if (cli_read(&cli, argc, argv, &err)) {
		fail(o, &err);
		return CLI_USAGE;
	}
	if (cli.what == CLI_HELP)
		return usage(o, stdout, -1);
	o->json = cli.format == CLI_JSON;
	for (unsigned i = 0; i < cli.count; i++)
		if (read_word(o, &cli, &i))
			return usage(o, stderr, CLI_USAGE);
	if (!o->data)
		return usage(o, stderr, CLI_USAGE);
	if (o->type && !is_type(o->type)) {
		err_set(&err, -EINVAL, "there are no operations of the type '%s'", o->type);
		fail(o, &err);
		return CLI_USAGE;
	}
	find_files(o);
	return CLI_DONE;
}

static void show(const struct raft_options *o, const char *view, json_t *json)
{
	if (o->json)
		json_dumpf(json, stdout, JSON_INDENT(2));
	else
		view_print(view, json, table_colours(stdout), stdout);
	if (o->json)
		fputc('\n', stdout);
	json_decref(json);
}

/* Entries. */

static json_t *members_json(const struct configuration *c)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < c->n; i++)
		json_array_append_new(
		    list, json_pack("{s:o, s:o, s:s}", "id", json_u64(c->members[i].id), "address",
			      json_text(c->members[i].address), "role",
			      state_name(member_role_names, c->members[i].role)));
	return list;
}

static json_t *text_json(struct buffer *text)
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
	return json_pack("{s:s, s:o, s:o}", "command", "change", "members", members_json(&c),
	    "text", text_json(&text));
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
	json_object_set_new(json, "text", text_json(&text));
	command_clear(&command);
	return json;
}

struct row {
	uint64_t index, term;
	size_t size;
};

/* Takes operation over. */
static void add(
    json_t *rows, const struct raft_options *o, const struct row *row, json_t *operation)
{
	const char *its = json_string_value(json_object_get(operation, "command"));
	if (!o->type || !strcmp(o->type, its))
		json_array_append_new(
		    rows, json_pack("{s:o, s:o, s:I, s:O}", "index", json_u64(row->index), "term",
			      json_u64(row->term), "size", (json_int_t)row->size, "operation",
			      operation));
	json_decref(operation);
}

/* A row for each operation in the entry. */
static void add_entry(
    json_t *rows, const struct raft_options *o, uint64_t index, const struct disk_entry *entry)
{
	struct row row = {.index = index, .term = entry->term, .size = entry->size};
	const uint8_t *operation;
	struct batch_reader in;
	switch (entry->type) {
	case DISK_BARRIER:
		add(rows, o, &row, named("barrier"));
		return;
	case DISK_CHANGE:
		add(rows, o, &row, change_json(entry));
		return;
	case DISK_COMMAND:
		in = batch_read(entry->data, entry->size);
		while (batch_next(&in, &operation, &row.size))
			add(rows, o, &row, operation_json(operation, row.size));
		if (in.in.failed)
			add(rows, o, &row,
			    json_pack("{s:s, s:s}", "command", "?", "text", "(not operations)"));
		return;
	}
}

static json_t *entries_json(
    const struct raft_options *o, const struct inspect *in, uint64_t from, uint64_t to)
{
	json_t *rows = json_array();
	struct disk_entry entry;
	for (uint64_t i = from; i <= to && !inspect_entry(in, i, &entry); i++)
		add_entry(rows, o, i, &entry);
	return rows;
}

/* The last ones are looked for from the end: a log may be long. */
static json_t *last_json(
    const struct raft_options *o, const struct inspect *in, uint64_t from, uint64_t to)
{
	uint64_t wanted = o->last ? o->last : LAST_DEFAULT, span = wanted;
	for (;;) {
		uint64_t start = to - from >= span ? to - span + 1 : from;
		json_t *rows = entries_json(o, in, start, to);
		while (json_array_size(rows) > wanted)
			json_array_remove(rows, 0);
		if (json_array_size(rows) == wanted || start == from)
			return rows;
		json_decref(rows);
		span *= 4;
	}
}

/* Commands. */

static int open_log(const struct raft_options *o, struct inspect **in, struct err *err)
{
	int result = inspect_open(in, o->log, err);
	struct inspect_status status;
	if (result)
		return result;
	inspect_status(*in, &status);
	if (status.version || status.last || status.problems)
		return 0;
	inspect_close(*in);
	return err_set(err, -ENOENT, "%s holds no log", o->log);
}

static json_t *segments_json(const struct inspect *in)
{
	json_t *list = json_array();
	struct inspect_segment s;
	for (unsigned i = 0; !inspect_segment(in, i, &s); i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:o, s:o, s:o, s:o, s:i, s:b}", "file", s.name, "first",
			      json_u64(s.start), "last", json_u64(s.last), "bytes",
			      json_u64(s.bytes), "used", json_u64(s.used), "batches",
			      (int)s.batches, "stale", (int)s.stale));
	return list;
}

static json_t *snapshot_json(const struct inspect_status *status)
{
	const struct disk_snapshot *s = status->snapshot;
	if (!s)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "index", json_u64(s->index), "term",
	    json_u64(s->term), "bytes", json_u64(s->size), "file_bytes",
	    json_u64(status->snapshot_file_bytes));
}

static json_t *torn_json(const struct inspect_status *status)
{
	if (!*status->torn_file)
		return json_null();
	struct buffer text = {0};
	buffer_print(&text, "%s:%" PRIu64 ": %" PRIu64 " bytes", status->torn_file,
	    status->torn_offset, status->torn_bytes);
	return json_pack("{s:s, s:o, s:o, s:o}", "file", status->torn_file, "offset",
	    json_u64(status->torn_offset), "bytes", json_u64(status->torn_bytes), "text",
	    text_json(&text));
}

/* The newest configuration: of an entry, or of the snapshot. Empty: there is none. */
static void last_configuration(
    const struct inspect *in, const struct inspect_status *status, struct configuration *c)
{
	struct disk_entry entry;
	c->n = 0;
	for (uint64_t i = status->last; i && !inspect_entry(in, i, &entry); i--)
		if (entry.type == DISK_CHANGE && !configuration_decode(entry.data, entry.size, c))
			return;
	const struct disk_snapshot *s = status->snapshot;
	if (!s || configuration_decode(s->configuration, s->configuration_size, c))
		c->n = 0;
}

/* Whose directory it is, as far as its certificate is there. */
static void identity_json(const struct raft_options *o, json_t *json)
{
	char pem[16384];
	struct identity who;
	FILE *file = fopen(o->certificate, "re");
	size_t size = file ? fread(pem, 1, sizeof(pem), file) : 0;
	if (file)
		fclose(file);
	bool known = size && !identity_read(pem, size, &who, NULL);
	json_object_set_new(json, "id", known ? json_u64(who.id) : json_null());
	json_object_set_new(json, "node", known ? json_text(who.name) : json_null());
	json_object_set_new(json, "cluster", known ? json_text(who.cluster) : json_null());
}

static int run_status(const struct raft_options *o, const struct inspect *in)
{
	struct inspect_status s;
	struct configuration c;
	inspect_status(in, &s);
	last_configuration(in, &s, &c);
	json_t *json = json_object();
	identity_json(o, json);
	json_t *log = json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:i, s:i}",
	    "in_use", (int)s.in_use, "term", json_u64(s.term), "vote",
	    s.vote ? json_u64(s.vote) : json_null(), "first_index", json_u64(s.first), "last_index",
	    json_u64(s.last), "committed_index", json_u64(replay_committed(in)), "snapshot",
	    snapshot_json(&s), "members", members_json(&c), "segments_count", (int)s.segments,
	    "segments", segments_json(in), "torn", torn_json(&s), "problems", (int)s.problems,
	    "notes", (int)s.notes);
	json_object_update(json, log);
	json_object_set_new(json, "bytes", json_u64(s.bytes));
	json_decref(log);
	show(o, "raft status --data", json);
	return CLI_DONE;
}

/* Lines without a heading, which more can follow. */
static void print_lines(const struct raft_options *o, const json_t *rows)
{
	size_t i;
	const json_t *row;
	struct text_table *t = text_table_new(3);
	text_table_align_right(t, 0);
	json_array_foreach(rows, i, row)
	{
		char number[24];
		const json_t *text = json_object_get(json_object_get(row, "operation"), "text");
		if (o->json) {
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
static int follow(const struct raft_options *o, uint64_t seen)
{
	struct err err;
	while (!ferror(stdout)) {
		struct inspect *in;
		struct inspect_status status;
		poll(NULL, 0, FOLLOW_MS);
		if (inspect_open(&in, o->log, &err))
			return fail(o, &err);
		inspect_status(in, &status);
		if (status.last < seen) {
			fprintf(stderr, "(entries after %" PRIu64 " were dropped)\n", status.last);
			seen = status.last;
		}
		json_t *rows =
		    entries_json(o, in, seen < status.first ? status.first : seen + 1, status.last);
		print_lines(o, rows);
		json_decref(rows);
		seen = status.last;
		inspect_close(in);
	}
	return CLI_DONE;
}

static int run_log(const struct raft_options *o, const struct inspect *in)
{
	struct inspect_status status;
	inspect_status(in, &status);
	uint64_t from = o->from > status.first ? o->from : status.first;
	uint64_t to = o->to && o->to < status.last ? o->to : status.last;
	bool all = !o->last && (o->from || o->to);
	json_t *rows;
	if (from > to)
		rows = json_array();
	else
		rows = all ? entries_json(o, in, from, to) : last_json(o, in, from, to);
	if (!o->follow) {
		show(o, "raft log --data", rows);
		return CLI_DONE;
	}
	print_lines(o, rows);
	json_decref(rows);
	return follow(o, status.last);
}

static void found(void *data, const struct inspect_finding *f)
{
	json_array_append_new(
	    data, json_pack("{s:o, s:o, s:b, s:o}", "file", json_text(f->file), "offset",
		      json_u64(f->offset), "problem", (int)f->problem, "text", json_text(f->text)));
}

static int run_verify(const struct raft_options *o, const struct inspect *in)
{
	struct inspect_status status;
	json_t *findings = json_array();
	size_t i;
	const json_t *f;
	inspect_status(in, &status);
	unsigned problems = inspect_verify(in, found, findings);
	problems += replay_verify(in, found, findings);
	json_array_foreach(findings, i, f)
	{
		if (o->json)
			break;
		printf("%s:%" JSON_INTEGER_FORMAT ": %s%s\n",
		    json_string_value(json_object_get(f, "file")),
		    json_integer_value(json_object_get(f, "offset")),
		    json_is_true(json_object_get(f, "problem")) ? "" : "note: ",
		    json_string_value(json_object_get(f, "text")));
	}
	if (o->json)
		show(o, "",
		    json_pack("{s:i, s:O}", "problems", (int)problems, "findings", findings));
	else
		printf("%u %s; entries %" PRIu64 " to %" PRIu64 ", snapshot %" PRIu64 "\n",
		    problems, problems == 1 ? "problem" : "problems", status.first, status.last,
		    status.snapshot ? status.snapshot->index : 0);
	json_decref(findings);
	return problems ? CLI_REFUSED : CLI_DONE;
}

static json_t *table_json(const struct table *t)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < t->count; i++)
		json_array_append_new(list, json_record(t->record, t->items[i]));
	return list;
}

static json_t *value_json(const struct cluster *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "settings",
	    json_record(settings_record(), &c->settings), "primary",
	    json_record(primary_record(), &c->primary), "nodes", table_json(&c->nodes), "vms",
	    table_json(&c->vms), "facts", table_json(&c->facts), "sessions",
	    table_json(&c->sessions), "tokens", table_json(&c->tokens));
}

static int run_dump(const struct raft_options *o, const struct inspect *in)
{
	struct replay r;
	struct err err;
	struct inspect_status status;
	if (replay_run(&r, in, o->at, &err))
		return fail(o, &err);
	inspect_status(in, &status);
	uint64_t committed = replay_committed(in);
	json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "index", json_u64(r.index),
	    "term", json_u64(r.term), "committed_index", json_u64(committed), "last_index",
	    json_u64(status.last), "hash_index", json_u64(r.cluster.index), "hash",
	    json_sprintf("%016" PRIx64, r.cluster.hash), "value", value_json(&r.cluster));
	json_dumpf(json, stdout, JSON_INDENT(2));
	fputc('\n', stdout);
	fflush(stdout);
	if (r.index > committed)
		fprintf(stderr,
		    "pvc raft dump: the entries %" PRIu64 " to %" PRIu64
		    " may not be committed: this disk alone cannot tell\n",
		    committed + 1, r.index);
	json_decref(json);
	replay_close(&r);
	return CLI_DONE;
}

static int run(
    int (*command)(const struct raft_options *o, const struct inspect *in), int argc, char **argv)
{
	struct raft_options o = {.command = argv[0]};
	struct err err;
	struct inspect *in;
	int status = read_options(&o, argc, argv);
	if (status)
		return status < 0 ? CLI_DONE : status;
	if (open_log(&o, &in, &err))
		return fail(&o, &err);
	status = command(&o, in);
	inspect_close(in);
	return status;
}

int applet_raft_status(int argc, char **argv)
{
	return run(run_status, argc, argv);
}

int applet_raft_log(int argc, char **argv)
{
	return run(run_log, argc, argv);
}

int applet_raft_verify(int argc, char **argv)
{
	return run(run_verify, argc, argv);
}

int applet_raft_dump(int argc, char **argv)
{
	return run(run_dump, argc, argv);
}
