/* The control socket's bytes, for the server and its clients.
 *
 * Both ways go frames: u32 little endian size, then that many bytes, at most
 * CONTROL_FRAME_MAX. What the first byte says:
 *
 *   '{'   JSON. {"id": n, "op": "vm list", "args": {...}} is answered with
 *         {"id": n, "ok": true, "result": ...} or
 *         {"id": n, "ok": false, "error": {"code", "message", "hint"}}.
 *         With "progress": true it is not done again: the result says how far it
 *         has come, {"state": "pending" | "done" | "failed", "text"}.
 *   0x01  an operation of the log: varint request, operation (fsm/command.h), of
 *         those that people ask for and with a client; others are answered -EPERM
 *         answer: 0x01, varint request, zigzag varint result, varint index
 *   0x02  linearizable read: varint request; answered as above
 *   0x03  the same, never by lease
 *   0x04  watch: varint request, varint index. 0x04, varint request, varint index
 *         comes whenever the value is at a newer index than the last one told of
 *         (at first: the one asked with), as long as the connection lasts
 *
 * Many requests may be under way; answers come in any order. request is the
 * client's own number and comes back as it was. */
#ifndef NODE_CONTROL_CONTROL_WIRE_H
#define NODE_CONTROL_CONTROL_WIRE_H

#include "fsm/buffer.h"

#define CONTROL_FRAME_MAX   (4u << 20)
#define CONTROL_HEADER_SIZE 4u

enum control_type {
	CONTROL_OPERATION = 1,
	CONTROL_READ = 2,
	CONTROL_READ_BY_ROUND = 3,
	CONTROL_WATCH = 4,
	CONTROL_JSON = '{',
};

struct control_frame {
	enum control_type type;
	uint64_t request; /* not JSON */
	uint64_t index; /* WATCH, and answers */
	int32_t result; /* answers */
	const uint8_t *data; /* JSON: all of the payload; OPERATION: the operation */
	size_t size;
};

/* The first frame of bytes: its whole size with the header, 0 when it is not all there
 * yet, -EMSGSIZE when it will never be (too long or empty). */
int64_t control_frame_size(const uint8_t *bytes, size_t size);

/* What a payload (without the header) says. 0 or -EBADMSG. frame->data stays the caller's. */
int control_request_decode(struct control_frame *frame, const uint8_t *payload, size_t size);
int control_answer_decode(struct control_frame *frame, const uint8_t *payload, size_t size);

/* Append a frame, header and all. */
void control_request_encode(const struct control_frame *frame, struct buffer *out);
void control_answer_encode(const struct control_frame *frame, struct buffer *out);

#endif
