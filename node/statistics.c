#include "node/statistics.h"

#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"

/* Of the OSDs or the pools: every record of either begins with its id. */
struct kind {
	const struct record *record;
	uint32_t max;
	uint32_t measured; /* what the manager says */
};

static struct kind osds(void)
{
	return (struct kind){
	    ceph_osd_record(), CEPH_OSDS_MAX, CEPH_OSD_DF | CEPH_OSD_PERF | CEPH_OSD_IO};
}

static struct kind pools(void)
{
	return (struct kind){ceph_pool_record(), CEPH_POOLS_MAX, CEPH_POOL_IO};
}

/* Every LIST is laid out as a struct list, whatever its items are. */
#define LIST_OF(member) ((struct list *)(uintptr_t) & (member))

static void *item(const struct kind *k, const struct list *list, uint32_t n)
{
	return (char *)list->items + (size_t)n * k->record->size;
}

static int id_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void *find(const struct kind *k, const struct list *list, const void *id)
{
	if (!list->count)
		return NULL;
	return bsearch(id, list->items, list->count, k->record->size, id_compare);
}

void statistics_clear(struct statistics *s)
{
	record_clear(ceph_view_record(), &s->view);
	*s = (struct statistics){0};
}

/* In order, each id once, and no more than there may be; returns how many are left out. */
static unsigned put_in_order(const struct kind *k, struct list *list)
{
	uint32_t used = 0;
	if (list->count)
		qsort(list->items, list->count, k->record->size, id_compare);
	for (uint32_t i = 0; i < list->count; i++)
		if (!used || id_compare(item(k, list, used - 1), item(k, list, i)))
			memmove(item(k, list, used++), item(k, list, i), k->record->size);
	list->count = used < k->max ? used : k->max;
	return used - list->count;
}

/* The groups that were answered: those that were given of one at least. Of one that has none of
 * them there was nothing to say; what was not answered is as it was. */
static uint32_t answered(const struct kind *k, const struct list *list)
{
	uint32_t groups = 0;
	for (uint32_t i = 0; i < list->count; i++)
		groups |= *record_known(k->record, item(k, list, i));
	return groups;
}

static void forget(const struct kind *k, struct list *mine, uint32_t groups)
{
	for (uint32_t i = 0; i < mine->count; i++)
		*record_known(k->record, item(k, mine, i)) &= ~groups;
}

static void trim(const struct kind *k, struct list *mine)
{
	for (uint32_t i = 0; i < mine->count; i++)
		record_trim(k->record, item(k, mine, i));
}

/* list takes the place of mine. */
static unsigned replace(const struct kind *k, struct list *mine, struct list *list)
{
	unsigned left_out = put_in_order(k, list);
	forget(k, mine, answered(k, list));
	for (uint32_t i = 0; i < list->count; i++) {
		const void *before = find(k, mine, item(k, list, i));
		if (before)
			record_merge(k->record, item(k, list, i), before);
	}
	trim(k, list);
	free(mine->items);
	*mine = *list;
	*list = (struct list){0};
	return left_out;
}

static void merge(const struct kind *k, struct list *mine, const struct list *list)
{
	forget(k, mine, answered(k, list));
	for (uint32_t i = 0; i < list->count; i++) {
		void *one = find(k, mine, item(k, list, i));
		if (one)
			record_merge(k->record, one, item(k, list, i));
	}
	trim(k, mine);
}

static void merge_status(struct ceph_view *mine, const struct ceph_view *view)
{
	if (!view->status.count)
		return;
	if (!mine->status.count) {
		mine->status.items = must_alloc(sizeof(*mine->status.items));
		mine->status.count = 1;
	}
	record_merge(ceph_record(), mine->status.items, view->status.items);
}

void statistics_looked(struct statistics *s, struct ceph_view *view)
{
	const struct kind osd = osds(), pool = pools();
	/* A monitor may answer one thing and not the next. */
	if (!view->listed) {
		statistics_measured(s, view);
		record_clear(ceph_view_record(), view);
		return;
	}
	merge_status(&s->view, view);
	s->left_out = replace(&osd, LIST_OF(s->view.osds), LIST_OF(view->osds));
	s->left_out += replace(&pool, LIST_OF(s->view.pools), LIST_OF(view->pools));
	s->listed = true;
	record_clear(ceph_view_record(), view);
}

