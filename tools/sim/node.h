/* One simulated machine: power, daemon, guard, hypervisor, clock. */
#ifndef TOOLS_SIM_NODE_H
#define TOOLS_SIM_NODE_H

#include "tools/sim/disk.h"
#include "tools/sim/world.h"

enum sim_vm_state { SIM_VM_OFF, SIM_VM_STARTING, SIM_VM_RUNNING };

struct sim_vm {
	char uuid[37];
	enum sim_vm_state state;
	uint64_t life; /* of the machine when it was begun: a reboot forgets it */
};

enum request_kind { /* in the top byte of a request's number */
	REQUEST_NONE,
	REQUEST_HELLO,
	REQUEST_FACT, /* low bytes: number of the fact */
	REQUEST_READ, /* low bytes: acknowledged index when it was asked */
	REQUEST_JOIN, /* low bytes: the node that joins */
	REQUEST_FENCE, /* low bytes: the node */
	REQUEST_MEMBER, /* raft's configuration */
	REQUEST_OPERATION, /* of a scenario: low bytes: its line */
};

struct sim_node {
	struct world *world;
	unsigned id; /* number in the world; its id in the value is assigned by join */
	uint32_t raft_id; /* 0: has not joined */
	bool powered, daemon;
	uint64_t life; /* rises with every crash of the machine or its daemon */
	uint64_t paused_until_ms;
	int drift_ppm;
	struct replica *replica;
	struct cluster value;
	struct agent agent;
	struct sim_disk disk;
	uint64_t client, sequence; /* of this daemon */
	uint64_t wake_ms;
	/* Hypervisor: one worker, one request at a time. */
	struct sim_vm *vms;
	unsigned vm_count, vm_capacity;
	uint64_t hung_until_ms;
	uint64_t worker_free_ms;
	uint64_t list_ms; /* when the next look is due */
	bool list_busy;
	/* The guard and the floating address. */
	bool address; /* it is on the device */
	bool address_coming;
	uint64_t guard_until_ms; /* this node's clock: the lease that the guard knows */
	bool was_hold;
	uint64_t member_ms; /* when the last membership change was asked for */
	bool fence_pending; /* somebody vouched that it is off: it must stay so */
};

struct sim_node *sim_node_add(struct world *w);
void sim_node_free(struct sim_node *n);

void sim_node_power(struct sim_node *n, bool on);
void sim_node_daemon(struct sim_node *n, bool on); /* off: kill -9 */
void sim_node_pause(struct sim_node *n, uint64_t ms); /* SIGSTOP of the daemon */
void sim_node_hang(struct sim_node *n, uint64_t ms); /* its hypervisor */

/* This node's monotonic clock. */
uint64_t sim_node_clock(const struct sim_node *n);

/* Bytes from another node have arrived. */
void sim_node_receive(struct sim_node *n, unsigned from, const uint8_t *bytes, size_t size);
void sim_node_written(struct sim_node *n, uint64_t ticket, int status);
void sim_node_lost(struct sim_node *n, unsigned member);

/* Propose as this node's daemon. kind and number come back in the answer. */
void sim_node_propose(
    struct sim_node *n, struct command *command, enum request_kind kind, uint64_t number);
void sim_node_read(struct sim_node *n);

/* Something may have changed: judge, act, and see when to wake next. */
void sim_node_settle(struct sim_node *n);

struct sim_vm *sim_node_vm(struct sim_node *n, const char *uuid); /* NULL: not there */
struct sim_node *sim_node_by_raft_id(const struct world *w, uint64_t raft_id);

#endif
