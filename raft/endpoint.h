/* Where a member listens: "10.0.0.1:7080", "[fd00::1]:7080", "node1.example:7080". */
#ifndef RAFT_ENDPOINT_H
#define RAFT_ENDPOINT_H

#include <netdb.h>
#include <stdint.h>
#include <sys/socket.h>

#include "fsm/err.h"

#define ENDPOINT_SIZE 128 /* of the text with its NUL */

struct endpoint {
	char host[ENDPOINT_SIZE]; /* without brackets */
	char port[6];
};

struct endpoint_address {
	struct sockaddr_storage storage;
	socklen_t size;
};

/* Returns 0, or -EINVAL with err. */
int endpoint_parse(const char *text, struct endpoint *endpoint, struct err *err);
/* The address of a host that is a number; asks nobody. -ENOENT: it is a name. */
int endpoint_numeric(const struct endpoint *endpoint, struct endpoint_address *address);
/* One of what was found for a name: another with each attempt. -ENOENT: there is none. */
int endpoint_choose(
    const struct addrinfo *found, unsigned attempt, struct endpoint_address *address);
/* "HOST:PORT" or "[HOST]:PORT" in numbers. */
void endpoint_print(const struct endpoint_address *address, char text[ENDPOINT_SIZE]);

/* A non-blocking TCP socket on its way to address: the descriptor, or -errno. */
int endpoint_connect(const struct endpoint_address *address);
/* A non-blocking TCP socket that listens: the descriptor, or -errno. */
int endpoint_listen(const struct endpoint_address *address);
/* The port that a socket is bound to; 0 when it has none. */
uint16_t endpoint_port(int fd);

#endif
