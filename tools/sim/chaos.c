#include "tools/sim/chaos.h"

#include <stdio.h>
#include <string.h>

#include "tools/sim/fault.h"
#include "tools/sim/lack.h"
#include "tools/sim/node.h"
#include "tools/sim/wish.h"

#define SETTLE_MS      5000 /* for the cluster to come up */
#define CHAOS_MS       30000 /* faults for so long */
#define PRIMARY_IN_MS  2000 /* after they end */
#define MOMENT_MS      500 /* without one between two looks at it */
#define PATIENT_TIMES  3 /* so much more, if the most patient is to be waited for */
#define PEACE_MS       15000 /* at least, for what began late to show itself */
#define PEACE_MS_MAX   300000 /* for everything wanted to run; a doubtful start takes a minute */
#define LOOK_EVERY_MS  2000
#define LIFE_NODES     5
#define FAULT_IN       10 /* one of so many steps is a fault... */
#define FOCUS_FAULT_IN 3 /* ...and of those that are about one VM */
#define FOCUS_MAX      24 /* steps */
#define MOMENT_IN      6 /* one of so many moments of a migration is struck... */
#define SOON_MS	       100 /* ...within that time... */
#define LATER_MS       6000 /* ...or that */
#define NODE_WISH_IN   12 /* one of so many requests is about a node */
#define TURN_IN	       16 /* after so many steps people hurry, or rest */
#define HURRY_MS_MAX   40 /* between two steps */
#define REST_MS_MAX    500

static void answered(struct world *w, const struct sim_answer *answer)
{
	struct chaos *c = w->player;
	users_answered(w, &c->users, answer);
}

/* What came to a daemon while it was stopped comes to it when it goes on: so long faults last. */
static uint64_t last_pause_ends(const struct world *w)
{
	uint64_t end_ms = w->now_ms;
	for (unsigned i = 1; i <= w->node_count; i++)
		if (w->nodes[i]->paused_until_ms > end_ms)
			end_ms = w->nodes[i]->paused_until_ms;
	return end_ms;
}

/* One that is set impatient loses its lease for a moment now and then, when a message is late. */
static void await_primary(struct world *w, uint64_t until_ms)
{
	while (!*w->failure && !world_primary(w) && w->now_ms < until_ms)
		world_run(w, w->now_ms + MOMENT_MS / 25);
}

/* Until all is as it is wanted, or for that long. */
static void await_wanted(struct world *w, uint64_t until_ms)
{
	while (!*w->failure && *lack_of(w).text && w->now_ms < until_ms)
		world_run(w, w->now_ms + LOOK_EVERY_MS);
	if (!*w->failure && *lack_of(w).text)
		world_fail(w, "long after the faults ended: %s", lack_of(w).text);
}

static bool all_ready(const struct cluster *c)
{
	cluster_each(
	    c->nodes, struct node, node) if (node->domain_state != DOMAIN_READY) return false;
	return true;
}

/* Every node is asked to take VMs again, and what went elsewhere comes back. */
static void make_ready(struct world *w, uint64_t until_ms)
{
	while (!*w->failure && w->now_ms < until_ms) {
		struct sim_node *n = w->nodes[world_primary(w) ? world_primary(w) : 1];
		if (all_ready(&n->value))
			break;
		cluster_each(n->value.nodes, struct node, node)
		{
			bool wants = node->domain_state == DOMAIN_FLUSH ||
				     node->domain_state == DOMAIN_FLUSHED;
			if (wants)
				wish_ready(n, node->id);
		}
		world_run(w, w->now_ms + LOOK_EVERY_MS);
	}
	await_wanted(w, until_ms);
}

