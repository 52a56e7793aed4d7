/* The connection to a Ceph cluster, for the files of this room that speak to it.
 *
 * One connection is kept, not one a call. After a time-out it is given up: bound to a
 * monitor that hangs it would go on failing for half a minute, where a fresh one finds
 * another monitor in some 20 ms. Every call of the library's that goes to the cluster
 * goes through here or ends in pool_failed(), which sees to that. */
#ifndef STORAGE_POOL_RBD_H
#define STORAGE_POOL_RBD_H

#include "storage/ceph_dl.h"
#include "storage/pool.h"

struct pool {
	const struct ceph_dl *dl;
	rados_t cluster; /* NULL: not connected */
	char *config_file;
	char *keyring; /* "": as config_file says */
	unsigned timeout_s;
};

/* Be connected. Returns 0, or a negative errno, and then cluster is NULL. */
int pool_connect(struct pool *pool, struct err *err);

/* What a call of the library's that gave rc (negative) means for the connection: gives it up
 * after -ETIMEDOUT and -ESHUTDOWN (we were put on the blocklist), and says so: "what: why". Ioctxs
 * must have been destroyed before. Returns rc. */
int pool_failed(struct pool *pool, int rc, const char *what, struct err *err);

/* One command of the monitors' or, passed on by them, the manager's, which has no arguments.
 * 0: *answer is *size bytes and the library's (rados_buffer_free). */
int pool_command(
    struct pool *pool, const char *prefix, char **answer, size_t *size, struct err *err);

/* Of the port; in pool_locks.c. */
int pool_rbd_lockers(struct pool *pool, const char *volume, struct pool_locker **lockers,
    unsigned *n, struct err *err);
int pool_rbd_unlock(
    struct pool *pool, const char *volume, const struct pool_locker *locker, struct err *err);

#endif
