#include "fsm/blobs.h"

#include <errno.h>

int blobs_room(const struct cluster *c, uint64_t gone, uint64_t come, struct err *err)
{
	if (c->blob_bytes - gone + come <= CLUSTER_BLOB_BYTES_MAX)
		return 0;
	return err_set(err, -ENOSPC,
	    "the cluster's facts and VM definitions may hold %u MiB in all",
	    CLUSTER_BLOB_BYTES_MAX >> 20);
}

void blobs_replaced(struct cluster *c, uint64_t gone, uint64_t come)
{
	c->blob_bytes = c->blob_bytes - gone + come;
}

uint64_t blobs_count(const struct cluster *c)
{
	uint64_t bytes = 0;
	cluster_each(c->facts, struct fact, fact) bytes += fact->value.size;
	cluster_each(c->vms, struct vm, vm) bytes += vm->xml.size;
	return bytes;
}
