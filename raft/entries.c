#include "raft/entries.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/buffer.h"

#define ENTRY_OVERHEAD 48 /* bytes of memory beside the payload */

struct payload *payload_new(const void *bytes, size_t size)
{
	struct payload *p = must_alloc(sizeof(*p) + size);
	p->references = 1;
	p->size = (uint32_t)size;
	if (size)
		memcpy(p->data, bytes, size);
	return p;
}

struct payload *payload_hold(struct payload *p)
{
	p->references++;
	return p;
}

void payload_drop(struct payload *p)
{
	if (--p->references == 0)
		free(p);
}

static struct entry *slot(const struct entries *l, unsigned i)
{
	return &l->ring[(l->head + i) & (l->capacity - 1)];
}

void entries_init(struct entries *l, uint64_t first)
{
	*l = (struct entries){.first = first};
}

void entries_close(struct entries *l)
{
	entries_restart(l, 1);
	free(l->ring);
	l->ring = NULL;
}

uint64_t entries_last(const struct entries *l)
{
	return l->first + l->n - 1;
}

struct entry *entries_at(const struct entries *l, uint64_t index)
{
	if (index < l->first || index - l->first >= l->n)
		return NULL;
	return slot(l, (unsigned)(index - l->first));
}

uint64_t entries_term(const struct entries *l, uint64_t index)
{
	const struct entry *e = entries_at(l, index);
	return e ? e->term : 0;
}

static void grow(struct entries *l)
{
	unsigned capacity = l->capacity ? l->capacity * 2 : 64;
	struct entry *ring = must_alloc(capacity * sizeof(*ring));
	for (unsigned i = 0; i < l->n; i++)
		ring[i] = *slot(l, i);
	free(l->ring);
	l->ring = ring;
	l->capacity = capacity;
	l->head = 0;
}

static uint64_t end_before(const struct entries *l, uint64_t index)
{
	const struct entry *e = entries_at(l, index - 1);
	return e ? e->end : l->dropped;
}

void entries_append(struct entries *l, struct entry entry)
{
	if (l->n == l->capacity)
		grow(l);
	entry.end = end_before(l, entries_last(l) + 1) + entry.payload->size + ENTRY_OVERHEAD;
	*slot(l, l->n++) = entry;
}

void entries_truncate(struct entries *l, uint64_t from)
{
	while (l->n && entries_last(l) >= from)
		payload_drop(slot(l, --l->n)->payload);
}

void entries_shorten(struct entries *l, uint64_t before)
{
	while (l->n && l->first < before) {
		l->dropped = slot(l, 0)->end;
		payload_drop(slot(l, 0)->payload);
		l->head = (l->head + 1) & (l->capacity - 1);
		l->first++;
		l->n--;
	}
}

void entries_restart(struct entries *l, uint64_t first)
{
	entries_truncate(l, 0);
	l->first = first;
}

size_t entries_bytes(const struct entries *l, uint64_t from)
{
	if (l->n == 0 || from > entries_last(l))
		return 0;
	return (size_t)(entries_at(l, entries_last(l))->end -
			end_before(l, from < l->first ? l->first : from));
}
