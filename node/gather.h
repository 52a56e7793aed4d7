/* Asking many nodes the same at once: an operation goes to each of them over the members'
 * connections, and the answers come back together, when all are there or at the deadline.
 *
 * Who does not answer is among them, with why: not connected, too late, or in its own words. */
#ifndef NODE_GATHER_H
#define NODE_GATHER_H

#include "node/operation/operation.h"

#define GATHER_NODES_MAX  256
#define GATHER_TIMEOUT_MS 2000

struct gather;

struct gather_answer {
	struct gather *gather;
	uint32_t node;
	json_t *result; /* the gatherer's; NULL: there is none, and why says so */
	char why[256];
};

struct gather {
	const struct context *context;
	struct gather_answer answers[GATHER_NODES_MAX]; /* in the order of the ids */
	unsigned count, missing;
	void (*done)(void *data, struct gather *gather);
	void *data;
};

struct gather *gather_new(const struct context *context);
void gather_free(struct gather *gather);

void gather_add(struct gather *gather, uint32_t node); /* one that is there stays there once */
/* All members: those of the value, and of the log's configuration. */
void gather_add_members(struct gather *gather);

/* Ask each of them, once. done is called once, perhaps at once; then the gather is its to free.
 * The call stays the caller's. */
void gather_ask(struct gather *gather, const struct operation_call *call,
    void (*done)(void *data, struct gather *gather), void *data);

#endif
