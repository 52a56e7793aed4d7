#include "fsm/history.h"

#include <errno.h>

#define HISTORY_LENGTH 1024
/* Under a flood of operations the entry of the last tick is soon more than HISTORY_LENGTH ago. */
#define HISTORY_TICKS 16

struct note {
	uint64_t index;
	uint64_t hash;
};

struct history {
	uint64_t diverged_at;
	uint64_t first; /* the oldest index that was ever noted */
	struct note notes[HISTORY_LENGTH];
	struct note ticks[HISTORY_TICKS];
	uint64_t n_ticks; /* ever */
};

static struct history *history_of(struct cluster *c)
{
	if (!c->history)
		c->history = must_alloc(sizeof(*c->history));
	return c->history;
}

static struct note *tick_at(struct history *h, uint64_t number)
{
	return &h->ticks[number % HISTORY_TICKS];
}

void history_tick(struct cluster *c)
{
	struct history *h = history_of(c);
	if (!h->n_ticks || tick_at(h, h->n_ticks - 1)->index != c->index)
		*tick_at(h, h->n_ticks++) = (struct note){.index = c->index};
}

void history_note(struct cluster *c)
{
	struct history *h = history_of(c);
	struct note note = {.index = c->index, .hash = c->hash};
	if (!h->first)
		h->first = c->index;
	h->notes[c->index % HISTORY_LENGTH] = note;
	/* Other operations of the same entry may follow the tick. */
	if (h->n_ticks && tick_at(h, h->n_ticks - 1)->index == c->index)
		*tick_at(h, h->n_ticks - 1) = note;
}

int history_last_tick(const struct cluster *c, uint64_t *index, uint64_t *hash)
{
	struct history *h = c->history;
	if (!h || !h->n_ticks)
		return -ENOENT;
	*index = tick_at(h, h->n_ticks - 1)->index;
	*hash = tick_at(h, h->n_ticks - 1)->hash;
	return 0;
}

static const struct note *note_at(struct history *h, uint64_t index)
{
	for (unsigned i = 0; i < HISTORY_TICKS; i++)
		if (h->ticks[i].index == index)
			return &h->ticks[i];
	const struct note *note = &h->notes[index % HISTORY_LENGTH];
	return note->index == index ? note : NULL;
}

void history_compare(struct cluster *c, uint64_t index, uint64_t hash)
{
	/* hash 0: the leader has none to offer. */
	const struct note *note = c->history && index && hash ? note_at(c->history, index) : NULL;
	if (note && note->hash != hash)
		history_outvoted(c, index);
}

void history_outvoted(struct cluster *c, uint64_t index)
{
	struct history *h = history_of(c);
	if (!h->diverged_at)
		h->diverged_at = index;
}

uint64_t history_diverged_at(const struct cluster *c)
{
	return c->history ? c->history->diverged_at : 0;
}

int history_hash_at(const struct cluster *c, uint64_t index, uint64_t *hash)
{
	const struct note *note = c->history && index ? note_at(c->history, index) : NULL;
	if (!note)
		return -ENOENT;
	*hash = note->hash;
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
