/* Asking another node: an operation that only that node can answer, such as for
 * the last lines of its log, goes to it over the members' connections.
 *
 * Only what everybody may read is answered to other nodes, and the few operations that
 * members may ask of each other (struct operation). An answer that does
 * not come in time is -ETIMEDOUT; one that was lost is asked for by nobody. */
#ifndef NODE_CONTROL_FORWARD_H
#define NODE_CONTROL_FORWARD_H

#include "node/operation/operation.h"

/* The first bytes of what goes between nodes: raft's own frames have others. */
#define FORWARD_ASK_MARK      0x4f
#define FORWARD_ANSWER_MARK   0x41
#define FORWARD_UNDER_WAY_MAX 512
#define FORWARD_TIMEOUT_MS    5000
#define FORWARD_MESSAGE_MAX   (3u << 20) /* bytes: none given to send is larger */

struct forward;

struct forward_options {
	const struct context *context; /* in which others' questions are answered */
	void (*send)(void *data, uint64_t to, const uint8_t *bytes, size_t size);
	void *data;
};

struct forward *forward_new(const struct forward_options *options);
void forward_free(struct forward *f); /* whoever waits is answered -ETIMEDOUT */

/* done is called once, perhaps at once. The call stays the caller's. */
void forward_ask(struct forward *f, uint32_t node, const struct operation_call *call,
    operation_done done, void *data);

/* A frame that begins with one of the marks. Any bytes. */
void forward_received(struct forward *f, uint64_t from, const uint8_t *bytes, size_t size);

/* Time passes; returns when it must be called again at the latest. */
uint64_t forward_turn(struct forward *f, uint64_t now_ms);

#endif
