/* The simulated guard and the floating address of a node.
 *
 * The address is off at the end of the lease that the guard was last told of,
 * whatever the daemon does; before that, taking it up and off takes its time. A
 * guard whose daemon is gone uses all the time it has, so that whoever did
 * not wait for the lease is found out. */
#ifndef TOOLS_SIM_GUARD_H
#define TOOLS_SIM_GUARD_H

#include "node/primary/coordinator.h"
#include "tools/sim/world.h"

struct sim_guard {
	bool held; /* it is on the device */
	bool coming, leaving; /* under way */
	uint64_t change; /* rises with every change of mind: what was under way is void */
	uint64_t until_ms; /* this node's clock: the lease */
};

/* The daemon wants it, and has the lease until then on this node's clock. */
void sim_guard_hold(struct sim_node *n, uint64_t until_ms);
void sim_guard_let_go(struct sim_node *n);
void sim_guard_orphan(struct sim_node *n); /* the daemon is gone */
void sim_guard_off(struct sim_node *n); /* the machine is */
struct holding sim_guard_holding(const struct sim_node *n);

#endif
