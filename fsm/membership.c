#include "fsm/membership.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/hash.h"
#include "fsm/node.h"
#include "fsm/schema.h"
#include "fsm/text.h"
#include "fsm/vm.h"

static struct node *node_new(struct cluster *c, const char *name, const char *address)
{
	struct node *node = must_alloc(sizeof(*node));
	node->id = c->settings.next_node++;
	snprintf(node->name, sizeof(node->name), "%s", name);
	snprintf(node->address, sizeof(node->address), "%s", address);
	node->seen_ms = c->settings.time_ms;
	change_settings(c);
	change_insert(c, &c->nodes, node);
	return node;
}

int apply_found(struct cluster *c, struct command_found *command, struct err *err)
{
	if (c->settings.schema)
		return err_set(err, -EEXIST, "the cluster %s is there already", c->settings.name);
	if (command->schema < SCHEMA_MIN || command->schema > SCHEMA_MAX)
		return err_set(
		    err, -ENOTSUP, "schema %" PRIu32 " is not known here", command->schema);
	if (!*command->name || !*command->node || !*command->uuid)
		return err_set(err, -EINVAL, "a cluster needs a name, a UUID and a first node");
	if (!text_is_node_name(command->name) || !text_is_node_name(command->node))
		return err_set(err, -EINVAL,
		    "names of clusters and nodes are of letters, digits, '-', '_' and '.'");
	struct settings *s = &c->settings;
	memcpy(s->name, command->name, sizeof(s->name));
	memcpy(s->uuid, command->uuid, sizeof(s->uuid));
	s->schema = command->schema;
	s->next_node = s->next_vm = s->next_token = s->next_authority = 1;
	struct node *node = node_new(c, command->node, command->address);
	memcpy(node->incarnation, command->incarnation, sizeof(node->incarnation));
	node->mode = NODE_COORDINATOR;
	node->coordinator_state = COORDINATOR_SECONDARY;
	return (int)node->id;
}

static void tokens_expire(struct cluster *c)
{
	for (uint32_t i = c->tokens.count; i-- > 0;) {
		struct join_token *token = c->tokens.items[i];
		if (token->expires_ms <= c->settings.time_ms)
			change_remove(c, &c->tokens, token);
	}
}

int apply_token(struct cluster *c, struct command_token *command, struct err *err)
{
	if (strlen(command->hash) != 64)
		return err_set(err, -EINVAL, "a token's hash has 64 digits");
	tokens_expire(c);
	if (c->tokens.count >= CLUSTER_TOKENS_MAX)
		return err_set(
		    err, -ENOSPC, "there are %u join tokens: let some expire", c->tokens.count);
	struct join_token *token = must_alloc(sizeof(*token));
	token->id = c->settings.next_token++;
	memcpy(token->name, command->name, sizeof(token->name));
	memcpy(token->hash, command->hash, sizeof(token->hash));
	token->expires_ms = c->settings.time_ms + command->valid_ms;
	change_settings(c);
	change_insert(c, &c->tokens, token);
	return (int)token->id;
}

/* The token that this join may use up. */
static int token_for(const struct cluster *c, const struct command_join *command,
    struct join_token **found, struct err *err)
{
	cluster_each(c->tokens, struct join_token, token)
	{
		if (strcmp(token->hash, command->hash) != 0)
			continue;
		if (token->expires_ms <= c->settings.time_ms)
			return err_set(err, -ETIME,
			    "the join token has expired: make a new one with pvc cluster token");
		if (*token->name && strcmp(token->name, command->name) != 0)
			return err_set(err, -EPERM, "the join token is for node %s, not %s",
			    token->name, command->name);
		*found = token;
		return 0;
	}
	return err_set(err, -EPERM,
	    "the join token is not known: it was used, has expired, was altered, or is of another "
	    "cluster");
}

static struct node *node_at(const struct cluster *c, const char *address)
{
	cluster_each(c->nodes, struct node, node) if (!strcmp(node->address, address)) return node;
	return NULL;
}

int apply_join(struct cluster *c, struct command_join *command, struct err *err)
{
	struct node *same = cluster_node_named(c, command->name);
	/* Asked again after a lost answer: the data directory is the same. */
	if (same && *command->incarnation && !strcmp(same->incarnation, command->incarnation))
		return (int)same->id;
	if (!*command->name || !*command->address || !*command->incarnation)
		return err_set(err, -EINVAL, "a node needs a name, an address and a certificate");
	if (!text_is_node_name(command->name) || !text_is_plain(command->address))
		return err_set(err, -EINVAL,
		    "a node's name is of letters, digits, '-', '_' and '.', and its address plain");
	struct join_token *token = NULL;
	int result = token_for(c, command, &token, err);
	if (result)
		return result;
	if (same)
		return err_set(err, -EEXIST,
		    "there is a node %s already: give this machine another name (pvc.node), or, if "
		    "that one is lost, run pvc cluster member remove %s",
		    same->name, same->name);
	/* The log could not have both as members, and waited for ever. */
	same = node_at(c, command->address);
	if (same)
		return err_set(err, -EEXIST,
		    "%s is at %s already: give this machine another address, or, if that one is "
		    "lost, run pvc cluster member remove %s",
		    same->name, same->address, same->name);
	if (c->nodes.count >= CLUSTER_NODES_MAX)
		return err_set(err, -ENOSPC, "the cluster has %u nodes already", c->nodes.count);
	change_remove(c, &c->tokens, token);
	struct node *node = node_new(c, command->name, command->address);
	memcpy(node->incarnation, command->incarnation, sizeof(node->incarnation));
	node->mode = command->mode;
	node->hypervisor = command->hypervisor && command->mode != NODE_WITNESS;
	if (node->mode == NODE_COORDINATOR)
		node->coordinator_state = COORDINATOR_SECONDARY;
	return (int)node->id;
}

