#include "fsm/history.h"

#define HISTORY_LENGTH 1024

struct history {
	uint64_t diverged_at;
	struct {
		uint64_t index;
		uint64_t hash;
	} notes[HISTORY_LENGTH];
};

void history_note(struct cluster *c)
{
	if (!c->history)
		c->history = must_alloc(sizeof(*c->history));
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
