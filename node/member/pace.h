/* How patient a member is: its election time-out, stretched on slow networks and disks.
 *
 * Pure. Only ever upward from what is configured, and every member for itself:
 * the lease stays below the configured time-out, and so below everybody's. */
#ifndef NODE_MEMBER_PACE_H
#define NODE_MEMBER_PACE_H

#include <stdint.h>

/* So many times what is configured at most: an election must come some day. */
#define PACE_STRETCH_MAX 10u

struct pace {
	unsigned election_ms, heartbeat_ms; /* configured */
	uint32_t rtt_us; /* the shortest of late, to the slowest voter; 0: not known */
	uint64_t write_us_p50, write_us_p99; /* of the log's last writes */
};

/* The time-out from now on, in ms; present_ms while it is about right. */
unsigned pace_election(const struct pace *pace, unsigned present_ms);

#endif
