/* What Ceph may answer: refused, or a view in order that keeps nothing it was not given. The first
 * byte says to which command. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"
#include "fsm/text.h"
#include "storage/ceph_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* Each record is in order, given in part at least, and whole when it is trimmed. */
static void check_view(struct ceph_view *view)
{
	check(view->status.count <= 1 && view->osds.count <= CEPH_OSDS_MAX);
	check(view->pools.count <= CEPH_POOLS_MAX);
	if (view->status.count == 1) {
		struct ceph *c = view->status.items, before = *c;
		record_trim(ceph_record(), c);
		check(c->known != 0 && memcmp(c, &before, sizeof(before)) == 0);
		check(text_is_plain(c->health_message) && text_is_plain(c->pgs_message));
		check(text_is_plain(c->fsid));
	}
	for (uint32_t i = 0; i < view->osds.count; i++) {
		struct ceph_osd *osd = &view->osds.items[i], before = *osd;
		record_trim(ceph_osd_record(), osd);
		check(osd->known != 0 && memcmp(osd, &before, sizeof(before)) == 0);
		check(i == 0 || osd[-1].id < osd->id);
		check(text_is_plain(osd->host) && text_is_plain(osd->uuid));
		check(text_is_plain(osd->device_class));
	}
	for (uint32_t i = 0; i < view->pools.count; i++) {
		struct ceph_pool *pool = &view->pools.items[i], before = *pool;
		record_trim(ceph_pool_record(), pool);
		check(pool->known != 0 && memcmp(pool, &before, sizeof(before)) == 0);
		check(i == 0 || pool[-1].id < pool->id);
		check(text_is_plain(pool->name));
	}
}

/* What is found goes to another process and comes back the same. */
static void check_wire(const struct ceph_view *view)
{
	struct buffer there = {0}, back = {0};
	struct ceph_view again;
	record_encode(ceph_view_record(), view, &there);
	struct reader r = reader_of(there.data, there.size);
	check(record_decode(ceph_view_record(), &r, &again) == 0 && reader_left(&r) == 0);
	record_encode(ceph_view_record(), &again, &back);
	check(there.size == back.size && memcmp(there.data, back.data, there.size) == 0);
	record_clear(ceph_view_record(), &again);
	buffer_close(&there);
	buffer_close(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || data[0] < '0' || data[0] >= '0' + CEPH_COMMANDS)
		return 0;
	struct ceph_view view = {0};
	struct err err;
	int rc = ceph_answer_read(
	    (enum ceph_command)(data[0] - '0'), (const char *)data + 1, size - 1, &view, &err);
	check(rc == 0 || (view.status.count == 0 && view.osds.count == 0 && view.pools.count == 0));
	check_view(&view);
	check_wire(&view);
	record_clear(ceph_view_record(), &view);
	return 0;
}
