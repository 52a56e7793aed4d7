#include "raft/segment.h"

#include <errno.h>
#include <string.h>

#include "raft/checksum.h"

#define SEGMENT_MAGIC  0x676f6c7474667270ull /* "prfttlog" */
#define SEGMENT_FORMAT 1
#define BATCH_COVERED  12 /* a batch's checksum covers everything from here on */

static const uint8_t zeros[8];

static uint64_t padded(uint64_t size)
{
	return (size + 7) & ~(uint64_t)7;
}

static uint64_t u64_at(const uint8_t *bytes)
{
	struct reader r = reader_of(bytes, 8);
	return reader_u64(&r);
}

uint64_t segment_entry_size(const struct disk_entry *entry)
{
	return SEGMENT_ENTRY_SIZE + padded(entry->size);
}

uint32_t segment_header_encode(const struct segment_header *header, struct buffer *out)
{
	size_t begin = out->size;
	buffer_append_u64(out, SEGMENT_MAGIC);
	buffer_append_u32(out, SEGMENT_FORMAT);
	buffer_append_u32(out, 0);
	buffer_append_u64(out, header->sequence);
	buffer_append_u64(out, header->start);
	buffer_append_u64(out, header->previous_term);
	buffer_append_u64(out, header->mark);
	buffer_append_u32(out, 0);
	uint32_t sum = checksum(0, out->data + begin, out->size - begin);
	buffer_append_u32(out, sum);
	return sum;
}

size_t segment_batch_begin(struct buffer *out)
{
	size_t begin = out->size;
	for (unsigned i = 0; i < SEGMENT_BATCH_SIZE / 8; i++)
		buffer_append(out, zeros, 8);
	return begin;
}

void segment_batch_add(struct buffer *out, const struct disk_entry *entry)
{
	buffer_append_u64(out, entry->term);
	buffer_append_u32(out, entry->size);
	buffer_append_u32(out, (uint32_t)entry->type);
	buffer_append(out, entry->data, entry->size);
	buffer_append(out, zeros, padded(entry->size) - entry->size);
}

