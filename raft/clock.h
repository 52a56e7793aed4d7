/* The clock by which leases, promises and whatever hangs on them are judged.
 *
 * Monotonic, and it goes on while the machine is asleep: a lease that had 200 ms left when the
 * lid was closed is over when it is opened. CLOCK_MONOTONIC, by which libuv measures,
 * stands still meanwhile; it is for waiting only, never for saying what time it is. */
#ifndef RAFT_CLOCK_H
#define RAFT_CLOCK_H

#include <stdint.h>

uint64_t clock_us(void);
uint64_t clock_ms(void);

#endif
