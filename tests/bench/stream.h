/* A stream that does not block, to 127.0.0.1:PORT or to /the/path of a socket. */
#ifndef TESTS_BENCH_STREAM_H
#define TESTS_BENCH_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"

struct stream {
	int fd;
	struct buffer in; /* received and not yet used */
	struct buffer out; /* queued and not yet sent */
};

int stream_open(struct stream *s, const char *endpoint);
int stream_receive(struct stream *s); /* all there is; negative at its end */
void stream_used(struct stream *s, size_t size);
int stream_send(struct stream *s); /* as much as goes now */
void stream_interest(const struct stream *s, int *fd, uint32_t *events);
void stream_close(struct stream *s);

#endif
