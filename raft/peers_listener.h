/* A listening TCP socket on the loop. When the process runs out of descriptors
 * it pauses instead of spinning. */
#ifndef RAFT_PEERS_LISTENER_H
#define RAFT_PEERS_LISTENER_H

#include <stdint.h>
#include <uv.h>

#include "fsm/err.h"
#include "raft/endpoint.h"

struct listener { /* the owner's memory until gone() */
	void *data;
	/* The socket is non-blocking and now the owner's. */
	void (*accepted)(struct listener *l, int fd, const struct endpoint_address *from);
	void (*gone)(struct listener *l); /* after listener_close(), in a later turn */
	int fd; /* -1: closed */
	unsigned handles;
	uv_poll_t poll;
	uv_timer_t pause;
};

/* Listen on a numeric address; port 0: any. data, accepted and gone must be set. Returns 0,
 * or negative errno with err, and then gone() is not called. */
int listener_open(struct listener *l, uv_loop_t *loop, const struct endpoint *at, struct err *err);
void listener_close(struct listener *l);

#endif
