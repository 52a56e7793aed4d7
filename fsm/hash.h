/* A fast 64-bit hash, to notice that two replicas differ. Not cryptographic:
 * nothing that an adversary could gain from may depend on it. */
#ifndef FSM_HASH_H
#define FSM_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t size);

#endif
