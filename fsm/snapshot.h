/* The whole value as bytes: versioned, canonical, checked by its own hash.
 *
 *   "PVCVALUE"  u32 format  u64 index  u64 hash
 *   the parts of parts.def: one record (record.h), or of a table
 *   varint count and that many records, in the order of their keys
 *
 * Equal values give equal bytes. raft/ compresses and checksums it on disk and
 * on the wire. */
#ifndef FSM_SNAPSHOT_H
#define FSM_SNAPSHOT_H

#include "fsm/cluster.h"

/* Raised with every change of record.def; all there were are in format.def. */
#define SNAPSHOT_FORMAT 4

void snapshot_encode(struct cluster *c, struct buffer *out);

/* Replace the value. 0; -EBADMSG: not a snapshot, or a damaged one; -ENOTSUP: of another
 * format, or a newer schema. On failure the value is as it was and err says where. */
int snapshot_decode(struct cluster *c, const uint8_t *bytes, size_t size, struct err *err);

#endif
