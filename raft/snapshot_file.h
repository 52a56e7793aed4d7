/* A snapshot as the bytes of its file. Pure; the one place that knows lz4. */
#ifndef RAFT_SNAPSHOT_FILE_H
#define RAFT_SNAPSHOT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"
#include "raft/disk.h"

#define SNAPSHOT_HEADER_SIZE 88

struct snapshot_file {
	struct disk_snapshot snapshot;
	uint64_t keep_from; /* entries of the log before that do not count any more */
	uint64_t sequence; /* nor do segments with a lower sequence than this */
};

/* Append the file's bytes to out. */
void snapshot_file_encode(const struct snapshot_file *file, struct buffer *out);

/* The same in pieces, for a large one. What follows the header comes first and the header, which
 * says what that was, last: SNAPSHOT_HEADER_SIZE bytes for the beginning of the file. */
struct snapshot_body { /* begin with zeros */
	size_t taken; /* of the snapshot's data */
	uint32_t chunks, sum;
	uint64_t size; /* so far */
};

/* Append the next piece, of at most a mebibyte of data, to out. Returns whether there are more. */
bool snapshot_body_next(
    struct snapshot_body *body, const struct disk_snapshot *snapshot, struct buffer *out);
void snapshot_header_encode(
    const struct snapshot_file *file, const struct snapshot_body *body, struct buffer *out);

/* Read one. The configuration points into bytes, the data into `data` (empty before, the
 * caller's to close). Returns 0, or -EBADMSG with err and where it is wrong in offset. */
int snapshot_file_decode(const uint8_t *bytes, size_t size, struct snapshot_file *file,
    struct buffer *data, uint64_t *offset, struct err *err);

#endif
