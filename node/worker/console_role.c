/* A console's worker, in the child. It may be killed at any time: it only reads. */
#include <stddef.h>

#include "node/worker/console_wire.h"
#include "node/worker/worker_main.h"

static int role_open(void **state, const char *argument, struct err *err)
{
	*state = NULL;
	return 0;
}

static int role_serve(void *state, struct reader *request, struct buffer *answer, struct err *err)
{
	struct console_query query;
	struct console_sight sight;
	int result = console_query_decode(request, &query);
	if (result)
		return err_set(err, result, "a request that is none");
	result = console_read(&query, &sight, err);
	if (result)
		return result;
	console_sight_encode(answer, &sight);
	console_sight_close(&sight);
	return 0;
}

const struct worker_role console_role = {.name = "console", .open = role_open, .serve = role_serve};
