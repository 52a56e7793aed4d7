/* pvc raft log --data DIR: the operations in the files. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "node/operation/entry_json.h"
#include "node/operation/json.h"
#include "tools/answer.h"
#include "tools/cli.h"
#include "tools/raft/source.h"
#include "tools/replay.h"
#include "tools/table.h"

#define LAST_DEFAULT 20
#define FOLLOW_MS    500

struct listing {
	const struct raft_call *call;
	struct source source;
	struct replay replay; /* for the names; empty when the log leads to no value */
	struct entry_query query;
	uint64_t seen; /* the last entry that was shown */
};

static int entry_at(const void *data, uint64_t index, struct disk_entry *entry)
{
	return inspect_entry(data, index, entry);
}

static json_t *rows(const struct listing *l)
{
	struct inspect_status status;
	struct record_names names = cluster_names(&l->replay.cluster);
	uint64_t searched_from;
	inspect_status(l->source.in, &status);
	struct entry_source source = {
	    .data = l->source.in,
	    .entry = entry_at,
	    .first = status.first,
	    .last = status.last,
	    .committed = source_committed(&l->source),
	    .beyond = "unknown",
	    .names = &names,
	};
	return entry_list(&source, &l->query, &searched_from);
}

static void know_names(struct listing *l)
{
	struct err err;
	replay_close(&l->replay);
	if (replay_run(&l->replay, l->source.in, 0, &err))
		cluster_init(&l->replay.cluster);
}

/* Lines without a heading, which more can follow. */
static void print_lines(const struct raft_call *call, const json_t *list)
{
	static const char *const columns[] = {"index", "term", "size"};
	size_t i;
	const json_t *row;
	struct text_table *t = text_table_new(4);
	json_array_foreach(list, i, row)
	{
		char number[24];
		if (call->json) {
			answer_json(row, JSON_COMPACT);
			continue;
		}
		for (unsigned k = 0; k < 3; k++) {
			text_table_align_right(t, k);
			snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			    json_integer_value(json_object_get(row, columns[k])));
			text_table_add(t, number);
		}
		text_table_add(t,
		    json_string_value(json_object_get(json_object_get(row, "operation"), "text")));
	}
	text_table_print(t, TABLE_PLAIN, stdout);
	text_table_free(t);
	fflush(stdout);
}

static void print_new(struct listing *l)
{
	struct inspect_status status;
	inspect_status(l->source.in, &status);
	json_t *list = rows(l);
	print_lines(l->call, list);
	json_decref(list);
	l->seen = status.last;
}

/* Read all of it again and again: simple, and the node does not notice. */
static int follow(struct listing *l)
{
	struct err err;
	print_new(l);
	l->query.most = 0;
	while (!ferror(stdout)) {
		struct inspect_status status;
		poll(NULL, 0, FOLLOW_MS);
		int result = source_again(&l->source, &err);
		if (result)
			return raft_fail(l->call, result, &err);
		inspect_status(l->source.in, &status);
		if (status.last < l->seen)
			fprintf(stderr, "(entries after %" PRIu64 " were dropped)\n", status.last);
		l->query.from = l->seen + 1;
		if (status.last > l->seen) {
			know_names(l);
			print_new(l);
		}
		l->seen = status.last;
	}
	return CLI_DONE;
}

static int show(const struct listing *l)
{
	struct inspect_status status;
	inspect_status(l->source.in, &status);
	json_t *list = rows(l);
	raft_show_part(l->call, "raft log --data", "entries",
	    json_pack("{s:s, s:o, s:o, s:o, s:o}", "schema", "raft-log/1", "first_index",
		json_u64(status.first), "last_index", json_u64(status.last), "committed_index",
		json_u64(source_committed(&l->source)), "entries", list));
	return CLI_DONE;
}

static int ask(struct listing *l, struct err *err)
{
	const struct raft_call *call = l->call;
	struct entry_query *q = &l->query;
	q->from = raft_number(call, "from");
	q->to = raft_number(call, "to");
	q->most = raft_number(call, "last");
	if (!q->most && !q->from && !q->to)
		q->most = LAST_DEFAULT;
	q->type = raft_text(call, "type");
	bool fold = json_is_true(json_object_get(call->arguments, "fold"));
	fold = fold || (!q->type && !call->json);
	q->ticks = fold ? ENTRY_TICKS_TOGETHER : ENTRY_TICKS_APART;
	int result = entry_query_check(q, err);
	if (result)
		return result;
	return entry_query_name(
	    q, &l->replay.cluster, raft_text(call, "node"), raft_text(call, "vm"), err);
}

int raft_log(const struct raft_call *call)
{
	struct listing l = {.call = call};
	struct err err;
	int result = source_open(&l.source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	source_warn(&l.source, call);
	cluster_init(&l.replay.cluster);
	know_names(&l);
	result = ask(&l, &err);
	if (result) {
		int status = raft_fail(call, result, &err);
		result = result == -EINVAL ? CLI_USAGE : status;
	} else {
		result = call->follow ? follow(&l) : show(&l);
	}
	replay_close(&l.replay);
	source_close(&l.source);
	return result;
}
