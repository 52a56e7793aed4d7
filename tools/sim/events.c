#include "tools/sim/events.h"

#include <stdlib.h>

#include "fsm/buffer.h"

static bool before(const struct event *a, const struct event *b)
{
	return a->time_ms != b->time_ms ? a->time_ms < b->time_ms : a->order < b->order;
}

static void swap(struct event *a, struct event *b)
{
	struct event other = *a;
	*a = *b;
	*b = other;
}

void events_add(struct events *e, struct event event)
{
	if (e->count == e->capacity) {
		e->capacity = e->capacity ? e->capacity * 2 : 64;
		e->heap = must_realloc(e->heap, e->capacity * sizeof(*e->heap));
	}
	event.order = e->order++;
	unsigned at = e->count++;
	e->heap[at] = event;
	while (at > 0 && before(&e->heap[at], &e->heap[(at - 1) / 2])) {
		swap(&e->heap[at], &e->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
}

bool events_next(struct events *e, struct event *event)
{
	if (!e->count)
		return false;
	*event = e->heap[0];
	e->heap[0] = e->heap[--e->count];
	for (unsigned at = 0;;) {
		unsigned least = at;
		for (unsigned child = 2 * at + 1; child <= 2 * at + 2 && child < e->count; child++)
			if (before(&e->heap[child], &e->heap[least]))
				least = child;
		if (least == at)
			return true;
		swap(&e->heap[at], &e->heap[least]);
		at = least;
	}
}

uint64_t events_time(const struct events *e)
{
	return e->count ? e->heap[0].time_ms : UINT64_MAX;
}

void events_close(struct events *e)
{
	for (unsigned i = 0; i < e->count; i++)
		free(e->heap[i].bytes);
	free(e->heap);
	*e = (struct events){0};
}
