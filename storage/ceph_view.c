#include "storage/ceph_view.h"

#include <string.h>

#include "fsm/ceph.h"

/* One of the lists. Every record in it begins with its id. */
struct shelf {
	struct list *list;
	size_t size; /* of one record */
	uint32_t max;
};

static char *shelf_at(const struct shelf *shelf, uint32_t at)
{
	return (char *)shelf->list->items + at * shelf->size;
}

static uint32_t shelf_id(const struct shelf *shelf, uint32_t at)
{
	uint32_t id;
	memcpy(&id, shelf_at(shelf, at), sizeof(id));
	return id;
}

/* Where id is, or would be. */
static uint32_t shelf_place(const struct shelf *shelf, uint32_t id)
{
	uint32_t low = 0, high = shelf->list->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (shelf_id(shelf, middle) < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *shelf_seek(const struct shelf *shelf, uint32_t id)
{
	uint32_t at = shelf_place(shelf, id);
	return at < shelf->list->count && shelf_id(shelf, at) == id ? shelf_at(shelf, at) : NULL;
}

static void *shelf_find(const struct shelf *shelf, uint32_t id)
{
	void *there = shelf_seek(shelf, id);
	uint32_t at = shelf_place(shelf, id);
	if (there || at >= shelf->max)
		return there;
	struct list *list = shelf->list;
	if (list->count < shelf->max)
		list->items = must_realloc(list->items, ++list->count * shelf->size);
	char *place = shelf_at(shelf, at);
	memmove(place + shelf->size, place, (list->count - 1 - at) * shelf->size);
	memset(place, 0, shelf->size);
	memcpy(place, &id, sizeof(id));
	return place;
}

static struct shelf osds_of(struct ceph_view *view)
{
	return (struct shelf){(struct list *)&view->osds, sizeof(struct ceph_osd), CEPH_OSDS_MAX};
}

struct ceph_osd *ceph_view_osd(struct ceph_view *view, uint32_t id)
{
	struct shelf osds = osds_of(view);
	return shelf_find(&osds, id);
}

struct ceph_osd *ceph_view_osd_seek(struct ceph_view *view, uint32_t id)
{
	struct shelf osds = osds_of(view);
	return shelf_seek(&osds, id);
}

struct ceph_pool *ceph_view_pool(struct ceph_view *view, uint32_t id)
{
	struct shelf pools = {
	    (struct list *)&view->pools, sizeof(struct ceph_pool), CEPH_POOLS_MAX};
	return shelf_find(&pools, id);
}

struct ceph *ceph_view_status(struct ceph_view *view)
{
	if (view->status.count == 0) {
		view->status.items = must_realloc(NULL, sizeof(*view->status.items));
		view->status.items[0] = (struct ceph){0};
		view->status.count = 1;
	}
	return view->status.items;
}
