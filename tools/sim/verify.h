/* What must never be, looked for at every step of the world.
 *
 * Each looks at the moment it is called at; what it must remember (who led in
 * which term, what was told to whom, the hash at each index) is kept here and
 * survives the crash of any node. The first thing found fails the world. */
#ifndef TOOLS_SIM_VERIFY_H
#define TOOLS_SIM_VERIFY_H

#include "tools/sim/world.h"

struct verify *verify_new(void);
void verify_free(struct verify *v);

/* Somebody took an address up: it has one holder. */
void verify_holders(struct world *w);

/* n begins to start a VM: it must be in touch with a leader, and not behind it. */
void verify_starts(struct sim_node *n);

/* n sends a message: what it says by that of its term and vote must survive its crash, and agree
 * with what it said before. */
void verify_sends(struct sim_node *n, uint64_t to, const uint8_t *bytes, size_t size);

/* n starts anew from what its disk holds. */
void verify_opened(struct sim_node *n);

/* n's replica had a turn: nobody else led in its term; equal index, equal hash. */
void verify_turn(struct sim_node *n);

/* n is about to apply an operation of entry index; the one before it is whole. */
void verify_before(struct sim_node *n, uint64_t index);
/* n applied it: the value is sound, no epoch came back or had another primary. */
void verify_applied(struct sim_node *n, uint64_t index);

/* n told somebody that what is at index is done: it is applied here, and most voters have it. */
void verify_acknowledged(struct sim_node *n, uint64_t index);

#endif
