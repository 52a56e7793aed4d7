/* A seed: random faults and people at work, then peace, then what must be so.
 *
 * Two kinds. Without VMs it is about the log: writers whose answers are counted, a few VMs, half a
 * minute. With some it is about them: steps, each of which is one request of a person or one
 * fault, over five nodes. */
#ifndef TOOLS_SIM_CHAOS_H
#define TOOLS_SIM_CHAOS_H

#include "tools/sim/user.h"
#include "tools/sim/world.h"

enum chaos_trace {
	CHAOS_QUIET, /* none is made */
	CHAOS_KEEP, /* in the result */
	CHAOS_PRINT, /* to standard output, line by line */
};

struct chaos_options {
	uint64_t seed;
	enum chaos_trace trace;
	unsigned vms, steps; /* 0 vms: the first kind */
};

struct chaos {
	struct world world;
	struct users users;
	unsigned vms, steps_left;
	bool hurries; /* blow upon blow, for a while */
	unsigned focus, focus_left; /* so many steps are about that VM and its nodes */
};

struct chaos_result {
	char failure[512]; /* "" when everything held */
	unsigned acknowledged, retried, takeovers;
	uint64_t migrations, arrivals; /* begun by some hypervisor; that ended in another */
	struct buffer trace; /* owned; empty unless it was to be kept */
};

/* Play one seed. */
void chaos_play(const struct chaos_options *options, struct chaos_result *result);

#endif
