/* The pool's worker, in the child: requests become calls of the port. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/buffer.h"
#include "node/worker/pool_wire.h"
#include "node/worker/release_wire.h"
#include "node/worker/worker_main.h"
#include "storage/pool.h"

struct role {
	const struct pool_port *port;
	struct pool *pool;
};

static const struct pool_port *const ports[] = {&pool_rbd, &pool_sim};

/* argument: pool_argument_encode */
static int role_open(void **state, const char *argument, struct err *err)
{
	struct pool_argument a;
	if (pool_argument_decode(&a, argument) != 0)
		return err_set(err, -EINVAL, "an argument that is none: '%s'", argument);
	int rc = err_set(err, -EINVAL, "no pool driver '%s'", a.driver);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (strcmp(ports[i]->name, a.driver) != 0)
			continue;
		struct pool *pool;
		rc = ports[i]->open(&pool, &a.options, err);
		if (rc != 0)
			break;
		struct role *role = must_alloc(sizeof(*role));
		*role = (struct role){.port = ports[i], .pool = pool};
		*state = role;
		break;
	}
	free(a.texts);
	return rc;
}

static int serve_view(struct role *role, struct buffer *answer, struct err *err,
    int (*ask)(struct pool *pool, struct ceph_view *view, struct err *err))
{
	struct ceph_view view;
	int rc = ask(role->pool, &view, err);
	if (rc != 0)
		return rc;
	pool_view_encode(answer, &view);
	record_clear(ceph_view_record(), &view);
	return 0;
}

static int serve_release(
    struct role *role, struct reader *request, struct buffer *answer, struct err *err)
{
	struct release release;
	struct release_result result = {0};
	int rc = release_decode(request, &release);
	if (rc == 0)
		rc = release_locks(role->port, role->pool, &release, &result, err);
	else
		err_set(err, rc, "a request that is none");
	if (rc == 0)
		release_result_encode(answer, &result);
	release_result_close(&result);
	release_clear(&release);
	return rc;
}

static int role_serve(void *state, struct reader *request, struct buffer *answer, struct err *err)
{
	struct role *role = state;
	switch (pool_op_decode(request)) {
	case POOL_look:
		return serve_view(role, answer, err, role->port->look);
	case POOL_measure:
		return serve_view(role, answer, err, role->port->measure);
	case POOL_release:
		return serve_release(role, request, answer, err);
	case POOL_OPS:
		break;
	}
	return err_set(err, -EPROTO, "no such operation");
}

const struct worker_role pool_role = {.name = "pool", .open = role_open, .serve = role_serve};
