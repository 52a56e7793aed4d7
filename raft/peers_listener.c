#include "raft/peers_listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_MS	 100
#define ACCEPTS_PER_TURN 16

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_pause(uv_timer_t *timer)
{
	struct listener *l = timer->data;
	uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

static void pause_start(struct listener *l)
{
	uv_poll_stop(&l->poll);
	uv_timer_start(&l->pause, on_pause, PAUSE_MS, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	for (int i = 0; i < ACCEPTS_PER_TURN && l->fd >= 0; i++) {
		struct endpoint_address from = {.size = sizeof(from.storage)};
		int fd = accept4(l->fd, (struct sockaddr *)&from.storage, &from.size,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			l->accepted(l, fd, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_start(l);
		/* Anything else is either EAGAIN or of the one connection that failed. */
		return;
	}
}

int listener_open(struct listener *l, uv_loop_t *loop, const struct endpoint *at, struct err *err)
{
	struct endpoint_address address;
	l->fd = -1;
	if (endpoint_numeric(at, &address) < 0)
		return err_set(err, -EINVAL, "listen on '%s': not an IP address", at->host);
	int rv = endpoint_listen(&address);
	/* Everywhere, on a machine that has no IPv6. */
	if (rv == -EAFNOSUPPORT && strcmp(at->host, "::") == 0) {
		struct endpoint v4 = *at;
		snprintf(v4.host, sizeof(v4.host), "0.0.0.0");
		endpoint_numeric(&v4, &address);
		rv = endpoint_listen(&address);
	}
	if (rv < 0)
		return err_set(
		    err, rv, "listen on %s port %s: %s", at->host, at->port, strerror(-rv));
	l->fd = rv;
	rv = uv_poll_init(loop, &l->poll, l->fd);
	if (rv < 0) {
		close(l->fd);
		l->fd = -1;
		return err_set(
		    err, rv, "listen on %s port %s: %s", at->host, at->port, uv_strerror(rv));
	}
	uv_timer_init(loop, &l->pause);
	l->handles = 2;
	l->poll.data = l->pause.data = l;
	uv_poll_start(&l->poll, UV_READABLE, on_poll);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;
	if (--l->handles == 0)
		l->gone(l);
}

void listener_close(struct listener *l)
{
	uv_close((uv_handle_t *)&l->poll, on_closed);
	uv_close((uv_handle_t *)&l->pause, on_closed);
	close(l->fd);
	l->fd = -1;
}
