#include "tools/view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node/operation/json.h"
#include "tools/progress.h"

#define CELL_MAX 1280 /* a command with a join token in it is the longest */

enum format {
	FORMAT_NONE,
	FORMAT_WORD,
	FORMAT_COUNT,
	FORMAT_MIB,
	FORMAT_AGE,
	FORMAT_AGO,
	FORMAT_LOAD,
	FORMAT_LIST_OF,
	FORMAT_STATES_OF,
	FORMAT_RESULT, /* 0 or above, or a negative errno */
	FORMAT_BYTES,
	FORMAT_KIB,
	FORMAT_PERCENT,
	FORMAT_MS,
	FORMAT_US,
	FORMAT_LINES_OF, /* texts, a line each */
	FORMAT_MIGRATION,
	FORMAT_BAR, /* of a movement */
};

struct column {
	const char *title, *path;
	enum format format;
};

struct view {
	const char *operation;
	enum { VIEW_ROWS, VIEW_FIELDS, VIEW_RAW, VIEW_VALUE } kind;
	const char *list; /* of ROWS: where they are; "": the answer itself */
	struct column columns[48]; /* ends with title NULL */
};

#define COLUMN(title, path, format)   {title, path, FORMAT_##format},
#define ROWS(operation, ...)	      {operation, VIEW_ROWS, "", {__VA_ARGS__}},
#define ROWS_OF(operation, list, ...) {operation, VIEW_ROWS, list, {__VA_ARGS__}},
#define FIELDS(operation, ...)	      {operation, VIEW_FIELDS, "", {__VA_ARGS__}},
#define RAW(operation, path)	      {operation, VIEW_RAW, "", {{"", path, FORMAT_WORD}}},
#define VALUE(operation)	      {operation, VIEW_VALUE, "", {{0}}},
static const struct view views[] = {
#include "tools/view.def"
};

static const json_t *go(const json_t *json, const char *path)
{
	char key[64];
	while (json && *path) {
		size_t size = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)size, path);
		json = json_object_get(json, key);
		path += size + (path[size] == '.');
	}
	return json;
}

static void age_text(json_int_t ms, char text[CELL_MAX])
{
	if (ms < 10000)
		snprintf(text, CELL_MAX, "%.1f s", (double)ms / 1000);
	else if (ms < 120000)
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT " s", ms / 1000);
	else if (ms < 7200000)
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT " min", ms / 60000);
	else if (ms < 172800000)
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT " h", ms / 3600000);
	else
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT " d", ms / 86400000);
}

static void mib_text(json_int_t mib, char text[CELL_MAX])
{
	if (mib < 10240)
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT "M", mib);
	else if (mib < 10240 * 1024)
		snprintf(text, CELL_MAX, "%.1fG", (double)mib / 1024);
	else
		snprintf(text, CELL_MAX, "%.1fT", (double)mib / 1048576);
}

static void bytes_text(json_int_t bytes, char text[CELL_MAX])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	unsigned unit = 0;
	while (value >= 10240 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(text, CELL_MAX, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void us_text(json_int_t us, char text[CELL_MAX])
{
	if (us < 10000)
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT " us", us);
	else
		snprintf(text, CELL_MAX, "%.1f ms", (double)us / 1000);
}

static void plain_text(const json_t *value, char text[CELL_MAX])
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		snprintf(text, CELL_MAX, "%s", json_string_value(value));
		break;
	case JSON_INTEGER:
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		snprintf(text, CELL_MAX, "%g", json_real_value(value));
		break;
	case JSON_TRUE:
		snprintf(text, CELL_MAX, "yes");
		break;
	case JSON_FALSE:
		snprintf(text, CELL_MAX, "no");
		break;
	case JSON_NULL:
		snprintf(text, CELL_MAX, "-");
		break;
	case JSON_ARRAY:
	case JSON_OBJECT:
		snprintf(text, CELL_MAX, "(...)");
		break;
	}
}

static void list_text(const json_t *list, char text[CELL_MAX])
{
	size_t i, used = 0;
	const json_t *item;
	*text = 0;
	json_array_foreach(list, i, item)
	{
		char word[CELL_MAX];
		plain_text(item, word);
		if (used + 1 < CELL_MAX)
			snprintf(text + used, CELL_MAX - used, "%s%.1000s", i ? ", " : "", word);
		used = strlen(text);
	}
}

