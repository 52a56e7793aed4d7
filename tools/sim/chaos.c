#include "tools/sim/chaos.h"

#include <stdio.h>
#include <string.h>

#include "tools/sim/network.h"
#include "tools/sim/node.h"

#define SETTLE_MS      6000 /* for the cluster to come up */
#define CHAOS_MS       20000 /* faults for so long */
#define PRIMARY_IN_MS  2000 /* after they end */
#define PEACE_MS       80000 /* for everything wanted to run; a doubtful start takes a minute */
#define FENCE_AFTER_MS 4000

static struct sim_node *any_node(struct world *w)
{
	return w->nodes[1 + world_random(w, w->node_count)];
}

static bool alive(const struct sim_node *n)
{
	return n->powered && n->daemon && n->replica;
}

/* The client: facts that must be there once they are acknowledged, reads that
 * must not be stale, VMs that come and go. */

static void propose_fact(struct world *w, struct sim_node *n)
{
	char value[32];
	struct command command = {.number = COMMAND_fact};
	uint64_t number = ++w->operations;
	snprintf(
	    command.fact.key, sizeof(command.fact.key), "fact-%llu", (unsigned long long)number);
	snprintf(value, sizeof(value), "%llu", (unsigned long long)number);
	command.fact.value =
	    (struct blob){.data = (uint8_t *)value, .size = (uint32_t)strlen(value)};
	sim_node_propose(n, &command, REQUEST_FACT, number);
}

static void propose_vm(struct world *w, struct sim_node *n)
{
	static const enum vm_state states[] = {VM_START, VM_START, VM_START, VM_SHUTDOWN, VM_STOP};
	struct command command = {0};
	uint64_t vm = 1 + world_random(w, 4);
	if (cluster_vm(&n->value, (uint32_t)vm) && world_random(w, 8) == 0) {
		command.number = COMMAND_vm_place;
		command.vm_place.vm = (uint32_t)vm;
		command.vm_place.node = 1 + (uint32_t)world_random(w, w->node_count);
	} else if (cluster_vm(&n->value, (uint32_t)vm)) {
		command.number = COMMAND_vm_state;
		command.vm_state.vm = (uint32_t)vm;
		command.vm_state.state = states[world_random(w, 5)];
	} else {
		command.number = COMMAND_vm_define;
		snprintf(
		    command.vm_define.name, sizeof(command.vm_define.name), "vm-%u", (unsigned)vm);
		snprintf(command.vm_define.uuid, sizeof(command.vm_define.uuid), "uuid-%u",
		    (unsigned)vm);
		command.vm_define.memory_mib = 512;
		command.vm_define.vcpus = 1;
	}
	sim_node_propose(n, &command, REQUEST_NONE, 0);
}

static void client(struct world *w, unsigned node, uint64_t until_ms, void *bytes)
{
	struct sim_node *n = any_node(w);
	if (w->now_ms >= until_ms)
		return;
	if (alive(n)) {
		switch (world_random(w, 6)) {
		case 0:
			propose_vm(w, n);
			break;
		case 1:
			sim_node_read(n);
			break;
		default:
			propose_fact(w, n);
			break;
		}
		sim_node_settle(n);
	}
	world_at(w, w->now_ms + 1 + world_random(w, 100), client, 0, until_ms);
}

/* The faults. Each ends by itself or at the peace. */

static void power_on(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	/* Somebody vouches that it is off: it must stay so until that is decided. */
	if (n->fence_pending)
		world_at(w, w->now_ms + 500, power_on, node, 0);
	else
		sim_node_power(n, true);
}

static void fence(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	struct sim_node *n = w->nodes[node], *by = any_node(w);
	if (n->powered || n->fence_pending || !alive(by) || !n->raft_id)
		return;
	struct command command = {
	    .number = COMMAND_node_fenced,
	    .node_fenced = {.node = n->raft_id, .by_hand = true, .who = "chaos"},
	};
	n->fence_pending = true;
	sim_node_propose(by, &command, REQUEST_FENCE, node);
	sim_node_settle(by);
}

