#include "fsm/primary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/node.h"

bool primary_may_begin(const struct cluster *c, uint32_t node)
{
	cluster_each(c->nodes, struct node,
	    other) if (other->id != node &&
		       other->coordinator_state == COORDINATOR_RELINQUISH) return false;
	return true;
}

static void set_coordinator(struct cluster *c, struct node *node, enum coordinator_state state)
{
	node->coordinator_state = state;
	change_touch(c, &c->nodes, node);
}

static void set_step(struct cluster *c, const char *step)
{
	snprintf(c->primary.step, sizeof(c->primary.step), "%s", step);
	change_primary(c);
}

int apply_takeover(struct cluster *c, struct command_takeover *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node || node->mode != NODE_COORDINATOR)
		return err_set(err, -EINVAL, "node %" PRIu32 " is no coordinator", command->node);
	if (command->epoch <= c->primary.epoch)
		return err_set(err, -ESTALE, "epoch %" PRIu64 " is not newer than %" PRIu64,
		    command->epoch, c->primary.epoch);

	struct node *old = cluster_node(c, c->primary.node);
	bool holds = old && (old->coordinator_state == COORDINATOR_PRIMARY ||
				old->coordinator_state == COORDINATOR_TAKEOVER);
	/* The same node in a new term went on holding what it had: it is not asked to
	 * let go of it, only to show again that every service answers. */
	if (holds && old != node)
		set_coordinator(c, old, COORDINATOR_RELINQUISH);
	set_coordinator(c, node, COORDINATOR_TAKEOVER);
	c->primary.previous = old && old != node ? old->id : 0;
	c->primary.node = node->id;
	c->primary.epoch = command->epoch;
	c->primary.state = COORDINATOR_TAKEOVER;
	c->primary.since_ms = c->settings.time_ms;
	if (c->primary.wanted == node->id)
		c->primary.wanted = 0;
	set_step(c, "begin");
	return 0;
}

int apply_relinquished(struct cluster *c, struct command_relinquished *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node || node->coordinator_state != COORDINATOR_RELINQUISH)
		return err_set(
		    err, -EINVAL, "node %" PRIu32 " has nothing to let go", command->node);
	/* Said before the takeover that it is now asked to let go for: it may have
	 * taken addresses up again since. */
	if (command->epoch != c->primary.epoch)
		return err_set(err, -ESTALE, "epoch %" PRIu64 " is not %" PRIu64, command->epoch,
		    c->primary.epoch);
	set_coordinator(c, node, COORDINATOR_SECONDARY);
	return 0;
}

int primary_check(const struct cluster *c, uint32_t node, uint64_t epoch, struct err *err)
{
	if (node == c->primary.node && epoch == c->primary.epoch)
		return 0;
	return err_set(
	    err, -ESTALE, "node %" PRIu32 " is not the primary of epoch %" PRIu64, node, epoch);
}

int apply_primary(struct cluster *c, struct command_primary *command, struct err *err)
{
	int result = primary_check(c, command->node, command->epoch, err);
	if (result)
		return result;
	if (c->primary.state == COORDINATOR_PRIMARY)
		return 0;
	set_coordinator(c, cluster_node(c, command->node), COORDINATOR_PRIMARY);
	c->primary.state = COORDINATOR_PRIMARY;
	c->primary.since_ms = c->settings.time_ms;
	set_step(c, "");
	return 0;
}

int apply_primary_step(struct cluster *c, struct command_primary_step *command, struct err *err)
{
	int result = primary_check(c, command->node, command->epoch, err);
	if (!result)
		set_step(c, command->step);
	return result;
}

int apply_primary_want(struct cluster *c, struct command_primary_want *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	if (node->mode != NODE_COORDINATOR)
		return err_set(err, -EINVAL, "%s is no coordinator but a %s", node->name,
		    state_name(node_mode_names, node->mode));
	if (c->primary.node == node->id && c->primary.state == COORDINATOR_PRIMARY)
		return 0;
	uint64_t patience_ms = node_patience_ms(c, node, PRIMARY_SILENCE_MS);
	if (node->last.count && node_silence_ms(c, node) > patience_ms)
		return err_set(err, -EHOSTDOWN, "%s was not heard for %" PRIu64 " s", node->name,
		    node_silence_ms(c, node) / 1000);
	c->primary.wanted = node->id;
	c->primary.wanted_ms = c->settings.time_ms;
	change_primary(c);
	return 0;
}

void primary_tick(struct cluster *c)
{
	if (!c->primary.wanted || c->settings.time_ms - c->primary.wanted_ms < PRIMARY_WISH_MS)
		return;
	c->primary.wanted = 0;
	change_primary(c);
}
