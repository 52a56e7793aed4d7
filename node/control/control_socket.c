#include "node/control/control_socket.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define GROUP	   "pvc"
#define BACKLOG	   512
#define GROUPS_MAX 256

static int address_of(const char *path, const char *suffix, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int size = snprintf(address->sun_path, sizeof(address->sun_path), "%s%s", path, suffix);
	return size < 0 || (size_t)size >= sizeof(address->sun_path) ? -ENAMETOOLONG : 0;
}

/* Does somebody listen there? A socket file outlives whoever made it. */
static bool in_use(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	int result = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	bool used = result == 0 || errno == EAGAIN;
	close(fd);
	return used;
}

static int rights_set(const char *path)
{
	const struct group *group = getgrnam(GROUP);
	/* Who is not root cannot give it to the group, and does not need to. */
	if (group && chown(path, (uid_t)-1, group->gr_gid) && errno != EPERM)
		return -errno;
	return chmod(path, 0660) ? -errno : 0;
}

/* Bound and listening under a name of its own until its rights are right. */
static int listen_aside(int fd, const struct sockaddr_un *aside)
{
	unlink(aside->sun_path);
	if (bind(fd, (const struct sockaddr *)aside, sizeof(*aside)))
		return -errno;
	int result = rights_set(aside->sun_path);
	if (!result && listen(fd, BACKLOG))
		result = -errno;
	return result;
}

int control_socket_listen(const char *path, struct err *err)
{
	struct sockaddr_un address, aside;
	int result = address_of(path, "", &address);
	if (!result)
		result = address_of(path, ".new", &aside);
	if (result)
		return err_set(err, result, "%s: too long for a socket's name", path);
	if (in_use(&address))
		return err_set(err, -EADDRINUSE, "%s: a daemon is listening there already", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	result = listen_aside(fd, &aside);
	if (!result && rename(aside.sun_path, path))
		result = -errno;
	if (!result)
		return fd;
	unlink(aside.sun_path);
	close(fd);
	return err_set(err, result, "%s: %s", path, strerror(-result));
}

static bool in_group(int fd, gid_t primary)
{
	const struct group *group = getgrnam(GROUP);
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);
	if (!group)
		return false;
	if (primary == group->gr_gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		return false;
	for (size_t i = 0; i < size / sizeof(*groups); i++)
		if (groups[i] == group->gr_gid)
			return true;
	return false;
}

int control_socket_peer(int fd, struct control_peer *peer)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	*peer = (struct control_peer){0};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
		return -errno;
	peer->uid = who.uid;
	peer->pid = who.pid;
	peer->allowed = who.uid == 0 || who.uid == geteuid() || in_group(fd, who.gid);
	return 0;
}
