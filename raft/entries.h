/* The entries a member holds in memory: a run without gaps, by index.
 *
 * libraft's core keeps only the terms; what goes to a follower, to the disk and to
 * the machine is taken from here. The bytes of an entry are counted references, because a
 * write to the disk can outlive the entry it was made for. */
#ifndef RAFT_ENTRIES_H
#define RAFT_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

#include "raft/disk.h"

struct payload {
	unsigned references;
	uint32_t size;
	uint8_t data[];
};

struct payload *payload_new(const void *bytes, size_t size);
struct payload *payload_hold(struct payload *p);
void payload_drop(struct payload *p); /* the last one frees */

struct entry {
	uint64_t term;
	uint64_t ticket; /* of the write that puts it on the disk */
	uint64_t end; /* bytes of all entries ever, up to and with this one */
	enum disk_entry_type type;
	struct payload *payload;
};

struct entries {
	uint64_t first; /* index of the oldest entry, or of the next one when empty */
	unsigned n;
	unsigned head, capacity; /* of the ring */
	uint64_t dropped; /* bytes of all entries ever before the first */
	struct entry *ring;
};

void entries_init(struct entries *l, uint64_t first);
void entries_close(struct entries *l);
uint64_t entries_last(const struct entries *l); /* first - 1 when empty */
/* NULL when it is not held. Valid until the log changes. */
struct entry *entries_at(const struct entries *l, uint64_t index);
uint64_t entries_term(const struct entries *l, uint64_t index); /* 0 when it is not held */
/* Append at entries_last() + 1. The payload's reference goes to the log. */
void entries_append(struct entries *l, struct entry entry);
void entries_truncate(struct entries *l, uint64_t from); /* forget from and everything after */
void entries_shorten(struct entries *l, uint64_t before); /* forget everything before */
void entries_restart(struct entries *l, uint64_t first); /* forget everything */
/* Bytes of the entries from an index on. */
size_t entries_bytes(const struct entries *l, uint64_t from);

#endif
