#include "node/gather.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft/peers.h"

struct gather *gather_new(const struct context *context)
{
	struct gather *g = must_alloc(sizeof(*g));
	g->context = context;
	return g;
}

void gather_free(struct gather *g)
{
	for (unsigned i = 0; i < g->count; i++)
		json_decref(g->answers[i].result);
	free(g);
}

void gather_add(struct gather *g, uint32_t node)
{
	unsigned at = 0;
	while (at < g->count && g->answers[at].node < node)
		at++;
	if (g->count == GATHER_NODES_MAX || (at < g->count && g->answers[at].node == node))
		return;
	memmove(&g->answers[at + 1], &g->answers[at], (g->count - at) * sizeof(g->answers[0]));
	g->answers[at] = (struct gather_answer){.gather = g, .node = node};
	g->count++;
}

void gather_add_members(struct gather *g)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	struct replica *r = g->context->replica(g->context->data);
	unsigned n = r ? replica_members(r, members, REPLICA_MEMBERS_MAX) : 0;
	cluster_each(g->context->cluster->nodes, struct node, node) gather_add(g, node->id);
	for (unsigned i = 0; i < n; i++)
		gather_add(g, (uint32_t)members[i].id);
}

static void arrived(struct gather *g)
{
	if (--g->missing == 0)
		g->done(g->data, g);
}

static void answered(void *data, int status, json_t *result, const struct err *err)
{
	struct gather_answer *a = data;
	a->result = result;
	if (!result)
		snprintf(a->why, sizeof(a->why), "%.255s",
		    err && *err->text ? err->text : strerror(-status));
	arrived(a->gather);
}

/* Nobody need wait for one that there is no connection with. */
static bool unreachable(const struct gather *g, struct gather_answer *a)
{
	struct peers_status peers[PEERS_MEMBERS_MAX];
	const struct context *context = g->context;
	unsigned n = context->peers ? context->peers(context->data, peers, PEERS_MEMBERS_MAX) : 0;
	if (!context->ask) {
		snprintf(a->why, sizeof(a->why), "other nodes cannot be asked here");
		return true;
	}
	for (unsigned i = 0; i < n; i++) {
		if (peers[i].id != a->node || peers[i].sending)
			continue;
		snprintf(a->why, sizeof(a->why), "no connection%s%.200s",
		    *peers[i].error ? ": " : "", peers[i].error);
		return true;
	}
	return false;
}

void gather_ask(struct gather *g, const struct operation_call *call,
    void (*done)(void *data, struct gather *gather), void *data)
{
	const struct context *context = g->context;
	struct operation_call asked = *call;
	if (!asked.answer_ms)
		asked.answer_ms = GATHER_TIMEOUT_MS;
	g->done = done;
	g->data = data;
	/* One more than there are: answers that come at once must not end it half way. */
	g->missing = g->count + 1;
	for (unsigned i = 0; i < g->count; i++) {
		struct gather_answer *a = &g->answers[i];
		if (a->node == context->id)
			operation_run(context, &asked, answered, a);
		else if (unreachable(g, a))
			g->missing--;
		else
			context->ask(context->data, a->node, &asked, answered, a);
	}
	arrived(g);
}
