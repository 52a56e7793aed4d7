#include "tools/sim/fault.h"

#include "fsm/membership.h"
#include "tools/sim/network.h"
#include "tools/sim/request.h"
#include "tools/sim/user.h"

#define FENCE_AFTER_MS 4000

/* Power, and somebody who vouches that it is off. */

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
	struct sim_node *n = w->nodes[node], *by = user_target(w);
	if (n->powered || n->fence_pending || !sim_node_serves(by) || !n->raft_id)
		return;
	struct command command = {
	    .number = COMMAND_node_fenced,
	    .node_fenced = {.node = n->raft_id, .by_hand = true, .who = "chaos"},
	};
	n->fence_pending = true;
	request_propose(by, &command, ASK_FENCE, node);
	sim_node_settle(by);
}

static void power_back(struct world *w, const struct sim_node *n)
{
	world_at(w, w->now_ms + FENCE_AFTER_MS + world_random(w, 1000), fence, n->id, 0);
	world_at(w, w->now_ms + 1000 + world_random(w, 8000), power_on, n->id, 0);
}

static void fault_power(struct world *w, struct sim_node *n)
{
	sim_node_power(n, false);
	power_back(w, n);
}

/* The whole room loses its power. */
static void fault_blackout(struct world *w, struct sim_node *n)
{
	for (unsigned i = 1; i <= w->node_count; i++) {
		sim_node_power(w->nodes[i], false);
		world_at(w, w->now_ms + 500 + world_random(w, 3000), power_on, i, 0);
	}
}

static void fault_write(struct world *w, struct sim_node *n)
{
	n->disk.faults.crash_in = 1 + (unsigned)world_random(w, 8);
	power_back(w, n);
}

/* The daemon. */

static void daemon_on(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	sim_node_daemon(w->nodes[node], true);
}

static void fault_daemon(struct world *w, struct sim_node *n)
{
	sim_node_daemon(n, false);
	uint64_t back_ms = world_random(w, 2) ? 20 : 4000;
	world_at(w, w->now_ms + 10 + world_random(w, back_ms), daemon_on, n->id, 0);
}

#define LEAVE_LOOK_MS 500
#define LEAVE_LOOKS   24 /* then it is hurried */

static void leaving(struct world *w, unsigned node, uint64_t looks, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	bool ended = !n->daemon || !n->agent.leaving;
	if (!ended && looks < LEAVE_LOOKS) {
		world_at(w, w->now_ms + LEAVE_LOOK_MS, leaving, node, looks + 1);
		return;
	}
	if (!ended)
		sim_node_daemon(n, false);
	sim_node_daemon(n, true);
}

static void fault_leave(struct world *w, struct sim_node *n)
{
	sim_node_leave(n);
	if (n->daemon && n->agent.leaving)
		leaving(w, n->id, 0, NULL);
}

static void fault_pause(struct world *w, struct sim_node *n)
{
	sim_node_pause(n, 50 + world_random(w, 3000));
}

static void fault_hang(struct world *w, struct sim_node *n)
{
	sim_node_hang(n, 500 + world_random(w, 8000));
}

static void fault_wish(struct world *w, struct sim_node *n)
{
	struct command command = {
	    .number = COMMAND_primary_want,
	    .primary_want = {.node = 1 + (uint32_t)world_random(w, w->node_count)},
	};
	if (sim_node_serves(n))
		request_propose(n, &command, ASK_NONE, 0);
}

/* What it is changes, as long as the value lets it. */
static void fault_mode(struct world *w, struct sim_node *n)
{
	struct command command = {
	    .number = COMMAND_node_mode,
	    .node_mode = {.node = 1 + (uint32_t)world_random(w, w->node_count),
		.mode = world_random(w, 2) ? NODE_COORDINATOR : NODE_HYPERVISOR,
		.judged = membership_mark(&n->value)},
	};
	if (sim_node_serves(n))
		request_propose(n, &command, ASK_NONE, 0);
}

/* The disk. */

