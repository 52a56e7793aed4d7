#include "node/member/pace.h"

/* Time for so many round trips with a write in each, beside two heartbeats. */
#define ROUNDS 5
/* The other kernel may wait that long before it acknowledges, which counts as round trip. */
#define ACK_DELAY_US 40000
/* A write that took longer than so many usual ones is a hiccup, not a slow disk. */
#define HICCUP 8
#define STEPS  3 /* within the configured time-out */

unsigned pace_election(const struct pace *pace, unsigned present_ms)
{
	uint64_t usual_us = pace->write_us_p50 * HICCUP;
	uint64_t write_us = pace->write_us_p99 < usual_us ? pace->write_us_p99 : usual_us;
	uint64_t rtt_us = pace->rtt_us > ACK_DELAY_US ? pace->rtt_us - ACK_DELAY_US : 0;
	uint64_t needed_ms = 2 * pace->heartbeat_ms + ROUNDS * (rtt_us + write_us) / 1000;
	uint64_t longest_ms = (uint64_t)pace->election_ms * PACE_STRETCH_MAX;
	if (needed_ms < pace->election_ms)
		needed_ms = pace->election_ms;
	if (needed_ms > longest_ms)
		needed_ms = longest_ms;
	/* In steps, and down by two at least: it need not follow every measurement. */
	uint64_t step_ms = pace->election_ms / STEPS + 1;
	uint64_t over_ms = (needed_ms - pace->election_ms + step_ms - 1) / step_ms * step_ms;
	uint64_t wanted_ms = pace->election_ms + over_ms;
	if (present_ms >= wanted_ms && present_ms < wanted_ms + 2 * step_ms)
		return present_ms;
	return (unsigned)(wanted_ms < longest_ms ? wanted_ms : longest_ms);
}
