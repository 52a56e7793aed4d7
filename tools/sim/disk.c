#include "tools/sim/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sim/node.h"

#define SNAPSHOT_MS 500 /* how long a large one takes, at most, on a disk that is not slow */

static void entries_cut(struct sim_disk *disk, uint64_t index)
{
	while (disk->count && disk->first + disk->count > index)
		buffer_close(&disk->entries[--disk->count].data);
}

static void entries_add(struct sim_disk *disk, uint64_t index, const struct disk_entry *entry)
{
	if (!disk->count)
		disk->first = index;
	if (disk->count == disk->capacity) {
		disk->capacity = disk->capacity ? disk->capacity * 2 : 64;
		disk->entries =
		    must_realloc(disk->entries, disk->capacity * sizeof(*disk->entries));
	}
	struct stored_entry *stored = &disk->entries[disk->count++];
	*stored = (struct stored_entry){.term = entry->term, .type = entry->type};
	buffer_append(&stored->data, entry->data, entry->size);
}

static void entries_forget(struct sim_disk *disk, uint64_t keep_from)
{
	unsigned gone = 0;
	if (!disk->count)
		return;
	while (gone < disk->count && disk->first + gone < keep_from)
		buffer_close(&disk->entries[gone++].data);
	memmove(disk->entries, disk->entries + gone, (disk->count - gone) * sizeof(*disk->entries));
	disk->count -= gone;
	disk->first += gone;
}

static void store_append(struct sim_disk *disk, const struct disk_request *request, unsigned n)
{
	entries_cut(disk, request->append.index);
	for (unsigned i = 0; i < n; i++)
		entries_add(disk, request->append.index + i, &request->append.entries[i]);
}

static void store_snapshot(struct sim_disk *disk, const struct disk_request *request)
{
	const struct disk_snapshot *s = &request->snapshot.snapshot;
	disk->has_snapshot = true;
	disk->snapshot_index = s->index;
	disk->snapshot_term = s->term;
	disk->configuration_index = s->configuration_index;
	disk->configuration.size = disk->snapshot.size = 0;
	buffer_append(&disk->configuration, s->configuration, s->configuration_size);
	buffer_append(&disk->snapshot, s->data, s->size);
	entries_forget(
	    disk, request->snapshot.installed ? UINT64_MAX : request->snapshot.keep_from);
}

static void store(struct sim_disk *disk, const struct disk_request *request)
{
	switch (request->type) {
	case DISK_VOTE:
		disk->term = request->vote.term;
		disk->vote = request->vote.vote;
		disk->promise_ms = request->vote.promise_ms;
		break;
	case DISK_APPEND:
		store_append(disk, request, request->append.n);
		break;
	case DISK_SNAPSHOT:
		store_snapshot(disk, request);
		break;
	}
}

static int write_status(struct sim_disk *disk)
{
	struct disk_faults *faults = &disk->faults;
	bool fails = faults->failing || faults->failing_once;
	faults->failing_once = false;
	if (fails)
		disk->broken = true;
	if (disk->broken)
		return -EIO;
	return faults->full ? -ENOSPC : 0;
}

static void begin(struct world *w, unsigned node);

/* The writer is a thread of the daemon: what stops one stops the other. Put off until then? */
static bool put_off(struct world *w, unsigned node, uint64_t life,
    void (*then)(struct world *w, unsigned node, uint64_t life, void *bytes))
{
	uint64_t until_ms = w->nodes[node]->paused_until_ms;
	if (w->now_ms >= until_ms)
		return false;
	world_at(w, until_ms, then, node, life);
	return true;
}

static void answer(struct world *w, unsigned node, const struct disk_request *request)
{
	struct sim_disk *disk = &w->nodes[node]->disk;
	int status = write_status(disk);
	if (!status)
		store(disk, request);
	begin(w, node);
	sim_node_written(w->nodes[node], request->ticket, status);
}

static void queue_pop(struct sim_disk *disk)
{
	disk->queued--;
	memmove(disk->queue, disk->queue + 1, disk->queued * sizeof(*disk->queue));
}

static void finished(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_disk *disk = &w->nodes[node]->disk;
	if (disk->life != life || !disk->queued || put_off(w, node, life, finished))
		return;
	/* At a moment that chance would rarely hit: written or half written, and nobody told. */
	if (disk->faults.crash_in && --disk->faults.crash_in == 0) {
		sim_node_power(w->nodes[node], false);
		return;
	}
	struct disk_request request = disk->queue[0];
	queue_pop(disk);
	disk->busy = false;
	answer(w, node, &request);
}

