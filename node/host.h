/* What this machine says of itself: /proc, /sys and uname. Never blocks. */
#ifndef NODE_HOST_H
#define NODE_HOST_H

#include "node/agent.h"

/* Fill in what can be read; what cannot stays as it was. Returns 0, or -errno
 * when memory could not be told. */
int host_read(struct host *host);

/* Let this process open as many files as it may, up to HOST_FILES_MAX; never fewer than before. */
#define HOST_FILES_MAX 65536
void host_raise_files(void);

#endif
