/* A view while it is put together: lists in order of id, each id once.
 *
 * Of more than the cluster's value has room for (fsm/ceph.h), those with the lowest ids stay. */
#ifndef STORAGE_CEPH_VIEW_H
#define STORAGE_CEPH_VIEW_H

#include "fsm/record.h"

/* The one with this id, made when there is none. NULL: there are too many with lower ids. Valid
 * until the next one is made. */
struct ceph_osd *ceph_view_osd(struct ceph_view *view, uint32_t id);
struct ceph_pool *ceph_view_pool(struct ceph_view *view, uint32_t id);

/* NULL: there is none. */
struct ceph_osd *ceph_view_osd_seek(struct ceph_view *view, uint32_t id);

/* Made when there is none. */
struct ceph *ceph_view_status(struct ceph_view *view);

#endif