static void daemon_on(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	sim_node_daemon(w->nodes[node], true);
}

static void mend(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	network_cut(w, node, false);
	world_trace(w, node, "network whole");
}

static void disk_well(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	w->nodes[node]->disk.faults = (struct disk_faults){0};
	world_trace(w, node, "disk well");
}

static void fault_power(struct world *w, struct sim_node *n)
{
	sim_node_power(n, false);
	world_at(w, w->now_ms + FENCE_AFTER_MS + world_random(w, 1000), fence, n->id, 0);
	world_at(w, w->now_ms + 1000 + world_random(w, 8000), power_on, n->id, 0);
}

static void fault_disk(struct world *w, struct sim_node *n)
{
	struct disk_faults *faults = &n->disk.faults;
	switch (world_random(w, 4)) {
	case 0:
		faults->full = true;
		break;
	case 1:
		faults->failing = true;
		break;
	case 2:
		faults->failing_once = true;
		break;
	default:
		faults->slow_ms = 20 + (unsigned)world_random(w, 400);
		break;
	}
	world_trace(w, n->id, "disk ill: %s",
	    faults->full      ? "full"
	    : faults->failing ? "failing"
	    : faults->slow_ms ? "slow"
			      : "fails once");
	world_at(w, w->now_ms + 500 + world_random(w, 4000), disk_well, n->id, 0);
}

static void fault_network(struct world *w, struct sim_node *n)
{
	struct sim_node *other = any_node(w);
	switch (world_random(w, 3)) {
	case 0:
		network_cut(w, n->id, true);
		world_trace(w, n->id, "network cut");
		break;
	case 1:
		w->cut[n->id][other->id] = true;
		world_trace(w, n->id, "cannot be heard by n%u", other->id);
		break;
	default:
		w->cut[n->id][other->id] = w->cut[other->id][n->id] = true;
		world_trace(w, n->id, "cut from n%u", other->id);
		break;
	}
	world_at(w, w->now_ms + 300 + world_random(w, 5000), mend, n->id, 0);
}

static void fault_wish(struct world *w, struct sim_node *n)
{
	struct command command = {
	    .number = COMMAND_primary_want,
	    .primary_want = {.node = 1 + (uint32_t)world_random(w, w->node_count)},
	};
	if (alive(n))
		sim_node_propose(n, &command, REQUEST_NONE, 0);
}

static void chaos(struct world *w, unsigned node, uint64_t until_ms, void *bytes)
{
	struct sim_node *n = any_node(w);
	if (w->now_ms >= until_ms)
		return;
	switch (world_random(w, 7)) {
	case 0:
		fault_power(w, n);
		break;
	case 1:
		sim_node_daemon(n, false);
		world_at(w, w->now_ms + 100 + world_random(w, 4000), daemon_on, n->id, 0);
		break;
	case 2:
		sim_node_pause(n, 50 + world_random(w, 3000));
		break;
	case 3:
		fault_disk(w, n);
		break;
	case 4:
		sim_node_hang(n, 500 + world_random(w, 8000));
		break;
	case 5:
		fault_wish(w, n);
		break;
	default:
		fault_network(w, n);
		break;
	}
	world_at(w, w->now_ms + 100 + world_random(w, 2500), chaos, 0, until_ms);
}

/* Peace: everything is mended at once. */
static void peace(struct world *w)
{
	world_trace(w, 0, "peace");
	w->options.drop_permille = w->options.double_permille = 0;
	for (unsigned i = 1; i <= w->node_count; i++) {
		struct sim_node *n = w->nodes[i];
		network_cut(w, i, false);
		n->disk.faults = (struct disk_faults){0};
		if (n->paused_until_ms > w->now_ms)
			n->paused_until_ms = w->now_ms;
		if (n->hung_until_ms > w->now_ms)
			n->hung_until_ms = w->now_ms;
		n->fence_pending = false;
		sim_node_power(n, true);
		sim_node_daemon(n, true);
		if (alive(n))
			sim_node_settle(n);
	}
}

