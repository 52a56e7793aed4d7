/* How long the steps of one thing took, for a debug line: "host 0.2 ms, judging 0.1 ms".
 *
 * Cheap: a look at the clock for each step; text is made only when it is asked for. */
#ifndef NODE_LAPS_H
#define NODE_LAPS_H

#include <stdint.h>

#define LAPS_MAX      8
#define LAPS_TEXT_MAX 256

struct laps {
	uint64_t at_us; /* the end of the last step */
	unsigned count;
	struct {
		const char *step;
		uint64_t took_us;
	} steps[LAPS_MAX];
};

struct laps laps_begin(void);

/* That step, a literal, has ended; those past LAPS_MAX are left out. */
void laps_take(struct laps *laps, const char *step);

/* All steps, and their sum at the end. Returns text. */
const char *laps_text(const struct laps *laps, char text[LAPS_TEXT_MAX]);

#endif
