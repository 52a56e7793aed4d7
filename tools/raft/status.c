/* pvc raft status --data DIR: what the files hold, and whose they are. */
#include <inttypes.h>
#include <stdio.h>

#include "node/operation/entry_json.h"
#include "node/operation/json.h"
#include "raft/identity.h"
#include "tools/cli.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

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
	return json_pack("{s:s, s:o, s:o, s:o}", "file", status->torn_file, "offset",
	    json_u64(status->torn_offset), "bytes", json_u64(status->torn_bytes), "text",
	    json_sprintf("%s:%" PRIu64 ": %" PRIu64 " bytes", status->torn_file,
		status->torn_offset, status->torn_bytes));
}

/* Whose directory it is, as far as its certificate is there. */
static void identity_json(const struct source *source, json_t *json)
{
	struct identity who;
	bool known = !source_identity(source, &who, NULL);
	json_object_set_new(json, "id", known ? json_u64(who.id) : json_null());
	json_object_set_new(json, "node", known ? json_text(who.name) : json_null());
	json_object_set_new(json, "cluster", known ? json_text(who.cluster) : json_null());
}

int raft_status(const struct raft_call *call)
{
	struct source source;
	struct err err;
	int result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	source_warn(&source, call);
	const struct inspect *in = source.in;
	struct inspect_status s;
	struct configuration c;
	inspect_status(in, &s);
	source_configuration(&source, s.last, &c);
	json_t *json = json_pack("{s:s}", "schema", "raft-status/1");
	identity_json(&source, json);
	json_t *log = json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:i, s:i}",
	    "in_use", (int)s.in_use, "term", json_u64(s.term), "vote",
	    s.vote ? json_u64(s.vote) : json_null(), "first_index", json_u64(s.first), "last_index",
	    json_u64(s.last), "committed_index", json_u64(source_committed(&source)), "snapshot",
	    snapshot_json(&s), "members", entry_members(&c), "segments_count", (int)s.segments,
	    "segments", segments_json(in), "torn", torn_json(&s), "problems", (int)s.problems,
	    "notes", (int)s.notes);
	json_object_update(json, log);
	json_object_set_new(json, "snapshot_index", json_u64(s.snapshot ? s.snapshot->index : 0));
	json_object_set_new(json, "snapshot_term", json_u64(s.snapshot ? s.snapshot->term : 0));
	json_object_set_new(json, "snapshot_bytes", json_u64(s.snapshot ? s.snapshot->size : 0));
	json_object_set_new(json, "bytes", json_u64(s.bytes));
	json_decref(log);
	raft_show(call, "raft status --data", json);
	source_close(&source);
	return CLI_DONE;
}