static void peace(struct chaos *c)
{
	struct world *w = &c->world;
	faults_end(w);
	uint64_t from_ms = last_pause_ends(w);
	unsigned within_ms = PRIMARY_IN_MS;
	if (w->options.unlike) /* the most patient may be needed */
		within_ms += PATIENT_TIMES * WORLD_ELECTION_MS_MAX;
	world_run(w, from_ms + within_ms);
	await_primary(w, from_ms + within_ms + MOMENT_MS);
	if (!*w->failure && !world_primary(w))
		world_fail(w, "no primary %u ms after the faults ended", within_ms);
	world_run(w, from_ms + PEACE_MS);
	await_wanted(w, from_ms + PEACE_MS_MAX);
	make_ready(w, w->now_ms + PEACE_MS_MAX);
	for (unsigned i = 1; i <= w->node_count && !*w->failure; i++)
		users_check(w, &c->users, w->nodes[i]);
}

/* Steps. */

static uint64_t next_step_ms(struct chaos *c)
{
	struct world *w = &c->world;
	if (world_random(w, TURN_IN) == 0)
		c->hurries = !c->hurries;
	return 1 + world_random(w, c->hurries ? HURRY_MS_MAX : REST_MS_MAX);
}

static unsigned draw_vm(struct chaos *c)
{
	struct world *w = &c->world;
	if (c->focus_left) {
		c->focus_left--;
		return c->focus;
	}
	c->focus = 1 + (unsigned)world_random(w, c->vms);
	c->focus_left = world_random(w, FOCUS_MAX / 2) ? 0 : (unsigned)world_random(w, FOCUS_MAX);
	return c->focus;
}

/* One that has something of the VM, if any. */
static struct sim_node *draw_node(struct world *w, unsigned who)
{
	char uuid[37];
	unsigned first = (unsigned)world_random(w, w->node_count);
	wish_uuid(who, uuid);
	for (unsigned i = 0; i < w->node_count; i++) {
		struct sim_node *n = w->nodes[1 + (first + i) % w->node_count];
		const struct sim_vm *vm = sim_hypervisor_vm(n, uuid);
		if (vm && vm->state != SIM_VM_OFF)
			return n;
	}
	return user_target(w);
}

static void step(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	struct chaos *c = w->player;
	if (w->now_ms < c->users.rest_until_ms) {
		world_at(w, c->users.rest_until_ms + 1, step, 0, 0);
		return;
	}
	c->steps_left--;
	bool focused = c->focus_left;
	unsigned who = draw_vm(c);
	if (world_random(w, focused ? FOCUS_FAULT_IN : FAULT_IN) == 0)
		fault_strike(w, focused ? draw_node(w, who) : user_target(w));
	else if (!focused && world_random(w, NODE_WISH_IN) == 0)
		wish_node(user_target(w));
	else
		wish_vm(user_target(w), who);
	if (c->steps_left)
		world_at(w, w->now_ms + next_step_ms(c), step, 0, 0);
}

static void strike(struct world *w, unsigned source, uint64_t target, void *bytes)
{
	if (!w->peace)
		fault_between(w, source, (unsigned)target);
}

/* What fails does so when it is least wanted, and seldom alone. */
static void moment(struct world *w, unsigned source, unsigned target)
{
	if (w->peace || world_random(w, MOMENT_IN))
		return;
	uint64_t strikes = 1 + world_random(w, 2);
	for (uint64_t i = 0; i < strikes; i++)
		world_at(w, w->now_ms + world_random(w, world_random(w, 2) ? SOON_MS : LATER_MS),
		    strike, source, target);
}

/* Most VMs run when it begins. */
static void populate(struct chaos *c)
{
	struct world *w = &c->world;
	for (unsigned i = 1; i <= c->vms; i++)
		wish_vm(w->nodes[1], i);
	world_run(w, w->now_ms + MOMENT_MS);
	for (unsigned i = 1; i <= c->vms; i++)
		if (world_random(w, 4))
			wish_start(w->nodes[1], i);
	world_run(w, w->now_ms + PEACE_MS);
}

static void play_steps(struct chaos *c)
{
	struct world *w = &c->world;
	populate(c);
	w->moment = moment;
	world_at(w, w->now_ms, step, 0, 0);
	while (c->steps_left && !*w->failure)
		world_run(w, w->now_ms + MOMENT_MS);
}

