/* pvc raft dump: the value that the files lead to, or a part of it, at any entry of the log. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "node/operation/json.h"
#include "node/operation/value_json.h"
#include "tools/answer.h"
#include "tools/cli.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

static void print(const struct raft_call *call, const struct source *source, const struct replay *r,
    json_t *value)
{
	struct inspect_status status;
	uint64_t committed = source_committed(source);
	const char *path = raft_text(call, "path");
	inspect_status(source->in, &status);
	json_t *json =
	    json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O}", "schema", "raft-dump/1",
		"index", json_u64(r->index), "term", json_u64(r->term), "committed_index",
		json_u64(committed), "last_index", json_u64(status.last), "hash_index",
		json_u64(r->cluster.index), "hash", json_sprintf("%016" PRIx64, r->cluster.hash),
		"path", path ? json_text(path) : json_null(), "value", value);
	/* A part is shown to people as it is: they know what they asked for. */
	bool alone = path && !call->json;
	if (alone && json_is_string(value))
		puts(json_string_value(value));
	else
		answer_json(alone ? value : json, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fflush(stdout);
	json_decref(json);
	if (r->index > committed)
		fprintf(stderr,
		    "pvc raft dump: the entries %" PRIu64 " to %" PRIu64
		    " may not be committed: this disk alone cannot tell\n",
		    committed + 1, r->index);
}

int raft_dump(const struct raft_call *call)
{
	struct source source;
	struct replay r;
	struct err err;
	const char *path = raft_text(call, "path");
	int result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	source_warn(&source, call);
	result = replay_run(&r, source.in, raft_number(call, "at"), &err);
	if (!result) {
		json_t *json = value_json(&r.cluster);
		json_t *value = path ? value_at(json, path, &err) : json;
		if (value)
			print(call, &source, &r, value);
		else
			result = -ENOENT;
		json_decref(json);
		replay_close(&r);
	}
	source_close(&source);
	return result ? raft_fail(call, result, &err) : CLI_DONE;
}
