/* The write-ahead log: a member's disk, in files.
 *
 * A thread of its own writes in the order of submission, one fdatasync for all that waits
 * (nothing of ours sits on libuv's shared pool). A snapshot taken here is written between the other
 * requests, a mebibyte at a time: however large it is, no append waits longer than that takes.
 * The format is described in raft/format.md, completely enough to write another reader from. */
#ifndef RAFT_WAL_H
#define RAFT_WAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fsm/err.h"
#include "raft/disk.h"

struct wal;

/* What writes, so that a test can let it fail: as the system calls, but -errno on failure. */
struct wal_files {
	void *data;
	ssize_t (*write)(void *data, int fd, const void *bytes, size_t size, uint64_t offset);
	int (*sync)(void *data, int fd); /* contents; of a directory: its names */
};

extern const struct wal_files wal_system_files;

#define WAL_SEGMENT_BYTES (8u << 20)
#define WAL_RESERVE_BYTES (16u << 20)

struct wal_options {
	const char *directory; /* must exist */
	uint64_t segment_bytes; /* 0: WAL_SEGMENT_BYTES, zero-filled ahead */
	uint64_t reserve_bytes; /* 0: WAL_RESERVE_BYTES of ballast, given back when the disk is
				   full, so that a member can still write its vote and leave in
				   order */
	/* From the writer's thread: something is to be collected by wal_collect(). */
	void (*ready)(void *data);
	void *data;
	const struct wal_files *files; /* NULL: the system's; must outlive the wal */
};

/* Open and lock the directory, read it and check every checksum. A torn tail (the
 * end of a write that was under way when power went) is cut off. Anything else that does not
 * check is never repaired in place: returns -EBADMSG, err names the file and the offset, and
 * nothing was changed; the caller sets the directory aside (wal_set_aside). -EBUSY: in use.
 * state belongs to the wal and lasts until wal_forget_state(). */
int wal_open(
    struct wal **wal, const struct wal_options *options, struct disk_state *state, struct err *err);
void wal_forget_state(struct wal *wal);
void wal_close(struct wal *wal); /* waits for what is under way */

/* The port for the replica. Requests are answered with 0 or -errno. After -ENOSPC everything is as
 * it was and the next request may succeed; after any other failed write or sync nobody knows
 * what the disk holds, so that every request fails until the directory is opened again. -ESTALE:
 * the directory was removed or replaced, which is looked at every second. */
struct disk wal_disk(struct wal *wal);

/* Tickets finished since the last call, in the order in which they were (disk.h): calls done for
 * each, in the caller's thread. */
void wal_collect(
    struct wal *wal, void (*done)(void *data, uint64_t ticket, int status), void *data);

/* Take the directory's lock and nothing else; closing lock_fd gives it back. -EBUSY: in use. */
int wal_lock(const char *directory, int *fd, int *lock_fd, struct err *err);

/* Rename the directory's raft files into "DIRECTORY/corrupt-N/" and return that last part,
 * "corrupt-N". A crash on the way leaves a directory that is refused, never a part that is taken
 * for the whole. -EBUSY: in use. */
int wal_set_aside(const char *directory, char name[256], struct err *err);

struct wal_status {
	uint64_t bytes, segments; /* on disk, the reserve included */
	/* Of the last 1024 writes, and since when the oldest one waits (clock_ms(); 0: none
	 * does), but for a snapshot that is written between the others. */
	uint64_t write_us_p50, write_us_p99, write_us_max;
	uint64_t waiting_since_ms;
	/* What is free on the disk, and when that was looked up (clock_ms(); 0: never): every
	 * few seconds, unless the disk does not answer. */
	uint64_t free_bytes, free_ms;
	int last_error; /* 0 or -errno of the last failed write; -ENOSPC also as long as the reserve
			   is given back */
};
void wal_status(const struct wal *wal, struct wal_status *status); /* does not touch the disk */

#endif
