#include "node/control/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int address_of(const char *path, struct sockaddr_un *address, socklen_t *size)
{
	size_t bytes = strlen(path);
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if ((path[0] != '/' && path[0] != '@') || bytes >= sizeof(address->sun_path))
		return -EAFNOSUPPORT;
	memcpy(address->sun_path, path, bytes);
	if (path[0] == '@') /* the abstract namespace */
		address->sun_path[0] = '\0';
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
	return 0;
}

static int notify(const char *message)
{
	struct sockaddr_un address;
	socklen_t size;
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || !*path)
		return 0;
	int status = address_of(path, &address, &size);
	if (status < 0)
		return status;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	ssize_t sent =
	    sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
	status = sent < 0 ? -errno : 1;
	close(fd);
	return status;
}

int notify_ready(void)
{
	return notify("READY=1");
}

int notify_watchdog(void)
{
	return notify("WATCHDOG=1");
}

int notify_stopping(void)
{
	return notify("STOPPING=1");
}

int notify_patience(unsigned ms)
{
	char message[64];
	snprintf(message, sizeof(message), "EXTEND_TIMEOUT_USEC=%u000", ms);
	return notify(message);
}

int notify_status(const char *format, ...)
{
	char message[512] = "STATUS=";
	size_t used = strlen(message);
	va_list args;
	va_start(args, format);
	vsnprintf(message + used, sizeof(message) - used, format, args);
	va_end(args);
	/* A newline would begin another assignment. */
	message[strcspn(message, "\n")] = '\0';
	return notify(message);
}

uint64_t notify_watchdog_ms(void)
{
	const char *interval_us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	if (!interval_us || (pid && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	return strtoull(interval_us, NULL, 10) / 2000;
}
