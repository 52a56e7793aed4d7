/* pvc raft dump: the value that the files lead to. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "node/json.h"
#include "tools/cli.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

static json_t *table_json(const struct table *t)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < t->count; i++)
		json_array_append_new(list, json_record(t->record, t->items[i]));
	return list;
}

static json_t *value_json(const struct cluster *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "settings",
	    json_record(settings_record(), &c->settings), "primary",
	    json_record(primary_record(), &c->primary), "nodes", table_json(&c->nodes), "vms",
	    table_json(&c->vms), "facts", table_json(&c->facts), "sessions",
	    table_json(&c->sessions), "tokens", table_json(&c->tokens), "authorities",
	    table_json(&c->authorities));
}

int raft_dump(const struct raft_call *call)
{
	struct source source;
	struct replay r;
	struct err err;
	struct inspect_status status;
	int result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	const struct inspect *in = source.in;
	if (replay_run(&r, in, raft_number(call, "at"), &err)) {
		source_close(&source);
		return raft_fail(call, -EBADMSG, &err);
	}
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
	source_close(&source);
	return CLI_DONE;
}
