/* A seed: random faults and a client's work, then peace, then what must be so. */
#ifndef TOOLS_SIM_CHAOS_H
#define TOOLS_SIM_CHAOS_H

#include "tools/sim/world.h"

struct chaos_result {
	char failure[512]; /* "" when everything held */
	unsigned acknowledged, takeovers;
	struct buffer trace; /* owned; empty when quiet */
};

/* Play one seed. With quiet set no trace is kept. */
void chaos_play(uint64_t seed, const struct world_options *base, struct chaos_result *result);

#endif
