/* What takes every member: `raft status --cluster`, `raft hash`, `raft health`. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/history.h"
#include "node/gather.h"
#include "node/operation/json.h"
#include "node/operation/operation_raft.h"
#include "node/operation/raft_judge.h"

#define HEALTH_TIMEOUT_MS_MAX 15000

/* A row for each member: what it answered, or why not. */
static json_t *rows_of(const struct gather *g)
{
	json_t *rows = json_array();
	for (unsigned i = 0; i < g->count; i++) {
		const struct gather_answer *a = &g->answers[i];
		json_t *row = a->result ? json_copy(a->result) : json_object();
		json_object_set_new(row, "id", json_integer(a->node));
		json_object_set_new(row, "node", node_name_json(g->context->cluster, a->node));
		json_object_set_new(row, "problem", a->result ? json_null() : json_text(a->why));
		json_object_del(row, "schema");
		json_array_append_new(rows, row);
	}
	return rows;
}

struct question {
	const char *operation;
	json_t *arguments; /* taken over */
	void (*done)(void *data, struct gather *gather);
};

/* Those in g, which is taken over. */
static void ask(struct operation_turn *turn, struct gather *g, const struct question *question)
{
	struct operation_call call;
	int result = operation_read(question->operation, question->arguments, &call, NULL);
	json_decref(question->arguments);
	if (result)
		abort();
	gather_ask(g, &call, question->done, turn);
	operation_call_close(&call);
}

static void ask_members(struct operation_turn *turn, const struct question *question)
{
	struct gather *g = gather_new(turn->context);
	gather_add_members(g);
	ask(turn, g, question);
}

/* Status. */

static void status_gathered(void *data, struct gather *g)
{
	struct operation_turn *turn = data;
	json_t *rows = rows_of(g);
	gather_free(g);
	turn_answer(
	    turn, json_pack("{s:s, s:o}", "schema", "raft-status-cluster/1", "members", rows));
}

void operation_raft_status(struct operation_turn *turn)
{
	if (argument_given(turn->arguments, "cluster"))
		ask_members(
		    turn, &(struct question){"raft status", json_object(), status_gathered});
	else
		turn_answer(turn, raft_status_json(turn->context));
}

/* Hashes. */

/* The hash that this replica had at index; 0 or -ENOENT with err. */
static int hash_at(const struct cluster *c, uint64_t index, uint64_t *hash, struct err *err)
{
	*hash = c->hash;
	if (index == c->index || !history_hash_at(c, index, hash))
		return 0;
	if (index > c->index)
		return err_set(err, -ENODATA,
		    "entry %" PRIu64 " is not there yet: the last one applied is %" PRIu64, index,
		    c->index);
	return err_set(err, -ENODATA,
	    "of entry %" PRIu64 " no hash is kept here; the oldest is of %" PRIu64, index,
	    history_oldest(c) ? history_oldest(c) : c->index);
}

/* Those that are kept, from there on. */
static json_t *hashes_json(const struct cluster *c, uint64_t from)
{
	json_t *list = json_array();
	uint64_t hash, oldest = history_oldest(c);
	for (uint64_t i = from > oldest ? from : oldest; i && i <= c->index; i++)
		if (!history_hash_at(c, i, &hash))
			json_array_append_new(list, json_pack("{s:o, s:o}", "index", json_u64(i),
							"hash", raft_hash_json(hash)));
	return list;
}

static void add_log(json_t *json, const struct context *context, uint64_t index)
{
	struct replica_status s;
	const struct replica *r = context->replica(context->data);
	uint64_t term = raft_term_at(context, index);
	if (r)
		replica_status(r, &s);
	json_object_set_new(json, "term", term ? json_u64(term) : json_null());
	json_object_set_new(json, "committed_index", r ? json_u64(s.commit) : json_null());
}

static void hash_here(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	struct err err;
	uint64_t hash, index = c->index;
	if (argument_given(turn->arguments, "index"))
		index = argument_number(turn->arguments, "index");
	int status = hash_at(c, index, &hash, &err);
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	uint64_t diverged = history_diverged_at(c), oldest = history_oldest(c);
	json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:o}", "schema", "raft-hash/1", "index",
	    json_u64(index), "hash", raft_hash_json(hash), "oldest_index",
	    json_u64(oldest ? oldest : c->index), "diverged_at",
	    diverged ? json_u64(diverged) : json_null());
	add_log(json, turn->context, index);
	if (argument_given(turn->arguments, "from"))
		json_object_set_new(
		    json, "hashes", hashes_json(c, argument_number(turn->arguments, "from")));
	turn_answer(turn, json);
}