/* "hypervisor stuck (12 s, 3 kills), host ok (0.3 s)" */
static void states_text(const json_t *object, char text[CELL_MAX])
{
	const char *name;
	json_t *value;
	size_t used = 0;
	*text = 0;
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		char age[CELL_MAX] = "-", killed[CELL_MAX] = "";
		const json_t *age_ms = json_object_get(value, "age_ms");
		const char *state = json_string_value(json_object_get(value, "state"));
		json_int_t kills = json_integer_value(json_object_get(value, "kills"));
		if (json_is_integer(age_ms))
			age_text(json_integer_value(age_ms), age);
		if (kills)
			snprintf(killed, CELL_MAX, ", %" JSON_INTEGER_FORMAT " kill%s", kills,
			    kills == 1 ? "" : "s");
		if (used + 1 < CELL_MAX)
			snprintf(text + used, CELL_MAX - used, "%s%s %s (%.16s%.32s)",
			    used ? ", " : "", name, state ? state : "?", age, killed);
		used = strlen(text);
	}
}

static void result_text(json_int_t result, char text[CELL_MAX])
{
	const char *name = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;
	if (name)
		snprintf(text, CELL_MAX, "%s", name);
	else
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT, result);
}

/* "live to hv2, try 2, is aborted" */
static void migration_text(const json_t *migration, char text[CELL_MAX])
{
	const char *by = json_string_value(json_object_get(migration, "by"));
	const char *to = json_string_value(json_object_get(migration, "to"));
	json_int_t tries = json_integer_value(json_object_get(migration, "tries"));
	char count[CELL_MAX] = "", again[CELL_MAX] = "";
	const json_t *again_ms = json_object_get(migration, "again_in_ms");
	if (tries)
		snprintf(count, CELL_MAX, ", try %" JSON_INTEGER_FORMAT, tries + 1);
	if (json_is_integer(again_ms)) {
		age_text(json_integer_value(again_ms), again);
		snprintf(count + strlen(count), CELL_MAX - strlen(count), " in %.16s", again);
	}
	snprintf(text, CELL_MAX, "%.16s%s%.64s%.64s%s%s", by ? by : "?",
	    to	     ? " to "
	    : *again ? ""
		     : ", waits for a node",
	    to ? to : "", count,
	    json_is_true(json_object_get(migration, "arrived")) ? ", arrived" : "",
	    json_is_true(json_object_get(migration, "aborted")) ? ", is aborted" : "");
}

static void value_text(const json_t *value, enum format format, char text[CELL_MAX])
{
	if (!value || json_is_null(value))
		format = FORMAT_NONE;
	switch (format) {
	case FORMAT_NONE:
		snprintf(text, CELL_MAX, "-");
		return;
	case FORMAT_WORD:
	case FORMAT_COUNT:
		plain_text(value, text);
		return;
	case FORMAT_MIB:
		mib_text(json_integer_value(value), text);
		return;
	case FORMAT_AGE:
		age_text(json_integer_value(value), text);
		return;
	case FORMAT_AGO:
		age_text(json_integer_value(value), text);
		snprintf(text + strlen(text), CELL_MAX - strlen(text), " ago");
		return;
	case FORMAT_LOAD:
		snprintf(text, CELL_MAX, "%.2f", json_number_value(value));
		return;
	case FORMAT_LIST_OF:
	case FORMAT_LINES_OF:
		list_text(value, text);
		if (!*text)
			snprintf(text, CELL_MAX, "-");
		return;
	case FORMAT_STATES_OF:
		states_text(value, text);
		return;
	case FORMAT_RESULT:
		result_text(json_integer_value(value), text);
		return;
	case FORMAT_BYTES:
		bytes_text(json_integer_value(value), text);
		return;
	case FORMAT_KIB:
		bytes_text(json_integer_value(value) * 1024, text);
		return;
	case FORMAT_PERCENT:
		snprintf(text, CELL_MAX, "%.2f %%", json_number_value(value));
		return;
	case FORMAT_MS:
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT " ms", json_integer_value(value));
		return;
	case FORMAT_US:
		us_text(json_integer_value(value), text);
		return;
	case FORMAT_MIGRATION:
		migration_text(value, text);
		return;
	case FORMAT_BAR:
		progress_bar(value, text);
		return;
	}
}

