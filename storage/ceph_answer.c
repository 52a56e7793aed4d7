#include "storage/ceph_answer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"
#include "fsm/text.h"
#include "storage/ceph_osd_table.h"
#include "storage/ceph_view.h"

/* ---- numbers and texts ---- */

/* As a whole number: what is less than none is none. */
static uint64_t whole(double value)
{
	return !(value > 0) ? 0 : value >= (double)INT64_MAX ? INT64_MAX : (uint64_t)value;
}

static uint64_t rounded(double value)
{
	return whole(value + 0.5);
}

static uint32_t whole_u32(double value)
{
	uint64_t number = whole(value);
	return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

static uint64_t micro(double value)
{
	return rounded(value * 1e6);
}

static uint64_t kib(double bytes)
{
	return whole(bytes / 1024);
}

/* Was it given? A double is exact for every number up to 2^53: 8 PiB in bytes. */
static bool number_get(const json_t *object, const char *key, double *value)
{
	const json_t *json = json_object_get(object, key);
	*value = json_number_value(json);
	return json_is_number(json);
}

static double number_or_zero(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* Ceph says 1 and 0 in some places and true and false in others. */
static bool is_set(const json_t *object, const char *key)
{
	const json_t *json = json_object_get(object, key);
	return json_is_true(json) || json_number_value(json) != 0;
}

/* Buckets of the CRUSH map have negative ones: they are not for us. */
static bool id_of(const json_t *json, uint32_t *id)
{
	double value = json_number_value(json);
	if (!json_is_number(json) || !(value >= 0 && value <= INT32_MAX))
		return false;
	*id = (uint32_t)value;
	return true;
}

static bool id_get(const json_t *object, const char *key, uint32_t *id)
{
	return id_of(json_object_get(object, key), id);
}

static void text_put(char *text, size_t size, const json_t *string)
{
	const char *value = json_string_value(string);
	snprintf(text, size, "%s", value ? value : "");
	text_clean(text, ' ');
}

/* Add piece after what is there already, only if all of it has room. */
static bool text_join(char *text, size_t size, const char *between, const char *piece)
{
	size_t used = strlen(text);
	if (used == 0)
		between = "";
	if (used + strlen(between) + strlen(piece) >= size)
		return false;
	snprintf(text + used, size - used, "%s%s", between, piece);
	return true;
}

/* ---- status ---- */

static int length_compare(const void *a, const void *b)
{
	const char *const *one = a, *const *two = b;
	size_t size = strlen(*one), other = strlen(*two);
	return size != other ? (size > other) - (size < other) : strcmp(*one, *two);
}

/* What is wrong, shortest first so that as much as possible has room; what somebody muted is
 * not said. */
static void checks_read(const json_t *checks, char *text, size_t size)
{
	size_t n = 0;
	const char **messages = must_alloc(json_object_size(checks) * sizeof(*messages));
	const char *key;
	json_t *check;
	json_object_foreach((json_t *)checks, key, check)
	{
		json_t *summary = json_object_get(check, "summary");
		const char *message = json_string_value(json_object_get(summary, "message"));
		if (message && !json_is_true(json_object_get(check, "muted")))
			messages[n++] = message;
	}
	qsort(messages, n, sizeof(*messages), length_compare);
	text[0] = '\0';
	for (size_t i = 0; i < n && text_join(text, size, "; ", messages[i]); i++)
		;
	if (n > 0 && text[0] == '\0')
		snprintf(text, size, "%s", messages[0]);
	text_clean(text, ' ');
	free(messages);
}

static void pgs_read(const json_t *states, char *text, size_t size)
{
	size_t i;
	json_t *state;
	text[0] = '\0';
	json_array_foreach(states, i, state)
	{
		char piece[128], name[96];
		text_put(name, sizeof(name), json_object_get(state, "state_name"));
		snprintf(
		    piece, sizeof(piece), "%u %s", whole_u32(number_or_zero(state, "count")), name);
		if (!text_join(text, size, ", ", piece))
			break;
	}
}

static enum ceph_health health_read(const json_t *health)
{
	static const struct {
		const char *word;
		enum ceph_health health;
	} words[] = {
	    {"HEALTH_OK", CEPH_OK}, {"HEALTH_WARN", CEPH_WARNING}, {"HEALTH_ERR", CEPH_ERROR}};
	const char *word = json_string_value(json_object_get(health, "status"));
	for (size_t i = 0; word && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i].word) == 0)
			return words[i].health;
	return CEPH_UNKNOWN;
}