static void play(struct chaos *c)
{
	struct world *w = &c->world;
	world_run(w, SETTLE_MS);
	await_primary(w, SETTLE_MS + MOMENT_MS);
	if (!*w->failure && !world_primary(w))
		world_fail(w, "no primary %u ms after the start", SETTLE_MS);
	if (c->vms) {
		play_steps(c);
		if (!*w->failure)
			peace(c);
		return;
	}
	users_begin(w, &c->users, SETTLE_MS + CHAOS_MS);
	faults_begin(w, SETTLE_MS + CHAOS_MS);
	world_run(w, SETTLE_MS + CHAOS_MS);
	if (!*w->failure)
		peace(c);
}

/* Some who vote; of others one that waits for a place, and some that never get one. */
static void draw_nodes(struct world *lot, struct world_options *o)
{
	static const struct {
		unsigned coordinators;
		uint32_t witnesses;
	} shapes[] = {{1, 0}, {2, 1 << 3}, {4, 0}, {4, 1 << 5}, {4, 1 << 2}, {7, 0}};
	unsigned shape = (unsigned)world_random(lot, 3 * sizeof(shapes) / sizeof(*shapes));
	unsigned more = world_random(lot, 4) ? 0 : 1 + (unsigned)world_random(lot, 2);
	o->founders = 3 + (unsigned)world_random(lot, 3);
	o->nodes = o->founders + more;
	o->coordinators = o->nodes >= 5 && world_random(lot, 2) ? 5 : 3;
	if (shape >= sizeof(shapes) / sizeof(*shapes))
		return;
	o->coordinators = shapes[shape].coordinators;
	o->witnesses = shapes[shape].witnesses;
	o->founders = o->coordinators;
	while (o->witnesses >> o->founders >> 1)
		o->founders++;
	o->nodes = o->founders + more;
}

/* What kind of cluster and network this seed is about. */
static struct world_options draw(uint64_t seed)
{
	struct world *lot = &(struct world){.random = seed ^ 0x5851f42d4c957f2du};
	struct world_options o = {.seed = seed, .drift_ppm_max = WORLD_DRIFT_PPM};
	draw_nodes(lot, &o);
	o.replace_after_ms = world_random(lot, 2) ? 0 : 10000;
	o.drop_permille = (unsigned)world_random(lot, 3) * 10;
	o.double_permille = (unsigned)world_random(lot, 3) * 10;
	o.late_permille = (unsigned)world_random(lot, 3) * 5;
	o.delay_ms_max = 1 + (unsigned)world_random(lot, 12);
	o.patience_ms = 500u << world_random(lot, 5);
	o.snapshot_log_bytes = 2048 + world_random(lot, 16384);
	o.unlike = world_random(lot, 4) == 0;
	return o;
}

/* All of them run VMs, and are there from the beginning. */
static void draw_life(struct world_options *o)
{
	o->nodes = o->founders = LIFE_NODES;
	o->coordinators = o->coordinators >= 5 ? 5 : 3;
	o->witnesses = 0;
}

void chaos_play(const struct chaos_options *what, struct chaos_result *result)
{
	struct chaos c = {.vms = what->vms, .steps_left = what->steps};
	struct world_options options = draw(what->seed);
	if (what->vms)
		draw_life(&options);
	options.quiet = what->trace == CHAOS_QUIET;
	options.printed = what->trace == CHAOS_PRINT;
	world_init(&c.world, &options);
	c.world.player = &c;
	c.world.answered = answered;
	play(&c);
	*result = (struct chaos_result){
	    .acknowledged = c.users.acknowledged,
	    .retried = c.users.retried,
	    .takeovers = (unsigned)c.world.nodes[1]->value.primary.epoch,
	    .migrations = c.world.migrations,
	    .arrivals = c.world.arrivals,
	    .trace = c.world.trace,
	};
	memcpy(result->failure, c.world.failure, sizeof(result->failure));
	c.world.trace = (struct buffer){0};
	users_close(&c.users);
	world_close(&c.world);
}
