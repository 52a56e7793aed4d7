/* Any bytes from a client of the control socket, in any pieces. The first byte says how large the
 * pieces are; what is left is what the client sends to a real server on a real socket. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fsm/check.h"
#include "node/control/control.h"
#include "tests/unit/stage.h"

#define PATIENCE  32 /* turns */
#define TURNS_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct server {
	uv_loop_t loop;
	struct stage stage;
	struct control *control;
	char path[64];
};

static void propose(void *data, uint64_t request, const uint8_t *operation, size_t size)
{
	struct server *s = data;
	int result =
	    cluster_apply(&s->stage.cluster, s->stage.cluster.index + 1, operation, size, NULL);
	control_answered(s->control, request, result, s->stage.cluster.index);
	control_changed(s->control);
}

static void read_now(void *data, uint64_t request)
{
	struct server *s = data;
	control_answered(s->control, request, 0, s->stage.cluster.index);
}

static void server_open(struct server *s)
{
	struct control_options options = {
	    .loop = &s->loop,
	    .path = s->path,
	    .context = &s->stage.context,
	    .ports = {s, propose, read_now, read_now},
	};
	struct err err;
	stage_open(&s->stage);
	uv_loop_init(&s->loop);
	snprintf(s->path, sizeof(s->path), "/tmp/fuzz_control.%d", (int)getpid());
	if (control_open(&s->control, &options, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
}

static void server_close(struct server *s)
{
	struct err err;
	control_close(s->control);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	assert(uv_loop_close(&s->loop) == 0);
	assert(check_cluster(&s->stage.cluster, &err) == 0);
	stage_close(&s->stage);
}

static int visit(const struct server *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	memcpy(address.sun_path, s->path, strlen(s->path));
	assert(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

/* Read what has come. 1: the server has closed the connection. */
static int drain(int fd)
{
	static char bytes[65536];
	ssize_t n;
	do
		n = recv(fd, bytes, sizeof(bytes), 0);
	while (n > 0);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct server s;
	if (size == 0)
		return 0;
	size_t piece = data[0] ? data[0] : size, at = 1;
	server_open(&s);
	int fd = visit(&s);
	int closed = 0;
	unsigned said_at = 0; /* the turn in which all was said */
	/* Who has said all waits for a while: not everything that is asked here is answered. */
	for (unsigned turns = 1; !closed && (!said_at || turns < said_at + PATIENCE); turns++) {
		size_t left = size - at;
		ssize_t n =
		    left ? send(fd, data + at, left < piece ? left : piece, MSG_NOSIGNAL) : 0;
		at += n > 0 ? (size_t)n : 0;
		if (at == size && !said_at) {
			shutdown(fd, SHUT_WR);
			said_at = turns;
		}
		uv_run(&s.loop, UV_RUN_NOWAIT);
		closed = drain(fd);
		assert(said_at || turns < TURNS_MAX);
	}
	close(fd);
	server_close(&s);
	return 0;
}
