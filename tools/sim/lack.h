/* What is not yet as it is wanted, some time after the faults have ended.
 *
 * Waited for in peace; what is still lacking at its end is a failure. */
#ifndef TOOLS_SIM_LACK_H
#define TOOLS_SIM_LACK_H

#include "tools/sim/world.h"

struct lack {
	char text[200]; /* "": nothing */
};

struct lack lack_of(struct world *w);

#endif
