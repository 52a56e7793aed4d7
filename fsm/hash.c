#include "fsm/hash.h"

#include <string.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Multiply and fold, eight bytes a step (the construction of wyhash). */
uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t hash = seed ^ 0x9e3779b97f4a7c15u;
	for (size_t left = size; left > 0;) {
		uint64_t word = 0;
		size_t n = left < 8 ? left : 8;
		memcpy(&word, at, n);
		hash = mix(hash ^ word, 0xa0761d6478bd642fu);
		at += n;
		left -= n;
	}
	return mix(hash ^ size, 0xe7037ed1a0b428dbu);
}
