/* pvc raft hash --data DIR: the state hash after an entry, to compare members by. */
#include <inttypes.h>

#include "node/operation/json.h"
#include "tools/cli.h"
#include "tools/raft/source.h"
#include "tools/replay.h"

int raft_hash(const struct raft_call *call)
{
	struct source source;
	struct replay r;
	struct err err;
	int result = source_open(&source, call, &err);
	if (result)
		return raft_fail(call, result, &err);
	source_warn(&source, call);
	result = replay_run(&r, source.in, raft_number(call, "index"), &err);
	uint64_t committed = source_committed(&source);
	source_close(&source);
	if (result)
		return raft_fail(call, result, &err);
	raft_show(call, "raft hash --data",
	    json_pack("{s:s, s:o, s:o, s:o, s:o}", "schema", "raft-hash/1", "index",
		json_u64(r.index), "term", json_u64(r.term), "hash",
		json_sprintf("%016" PRIx64, r.cluster.hash), "committed_index",
		json_u64(committed)));
	replay_close(&r);
	return CLI_DONE;
}
