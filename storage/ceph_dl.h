/* librados, opened at run time from its real header: a node without Ceph starts
 * and says what it lacks.
 *
 * One table of functions. rados_mgr_command is not in it on purpose: given a
 * time-out, it crashes the process when the late answer comes. The monitors pass
 * the manager's commands on to it, and rados_mon_command has no such fault. */
#ifndef STORAGE_CEPH_DL_H
#define STORAGE_CEPH_DL_H

#include <rados/librados.h>

#include "fsm/err.h"

#define CEPH_DL(X)                                                                                 \
	X(rados_blocklist_add)                                                                     \
	X(rados_break_lock)                                                                        \
	X(rados_buffer_free)                                                                       \
	X(rados_conf_read_file)                                                                    \
	X(rados_conf_set)                                                                          \
	X(rados_connect)                                                                           \
	X(rados_create)                                                                            \
	X(rados_ioctx_create)                                                                      \
	X(rados_ioctx_destroy)                                                                     \
	X(rados_ioctx_set_namespace)                                                               \
	X(rados_list_lockers)                                                                      \
	X(rados_mon_command)                                                                       \
	X(rados_read)                                                                              \
	X(rados_shutdown)                                                                          \
	X(rados_stat)

#define CEPH_DL_FUNCTION(name) __typeof__(&name) name;
struct ceph_dl {
	CEPH_DL(CEPH_DL_FUNCTION)
};
#undef CEPH_DL_FUNCTION

/* The library's functions, for as long as the process lives. NULL with err: it is not
 * installed, or too old. */
const struct ceph_dl *ceph_dl_open(struct err *err);

#endif
