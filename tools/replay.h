/* The value that a data directory leads to: its snapshot, and its log replayed on that.
 *
 * A disk does not know what is committed: its last entries may still be replaced. What the
 * log itself proves to be committed is told beside the value. */
#ifndef TOOLS_REPLAY_H
#define TOOLS_REPLAY_H

#include "fsm/cluster.h"
#include "raft/inspect.h"

struct replay {
	struct cluster cluster;
	uint64_t index, term; /* of the last entry that is in it; 0: none */
};

/* Replay up to the entry at, or to the last one when at is 0. Returns 0; -ENOENT when the
 * directory does not lead there; -EBADMSG, -ENOTSUP as snapshot_decode(). To be closed when 0. */
int replay_run(struct replay *r, const struct inspect *in, uint64_t at, struct err *err);
void replay_close(struct replay *r);

/* All entries up to this one are committed for certain: a snapshot holds them, or a leader told
 * its hash after them. */
uint64_t replay_committed(const struct inspect *in);

/* What the log's bytes mean, checked: operations, configurations, the snapshot's value, and the
 * hashes that leaders told against those of the replay. Calls found with problems and notes,
 * whose file is of the entry (offset 0: none is known). Returns how many are problems. */
unsigned replay_verify(const struct inspect *in,
    void (*found)(void *data, const struct inspect_finding *finding), void *data);

#endif
