/* The simulated hypervisor of a node: one worker, one request at a time; VMs
 * outlive the daemon, not the machine. */
#ifndef TOOLS_SIM_HYPERVISOR_H
#define TOOLS_SIM_HYPERVISOR_H

#include "tools/sim/node.h"

void sim_hypervisor_act(struct sim_node *n, const struct action *action);
/* Look at all VMs once a second, when the worker is free. */
void sim_hypervisor_look(struct sim_node *n);

#endif
