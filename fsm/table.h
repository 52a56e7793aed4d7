/* A table of the cluster's value: objects of one record, in the order of their
 * key, which is the record's first field. Order is part of the value: what
 * goes through a table goes in the same order on every member. */
#ifndef FSM_TABLE_H
#define FSM_TABLE_H

#include "fsm/record.h"

struct table {
	const struct record *record;
	uint32_t digest_offset; /* of the object's uint64_t digest */
	void **items; /* owned, sorted by key */
	uint32_t count;
	uint32_t capacity;
};

/* Every record's struct has a digest; TABLE(node) is an empty table of nodes. */
#define TABLE(name)                                                                                \
	(struct table)                                                                             \
	{                                                                                          \
		.record = name##_record(), .digest_offset = offsetof(struct name, digest)          \
	}

/* key points to a value of the first field's type (uint32_t, uint64_t or text). NULL: there is
 * no such object. */
void *table_find(const struct table *t, const void *key);
/* Its place in items; count: there is no such object. */
uint32_t table_position(const struct table *t, const void *key);

/* Whether every key in it is less than this one. */
bool table_ends_before(const struct table *t, const void *key);

/* Insert an object that was made with must_alloc and has a key that is not in
 * the table; the table owns it. */
void table_insert(struct table *t, void *object);

/* Take an object out and free it. */
void table_remove(struct table *t, void *object);

void table_close(struct table *t);

uint64_t *table_digest(const struct table *t, void *object);

#endif
