#include "tools/sim/chaos.h"

#include <stdio.h>
#include <string.h>

#include "node/member/members.h"
#include "tools/sim/fault.h"
#include "tools/sim/node.h"

#define SETTLE_MS     5000 /* for the cluster to come up */
#define CHAOS_MS      30000 /* faults for so long */
#define PRIMARY_IN_MS 2000 /* after they end */
#define MOMENT_MS     500 /* without one between two looks at it */
#define PATIENT_TIMES 3 /* so much more, if the most patient is to be waited for */
#define PEACE_MS      15000 /* at least, for what began late to show itself */
#define PEACE_MS_MAX  150000 /* for everything wanted to run; a doubtful start takes a minute */
#define LOOK_EVERY_MS 2000

static void answered(struct world *w, const struct sim_answer *answer)
{
	struct chaos *c = w->player;
	users_answered(w, &c->users, answer);
}

/* What is not yet as it is wanted: waited for in peace, a failure at its end. */

struct lack {
	char text[160]; /* "": nothing */
};

static void lack_vm(const struct world *w, const struct vm *vm, struct lack *lack)
{
	struct sim_node *owner = sim_node_by_raft_id(w, vm->node);
	const struct sim_vm *sim = owner ? sim_hypervisor_vm(owner, vm->uuid) : NULL;
	bool on = sim && sim->state == SIM_VM_RUNNING;
	if ((vm->state == VM_START) != on)
		snprintf(lack->text, sizeof(lack->text), "VM %u should be %s and is %s on node %u",
		    vm->id, state_name(vm_state_names, vm->state), on ? "on" : "off", vm->node);
	else if (vm->node && vm->observed != (on ? OBSERVED_RUNNING : OBSERVED_SHUTOFF))
		snprintf(lack->text, sizeof(lack->text), "VM %u is %s on node %u and known as %s",
		    vm->id, on ? "on" : "off", vm->node,
		    state_name(vm_observed_names, vm->observed));
	if (vm->state == VM_SHUTDOWN)
		snprintf(lack->text, sizeof(lack->text), "VM %u is still to shut down", vm->id);
}

static void lack_running(const struct cluster *c, struct sim_node *n, struct lack *lack)
{
	for (unsigned i = 0; i < n->hypervisor.count; i++) {
		const struct sim_vm *sim = &n->hypervisor.vms[i];
		const struct vm *vm = cluster_vm_named(c, sim->uuid);
		if (sim->state == SIM_VM_RUNNING && (!vm || vm->node != n->raft_id))
			snprintf(lack->text, sizeof(lack->text), "VM %s runs on n%u unwanted",
			    sim->uuid, n->id);
	}
}

static void lack_node(const struct cluster *c, const struct sim_node *n, struct lack *lack)
{
	const struct node *node = cluster_node(c, n->raft_id);
	if (!sim_node_serves(n) || !node)
		snprintf(lack->text, sizeof(lack->text), "n%u is not up", n->id);
	else if (node->daemon_state != DAEMON_RUN)
		snprintf(lack->text, sizeof(lack->text), "n%u is %s", n->id,
		    state_name(daemon_state_names, node->daemon_state));
	else if (n->value.index + 2 < c->index)
		snprintf(lack->text, sizeof(lack->text), "n%u is behind", n->id);
}

static void lack_voters(const struct world *w, unsigned primary, struct lack *lack)
{
	struct replica_status status;
	const struct cluster *c = &w->nodes[primary]->value;
	unsigned eligible = 0;
	cluster_each(c->nodes, struct node, node) eligible += node->mode != NODE_HYPERVISOR;
	replica_status(w->nodes[primary]->replica, &status);
	if (status.voters != members_voters_wanted(eligible))
		snprintf(lack->text, sizeof(lack->text), "%u vote, not %u", status.voters,
		    members_voters_wanted(eligible));
}

static struct lack lack_of(const struct world *w)
{
	struct lack lack = {""};
	unsigned primary = world_primary(w);
	if (!primary) {
		snprintf(lack.text, sizeof(lack.text), "there is no primary");
		return lack;
	}
	const struct cluster *c = &w->nodes[primary]->value;
	lack_voters(w, primary, &lack);
	for (unsigned i = 1; i <= w->node_count; i++) {
		lack_node(c, w->nodes[i], &lack);
		lack_running(c, w->nodes[i], &lack);
	}
	cluster_each(c->vms, struct vm, vm) lack_vm(w, vm, &lack);
	cluster_each(
	    c->nodes, struct node, node) if (node->coordinator_state == COORDINATOR_RELINQUISH)
	    snprintf(lack.text, sizeof(lack.text), "node %u has not let go", node->id);
	return lack;
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
	while (!*w->failure && *lack_of(w).text && w->now_ms < from_ms + PEACE_MS_MAX)
		world_run(w, w->now_ms + LOOK_EVERY_MS);
	if (*lack_of(w).text)
		world_fail(w, "long after the faults ended: %s", lack_of(w).text);
	for (unsigned i = 1; i <= w->node_count && !*w->failure; i++)
		users_check(w, &c->users, w->nodes[i]);
}

static void play(struct chaos *c)
{
	struct world *w = &c->world;
	world_run(w, SETTLE_MS);
	await_primary(w, SETTLE_MS + MOMENT_MS);
	if (!*w->failure && !world_primary(w))
		world_fail(w, "no primary %u ms after the start", SETTLE_MS);
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

void chaos_play(uint64_t seed, enum chaos_trace trace, struct chaos_result *result)
{
	struct chaos c = {0};
	struct world_options options = draw(seed);
	options.quiet = trace == CHAOS_QUIET;
	options.printed = trace == CHAOS_PRINT;
	world_init(&c.world, &options);
	c.world.player = &c;
	c.world.answered = answered;
	play(&c);
	*result = (struct chaos_result){
	    .acknowledged = c.users.acknowledged,
	    .retried = c.users.retried,
	    .takeovers = (unsigned)c.world.nodes[1]->value.primary.epoch,
	    .trace = c.world.trace,
	};
	memcpy(result->failure, c.world.failure, sizeof(result->failure));
	c.world.trace = (struct buffer){0};
	users_close(&c.users);
	world_close(&c.world);
}
