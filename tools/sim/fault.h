/* What can happen to a simulated cluster by itself: one fault after another, each of which ends
 * by itself or at the peace. */
#ifndef TOOLS_SIM_FAULT_H
#define TOOLS_SIM_FAULT_H

#include "tools/sim/world.h"

/* One, of n or of the whole. */
void fault_strike(struct world *w, struct sim_node *n);
/* One that hurts most while a VM goes from source to target. */
void fault_between(struct world *w, unsigned source, unsigned target);
/* From now on until then. */
void faults_begin(struct world *w, uint64_t until_ms);
/* Everything is mended at once. */
void faults_end(struct world *w);

#endif
