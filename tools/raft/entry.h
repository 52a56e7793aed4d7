/* Entries of the log as rows, for people and programs.
 *
 * A row is {"index", "term", "size", "operation": {"command", ..., "text"}}; an entry of many
 * operations makes as many rows, and what can not be read makes one that says so. */
#ifndef TOOLS_RAFT_ENTRY_H
#define TOOLS_RAFT_ENTRY_H

#include <jansson.h>

#include "raft/configuration.h"
#include "raft/disk.h"

/* Append the rows of this entry. */
void entry_rows(json_t *rows, uint64_t index, const struct disk_entry *entry);

/* [{"id", "address", "role"}] */
json_t *entry_members(const struct configuration *c);

/* Take text over as a JSON string. */
json_t *entry_text(struct buffer *text);

#endif
