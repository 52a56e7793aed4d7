/* What happens next: events of the simulated world in the order of their time.
 *
 * Events of the same millisecond happen in the order they were asked for, so a
 * seed always plays the same. */
#ifndef TOOLS_SIM_EVENTS_H
#define TOOLS_SIM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

struct world;

/* bytes (malloced, may be NULL) belong to the event; run must not free them. */
typedef void (*event_run)(struct world *w, unsigned node, uint64_t number, void *bytes);

struct event {
	uint64_t time_ms;
	uint64_t order;
	event_run run;
	unsigned node;
	uint64_t number;
	void *bytes;
};

struct events {
	struct event *heap;
	unsigned count, capacity;
	uint64_t order;
};

void events_add(struct events *e, struct event event); /* order is filled in */
bool events_next(struct events *e, struct event *event); /* false: none left */
uint64_t events_time(const struct events *e); /* of the next; UINT64_MAX: none */
void events_close(struct events *e);

#endif
