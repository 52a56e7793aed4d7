/* The whole value as bytes: versioned, canonical, checked by its own hash.
 *
 *   "PVCVALUE"  u32 format = 1  u64 index  u64 hash
 *   settings, primary, then for nodes, vms, facts, sessions, tokens, authorities:
 *   varint count and that many records (record.h), in the order of their keys
 *
 * Equal values give equal bytes. raft/ compresses and checksums it on disk and
 * on the wire. */
#ifndef FSM_SNAPSHOT_H
#define FSM_SNAPSHOT_H

#include "fsm/cluster.h"

#define SNAPSHOT_FORMAT 1

void snapshot_encode(struct cluster *c, struct buffer *out);

/* Replace the value. 0; -EBADMSG: not a snapshot, or a damaged one; -ENOTSUP: of a newer
 * format or schema. On failure the value is as it was and err says where. */
int snapshot_decode(struct cluster *c, const uint8_t *bytes, size_t size, struct err *err);

#endif