static void disk_well(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	w->nodes[node]->disk.faults = (struct disk_faults){0};
	world_trace(w, node, "disk well");
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

/* The network. */

static void mend(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	network_cut(w, node, false);
	world_trace(w, node, "network whole");
}

/* One half no longer hears the other; mended node by node. */
static void cut_halves(struct world *w)
{
	unsigned mask = (unsigned)world_random(w, 1u << w->node_count);
	for (unsigned i = 1; i <= w->node_count; i++) {
		for (unsigned k = 1; k <= w->node_count; k++)
			if ((mask >> (i - 1) & 1) != (mask >> (k - 1) & 1))
				w->cut[i][k] = true;
		world_at(w, w->now_ms + 2000 + world_random(w, 3000), mend, i, 0);
	}
	world_trace(w, 0, "network in two parts: %#x", mask);
}

static void cut_way(struct world *w, const struct sim_node *n, bool out)
{
	for (unsigned i = 1; i <= w->node_count; i++) {
		if (i == n->id)
			continue;
		if (out)
			w->cut[n->id][i] = true;
		else
			w->cut[i][n->id] = true;
	}
	world_trace(w, n->id, out ? "cannot be heard" : "hears nobody");
}

static void fault_network(struct world *w, struct sim_node *n)
{
	struct sim_node *other = w->nodes[1 + world_random(w, w->node_count)];
	switch (world_random(w, 6)) {
	case 0:
		network_cut(w, n->id, true);
		world_trace(w, n->id, "network cut");
		break;
	case 1:
		w->cut[n->id][other->id] = true;
		world_trace(w, n->id, "cannot be heard by n%u", other->id);
		break;
	case 2:
		w->cut[n->id][other->id] = w->cut[other->id][n->id] = true;
		world_trace(w, n->id, "cut from n%u", other->id);
		break;
	case 3:
		cut_halves(w);
		return;
	default:
		cut_way(w, n, world_random(w, 2));
		break;
	}
	world_at(w, w->now_ms + 300 + world_random(w, 5000), mend, n->id, 0);
}

/* Who followed the leader a moment ago is started anew, and from then on hears only one who wants
 * to lead: has it forgotten what it promised? While all is quiet, or the other's log would be too
 * short for its vote. */
static void betray(struct world *w, unsigned node, uint64_t leader, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	if (w->peace)
		return;
	w->cut[leader][node] = w->cut[node][leader] = true;
	sim_node_daemon(n, false);
	sim_node_daemon(n, true);
	network_cut(w, (unsigned)leader, true);
	world_at(w, w->now_ms + 2000, mend, node, 0);
}

static void fault_promise(struct world *w, struct sim_node *n)
{
	unsigned leader = world_primary(w);
	struct sim_node *rival = w->nodes[1 + world_random(w, w->node_count)];
	if (!leader || n->id == leader || rival->id == leader || rival == n)
		return;
	world_trace(w, rival->id, "cut from n%u, the leader", leader);
	w->cut[leader][rival->id] = w->cut[rival->id][leader] = true;
	uint64_t later_ms = w->now_ms + 350 + world_random(w, 400);
	users_rest(w, later_ms);
	world_at(w, later_ms, betray, n->id, leader);
	world_at(w, later_ms + 2000, mend, rival->id, 0);
	world_at(w, later_ms + 2000, mend, leader, 0);
}

/* The hypervisor. */

/* Nodes on which something is under way, as often as any other. */
static struct sim_node *busy_node(struct world *w, struct sim_node *n)
{
	unsigned first = (unsigned)world_random(w, w->node_count);
	if (world_random(w, 2))
		return n;
	for (unsigned i = 0; i < w->node_count; i++) {
		struct sim_node *busy = w->nodes[1 + (first + i) % w->node_count];
		for (unsigned k = 0; k < busy->hypervisor.count; k++)
			if (busy->hypervisor.vms[k].job)
				return busy;
	}
	return n;
}

static void fault_libvirt(struct world *w, struct sim_node *n)
{
	/* One after the other: compilers do not agree on the order within a call. */
	uint64_t ms = world_random(w, world_random(w, 3) ? 400 : 6000);
	sim_hypervisor_kill(busy_node(w, n), ms);
}

static void fault_refusal(struct world *w, struct sim_node *n)
{
	n->hypervisor.failing_until_ms = w->now_ms + 200 + world_random(w, 6000);
	world_trace(w, n->id, "hypervisor refuses all");
}

/* Of those that move as often as of the others. */
static void fault_guest(struct world *w, struct sim_node *n)
{
	struct sim_node *at = busy_node(w, n);
	struct sim_hypervisor *h = &at->hypervisor;
	unsigned first = (unsigned)world_random(w, h->count), moving = 0;
	bool any = world_random(w, 2);
	for (unsigned i = 0; i < h->count; i++) {
		struct sim_vm *vm = &h->vms[(first + i) % h->count];
		moving += vm->job || vm->state == SIM_VM_COPY || vm->state == SIM_VM_TRANSIT;
		if ((moving || any) && vm->state != SIM_VM_OFF) {
			world_trace(w, 0, "QEMU of vm %s is killed", vm->uuid);
			sim_hypervisor_crash(at, vm);
			return;
		}
	}
}

typedef void (*fault_run)(struct world *w, struct sim_node *n);

/* As often as it stands here. */
static const fault_run faults[] = {fault_power, fault_write, fault_daemon, fault_daemon,
    fault_leave, fault_pause, fault_pause, fault_disk, fault_disk, fault_hang, fault_hang,
    fault_wish, fault_network, fault_network, fault_network, fault_promise, fault_mode,
    fault_libvirt, fault_libvirt, fault_refusal, fault_guest, fault_guest};
#define FAULTS	    (sizeof(faults) / sizeof(*faults))
#define BLACKOUT_IN 60
#define NEXT_MS_MAX 2500
#define NEWCOMER_MS 6000

void fault_strike(struct world *w, struct sim_node *n)
{
	if (world_random(w, BLACKOUT_IN) == 0)
		fault_blackout(w, n);
	else
		faults[world_random(w, FAULTS)](w, n);
}

void fault_between(struct world *w, unsigned source, unsigned target)
{
	static const fault_run of_one[] = {fault_power, fault_daemon, fault_pause, fault_libvirt,
	    fault_hang, fault_guest, fault_refusal};
	size_t kinds = sizeof(of_one) / sizeof(*of_one);
	uint64_t drawn = world_random(w, kinds + 3);
	struct sim_node *n = w->nodes[world_random(w, 3) ? source : target];
	if (drawn < kinds) {
		of_one[drawn](w, n);
		return;
	}
	w->cut[source][target] = w->cut[target][source] = true;
	world_trace(w, source, "cut from n%u", target);
	world_at(w, w->now_ms + 300 + world_random(w, 5000), mend, source, 0);
}

static void strike(struct world *w, unsigned node, uint64_t until_ms, void *bytes)
{
	if (w->now_ms >= until_ms)
		return;
	fault_strike(w, user_target(w));
	world_at(w, w->now_ms + 50 + world_random(w, NEXT_MS_MAX), strike, 0, until_ms);
}

static void newcomer(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	world_trace(w, node, "joins");
	world_join(w, node);
}

void faults_begin(struct world *w, uint64_t until_ms)
{
	world_at(w, w->now_ms, strike, 0, until_ms);
	for (unsigned i = w->options.founders + 1; i <= w->node_count; i++)
		world_at(w, w->now_ms + world_random(w, NEWCOMER_MS), newcomer, i, 0);
}

void faults_end(struct world *w)
{
	world_trace(w, 0, "peace");
	w->peace = true;
	w->options.drop_permille = w->options.double_permille = w->options.late_permille = 0;
	for (unsigned i = 1; i <= w->node_count; i++) {
		struct sim_node *n = w->nodes[i];
		network_cut(w, i, false);
		n->disk.faults = (struct disk_faults){0};
		if (n->hypervisor.hung_until_ms > w->now_ms)
			n->hypervisor.hung_until_ms = w->now_ms;
		n->hypervisor.failing_until_ms = 0;
		n->fence_pending = false;
		sim_node_power(n, true);
		if (n->daemon && n->agent.leaving)
			sim_node_daemon(n, false);
		sim_node_daemon(n, true);
		sim_node_settle(n);
	}
}
