/* What the pool's worker is asked to free, and what it says of that, as bytes. As pool_wire.h:
 * the parent trusts nothing that a child sends. */
#ifndef NODE_WORKER_RELEASE_WIRE_H
#define NODE_WORKER_RELEASE_WIRE_H

#include "fsm/buffer.h"
#include "storage/release.h"

void release_encode(struct buffer *b, const struct release *release);

/* 0 or -EPROTO. own and proven are malloced: release_clear, also on failure. */
int release_decode(struct reader *r, struct release *release);
void release_clear(struct release *release);

void release_result_encode(struct buffer *b, const struct release_result *result);

/* 0 or -EPROTO: texts that can be shown, and no more locks than there are bytes for. The caller's
 * on success: release_result_close. */
int release_result_decode(struct reader *r, struct release_result *result);

#endif
