/* One TLS connection on the loop: a socket, its session and its frames.
 *
 * Sending only queues; channel_flush() encrypts all that is queued and hands it to the kernel
 * in one go. How a connection ends is told apart, because a member whose process died
 * is worth knowing at once: its kernel closes or resets the socket, but only a process that
 * lives can say "done" in TLS first.
 *
 * The owner allocates it, and gets it back with gone(). A handler may call anything
 * here, channel_close() too. */
#ifndef RAFT_PEERS_CHANNEL_H
#define RAFT_PEERS_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "fsm/buffer.h"
#include "raft/frame.h"
#include "raft/tls.h"

enum channel_end {
	CHANNEL_DEAD, /* closed or reset by the other kernel, nothing was said */
	CHANNEL_DONE, /* the other process said that it is done with this connection */
	CHANNEL_FAILED, /* time-out, no route, refused: says nothing about the process */
	CHANNEL_INVALID, /* what came is not what we speak, or not from whom we trust */
};

enum channel_state {
	CHANNEL_CONNECTING,
	CHANNEL_SHAKING, /* hands */
	CHANNEL_OPEN,
	CHANNEL_CLOSED,
};

enum channel_farewell {
	CHANNEL_SILENT, /* as if this process had died */
	CHANNEL_SAY_DONE /* the other side gets CHANNEL_DONE */
};

struct channel;

struct channel_handlers {
	/* The handshake is done; nothing that came was looked at, and of a dialled channel our
	 * last words of the handshake have not left yet. Here its owner decides who it is. */
	void (*opened)(struct channel *c);
	void (*received)(struct channel *c, const uint8_t *bytes, size_t size);
	/* It ended by itself, and is closed. Not called after channel_close(). */
	void (*ended)(struct channel *c, enum channel_end end, const char *why);
	/* Last of all, in a later turn of the loop: the memory is the owner's again. */
	void (*gone)(struct channel *c);
};

#define CHANNEL_WIRE_SIZE  65536
#define CHANNEL_PLAIN_SIZE 16384
struct channel_scratch { /* one for all channels of a loop */
	uint8_t wire[CHANNEL_WIRE_SIZE], plain[CHANNEL_PLAIN_SIZE];
};

struct channel_options {
	uv_loop_t *loop;
	const struct channel_handlers *handlers;
	struct channel_scratch *scratch;
	struct tls_context *tls;
	enum tls_side side;
	size_t queue_max; /* bytes waiting to be sent; what does not fit is refused */
	unsigned limit_ms; /* until opened(); then see channel_limit() */
	unsigned user_timeout_ms; /* without an acknowledgement from the other kernel */
};

struct channel {
	const struct channel_handlers *handlers;
	struct channel_scratch *scratch;
	struct tls *tls;
	enum channel_state state;
	int fd;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles; /* not closed yet */
	int events; /* that poll waits for */
	struct frames frames;
	struct buffer queue; /* plain, from queue_at on */
	size_t queue_at, queue_max;
	size_t wire_at; /* in tls_wire(): what the kernel has */
	uint64_t bytes_in, bytes_out;
};

/* Take over fd: a socket that endpoint_connect() or accept gave. Returns 0, or -errno and
 * then fd is closed and no handler will be called. */
int channel_start(struct channel *c, const struct channel_options *options, int fd);

/* Largest frame that is taken from now on; 0 at first. */
void channel_frame_max(struct channel *c, size_t size);
/* End it as CHANNEL_FAILED unless told otherwise within ms; 0: no limit. */
void channel_limit(struct channel *c, unsigned ms);

/* Queue a frame. -ENOBUFS when the queue is full, -ENOTCONN when it is not open. */
int channel_send(struct channel *c, const void *bytes, size_t size);
void channel_flush(struct channel *c);
size_t channel_queued(const struct channel *c); /* bytes */
/* The shortest round trip of the last minutes, as the kernel measures it; 0: unknown. */
uint32_t channel_rtt_us(const struct channel *c);

/* Close and forget what is queued. Idempotent. */
void channel_close(struct channel *c, enum channel_farewell farewell);

#endif
