#include "fsm/change.h"

#include <stdlib.h>

#include "fsm/hash.h"

#define TOUCHED_MAX 64

struct touched {
	uint32_t count, capacity;
	struct {
		const struct record *record;
		void *object;
		uint64_t *digest;
	} list[];
};

static uint64_t digest_of(struct cluster *c, const struct record *record, const void *object)
{
	c->scratch.size = 0;
	record_encode(record, object, &c->scratch);
	uint64_t seed =
	    (uint64_t)(unsigned char)record->name[0] << 8 | (unsigned char)record->name[1];
	return hash_bytes(seed, c->scratch.data, c->scratch.size);
}

static void touch(struct cluster *c, const struct record *record, void *object, uint64_t *digest)
{
	struct touched *t = c->touched;
	if (t && t->count && t->list[t->count - 1].object == object)
		return;
	if (!t || t->count == t->capacity) {
		uint32_t capacity = t ? t->capacity * 2 : TOUCHED_MAX;
		uint32_t count = t ? t->count : 0;
		t = must_realloc(t, sizeof(*t) + capacity * sizeof(t->list[0]));
		t->count = count;
		t->capacity = capacity;
		c->touched = t;
	}
	t->list[t->count].record = record;
	t->list[t->count].object = object;
	t->list[t->count].digest = digest;
	t->count++;
}

void change_touch(struct cluster *c, struct table *t, void *object)
{
	touch(c, t->record, object, table_digest(t, object));
}

void change_settings(struct cluster *c)
{
	touch(c, settings_record(), &c->settings, &c->settings.digest);
}

void change_primary(struct cluster *c)
{
	touch(c, primary_record(), &c->primary, &c->primary.digest);
}

void change_ceph(struct cluster *c)
{
	touch(c, ceph_record(), &c->ceph, &c->ceph.digest);
}

void change_singles(struct cluster *c)
{
#define PART(name, record) change_##name(c);
#define TABLE_PART(name, record)
#include "fsm/parts.def"
}

void change_insert(struct cluster *c, struct table *t, void *object)
{
	table_insert(t, object);
	*table_digest(t, object) = 0;
	change_touch(c, t, object);
}

void change_remove(struct cluster *c, struct table *t, void *object)
{
	c->hash -= *table_digest(t, object);
	for (uint32_t i = 0; c->touched && i < c->touched->count; i++)
		if (c->touched->list[i].object == object)
			c->touched->list[i--] = c->touched->list[--c->touched->count];
	table_remove(t, object);
}

void change_settle(struct cluster *c)
{
	for (uint32_t i = 0; c->touched && i < c->touched->count; i++) {
		uint64_t *digest = c->touched->list[i].digest;
		c->hash -= *digest;
		*digest = digest_of(c, c->touched->list[i].record, c->touched->list[i].object);
		c->hash += *digest;
	}
	if (c->touched)
		c->touched->count = 0;
}

uint64_t change_hash(struct cluster *c)
{
	uint64_t hash = 0;
#define PART(name, record) hash += digest_of(c, record##_record(), &c->name);
#define TABLE_PART(name, record)
#include "fsm/parts.def"
	const struct table *tables[] = {
#define PART(name, record)
#define TABLE_PART(name, record) &c->name,
#include "fsm/parts.def"
	};
	for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (uint32_t k = 0; k < tables[i]->count; k++)
			hash += digest_of(c, tables[i]->record, tables[i]->items[k]);
	return hash;
}
