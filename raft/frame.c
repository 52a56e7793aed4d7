#include "raft/frame.h"

#include <errno.h>

/* What a stream keeps between frames, so that many small ones cost no allocation. */
#define PARTIAL_KEPT 65536

void frame_append(struct buffer *out, const void *bytes, size_t size)
{
	buffer_append_u32(out, (uint32_t)size);
	buffer_append(out, bytes, size);
}

void frames_close(struct frames *f)
{
	buffer_close(&f->partial);
}

static size_t length_read(const uint8_t *bytes)
{
	struct reader r = reader_of(bytes, FRAME_HEADER_SIZE);
	return reader_u32(&r);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Complete the frame that has begun. Returns how many of the bytes it took; *whole
 * is its size with the header once it is complete. */
static size_t partial_fill(struct frames *f, const uint8_t *bytes, size_t size, size_t *whole)
{
	size_t took = 0;
	*whole = 0;
	if (f->partial.size < FRAME_HEADER_SIZE) {
		took = smaller(size, FRAME_HEADER_SIZE - f->partial.size);
		buffer_append(&f->partial, bytes, took);
		if (f->partial.size < FRAME_HEADER_SIZE)
			return took;
	}
	size_t want = FRAME_HEADER_SIZE + length_read(f->partial.data);
	if (want - FRAME_HEADER_SIZE <= f->limit) {
		size_t more = smaller(size - took, want - f->partial.size);
		buffer_append(&f->partial, bytes + took, more);
		took += more;
	}
	if (f->partial.size == want || want - FRAME_HEADER_SIZE > f->limit)
		*whole = want;
	return took;
}

static void partial_reset(struct frames *f)
{
	f->partial.size = 0;
	if (f->partial.capacity > PARTIAL_KEPT)
		buffer_close(&f->partial);
}

static int partial_feed(struct frames *f, const uint8_t **bytes, size_t *size,
    int (*frame)(void *data, const uint8_t *bytes, size_t size), void *data)
{
	size_t whole;
	size_t took = partial_fill(f, *bytes, *size, &whole);
	*bytes += took;
	*size -= took;
	if (whole == 0)
		return 0;
	if (whole - FRAME_HEADER_SIZE > f->limit)
		return -EMSGSIZE;
	int rv = frame(data, f->partial.data + FRAME_HEADER_SIZE, whole - FRAME_HEADER_SIZE);
	partial_reset(f);
	return rv;
}

int frames_feed(struct frames *f, const uint8_t *bytes, size_t size,
    int (*frame)(void *data, const uint8_t *bytes, size_t size), void *data)
{
	if (f->partial.size > 0) {
		int rv = partial_feed(f, &bytes, &size, frame, data);
		if (rv != 0)
			return rv;
	}
	while (size >= FRAME_HEADER_SIZE) {
		size_t length = length_read(bytes);
		if (length > f->limit)
			return -EMSGSIZE;
		if (size - FRAME_HEADER_SIZE < length)
			break;
		int rv = frame(data, bytes + FRAME_HEADER_SIZE, length);
		if (rv != 0)
			return rv;
		bytes += FRAME_HEADER_SIZE + length;
		size -= FRAME_HEADER_SIZE + length;
	}
	buffer_append(&f->partial, bytes, size);
	return 0;
}