static void taken(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_disk *disk = &w->nodes[node]->disk;
	if (disk->life != life || put_off(w, node, life, taken))
		return;
	disk->taking = false;
	struct disk_request request = disk->taken;
	answer(w, node, &request);
}

/* A snapshot that was taken is written between the requests behind it. */
static void take(struct world *w, unsigned node)
{
	struct sim_disk *disk = &w->nodes[node]->disk;
	const struct disk_request *r = &disk->queue[0];
	if (!disk->queued || disk->taking || r->type != DISK_SNAPSHOT || r->snapshot.installed)
		return;
	disk->taken = *r;
	disk->taking = true;
	queue_pop(disk);
	uint64_t takes_ms = world_random(w, SNAPSHOT_MS) + disk->faults.slow_ms;
	world_at(w, w->now_ms + takes_ms, taken, node, disk->life);
}

static void begin(struct world *w, unsigned node)
{
	struct sim_disk *disk = &w->nodes[node]->disk;
	if (disk->busy)
		return;
	take(w, node);
	if (!disk->queued || (disk->taking && disk->queue[0].type == DISK_SNAPSHOT))
		return;
	disk->busy = true;
	uint64_t takes_ms = world_random(w, 4) + disk->faults.slow_ms;
	world_at(w, w->now_ms + takes_ms, finished, node, disk->life);
}

void sim_disk_submit(struct world *w, unsigned node, const struct disk_request *request)
{
	struct sim_disk *disk = &w->nodes[node]->disk;
	if (disk->queued == sizeof(disk->queue) / sizeof(*disk->queue)) {
		world_fail(w, "n%u has more writes under way than the disk takes", node);
		return;
	}
	disk->queue[disk->queued++] = *request;
	begin(w, node);
}

void sim_disk_crash(struct world *w, struct sim_disk *disk)
{
	const struct disk_request *torn = &disk->queue[0];
	bool fails = disk->broken || disk->faults.full || disk->faults.failing;
	if (disk->busy && disk->queued && !fails) {
		unsigned fate = (unsigned)world_random(w, 3);
		if (fate == 0)
			store(disk, torn);
		else if (fate == 1 && torn->type == DISK_APPEND)
			store_append(disk, torn, (unsigned)world_random(w, torn->append.n + 1));
	}
	/* It got its name, and nobody was told. */
	if (disk->taking && !fails && world_random(w, 3) == 0)
		store(disk, &disk->taken);
	disk->queued = 0;
	disk->busy = disk->taking = false;
	disk->broken = false;
	disk->life++;
}

uint64_t sim_disk_last(const struct sim_disk *disk)
{
	uint64_t last = disk->count ? disk->first + disk->count - 1 : 0;
	return disk->has_snapshot && disk->snapshot_index > last ? disk->snapshot_index : last;
}

void sim_disk_state(const struct sim_disk *disk, struct disk_state *state)
{
	*state = (struct disk_state){
	    .term = disk->term,
	    .vote = disk->vote,
	    .promise_ms = disk->promise_ms,
	    .has_snapshot = disk->has_snapshot,
	    .snapshot = {.index = disk->snapshot_index,
		.term = disk->snapshot_term,
		.configuration_index = disk->configuration_index,
		.configuration = disk->configuration.data,
		.configuration_size = disk->configuration.size,
		.data = disk->snapshot.data,
		.size = disk->snapshot.size},
	    .first = disk->first,
	    .n = disk->count,
	};
	state->entries = must_alloc(disk->count * sizeof(*state->entries));
	for (unsigned i = 0; i < disk->count; i++)
		state->entries[i] = (struct disk_entry){
		    .term = disk->entries[i].term,
		    .type = disk->entries[i].type,
		    .size = (uint32_t)disk->entries[i].data.size,
		    .data = disk->entries[i].data.data,
		};
}

void sim_disk_found(struct sim_disk *disk, const struct buffer *configuration)
{
	struct disk_entry entry = {
	    .term = 1,
	    .type = DISK_CHANGE,
	    .size = (uint32_t)configuration->size,
	    .data = configuration->data,
	};
	disk->term = 1;
	entries_add(disk, 1, &entry);
}

void sim_disk_close(struct sim_disk *disk)
{
	entries_cut(disk, 0);
	free(disk->entries);
	buffer_close(&disk->configuration);
	buffer_close(&disk->snapshot);
}
