/* The hypervisor as the daemon sees it: calls that answer later.
 *
 * The port's functions (node/worker/hypervisor.h) with a deadline and a callback,
 * served by a worker, one after the other: a migrate keeps its worker to the end,
 * so its abort goes through another client. Each done is called once, from the
 * loop; -ETIMEDOUT, -EPIPE and -EPROTO mean that the order may or may not have
 * been carried out. */
#ifndef NODE_WORKER_HYPERVISOR_CLIENT_H
#define NODE_WORKER_HYPERVISOR_CLIENT_H

#include <uv.h>

#include "fsm/err.h"
#include "node/worker/hypervisor.h"
#include "node/worker/hypervisor_wire.h"
#include "node/worker/worker.h"

struct hypervisor_client;

struct hypervisor_client_options {
	uv_loop_t *loop;
	const char *driver; /* libvirt, sim */
	const char *uri; /* qemu:///system, qemu:///embed?root=DIR; sim: a directory */
	void (*told)(void *data, enum worker_event event, const char *text); /* worker_options */
	void *data;
};

/* What hypervisor_list found; vms are the client's and valid during the call only. */
struct hypervisor_listing {
	int status;
	const struct err *err; /* set when status is not 0 */
	const struct hypervisor_vm *vms;
	unsigned n;
};

struct hypervisor_order {
	enum hypervisor_op op; /* any but HYPERVISOR_list */
	const char *uuid; /* not for migrate and validate */
	const char *xml; /* for start and validate */
	const struct hypervisor_migration *migration; /* for migrate */
	unsigned deadline_ms;
	void (*done)(void *data, int status, const struct err *err);
	void *data;
};

struct hypervisor_client *hypervisor_client_new(const struct hypervisor_client_options *options);

/* Both: 0, or what worker_request returns, and then done is not called. */
int hypervisor_list(struct hypervisor_client *c, unsigned deadline_ms,
    void (*done)(void *data, const struct hypervisor_listing *listing), void *data);
int hypervisor_order(struct hypervisor_client *c, const struct hypervisor_order *order);

struct worker_status hypervisor_client_status(const struct hypervisor_client *c);

/* As worker_close; c is freed after closed. */
void hypervisor_client_close(struct hypervisor_client *c, void (*closed)(void *data), void *data);

#endif
