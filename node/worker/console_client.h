/* Consoles as the daemon sees them: readings that answer later.
 *
 * The worker is there only while somebody reads: it is started with the first reading and leaves
 * some time after the last. One that hangs, on a file system that is gone, is killed. */
#ifndef NODE_WORKER_CONSOLE_CLIENT_H
#define NODE_WORKER_CONSOLE_CLIENT_H

#include <uv.h>

#include "node/worker/console_file.h"

#define CONSOLE_DEADLINE_MS 3000 /* for its turn, and then for the reading */
#define CONSOLE_IDLE_MS	    30000 /* until the worker leaves */

struct console_client;

struct console_client *console_client_new(uv_loop_t *loop);

/* Called once: never from within console_ask, perhaps from console_client_close. The sight is
 * valid during the call; status is as console_read's, or a worker's (worker.h). */
typedef void (*console_done)(
    void *data, int status, const struct console_sight *sight, const struct err *err);

/* 0, or -EAGAIN: too many are waiting, and done is not called. */
int console_ask(
    struct console_client *c, const struct console_query *query, console_done done, void *data);

/* Whoever waits is answered -ECANCELED within the call; c is freed once the loop has run on. */
void console_client_close(struct console_client *c);

#endif
