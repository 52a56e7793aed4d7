#include "fsm/node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/autostart.h"
#include "fsm/blobs.h"
#include "fsm/migration.h"
#include "fsm/text.h"
#include "fsm/vm.h"

const struct keepalive *node_keepalive(const struct node *node)
{
	return node->last.count ? node->last.items : NULL;
}

uint64_t node_silence_ms(const struct cluster *c, const struct node *node)
{
	return node->last.count ? c->settings.time_ms - node->seen_ms : UINT64_MAX;
}

uint64_t node_collector_age_ms(
    const struct cluster *c, const struct node *node, const struct collector *collector)
{
	uint64_t silence_ms = node_silence_ms(c, node);
	/* Anything may stand in a keepalive. */
	if (collector->age_ms > NODE_AGE_NEVER - silence_ms)
		return NODE_AGE_NEVER;
	return collector->age_ms + silence_ms;
}

struct node_interval_key node_interval_key(uint32_t node)
{
	struct node_interval_key key;
	snprintf(key.text, sizeof(key.text), "keepalive_interval/%" PRIu32, node);
	return key;
}

uint64_t node_interval_ms(const struct cluster *c, const struct node *node)
{
	struct node_interval_key key = node_interval_key(node->id);
	const struct fact *fact = cluster_fact(c, key.text);
	uint64_t ms = 0;
	/* Anybody may have written it. */
	for (uint32_t i = 0; fact && i < fact->value.size && ms < UINT32_MAX; i++) {
		if (fact->value.data[i] < '0' || fact->value.data[i] > '9')
			return NODE_INTERVAL_MS;
		ms = ms * 10 + fact->value.data[i] - '0';
	}
	return ms ? ms : NODE_INTERVAL_MS;
}

uint64_t node_patience_ms(const struct cluster *c, const struct node *node, uint64_t at_least_ms)
{
	uint64_t intervals_ms = 2 * node_interval_ms(c, node);
	return intervals_ms > at_least_ms ? intervals_ms : at_least_ms;
}

void node_forget(struct cluster *c, uint32_t node)
{
	struct node_interval_key key = node_interval_key(node);
	struct fact *fact = table_find(&c->facts, key.text);
	if (!fact)
		return;
	blobs_replaced(c, fact->value.size, 0);
	change_remove(c, &c->facts, fact);
}

void node_heard(struct cluster *c, struct keepalive *keepalive)
{
	struct node *node = cluster_node(c, keepalive->node);
	if (!node)
		return;
	vm_sightings(c, node, keepalive);
	if (!node->last.count) {
		node->last.items = must_alloc(sizeof(*node->last.items));
		node->last.count = 1;
	}
	record_clear(keepalive_record(), node->last.items);
	*node->last.items = *keepalive;
	memset(keepalive, 0, sizeof(*keepalive));
	node->seen_ms = c->settings.time_ms;
	change_touch(c, &c->nodes, node);
}

static struct node *find(struct cluster *c, uint32_t id, int *result, struct err *err)
{
	struct node *node = cluster_node(c, id);
	if (!node)
		*result = err_set(err, -ENOENT, "there is no node %" PRIu32, id);
	return node;
}

int apply_node_hello(struct cluster *c, struct command_node_hello *command, struct err *err)
{
	int result = 0;
	struct node *node = find(c, command->node, &result, err);
	if (!node)
		return result;
	memcpy(node->version, command->version, sizeof(node->version));
	memcpy(node->kernel, command->kernel, sizeof(node->kernel));
	memcpy(node->arch, command->arch, sizeof(node->arch));
	memcpy(node->addresses, command->addresses, sizeof(node->addresses));
	memcpy(node->migration_uri, command->migration_uri, sizeof(node->migration_uri));
	if (strcmp(node->boot_id, command->boot_id) != 0)
		migration_source_rebooted(c, node);
	autostart_hello(c, node, command->boot_id);
	node->schema_min = command->schema_min;
	node->schema_max = command->schema_max;
	node->hypervisor = command->hypervisor && node->mode != NODE_WITNESS;
	node->daemon_state = DAEMON_INIT;
	node->seen_ms = c->settings.time_ms;
	change_touch(c, &c->nodes, node);
	return 0;
}

int apply_node_state(struct cluster *c, struct command_node_state *command, struct err *err)
{
	int result = 0;
	struct node *node = find(c, command->node, &result, err);
	if (!node)
		return result;
	if (command->state == DAEMON_FENCED || command->state == DAEMON_DEAD)
		return err_set(err, -EINVAL, "a node cannot say of itself that it is %s",
		    state_name(daemon_state_names, command->state));
	node->daemon_state = command->state;
	change_touch(c, &c->nodes, node);
	return 0;
}

int apply_maintenance(struct cluster *c, struct command_maintenance *command, struct err *err)
{
	c->settings.maintenance = command->on;
	c->settings.maintenance_until_ms =
	    command->on && command->valid_ms ? c->settings.time_ms + command->valid_ms : 0;
	change_settings(c);
	return 0;
}

int apply_probe(struct cluster *c, struct command_probe *command, struct err *err)
{
	return 0;
}

int apply_fact(struct cluster *c, struct command_fact *command, struct err *err)
{
	struct fact *fact = table_find(&c->facts, command->key);
	uint32_t gone = fact ? fact->value.size : 0;
	if (!*command->key || !text_is_plain(command->key))
		return err_set(err, -EINVAL, "a fact needs a key, without control characters");
	int result = blobs_room(c, gone, command->value.size, err);
	if (result)
		return result;
	if (!command->value.size) {
		blobs_replaced(c, gone, 0);
		if (fact)
			change_remove(c, &c->facts, fact);
		return 0;
	}
	if (!fact && c->facts.count >= CLUSTER_FACTS_MAX)
		return err_set(err, -ENOSPC, "there are %u facts already", c->facts.count);
	if (!fact) {
		fact = must_alloc(sizeof(*fact));
		memcpy(fact->key, command->key, sizeof(fact->key));
		change_insert(c, &c->facts, fact);
	}
	blobs_replaced(c, gone, command->value.size);
	free(fact->value.data);
	fact->value = command->value;
	command->value = (struct blob){0};
	change_touch(c, &c->facts, fact);
	return 0;
}
