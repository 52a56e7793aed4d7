#include "fsm/hash.h"

#include <string.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const uint8_t *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

/* Multiply and fold (the construction of wyhash). A multiplication waits for the one before it
 * in its chain, so long input goes through two chains, sixteen bytes a step. */
uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	size_t left = size;
	uint64_t hash = seed ^ 0x9e3779b97f4a7c15u, other = hash;
	for (; left >= 32; left -= 32, at += 32) {
		hash = mix(hash ^ word_at(at), word_at(at + 8) ^ 0xa0761d6478bd642fu);
		other = mix(other ^ word_at(at + 16), word_at(at + 24) ^ 0x8ebc6af09c88c6e3u);
	}
	hash ^= other << 1 | other >> 63;
	while (left > 0) {
		uint64_t word = 0;
		size_t n = left < 8 ? left : 8;
		memcpy(&word, at, n);
		hash = mix(hash ^ word, 0xa0761d6478bd642fu);
		at += n;
		left -= n;
	}
	return mix(hash ^ size, 0xe7037ed1a0b428dbu);
}