static bool status_read(const json_t *root, struct ceph_view *view)
{
	const json_t *health = json_object_get(root, "health");
	const json_t *osdmap = json_object_get(root, "osdmap");
	const json_t *pgmap = json_object_get(root, "pgmap");
	if (!json_is_object(health) || !json_is_object(osdmap) || !json_is_object(pgmap))
		return false;
	/* Before release 15 there was a map inside the map. */
	if (json_is_object(json_object_get(osdmap, "osdmap")))
		osdmap = json_object_get(osdmap, "osdmap");
	const json_t *monmap = json_object_get(root, "monmap");
	struct ceph *c = ceph_view_status(view);
	text_put(c->fsid, sizeof(c->fsid), json_object_get(root, "fsid"));
	c->health = health_read(health);
	checks_read(
	    json_object_get(health, "checks"), c->health_message, sizeof(c->health_message));
	c->osds = whole_u32(number_or_zero(osdmap, "num_osds"));
	c->osds_up = whole_u32(number_or_zero(osdmap, "num_up_osds"));
	c->osds_in = whole_u32(number_or_zero(osdmap, "num_in_osds"));
	c->pgs = whole_u32(number_or_zero(pgmap, "num_pgs"));
	pgs_read(json_object_get(pgmap, "pgs_by_state"), c->pgs_message, sizeof(c->pgs_message));
	double monitors;
	c->monitors = number_get(monmap, "num_mons", &monitors)
			  ? whole_u32(monitors)
			  : (uint32_t)json_array_size(json_object_get(monmap, "mons"));
	c->monitors_in_quorum = (uint32_t)json_array_size(json_object_get(root, "quorum"));
	c->manager = is_set(json_object_get(root, "mgrmap"), "available");
	c->known |= CEPH_STATUS;
	return true;
}

/* ---- what the monitors know of OSDs and pools ---- */

static void osd_dump_osd(struct ceph_view *view, const json_t *json)
{
	uint32_t id;
	double reweight, affinity;
	if (!id_get(json, "osd", &id) || !number_get(json, "weight", &reweight) ||
	    !number_get(json, "primary_affinity", &affinity))
		return;
	struct ceph_osd *osd = ceph_view_osd(view, id);
	if (!osd)
		return;
	text_put(osd->uuid, sizeof(osd->uuid), json_object_get(json, "uuid"));
	osd->up = is_set(json, "up");
	osd->in = is_set(json, "in");
	osd->reweight_micro = micro(reweight);
	osd->affinity_micro = micro(affinity);
	osd->known |= CEPH_OSD_DUMP;
}

static void osd_dump_pool(struct ceph_view *view, const json_t *json)
{
	uint32_t id;
	double pgs, replicas;
	if (!id_get(json, "pool", &id) || !number_get(json, "pg_num", &pgs) ||
	    !number_get(json, "size", &replicas))
		return;
	struct ceph_pool *pool = ceph_view_pool(view, id);
	if (!pool)
		return;
	text_put(pool->name, sizeof(pool->name), json_object_get(json, "pool_name"));
	pool->pgs = whole_u32(pgs);
	pool->replicas = whole_u32(replicas);
	pool->known |= CEPH_POOL_DUMP;
}

static bool osd_dump_read(const json_t *root, struct ceph_view *view)
{
	const json_t *osds = json_object_get(root, "osds");
	const json_t *pools = json_object_get(root, "pools");
	if (!json_is_array(osds) || !json_is_array(pools))
		return false;
	size_t i;
	json_t *json;
	json_array_foreach(osds, i, json) osd_dump_osd(view, json);
	json_array_foreach(pools, i, json) osd_dump_pool(view, json);
	view->listed = true;
	return true;
}

static bool is_of_type(const json_t *node, const char *type)
{
	const char *value = json_string_value(json_object_get(node, "type"));
	return value && strcmp(value, type) == 0;
}

static void osd_tree_osd(struct ceph_view *view, const json_t *node)
{
	uint32_t id;
	double weight;
	if (!is_of_type(node, "osd") || !id_get(node, "id", &id) ||
	    !number_get(node, "crush_weight", &weight))
		return;
	struct ceph_osd *osd = ceph_view_osd(view, id);
	if (!osd)
		return;
	text_put(
	    osd->device_class, sizeof(osd->device_class), json_object_get(node, "device_class"));
	osd->host[0] = '\0';
	osd->weight_micro = micro(weight);
	osd->known |= CEPH_OSD_TREE;
}

static void osd_tree_host(struct ceph_view *view, const json_t *node)
{
	if (!is_of_type(node, "host"))
		return;
	size_t i;
	json_t *child;
	json_array_foreach(json_object_get(node, "children"), i, child)
	{
		uint32_t id;
		struct ceph_osd *osd = id_of(child, &id) ? ceph_view_osd_seek(view, id) : NULL;
		if (osd)
			text_put(osd->host, sizeof(osd->host), json_object_get(node, "name"));
	}
}

