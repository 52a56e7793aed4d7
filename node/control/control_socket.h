/* The control socket's file: who may open it, and who it is that did. */
#ifndef NODE_CONTROL_CONTROL_SOCKET_H
#define NODE_CONTROL_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "fsm/err.h"

struct control_peer {
	uid_t uid;
	pid_t pid;
	bool allowed; /* root, our own user, or in group pvc */
};

/* A listening, non-blocking socket at path, mode 0660, of group pvc if there is one. It is
 * never there with other rights. Returns the descriptor or -errno. */
int control_socket_listen(const char *path, struct err *err);

int control_socket_peer(int fd, struct control_peer *peer);

#endif
