/* The end of a daemon as people see it: one signal is a wish, a second one is in a hurry.
 *
 * What is to happen is duties_stop()'s; here it is said what is waited for, to the log and to
 * systemd, which is asked for patience as long as it takes. */
#ifndef NODE_ENDING_H
#define NODE_ENDING_H

#include "node/duties.h"

/* So long it takes at most from the second signal on. */
#define ENDING_HURRY_MS 10000

struct ending { /* all zeros: nobody has asked for it */
	uint64_t say_ms; /* when it is said again what is waited for */
	uint64_t over_ms; /* when nothing is waited for any more; 0: nobody is in a hurry */
};

/* A signal came. */
void ending_ask(struct ending *e, struct duties *duties, uint64_t now_ms);

/* Returns whether the end has come. */
bool ending_turn(struct ending *e, const struct duties *duties, uint64_t now_ms);

#endif