static bool osd_tree_read(const json_t *root, struct ceph_view *view)
{
	const json_t *nodes = json_object_get(root, "nodes");
	if (!json_is_array(nodes))
		return false;
	size_t i;
	json_t *node;
	json_array_foreach(nodes, i, node) osd_tree_osd(view, node);
	/* Those that have no place in the CRUSH map. */
	json_array_foreach(json_object_get(root, "stray"), i, node) osd_tree_osd(view, node);
	json_array_foreach(nodes, i, node) osd_tree_host(view, node);
	return true;
}

static void df_pool(struct ceph_view *view, const json_t *json)
{
	const json_t *stats = json_object_get(json, "stats");
	uint32_t id;
	double stored, used, available, ratio, objects;
	if (!id_get(json, "id", &id) || !number_get(stats, "stored", &stored) ||
	    !number_get(stats, "bytes_used", &used) ||
	    !number_get(stats, "max_avail", &available) ||
	    !number_get(stats, "percent_used", &ratio) || !number_get(stats, "objects", &objects))
		return;
	struct ceph_pool *pool = ceph_view_pool(view, id);
	if (!pool)
		return;
	text_put(pool->name, sizeof(pool->name), json_object_get(json, "name"));
	pool->stored_kib = kib(stored);
	pool->used_kib = kib(used);
	pool->available_kib = kib(available);
	pool->utilization_micro = micro(ratio * 100); /* called percent, given as a ratio */
	pool->objects = whole(objects);
	pool->known |= CEPH_POOL_DF;
}

static bool df_read(const json_t *root, struct ceph_view *view)
{
	const json_t *stats = json_object_get(root, "stats");
	const json_t *pools = json_object_get(root, "pools");
	double size, used, available;
	if (!number_get(stats, "total_bytes", &size) ||
	    !number_get(stats, "total_used_raw_bytes", &used) ||
	    !number_get(stats, "total_avail_bytes", &available) || !json_is_array(pools))
		return false;
	struct ceph *c = ceph_view_status(view);
	c->size_kib = kib(size);
	c->used_kib = kib(used);
	c->available_kib = kib(available);
	c->known |= CEPH_DF;
	size_t i;
	json_t *json;
	json_array_foreach(pools, i, json) df_pool(view, json);
	return true;
}

/* ---- what the manager knows ---- */

static void osd_df_osd(struct ceph_view *view, const json_t *node)
{
	uint32_t id;
	double size, used, available, utilization, variance, pgs;
	if (!id_get(node, "id", &id) || !number_get(node, "kb", &size) ||
	    !number_get(node, "kb_used", &used) || !number_get(node, "kb_avail", &available) ||
	    !number_get(node, "utilization", &utilization) || !number_get(node, "var", &variance) ||
	    !number_get(node, "pgs", &pgs))
		return;
	struct ceph_osd *osd = ceph_view_osd(view, id);
	if (!osd)
		return;
	osd->pgs = whole_u32(pgs);
	osd->size_kib = whole(size);
	osd->used_kib = whole(used);
	osd->available_kib = whole(available);
	osd->utilization_micro = micro(utilization);
	osd->variance_micro = micro(variance);
	osd->known |= CEPH_OSD_DF;
}

static bool osd_df_read(const json_t *root, struct ceph_view *view)
{
	const json_t *nodes = json_object_get(root, "nodes");
	if (!json_is_array(nodes))
		return false;
	size_t i;
	json_t *node;
	json_array_foreach(nodes, i, node) osd_df_osd(view, node);
	json_array_foreach(json_object_get(root, "stray"), i, node) osd_df_osd(view, node);
	return true;
}

static bool osd_perf_read(const json_t *root, struct ceph_view *view)
{
	/* Before release 14 it was not wrapped. */
	const json_t *stats = json_object_get(root, "osdstats");
	const json_t *infos = json_object_get(stats ? stats : root, "osd_perf_infos");
	if (!json_is_array(infos))
		return false;
	size_t i;
	json_t *info;
	json_array_foreach(infos, i, info)
	{
		const json_t *perf = json_object_get(info, "perf_stats");
		uint32_t id;
		double commit, apply;
		if (!id_get(info, "id", &id) || !number_get(perf, "commit_latency_ms", &commit) ||
		    !number_get(perf, "apply_latency_ms", &apply))
			continue;
		struct ceph_osd *osd = ceph_view_osd(view, id);
		if (!osd)
			continue;
		osd->commit_ms = whole_u32(commit);
		osd->apply_ms = whole_u32(apply);
		osd->known |= CEPH_OSD_PERF;
	}
	return true;
}

