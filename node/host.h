/* What this machine says of itself: /proc and uname. Never blocks. */
#ifndef NODE_HOST_H
#define NODE_HOST_H

#include "node/agent.h"

/* Fill in what can be read; what cannot stays as it was. Returns 0, or -errno
 * when memory could not be told. */
int host_read(struct host *host);

#endif
