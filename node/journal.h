/* The last operations that this replica applied, and what came of them: for
 * `pvc raft log` on a running node. Bounded in number and bytes; a blob of a
 * megabyte is not worth keeping twice, so large operations are kept by size only.
 * Of ticks in a row, the last is kept and how many there were: one a second
 * would leave room for nothing else. */
#ifndef NODE_JOURNAL_H
#define NODE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#define JOURNAL_LENGTH	      1024u
#define JOURNAL_OPERATION_MAX 512u /* bytes of one that is kept */

struct journal; /* about 600 KiB, touched as it fills */

struct journal_entry {
	uint64_t index; /* of the log's entry; several operations may share one */
	uint64_t ticks; /* in a row up to this one; 0: it is no tick */
	uint64_t number; /* of the command, also where it is too large to be kept */
	int result; /* what the machine answered */
	uint32_t size; /* of the operation */
	const uint8_t *operation; /* NULL: it was larger than JOURNAL_OPERATION_MAX */
};

struct journal *journal_new(void);
void journal_free(struct journal *j);

/* Copies. To be called for each operation applied. */
void journal_note(
    struct journal *j, uint64_t index, const uint8_t *operation, size_t size, int result);

/* How many there are, and the one that is so many back: 0 is the newest. It lasts until the
 * next journal_note. */
unsigned journal_count(const struct journal *j);
struct journal_entry journal_back(const struct journal *j, unsigned back);

#endif