struct view_output {
	FILE *file;
	enum table_colours colours;
	enum { VIEW_WHOLE, VIEW_CONTINUED } part; /* continued: without headings */
};

static bool on_the_right(enum format format)
{
	return format == FORMAT_COUNT || format == FORMAT_MIB || format == FORMAT_AGE ||
	       format == FORMAT_LOAD || format == FORMAT_BYTES || format == FORMAT_KIB ||
	       format == FORMAT_PERCENT || format == FORMAT_MS || format == FORMAT_US;
}

static void print_rows(
    const struct view *view, const json_t *rows, const struct view_output *output)
{
	unsigned columns = 0;
	while (view->columns[columns].title)
		columns++;
	struct text_table *t = text_table_new(columns);
	for (unsigned i = 0; i < columns; i++) {
		if (output->part == VIEW_WHOLE)
			text_table_add(t, view->columns[i].title);
		if (on_the_right(view->columns[i].format))
			text_table_align_right(t, i);
	}
	size_t row;
	const json_t *object;
	json_array_foreach(rows, row, object)
	{
		for (unsigned i = 0; i < columns; i++) {
			char text[CELL_MAX];
			value_text(
			    go(object, view->columns[i].path), view->columns[i].format, text);
			text_table_add(t, text);
		}
	}
	text_table_print(t, output->colours, output->file);
	text_table_free(t);
}

#define TITLE_WIDTH 20

/* text is shown without what a terminal would take for a command. */
static void clean(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
}

static void field_print(const char *title, char *text, enum table_colours colours, FILE *out)
{
	clean(text);
	fprintf(out, "%-*s", TITLE_WIDTH, title);
	table_word(*text ? text : "-", colours, out);
	fputc('\n', out);
}

static void print_field_lines(
    const char *title, const json_t *list, enum table_colours colours, FILE *out)
{
	char text[CELL_MAX] = "-";
	size_t i;
	const json_t *line;
	if (!json_array_size(list))
		field_print(title, text, colours, out);
	json_array_foreach(list, i, line)
	{
		value_text(line, FORMAT_WORD, text);
		field_print(i ? "" : title, text, colours, out);
	}
}

static void print_fields(
    const struct view *view, const json_t *object, enum table_colours colours, FILE *out)
{
	for (const struct column *c = view->columns; c->title; c++) {
		char text[CELL_MAX];
		const json_t *value = go(object, c->path);
		if (c->format == FORMAT_LINES_OF) {
			print_field_lines(c->title, value, colours, out);
			continue;
		}
		value_text(value, c->format, text);
		field_print(c->title, text, colours, out);
	}
}

/* Text ends its line, XML has its own. */
static void print_raw(const char *text, FILE *out)
{
	size_t size = strlen(text);
	fwrite(text, 1, size, out);
	if (size && text[size - 1] != '\n')
		fputc('\n', out);
}

/* "3: 2 run, 1 dead" */
static void counts_text(const json_t *counts, char text[CELL_MAX])
{
	const char *name;
	json_t *value;
	snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT,
	    json_integer_value(json_object_get(counts, "total")));
	const char *between = ": ";
	json_object_foreach((json_t *)(uintptr_t)counts, name, value)
	{
		size_t used = strlen(text);
		if (!strcmp(name, "total") || !json_integer_value(value))
			continue;
		snprintf(text + used, CELL_MAX - used, "%s%" JSON_INTEGER_FORMAT " %s", between,
		    json_integer_value(value), name);
		between = ", ";
	}
}

static void status_primary(const json_t *status, char text[CELL_MAX])
{
	char node[CELL_MAX], state[CELL_MAX], epoch[CELL_MAX], age[CELL_MAX], step[CELL_MAX];
	value_text(go(status, "primary.node"), FORMAT_WORD, node);
	value_text(go(status, "primary.state"), FORMAT_WORD, state);
	value_text(go(status, "primary.epoch"), FORMAT_COUNT, epoch);
	value_text(go(status, "primary.since_ms"), FORMAT_AGE, age);
	value_text(go(status, "primary.step"), FORMAT_WORD, step);
	snprintf(text, CELL_MAX, "%.64s (%.16s for %.16s, epoch %.24s%s%.64s)", node, state, age,
	    epoch, *step ? ", " : "", step);
}

