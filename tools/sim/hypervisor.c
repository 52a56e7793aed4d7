#include "tools/sim/hypervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sim/node.h"
#include "tools/sim/verify.h"

#define LOOK_EVERY_MS  1000
#define DEADLINE_MS    5000
#define START_TAKES_MS 800
#define LATE_MS_MAX    12000
#define LOOK_VMS_MAX   64

static struct sim_vm *vm_add(struct sim_node *n, const char *uuid)
{
	struct sim_hypervisor *h = &n->hypervisor;
	struct sim_vm *vm = sim_hypervisor_vm(n, uuid);
	if (vm)
		return vm;
	if (h->count == h->capacity) {
		h->capacity = h->capacity ? h->capacity * 2 : 8;
		h->vms = must_realloc(h->vms, h->capacity * sizeof(*h->vms));
	}
	vm = &h->vms[h->count++];
	*vm = (struct sim_vm){0};
	memcpy(vm->uuid, uuid, sizeof(vm->uuid));
	return vm;
}

/* When the worker will have answered a request that takes takes_ms. */
static uint64_t worker_time(struct sim_node *n, uint64_t takes_ms)
{
	struct sim_hypervisor *h = &n->hypervisor;
	uint64_t begin_ms = n->world->now_ms;
	if (h->worker_free_ms > begin_ms)
		begin_ms = h->worker_free_ms;
	if (h->hung_until_ms > begin_ms)
		takes_ms += h->hung_until_ms - begin_ms;
	/* Past its deadline it is killed, and the next one starts with the next request. */
	if (takes_ms > DEADLINE_MS)
		takes_ms = DEADLINE_MS;
	h->worker_free_ms = begin_ms + takes_ms;
	return h->worker_free_ms;
}

struct begun {
	struct action action;
	uint64_t life, boot;
	int status; /* once it has ended */
};

static void answer(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct begun *begun = bytes;
	struct sim_node *n = w->nodes[node];
	if (n->life != begun->life || !n->daemon)
		return;
	uint64_t now_ms = sim_node_clock(n);
	struct sim_vm *vm = sim_hypervisor_vm(n, begun->action.uuid);
	agent_action_done(&n->agent, &begun->action, begun->status,
	    begun->status ? "the hypervisor hung" : "", now_ms);
	if (vm && begun->action.type == ACTION_START)
		vm->noted = plan_doubts(&n->agent.local, vm->uuid, now_ms);
	sim_node_settle(n);
}

/* Now, or when the daemon that was stopped goes on: its sockets keep what came. */
static void tell_daemon(struct sim_node *n, event_run run, const void *bytes, size_t size)
{
	struct world *w = n->world;
	void *copy = must_alloc(size);
	memcpy(copy, bytes, size);
	if (sim_node_runs(n)) {
		run(w, n->id, 0, copy);
		free(copy);
		return;
	}
	events_add(&w->events,
	    (struct event){
		.time_ms = n->paused_until_ms, .run = run, .node = n->id, .bytes = copy});
}

static void answer_soon(struct sim_node *n, const struct begun *begun, int status)
{
	struct begun ended = *begun;
	ended.status = status;
	tell_daemon(n, answer, &ended, sizeof(ended));
}

static void power_vm(struct sim_node *n, const struct action *action)
{
	struct sim_vm *vm = sim_hypervisor_vm(n, action->uuid);
	if (action->type == ACTION_START) {
		vm = vm_add(n, action->uuid);
		bool was = vm->state == SIM_VM_RUNNING;
		vm->state = SIM_VM_RUNNING;
		if (!was)
			world_trace(n->world, n->id, "vm %u runs", action->vm);
		verify_holders(n->world);
	} else if (vm && vm->state == SIM_VM_RUNNING) {
		vm->state = SIM_VM_OFF;
		world_trace(n->world, n->id, "vm %u off", action->vm);
	}
}

static void done_late(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct begun *begun = bytes;
	struct sim_node *n = w->nodes[node];
	if (n->powered && n->hypervisor.boot == begun->boot)
		power_vm(n, &begun->action);
}

/* A hypervisor that hung carries out what it was asked once it wakes, after its client was
 * killed: at once, or when it comes to it, and until then nothing is to be seen of it. */
static void do_later(struct sim_node *n, const struct begun *begun)
{
	struct world *w = n->world;
	struct sim_vm *vm = sim_hypervisor_vm(n, begun->action.uuid);
	struct begun *copy = must_alloc(sizeof(*copy));
	uint64_t late_ms = world_random(w, 2) ? world_random(w, LATE_MS_MAX) : 0;
	*copy = *begun;
	if (late_ms && vm && vm->state == SIM_VM_STARTING)
		vm->state = SIM_VM_OFF;
	events_add(&w->events, (struct event){.time_ms = n->hypervisor.hung_until_ms + 1 + late_ms,
				   .run = done_late,
				   .node = n->id,
				   .bytes = copy});
}

