#include "node/worker/pool_client.h"

#include <stdlib.h>

#include "node/worker/pool_wire.h"
#include "node/worker/release_wire.h"

struct pool_client {
	struct worker *worker;
	void (*closed)(void *data);
	void *closed_data;
};

struct pending_sight {
	void (*done)(void *data, struct pool_sight *sight);
	void *data;
};

static const char *const op_names[] = {
#define POOL_OP(name) [POOL_##name] = #name,
#include "node/worker/pool_op.def"
#undef POOL_OP
};

struct pool_client *pool_client_new(const struct pool_client_options *options)
{
	struct pool_client *c = must_alloc(sizeof(*c));
	struct buffer argument = {0};
	pool_argument_encode(&argument, options->driver, &options->pool);
	c->worker = worker_new(&(struct worker_options){
	    .loop = options->loop,
	    .role = "pool",
	    .name = options->name,
	    .argument = (const char *)argument.data,
	    .told = options->told,
	    .data = options->data,
	});
	buffer_close(&argument);
	return c;
}

static void on_seen(void *data, const struct worker_answer *answer)
{
	struct pending_sight *pending = data;
	struct err err = {""};
	struct pool_sight sight = {.status = answer->status, .err = &err};
	if (sight.status == 0) {
		struct reader r = reader_of(answer->bytes, answer->size);
		sight.status = pool_view_decode(&r, &sight.view);
		if (sight.status != 0)
			err_set(&err, 0, "the pool's worker sent a view that is none");
	} else {
		err_set(&err, 0, "%s", answer->text);
	}
	pending->done(pending->data, &sight);
	record_clear(ceph_view_record(), &sight.view);
	free(pending);
}

static int sight_ask(
    struct pool_client *c, enum pool_op op, unsigned deadline_ms, struct pending_sight pending)
{
	struct buffer bytes = {0};
	struct pending_sight *kept = must_alloc(sizeof(*kept));
	*kept = pending;
	pool_op_encode(&bytes, op);
	int rc = worker_request(c->worker, &(struct worker_request){.what = op_names[op],
					       .bytes = bytes.data,
					       .size = bytes.size,
					       .deadline_ms = deadline_ms,
					       .done = on_seen,
					       .data = kept});
	buffer_close(&bytes);
	if (rc != 0)
		free(kept);
	return rc;
}

int pool_look(struct pool_client *c, unsigned deadline_ms,
    void (*done)(void *data, struct pool_sight *sight), void *data)
{
	return sight_ask(c, POOL_look, deadline_ms, (struct pending_sight){done, data});
}

int pool_measure(struct pool_client *c, unsigned deadline_ms,
    void (*done)(void *data, struct pool_sight *sight), void *data)
{
	return sight_ask(c, POOL_measure, deadline_ms, (struct pending_sight){done, data});
}

struct pending_release {
	void (*done)(void *data, const struct pool_released *released);
	void *data;
};

static void on_released(void *data, const struct worker_answer *answer)
{
	struct pending_release *pending = data;
	struct err err = {""};
	struct release_result result = {0};
	struct pool_released released = {.status = answer->status, .err = &err, .result = &result};
	if (released.status == 0) {
		struct reader r = reader_of(answer->bytes, answer->size);
		released.status = release_result_decode(&r, &result);
		if (released.status != 0)
			err_set(&err, 0, "the pool's worker sent a list of locks that is none");
	} else {
		err_set(&err, 0, "%s", answer->text);
	}
	pending->done(pending->data, &released);
	release_result_close(&result);
	free(pending);
}

int pool_release(struct pool_client *c, const struct release *release, unsigned deadline_ms,
    void (*done)(void *data, const struct pool_released *released), void *data)
{
	struct buffer bytes = {0};
	struct pending_release *pending = must_alloc(sizeof(*pending));
	*pending = (struct pending_release){done, data};
	pool_op_encode(&bytes, POOL_release);
	release_encode(&bytes, release);
	int rc = worker_request(c->worker, &(struct worker_request){.what = op_names[POOL_release],
					       .bytes = bytes.data,
					       .size = bytes.size,
					       .deadline_ms = deadline_ms,
					       .done = on_released,
					       .data = pending});
	buffer_close(&bytes);
	if (rc != 0)
		free(pending);
	return rc;
}

struct worker_status pool_client_status(const struct pool_client *c)
{
	return worker_status(c->worker);
}

static void on_worker_closed(void *data)
{
	struct pool_client *c = data;
	if (c->closed)
		c->closed(c->closed_data);
	free(c);
}

void pool_client_close(struct pool_client *c, void (*closed)(void *data), void *data)
{
	c->closed = closed;
	c->closed_data = data;
	worker_close(c->worker, on_worker_closed, c);
}
