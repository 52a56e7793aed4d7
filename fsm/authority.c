#include "fsm/authority.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/apply.h"

struct authority *authority_find(const struct cluster *c, uint32_t id)
{
	return table_find(&c->authorities, &id);
}

struct authority *authority_active(const struct cluster *c)
{
	cluster_each(
	    c->authorities, struct authority, a) if (a->state == AUTHORITY_ACTIVE) return a;
	return NULL;
}

struct authority *authority_moving(const struct cluster *c)
{
	cluster_each(
	    c->authorities, struct authority, a) if (a->state != AUTHORITY_ACTIVE) return a;
	return NULL;
}

static bool listed(const uint32_t list[AUTHORITIES_MAX], uint32_t authority)
{
	for (unsigned i = 0; i < AUTHORITIES_MAX; i++)
		if (list[i] == authority)
			return true;
	return false;
}

bool authority_trusted(const struct node *node, uint32_t authority)
{
	return listed(node->trusts, authority);
}

bool authority_held(const struct node *node, uint32_t authority)
{
	return listed(node->keys, authority);
}

bool authority_awaits(const struct cluster *c, const struct node *node)
{
	const struct authority *moving = authority_moving(c);
	const struct authority *active = authority_active(c);
	if (!moving || !active)
		return false;
	switch (moving->state) {
	case AUTHORITY_INCOMING:
		return !authority_trusted(node, moving->id) ||
		       (node->mode == NODE_COORDINATOR && !authority_held(node, moving->id));
	case AUTHORITY_OUTGOING:
		return node->signer != active->id;
	default:
		return false;
	}
}

unsigned authority_awaited(const struct cluster *c, char *text, size_t size)
{
	unsigned count = 0;
	size_t used = 0;
	text[0] = '\0';
	cluster_each(c->nodes, struct node, node)
	{
		if (!authority_awaits(c, node))
			continue;
		if (used < size)
			used += (size_t)snprintf(
			    text + used, size - used, "%s%s", count ? ", " : "", node->name);
		count++;
	}
	return count;
}

static struct authority *authority_add(struct cluster *c, enum authority_state state)
{
	struct authority *a = must_alloc(sizeof(*a));
	a->id = c->settings.next_authority++;
	a->state = state;
	a->since_ms = c->settings.time_ms;
	change_settings(c);
	change_insert(c, &c->authorities, a);
	return a;
}

static void authority_become(struct cluster *c, struct authority *a, enum authority_state state)
{
	a->state = state;
	a->since_ms = c->settings.time_ms;
	change_touch(c, &c->authorities, a);
}

int apply_authority_rotate(
    struct cluster *c, struct command_authority_rotate *command, struct err *err)
{
	const struct authority *active = authority_active(c);
	if (!active || active->id != command->active)
		return err_set(
		    err, -ESTALE, "the active CA is not number %" PRIu32, command->active);
	if (authority_moving(c))
		return err_set(err, -EALREADY, "a rotation of the CA is under way");
	return (int)authority_add(c, AUTHORITY_WANTED)->id;
}

int apply_authority_made(struct cluster *c, struct command_authority_made *command, struct err *err)
{
	struct authority *moving = authority_moving(c);
	enum authority_state state = AUTHORITY_INCOMING;
	if (strlen(command->fingerprint) != 64 || !*command->certificate)
		return err_set(err, -EINVAL, "a CA needs a fingerprint and a certificate");
	if (!command->authority) {
		if (c->authorities.count)
			return err_set(err, -EEXIST, "the cluster has a CA already");
		state = AUTHORITY_ACTIVE;
	} else if (!moving || moving->id != command->authority ||
		   moving->state == AUTHORITY_OUTGOING) {
		return err_set(
		    err, -ESTALE, "CA %" PRIu32 " is not to be made", command->authority);
	}
	cluster_each(c->authorities, struct authority,
	    a) if (!strcmp(a->fingerprint, command->fingerprint)) return err_set(err, -EEXIST,
	    "that is CA %" PRIu32 " already", a->id);
	/* Under a new number: who trusts the one before it does not trust this one. */
	if (command->authority)
		change_remove(c, &c->authorities, moving);
	struct authority *made = authority_add(c, state);
	memcpy(made->fingerprint, command->fingerprint, sizeof(made->fingerprint));
	memcpy(made->certificate, command->certificate, sizeof(made->certificate));
	return (int)made->id;
}

static bool key_held(const struct cluster *c, uint32_t authority)
{
	cluster_each(c->nodes, struct node, node) if (authority_held(node, authority)) return true;
	return false;
}

int apply_authority_shift(
    struct cluster *c, struct command_authority_shift *command, struct err *err)
{
	struct authority *moving = authority_moving(c), *active = authority_active(c);
	char names[128];
	if (!moving || moving->id != command->authority || moving->state == AUTHORITY_WANTED)
		return err_set(
		    err, -ESTALE, "CA %" PRIu32 " neither comes nor goes", command->authority);
	if (!command->force && authority_awaited(c, names, sizeof(names)))
		return err_set(err, -EBUSY, "the rotation of the CA waits for %s", names);
	if (moving->state == AUTHORITY_INCOMING && !key_held(c, moving->id))
		return err_set(err, -ENOKEY, "no node says that it has the new CA's key");
	if (moving->state == AUTHORITY_OUTGOING) {
		change_remove(c, &c->authorities, moving);
		return 0;
	}
	authority_become(c, active, AUTHORITY_OUTGOING);
	authority_become(c, moving, AUTHORITY_ACTIVE);
	return 0;
}

int apply_node_trust(struct cluster *c, struct command_node_trust *command, struct err *err)
{
	struct node *node = cluster_node(c, command->node);
	if (!node)
		return err_set(err, -ENOENT, "there is no node %" PRIu32, command->node);
	node->signer = command->signer;
	memcpy(node->trusts, command->trusts, sizeof(node->trusts));
	memcpy(node->keys, command->keys, sizeof(node->keys));
	node->certificate_until_s = command->until_s;
	change_touch(c, &c->nodes, node);
	return 0;
}
