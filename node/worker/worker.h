/* One worker process, as the loop that uses it sees it.
 *
 * A foreign library can block for ever, and only killing its process cures
 * that. So its calls are made by a child: this very binary executed again in a
 * role (node/worker/worker_main.h), one request at a time over a socket pair. A child
 * that answers too late or not at all is killed, reaped and started again,
 * after 100 ms at first and 5 s at most while it does not answer anything.
 *
 * Every request is answered once: there is no silence and no second answer.
 * What a killed child was about to do may or may not have happened. */
#ifndef NODE_WORKER_WORKER_H
#define NODE_WORKER_WORKER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define WORKER_QUEUE_MAX   256u /* requests that wait behind the one at work */
#define WORKER_FRAME_MAX   (16u << 20) /* bytes of one request or answer */
#define WORKER_BACKOFF_MIN 100u /* ms */
#define WORKER_BACKOFF_MAX 5000u /* ms */

struct worker;

enum worker_event {
	WORKER_STARTED,
	WORKER_KILLED, /* by us: a request ran past its deadline, or an answer made no sense */
	WORKER_EXITED, /* by itself, or somebody else killed it */
	WORKER_FAILED, /* could not be started */
};

struct worker_options {
	uv_loop_t *loop;
	const char *role; /* copied */
	const char *name; /* what it is called in texts; copied; NULL: as its role */
	const char *argument; /* what the role needs to open; copied; everybody can see it in ps */
	/* For the log; may be NULL. Must not close the worker. */
	void (*told)(void *data, enum worker_event event, const char *text);
	void *data;
};

struct worker_answer {
	int status; /* 0 or a negative errno */
	const char *text; /* why not 0; "" when there is nothing to say */
	const uint8_t *bytes; /* the role's; valid during the call only */
	size_t size;
};

struct worker_request {
	const char *what; /* a literal, for the log with debug; NULL: a request */
	const void *bytes; /* copied */
	size_t size;
	/* How long it may wait for its turn and, from then on, how long the child may
	 * take for it: a request is never killed for the time another one used up. */
	unsigned deadline_ms;
	/* Never called from within worker_request. Besides what the role answers:
	 * -ETIMEDOUT, -EPIPE (the child died over it, or worker_close cut it off),
	 * -EPROTO (its answer made no sense), -ECANCELED (worker_close: the child
	 * was never told of it). */
	void (*done)(void *data, const struct worker_answer *answer);
	void *data;
};

struct worker_status {
	int pid; /* 0: none at the moment */
	unsigned waiting; /* requests, without the one at work */
	uint64_t busy_ms; /* how long the one at work has been there; 0: none */
	uint64_t answer_age_ms; /* since the last answer; UINT64_MAX: there was none */
	unsigned answer_took_ms; /* the last answer, from the child's turn to the answer */
	uint64_t starts;
	uint64_t kills;
	uint64_t exits;
};

/* Starts the child at once; when that fails it is tried again for ever. */
struct worker *worker_new(const struct worker_options *options);

/* 0: done will be called. -EAGAIN: the queue is full, -EMSGSIZE: too large,
 * -ECANCELED: closing; done will not be called. */
int worker_request(struct worker *w, const struct worker_request *request);

struct worker_status worker_status(const struct worker *w);

/* Requests that wait get -ECANCELED, the one at work -EPIPE; the child may finish that for a
 * second, then it is killed. closed is called last, from the loop; w is freed after it. */
void worker_close(struct worker *w, void (*closed)(void *data), void *data);

#endif