static bool osd_pool_stats_read(const json_t *root, struct ceph_view *view)
{
	if (!json_is_array(root))
		return false;
	size_t i;
	json_t *json;
	json_array_foreach(root, i, json)
	{
		const json_t *rate = json_object_get(json, "client_io_rate");
		uint32_t id;
		if (!id_get(json, "pool_id", &id) || !json_is_object(rate))
			continue;
		struct ceph_pool *pool = ceph_view_pool(view, id);
		if (!pool)
			continue;
		text_put(pool->name, sizeof(pool->name), json_object_get(json, "pool_name"));
		/* What stands still is left out of a rate that is given. */
		pool->read_ops = rounded(number_or_zero(rate, "read_op_per_sec"));
		pool->read_bytes = rounded(number_or_zero(rate, "read_bytes_sec"));
		pool->write_ops = rounded(number_or_zero(rate, "write_op_per_sec"));
		pool->write_bytes = rounded(number_or_zero(rate, "write_bytes_sec"));
		pool->known |= CEPH_POOL_IO;
	}
	return true;
}

/* Of release 17 and later; before there was only a table, whatever format was asked for. */
static bool osd_status_read(const json_t *root, struct ceph_view *view)
{
	const json_t *osds = json_object_get(root, "OSDs");
	if (!json_is_array(osds))
		return false;
	size_t i;
	json_t *json;
	json_array_foreach(osds, i, json)
	{
		uint32_t id;
		double read_ops, read_bytes, write_ops, write_bytes;
		if (!id_get(json, "id", &id) || !number_get(json, "read ops rate", &read_ops) ||
		    !number_get(json, "read byte rate", &read_bytes) ||
		    !number_get(json, "write ops rate", &write_ops) ||
		    !number_get(json, "write byte rate", &write_bytes))
			continue;
		struct ceph_osd *osd = ceph_view_osd(view, id);
		if (!osd)
			continue;
		osd->read_ops = rounded(read_ops);
		osd->read_bytes = rounded(read_bytes);
		osd->write_ops = rounded(write_ops);
		osd->write_bytes = rounded(write_bytes);
		osd->known |= CEPH_OSD_IO;
	}
	return true;
}

/* ---- any of them ---- */

static const struct {
	const char *words;
	enum ceph_server server;
	bool (*read)(const json_t *root, struct ceph_view *view);
} commands[] = {
#define CEPH_COMMAND(name, server, words) {words, CEPH_##server, name##_read},
#include "storage/ceph_command.def"
#undef CEPH_COMMAND
};

const char *ceph_command_words(enum ceph_command command)
{
	return commands[command].words;
}

enum ceph_server ceph_command_server(enum ceph_command command)
{
	return commands[command].server;
}

/* Ceph prints a number that is none as nan, which is no JSON: make it a text, so that it counts
 * as not given. */
static void numbers_mend(char *text, size_t size)
{
	bool quoted = false;
	for (size_t i = 0; i < size; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && size - i >= 3 &&
			 (memcmp(text + i, "nan", 3) == 0 || memcmp(text + i, "inf", 3) == 0)) {
			memcpy(text + i, "\"\" ", 3);
			if (i > 0 && text[i - 1] == '-')
				text[i - 1] = ' ';
			i += 2;
		}
	}
}

/* NULL with err: it is no JSON. */
static json_t *answer_parse(const char *answer, size_t size, struct err *err)
{
	json_error_t error;
	json_t *root = json_loadb(answer, size, 0, &error);
	if (root)
		return root;
	char *mended = must_alloc(size);
	memcpy(mended, answer, size);
	numbers_mend(mended, size);
	/* As reals: some of Ceph's numbers are above 2^63. */
	root = json_loadb(mended, size, JSON_DECODE_INT_AS_REAL, &error);
	free(mended);
	if (!root)
		err_set(err, -EBADMSG, "%s, at byte %d", error.text, error.position);
	return root;
}

int ceph_answer_read(enum ceph_command command, const char *answer, size_t size,
    struct ceph_view *view, struct err *err)
{
	const char *words = commands[command].words;
	if (size > CEPH_ANSWER_MAX)
		return err_set(err, -EBADMSG, "Ceph's answer to '%s' has %zu bytes", words, size);
	if (command == CEPH_osd_status && (size == 0 || answer[0] != '{')) {
		int rc = ceph_osd_table_read(answer, size, view, err);
		return rc == 0 ? 0 : err_wrap(err, rc, "Ceph's answer to '%s'", words);
	}
	json_t *root = answer_parse(answer, size, err);
	if (!root)
		return err_wrap(err, -EBADMSG, "Ceph's answer to '%s' is no JSON", words);
	bool read = commands[command].read(root, view);
	json_decref(root);
	if (!read)
		return err_set(err, -EBADMSG,
		    "Ceph's answer to '%s' is not of a release that is known", words);
	return 0;
}