/* Rows of members that were not asked again go where their ids belong. */
static void merge_rows(json_t *rows, json_t *others)
{
	size_t i;
	json_t *row;
	json_array_foreach(others, i, row)
	{
		json_int_t id = json_integer_value(json_object_get(row, "id"));
		size_t at = 0;
		while (at < json_array_size(rows) &&
		       json_integer_value(json_object_get(json_array_get(rows, at), "id")) < id)
			at++;
		json_array_insert(rows, at, row);
	}
}

static void hashes_gathered(void *data, struct gather *g)
{
	struct operation_turn *turn = data;
	json_t *rows = rows_of(g);
	gather_free(g);
	merge_rows(rows, turn->facts);
	turn_answer(turn, raft_hash_judge(rows, turn->index));
}

static struct question hash_question(struct operation_turn *turn, uint64_t index)
{
	turn->index = index;
	return (struct question){
	    "raft hash", json_pack("{s:o}", "index", json_u64(index)), hashes_gathered};
}

/* Who did not answer is not waited for again. */
static void newest_gathered(void *data, struct gather *g)
{
	struct operation_turn *turn = data;
	json_t *rows = rows_of(g);
	struct gather *again = gather_new(turn->context);
	struct question question = hash_question(turn, raft_hash_common(rows));
	turn->facts = json_array();
	for (unsigned i = 0; i < g->count; i++)
		if (g->answers[i].result)
			gather_add(again, g->answers[i].node);
		else
			json_array_append(turn->facts, json_array_get(rows, i));
	gather_free(g);
	json_decref(rows);
	ask(turn, again, &question);
}

void operation_raft_hash(struct operation_turn *turn)
{
	bool given = argument_given(turn->arguments, "index");
	struct question question = {"raft hash", NULL, newest_gathered};
	if (raft_asked_elsewhere(turn))
		return;
	if (!argument_given(turn->arguments, "cluster")) {
		hash_here(turn);
		return;
	}
	if (given)
		question = hash_question(turn, argument_number(turn->arguments, "index"));
	ask_members(turn, &question);
}

/* Health: an entry is committed, and then everybody is asked. */

static void health_gathered(void *data, struct gather *g)
{
	struct operation_turn *turn = data;
	json_t *rows = rows_of(g);
	gather_free(g);
	struct raft_probe probe = {
	    .status = turn->result,
	    .index = turn->index,
	    .took_us = turn->took_us,
	    .why = turn->message,
	};
	turn_answer(turn, raft_health_judge(&probe, rows));
}

static uint64_t context_us(const struct context *context)
{
	return context->now_us ? context->now_us(context->data)
			       : context->now_ms(context->data) * 1000;
}

static void probed(void *data, int result, uint64_t index, const struct err *err)
{
	struct operation_turn *turn = data;
	turn->result = result < 0 ? result : 0;
	turn->index = index;
	turn->took_us = context_us(turn->context) - turn->took_us;
	if (result == -ENOTCONN)
		turn_say(turn, "there is no leader, or this node's log is closed");
	else if (result == -ETIMEDOUT)
		turn_say(turn, "it was not in time");
	else if (result < 0)
		turn_say(turn, "%s", err && *err->text ? err->text : strerror(-result));
	ask_members(turn, &(struct question){"raft status", json_object(), health_gathered});
}

void operation_raft_health(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	uint64_t timeout_ms = argument_duration_ms(turn->arguments, "timeout");
	struct command command = {.number = COMMAND_probe};
	struct err err;
	if (!timeout_ms || timeout_ms > HEALTH_TIMEOUT_MS_MAX) {
		err_set(&err, -EINVAL, "raft health: timeout: more than nothing, at most 15s");
		turn_refuse(turn, -EINVAL, &err);
		return;
	}
	command.probe.node = context->id;
	turn->took_us = context_us(context);
	context->propose(context->data, &command, (unsigned)timeout_ms, probed, turn);
}
