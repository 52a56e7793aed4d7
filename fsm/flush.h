/* Node flush and ready: everything that runs on a node goes elsewhere, and comes back.
 *
 * Levels, at each tick: whatever is wanted on and on a node that is to be flushed moves on as a
 * migration (migration.h), the most important first; the node is flushed when nothing is left.
 * ready brings back what a flush moved away and starts what one shut down, and is done when there
 * is nothing more to bring. Either may be asked for while the other is under way. */
#ifndef FSM_FLUSH_H
#define FSM_FLUSH_H

#include "fsm/cluster.h"

void flush_tick(struct cluster *c);

/* How many VMs are still to leave a node that is to be flushed, or to come back to one that gets
 * ready; 0 when it is neither. */
unsigned flush_left(const struct cluster *c, const struct node *node);

#endif
