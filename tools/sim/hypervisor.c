#include "tools/sim/hypervisor.h"

#include <errno.h>
#include <string.h>

#define LOOK_EVERY_MS  1000
#define DEADLINE_MS    5000
#define START_TAKES_MS 800

struct sim_vm *sim_node_vm(struct sim_node *n, const char *uuid)
{
	for (unsigned i = 0; i < n->vm_count; i++)
		if (!strcmp(n->vms[i].uuid, uuid))
			return &n->vms[i];
	return NULL;
}

static struct sim_vm *vm_add(struct sim_node *n, const char *uuid)
{
	struct sim_vm *vm = sim_node_vm(n, uuid);
	if (vm)
		return vm;
	if (n->vm_count == n->vm_capacity) {
		n->vm_capacity = n->vm_capacity ? n->vm_capacity * 2 : 8;
		n->vms = must_realloc(n->vms, n->vm_capacity * sizeof(*n->vms));
	}
	vm = &n->vms[n->vm_count++];
	*vm = (struct sim_vm){0};
	memcpy(vm->uuid, uuid, sizeof(vm->uuid));
	return vm;
}

/* When the worker will have answered a request that takes takes_ms. */
static uint64_t worker_time(struct sim_node *n, uint64_t takes_ms)
{
	uint64_t begin_ms = n->world->now_ms;
	if (n->worker_free_ms > begin_ms)
		begin_ms = n->worker_free_ms;
	if (n->hung_until_ms > begin_ms)
		takes_ms += n->hung_until_ms - begin_ms;
	/* Past its deadline it is killed, and the next one starts with the next request. */
	if (takes_ms > DEADLINE_MS)
		takes_ms = DEADLINE_MS;
	n->worker_free_ms = begin_ms + takes_ms;
	return n->worker_free_ms;
}

struct begun {
	struct action action;
	uint64_t life;
};

static void answer(struct sim_node *n, const struct begun *begun, int status)
{
	if (n->life != begun->life || !n->daemon)
		return;
	agent_action_done(&n->agent, &begun->action, status, status ? "the hypervisor hung" : "",
	    sim_node_clock(n));
	sim_node_settle(n);
}

static void power_vm(struct sim_node *n, const struct action *action)
{
	struct sim_vm *vm = sim_node_vm(n, action->uuid);
	if (action->type == ACTION_START) {
		vm = vm_add(n, action->uuid);
		bool was = vm->state == SIM_VM_RUNNING;
		vm->state = SIM_VM_RUNNING;
		if (!was)
			world_trace(n->world, n->id, "vm %u runs", action->vm);
		world_check(n->world);
	} else if (vm && vm->state == SIM_VM_RUNNING) {
		vm->state = SIM_VM_OFF;
		world_trace(n->world, n->id, "vm %u off", action->vm);
	}
}

static void done_late(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct begun *begun = bytes;
	struct sim_node *n = w->nodes[node];
	if (n->powered &&
	    (begun->action.type != ACTION_START || sim_node_vm(n, begun->action.uuid)))
		power_vm(n, &begun->action);
}

/* A hypervisor that hung carries out what it was asked once it wakes, after its
 * client was killed. */
static void do_later(struct sim_node *n, const struct begun *begun)
{
	struct begun *copy = must_alloc(sizeof(*copy));
	*copy = *begun;
	events_add(&n->world->events,
	    (struct event){
		.time_ms = n->hung_until_ms + 1, .run = done_late, .node = n->id, .bytes = copy});
}

/* The hypervisor has done it, whether or not anybody still waits for the answer. */
static void act_done(struct world *w, unsigned node, uint64_t machine_up, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	const struct begun *begun = bytes;
	struct sim_vm *vm = sim_node_vm(n, begun->action.uuid);
	/* A machine that lost its power meanwhile has forgotten what it began. */
	if (!n->powered || (begun->action.type == ACTION_START && !vm))
		return;
	if (w->now_ms >= n->hung_until_ms) {
		power_vm(n, &begun->action);
		answer(n, begun, 0);
		return;
	}
	if (world_random(w, 2))
		do_later(n, begun);
	else if (vm && vm->state == SIM_VM_STARTING)
		vm->state = SIM_VM_OFF;
	answer(n, begun, -ETIMEDOUT);
}

void sim_hypervisor_act(struct sim_node *n, const struct action *action)
{
	uint64_t takes_ms = action->type == ACTION_START
				? 50 + world_random(n->world, START_TAKES_MS)
				: 10 + world_random(n->world, 200);
	if (action->type == ACTION_START) {
		struct sim_vm *vm = vm_add(n, action->uuid);
		if (vm->state == SIM_VM_OFF)
			vm->state = SIM_VM_STARTING;
	}
	struct begun *begun = must_alloc(sizeof(*begun));
	begun->action = *action;
	begun->life = n->life;
	events_add(&n->world->events, (struct event){.time_ms = worker_time(n, takes_ms),
					  .run = act_done,
					  .node = n->id,
					  .bytes = begun});
}

static enum vm_observed observed(enum sim_vm_state state)
{
	switch (state) {
	case SIM_VM_OFF:
		return OBSERVED_SHUTOFF;
	case SIM_VM_STARTING:
		return OBSERVED_UNKNOWN;
	case SIM_VM_RUNNING:
		return OBSERVED_RUNNING;
	}
	return OBSERVED_UNKNOWN;
}

static void looked(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	if (n->life != life || !n->daemon)
		return;
	n->list_busy = false;
	uint64_t now_ms = sim_node_clock(n);
	if (w->now_ms < n->hung_until_ms) {
		agent_collected(&n->agent, "hypervisor", COLLECTOR_STUCK, "no answer", now_ms);
		agent_saw_nothing(&n->agent, "no answer");
	} else {
		struct seen_vm vms[64];
		unsigned count = n->vm_count < 64 ? n->vm_count : 64;
		for (unsigned i = 0; i < count; i++) {
			memcpy(vms[i].uuid, n->vms[i].uuid, sizeof(vms[i].uuid));
			vms[i].observed = observed(n->vms[i].state);
		}
		agent_collected(&n->agent, "hypervisor", COLLECTOR_OK, "", now_ms);
		agent_saw_vms(&n->agent, vms, count);
	}
	sim_node_settle(n);
}

void sim_hypervisor_look(struct sim_node *n)
{
	if (n->list_busy || n->world->now_ms < n->list_ms)
		return;
	n->list_busy = true;
	n->list_ms = n->world->now_ms + LOOK_EVERY_MS;
	world_at(n->world, worker_time(n, 5 + world_random(n->world, 50)), looked, n->id, n->life);
}
