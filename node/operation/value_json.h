/* The cluster's value as JSON: the whole, a part of it, and what two of them differ in.
 *
 * A part is named by a path such as nodes/hv1, vms/web1/state or settings. In a list an item is
 * named by its name, UUID, key or id; ~1 stands for / within a name and ~0 for ~, as in a JSON
 * pointer. */
#ifndef NODE_OPERATION_VALUE_JSON_H
#define NODE_OPERATION_VALUE_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "fsm/cluster.h"

/* What the value is made of, in the order of a snapshot. */
struct value_part {
	const char *name;
	const struct record *record;
	const void *object; /* NULL: it is a table */
	const struct table *table;
};
#define VALUE_PARTS_MAX 16
unsigned value_parts(const struct cluster *c, struct value_part parts[VALUE_PARTS_MAX]);

json_t *value_json(const struct cluster *c);

/* What an object is called: its name, UUID, key or id; "" when it has none of them. */
#define VALUE_NAME_MAX 256
void value_name(const json_t *object, char name[VALUE_NAME_MAX]);
/* Add a name to a path as value_at() reads it: / and ~ within it are ~1 and ~0. */
void value_path_add(struct buffer *path, const char *name);

/* The part at path, borrowed; NULL with err when there is none: how far it leads, and what there
 * is. */
json_t *value_at(json_t *value, const char *path, struct err *err);

/* The part at path ("": all of it) and no more than that is made. 0; -ENOENT; -EMSGSIZE: it
 * would take more than about bytes_max; with err. */
int value_part_json(
    const struct cluster *c, const char *path, uint64_t bytes_max, json_t **value, struct err *err);

/* Append what differs, as {"path", "old", "new"}; null: it is not there. Returns how many. */
size_t value_diff(const json_t *old, const json_t *new, json_t *changes);

/* A line for each difference: "vms/web1/state: stop -> start". */
void value_diff_print(const json_t *changes, FILE *out);

#endif
