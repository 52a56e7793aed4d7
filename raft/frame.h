/* Frames on a stream: four bytes of length, little endian, then that many bytes.
 *
 * A length is only believed up to the limit, and memory is taken as bytes arrive,
 * never for what a length announces. */
#ifndef RAFT_FRAME_H
#define RAFT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"

#define FRAME_HEADER_SIZE 4

struct frames { /* of one stream; all zero but limit at its start */
	size_t limit;
	struct buffer partial; /* of a frame that has begun, with its length; owned */
};

void frame_append(struct buffer *out, const void *bytes, size_t size);

/* The next bytes of the stream: calls frame for each that is complete, in order; its bytes
 * are gone after the call. Returns 0; -EMSGSIZE when a length is over the limit (which frame()
 * may change between frames); or at once what frame() returned, when not 0. After anything
 * but 0 the stream is out of step and only frames_close() is allowed. */
int frames_feed(struct frames *f, const uint8_t *bytes, size_t size,
    int (*frame)(void *data, const uint8_t *bytes, size_t size), void *data);
void frames_close(struct frames *f);

#endif
