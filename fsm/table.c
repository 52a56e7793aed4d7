#include "fsm/table.h"

#include <stdlib.h>
#include <string.h>

static int key_compare(const struct table *t, const void *a, const void *b)
{
	switch (t->record->fields[0].type) {
	case FIELD_U32: {
		uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
		return x < y ? -1 : x > y;
	}
	case FIELD_U64: {
		uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
		return x < y ? -1 : x > y;
	}
	default:
		return strcmp(a, b);
	}
}

/* The place of the first object whose key is not less. */
static uint32_t table_place(const struct table *t, const void *key)
{
	uint32_t low = 0, high = t->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (key_compare(t, t->items[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Numbers are given out in order and seldom taken back: most objects stand where they would if
 * none had been removed. */
static uint32_t table_guess(const struct table *t, const void *key)
{
	if (t->record->fields[0].type != FIELD_U32 || t->count == 0)
		return t->count;
	uint32_t number = *(const uint32_t *)key, at = number - *(const uint32_t *)t->items[0];
	bool hit = at < t->count && *(const uint32_t *)t->items[at] == number;
	return hit ? at : t->count;
}

uint32_t table_position(const struct table *t, const void *key)
{
	uint32_t at = table_guess(t, key);
	if (at < t->count)
		return at;
	at = table_place(t, key);
	if (at < t->count && key_compare(t, t->items[at], key) == 0)
		return at;
	return t->count;
}

bool table_ends_before(const struct table *t, const void *key)
{
	return !t->count || key_compare(t, t->items[t->count - 1], key) < 0;
}

void *table_find(const struct table *t, const void *key)
{
	uint32_t at = table_position(t, key);
	return at < t->count ? t->items[at] : NULL;
}

void table_insert(struct table *t, void *object)
{
	if (t->count == t->capacity) {
		t->capacity = t->capacity ? t->capacity * 2 : 16;
		t->items = must_realloc(t->items, t->capacity * sizeof(*t->items));
	}
	uint32_t at = table_place(t, object);
	memmove(&t->items[at + 1], &t->items[at], (t->count - at) * sizeof(*t->items));
	t->items[at] = object;
	t->count++;
}

static void object_free(const struct table *t, void *object)
{
	record_clear(t->record, object);
	free(object);
}

void table_remove(struct table *t, void *object)
{
	uint32_t at = table_place(t, object);
	t->count--;
	memmove(&t->items[at], &t->items[at + 1], (t->count - at) * sizeof(*t->items));
	object_free(t, object);
}

void table_close(struct table *t)
{
	for (uint32_t i = 0; i < t->count; i++)
		object_free(t, t->items[i]);
	free(t->items);
	t->items = NULL;
	t->count = t->capacity = 0;
}

uint64_t *table_digest(const struct table *t, void *object)
{
	return (uint64_t *)((char *)object + t->digest_offset);
}