static void status_log(const json_t *status, char text[CELL_MAX])
{
	const json_t *log = json_object_get(status, "raft");
	if (!json_is_object(log)) {
		snprintf(text, CELL_MAX, "not open");
		return;
	}
	char leader[CELL_MAX];
	value_text(json_object_get(log, "leader"), FORMAT_WORD, leader);
	snprintf(text, CELL_MAX,
	    "term %" JSON_INTEGER_FORMAT ", leader %.64s, committed %" JSON_INTEGER_FORMAT
	    ", applied %" JSON_INTEGER_FORMAT ", voters %" JSON_INTEGER_FORMAT
	    ", stand-bys %" JSON_INTEGER_FORMAT ", may fail %" JSON_INTEGER_FORMAT,
	    json_integer_value(json_object_get(log, "term")), leader,
	    json_integer_value(json_object_get(log, "commit_index")),
	    json_integer_value(json_object_get(log, "applied_index")),
	    json_integer_value(json_object_get(log, "voters")),
	    json_integer_value(json_object_get(log, "standbys")),
	    json_integer_value(json_object_get(log, "failure_tolerance")));
}

/* "ok, 3 OSDs: 3 up, 3 in" */
static void status_storage(const json_t *storage, char text[CELL_MAX])
{
	const char *health = json_string_value(json_object_get(storage, "health"));
	snprintf(text, CELL_MAX,
	    "%s, %" JSON_INTEGER_FORMAT " OSDs: %" JSON_INTEGER_FORMAT " up, %" JSON_INTEGER_FORMAT
	    " in",
	    health ? health : "?", json_integer_value(json_object_get(storage, "osds")),
	    json_integer_value(json_object_get(storage, "osds_up")),
	    json_integer_value(json_object_get(storage, "osds_in")));
}

/* A line for each node of which there is something to say. */
static void print_collectors(const json_t *nodes, enum table_colours colours, FILE *out)
{
	const char *name, *title = "collectors";
	json_t *collectors;
	json_object_foreach((json_t *)(uintptr_t)nodes, name, collectors)
	{
		char states[CELL_MAX], text[CELL_MAX];
		states_text(collectors, states);
		snprintf(text, CELL_MAX, "%.64s: %.1200s", name, states);
		field_print(title, text, colours, out);
		title = "";
	}
}

/* Of each node a word, one after the other. */
static void overprovisioned_text(const json_t *nodes, char text[CELL_MAX])
{
	size_t i, used = 0;
	const json_t *node;
	*text = 0;
	json_array_foreach(nodes, i, node)
	{
		char mib[CELL_MAX];
		mib_text(json_integer_value(json_object_get(node, "memory_mib")), mib);
		snprintf(text + used, CELL_MAX - used, "%s%.64s by %.16s", i ? ", " : "",
		    json_string_value(json_object_get(node, "node")), mib);
		used = strlen(text);
	}
}

static void print_room(const json_t *status, enum table_colours colours, FILE *out)
{
	char text[CELL_MAX];
	const json_t *tolerance = json_object_get(status, "tolerance");
	const json_t *over = json_object_get(status, "overprovisioned");
	const char *why = json_string_value(json_object_get(tolerance, "message"));
	snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT "%s%.600s",
	    json_integer_value(json_object_get(tolerance, "host_failures")),
	    why && *why ? ": " : "", why ? why : "");
	field_print("hosts that may fail", text, colours, out);
	if (!json_array_size(over))
		return;
	overprovisioned_text(over, text);
	field_print("over-provisioned", text, colours, out);
}

