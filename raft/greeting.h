/* How members begin a connection, after TLS and before anything else.
 *
 * Who is dialled speaks first, and only here: one frame, empty or of one byte. Whoever dialled says
 * nothing before it is welcome, unless it is asked where it listens itself. */
#ifndef RAFT_GREETING_H
#define RAFT_GREETING_H

#include "fsm/buffer.h"
#include "raft/endpoint.h"

#define GREETING_MAX 1 /* byte */

enum greeting {
	GREETING_WELCOME, /* empty: go on */
	GREETING_WHERE = 'w', /* your name was given out when I was away: where do you listen?
				 Answered by a frame with the address, and then by a welcome */
	GREETING_REMOVED = 'r', /* you were a member and are none any more; and it is closed */
};

void greeting_encode(enum greeting greeting, struct buffer *out);
/* 0, or -EBADMSG. */
int greeting_decode(const uint8_t *bytes, size_t size, enum greeting *greeting);

/* The answer to GREETING_WHERE is the text of an address, no longer than ENDPOINT_SIZE. Of anything
 * else: -EBADMSG, and address is "". */
int greeting_address(const uint8_t *bytes, size_t size, char address[ENDPOINT_SIZE]);

#endif
