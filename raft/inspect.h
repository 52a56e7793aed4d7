/* A data directory seen from outside: read-only, without its lock, safe beside its writer.
 *
 * What is shown is one moment of it: the log as it was answered up to some request,
 * maybe with the end of a write that was under way, which shows as a torn tail. */
#ifndef RAFT_INSPECT_H
#define RAFT_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/err.h"
#include "raft/disk.h"

#define INSPECT_NAME_MAX 64

struct inspect;

/* Read all of it. Damage is no error here: it is what inspect_verify() tells, and the rest is as
 * much as can be read. Returns 0; -ENOENT, -EACCES, ... with err when the system refused; -EAGAIN
 * when the writer was always faster. */
int inspect_open(struct inspect **inspect, const char *directory, struct err *err);
void inspect_close(struct inspect *in);

struct inspect_status {
	bool in_use; /* somebody holds the lock */
	uint64_t term, vote; /* vote 0: nobody */
	uint64_t version; /* how often term and vote were written; 0: a new directory */
	uint64_t first, last; /* of the log; first > last: it is empty */
	const struct disk_snapshot *snapshot; /* NULL: none; the inspect's */
	uint64_t snapshot_file_bytes; /* compressed */
	uint64_t bytes; /* of all files that count */
	unsigned segments;
	char torn_file[INSPECT_NAME_MAX]; /* "": no torn tail */
	uint64_t torn_offset, torn_bytes;
	unsigned problems, notes; /* that inspect_verify() would tell of */
};
void inspect_status(const struct inspect *in, struct inspect_status *status);

struct inspect_segment {
	char name[INSPECT_NAME_MAX];
	uint64_t sequence, start;
	uint64_t last; /* index of the last entry in it; start - 1: none */
	uint64_t bytes, used; /* of the file, and up to the end of the last batch */
	unsigned batches;
	bool stale; /* made void by a snapshot, and not removed yet: not read */
};
/* The n-th by age, from 0. 0, or -ENOENT behind the last. */
int inspect_segment(const struct inspect *in, unsigned n, struct inspect_segment *segment);

struct inspect_snapshot {
	char name[INSPECT_NAME_MAX];
	uint64_t index, term;
	uint64_t file_bytes;
	bool valid; /* it checks */
	bool counts; /* it is the one that the log goes on from */
};
/* The n-th snapshot's file, the newest is 0. 0, or -ENOENT behind the last. */
int inspect_snapshot(const struct inspect *in, unsigned n, struct inspect_snapshot *snapshot);

/* The entry at index. 0, or -ENOENT outside first to last. Data is the inspect's. */
int inspect_entry(const struct inspect *in, uint64_t index, struct disk_entry *entry);

/* The file that the entry stands in, and at which offset of it. 0, or -ENOENT. */
int inspect_where(
    const struct inspect *in, uint64_t index, char name[INSPECT_NAME_MAX], uint64_t *offset);

struct inspect_finding {
	bool problem; /* damage; else a trace that a crash may leave, or... */
	bool harmless; /* ...damage of what nothing needs: the log leads past it */
	const char *file;
	uint64_t offset;
	const char *text;
};
/* Call found for everything that does not check. Returns how many of it are problems. */
unsigned inspect_verify(const struct inspect *in,
    void (*found)(void *data, const struct inspect_finding *finding), void *data);

#endif
