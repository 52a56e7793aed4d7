#include "node/guess.h"

#include <stdio.h>
#include <string.h>

#define GUESS_LENGTH_MAX 64 /* longer words are not typed by hand */

struct guess guess_of(const char *written)
{
	return (struct guess){.written = written};
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned d = a < b ? a : b;
	return d < c ? d : c;
}

/* How many letters to add, drop, change or swap with their neighbour. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][GUESS_LENGTH_MAX + 1];
	size_t n = strlen(a), m = strlen(b);
	if (n > GUESS_LENGTH_MAX || m > GUESS_LENGTH_MAX)
		return ~0u;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3],
			 *higher = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned change = above[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = least(above[j] + 1, row[j - 1] + 1, change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    higher[j - 2] + 1 < row[j])
				row[j] = higher[j - 2] + 1;
		}
	}
	return rows[n % 3][m];
}

void guess_offer(struct guess *g, const char *word)
{
	unsigned d = distance(g->written, word);
	size_t length = strlen(word);
	/* One slip in a short word, two in a long one. */
	if (d > (length < 4 ? 1u : 2u) || d >= length)
		return;
	if (!g->best || d < g->distance) {
		g->best = word;
		g->distance = d;
	}
}

void guess_append(const struct guess *g, char *text, size_t size)
{
	size_t used = strlen(text);
	if (g->best && used < size)
		snprintf(text + used, size - used, " (did you mean '%s'?)", g->best);
}
