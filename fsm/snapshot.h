/* The whole value as bytes: versioned, canonical, checked by its own hash.
 *
 *   "PVCVALUE"  u32 format  u64 index  u64 hash
 *   settings, primary, then for nodes, vms, facts, sessions, tokens, authorities:
 *   varint count and that many records (record.h), in the order of their keys
 *
 * Equal values give equal bytes. raft/ compresses and checksums it on disk and
 * on the wire. */
#ifndef FSM_SNAPSHOT_H
#define FSM_SNAPSHOT_H

#include "fsm/cluster.h"

/* Raised with every change of record.def; all there were are in format.def. */
#define SNAPSHOT_FORMAT 2

void snapshot_encode(struct cluster *c, struct buffer *out);

/* Replace the value. 0; -EBADMSG: not a snapshot, or a damaged one; -ENOTSUP: of another
 * format, or a newer schema. On failure the value is as it was and err says where. */
int snapshot_decode(struct cluster *c, const uint8_t *bytes, size_t size, struct err *err);

#endif
