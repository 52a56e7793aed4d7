/* One simulated machine: power, daemon, clock; its parts are in files of their own. */
#ifndef TOOLS_SIM_NODE_H
#define TOOLS_SIM_NODE_H

#include "tools/sim/disk.h"
#include "tools/sim/guard.h"
#include "tools/sim/hypervisor.h"
#include "tools/sim/world.h"

struct sim_node {
	struct world *world;
	unsigned id; /* number in the world; its id in the value is assigned by join */
	uint32_t raft_id; /* 0: has not joined */
	bool powered, daemon;
	uint64_t life; /* rises with every start and every crash of the daemon */
	uint64_t paused_until_ms;
	int drift_ppm;
	unsigned election_ms; /* as this daemon was set */
	struct replica *replica; /* NULL: the daemon is down, or could not open its log */
	struct cluster value;
	struct agent agent;
	struct sim_disk disk;
	struct sim_hypervisor hypervisor;
	struct sim_guard guard;
	uint64_t client, sequence; /* of this daemon */
	uint64_t wake_ms;
	uint64_t member_ms; /* when the last membership change was asked for */
	struct err refused; /* why the value refused what it refused last... */
	uint64_t refused_index; /* ...at this index */
	bool spoiled; /* its value is not what its peers have, as bad memory would do it */
	bool fence_pending; /* somebody vouched that it is off: it must stay so */
};

struct sim_node *sim_node_add(struct world *w);
void sim_node_free(struct sim_node *n);

void sim_node_power(struct sim_node *n, bool on);
void sim_node_daemon(struct sim_node *n, bool on); /* off: kill -9 */
/* SIGTERM: the daemon ends in an orderly way, when its VMs on their way have arrived. */
void sim_node_leave(struct sim_node *n);
void sim_node_pause(struct sim_node *n, uint64_t ms); /* SIGSTOP of the daemon */
void sim_node_spoil(struct sim_node *n); /* its value */
void sim_node_hang(struct sim_node *n, uint64_t ms); /* its hypervisor */

/* It has power and its daemon runs, not stopped. */
bool sim_node_runs(const struct sim_node *n);
/* The same, and its log is open. */
bool sim_node_serves(const struct sim_node *n);

/* This node's monotonic clock, and the world's time at which it will show clock_ms (never
 * early). */
uint64_t sim_node_clock(const struct sim_node *n);
uint64_t sim_node_when(const struct sim_node *n, uint64_t clock_ms);

/* Bytes from another node have arrived. */
void sim_node_receive(struct sim_node *n, unsigned from, const uint8_t *bytes, size_t size);
void sim_node_written(struct sim_node *n, uint64_t ticket, int status);
void sim_node_lost(struct sim_node *n, unsigned member);

/* Something may have changed: judge, act, and see when to wake next. */
void sim_node_settle(struct sim_node *n);

struct sim_node *sim_node_by_raft_id(const struct world *w, uint64_t raft_id); /* NULL: none */

#endif
