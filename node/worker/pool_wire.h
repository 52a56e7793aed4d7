/* Requests to the pool's worker and its answers, as bytes.
 *
 * Both ends are this binary, so there is no version in it; the parent still
 * trusts nothing a child sends, for a foreign library lives in it. */
#ifndef NODE_WORKER_POOL_WIRE_H
#define NODE_WORKER_POOL_WIRE_H

#include "fsm/buffer.h"
#include "fsm/record.h"
#include "storage/pool.h"

enum pool_op {
#define POOL_OP(name) POOL_##name,
#include "node/worker/pool_op.def"
#undef POOL_OP
	POOL_OPS
};

/* What the worker opens, as one argument of its command line; b ends with its NUL. */
void pool_argument_encode(struct buffer *b, const char *driver, const struct pool_options *options);

struct pool_argument {
	char driver[16];
	char *texts; /* what options points to, to be freed */
	struct pool_options options;
};

/* 0, or -EPROTO, and then there is nothing to be freed. */
int pool_argument_decode(struct pool_argument *a, const char *argument);

/* The head of a request; what follows it is the operation's own. POOL_OPS: it is none. */
void pool_op_encode(struct buffer *b, enum pool_op op);
enum pool_op pool_op_decode(struct reader *r);

void pool_view_encode(struct buffer *b, const struct ceph_view *view);

/* 0, or -EPROTO, and then there is nothing to be freed: lists in order of id, no more than
 * the value has room for, texts that can be shown, and nothing in the place of what is not
 * known. The caller's on success: record_clear. */
int pool_view_decode(struct reader *r, struct ceph_view *view);

#endif
