/* The port to the disk pool. Adapters are plain blocking functions that know no
 * loop; they run in a worker process that is killed at its deadline.
 *
 * Every call is bounded by timeout_s as well as the library allows, which is
 * not well enough: some of its calls ignore every limit. What a call could not
 * learn is absent from its view (the bits of known), never zero. */
#ifndef STORAGE_POOL_H
#define STORAGE_POOL_H

#include "fsm/err.h"

struct ceph_view; /* fsm/record.def */

struct pool; /* one connection */

struct pool_options {
	const char *config_file; /* ceph.conf; for sim: a directory */
	const char *keyring; /* of client.admin; empty: as config_file says */
	unsigned timeout_s; /* of each step of the library's */
};

struct pool_locker { /* one holder of a volume's exclusive lock, as librados gives it */
	char entity[64]; /* client.4711 */
	char cookie[128]; /* auto 139940839035072 */
	char address[128]; /* v1:10.0.0.1:0/123 */
};

/* All return 0 or a negative errno; what they fill is untouched, or empty, on failure.
 * -ETIMEDOUT: a daemon does not answer, and this connection may go on not answering when
 * others do again: the caller had better start from a new process. */
struct pool_port {
	const char *name; /* rbd, sim */
	/* -ENOTRECOVERABLE: the library can not be opened, and not by this process later on. */
	int (*open)(struct pool **pool, const struct pool_options *options, struct err *err);
	void (*close)(struct pool *pool);
	/* What the monitors serve: health, OSDs and their places, pools and their use. */
	int (*look)(struct pool *pool, struct ceph_view *view, struct err *err);
	/* What the manager serves: use, latencies and rates of OSDs, rates of pools. After a
	 * time-out the rest is not asked for: 0 with what there is; the failure when nothing is. */
	int (*measure)(struct pool *pool, struct ceph_view *view, struct err *err);
	/* Who holds the lock of "pool/image" or "pool/namespace/image": *lockers is malloced and
	 * the caller's, NULL when there are none. -ENOENT: no such volume. */
	int (*lockers)(struct pool *pool, const char *volume, struct pool_locker **lockers,
	    unsigned *n, struct err *err);
	/* Take the lock away from that client, after its very address was kept from writing.
	 * 0 also when it is gone. */
	int (*unlock)(struct pool *pool, const char *volume, const struct pool_locker *locker,
	    struct err *err);
};

extern const struct pool_port pool_rbd, pool_sim;

#endif