/* A new primary begins once nobody is in `relinquish` (primary.h): no node may vanish from
 * there while it can still hold an address. */
static int check_role_free(const struct cluster *c, const struct node *node, struct err *err)
{
	if (node->coordinator_state == COORDINATOR_PRIMARY ||
	    node->coordinator_state == COORDINATOR_TAKEOVER)
		return err_set(err, -EBUSY, "%s is the primary: first pvc node secondary %s",
		    node->name, node->name);
	if (node->coordinator_state == COORDINATOR_RELINQUISH &&
	    c->primary.state != COORDINATOR_PRIMARY)
		return err_set(err, -EBUSY,
		    "%s has not let go of the primary's role yet: ask again when %s is the primary",
		    node->name,
		    cluster_node(c, c->primary.node) ? cluster_node(c, c->primary.node)->name
						     : "another");
	return 0;
}

static int check_empty(const struct cluster *c, const struct node *node, struct err *err)
{
	cluster_each(c->vms, struct vm, vm)
	{
		if (vm->target == node->id)
			return err_set(err, -EBUSY, "%s is being moved to %s: ask again later",
			    vm->name, node->name);
		if (vm->node == node->id)
			return err_set(err, -EBUSY,
			    node->daemon_state == DAEMON_RUN
				? "%s still owns the VM %s: first pvc vm move %s NODE"
				: "%s still owns the VM %s: first pvc vm move %s NODE, or, if the "
				  "machine is off, pvc node fenced %s --by-hand",
			    node->name, vm->name, vm->name, node->name);
	}
	return 0;
}

int node_may_leave(const struct cluster *c, const struct node *node, struct err *err)
{
	int result = check_role_free(c, node, err);
	if (result)
		return result;
	return check_empty(c, node, err);
}

uint64_t membership_mark(const struct cluster *c)
{
	uint64_t mark = 0;
	cluster_each(c->nodes, struct node, node)
	{
		uint32_t seat[] = {node->id, node->mode};
		if (node->mode != NODE_HYPERVISOR)
			mark = hash_bytes(mark, seat, sizeof(seat));
	}
	return mark;
}

static int check_judged(const struct cluster *c, uint64_t judged, struct err *err)
{
	if (judged == membership_mark(c))
		return 0;
	return err_set(err, -ESTALE,
	    "the coordinators or witnesses have changed meanwhile: look at pvc cluster member list "
	    "and ask again");
}

static void node_gone(struct cluster *c, struct node *node)
{
	node_forget(c, node->id);
	vm_forget_node(c, node->id);
	change_remove(c, &c->nodes, node);
}

int apply_leave(struct cluster *c, struct command_leave *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	int result = node_may_leave(c, node, err);
	if (!result)
		result = check_judged(c, command->judged, err);
	if (!result)
		node_gone(c, node);
	return result;
}

static void set_mode(struct cluster *c, struct node *node, enum node_mode mode)
{
	if (node->mode == mode)
		return;
	node->mode = mode;
	node->coordinator_state =
	    mode == NODE_COORDINATOR ? COORDINATOR_SECONDARY : COORDINATOR_CLIENT;
	change_touch(c, &c->nodes, node);
}

static bool only_coordinator(const struct cluster *c, const struct node *node)
{
	cluster_each(c->nodes, struct node,
	    other) if (other != node && other->mode == NODE_COORDINATOR) return false;
	return true;
}

int node_may_become(
    const struct cluster *c, const struct node *node, enum node_mode mode, struct err *err)
{
	if (node->mode == NODE_WITNESS || mode == NODE_WITNESS)
		return err_set(err, -EINVAL,
		    "%s: what joined as a witness stays one, and nothing else becomes one",
		    node->name);
	if (mode == node->mode || mode == NODE_COORDINATOR)
		return 0;
	if (only_coordinator(c, node))
		return err_set(err, -EBUSY,
		    "%s is the only coordinator: first pvc cluster member promote NODE",
		    node->name);
	return check_role_free(c, node, err);
}

int apply_node_mode(struct cluster *c, struct command_node_mode *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	int result = node_may_become(c, node, command->mode, err);
	if (!result)
		result = check_judged(c, command->judged, err);
	if (!result)
		set_mode(c, node, command->mode);
	return result;
}

int node_may_be_replaced(
    const struct cluster *c, const struct node *node, const struct node *successor, struct err *err)
{
	if (node == successor)
		return err_set(err, -EINVAL, "%s cannot take its own place", node->name);
	if (node->mode != NODE_COORDINATOR)
		return err_set(err, -EINVAL,
		    "%s is no coordinator but a %s: pvc cluster member remove %s", node->name,
		    state_name(node_mode_names, node->mode), node->name);
	if (successor->mode == NODE_WITNESS)
		return err_set(
		    err, -EINVAL, "%s is a witness and cannot be a coordinator", successor->name);
	return node_may_leave(c, node, err);
}

int apply_replace(struct cluster *c, struct command_replace *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	struct node *successor = cluster_node(c, command->successor);
	if (!node || !successor)
		return err_set(err, -ENOENT, "there is no node %" PRIu32,
		    node ? command->successor : command->node);
	int result = node_may_be_replaced(c, node, successor, err);
	if (!result)
		result = check_judged(c, command->judged, err);
	if (result)
		return result;
	set_mode(c, successor, NODE_COORDINATOR);
	node_gone(c, node);
	return 0;
}
