#include "raft/peers_channel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Encrypted ahead of the kernel at most; and what an empty queue may keep. */
#define BATCH_SIZE (256u << 10)
#define QUEUE_KEPT (1u << 20)
/* Reads before others get their turn; the poll is level-triggered. */
#define READS_PER_TURN 4

static void handle_closed(uv_handle_t *handle)
{
	struct channel *c = handle->data;
	if (--c->handles > 0)
		return;
	tls_free(c->tls);
	frames_close(&c->frames);
	buffer_close(&c->queue);
	c->handlers->gone(c);
}

/* Best effort: an alert or a "done" that does not fit into the socket now is not worth a wait. */
static void last_words(struct channel *c)
{
	struct buffer *wire = tls_wire(c->tls);
	if (wire->size > c->wire_at)
		(void)!send(c->fd, wire->data + c->wire_at, wire->size - c->wire_at, MSG_NOSIGNAL);
}

void channel_close(struct channel *c, enum channel_farewell farewell)
{
	if (c->state == CHANNEL_CLOSED)
		return;
	if (farewell == CHANNEL_SAY_DONE && c->state == CHANNEL_OPEN) {
		tls_finish(c->tls);
		last_words(c);
	}
	c->state = CHANNEL_CLOSED;
	uv_close((uv_handle_t *)&c->poll, handle_closed);
	uv_close((uv_handle_t *)&c->timer, handle_closed);
	close(c->fd);
	c->fd = -1;
}

static void channel_end(struct channel *c, enum channel_end end, const char *why)
{
	if (c->state == CHANNEL_CLOSED)
		return;
	/* If the other process lives it must not take this for our death. */
	bool alive = end == CHANNEL_FAILED || end == CHANNEL_INVALID;
	channel_close(c, alive ? CHANNEL_SAY_DONE : CHANNEL_SILENT);
	c->handlers->ended(c, end, why);
}

static void channel_end_errno(struct channel *c, int error)
{
	bool reset = error == ECONNRESET || error == EPIPE;
	channel_end(
	    c, reset ? CHANNEL_DEAD : CHANNEL_FAILED, reset ? "connection reset" : strerror(error));
}

/* --- Sending --- */

static void on_poll(uv_poll_t *handle, int status, int events);

static void poll_for(struct channel *c, int events)
{
	if (events == c->events)
		return;
	c->events = events;
	uv_poll_start(&c->poll, events, on_poll);
}

/* Hand the wire's bytes to the kernel. 1: all gone, 0: it is full, or the channel ended. */
static int wire_send(struct channel *c)
{
	struct buffer *wire = tls_wire(c->tls);
	while (c->wire_at < wire->size) {
		ssize_t n =
		    send(c->fd, wire->data + c->wire_at, wire->size - c->wire_at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			channel_end_errno(c, errno);
			return 0;
		}
		if (n < 0) {
			poll_for(c, UV_READABLE | UV_WRITABLE);
			return 0;
		}
		c->wire_at += (size_t)n;
		c->bytes_out += (size_t)n;
	}
	wire->size = 0;
	c->wire_at = 0;
	poll_for(c, UV_READABLE);
	return 1;
}

static void queue_consume(struct channel *c, size_t size)
{
	struct buffer *q = &c->queue;
	c->queue_at += size;
	size_t left = q->size - c->queue_at;
	if (left > 0 && c->queue_at < q->size / 2)
		return;
	if (left > 0)
		memmove(q->data, q->data + c->queue_at, left);
	q->size = left;
	c->queue_at = 0;
	if (left == 0 && q->capacity > QUEUE_KEPT)
		buffer_close(q);
}

static void queue_send(struct channel *c)
{
	while (wire_send(c) && c->state == CHANNEL_OPEN && channel_queued(c) > 0) {
		size_t size = channel_queued(c) < BATCH_SIZE ? channel_queued(c) : BATCH_SIZE;
		if (tls_write(c->tls, c->queue.data + c->queue_at, size) < 0) {
			channel_end(c, CHANNEL_INVALID, "TLS cannot write");
			return;
		}
		queue_consume(c, size);
	}
}

void channel_flush(struct channel *c)
{
	bool ready = c->state == CHANNEL_OPEN || c->state == CHANNEL_SHAKING;
	if (ready && !(c->events & UV_WRITABLE)) /* else on_poll() goes on */
		queue_send(c);
}

int channel_send(struct channel *c, const void *bytes, size_t size)
{
	if (c->state != CHANNEL_OPEN)
		return -ENOTCONN;
	if (channel_queued(c) + size + FRAME_HEADER_SIZE > c->queue_max)
		return -ENOBUFS;
	frame_append(&c->queue, bytes, size);
	return 0;
}

size_t channel_queued(const struct channel *c)
{
	return c->queue.size - c->queue_at;
}

/* --- Receiving --- */

static int frame_received(void *data, const uint8_t *bytes, size_t size)
{
	struct channel *c = data;
	c->handlers->received(c, bytes, size);
	return c->state == CHANNEL_OPEN ? 0 : -ESHUTDOWN;
}

/* Returns 1 when the channel is open. */
static int handshake(struct channel *c)
{
	struct err err;
	int rv = tls_handshake(c->tls, &err);
	if (rv < 0) {
		last_words(c);
		channel_end(c, CHANNEL_INVALID, err.text);
		return 0;
	}
	if (rv > 0) {
		c->state = CHANNEL_OPEN;
		c->handlers->opened(c);
	}
	if (c->state != CHANNEL_CLOSED)
		channel_flush(c);
	return rv > 0 && c->state == CHANNEL_OPEN;
}

