#include "node/pace.h"

/* Time for so many round trips with a write in each, beside two heartbeats. */
#define ROUNDS 4
/* A write that took longer than so many usual ones is a hiccup, not a slow disk. */
#define HICCUP 8

unsigned pace_election(const struct pace *pace, unsigned present_ms)
{
	uint64_t usual_us = pace->write_us_p50 * HICCUP;
	uint64_t write_us = pace->write_us_p99 < usual_us ? pace->write_us_p99 : usual_us;
	uint64_t needed_ms = 2 * pace->heartbeat_ms + ROUNDS * (pace->rtt_us + write_us) / 1000;
	uint64_t longest_ms = (uint64_t)pace->election_ms * PACE_STRETCH_MAX;
	if (needed_ms < pace->election_ms)
		needed_ms = pace->election_ms;
	if (needed_ms > longest_ms)
		needed_ms = longest_ms;
	/* It need not follow every measurement. */
	if (present_ms >= needed_ms && present_ms <= needed_ms + needed_ms / 4 &&
	    needed_ms > pace->election_ms)
		return present_ms;
	return (unsigned)needed_ms;
}
