/* What `osd status` answers up to Ceph 16: a table for people, whatever format was asked for.
 *
 * The host's cell may be empty and is the only one that may; the rates have three digits and a
 * letter, so they are as exact as that. */
#ifndef STORAGE_CEPH_OSD_TABLE_H
#define STORAGE_CEPH_OSD_TABLE_H

#include <stddef.h>

#include "fsm/err.h"
#include "fsm/record.h"

/* Add the rates of the OSDs to view; no bytes at all are no OSDs. Returns 0, or -EBADMSG with
 * err: not the columns that are known, and then view is as it was. */
int ceph_osd_table_read(const char *table, size_t size, struct ceph_view *view, struct err *err);

#endif
