/* The bytes of all facts and XML: bounded, because the whole value must fit into
 * a snapshot that is sent to a newcomer. Only for fsm/. */
#ifndef FSM_BLOBS_H
#define FSM_BLOBS_H

#include "fsm/cluster.h"

/* May `come` bytes take the place of `gone` ones? 0, or -ENOSPC with err. */
int blobs_room(const struct cluster *c, uint64_t gone, uint64_t come, struct err *err);

/* They did. */
void blobs_replaced(struct cluster *c, uint64_t gone, uint64_t come);

/* Counted anew. */
uint64_t blobs_count(const struct cluster *c);

#endif
