/* The child's side of a worker: one role, one request at a time.
 *
 * The child leaves only when its parent is gone, by _exit: a foreign library's
 * destructors may block as well. Programs that a role starts and that make
 * themselves daemons (QEMU under libvirt's embedded driver) outlive it. */
#ifndef NODE_WORKER_WORKER_MAIN_H
#define NODE_WORKER_WORKER_MAIN_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"

struct worker_role {
	const char *name;
	/* Before the first request, and again before the next one while it fails; its failure
	 * is the answer to the request. -ENOTRECOVERABLE: to try again takes a new process, so
	 * this one leaves after that answer. *state is the role's own and is never closed. */
	int (*open)(void **state, const char *argument, struct err *err);
	/* One request. Returns the status, and err says why when that is not 0. */
	int (*serve)(void *state, struct reader *request, struct buffer *answer, struct err *err);
};

extern const struct worker_role hypervisor_role, pool_role, console_role;

/* Serve one of roles (NULL ends them) until the parent is gone. argv is
 * "worker" ROLE FD PARENT ARGUMENT, as node/worker/worker.c writes it. Returns only
 * for a wrong argv: the exit status. */
int worker_serve(const struct worker_role *const roles[], int argc, char **argv);

/* The same with pvc's own roles: the applet. */
int worker_main(int argc, char **argv);

#endif
