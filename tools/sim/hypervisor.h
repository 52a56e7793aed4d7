/* The simulated hypervisor of a node: one worker, one request at a time; VMs
 * outlive the daemon, not the machine. */
#ifndef TOOLS_SIM_HYPERVISOR_H
#define TOOLS_SIM_HYPERVISOR_H

#include "node/vm/plan.h"
#include "tools/sim/world.h"

enum sim_vm_state { SIM_VM_OFF, SIM_VM_STARTING, SIM_VM_RUNNING };

struct sim_vm {
	char uuid[37];
	enum sim_vm_state state;
	bool noted; /* a start of it is not certain yet: node/vm/starting.h */
};

struct sim_hypervisor {
	struct sim_vm *vms; /* owned */
	unsigned count, capacity;
	uint64_t hung_until_ms;
	uint64_t worker_free_ms;
	uint64_t look_ms; /* when the next look is due */
	bool looking;
	uint64_t look_number; /* the agent's, of that look */
	uint64_t boot; /* rises with every power off: what was begun before is forgotten */
};

void sim_hypervisor_act(struct sim_node *n, const struct action *action);
/* Look at all VMs once a second, when the worker is free. */
void sim_hypervisor_look(struct sim_node *n);
void sim_hypervisor_hasten(struct sim_node *n); /* the next look comes soon */
void sim_hypervisor_restart(struct sim_node *n); /* the daemon's end of it; VMs go on */
void sim_hypervisor_off(struct sim_node *n); /* the machine's */

struct sim_vm *sim_hypervisor_vm(struct sim_node *n, const char *uuid); /* NULL: not there */

#endif
