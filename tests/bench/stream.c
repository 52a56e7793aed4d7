#include "tests/bench/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STREAM_READ_SIZE (64 * 1024)

static int connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -ECONNREFUSED;
}

static int connect_tcp(const char *endpoint)
{
	char host[64];
	const char *colon = strchr(endpoint, ':');
	if (!colon || (size_t)(colon - endpoint) >= sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - endpoint), endpoint);
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10))};
	if (!inet_aton(host, &address.sin_addr))
		return -EINVAL;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		return fd;
	}
	close(fd);
	return -ECONNREFUSED;
}

int stream_open(struct stream *s, const char *endpoint)
{
	*s = (struct stream){
	    .fd = endpoint[0] == '/' ? connect_unix(endpoint) : connect_tcp(endpoint)};
	if (s->fd < 0)
		return s->fd;
	fcntl(s->fd, F_SETFL, O_NONBLOCK);
	return 0;
}

int stream_receive(struct stream *s)
{
	uint8_t bytes[STREAM_READ_SIZE];
	for (;;) {
		ssize_t size = read(s->fd, bytes, sizeof(bytes));
		if (size > 0)
			buffer_append(&s->in, bytes, (size_t)size);
		if (size == (ssize_t)sizeof(bytes))
			continue;
		return size > 0 || (size < 0 && errno == EAGAIN) ? 0 : -EPIPE;
	}
}

void stream_used(struct stream *s, size_t size)
{
	s->in.size -= size;
	memmove(s->in.data, s->in.data + size, s->in.size);
}

int stream_send(struct stream *s)
{
	size_t at = 0;
	while (at < s->out.size) {
		ssize_t size = send(s->fd, s->out.data + at, s->out.size - at, MSG_NOSIGNAL);
		if (size < 0 && errno != EAGAIN)
			return -EPIPE;
		if (size < 0)
			break;
		at += (size_t)size;
	}
	s->out.size -= at;
	memmove(s->out.data, s->out.data + at, s->out.size);
	return 0;
}

void stream_interest(const struct stream *s, int *fd, uint32_t *events)
{
	*fd = s->fd;
	*events = EPOLLIN | (s->out.size ? EPOLLOUT : 0);
}

void stream_close(struct stream *s)
{
	close(s->fd);
	buffer_close(&s->in);
	buffer_close(&s->out);
}
