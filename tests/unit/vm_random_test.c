/* Any requests and any faults, and hypervisors that do what the value says: a VM's CPUs run on one
 * node at most, only on its owner, and never from a copy that is older than what ran; no node
 * promises more than it has; and when the faults end, everything that is to run does. */
#include <stdlib.h>

#include "fsm/memory.h"
#include "tests/unit/vms.h"

#define NODES 4
#define VMS   8
#define SEEDS 300
#define STEPS 400

/* What a node has of a VM. */
enum domain { GONE, RUNS, COMING, WHOLE };

/* One call that moves a VM, at the node that sends. */
struct job {
	bool active;
	uint64_t generation;
	uint32_t target;
	bool unsaid; /* how it ended, to the daemon that waited for it */
	bool ended_well;
};

static struct {
	enum domain at[NODES + 1];
	unsigned memory[NODES + 1]; /* of each copy: how often the VM had run when it was made */
	unsigned ran;
	struct job job[NODES + 1];
	uint64_t sent[NODES + 1]; /* the last generation that it was sent for */
} vms[VMS + 1];

/* What was seen some time ago. */
#define LATE_MAX 32
static struct late {
	uint32_t node;
	struct sighting sighting;
} late[LATE_MAX];
static unsigned late_count;

static bool down[NODES + 1]; /* the daemon; the hypervisor goes on */
static bool faults;
static uint32_t seed, chance_state;
static unsigned step;
static struct {
	unsigned arrived, unsaid, aborted, shut_down, fenced, flushed, readied, queued;
} seen;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)chance_state * below >> 32);
}

#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("seed %u, step %u: " #condition, seed, step);                     \
	} while (0)

static enum vm_observed observed(uint32_t node, uint32_t id)
{
	switch (vms[id].at[node]) {
	case GONE:
		break;
	case RUNS:
		return OBSERVED_RUNNING;
	case COMING:
		return OBSERVED_TRANSIT;
	case WHOLE:
		return OBSERVED_PAUSED;
	}
	return OBSERVED_SHUTOFF;
}

static void set(uint32_t node, uint32_t id, enum domain domain)
{
	vms[id].at[node] = domain;
	if (domain != RUNS)
		return;
	/* What it ran on is not forgotten. */
	ASSERT(vms[id].memory[node] == vms[id].ran);
	vms[id].memory[node] = ++vms[id].ran;
}

static void start(uint32_t node, uint32_t id)
{
	vms[id].memory[node] = vms[id].ran;
	set(node, id, RUNS);
}

static void job_begin(const struct vm *vm)
{
	struct job *job = &vms[vm->id].job[vm->node];
	if (vms[vm->id].sent[vm->node] == vm->generation)
		return;
	vms[vm->id].sent[vm->node] = vm->generation;
	*job = (struct job){.active = true, .generation = vm->generation, .target = vm->target};
	if (vms[vm->id].at[vm->target] == GONE)
		vms[vm->id].at[vm->target] = COMING;
}

static void said(uint32_t node, uint32_t id, struct job *job)
{
	job->unsaid = false;
	if (job->ended_well)
		seen.arrived +=
		    APPLY(vm_migrated, .node = node, .vm = id, .generation = job->generation) == 0;
	else
		APPLY(vm_migrate_failed, .node = node, .vm = id, .generation = job->generation,
		    .reason = "broken");
}

/* The hypervisors are done with it, one way or another; the daemon may be dead by now. */
static void job_end(uint32_t node, uint32_t id)
{
	struct job *job = &vms[id].job[node];
	enum domain there = vms[id].at[job->target];
	bool well = vms[id].at[node] == RUNS && there == COMING && chance(3);
	job->active = false;
	job->ended_well = well;
	if (well) {
		vms[id].memory[job->target] = vms[id].ran;
		set(job->target, id, WHOLE);
		set(node, id, GONE);
	} else if (there == COMING) {
		/* The copy was whole, and that got lost on its way back: the source goes on. */
		bool lost = vms[id].at[node] == RUNS && faults && chance(2);
		vms[id].memory[job->target] = vms[id].ran;
		set(job->target, id, lost ? WHOLE : GONE);
		if (lost)
			set(node, id, RUNS);
	}
	job->unsaid = down[node] || (faults && !chance(4));
	if (!job->unsaid)
		said(node, id, job);
	else
		seen.unsaid++;
}

