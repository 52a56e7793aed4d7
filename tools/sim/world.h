/* A whole cluster in one thread, played from one seed.
 *
 * Every node runs the real replica (libraft's core), the real value and the
 * real agent; only what lies behind their ports is simulated: network, disk,
 * hypervisor, guard, clocks and power. Time jumps from event to event. The same
 * seed plays the same, to the byte. What must never be is looked for by verify.h. */
#ifndef TOOLS_SIM_WORLD_H
#define TOOLS_SIM_WORLD_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/cluster.h"
#include "node/agent.h"
#include "raft/replica.h"
#include "tools/sim/events.h"

#define WORLD_NODES_MAX 16 /* nodes are 1 .. WORLD_NODES_MAX */

#define WORLD_HEARTBEAT_MS    50
#define WORLD_ELECTION_MS     300
#define WORLD_ELECTION_MS_MAX 1200 /* of nodes that are not set alike */
#define WORLD_LEASE_MS	      240
#define WORLD_KEEPALIVE_MS    1000
#define WORLD_DRIFT_PPM	      500 /* a clock that is worse is broken */

struct sim_node;

struct world_options {
	uint64_t seed;
	unsigned nodes;
	unsigned coordinators; /* the first so many */
	uint32_t witnesses; /* a bit for each node that is one, and then no coordinator */
	unsigned founders; /* nodes up to this one join at the start, the others by world_join() */
	unsigned drop_permille, double_permille; /* of messages */
	unsigned late_permille; /* of messages: they take up to LATE_MS_MAX (network.c) */
	unsigned delay_ms_max; /* each takes 1 .. that */
	unsigned drift_ppm_max; /* of clocks, to either side */
	bool unlike; /* nodes are not set alike, and set anew at every start */
	bool quiet; /* no trace */
	bool printed; /* the trace goes to standard output, line by line */
	size_t snapshot_log_bytes; /* 0: raft/replica.h's */
	uint64_t replace_after_ms; /* of silence, until a voter is gone for good; 0: ten minutes */
	unsigned patience_ms; /* how long a daemon waits for the answer to a proposal */
};

enum ask_kind { /* in the top byte of a request's number */
	ASK_NONE,
	ASK_HELLO,
	ASK_JOIN, /* low bytes: the node that joins */
	ASK_FENCE, /* low bytes: the node */
	ASK_MEMBER, /* raft's configuration */
	ASK_USER, /* of whoever plays: low bytes are his */
	ASK_READ, /* the same, of a linearizable read */
};

/* What one request was answered. */
struct sim_answer {
	struct sim_node *node; /* through which it was asked */
	enum ask_kind kind; /* ASK_USER or ASK_READ */
	uint64_t number;
	int result;
	uint64_t index;
};

struct world {
	struct world_options options;
	uint64_t now_ms;
	uint64_t random;
	struct events events;
	uint64_t counted_s; /* events of this second are... */
	unsigned counted; /* ...so many up to now */
	struct sim_node *nodes[WORLD_NODES_MAX + 1];
	unsigned node_count;
	bool cut[WORLD_NODES_MAX + 1][WORLD_NODES_MAX + 1]; /* [from][to]: nothing passes */
	uint64_t traced_index; /* highest entry whose commands were traced, as... */
	unsigned traced_by; /* ...this node applied it first */
	struct verify *verify;
	struct guests *guests; /* guest.h */
	uint64_t calls; /* to migrate, of some daemon */
	uint64_t migrations, arrivals; /* begun by some libvirt; that ended well */
	bool peace; /* no fault begins any more */
	unsigned fences; /* somebody vouched for them; counted with a trace alone */
	void (*answered)(struct world *w, const struct sim_answer *answer);
	/* A VM stops at source, or is whole at target: NULL, or whoever plays wants to know. */
	void (*moment)(struct world *w, unsigned source, unsigned target);
	void *player; /* chaos or scenario: for both */
	struct buffer trace;
	char failure[512]; /* the first thing that went wrong; "" while nothing did */
};

/* Node 1 founds the cluster, the other founders join it. */
void world_init(struct world *w, const struct world_options *options);
void world_close(struct world *w);

/* Let a node that has no place in the cluster join it: asked again until it has. */
void world_join(struct world *w, unsigned node);

/* Let time pass until until_ms, or until something goes wrong. */
void world_run(struct world *w, uint64_t until_ms);

/* 0 .. below-1, from the seed. */
uint64_t world_random(struct world *w, uint64_t below);

void world_at(struct world *w, uint64_t time_ms, event_run run, unsigned node, uint64_t number);

/* A line of the trace: "  12.345  n1   text". node 0: the log or the world. */
void world_trace(struct world *w, unsigned node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Something that must never be. The first one counts. */
void world_fail(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool world_is_witness(const struct world *w, unsigned node);
/* How many of the log's members will vote once all of them have joined. */
unsigned world_voters_wanted(const struct world *w);

/* The node that is primary in the newest value there is, whose leader it is and that holds
 * the floating address; 0: none. */
unsigned world_primary(const struct world *w);

#endif
