/* The log in this node's memory: its entries, and the value that they lead to. */
#include <errno.h>
#include <stdio.h>

#include "node/config/config.h"
#include "node/operation/entry_json.h"
#include "node/log/journal.h"
#include "node/operation/json.h"
#include "node/operation/operation_raft.h"
#include "node/operation/value_json.h"

#define LAST_DEFAULT 20
/* All of this happens in the loop, and the answer must fit into a frame of the control socket. */
#define ROWS_MOST  2000
#define ROWS_BYTES (384u << 10)
#define SCAN_BYTES (16u << 20)
#define NEWS_BYTES (256u << 10) /* of entries, for one who follows */
#define DUMP_BYTES (2u << 20) /* of JSON, about */

struct log_data {
	const struct replica *replica;
	const struct journal *journal;
};

static int log_entry(const void *data, uint64_t index, struct disk_entry *entry)
{
	const struct log_data *d = data;
	return replica_entry(d->replica, index, entry);
}

static int log_result(const void *data, uint64_t index, unsigned n, int *result)
{
	const struct log_data *d = data;
	return d->journal ? journal_result(d->journal, index, n, result) : -ENOENT;
}

static int query_read(struct operation_turn *turn, struct entry_query *q, struct err *err)
{
	const json_t *arguments = turn->arguments;
	q->from = argument_number(arguments, "from");
	q->to = argument_number(arguments, "to");
	q->most = argument_number(arguments, "last");
	if (!q->most)
		q->most = q->from || q->to ? ROWS_MOST : LAST_DEFAULT;
	if (q->most > ROWS_MOST)
		q->most = ROWS_MOST;
	q->type = argument_text(arguments, "type");
	q->ticks = argument_given(arguments, "fold") ? ENTRY_TICKS_TOGETHER : ENTRY_TICKS_APART;
	int result = entry_query_check(q, err);
	if (result)
		return result;
	return entry_query_name(q, turn->context->cluster, argument_text(arguments, "node"),
	    argument_text(arguments, "vm"), err);
}

/* What came after an earlier answer, as far as it is applied: it cannot be taken back, and it
 * is known what came of it. From the oldest on, so that nothing is left out: how far. */
static uint64_t news_end(
    const struct replica *r, const struct replica_status *s, const struct entry_query *q)
{
	struct disk_entry entry;
	uint64_t bytes = 0, end = q->from - 1;
	while (end < s->applied && bytes < NEWS_BYTES && !replica_entry(r, end + 1, &entry)) {
		bytes += entry.size;
		end++;
	}
	return end;
}

/* Narrows the query to them. Is there more behind? */
static bool query_news(const struct operation_turn *turn, const struct replica *r,
    const struct replica_status *s, struct entry_query *q)
{
	uint64_t after = argument_number(turn->arguments, "after"), end = s->applied;
	if (after) {
		if (q->from <= after)
			q->from = after + 1;
		if (q->from < s->first)
			q->from = s->first;
		end = news_end(r, s, q);
		q->most = q->rows_max = 0;
	}
	if (q->to && q->to < end)
		return false;
	q->to = end;
	return end < s->applied;
}

static json_t *entries_json(const struct context *context, const struct replica_status *s,
    const struct entry_query *query, uint64_t *searched_from)
{
	struct log_data data = {context->replica(context->data), context->journal};
	struct record_names names = cluster_names(context->cluster);
	struct entry_source source = {
	    .data = &data,
	    .entry = log_entry,
	    .result = log_result,
	    .first = s->first,
	    .last = s->last,
	    .committed = s->commit,
	    .beyond = "uncommitted",
	    .names = &names,
	};
	/* To 0 would be to the last. */
	if (!query->to || query->from <= query->to)
		return entry_list(&source, query, searched_from);
	*searched_from = query->from;
	return json_array();
}

void operation_raft_log(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	struct replica_status s;
	struct err err;
	struct entry_query query = {
	    .detail = ENTRY_BRIEF, .scan_max = SCAN_BYTES, .rows_max = ROWS_BYTES};
	struct replica *r = turn_replica(context, &err);
	int status = r ? query_read(turn, &query, &err) : -EIO;
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	replica_status(r, &s);
	bool follows = argument_given(turn->arguments, "after");
	bool more = follows && query_news(turn, r, &s, &query);
	uint64_t newest = query.to && query.to < s.applied ? query.to : s.applied, searched_from;
	json_t *entries = entries_json(context, &s, &query, &searched_from);
	turn_answer(turn,
	    json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "schema", "raft-log/1",
		"first_index", json_u64(s.first), "last_index", json_u64(s.last), "committed_index",
		json_u64(s.commit), "searched_from", json_u64(searched_from), "newest",
		json_u64(newest), "more", (int)more, "entries", entries));
}

/* The value. */

static int too_large(const struct context *context, struct err *err)
{
	char why[256];
	const struct config *config = context->config;
	snprintf(why, sizeof(why), "%.255s", err->text);
	return err_set(err, -EMSGSIZE,
	    "%s; ask for a part (vms/NAME), or read the files: pvc raft dump --data %.128s", why,
	    config ? config->system.configuration.directories.data_directory : "DIR");
}

void operation_raft_dump(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	const struct cluster *c = context->cluster;
	const char *path = argument_text(turn->arguments, "path");
	struct replica_status s;
	struct err err;
	json_t *value;
	if (raft_asked_elsewhere(turn))
		return;
	struct replica *r = turn_replica(context, &err);
	int status = r ? value_part_json(c, path ? path : "", DUMP_BYTES, &value, &err) : -EIO;
	if (status == -EMSGSIZE)
		too_large(context, &err);
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	replica_status(r, &s);
	turn_answer(turn,
	    json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", "raft-dump/1",
		"index", json_u64(s.applied), "term", json_u64(raft_term_at(context, s.applied)),
		"committed_index", json_u64(s.commit), "last_index", json_u64(s.last), "hash_index",
		json_u64(c->index), "hash", raft_hash_json(c->hash), "path",
		path ? json_text(path) : json_null(), "value", value));
}
