/* Freeing a VM's volumes from the locks that others left on them.
 *
 * A lock whose owner is gone lets a VM start and read, and holds up its first
 * write for half a minute or for ever. One whose owner only hangs must not just
 * be broken: it would write over the new owner's data when it goes on. So each
 * client is kept from writing first (pool.h: unlock), and only who is certain to
 * be gone is touched at all: who calls this has seen that the VM does not run
 * here, and vouches for the proven. */
#ifndef STORAGE_RELEASE_H
#define STORAGE_RELEASE_H

#include <stdbool.h>

#include "storage/pool.h"
#include "storage/volume.h"

enum release_extent {
	RELEASE_STALE, /* of this machine and of the proven alone */
	RELEASE_ALL, /* everybody's: a person says that nobody uses them */
};

struct release {
	struct volumes volumes;
	/* Addresses with blanks between them; the caller's. */
	const char *own; /* of this machine */
	const char *proven; /* of nodes that are off for certain */
	enum release_extent extent;
};

struct release_lock {
	char volume[VOLUME_NAME_MAX];
	struct pool_locker locker;
};

struct release_result {
	struct release_lock *locks; /* those freed; or when refused, those of others */
	unsigned count;
	bool refused; /* a volume is locked by somebody else: nothing was freed */
};

/* Free all of them or, when one is somebody else's, none. A volume that does not exist has no
 * locks. Returns 0 with *result (release_result_close), or a negative errno: some may be freed. */
int release_locks(const struct pool_port *port, struct pool *pool, const struct release *release,
    struct release_result *result, struct err *err);
void release_result_close(struct release_result *result);

#endif
