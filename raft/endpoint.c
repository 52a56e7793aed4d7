#include "raft/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 128

static bool port_valid(const char *port)
{
	size_t n = strlen(port);
	long number = strtol(port, NULL, 10);
	return n >= 1 && n <= 5 && strspn(port, "0123456789") == n && number >= 1 &&
	       number <= 65535;
}

static bool host_valid(const char *host, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (host[i] <= ' ' || host[i] > '~' || strchr("[]\"'/@\\", host[i]))
			return false;
	return size > 0 && size < ENDPOINT_SIZE - 8;
}

int endpoint_parse(const char *text, struct endpoint *endpoint, struct err *err)
{
	const char *colon = strrchr(text, ':');
	if (!colon || !port_valid(colon + 1))
		return err_set(err, -EINVAL, "'%.128s' does not end in a port (host:port)", text);
	const char *host = text;
	size_t size = (size_t)(colon - text);
	if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
		host++;
		size -= 2;
	} else if (memchr(host, ':', size)) {
		return err_set(
		    err, -EINVAL, "'%.128s': an IPv6 address needs brackets: [::1]:7080", text);
	}
	if (!host_valid(host, size))
		return err_set(err, -EINVAL, "'%.128s' is not host:port", text);
	memcpy(endpoint->host, host, size);
	endpoint->host[size] = '\0';
	snprintf(endpoint->port, sizeof(endpoint->port), "%.5s", colon + 1);
	return 0;
}

int endpoint_numeric(const struct endpoint *endpoint, struct endpoint_address *address)
{
	struct addrinfo hints = {
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	    .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;
	if (getaddrinfo(endpoint->host, endpoint->port, &hints, &found) != 0)
		return -ENOENT;
	int rv = endpoint_choose(found, 0, address);
	freeaddrinfo(found);
	return rv;
}

int endpoint_choose(
    const struct addrinfo *found, unsigned attempt, struct endpoint_address *address)
{
	unsigned n = 0;
	for (const struct addrinfo *a = found; a; a = a->ai_next)
		n++;
	if (n == 0)
		return -ENOENT;
	for (unsigned skip = attempt % n; skip > 0; skip--)
		found = found->ai_next;
	*address = (struct endpoint_address){.size = found->ai_addrlen};
	memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
	return 0;
}

void endpoint_print(const struct endpoint_address *address, char text[ENDPOINT_SIZE])
{
	char host[ENDPOINT_SIZE - 16], port[8];
	if (getnameinfo((const struct sockaddr *)&address->storage, address->size, host,
		sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		snprintf(text, ENDPOINT_SIZE, "?");
		return;
	}
	bool v6 = address->storage.ss_family == AF_INET6;
	snprintf(text, ENDPOINT_SIZE, v6 ? "[%s]:%s" : "%s:%s", host, port);
}

int endpoint_connect(const struct endpoint_address *address)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address->storage, address->size) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	int rv = -errno;
	close(fd);
	return rv;
}

int endpoint_listen(const struct endpoint_address *address)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int on = 1, off = 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->storage.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (const struct sockaddr *)&address->storage, address->size) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	int rv = -errno;
	close(fd);
	return rv;
}

uint16_t endpoint_port(int fd)
{
	struct sockaddr_storage storage = {0};
	socklen_t size = sizeof(storage);
	if (getsockname(fd, (struct sockaddr *)&storage, &size) < 0)
		return 0;
	if (storage.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&storage)->sin6_port);
	return ntohs(((struct sockaddr_in *)&storage)->sin_port);
}
