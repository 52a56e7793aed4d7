/* The simulated network: loses, delays, doubles, reorders and cuts. */
#ifndef TOOLS_SIM_NETWORK_H
#define TOOLS_SIM_NETWORK_H

#include "tools/sim/world.h"

void network_send(struct world *w, unsigned from, unsigned to, const uint8_t *bytes, size_t size);
/* The kernel of `node` closes its connections: whoever can hear it notices. */
void network_closed(struct world *w, unsigned node);
/* Cut a node off from all others, or mend it. */
void network_cut(struct world *w, unsigned node, bool cut);

#endif
