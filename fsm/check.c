#include "fsm/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/blobs.h"
#include "fsm/ceph.h"
#include "fsm/change.h"
#include "fsm/check_vm.h"

static int check_blobs(const struct cluster *c, struct err *err)
{
	uint64_t bytes = blobs_count(c);
	if (bytes != c->blob_bytes || bytes > CLUSTER_BLOB_BYTES_MAX)
		return err_set(err, -EBADMSG, "blobs hold %" PRIu64 " bytes, not %" PRIu64, bytes,
		    c->blob_bytes);
	return 0;
}

static int check_nodes(const struct cluster *c, struct err *err)
{
	unsigned holders = 0;
	if (c->nodes.count > CLUSTER_NODES_MAX)
		return err_set(err, -EBADMSG, "there are %" PRIu32 " nodes, at most %d can be",
		    c->nodes.count, CLUSTER_NODES_MAX);
	cluster_each(c->nodes, struct node, node)
	{
		if (!node->id || node->id >= c->settings.next_node)
			return err_set(
			    err, -EBADMSG, "node %" PRIu32 " was never given out", node->id);
		if (cluster_node_named(c, node->name) != node)
			return err_set(err, -EBADMSG, "two nodes are named %s", node->name);
		if (node->last.count > 1)
			return err_set(err, -EBADMSG, "%s has two last keepalives", node->name);
		if ((node->mode == NODE_COORDINATOR) ==
		    (node->coordinator_state == COORDINATOR_CLIENT))
			return err_set(err, -EBADMSG, "%s: a %s is %s", node->name,
			    state_name(node_mode_names, node->mode),
			    state_name(coordinator_state_names, node->coordinator_state));
		if (node->mode == NODE_WITNESS && node->hypervisor)
			return err_set(err, -EBADMSG, "%s: a witness runs VMs", node->name);
		bool holds = node->coordinator_state == COORDINATOR_PRIMARY ||
			     node->coordinator_state == COORDINATOR_TAKEOVER;
		holders += holds;
		if (holds &&
		    (node->id != c->primary.node || node->coordinator_state != c->primary.state))
			return err_set(err, -EBADMSG,
			    "%s is %s, but not the primary of epoch %" PRIu64, node->name,
			    state_name(coordinator_state_names, node->coordinator_state),
			    c->primary.epoch);
	}
	if (holders > 1)
		return err_set(err, -EBADMSG, "two primaries in epoch %" PRIu64, c->primary.epoch);
	if (c->primary.node && !holders)
		return err_set(
		    err, -EBADMSG, "the primary of epoch %" PRIu64 " is no node", c->primary.epoch);
	return 0;
}

struct name {
	const char *text;
	const struct vm *vm;
};

static int name_compare(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* A VM is asked for by its name or its UUID: neither may be another's. */
static int check_names(const struct cluster *c, struct err *err)
{
	struct name *names = must_alloc(2 * c->vms.count * sizeof(*names));
	uint32_t count = 0;
	int result = 0;
	cluster_each(c->vms, struct vm, vm)
	{
		names[count++] = (struct name){vm->name, vm};
		names[count++] = (struct name){vm->uuid, vm};
	}
	qsort(names, count, sizeof(*names), name_compare);
	for (uint32_t i = 1; i < count && !result; i++)
		if (names[i].vm != names[i - 1].vm && !name_compare(&names[i], &names[i - 1]))
			result = err_set(err, -EBADMSG, "two VMs are %s", names[i].text);
	free(names);
	return result;
}

static int check_vms(const struct cluster *c, struct err *err)
{
	cluster_each(c->vms, struct vm, vm)
	{
		int result = check_vm(c, vm, err);
		if (result)
			return result;
	}
	return check_names(c, err);
}

static int check_authorities(const struct cluster *c, struct err *err)
{
	unsigned active = 0;
	if (c->authorities.count > AUTHORITIES_MAX)
		return err_set(err, -EBADMSG, "there are %" PRIu32 " CAs", c->authorities.count);
	cluster_each(c->authorities, struct authority, a)
	{
		if (!a->id || a->id >= c->settings.next_authority)
			return err_set(err, -EBADMSG, "CA %" PRIu32 " was never given out", a->id);
		if (a->state != AUTHORITY_WANTED && !*a->certificate)
			return err_set(err, -EBADMSG, "CA %" PRIu32 " has no certificate", a->id);
		active += a->state == AUTHORITY_ACTIVE;
	}
	if (c->authorities.count && active != 1)
		return err_set(err, -EBADMSG, "%u CAs are active", active);
	return 0;
}

/* What is not given is zero: equal values are equal bytes. */
static int check_given(const struct record *record, const void *object, struct err *err)
{
	char *copy = must_alloc(record->size);
	memcpy(copy, object, record->size);
	record_trim(record, copy);
	bool same = record_same(record, object, copy);
	free(copy);
	return same ? 0 : err_set(err, -EBADMSG, "a %s has what was never given", record->name);
}

static int check_ceph(const struct cluster *c, struct err *err)
{
	if (c->osds.count > CEPH_OSDS_MAX || c->pools.count > CEPH_POOLS_MAX)
		return err_set(err, -EBADMSG, "there are %" PRIu32 " OSDs and %" PRIu32 " pools",
		    c->osds.count, c->pools.count);
	int result = check_given(ceph_record(), &c->ceph, err);
	cluster_each(c->osds, struct ceph_osd, osd) if (!result) result =
	    check_given(ceph_osd_record(), osd, err);
	cluster_each(c->pools, struct ceph_pool, pool) if (!result) result =
	    check_given(ceph_pool_record(), pool, err);
	return result;
}

static int check_order(const struct table *t, struct err *err)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (table_find(t, t->items[i]) != t->items[i])
			return err_set(err, -EBADMSG, "the %ss are not in order", t->record->name);
	return 0;
}

int check_rules(const struct cluster *c, struct err *err)
{
	int result = check_nodes(c, err);
	if (!result)
		result = check_blobs(c, err);
	if (!result)
		result = check_authorities(c, err);
	if (!result)
		result = check_ceph(c, err);
	return result ? result : check_vms(c, err);
}

int check_cluster(struct cluster *c, struct err *err)
{
	const struct table *tables[] = {
#define PART(name, record)
#define TABLE_PART(name, record) &c->name,
#include "fsm/parts.def"
	};
	int result = check_rules(c, err);
	for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables) && !result; i++)
		result = check_order(tables[i], err);
	uint64_t hash = change_hash(c);
	if (!result && hash != c->hash)
		result = err_set(err, -EBADMSG,
		    "the hash is %016" PRIx64 ", it should be %016" PRIx64, c->hash, hash);
	return result;
}
