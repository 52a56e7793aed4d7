/* Segments of the log as bytes. Pure: no files in here.
 *
 * A segment is a header and then batches, one after the other, each the result
 * of one durable write; zeros follow up to the end of the file. Every batch
 * carries the segment's random mark and the checksum of the batch before it, so
 * that nothing but what was written here, in this order, is taken for one. */
#ifndef RAFT_SEGMENT_H
#define RAFT_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"
#include "raft/disk.h"

#define SEGMENT_HEADER_SIZE 56
#define SEGMENT_BATCH_SIZE  32 /* of a batch's header */
#define SEGMENT_ENTRY_SIZE  16 /* of an entry's header */
#define SEGMENT_BATCH_MAX   (1u << 30)

struct segment_header {
	uint64_t sequence; /* which segment this is, in order of creation; from 1 */
	uint64_t start; /* index of the first entry */
	uint64_t previous_term; /* term of the entry before that; 0 when start is 1 */
	uint64_t mark; /* random, never 0 */
};

/* Bytes that an entry takes within a batch. */
uint64_t segment_entry_size(const struct disk_entry *entry);

/* Append a header to out. Returns its checksum: the `previous` of the first batch. */
uint32_t segment_header_encode(const struct segment_header *header, struct buffer *out);

/* A batch that is appended to out, in three steps: begin, add each entry, end. begin returns
 * where in out it starts; end returns the batch's checksum: the `previous` of the next. */
struct segment_batch {
	uint64_t mark;
	uint64_t index; /* of the first entry */
	uint32_t previous;
	uint32_t count; /* of entries; may be 0 */
};
size_t segment_batch_begin(struct buffer *out);
void segment_batch_add(struct buffer *out, const struct disk_entry *entry);
uint32_t segment_batch_end(struct buffer *out, size_t begin, const struct segment_batch *batch);

/* A cursor over a segment's bytes, which stay the caller's. */
struct segment_cursor {
	const uint8_t *bytes;
	size_t size;
	size_t at; /* end of the last good batch */
	size_t last_batch; /* where that begins; 0 before the first */
	uint64_t mark;
	uint64_t next; /* index that the next batch must begin with */
	uint32_t chain; /* checksum of the last good batch, or of the header */
};

enum segment_result {
	SEGMENT_BATCH, /* one more good batch, from last_batch to at */
	SEGMENT_END, /* nothing but zeros from at on */
	SEGMENT_TORN, /* what is at at is no whole batch */
	SEGMENT_WRONG, /* a whole batch that cannot follow the one before it */
};

/* Check the header and stand behind it. 0 or -EBADMSG. */
int segment_open(struct segment_cursor *c, const uint8_t *bytes, size_t size,
    struct segment_header *header, struct err *err);
/* Read the next batch; err says what is wrong for the last two results. */
enum segment_result segment_next(
    struct segment_cursor *c, struct segment_batch *batch, struct err *err);
/* Where the segment's mark stands again somewhere behind at, 0: nowhere. Since the next batch is
 * written only when the last one is durable, it proves that what is at at was whole once. */
size_t segment_mark_later(const struct segment_cursor *c);
/* Where the last byte ends that is not zero. */
size_t segment_used(const struct segment_cursor *c);

/* The entries of the last good batch: a reader of them, and the next one. The batch was checked
 * when it was read, so there are as many as it counts. Data points into the segment's bytes. */
struct reader segment_entries(const struct segment_cursor *c);
struct disk_entry segment_entry_next(struct reader *entries);

#endif
