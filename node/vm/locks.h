/* Frees the locks on a VM's volumes, in the order that makes it safe: first the
 * hypervisor is asked whether the VM runs here, only then the pool.
 *
 * The pool is asked through a worker of its own, so that one that hangs holds up
 * neither a look at the pool nor anything of the hypervisor's; it is started when
 * it is needed for the first time. Orders are carried out as they come. */
#ifndef NODE_VM_LOCKS_H
#define NODE_VM_LOCKS_H

#include <uv.h>

#include "node/config/config.h"
#include "node/worker/hypervisor_client.h"
#include "storage/release.h"

/* Orders at a time. */
#define LOCKS_UNDER_WAY_MAX 32

struct locks;

struct locks_options {
	uv_loop_t *loop;
	const struct config *config;
	struct hypervisor_client *hypervisor; /* the caller's */
	unsigned list_deadline_ms; /* of the hypervisor, with all that it has to do before */
};

struct locks_outcome {
	int status; /* 0, -EBUSY: it runs here, or another negative errno */
	const struct err *err; /* set when status is not 0 */
	const struct release_result *result; /* set when it is 0; valid during the call only */
};

struct locks_order {
	const char *uuid;
	const struct volumes *volumes;
	const char *proven; /* as release.h has it */
	enum release_extent extent;
	/* Is it still wanted, now that the hypervisor has answered? 0, or why not. NULL: it is. */
	int (*check)(void *data, struct err *err);
	/* Called once, perhaps within locks_release. */
	void (*done)(void *data, const struct locks_outcome *outcome);
	void *data;
};

struct locks *locks_new(const struct locks_options *options);

/* 0: done is called. -EAGAIN: there are LOCKS_UNDER_WAY_MAX; it is not. */
int locks_release(struct locks *l, const struct locks_order *order);

/* Everybody who waits is answered -ECANCELED now. */
void locks_cancel(struct locks *l);

/* The hypervisor's client must be closed before: so none of its answers is still to come. Orders
 * that are not done get -ECANCELED. closed comes last, perhaps within the call; l is freed then. */
void locks_close(struct locks *l, void (*closed)(void *data), void *data);

#endif
