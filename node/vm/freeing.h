/* Freeing a VM's volumes in the disk pool: before it is started, and when a person
 * wants it.
 *
 * A start that has to wait for it is taken from its caller: the agent hears what
 * came of it, and plans the start anew, for meanwhile all may have changed. */
#ifndef NODE_VM_FREEING_H
#define NODE_VM_FREEING_H

#include <stdbool.h>
#include <uv.h>

#include "node/agent.h"
#include "node/config/config.h"
#include "node/vm/locks.h"
#include "node/worker/hypervisor_client.h"

struct freeing;

struct freeing_options {
	uv_loop_t *loop;
	const struct config *config;
	struct agent *agent; /* is told what came of it */
	const struct cluster *cluster; /* where the XML is */
	struct hypervisor_client *hypervisor; /* the caller's, to be asked what runs here */
	unsigned list_deadline_ms; /* of it, with all that it has to do before */
	void (*changed)(void *data);
	void (*hasten)(void *data); /* somebody should look at the VMs soon */
	void *data;
};

/* A person wants the locks on a VM's volumes gone. done is called once, perhaps within the call;
 * -EBUSY: it runs here. */
struct execute_flush {
	const struct vm *vm;
	enum release_extent extent;
	void (*done)(void *data, const struct locks_outcome *outcome);
	void *data;
};

struct freeing *freeing_new(const struct freeing_options *options);

/* Is this a start that has to wait, or is not to be? Then that is seen to. */
bool freeing_holds(struct freeing *f, const struct action *action);

void freeing_flush(struct freeing *f, const struct execute_flush *flush);

/* A flush that cannot even begin: its caller is told. */
void freeing_refuse(const struct execute_flush *flush, int status, const char *text);

/* Whoever waits for a flush is told now; of starts nothing is told any more. */
void freeing_cancel(struct freeing *f);

/* The hypervisor's client must be closed before. closed comes last, perhaps within the call; f is
 * freed then. */
void freeing_close(struct freeing *f, void (*closed)(void *data), void *data);

#endif
