/* The nodes of the cluster: found, token, join, leave. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/apply.h"
#include "fsm/schema.h"

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

/* The token that this join may use up, or NULL with err. */
static struct join_token *token_for(
    struct cluster *c, struct command_join *command, struct err *err)
{
	cluster_each(c->tokens, struct join_token, token)
	{
		if (strcmp(token->hash, command->hash) != 0)
			continue;
		if (token->expires_ms <= c->settings.time_ms) {
			err_set(err, -ETIME,
			    "the join token has expired: make a new one with pvc cluster token");
			return NULL;
		}
		if (*token->name && strcmp(token->name, command->name) != 0) {
			err_set(err, -EPERM, "the join token is for node %s, not %s", token->name,
			    command->name);
			return NULL;
		}
		return token;
	}
	err_set(err, -EPERM,
	    "the join token is not known: it was used, has expired, or is of another cluster");
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
	struct join_token *token = token_for(c, command, err);
	if (!token)
		return -EPERM;
	if (same)
		return err_set(err, -EEXIST,
		    "there is a node %s already: give this machine another name (pvc.node), or, if "
		    "that one is lost, run pvc cluster member remove %s",
		    same->name, same->name);
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

int apply_leave(struct cluster *c, struct command_leave *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	if (node->coordinator_state == COORDINATOR_PRIMARY ||
	    node->coordinator_state == COORDINATOR_TAKEOVER)
		return err_set(
		    err, -EBUSY, "%s is the primary: give the role away first", node->name);
	cluster_each(c->vms, struct vm, vm) if (vm->node == node->id) return err_set(
	    err, -EBUSY, "%s still owns the VM %s", node->name, vm->name);
	change_remove(c, &c->nodes, node);
	return 0;
}
