/* Actions on VMs: from the plan to the hypervisor's worker and back, and a look
 * at all VMs once an interval. Nothing here decides anything.
 *
 * Before a VM with volumes in the disk pool is started they are freed of what is
 * locked there by a process of this machine that is gone, or by a node that is
 * proven off; it waits for that beside the others. Then the start is planned anew,
 * for meanwhile all may have changed. */
#ifndef NODE_VM_EXECUTE_H
#define NODE_VM_EXECUTE_H

#include <uv.h>

#include "node/agent.h"
#include "node/config/config.h"
#include "node/operation/context.h"
#include "node/vm/freeing.h"

struct execute;

struct execute_options {
	uv_loop_t *loop;
	const struct config *config;
	struct agent *agent; /* is told what was seen and done */
	const struct cluster *cluster; /* where the XML is */
	uint64_t look_every_ms;
	void (*changed)(void *data);
	void *data;
};

int execute_open(struct execute **e, const struct execute_options *options, struct err *err);
void execute_begin(struct execute *e, const struct action *action);

/* -EOPNOTSUPP when this node has no part in the pool. */
void execute_flush(struct execute *e, const struct execute_flush *flush);

/* As context.h has it. */
void execute_validate(struct execute *e, const char *xml, context_checked done, void *data);

/* Look at the VMs as soon as can be. */
void execute_look(struct execute *e);

/* Look at the VMs when it is time; returns when it is time again. */
uint64_t execute_turn(struct execute *e, uint64_t now_ms);
/* The agent is told of what is cut off until closed(data) comes, perhaps within the call; whoever
 * waits for a flush is told at once. */
void execute_close(struct execute *e, void (*closed)(void *data), void *data);

#endif
