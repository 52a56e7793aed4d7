#include "fsm/ceph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/primary.h"

const struct ceph_osd *ceph_osd_find(const struct cluster *c, uint32_t id)
{
	return table_find(&c->osds, &id);
}

const struct ceph_pool *ceph_pool_find(const struct cluster *c, uint32_t id)
{
	return table_find(&c->pools, &id);
}

/* Of the disks or the pools: what the table gets, and what leaves it. */
struct arrivals {
	struct table *table;
	const char *name;
	uint32_t max;
	void *items; /* records of the table */
	uint32_t count;
	const struct ceph_id *gone;
	uint32_t gone_count;
};

static char *item(const struct arrivals *a, uint32_t n)
{
	return (char *)a->items + (size_t)n * a->table->record->size;
}

/* Every record of a table begins with its key. */
static uint32_t id_of(const struct arrivals *a, uint32_t n)
{
	return *(const uint32_t *)item(a, n);
}

static bool ids_rise(const struct arrivals *a)
{
	for (uint32_t i = 1; i < a->count; i++)
		if (id_of(a, i) <= id_of(a, i - 1))
			return false;
	for (uint32_t i = 1; i < a->gone_count; i++)
		if (a->gone[i].id <= a->gone[i - 1].id)
			return false;
	for (uint32_t i = 0, k = 0; i < a->count; i++) {
		while (k < a->gone_count && a->gone[k].id < id_of(a, i))
			k++;
		if (k < a->gone_count && a->gone[k].id == id_of(a, i))
			return false;
	}
	return true;
}

static int check_arrivals(const struct arrivals *a, struct err *err)
{
	uint32_t count = a->table->count;
	if (!ids_rise(a))
		return err_set(err, -EINVAL, "the %ss are not in order", a->name);
	for (uint32_t i = 0; i < a->gone_count; i++)
		count -= table_find(a->table, &a->gone[i].id) != NULL;
	for (uint32_t i = 0; i < a->count; i++)
		count += table_find(a->table, item(a, i)) == NULL;
	if (count > a->max)
		return err_set(err, -ENOSPC, "there may be %" PRIu32 " %ss, not %" PRIu32, a->max,
		    a->name, count);
	return 0;
}

static void take(struct cluster *c, struct arrivals *a)
{
	const struct record *record = a->table->record;
	for (uint32_t i = 0; i < a->gone_count; i++) {
		void *object = table_find(a->table, &a->gone[i].id);
		if (object)
			change_remove(c, a->table, object);
	}
	for (uint32_t i = 0; i < a->count; i++) {
		void *object = table_find(a->table, item(a, i));
		uint64_t digest = object ? *table_digest(a->table, object) : 0;
		bool new = !object;
		if (new)
			object = must_alloc(record->size);
		record_trim(record, item(a, i));
		/* Of numbers and texts alone: nothing in it is owned. */
		memcpy(object, item(a, i), record->size);
		*table_digest(a->table, object) = digest;
		if (new)
			change_insert(c, a->table, object);
		else
			change_touch(c, a->table, object);
	}
}

static void take_status(struct cluster *c, const struct ceph *status)
{
	struct ceph *mine = &c->ceph, old = *mine;
	*mine = *status;
	record_trim(ceph_record(), mine);
	mine->digest = old.digest;
	mine->changed_ms = mine->health == old.health ? old.changed_ms : c->settings.time_ms;
	change_ceph(c);
}

int apply_ceph_report(struct cluster *c, struct command_ceph_report *command, struct err *err)
{
	struct arrivals osds = {&c->osds, "OSD", CEPH_OSDS_MAX, command->osds.items,
	    command->osds.count, command->osds_gone.items, command->osds_gone.count};
	struct arrivals pools = {&c->pools, "pool", CEPH_POOLS_MAX, command->pools.items,
	    command->pools.count, command->pools_gone.items, command->pools_gone.count};
	int result = primary_check(c, command->node, command->epoch, err);
	if (!result && command->status.count > 1)
		result = err_set(
		    err, -EINVAL, "Ceph has one status, not %" PRIu32, command->status.count);
	if (!result)
		result = check_arrivals(&osds, err);
	if (!result)
		result = check_arrivals(&pools, err);
	if (result)
		return result;
	if (command->status.count)
		take_status(c, command->status.items);
	take(c, &osds);
	take(c, &pools);
	return 0;
}
