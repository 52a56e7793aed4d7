#include "raft/log.h"

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

static struct log_entry *slot(const struct log *l, unsigned i)
{
	return &l->ring[(l->head + i) & (l->capacity - 1)];
}

void log_init(struct log *l, uint64_t first)
{
	*l = (struct log){.first = first};
}

void log_close(struct log *l)
{
	log_restart(l, 1);
	free(l->ring);
	l->ring = NULL;
}

uint64_t log_last(const struct log *l)
{
	return l->first + l->n - 1;
}

struct log_entry *log_at(const struct log *l, uint64_t index)
{
	if (index < l->first || index - l->first >= l->n)
		return NULL;
	return slot(l, (unsigned)(index - l->first));
}

uint64_t log_term(const struct log *l, uint64_t index)
{
	const struct log_entry *e = log_at(l, index);
	return e ? e->term : 0;
}

static void grow(struct log *l)
{
	unsigned capacity = l->capacity ? l->capacity * 2 : 64;
	struct log_entry *ring = must_alloc(capacity * sizeof(*ring));
	for (unsigned i = 0; i < l->n; i++)
		ring[i] = *slot(l, i);
	free(l->ring);
	l->ring = ring;
	l->capacity = capacity;
	l->head = 0;
}

static uint64_t end_before(const struct log *l, uint64_t index)
{
	const struct log_entry *e = log_at(l, index - 1);
	return e ? e->end : l->dropped;
}

void log_append(struct log *l, struct log_entry entry)
{
	if (l->n == l->capacity)
		grow(l);
	entry.end = end_before(l, log_last(l) + 1) + entry.payload->size + ENTRY_OVERHEAD;
	*slot(l, l->n++) = entry;
}

void log_truncate(struct log *l, uint64_t from)
{
	while (l->n && log_last(l) >= from)
		payload_drop(slot(l, --l->n)->payload);
}

void log_shorten(struct log *l, uint64_t before)
{
	while (l->n && l->first < before) {
		l->dropped = slot(l, 0)->end;
		payload_drop(slot(l, 0)->payload);
		l->head = (l->head + 1) & (l->capacity - 1);
		l->first++;
		l->n--;
	}
}

void log_restart(struct log *l, uint64_t first)
{
	log_truncate(l, 0);
	l->first = first;
}

size_t log_bytes(const struct log *l, uint64_t from)
{
	if (l->n == 0 || from > log_last(l))
		return 0;
	return (
	    size_t)(log_at(l, log_last(l))->end - end_before(l, from < l->first ? l->first : from));
}
