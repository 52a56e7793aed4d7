/* Entries of the log as rows of JSON: for a replica's log in memory and for one in files.
 *
 * A row is one operation: {"index", "term", "size", "type", "state", "result", "operation"}.
 * Ticks in a row may be one row, of the last of them with "ticks", how many there were: one a
 * second would leave people room for nothing else. Rows are looked for from the end, so the newest
 * are found however long the log is, and no more than scan_max bytes of it are read. */
#ifndef NODE_OPERATION_ENTRY_JSON_H
#define NODE_OPERATION_ENTRY_JSON_H

#include <jansson.h>

#include "fsm/cluster.h"
#include "raft/disk.h"

struct entry_source {
	const void *data;
	/* The entry at index, whose bytes last until the log changes. 0 or -ENOENT. */
	int (*entry)(const void *data, uint64_t index, struct disk_entry *entry);
	/* What the machine answered to the n-th operation of an entry, from 0. 0, or -ENOENT: it
	 * is not known any more. NULL: it never is. */
	int (*result)(const void *data, uint64_t index, unsigned n, int *result);
	uint64_t first, last;
	uint64_t committed; /* up to here for certain */
	const char *beyond; /* the state of what comes after that: "uncommitted", "unknown" */
	const struct record_names *names; /* for people; NULL: there are ids alone */
};

enum entry_detail {
	ENTRY_WHOLE,
	ENTRY_BRIEF, /* lists within lists are left out, and of long texts all but the size */
};

struct entry_query {
	uint64_t from, to; /* 0: from the first, to the last */
	uint64_t most; /* rows, the newest; 0: all */
	uint64_t scan_max; /* bytes of entries to be read; 0: all */
	uint64_t rows_max; /* bytes of the operations that become rows, about; 0: all */
	const char *type; /* an operation's name, barrier or change; NULL: every one */
	/* What concerns this node, or this VM: by id, and by its name or UUID, which is all that an
	 * operation has that makes it. 0 and NULL: everything. A tick concerns nobody. */
	uint32_t node, vm;
	const char *node_name, *vm_name, *vm_uuid;
	enum entry_detail detail;
	enum { ENTRY_TICKS_TOGETHER, ENTRY_TICKS_APART } ticks;
};

/* Can anything be found by it? A type must be one that stands in a log, and from not behind to.
 * 0, or -EINVAL with err. */
int entry_query_check(const struct entry_query *query, struct err *err);

/* Fill in node and vm from what a person typed: a name, a UUID or an id; either may be NULL. c
 * says who has which name. 0, or -ENOENT with err. The texts must last as long as the query. */
int entry_query_name(struct entry_query *query, const struct cluster *c, const char *node,
    const char *vm, struct err *err);

/* By rising index. *searched_from is the oldest index that was looked at. */
json_t *entry_list(
    const struct entry_source *source, const struct entry_query *query, uint64_t *searched_from);

/* [{"id", "address", "role"}] */
struct configuration;
json_t *entry_members(const struct configuration *c);

/* One operation as it stands in an entry: {"command", ..., "client", "sequence", "text"}. names
 * may be NULL. */
json_t *entry_operation(const uint8_t *operation, size_t size, enum entry_detail detail,
    const struct record_names *names);

#endif
