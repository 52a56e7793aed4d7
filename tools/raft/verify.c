/* pvc raft verify: every checksum, and what the log means. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/operation/json.h"
#include "tools/cli.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

static void found(void *data, const struct inspect_finding *f)
{
	json_array_append_new(
	    data, json_pack("{s:o, s:o, s:b, s:b, s:o}", "file", json_text(f->file), "offset",
		      json_u64(f->offset), "problem", (int)f->problem, "harmless", (int)f->harmless,
		      "text", json_text(f->text)));
}

static bool is_true(const json_t *finding, const char *what)
{
	return json_is_true(json_object_get(finding, what));
}

/* Damage that does no harm is damage: its disk may go on with something that is needed. */
static unsigned count_harmless(const json_t *findings)
{
	unsigned n = 0;
	size_t i;
	const json_t *f;
	json_array_foreach(findings, i, f) n += is_true(f, "harmless");
	return n;
}

/* What is said of this file: damaged, with a note, or nothing. */
static const char *state_of(const json_t *findings, const char *file, const char *good)
{
	const char *state = good;
	size_t i;
	const json_t *f;
	json_array_foreach(findings, i, f)
	{
		if (strcmp(json_string_value(json_object_get(f, "file")), file) != 0)
			continue;
		if (is_true(f, "problem") || is_true(f, "harmless"))
			return "damaged";
		state = "noted";
	}
	return state;
}

static json_t *files_json(const struct inspect *in, const json_t *findings)
{
	json_t *list = json_array();
	struct inspect_segment s;
	struct inspect_snapshot p;
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i ? "metadata-2" : "metadata-1";
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:s}", "file", name, "kind", "metadata", "state",
			      state_of(findings, name, "good")));
	}
	for (unsigned i = 0; !inspect_snapshot(in, i, &p); i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "file", p.name, "kind",
			      "snapshot", "state", state_of(findings, p.name, "good"), "bytes",
			      json_u64(p.file_bytes), "index", json_u64(p.index), "term",
			      json_u64(p.term)));
	for (unsigned i = 0; !inspect_segment(in, i, &s); i++)
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:i}", "file", s.name, "kind",
			"segment", "state", s.stale ? "void" : state_of(findings, s.name, "good"),
			"bytes", json_u64(s.bytes), "first", json_u64(s.start), "last",
			json_u64(s.last), "batches", (int)s.batches));
	return list;
}

static void print(const struct inspect *in, const json_t *findings, unsigned problems)
{
	struct inspect_status status;
	struct inspect_segment s;
	unsigned batches = 0;
	size_t i;
	const json_t *f;
	inspect_status(in, &status);
	json_array_foreach(findings, i, f) printf("%s:%" JSON_INTEGER_FORMAT ": %s%s\n",
	    json_string_value(json_object_get(f, "file")),
	    json_integer_value(json_object_get(f, "offset")),
	    is_true(f, "problem")    ? ""
	    : is_true(f, "harmless") ? "warning: "
				     : "note: ",
	    json_string_value(json_object_get(f, "text")));
	for (unsigned k = 0; !inspect_segment(in, k, &s); k++)
		batches += s.batches;
	unsigned harmless = count_harmless(findings);
	if (harmless)
		printf("%u %s; ", harmless, harmless == 1 ? "warning" : "warnings");
	printf("%u %s; %u %s with %u %s, entries %" PRIu64 " to %" PRIu64 ", snapshot %" PRIu64
	       "\n",
	    problems, problems == 1 ? "problem" : "problems", status.segments,
	    status.segments == 1 ? "segment" : "segments", batches,
	    batches == 1 ? "batch" : "batches", status.first, status.last,
	    status.snapshot ? status.snapshot->index : 0);
}

int raft_verify(const struct raft_call *call)
{
	struct source source;
	struct inspect_status status;
	struct err err;
	int result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	json_t *findings = json_array();
	unsigned problems = inspect_verify(source.in, found, findings);
	problems += replay_verify(source.in, found, findings);
	inspect_status(source.in, &status);
	if (call->json)
		raft_show(call, "",
		    json_pack("{s:s, s:i, s:i, s:o, s:o, s:o, s:O, s:o}", "schema", "raft-verify/1",
			"problems", (int)problems, "warnings", (int)count_harmless(findings),
			"first_index", json_u64(status.first), "last_index", json_u64(status.last),
			"snapshot_index", json_u64(status.snapshot ? status.snapshot->index : 0),
			"findings", findings, "files", files_json(source.in, findings)));
	else
		print(source.in, findings, problems);
	bool damaged = problems || count_harmless(findings);
	json_decref(findings);
	source_close(&source);
	return damaged ? CLI_REFUSED : CLI_DONE;
}
