#include "tools/sim/guard.h"

#include "tools/sim/node.h"
#include "tools/sim/verify.h"

#define TAKES_MS  40 /* to take it up, at most */
#define LEAVES_MS 60 /* to take it off, at most, while the lease lasts */

static void gone(struct sim_node *n, const char *why)
{
	struct sim_guard *g = &n->guard;
	g->coming = g->leaving = false;
	g->change++;
	if (!g->held)
		return;
	g->held = false;
	world_trace(n->world, n->id, "floating address off (%s)", why);
}

/* The guard looks when the lease that it knows of ends, whatever the daemon does. */
static void lease_wake(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	if (!n->guard.held && !n->guard.coming)
		return;
	if (sim_node_clock(n) >= n->guard.until_ms)
		gone(n, "lease");
	else
		world_at(w, sim_node_when(n, n->guard.until_ms), lease_wake, node, 0);
}

static void taken(struct world *w, unsigned node, uint64_t change, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	if (!n->guard.coming || n->guard.change != change)
		return;
	n->guard.coming = false;
	if (sim_node_clock(n) >= n->guard.until_ms)
		return;
	n->guard.held = true;
	world_trace(w, node, "floating address on");
	verify_holders(w);
	sim_node_settle(n);
}

static void let_go(struct world *w, unsigned node, uint64_t change, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	if (!n->guard.leaving || n->guard.change != change)
		return;
	gone(n, n->daemon ? "let go" : "the daemon is gone");
	sim_node_settle(n);
}

void sim_guard_hold(struct sim_node *n, uint64_t until_ms)
{
	struct sim_guard *g = &n->guard;
	struct world *w = n->world;
	/* The daemon's own rule; the guard would see to it as well. */
	if (until_ms <= sim_node_clock(n))
		world_fail(w, "n%u holds the floating address without a lease", n->id);
	g->until_ms = until_ms;
	g->leaving = false;
	if (g->held || g->coming)
		return;
	g->coming = true;
	world_at(w, w->now_ms + 1 + world_random(w, TAKES_MS), taken, n->id, ++g->change);
	world_at(w, sim_node_when(n, until_ms), lease_wake, n->id, 0);
}

static void leave(struct sim_node *n, uint64_t within_ms)
{
	struct sim_guard *g = &n->guard;
	struct world *w = n->world;
	g->coming = false;
	if (!g->held || g->leaving)
		return;
	g->leaving = true;
	world_at(w, w->now_ms + 1 + world_random(w, within_ms), let_go, n->id, ++g->change);
}

void sim_guard_let_go(struct sim_node *n)
{
	leave(n, LEAVES_MS);
}

void sim_guard_orphan(struct sim_node *n)
{
	/* The end of the lease comes first, as often as not. */
	leave(n, WORLD_LEASE_MS * 2);
}

void sim_guard_off(struct sim_node *n)
{
	gone(n, "no power");
}

struct holding sim_guard_holding(const struct sim_node *n)
{
	const struct sim_guard *g = &n->guard;
	return (struct holding){
	    .addresses_wanted = 1,
	    .addresses_held = g->held && !g->leaving,
	    .addresses_gone = !g->held && !g->coming,
	    .services_gone = true,
	};
}
