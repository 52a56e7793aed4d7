/* pvc raft verify: every checksum, and what the log means. */
#include <inttypes.h>
#include <stdio.h>

#include "node/json.h"
#include "tools/cli.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

static void found(void *data, const struct inspect_finding *f)
{
	json_array_append_new(
	    data, json_pack("{s:o, s:o, s:b, s:o}", "file", json_text(f->file), "offset",
		      json_u64(f->offset), "problem", (int)f->problem, "text", json_text(f->text)));
}

int raft_verify(const struct raft_call *call)
{
	struct source source;
	struct err err;
	int result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	const struct inspect *in = source.in;
	struct inspect_status status;
	json_t *findings = json_array();
	size_t i;
	const json_t *f;
	inspect_status(in, &status);
	unsigned problems = inspect_verify(in, found, findings);
	problems += replay_verify(in, found, findings);
	json_array_foreach(findings, i, f)
	{
		if (call->json)
			break;
		printf("%s:%" JSON_INTEGER_FORMAT ": %s%s\n",
		    json_string_value(json_object_get(f, "file")),
		    json_integer_value(json_object_get(f, "offset")),
		    json_is_true(json_object_get(f, "problem")) ? "" : "note: ",
		    json_string_value(json_object_get(f, "text")));
	}
	if (call->json)
		raft_show(call, "",
		    json_pack("{s:i, s:O}", "problems", (int)problems, "findings", findings));
	else
		printf("%u %s; entries %" PRIu64 " to %" PRIu64 ", snapshot %" PRIu64 "\n",
		    problems, problems == 1 ? "problem" : "problems", status.first, status.last,
		    status.snapshot ? status.snapshot->index : 0);
	json_decref(findings);
	source_close(&source);
	return problems ? CLI_REFUSED : CLI_DONE;
}