/* What is in the way of nobody is left of an attempt. */
static void send(uint32_t node, const struct vm *vm)
{
	struct job *job = &vms[vm->id].job[node];
	if (job->active) {
		if (vm->abort && job->generation == vm->generation) {
			seen.aborted++;
			job_end(node, vm->id);
		}
		return;
	}
	job_begin(vm);
	/* It was sent, it runs, and nothing is under way: it failed. */
	if (!job->active && vms[vm->id].at[node] == RUNS)
		APPLY(vm_migrate_failed, .node = node, .vm = vm->id, .generation = vm->generation,
		    .reason = "nothing is under way");
}

/* As the plan of a node does it, with what the value says now. */
static void act(uint32_t node, const struct vm *vm)
{
	enum domain *here = &vms[vm->id].at[node];
	switch (vm_duty(vm, node)) {
	case VM_DUTY_RUN:
		if (*here == GONE)
			start(node, vm->id);
		else if (*here == WHOLE && vm->arrived)
			set(node, vm->id, RUNS);
		else if (*here != RUNS)
			set(node, vm->id, GONE);
		break;
	case VM_DUTY_SEND:
		send(node, vm);
		break;
	case VM_DUTY_RECEIVE:
		break;
	case VM_DUTY_SHUTDOWN:
		if (chance(2)) {
			set(node, vm->id, GONE);
			seen.shut_down++;
		}
		break;
	case VM_DUTY_OFF:
	case VM_DUTY_NONE:
		set(node, vm->id, GONE);
		break;
	}
}

static struct sighting look(uint32_t node, const struct vm *vm)
{
	return (struct sighting){
	    .vm = vm->id, .generation = vm->generation, .observed = observed(node, vm->id)};
}

/* A keepalive of all daemons that are up; what some of them see arrives later. */
static void tick(void)
{
	static struct sighting sightings[NODES + 1][VMS + LATE_MAX];
	struct keepalive k[NODES] = {{0}};
	struct command command = {.number = COMMAND_tick, .tick = {.elapsed_ms = 1000}};
	command.tick.keepalives.items = k;
	for (uint32_t node = 1; node <= NODES; node++) {
		struct keepalive *one = &k[command.tick.keepalives.count];
		if (down[node])
			continue;
		command.tick.keepalives.count++;
		*one = (struct keepalive){.node = node, .memory_total_mib = NODE_MIB};
		one->sightings.items = sightings[node];
		for (unsigned i = 0; i < late_count; i++) {
			if (late[i].node != node || chance(2))
				continue;
			sightings[node][one->sightings.count++] = late[i].sighting;
			late[i--] = late[--late_count];
		}
		cluster_each(c.vms, struct vm, vm)
		{
			bool mine = vm->node == node || vm_duty(vm, node) == VM_DUTY_RECEIVE;
			if (!mine)
				continue;
			if (faults && chance(2) && late_count < LATE_MAX)
				late[late_count++] = (struct late){node, look(node, vm)};
			else
				sightings[node][one->sightings.count++] = look(node, vm);
		}
	}
	assert_int_equal(apply(command), 0);
}

static void nodes_act(void)
{
	for (uint32_t node = 1; node <= NODES; node++) {
		if (down[node])
			continue;
		for (uint32_t id = 1; id <= VMS; id++) {
			const struct vm *vm = cluster_vm(&c, id);
			if (vm && chance(3))
				act(node, vm);
		}
	}
	for (uint32_t node = 1; node <= NODES; node++)
		for (uint32_t id = 1; id <= VMS; id++)
			if (vms[id].job[node].active && !chance(4))
				job_end(node, id);
}

static void user_acts(void)
{
	uint32_t id = 1 + chance(VMS), node = 1 + chance(NODES);
	switch (chance(8)) {
	case 0:
	case 1:
		APPLY(vm_migrate, .vm = id, .node = chance(2) ? node : 0,
		    .why = MOVE_MOVE + chance(3), .live_only = !chance(4));
		break;
	case 2:
	case 3:
		APPLY(vm_state, .vm = id, .state = VM_START);
		break;
	case 4:
		APPLY(vm_state, .vm = id, .state = chance(VM_PROVISION + 1));
		break;
	case 5:
		APPLY(node_domain, .node = node, .domain = chance(2) ? DOMAIN_FLUSH : DOMAIN_READY,
		    .shutdown = chance(2));
		break;
	case 6:
		APPLY(
		    vm_meta, .vm = id, .given = 2 | 8, .method = chance(3), .priority = chance(3));
		break;
	default:
		APPLY(vm_place, .vm = id, .node = node);
		break;
	}
}

static void power_off(uint32_t node)
{
	for (uint32_t id = 1; id <= VMS; id++) {
		vms[id].at[node] = GONE;
		vms[id].job[node] = (struct job){0};
	}
	for (unsigned i = 0; i < late_count; i++)
		if (late[i].node == node)
			late[i--] = late[--late_count];
}

