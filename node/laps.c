#include "node/laps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "raft/clock.h"

struct laps laps_begin(void)
{
	return (struct laps){.at_us = clock_us()};
}

void laps_take(struct laps *laps, const char *step)
{
	uint64_t now_us = clock_us();
	if (laps->count == LAPS_MAX)
		return;
	laps->steps[laps->count].step = step;
	laps->steps[laps->count++].took_us = now_us - laps->at_us;
	laps->at_us = now_us;
}

static void append(char text[LAPS_TEXT_MAX], const char *step, uint64_t us)
{
	size_t used = strlen(text);
	/* Tenths of a millisecond, rounded. */
	us = (us + 50) / 100;
	snprintf(text + used, LAPS_TEXT_MAX - used, "%s%s %" PRIu64 ".%" PRIu64 " ms",
	    used ? ", " : "", step, us / 10, us % 10);
}

const char *laps_text(const struct laps *laps, char text[LAPS_TEXT_MAX])
{
	uint64_t sum_us = 0;
	*text = 0;
	for (unsigned i = 0; i < laps->count; i++) {
		append(text, laps->steps[i].step, laps->steps[i].took_us);
		sum_us += laps->steps[i].took_us;
	}
	append(text, "in all", sum_us);
	return text;
}
