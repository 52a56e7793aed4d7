#include "fsm/refound.h"

#include <stdio.h>
#include <string.h>

#include "fsm/change.h"

static void clear(struct cluster *c, struct table *t)
{
	while (t->count)
		change_remove(c, t, t->items[t->count - 1]);
}

void cluster_refound(struct cluster *c, struct node *node, const char *incarnation)
{
	clear(c, &c->authorities);
	clear(c, &c->tokens);
	cluster_each(c->nodes, struct node, one)
	{
		one->signer = 0;
		memset(one->trusts, 0, sizeof(one->trusts));
		memset(one->keys, 0, sizeof(one->keys));
		one->certificate_until_s = 0;
		change_touch(c, &c->nodes, one);
	}
	snprintf(node->incarnation, sizeof(node->incarnation), "%s", incarnation);
	change_settle(c);
	c->hash = change_hash(c);
}