void statistics_measured(struct statistics *s, const struct ceph_view *view)
{
	const struct kind osd = osds(), pool = pools();
	merge_status(&s->view, view);
	merge(&osd, LIST_OF(s->view.osds), LIST_OF(view->osds));
	merge(&pool, LIST_OF(s->view.pools), LIST_OF(view->pools));
}

static void adopt(const struct kind *k, struct list *mine, const struct table *value)
{
	void *measured = must_alloc(k->record->size);
	for (uint32_t i = 0; i < mine->count; i++) {
		void *one = item(k, mine, i);
		const void *its = table_find(value, one);
		*record_known(k->record, one) &= ~k->measured;
		record_trim(k->record, one);
		if (!its)
			continue;
		memcpy(measured, its, k->record->size);
		*record_known(k->record, measured) &= k->measured;
		record_merge(k->record, one, measured);
	}
	free(measured);
}

void statistics_adopt(struct statistics *s, const struct cluster *c)
{
	const struct kind osd = osds(), pool = pools();
	adopt(&osd, LIST_OF(s->view.osds), &c->osds);
	adopt(&pool, LIST_OF(s->view.pools), &c->pools);
}

/* What the value does not have, or has otherwise. */
static void report_changed(
    const struct kind *k, const struct list *mine, const struct table *value, struct list *changed)
{
	changed->items = must_alloc((mine->count + 1) * (size_t)k->record->size);
	for (uint32_t i = 0; i < mine->count; i++) {
		const void *one = item(k, mine, i), *its = table_find(value, one);
		if (!its || !record_same(k->record, one, its))
			memcpy(item(k, changed, changed->count++), one, k->record->size);
	}
}

static void report_gone(
    const struct kind *k, const struct list *mine, const struct table *value, struct list *gone)
{
	struct ceph_id *ids = must_alloc((value->count + 1) * sizeof(*ids));
	gone->items = ids;
	for (uint32_t i = 0; i < value->count; i++)
		if (!find(k, mine, value->items[i]))
			ids[gone->count++].id = *(const uint32_t *)value->items[i];
}

static void report_status(
    const struct ceph_view *view, const struct cluster *c, struct command_ceph_report *report)
{
	if (!view->status.count)
		return;
	struct ceph status = *view->status.items;
	/* That is for the value to say. */
	status.changed_ms = c->ceph.changed_ms;
	if (record_same(ceph_record(), &status, &c->ceph))
		return;
	report->status.items = must_alloc(sizeof(status));
	*report->status.items = status;
	report->status.count = 1;
}

bool statistics_report(
    const struct statistics *s, const struct cluster *c, struct command_ceph_report *report)
{
	const struct kind osd = osds(), pool = pools();
	*report = (struct command_ceph_report){0};
	if (!s->listed)
		return false;
	report_status(&s->view, c, report);
	report_changed(&osd, LIST_OF(s->view.osds), &c->osds, LIST_OF(report->osds));
	report_gone(&osd, LIST_OF(s->view.osds), &c->osds, LIST_OF(report->osds_gone));
	report_changed(&pool, LIST_OF(s->view.pools), &c->pools, LIST_OF(report->pools));
	report_gone(&pool, LIST_OF(s->view.pools), &c->pools, LIST_OF(report->pools_gone));
	if (report->status.count || report->osds.count || report->osds_gone.count ||
	    report->pools.count || report->pools_gone.count)
		return true;
	record_clear(command_record(COMMAND_ceph_report), report);
	return false;
}

static bool is_called(const char *host, const char *name)
{
	size_t label = strcspn(name, ".");
	if (!*host)
		return false;
	return !strcmp(host, name) || (strlen(host) == label && !strncmp(host, name, label));
}

struct ceph_id *statistics_osds_of(
    const struct statistics *s, const char *const names[], uint32_t *n)
{
	struct ceph_id *ids = must_alloc((s->view.osds.count + 1) * sizeof(*ids));
	*n = 0;
	for (uint32_t i = 0; i < s->view.osds.count; i++) {
		const struct ceph_osd *osd = &s->view.osds.items[i];
		bool here = false;
		for (unsigned k = 0; names[k]; k++)
			here = here || is_called(osd->host, names[k]);
		if (here)
			ids[(*n)++].id = osd->id;
	}
	return ids;
}
