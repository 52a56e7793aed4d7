/* A collector: something that a node measures beside its keepalive, asked of a worker.
 *
 * This keeps its time and its reputation: when it is asked, how long it may take, since when its
 * values are good, how often its worker had to be killed. It tells the agent, which puts that
 * into every keepalive, and the log, one line per change. It never holds anything up: the
 * keepalive goes out with the last values and their age. The caller asks the worker (worker.h),
 * which answers every request once, if need be with -ETIMEDOUT. Loop and clock are the caller's. */
#ifndef NODE_WORKER_COLLECTOR_H
#define NODE_WORKER_COLLECTOR_H

#include "node/agent.h"

/* What one may take at least, however short the interval is. */
#define COLLECTOR_DEADLINE_MIN_MS 500
/* How long before the next keepalive it must be done. */
#define COLLECTOR_SPARE_MS 200

struct collector_options {
	const char *name; /* hypervisor, pool, manager, nic; at most 15 bytes; a literal */
	struct agent *agent; /* is told how it is */
	uint64_t every_ms; /* keepalive_interval */
	uint64_t pause_ms; /* how long it is left alone when it was late; 0: no longer than else */
};

struct collector_watch {
	struct collector_options options;
	enum collector_state state; /* by the last answer; COLLECTOR_NONE: there was none */
	bool asked; /* and not answered yet */
	uint64_t due_ms;
	uint64_t good_ms; /* when its values were last good; 0: never */
	uint64_t kills; /* of its worker, as last told */
};

/* How it was answered. */
struct collector_answer {
	int status; /* 0 or a negative errno; -ETIMEDOUT: late */
	const char *text; /* why not 0 */
	uint64_t kills; /* of its worker, up to now (worker_status) */
};

void collector_open(struct collector_watch *w, const struct collector_options *options);

/* How long one may take that is asked every_ms. */
unsigned collector_deadline_ms(uint64_t every_ms);

/* When it is to be asked: UINT64_MAX while it is asked. */
uint64_t collector_due_ms(const struct collector_watch *w);

/* Something may have changed: it is asked as soon as can be. Not while it is left alone. */
void collector_hasten(struct collector_watch *w);

/* It cannot be asked, for its worker is at something that may take long: without values for so much
 * longer than an interval it is stuck, and why is the reason. Returns when that is to be looked at
 * again. */
#define COLLECTOR_HELD_UP_MS 5000
uint64_t collector_held_up(struct collector_watch *w, const char *why, uint64_t now_ms);

/* It is asked now: returns the deadline for the worker. One that then cannot be asked is
 * answered at once with that error. */
unsigned collector_begin(struct collector_watch *w, uint64_t now_ms);

/* It was answered, whatever it was. Must follow collector_begin. */
void collector_end(
    struct collector_watch *w, const struct collector_answer *answer, uint64_t now_ms);

#endif
