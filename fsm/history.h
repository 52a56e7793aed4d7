/* The state hashes of the last entries, to find a replica that has diverged.
 *
 * A tick carries the hash that most members had after an earlier entry, the tick before it
 * (node/member/agreement.h); a replica that had another one there is not the same machine any
 * more (a bug, bad memory) and must stop acting. Of this replica alone: not part of the value. */
#ifndef FSM_HISTORY_H
#define FSM_HISTORY_H

#include "fsm/cluster.h"

/* After each operation; and before that, of a tick, that it is one. */
void history_note(struct cluster *c);
void history_tick(struct cluster *c);
/* hash is what most members had after the entry at index; 0: not known. */
void history_compare(struct cluster *c, uint64_t index, uint64_t hash);
/* Most members have another value after that entry than this replica. */
void history_outvoted(struct cluster *c, uint64_t index);

/* The index at which this replica was found to differ; 0: it was not. */
uint64_t history_diverged_at(const struct cluster *c);

/* The last entry with a tick, and the hash of the value after it: 0, or -ENOENT. */
int history_last_tick(const struct cluster *c, uint64_t *index, uint64_t *hash);

/* The hash of the value after the operations of that entry: 0, or -ENOENT: it had none, or is
 * too long ago. */
int history_hash_at(const struct cluster *c, uint64_t index, uint64_t *hash);

/* Before this index no hash is known, but of ticks; 0: none is. */
uint64_t history_oldest(const struct cluster *c);

#endif
