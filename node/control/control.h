/* The control socket: how the command line, the API daemon and programs on
 * this machine talk to the daemon. The bytes are described in control_wire.h.
 *
 * It never blocks and trusts nobody's bytes. What comes in one turn of the loop
 * goes on at once; what goes out is collected and written once a turn for each
 * connection. A client that does not read its answers is not read from either,
 * so what waits for it is bounded: CONTROL_UNSENT_MAX, one answer more, and the
 * answers to what was under way. Watches wait until it has read. */
#ifndef NODE_CONTROL_CONTROL_H
#define NODE_CONTROL_CONTROL_H

#include <uv.h>

#include "node/operation/context.h"

#define CONTROL_CONNECTIONS_MAX 2048u
#define CONTROL_IN_FLIGHT_MAX	4096u /* of one connection */
#define CONTROL_PENDING_MAX	65536u /* of all connections; numbers of requests are below it */
#define CONTROL_WATCHES_MAX	64u /* of one connection */
#define CONTROL_UNSENT_MAX	(1u << 20) /* bytes of answers */

struct control;

/* Where what clients send as bytes goes, unseen and not copied: to the replica. Each
 * request is answered once by control_answered(), perhaps within the call. */
struct control_ports {
	void *data;
	void (*propose)(void *data, uint64_t request, const uint8_t *operation, size_t size);
	void (*read)(void *data, uint64_t request);
	void (*read_by_round)(void *data, uint64_t request);
};

struct control_options {
	uv_loop_t *loop;
	const char *path; /* of the socket; its directory must exist */
	const struct context *context; /* for operations; must outlast the control */
	struct control_ports ports;
};

/* 0; -EADDRINUSE: somebody listens there; or what bind says. A socket that nobody listens on
 * any more is replaced. Access: root, the daemon's own user and group pvc. */
int control_open(struct control **control, const struct control_options *options, struct err *err);

/* Removes the socket and closes every connection. The memory goes when the loop has closed
 * the handles and every operation under way was answered. */
void control_close(struct control *c);

/* The answer to a request given to a port: as replica.h's `answered`. */
void control_answered(struct control *c, uint64_t request, int result, uint64_t index);

/* The value moved on. Costs nothing without watches. */
void control_changed(struct control *c);

unsigned control_connections(const struct control *c);

#endif
