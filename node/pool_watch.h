/* The disk pool watched: a look at what its monitors serve once a keepalive interval, on every
 * node; on the primary alone also what its manager serves, and what of both is new goes into the
 * log, one entry an interval at most.
 *
 * Two workers, so that a manager that hangs does not hold up what the monitors say. Who does not
 * answer costs the age of what it said last, and nothing else. */
#ifndef NODE_POOL_WATCH_H
#define NODE_POOL_WATCH_H

#include <uv.h>

#include "node/agent.h"
#include "node/config/config.h"
#include "node/operation/context.h"

struct pool_watch;

struct pool_watch_options {
	uv_loop_t *loop;
	const struct config *config;
	const struct context *context;
	struct agent *agent; /* is told of the collectors pool and manager, and of its OSDs */
	void (*changed)(void *data); /* pool_watch_turn is due */
	void *data;
};

int pool_watch_open(
    struct pool_watch **w, const struct pool_watch_options *options, struct err *err);

/* Ask and tell what is due; returns when it is time again. */
uint64_t pool_watch_turn(struct pool_watch *w, uint64_t now_ms);

/* The agent is left alone from here on; closed comes from the loop, perhaps within the call. */
void pool_watch_close(struct pool_watch *w, void (*closed)(void *data), void *data);

#endif