static void print_status(const json_t *status, enum table_colours colours, FILE *out)
{
	char text[CELL_MAX];
	size_t i;
	const json_t *message;
	value_text(go(status, "cluster"), FORMAT_WORD, text);
	field_print("cluster", text, colours, out);
	value_text(go(status, "health"), FORMAT_WORD, text);
	field_print("health", text, colours, out);
	json_array_foreach(json_object_get(status, "health_messages"), i, message)
	{
		value_text(message, FORMAT_WORD, text);
		field_print("", text, colours, out);
	}
	bool maintenance = json_is_true(json_object_get(status, "maintenance"));
	snprintf(text, sizeof(text), "%s", maintenance ? "on" : "off");
	field_print("maintenance", text, colours, out);
	status_primary(status, text);
	field_print("primary", text, colours, out);
	status_log(status, text);
	field_print("log", text, colours, out);
	value_text(go(status, "schema_version"), FORMAT_COUNT, text);
	field_print("schema", text, colours, out);
	counts_text(json_object_get(status, "nodes"), text);
	field_print("nodes", text, colours, out);
	counts_text(json_object_get(status, "vms"), text);
	field_print("VMs", text, colours, out);
	if (json_is_object(json_object_get(status, "tolerance")))
		print_room(status, colours, out);
	if (json_is_object(json_object_get(status, "storage"))) {
		status_storage(json_object_get(status, "storage"), text);
		field_print("storage", text, colours, out);
	}
	print_collectors(json_object_get(status, "collectors"), colours, out);
}

static void print_lines(const json_t *lines, FILE *out)
{
	size_t i;
	const json_t *line;
	json_array_foreach(lines, i, line)
	{
		fputs(json_string_value(line), out);
		fputc('\n', out);
	}
}

/* A part is shown as it is: people know what they asked for. */
static void print_value(const json_t *result, FILE *out)
{
	bool part = !json_is_null(json_object_get(result, "path"));
	const json_t *value = part ? json_object_get(result, "value") : result;
	if (json_is_string(value)) {
		print_raw(json_string_value(value), out);
		return;
	}
	json_dumpf(value, out, JSON_INDENT(2) | JSON_SHORT | JSON_ENCODE_ANY);
	fputc('\n', out);
}

static void print_view(
    const struct view *view, const json_t *result, const struct view_output *output)
{
	const char *text;
	switch (view->kind) {
	case VIEW_ROWS:
		print_rows(view, go(result, view->list), output);
		return;
	case VIEW_FIELDS:
		print_fields(view, result, output->colours, output->file);
		return;
	case VIEW_RAW:
		text = json_string_value(json_object_get(result, view->columns[0].path));
		print_raw(text ? text : "(not text: -f json shows it)", output->file);
		return;
	case VIEW_VALUE:
		print_value(result, output->file);
		return;
	}
}

/* All views of that name, one below the other; how many there are. */
static unsigned print_views(
    const char *name, size_t length, const json_t *result, const struct view_output *output)
{
	unsigned printed = 0;
	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++) {
		const struct view *view = &views[i];
		if (strncmp(view->operation, name, length) != 0 || view->operation[length])
			continue;
		/* A table of nothing below others says nothing. */
		if (printed && !json_array_size(go(result, view->list)))
			continue;
		if (printed++)
			fputc('\n', output->file);
		print_view(view, result, output);
	}
	return printed;
}

static void print_result(
    const char *operation, const json_t *result, const struct view_output *output)
{
	/* "raft-status-cluster/1": what an operation answers may depend on its arguments. */
	const char *schema = json_string_value(json_object_get(result, "schema"));
	if (schema && print_views(schema, strcspn(schema, "/"), result, output))
		return;
	if (print_views(operation, strlen(operation), result, output))
		return;
	const char *message = json_string_value(json_object_get(result, "message"));
	const char *warning = json_string_value(json_object_get(result, "warning"));
	print_raw(message ? message : "done", output->file);
	if (warning)
		fprintf(output->file, "warning: %s\n", warning);
}

/* Its answer is text, line by line. */
static bool has_lines(const char *operation)
{
	return !strcmp(operation, "node log") || !strcmp(operation, "vm console");
}

void view_print(const char *operation, const json_t *result, enum table_colours colours, FILE *out)
{
	struct view_output output = {.file = out, .colours = colours};
	if (!strcmp(operation, "status"))
		print_status(result, colours, out);
	else if (has_lines(operation))
		print_lines(json_object_get(result, "lines"), out);
	else
		print_result(operation, result, &output);
}

void view_print_more(const char *operation, const json_t *result, FILE *out)
{
	struct view_output output = {.file = out, .part = VIEW_CONTINUED};
	if (has_lines(operation))
		print_lines(json_object_get(result, "lines"), out);
	else
		print_result(operation, result, &output);
}
