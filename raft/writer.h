/* What changes a data directory: the requests of disk.h, one at a time, durable on return.
 *
 * Blocking and without a thread; wal.c runs it on one. The order of writes, syncs and
 * renames in here is what makes every crash harmless: see format.md. */
#ifndef RAFT_WRITER_H
#define RAFT_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/err.h"
#include "raft/directory.h"
#include "raft/disk.h"
#include "raft/wal.h"

struct writer;

struct writer_options {
	int fd; /* of the directory; stays the caller's */
	uint64_t segment_bytes, reserve_bytes;
	const struct wal_files *files;
};

/* Go on from what was read: there must be no problem in it. Cuts off a torn tail, removes what
 * a crash left over and makes sure that what was read is durable. 0 or -errno with err. */
int writer_open(struct writer **writer, const struct writer_options *options,
    const struct directory *d, struct err *err);
void writer_close(struct writer *w);

/* 0 or -errno, as wal.h says of requests. writer_append takes requests that follow each other
 * without a gap, and makes them durable with one sync. */
int writer_vote(struct writer *w, uint64_t term, uint64_t vote);
/* The same with another promise (disk.h), which writer_vote() leaves as it is. */
int writer_promise(struct writer *w, const struct disk_request *vote);
int writer_append(struct writer *w, const struct disk_request *const *requests, unsigned n);
int writer_snapshot(struct writer *w, const struct disk_request *request);

/* A large one between votes and appends: a step writes a mebibyte at most. Both return 1 when there
 * are more steps to do, until then the request's memory stays; 0: it is durable; or -errno.
 * One that was installed, or goes beyond the log, is done at once: nothing may come before it.
 * One at a time. */
int writer_snapshot_begin(struct writer *w, const struct disk_request *request);
int writer_snapshot_step(struct writer *w);

/* For idle times: prepare the next segment or the reserve, or write term and vote into the second
 * file as well, by one step of less than a millisecond. Returns whether
 * there is more to do. writer_behind: the log grows faster than that, so that idle times are not
 * enough. */
bool writer_prepare(struct writer *w);
bool writer_behind(const struct writer *w);

struct writer_status {
	uint64_t bytes, segments;
	int last_error;
};
void writer_status(const struct writer *w, struct writer_status *status);

#endif
