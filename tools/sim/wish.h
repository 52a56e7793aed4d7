/* What a person may ask of a VM or a node: one request, drawn from all that there are.
 *
 * Asked once, of one node, without looking whether it makes sense: the value refuses what does
 * not. */
#ifndef TOOLS_SIM_WISH_H
#define TOOLS_SIM_WISH_H

#include "tools/sim/node.h"

#define WISH_MEMORY_MIB_MAX 1024 /* of a VM */

/* VM number who: it is defined, when n knows of none. */
void wish_vm(struct sim_node *n, unsigned who);
void wish_uuid(unsigned who, char uuid[37]); /* that it has, or will have */
void wish_start(struct sim_node *n, unsigned who);
/* Some node is to be flushed, or made ready. */
void wish_node(struct sim_node *n);
void wish_ready(struct sim_node *n, uint32_t node); /* that one */

#endif
