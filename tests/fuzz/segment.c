/* Any bytes as a segment: every batch that is taken for good lies within them, and so does every
 * entry; what is encoded again from it is the same. */
#include <stdlib.h>
#include <string.h>

#include "raft/checksum.h"
#include "raft/segment.h"
#include "tests/fuzz/mend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int right)
{
	if (!right)
		abort();
}

/* The entries of a batch, encoded again, are its bytes. */
static void batch_again(const struct segment_cursor *c, struct segment_batch batch)
{
	struct buffer out = {0};
	struct reader entries = segment_entries(c);
	size_t begin = segment_batch_begin(&out);
	for (uint32_t i = 0; i < batch.count; i++) {
		struct disk_entry entry = segment_entry_next(&entries);
		check(!entries.failed);
		check(entry.data >= c->bytes && entry.data + entry.size <= c->bytes + c->at);
		segment_batch_add(&out, &entry);
	}
	check(reader_left(&entries) == 0);
	segment_batch_end(&out, begin, &batch);
	check(out.size == c->at - c->last_batch);
	buffer_close(&out);
}

static void look(const uint8_t *data, size_t size)
{
	struct segment_cursor c;
	struct segment_header header;
	struct segment_batch batch;
	struct err err;
	if (segment_open(&c, data, size, &header, &err) < 0)
		return;
	enum segment_result result;
	size_t before = c.at;
	while ((result = segment_next(&c, &batch, &err)) == SEGMENT_BATCH) {
		check(c.at > before && c.at <= size && c.last_batch == before);
		before = c.at;
		batch_again(&c, batch);
	}
	check(c.at == before && segment_used(&c) >= c.at && segment_used(&c) <= size);
	check(result != SEGMENT_END || segment_used(&c) == c.at);
	size_t later = segment_mark_later(&c);
	check(later == 0 || (later > c.at && later + 8 <= size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return mend_and_look(data, size, mend_segment, look);
}