static void put_u64(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

uint32_t segment_batch_end(struct buffer *out, size_t begin, const struct segment_batch *batch)
{
	uint8_t *head = out->data + begin;
	size_t size = out->size - begin;
	put_u64(head, batch->mark, 8);
	put_u64(head + BATCH_COVERED, batch->previous, 4);
	put_u64(head + 16, size, 4);
	put_u64(head + 20, batch->count, 4);
	put_u64(head + 24, batch->index, 8);
	uint32_t sum = checksum(0, head + BATCH_COVERED, size - BATCH_COVERED);
	put_u64(head + 8, sum, 4);
	return sum;
}

int segment_open(struct segment_cursor *c, const uint8_t *bytes, size_t size,
    struct segment_header *header, struct err *err)
{
	*c = (struct segment_cursor){.bytes = bytes, .size = size};
	*header = (struct segment_header){0};
	struct reader r = reader_of(bytes, size);
	uint64_t magic = reader_u64(&r);
	uint32_t format = reader_u32(&r);
	reader_u32(&r);
	struct segment_header found;
	found.sequence = reader_u64(&r);
	found.start = reader_u64(&r);
	found.previous_term = reader_u64(&r);
	found.mark = reader_u64(&r);
	reader_u32(&r);
	uint32_t sum = reader_u32(&r);
	if (r.failed)
		return err_set(err, -EBADMSG, "too short for a header");
	if (magic != SEGMENT_MAGIC)
		return err_set(err, -EBADMSG, "not a segment");
	if (sum != checksum(0, bytes, SEGMENT_HEADER_SIZE - 4))
		return err_set(err, -EBADMSG, "checksum of the header does not match");
	if (format != SEGMENT_FORMAT)
		return err_set(err, -EBADMSG, "format %u is not known", format);
	if (found.start == 0 || found.mark == 0)
		return err_set(err, -EBADMSG, "header without start index or mark");
	*header = found;
	c->at = SEGMENT_HEADER_SIZE;
	c->mark = found.mark;
	c->next = found.start;
	c->chain = sum;
	return 0;
}

static bool zero_from(const struct segment_cursor *c, size_t at)
{
	/* All equal to the byte before, and the first is zero. */
	size_t left = c->size - at;
	return left == 0 ||
	       (c->bytes[at] == 0 && memcmp(c->bytes + at, c->bytes + at + 1, left - 1) == 0);
}

/* The entries must fill the batch exactly. */
static int batch_entries_check(const uint8_t *bytes, size_t size, uint32_t count, struct err *err)
{
	struct reader r = reader_of(bytes, size);
	for (uint32_t i = 0; i < count && !r.failed; i++) {
		reader_u64(&r);
		uint32_t entry_size = reader_u32(&r);
		uint32_t type = reader_u32(&r);
		reader_bytes(&r, padded(entry_size));
		if (!r.failed && (type < DISK_COMMAND || type > DISK_CHANGE))
			return err_set(err, -EBADMSG, "entry of unknown type %u", type);
	}
	if (r.failed || reader_left(&r) != 0)
		return err_set(err, -EBADMSG, "entries do not fill their batch");
	return 0;
}

static enum segment_result batch_check(
    const struct segment_cursor *c, const struct segment_batch *batch, size_t size, struct err *err)
{
	const uint8_t *head = c->bytes + c->at;
	if (batch->previous != c->chain) {
		err_set(err, 0, "batch does not follow the one before it");
		return SEGMENT_WRONG;
	}
	if (batch->index != c->next || batch->index + batch->count < batch->index) {
		err_set(err, 0, "batch begins at index %llu instead of %llu",
		    (unsigned long long)batch->index, (unsigned long long)c->next);
		return SEGMENT_WRONG;
	}
	if (batch_entries_check(
		head + SEGMENT_BATCH_SIZE, size - SEGMENT_BATCH_SIZE, batch->count, err) < 0)
		return SEGMENT_WRONG;
	return SEGMENT_BATCH;
}

enum segment_result segment_next(
    struct segment_cursor *c, struct segment_batch *batch, struct err *err)
{
	if (zero_from(c, c->at))
		return SEGMENT_END;
	struct reader r = reader_of(c->bytes + c->at, c->size - c->at);
	*batch = (struct segment_batch){.mark = reader_u64(&r)};
	uint32_t sum = reader_u32(&r);
	batch->previous = reader_u32(&r);
	uint32_t size = reader_u32(&r);
	batch->count = reader_u32(&r);
	batch->index = reader_u64(&r);
	if (r.failed || batch->mark != c->mark) {
		err_set(err, 0, "not the beginning of a batch");
		return SEGMENT_TORN;
	}
	if (size < SEGMENT_BATCH_SIZE || size % 8 != 0 || size > c->size - c->at) {
		err_set(err, 0, "a batch of %u bytes where %zu are left", size, c->size - c->at);
		return SEGMENT_TORN;
	}
	if (sum != checksum(0, c->bytes + c->at + BATCH_COVERED, size - BATCH_COVERED)) {
		err_set(err, 0, "checksum of a batch does not match");
		return SEGMENT_TORN;
	}
	enum segment_result result = batch_check(c, batch, size, err);
	if (result != SEGMENT_BATCH)
		return result;
	c->last_batch = c->at;
	c->at += size;
	c->chain = sum;
	c->next += batch->count;
	return SEGMENT_BATCH;
}

size_t segment_mark_later(const struct segment_cursor *c)
{
	for (size_t at = c->at + 8; at + 8 <= c->size; at += 8)
		if (u64_at(c->bytes + at) == c->mark)
			return at;
	return 0;
}

size_t segment_used(const struct segment_cursor *c)
{
	size_t used = c->size;
	while (used > c->at && c->bytes[used - 1] == 0)
		used--;
	return used;
}

struct reader segment_entries(const struct segment_cursor *c)
{
	size_t begin = c->last_batch + SEGMENT_BATCH_SIZE;
	return reader_of(c->bytes + begin, c->at - begin);
}

struct disk_entry segment_entry_next(struct reader *entries)
{
	struct disk_entry entry;
	entry.term = reader_u64(entries);
	entry.size = reader_u32(entries);
	entry.type = (enum disk_entry_type)reader_u32(entries);
	entry.data = reader_bytes(entries, padded(entry.size));
	return entry;
}
