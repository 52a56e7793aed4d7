#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fsm/ceph.h"
#include "fsm/node.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"

#define MICRO "_micro"

/* A record of Ceph's as people want it: what was not given is not there, and what is kept in
 * millionths is a number. */
static json_t *given_json(const struct record *record, const void *object)
{
	json_t *all = json_record(record, object), *json = json_object(), *value;
	const char *name;
	json_object_foreach(all, name, value)
	{
		const char *end = strstr(name, MICRO);
		if (!strcmp(name, "known"))
			continue;
		if (end)
			json_object_setn_new(json, name, (size_t)(end - name),
			    json_real((double)json_integer_value(value) / 1000000));
		else
			json_object_set(json, name, value);
	}
	json_decref(all);
	return json;
}

static bool has_osd(const struct node *node, uint32_t id)
{
	const struct keepalive *k = node_keepalive(node);
	for (uint32_t i = 0; k && i < k->osds.count; i++)
		if (k->osds.items[i].id == id)
			return true;
	return false;
}

/* The node that says that the OSD is in its machine, or said so last; else the one that is called
 * as Ceph calls the machine. */
static const struct node *node_of(const struct cluster *c, const struct ceph_osd *osd)
{
	cluster_each(c->nodes, struct node, node) if (has_osd(node, osd->id)) return node;
	return *osd->host ? cluster_node_named(c, osd->host) : NULL;
}

static json_t *osd_json(const struct cluster *c, const struct ceph_osd *osd)
{
	json_t *json = given_json(ceph_osd_record(), osd);
	const struct node *node = node_of(c, osd);
	if (node)
		json_object_set_new(json, "node", json_text(node->name));
	return json;
}

/* Those of the primary that ask Ceph, and how old what they said is. */
static json_t *askers_json(const struct cluster *c)
{
	static const char *const names[] = {"pool", "manager"};
	const struct node *primary = cluster_node(c, c->primary.node);
	json_t *all = primary ? collectors_json(c, primary) : json_object(), *json = json_object();
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (json_object_get(all, names[i]))
			json_object_set(json, names[i], json_object_get(all, names[i]));
	json_decref(all);
	return json;
}

void operation_storage_status(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	json_t *json = given_json(ceph_record(), &c->ceph);
	json_object_del(json, "changed_ms");
	if (c->ceph.known & CEPH_STATUS)
		json_object_set_new(
		    json, "health_age_ms", json_u64(c->settings.time_ms - c->ceph.changed_ms));
	json_object_set_new(json, "pools", json_integer(c->pools.count));
	json_object_set_new(json, "node", node_name_json(c, c->primary.node));
	json_object_set_new(json, "collectors", askers_json(c));
	/* As in a cluster without Ceph. */
	if (!(c->ceph.known & CEPH_STATUS) &&
	    !json_object_size(json_object_get(json, "collectors")))
		json_object_set_new(json, "health_message",
		    json_text("the primary has not asked Ceph: see "
			      "functions.enable_storage there"));
	turn_answer(turn, json);
}

void operation_storage_osd_list(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	json_t *list = json_array();
	cluster_each(c->osds, struct ceph_osd, osd) json_array_append_new(list, osd_json(c, osd));
	turn_answer(turn, list);
}

void operation_storage_osd_info(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	uint64_t id = argument_number(turn->arguments, "osd");
	const struct ceph_osd *osd = id <= UINT32_MAX ? ceph_osd_find(c, (uint32_t)id) : NULL;
	struct err err;
	if (osd) {
		turn_answer(turn, osd_json(c, osd));
		return;
	}
	err_set(&err, -ENOENT, "there is no OSD %" PRIu64 "%s", id,
	    c->osds.count ? "" : ": Ceph has none, or was not asked yet");
	turn_refuse(turn, -ENOENT, &err);
}

void operation_storage_pool_list(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	json_t *list = json_array();
	cluster_each(c->pools, struct ceph_pool, pool)
	    json_array_append_new(list, given_json(ceph_pool_record(), pool));
	turn_answer(turn, list);
}