static void node_back(uint32_t node)
{
	down[node] = false;
	APPLY(node_hello, .node = node, .hypervisor = true);
	APPLY(node_state, .node = node, .state = DAEMON_RUN);
}

static bool has_copy(uint32_t id)
{
	for (uint32_t node = 1; node <= NODES; node++)
		if (vms[id].at[node] == WHOLE)
			return true;
	return false;
}

static void fault(void)
{
	uint32_t node = 1 + chance(NODES), id = 1 + chance(VMS);
	switch (chance(6)) {
	case 0: /* QEMU dies; but not before it is known that it went on beside a whole copy */
		if (vms[id].at[node] == RUNS && !has_copy(id))
			set(node, id, GONE);
		break;
	case 1:
		if (vms[id].at[node] == COMING || vms[id].at[node] == WHOLE)
			set(node, id, GONE);
		break;
	case 2:
		down[node] = true;
		break;
	case 3:
	case 4:
		if (down[node])
			node_back(node);
		break;
	default:
		if (!down[node])
			return;
		power_off(node);
		seen.fenced += APPLY(node_fenced, .node = node, .by_hand = true) == 0;
		node_back(node);
		break;
	}
}

static void check_all(void)
{
	struct memory memories[CLUSTER_NODES_MAX];
	cluster_each(c.vms, struct vm, vm)
	{
		unsigned running_on = 0;
		for (uint32_t node = 1; node <= NODES; node++) {
			bool runs = vms[vm->id].at[node] == RUNS;
			running_on += runs;
			ASSERT(!runs || vm->node == node);
		}
		ASSERT(running_on <= 1);
		seen.queued += vm->queued != REQUEST_NONE;
	}
	memory_of_all(&c, memories);
	cluster_each(c.nodes, struct node, node)
	{
		const struct memory *m = &memories[node->id - 1];
		ASSERT(!m->total_mib || m->provisioned_mib + MEMORY_RESERVED_MIB <= m->total_mib);
		seen.flushed += node->domain_state == DOMAIN_FLUSHED;
		seen.readied += node->domain_state == DOMAIN_UNFLUSH;
	}
}

static void all_is_well(void)
{
	cluster_each(c.vms, struct vm, vm)
	{
		ASSERT(vm->queued == REQUEST_NONE);
		ASSERT(!vm->target && !vm->arrived && !vm->abort);
		ASSERT(vm->state != VM_SHUTDOWN && vm->state != VM_RESTART);
		if (vm_is_wanted(vm))
			ASSERT(!vm->node || vms[vm->id].at[vm->node] == RUNS);
		else
			ASSERT(vm_is_off(&c, vm));
	}
	cluster_each(c.nodes, struct node, node)
	{
		ASSERT(node->domain_state != DOMAIN_UNFLUSH);
		if (node->domain_state == DOMAIN_FLUSH)
			ASSERT(*node->domain_reason);
	}
}

static void open_cluster(void)
{
	memset(vms, 0, sizeof(vms));
	memset(down, 0, sizeof(down));
	late_count = 0;
	nodes_up(NODES);
	for (uint32_t id = 1; id <= VMS; id++) {
		char name[16];
		snprintf(name, sizeof(name), "vm%u", id);
		struct command command = definition(name, 0);
		command.vm_define.memory_mib = 1024 * (1 + chance(3));
		define(command);
		APPLY(vm_state, .vm = id, .state = VM_START);
	}
}

static void live(void)
{
	faults = true;
	for (step = 0; step < STEPS; step++) {
		if (!chance(3))
			user_acts();
		if (!chance(12))
			fault();
		nodes_act();
		tick();
		check_all();
	}
}

static void get_well(void)
{
	faults = false;
	for (uint32_t node = 1; node <= NODES; node++)
		if (down[node])
			node_back(node);
	for (; step < STEPS + 200; step++) {
		nodes_act();
		tick();
		check_all();
	}
	all_is_well();
}

static void whatever_happens_no_vm_runs_twice_and_in_the_end_all_run(void **state)
{
	for (seed = 1; seed <= SEEDS; seed++) {
		chance_state = seed * 7919;
		open_cluster();
		live();
		get_well();
		cluster_close(&c);
	}
	/* Enough of everything has happened. */
	assert_true(seen.arrived > 1000);
	assert_true(seen.unsaid > 300);
	assert_true(seen.aborted > 30);
	assert_true(seen.shut_down > 300);
	assert_true(seen.fenced > 100);
	assert_true(seen.flushed > 300);
	assert_true(seen.readied > 100);
	assert_true(seen.queued > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whatever_happens_no_vm_runs_twice_and_in_the_end_all_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
