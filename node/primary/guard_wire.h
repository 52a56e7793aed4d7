/* What the daemon and its guard tell each other: messages of fixed size over a
 * socketpair that keeps their borders, and one page of shared memory.
 *
 * Both ends are the same binary, so there is no version. Whatever does not fit
 * into the socket is dropped and told again: everything here is a level. */
#ifndef NODE_PRIMARY_GUARD_WIRE_H
#define NODE_PRIMARY_GUARD_WIRE_H

#include <stdatomic.h>
#include <stdint.h>

#include "node/primary/guard.h"

struct guard_page { /* shared memory */
	_Atomic uint64_t lease_until_ns; /* clock_us() in ns; 0: none */
};

enum guard_request_kind {
	GUARD_REQUEST_SETUP = 1, /* first */
	GUARD_REQUEST_SERVICE, /* one for each, in order */
	GUARD_REQUEST_WANT,
};

struct guard_wanted {
	struct address address;
	uint32_t wanted; /* 0: see that it is off */
};

struct guard_request {
	uint32_t kind;
	uint32_t sequence; /* of a want */
	uint32_t count; /* of wanted */
	uint32_t timeout_ms;
	char driver[16];
	char stop[SERVICE_COMMAND_MAX]; /* "": nothing to run */
	struct guard_wanted wanted[GUARD_ADDRESSES_MAX];
};

struct guard_report {
	uint32_t sequence; /* of the last want that it knows */
	uint32_t lapses;
	uint32_t stopping;
	uint32_t count;
	struct guard_address_status addresses[GUARD_ADDRESSES_MAX];
};

#endif
