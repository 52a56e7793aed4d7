/* The state hashes of the last entries, to find a replica that has diverged.
 *
 * A tick carries the leader's hash at some index; a replica that had another
 * one there is not the same machine any more (a bug, bad memory) and must stop
 * acting. Of this replica alone: not part of the value. */
#ifndef FSM_HISTORY_H
#define FSM_HISTORY_H

#include "fsm/cluster.h"

void history_note(struct cluster *c);
void history_compare(struct cluster *c, uint64_t index, uint64_t hash);

/* The index at which this replica was found to differ; 0: it was not. */
uint64_t history_diverged_at(const struct cluster *c);

/* The hash of the value after the operations of that entry: 0, or -ENOENT: it had none, or is
 * too long ago. */
int history_hash_at(const struct cluster *c, uint64_t index, uint64_t *hash);

/* Before this index no hash is known; 0: none is. */
uint64_t history_oldest(const struct cluster *c);

#endif
