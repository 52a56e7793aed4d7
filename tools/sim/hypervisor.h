/* The simulated hypervisor of a node: its VMs, libvirt's daemon, and the workers that ask it.
 *
 * Looks have a worker of their own, stops another, starts two; each VM that comes or goes has one
 * (migrate.h). VMs outlive libvirt's daemon and ours, not the machine. What libvirt
 * was asked for goes on when the worker that asked is killed. */
#ifndef TOOLS_SIM_HYPERVISOR_H
#define TOOLS_SIM_HYPERVISOR_H

#include "node/vm/plan.h"
#include "tools/sim/world.h"

enum sim_vm_state {
	SIM_VM_OFF,
	SIM_VM_STARTING,
	SIM_VM_RUNNING, /* the only one in which its CPUs run */
	SIM_VM_TRANSIT, /* stopped: all of it has gone to the target of a migration */
	SIM_VM_INCOMING, /* a copy that is not whole */
	SIM_VM_COPY, /* whole, and paused */
};

struct sim_vm {
	char uuid[37];
	enum sim_vm_state state;
	bool noted; /* a start of it is not certain yet: node/vm/starting.h */
	uint64_t age; /* of its memory: guest.h */
	uint64_t job; /* the migration that it is part of; 0: none */
	uint64_t call; /* the last one to migrate it from here; 0: given up, or none */
	bool aborted; /* that is to end */
	bool resumed; /* somebody asked for it before it was whole: libvirt waits for that */
};

enum sim_lane { LANE_LOOK, LANE_STOP, LANE_START, LANE_START_TOO, LANES };

struct sim_hypervisor {
	struct sim_vm *vms; /* owned */
	unsigned count, capacity;
	uint64_t hung_until_ms;
	uint64_t failing_until_ms; /* what is asked for fails and is not done */
	uint64_t free_ms[LANES]; /* when each worker has answered */
	uint64_t look_ms; /* when the next look is due */
	bool looking;
	uint64_t look; /* the number of that one */
	uint64_t boot; /* rises with every power off: what was begun before is forgotten */
	bool down; /* libvirt's daemon was killed and is not back yet */
	uint64_t served; /* rises each time it is killed */
};

void sim_hypervisor_act(struct sim_node *n, const struct action *action);
/* Look at all VMs once a second, when the worker is free. */
void sim_hypervisor_look(struct sim_node *n);
void sim_hypervisor_hasten(struct sim_node *n); /* that, soon */
/* Calls to migrate of which nothing is to be seen are given up: their workers are killed. */
void sim_hypervisor_give_up(struct sim_node *n);
void sim_hypervisor_restart(struct sim_node *n); /* the daemon's end of it; VMs go on */
void sim_hypervisor_off(struct sim_node *n); /* the machine's */
/* libvirt's daemon dies, and is there again after that. */
void sim_hypervisor_kill(struct sim_node *n, uint64_t ms);
void sim_hypervisor_back(struct sim_node *n); /* at once */
/* QEMU, or the guest itself, ends. Nothing when it is off. */
void sim_hypervisor_crash(struct sim_node *n, struct sim_vm *vm);

/* A migration of it to another node is under way. */
bool sim_hypervisor_moves(const struct sim_vm *vm);
struct sim_vm *sim_hypervisor_vm(struct sim_node *n, const char *uuid); /* NULL: not there */
struct sim_vm *sim_hypervisor_add(struct sim_node *n, const char *uuid); /* found or made */

/* What was begun, and by which daemon of which machine: whom its end is told. */
struct sim_begun {
	struct action action;
	uint64_t life, boot, served;
	uint64_t call; /* of a migration */
	int status; /* once it has ended */
};
/* To the daemon that asked, if it still is the one. */
void sim_hypervisor_answer(struct sim_node *n, const struct sim_begun *begun, int status);

#endif
