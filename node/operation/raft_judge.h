/* What follows from what the members said of themselves: do their values agree, is the log well?
 *
 * Pure. The rows are the members' answers to `raft hash` and `raft status`, each with the
 * member's id and name, and "problem" where one did not answer. */
#ifndef NODE_OPERATION_RAFT_JUDGE_H
#define NODE_OPERATION_RAFT_JUDGE_H

#include <jansson.h>
#include <stdint.h>

/* The newest entry of which all can know their hash, but for those that are far behind. */
uint64_t raft_hash_common(const json_t *rows);

/* The answer to `raft hash --cluster`: who has another hash at index than most. Whether they agree
 * is null when no more than half of the members could be compared. Takes rows over. */
json_t *raft_hash_judge(json_t *rows, uint64_t index);

/* What came of an entry that was proposed to see whether it is committed. */
struct raft_probe {
	int status; /* 0: it is; else -errno */
	const char *why; /* it is not */
	uint64_t index, took_us;
};

/* The answer to `raft health`. Takes rows over. */
json_t *raft_health_judge(const struct raft_probe *probe, json_t *rows);

#endif
