/* Ceph as the value has it: what the primary coordinator last reported of its health, disks and
 * pools.
 *
 * Ceph answers by several commands, some of them served by a manager that may be dead: what came
 * together is a group, and a record's `known` has the bits of those that did come. */
#ifndef FSM_CEPH_H
#define FSM_CEPH_H

#include "fsm/cluster.h"

#define CEPH_OSDS_MAX  1024
#define CEPH_POOLS_MAX 256

enum { /* of struct ceph; both by the monitors */
	CEPH_STATUS = 1 << 0,
	CEPH_DF = 1 << 1,
};

enum { /* of struct ceph_osd; the first two by the monitors, the others by the manager */
	CEPH_OSD_DUMP = 1 << 0,
	CEPH_OSD_TREE = 1 << 1,
	CEPH_OSD_DF = 1 << 2,
	CEPH_OSD_PERF = 1 << 3,
	CEPH_OSD_IO = 1 << 4,
};

enum { /* of struct ceph_pool; the first two by the monitors, the last by the manager */
	CEPH_POOL_DUMP = 1 << 0,
	CEPH_POOL_DF = 1 << 1,
	CEPH_POOL_IO = 1 << 2,
};

/* NULL: there is none. */
const struct ceph_osd *ceph_osd_find(const struct cluster *c, uint32_t id);
const struct ceph_pool *ceph_pool_find(const struct cluster *c, uint32_t id);

#endif
