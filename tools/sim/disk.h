/* A simulated disk: what is durable, what is under way, and how it fails.
 *
 * A crash keeps what was durable; the write under way may be there whole, in
 * part, or not at all, the ones behind it are gone. A snapshot beside it is there or not. */
#ifndef TOOLS_SIM_DISK_H
#define TOOLS_SIM_DISK_H

#include "fsm/buffer.h"
#include "raft/disk.h"

struct world;

struct disk_faults {
	bool full; /* every write: -ENOSPC */
	bool failing; /* every write: -EIO */
	bool failing_once; /* the next write: -EIO */
	unsigned slow_ms; /* each write takes so much longer */
	unsigned crash_in; /* so many writes from now the machine loses its power; 0: it does not */
};

struct stored_entry {
	uint64_t term;
	enum disk_entry_type type;
	struct buffer data;
};

struct sim_disk {
	struct disk_faults faults;
	uint64_t term, vote;
	uint32_t promise_ms;
	bool has_snapshot;
	uint64_t snapshot_index, snapshot_term, configuration_index;
	struct buffer configuration, snapshot;
	uint64_t first; /* index of entries[0] */
	struct stored_entry *entries;
	unsigned count, capacity;
	struct disk_request queue[256];
	unsigned queued;
	bool broken; /* a write failed: nothing later may succeed until it is opened anew */
	bool busy; /* the head of the queue is being written */
	bool taking; /* a snapshot is being written beside it (raft/disk.h) */
	struct disk_request taken;
	uint64_t life; /* rises with every crash: answers from before are dropped */
};

void sim_disk_submit(struct world *w, unsigned node, const struct disk_request *request);
/* Power or daemon gone: see above. */
void sim_disk_crash(struct world *w, struct sim_disk *disk);
/* The index of the last entry that would survive a crash now. */
uint64_t sim_disk_last(const struct sim_disk *disk);
/* What a daemon that starts now reads; entries point into the disk, *state's array is malloced. */
void sim_disk_state(const struct sim_disk *disk, struct disk_state *state);
/* The disk of a node that founds the cluster: one entry that configures it alone. */
void sim_disk_found(struct sim_disk *disk, const struct buffer *configuration);
void sim_disk_close(struct sim_disk *disk);

#endif