/* The hypervisor has done it, whether or not anybody still waits for the answer. */
static void act_done(struct world *w, unsigned node, uint64_t machine_up, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	const struct begun *begun = bytes;
	struct sim_vm *vm = sim_hypervisor_vm(n, begun->action.uuid);
	/* A machine that lost its power meanwhile has forgotten what it began. */
	if (!n->powered || n->hypervisor.boot != begun->boot)
		return;
	if (w->now_ms >= n->hypervisor.hung_until_ms) {
		power_vm(n, &begun->action);
		answer_soon(n, begun, 0);
		return;
	}
	if (world_random(w, 2))
		do_later(n, begun);
	else if (vm && vm->state == SIM_VM_STARTING)
		vm->state = SIM_VM_OFF;
	answer_soon(n, begun, -ETIMEDOUT);
}

void sim_hypervisor_act(struct sim_node *n, const struct action *action)
{
	uint64_t takes_ms = action->type == ACTION_START
				? 50 + world_random(n->world, START_TAKES_MS)
				: 10 + world_random(n->world, 200);
	if (action->type == ACTION_START) {
		verify_starts(n);
		struct sim_vm *vm = vm_add(n, action->uuid);
		if (vm->state == SIM_VM_OFF)
			vm->state = SIM_VM_STARTING;
		vm->noted = true;
	}
	struct begun *begun = must_alloc(sizeof(*begun));
	begun->action = *action;
	begun->life = n->life;
	begun->boot = n->hypervisor.boot;
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

struct look {
	uint64_t life;
	bool stuck;
	uint64_t look; /* the agent's number of it */
	unsigned count;
	struct seen_vm vms[LOOK_VMS_MAX];
};

static void seen(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct look *look = bytes;
	struct sim_node *n = w->nodes[node];
	if (n->life != look->life || !n->daemon)
		return;
	n->hypervisor.looking = false;
	uint64_t now_ms = sim_node_clock(n);
	if (look->stuck) {
		agent_collected(&n->agent, "hypervisor", COLLECTOR_STUCK, "no answer", now_ms);
		agent_saw_nothing(&n->agent);
	} else {
		agent_collected(&n->agent, "hypervisor", COLLECTOR_OK, "", now_ms);
		agent_saw_vms(&n->agent, look->look, look->vms, look->count);
	}
	sim_node_settle(n);
}

static void looked(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	const struct sim_hypervisor *h = &n->hypervisor;
	struct look look = {
	    .life = life, .stuck = w->now_ms < h->hung_until_ms, .look = h->look_number};
	if (n->life != life || !n->daemon)
		return;
	for (unsigned i = 0; i < h->count && look.count < LOOK_VMS_MAX; i++) {
		struct seen_vm *vm = &look.vms[look.count++];
		memcpy(vm->uuid, h->vms[i].uuid, sizeof(vm->uuid));
		vm->observed = observed(h->vms[i].state);
	}
	tell_daemon(n, seen, &look, sizeof(look));
}

void sim_hypervisor_look(struct sim_node *n)
{
	struct sim_hypervisor *h = &n->hypervisor;
	struct world *w = n->world;
	if (h->looking || w->now_ms < h->look_ms)
		return;
	h->looking = true;
	h->look_number = agent_looks(&n->agent);
	h->look_ms = w->now_ms + LOOK_EVERY_MS;
	world_at(w, worker_time(n, 5 + world_random(w, 50)), looked, n->id, n->life);
}

void sim_hypervisor_hasten(struct sim_node *n)
{
	n->hypervisor.look_ms = n->world->now_ms;
}

void sim_hypervisor_restart(struct sim_node *n)
{
	for (unsigned i = 0; i < n->hypervisor.count; i++)
		if (n->hypervisor.vms[i].noted)
			plan_doubt(&n->agent.local, n->hypervisor.vms[i].uuid, sim_node_clock(n));
	n->hypervisor.worker_free_ms = n->hypervisor.look_ms = 0;
	n->hypervisor.looking = false;
}

void sim_hypervisor_off(struct sim_node *n)
{
	n->hypervisor.count = 0;
	n->hypervisor.hung_until_ms = 0;
	n->hypervisor.boot++;
}

struct sim_vm *sim_hypervisor_vm(struct sim_node *n, const char *uuid)
{
	struct sim_hypervisor *h = &n->hypervisor;
	for (unsigned i = 0; i < h->count; i++)
		if (!strcmp(h->vms[i].uuid, uuid))
			return &h->vms[i];
	return NULL;
}
