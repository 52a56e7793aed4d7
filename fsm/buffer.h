/* Bytes: a buffer that grows, and a reader that cannot run past the end.
 *
 * Running out of memory aborts: a replica that cannot allocate a few hundred
 * bytes cannot go on applying the log, and must not skip an entry. */
#ifndef FSM_BUFFER_H
#define FSM_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *data; /* owned; buffer_close frees it */
	size_t size; /* bytes in use */
	size_t capacity; /* bytes allocated */
};

/* malloc and realloc that abort instead of returning NULL. */
void *must_alloc(size_t size);
void *must_realloc(void *memory, size_t size);

void buffer_append(struct buffer *b, const void *bytes, size_t size);
void buffer_append_u8(struct buffer *b, uint8_t value);
void buffer_append_u32(struct buffer *b, uint32_t value); /* little endian, 4 bytes */
void buffer_append_u64(struct buffer *b, uint64_t value); /* little endian, 8 bytes */
/* Base 128, least significant group first, as Protocol Buffers have it; 1 to 10 bytes. */
void buffer_append_varint(struct buffer *b, uint64_t value);
void buffer_append_text(struct buffer *b, const char *text); /* for reader_text() */
void buffer_print(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_close(struct buffer *b); /* frees; b may be used again */

/* A cursor over bytes that somebody else owns. The first read past the end,
 * or of a varint that is not in its shortest form, sets failed; from then on
 * every read gives 0 and nothing moves. */
struct reader {
	const uint8_t *data;
	size_t size;
	size_t at;
	bool failed;
};

static inline struct reader reader_of(const void *data, size_t size)
{
	return (struct reader){.data = data, .size = size};
}

uint8_t reader_u8(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint64_t reader_varint(struct reader *r);
/* The next size bytes, still owned by whoever owns the reader's; NULL past the end. */
const uint8_t *reader_bytes(struct reader *r, size_t size);
/* A varint and so many bytes. Of size max with its NUL; one that is longer, or has a NUL inside,
 * fails, and text is as it was. */
void reader_text(struct reader *r, char *text, size_t max);
size_t reader_left(const struct reader *r);

#endif
