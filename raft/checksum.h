/* CRC-32C (Castagnoli), as iSCSI, ext4 and the SSE4.2 instruction have it. */
#ifndef RAFT_CHECKSUM_H
#define RAFT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Of bytes that follow others: seed is the checksum of those, 0 for none. */
uint32_t checksum(uint32_t seed, const void *bytes, size_t size);

#endif
