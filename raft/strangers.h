/* How often strangers may be told of: ten at once, then one every five seconds,
 * so that whoever knocks all day fills no log. Time is a parameter. */
#ifndef RAFT_STRANGERS_H
#define RAFT_STRANGERS_H

#include <stdbool.h>
#include <stdint.h>

struct strangers { /* all zero at its start, but since_ms */
	uint64_t since_ms;
	unsigned told; /* of late */
	uint64_t untold; /* since the last that was told */
};

/* Whether this one may be told of; then *untold is how many before it were not. */
bool strangers_tell(struct strangers *s, uint64_t now_ms, uint64_t *untold);

#endif
