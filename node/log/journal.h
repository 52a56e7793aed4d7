/* What came of the last operations that this replica applied: the log holds what was asked
 * for, and this what the machine answered. Bounded, so that of old ones nobody knows. */
#ifndef NODE_LOG_JOURNAL_H
#define NODE_LOG_JOURNAL_H

#include <stdint.h>

#define JOURNAL_LENGTH 16384u

struct journal; /* about 256 KiB, touched as it fills */

struct journal *journal_new(void);
void journal_free(struct journal *j);

/* Forget all: the log is applied anew. */
void journal_restart(struct journal *j);

/* To be called for each operation applied, in order. index is of the log's entry: several
 * operations may share one. */
void journal_note(struct journal *j, uint64_t index, int result);

/* Of the n-th operation of the entry, from 0: 0 and *result, or -ENOENT. */
int journal_result(const struct journal *j, uint64_t index, unsigned n, int *result);

#endif
