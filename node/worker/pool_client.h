/* The disk pool as the daemon sees it: calls that answer later.
 *
 * The port's functions (storage/pool.h) with a deadline and a callback, served by a worker. Each
 * done is called once, from the loop. One client is one worker, and that one connection: what must
 * not wait for the manager's answers needs another client than they have. */
#ifndef NODE_WORKER_POOL_CLIENT_H
#define NODE_WORKER_POOL_CLIENT_H

#include <uv.h>

#include "fsm/err.h"
#include "fsm/record.h"
#include "node/worker/worker.h"
#include "storage/release.h"

struct pool_client;

struct pool_client_options {
	uv_loop_t *loop;
	const char *name; /* of its worker in texts; copied; NULL: pool */
	const char *driver; /* rbd, sim */
	/* Copied. timeout_s had better be less than the deadlines: what is known when a daemon
	 * stops answering is then told, where a killed worker tells nothing. */
	struct pool_options pool;
	void (*told)(void *data, enum worker_event event, const char *text); /* worker_options */
	void *data;
};

/* What a look or a measurement gave; valid during the call only. done may take the lists: it
 * then leaves an empty view. */
struct pool_sight {
	int status;
	const struct err *err; /* set when status is not 0 */
	struct ceph_view view;
};

struct pool_client *pool_client_new(const struct pool_client_options *options);

/* Both: 0, or what worker_request returns, and then done is not called. */
int pool_look(struct pool_client *c, unsigned deadline_ms,
    void (*done)(void *data, struct pool_sight *sight), void *data);
int pool_measure(struct pool_client *c, unsigned deadline_ms,
    void (*done)(void *data, struct pool_sight *sight), void *data);

/* What became of a release; result is valid during the call only. */
struct pool_released {
	int status;
	const struct err *err; /* set when status is not 0 */
	const struct release_result *result; /* set when it is 0 */
};

/* As pool_look. */
int pool_release(struct pool_client *c, const struct release *release, unsigned deadline_ms,
    void (*done)(void *data, const struct pool_released *released), void *data);

struct worker_status pool_client_status(const struct pool_client *c);

/* As worker_close; c is freed after closed. */
void pool_client_close(struct pool_client *c, void (*closed)(void *data), void *data);

#endif
