/* Checksums, marks and sizes made right in bytes that a fuzzer made up, as far as sizes lead, so
 * that what stands behind them is reached. The places are those of raft/format.md. */
#ifndef TESTS_FUZZ_MEND_H
#define TESTS_FUZZ_MEND_H

#include <string.h>

#include "raft/checksum.h"
#include "raft/segment.h"
#include "raft/snapshot_file.h"

static inline void put(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static inline void mend_segment(uint8_t *bytes, size_t size)
{
	if (size < SEGMENT_HEADER_SIZE)
		return;
	uint32_t sum = checksum(0, bytes, SEGMENT_HEADER_SIZE - 4);
	put(bytes + SEGMENT_HEADER_SIZE - 4, sum, 4);
	for (size_t at = SEGMENT_HEADER_SIZE; size - at >= SEGMENT_BATCH_SIZE;) {
		struct reader r = reader_of(bytes + at + 16, 4);
		uint32_t batch = reader_u32(&r);
		if (batch < SEGMENT_BATCH_SIZE || batch > size - at)
			break;
		memcpy(bytes + at, bytes + 40, 8);
		put(bytes + at + 12, sum, 4);
		sum = checksum(0, bytes + at + 12, batch - 12);
		put(bytes + at + 8, sum, 4);
		at += batch;
	}
}

static inline void mend_snapshot(uint8_t *bytes, size_t size)
{
	if (size < SNAPSHOT_HEADER_SIZE)
		return;
	size_t body = size - SNAPSHOT_HEADER_SIZE;
	put(bytes + 72, body, 8);
	put(bytes + 80, checksum(0, bytes + SNAPSHOT_HEADER_SIZE, body), 4);
	put(bytes + 84, checksum(0, bytes, SNAPSHOT_HEADER_SIZE - 4), 4);
}

/* Look at the bytes as they came, and once they are mended. */
static inline int mend_and_look(const uint8_t *data, size_t size,
    void (*mend)(uint8_t *bytes, size_t size), void (*look)(const uint8_t *data, size_t size))
{
	struct buffer mended = {0};
	look(data, size);
	buffer_append(&mended, data, size);
	mend(mended.data, size);
	look(mended.data, size);
	buffer_close(&mended);
	return 0;
}

#endif
