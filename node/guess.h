/* "did you mean ...?": of the words that would have been right, the one nearest
 * to what was written, if one is near enough. Plain values: no allocation. */
#ifndef NODE_GUESS_H
#define NODE_GUESS_H

#include <stddef.h>

struct guess {
	const char *written;
	const char *best; /* NULL: none is near enough */
	unsigned distance;
};

struct guess guess_of(const char *written);

/* A word that would have been right; it must outlive the guess. */
void guess_offer(struct guess *g, const char *word);

/* Appends " (did you mean 'web1'?)" to text, which has room for size bytes; or nothing. */
void guess_append(const struct guess *g, char *text, size_t size);

#endif