static void check_acknowledged(struct world *w, const struct sim_node *n)
{
	for (unsigned i = 0; i < w->acknowledged_count; i++)
		if (!cluster_fact(&n->value, w->acknowledged[i].key))
			world_fail(w, "n%u: %s was acknowledged at index %llu and is gone", n->id,
			    w->acknowledged[i].key, (unsigned long long)w->acknowledged[i].index);
}

static void check_wanted(struct world *w, const struct sim_node *primary)
{
	cluster_each(primary->value.vms, struct vm, vm)
	{
		struct sim_node *owner = sim_node_by_raft_id(w, vm->node);
		const struct sim_vm *sim = owner ? sim_node_vm(owner, vm->uuid) : NULL;
		bool on = sim && sim->state == SIM_VM_RUNNING;
		if (vm->state == VM_START && !on)
			world_fail(w, "VM %u should run on node %u and does not", vm->id, vm->node);
		if (vm->state != VM_START && on)
			world_fail(w, "VM %u runs on node %u and should be %s", vm->id, vm->node,
			    state_name(vm_state_names, vm->state));
	}
}

static void check_end(struct world *w)
{
	for (unsigned i = 1; i <= w->node_count && !*w->failure; i++) {
		const struct sim_node *n = w->nodes[i];
		if (!alive(n) || !n->raft_id) {
			world_fail(w, "n%u is not up", i);
			continue;
		}
		check_acknowledged(w, n);
		const struct node *node = cluster_node(&n->value, n->raft_id);
		if (!node || node->daemon_state != DAEMON_RUN)
			world_fail(w, "n%u is %s in its own value", i,
			    node ? state_name(daemon_state_names, node->daemon_state) : "unknown");
	}
	if (!*w->failure)
		check_wanted(w, w->nodes[world_primary(w) ? world_primary(w) : 1]);
}

static void play(struct world *w)
{
	world_run(w, SETTLE_MS);
	if (!*w->failure && !world_primary(w))
		world_fail(w, "no primary %u ms after the start", SETTLE_MS);
	world_at(w, w->now_ms, client, 0, SETTLE_MS + CHAOS_MS);
	world_at(w, w->now_ms, chaos, 0, SETTLE_MS + CHAOS_MS);
	world_run(w, SETTLE_MS + CHAOS_MS);
	/* What was begun and ends by itself may come a little later. */
	world_run(w, w->now_ms + 100);
	if (*w->failure)
		return;
	peace(w);
	world_run(w, w->now_ms + PRIMARY_IN_MS);
	if (!*w->failure && !world_primary(w))
		world_fail(w, "no primary %u ms after the faults ended", PRIMARY_IN_MS);
	world_run(w, w->now_ms + PEACE_MS);
	if (!*w->failure)
		check_end(w);
}

void chaos_play(uint64_t seed, const struct world_options *base, struct chaos_result *result)
{
	struct world w;
	struct world_options options = *base;
	options.seed = seed;
	struct world *draw = &(struct world){.random = seed ^ 0x5851f42d4c957f2du};
	options.nodes = 3 + (unsigned)world_random(draw, 3);
	options.coordinators = options.nodes >= 5 && world_random(draw, 2) ? 5 : 3;
	options.drop_permille = (unsigned)world_random(draw, 3) * 10;
	options.double_permille = (unsigned)world_random(draw, 3) * 10;
	options.delay_ms_max = 1 + (unsigned)world_random(draw, 12);
	options.snapshot_log_bytes = 2048 + world_random(draw, 16384);
	world_init(&w, &options);
	play(&w);
	*result = (struct chaos_result){.acknowledged = w.acknowledged_count};
	memcpy(result->failure, w.failure, sizeof(result->failure));
	if (w.node_count)
		result->takeovers = (unsigned)w.nodes[1]->value.primary.epoch;
	result->trace = w.trace;
	w.trace = (struct buffer){0};
	world_close(&w);
}