static void plain_read(struct channel *c)
{
	struct err err;
	while (c->state == CHANNEL_OPEN) {
		int n = tls_read(c->tls, c->scratch->plain, sizeof(c->scratch->plain), &err);
		if (n == 0)
			break;
		if (n < 0) {
			channel_end(c, n == -ESHUTDOWN ? CHANNEL_DONE : CHANNEL_INVALID,
			    n == -ESHUTDOWN ? "closed on purpose" : err.text);
			return;
		}
		int rv = frames_feed(&c->frames, c->scratch->plain, (size_t)n, frame_received, c);
		if (rv == -EMSGSIZE)
			channel_end(c, CHANNEL_INVALID, "a frame over the limit");
	}
	/* TLS may have something of its own to answer (new keys). */
	if (c->state == CHANNEL_OPEN && tls_wire(c->tls)->size > 0)
		channel_flush(c);
}

static void wire_received(struct channel *c, size_t size)
{
	c->bytes_in += size;
	tls_feed(c->tls, c->scratch->wire, size);
	if (c->state == CHANNEL_SHAKING && !handshake(c))
		return;
	plain_read(c);
}

/* Returns how many bytes came; 0 also when the channel ended. */
static size_t socket_receive(struct channel *c)
{
	ssize_t n = recv(c->fd, c->scratch->wire, sizeof(c->scratch->wire), 0);
	if (n > 0) {
		wire_received(c, (size_t)n);
		return c->state != CHANNEL_CLOSED ? (size_t)n : 0;
	}
	if (n == 0)
		channel_end(c, CHANNEL_DEAD, "connection closed");
	else if (errno != EAGAIN && errno != EINTR)
		channel_end_errno(c, errno);
	return 0;
}

/* --- Life --- */

static void connected(struct channel *c)
{
	int error = 0;
	socklen_t size = sizeof(error);
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error) {
		channel_end(c, CHANNEL_FAILED, strerror(error));
		return;
	}
	c->state = CHANNEL_SHAKING;
	c->events = 0;
	poll_for(c, UV_READABLE);
	handshake(c);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct channel *c = handle->data;
	if (c->state == CHANNEL_CONNECTING) {
		connected(c);
		return;
	}
	if (status < 0) {
		/* libuv stopped the poll because of an error on the socket; what arrived
		 * before it is still there to be read, and then recv() tells the error. */
		while (c->state != CHANNEL_CLOSED && socket_receive(c))
			;
		c->events = 0;
		if (c->state != CHANNEL_CLOSED)
			poll_for(c, UV_READABLE | UV_WRITABLE);
		return;
	}
	/* What did not fill the buffer was all there is, nearly always. */
	for (int i = 0; i < READS_PER_TURN && (events & UV_READABLE); i++)
		if (socket_receive(c) < sizeof(c->scratch->wire))
			break;
	if (c->state != CHANNEL_CLOSED && (events & UV_WRITABLE))
		queue_send(c);
}

static void on_limit(uv_timer_t *timer)
{
	struct channel *c = timer->data;
	channel_end(c, CHANNEL_FAILED,
	    c->state == CHANNEL_CONNECTING ? "no answer" : "silent for too long");
}

static void socket_options(int fd, unsigned user_timeout_ms)
{
	int on = 1, idle_s = 2, interval_s = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
	/* A side that only listens learns of a silent death by this alone. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
}

int channel_start(struct channel *c, const struct channel_options *options, int fd)
{
	*c = (struct channel){
	    .handlers = options->handlers,
	    .scratch = options->scratch,
	    .queue_max = options->queue_max,
	    .fd = fd,
	    .handles = 2,
	};
	int rv = uv_poll_init(options->loop, &c->poll, fd);
	if (rv < 0) {
		close(fd);
		return rv;
	}
	uv_timer_init(options->loop, &c->timer);
	c->poll.data = c->timer.data = c;
	socket_options(fd, options->user_timeout_ms);
	c->tls = tls_new(options->tls, options->side, TLS_MEMBER);
	c->state = options->side == TLS_DIAL ? CHANNEL_CONNECTING : CHANNEL_SHAKING;
	poll_for(c, options->side == TLS_DIAL ? UV_WRITABLE : UV_READABLE);
	channel_limit(c, options->limit_ms);
	return 0;
}

void channel_frame_max(struct channel *c, size_t size)
{
	c->frames.limit = size;
}

void channel_limit(struct channel *c, unsigned ms)
{
	if (c->state == CHANNEL_CLOSED)
		return;
	if (ms > 0)
		uv_timer_start(&c->timer, on_limit, ms, 0);
	else
		uv_timer_stop(&c->timer);
}

/* Linux's struct tcp_info, of which the C library knows the beginning. */
struct tcp_measured {
	struct tcp_info beginning;
	uint64_t rates[2], bytes[2];
	uint32_t segments[2], not_sent_bytes, min_rtt_us;
};
_Static_assert(offsetof(struct tcp_measured, min_rtt_us) == 148, "as the kernel lays it out");

uint32_t channel_rtt_us(const struct channel *c)
{
	struct tcp_measured info = {.min_rtt_us = UINT32_MAX};
	socklen_t size = sizeof(info);
	if (c->state != CHANNEL_OPEN || getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return 0;
	/* The usual one would take an outage for a slow network: what was sent again after a cut
	 * counts as one long round trip. */
	return info.min_rtt_us == UINT32_MAX ? 0 : info.min_rtt_us;
}
