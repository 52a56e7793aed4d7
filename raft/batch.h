/* The operations of one entry: varint count, then for each its length as a varint and
 * its bytes; padded with zeros to a multiple of 8.
 *
 * What was proposed in one turn of the loop travels, is written and is committed
 * together: that is where the throughput comes from. */
#ifndef RAFT_BATCH_H
#define RAFT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"

/* A batch that is being filled. All zero is empty. */
struct batch {
	struct buffer operations;
	unsigned n;
};

void batch_add(struct batch *b, const uint8_t *operation, size_t size);
void batch_encode(const struct batch *b, struct buffer *out);
void batch_close(struct batch *b);

/* Goes through the operations of an entry. */
struct batch_reader {
	struct reader in;
	uint64_t left; /* operations not yet read */
};

/* Whether bytes are a whole batch, padding and all. */
bool batch_valid(const uint8_t *bytes, size_t size);
struct batch_reader batch_read(const uint8_t *bytes, size_t size);
/* False after the last. operation points into the bytes. */
bool batch_next(struct batch_reader *r, const uint8_t **operation, size_t *size);

#endif
