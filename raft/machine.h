/* The port to what the log is about. raft/ knows only bytes. */
#ifndef RAFT_MACHINE_H
#define RAFT_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"

struct machine {
	void *data;
	/* Apply one operation. Total and deterministic: any bytes give an answer (>= 0)
	 * or a negative errno, the same on every member. index is of the entry it is in. */
	int (*apply)(void *data, uint64_t index, const uint8_t *operation, size_t size);
	/* Append the whole value to out. The same bytes on every member at the same index. */
	void (*snapshot)(void *data, struct buffer *out);
	/* Replace the value. Returns 0, or -EBADMSG and leaves the value as it was. */
	int (*restore)(void *data, uint64_t index, const uint8_t *bytes, size_t size);
	/* On the leader, of what another member asks for: 0, or a negative errno that it is
	 * answered with, and nothing goes into the log. NULL: everything may be asked for. */
	int (*admit)(void *data, uint64_t from, const uint8_t *operation, size_t size);
};

#endif
