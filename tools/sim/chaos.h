/* A seed: random faults and people at work, then peace, then what must be so. */
#ifndef TOOLS_SIM_CHAOS_H
#define TOOLS_SIM_CHAOS_H

#include "tools/sim/user.h"
#include "tools/sim/world.h"

struct chaos {
	struct world world;
	struct users users;
};

struct chaos_result {
	char failure[512]; /* "" when everything held */
	unsigned acknowledged, retried, takeovers;
	struct buffer trace; /* owned; empty unless it was to be kept */
};

enum chaos_trace {
	CHAOS_QUIET, /* none is made */
	CHAOS_KEEP, /* in the result */
	CHAOS_PRINT, /* to standard output, line by line */
};

/* Play one seed. */
void chaos_play(uint64_t seed, enum chaos_trace trace, struct chaos_result *result);

#endif
