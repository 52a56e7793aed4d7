#include "fsm/history.h"

#include <errno.h>

#define HISTORY_LENGTH 1024

struct history {
	uint64_t diverged_at;
	uint64_t first; /* the oldest index that was ever noted */
	struct {
		uint64_t index;
		uint64_t hash;
	} notes[HISTORY_LENGTH];
};

void history_note(struct cluster *c)
{
	if (!c->history)
		c->history = must_alloc(sizeof(*c->history));
	if (!c->history->first)
		c->history->first = c->index;
	c->history->notes[c->index % HISTORY_LENGTH].index = c->index;
	c->history->notes[c->index % HISTORY_LENGTH].hash = c->hash;
}

void history_compare(struct cluster *c, uint64_t index, uint64_t hash)
{
	struct history *h = c->history;
	/* index 0: the leader has none to offer. */
	if (!h || !index || h->diverged_at || h->notes[index % HISTORY_LENGTH].index != index)
		return;
	if (h->notes[index % HISTORY_LENGTH].hash != hash)
		h->diverged_at = index;
}

uint64_t history_diverged_at(const struct cluster *c)
{
	return c->history ? c->history->diverged_at : 0;
}

int history_hash_at(const struct cluster *c, uint64_t index, uint64_t *hash)
{
	const struct history *h = c->history;
	if (!h || !index || h->notes[index % HISTORY_LENGTH].index != index)
		return -ENOENT;
	*hash = h->notes[index % HISTORY_LENGTH].hash;
	return 0;
}

uint64_t history_oldest(const struct cluster *c)
{
	const struct history *h = c->history;
	uint64_t kept = c->index >= HISTORY_LENGTH ? c->index - HISTORY_LENGTH + 1 : 1;
	if (!h)
		return 0;
	return h->first > kept ? h->first : kept;
}
