#include "tools/sim/hypervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sim/guest.h"
#include "tools/sim/migrate.h"
#include "tools/sim/node.h"
#include "tools/sim/verify.h"

#define LOOK_EVERY_MS	1000
#define LOOK_SOON_MS	50
#define DEADLINE_MS	5000
#define START_TAKES_MS	800
#define SLOW_TAKES_MS	4000
#define ACPI_TAKES_MS	4000 /* that a guest gets to power off, at most */
#define ACPI_DEAF	6 /* one of so many does not */
#define LATE_MS_MAX	12000
#define LOST_ANSWERS	100 /* one of so many comes about, and its worker dies before it says so */
#define ADOPTS_AFTER_MS 300 /* libvirt's daemon has started, and knows its VMs again */

struct sim_vm *sim_hypervisor_add(struct sim_node *n, const char *uuid)
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
	*vm = (struct sim_vm){.state = SIM_VM_OFF};
	memcpy(vm->uuid, uuid, sizeof(vm->uuid));
	return vm;
}

/* When the worker will have answered a request that takes takes_ms. */
static uint64_t worker_time(struct sim_node *n, enum sim_lane lane, uint64_t takes_ms)
{
	struct sim_hypervisor *h = &n->hypervisor;
	uint64_t begin_ms = n->world->now_ms;
	if (h->free_ms[lane] > begin_ms)
		begin_ms = h->free_ms[lane];
	if (h->hung_until_ms > begin_ms)
		takes_ms += h->hung_until_ms - begin_ms;
	/* Past its deadline it is killed, and the next one starts with the next request. */
	if (takes_ms > DEADLINE_MS)
		takes_ms = DEADLINE_MS;
	h->free_ms[lane] = begin_ms + takes_ms;
	return h->free_ms[lane];
}

/* Answers. */

static void answer(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct sim_begun *begun = bytes;
	struct sim_node *n = w->nodes[node];
	if (n->life != begun->life || !n->daemon)
		return;
	uint64_t now_ms = sim_node_clock(n);
	struct sim_vm *vm = sim_hypervisor_vm(n, begun->action.uuid);
	if (vm && begun->action.type == ACTION_MIGRATE && vm->call != begun->call)
		return;
	if (begun->action.type == ACTION_MIGRATE && begun->status && begun->status != -EPIPE)
		guest_seen(n, begun->action.uuid);
	agent_action_done(&n->agent, &begun->action, begun->status,
	    begun->status ? strerror(-begun->status) : "", now_ms);
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

void sim_hypervisor_answer(struct sim_node *n, const struct sim_begun *begun, int status)
{
	struct sim_begun ended = *begun;
	ended.status = status;
	tell_daemon(n, answer, &ended, sizeof(ended));
}

/* What an order does, once libvirt comes to it. 0 or -errno. */

static int do_start(struct sim_node *n, struct sim_vm *vm)
{
	switch (vm->state) {
	case SIM_VM_OFF:
	case SIM_VM_STARTING:
		guest_runs(n, vm, GUEST_BOOTS);
		return 0;
	case SIM_VM_RUNNING:
		return 0;
	case SIM_VM_TRANSIT:
	case SIM_VM_INCOMING:
	case SIM_VM_COPY:
		break;
	}
	return -EEXIST;
}

static void vm_ends(struct sim_node *n, struct sim_vm *vm)
{
	if (vm->state != SIM_VM_OFF && vm->state != SIM_VM_STARTING)
		world_trace(n->world, n->id, "vm %s off", vm->uuid);
	guest_stops(n, vm);
	vm->state = SIM_VM_OFF;
	vm->job = 0;
}

static int do_resume(struct sim_node *n, struct sim_vm *vm)
{
	switch (vm->state) {
	case SIM_VM_RUNNING:
		return 0;
	case SIM_VM_TRANSIT:
	case SIM_VM_COPY:
		/* QEMU of a source that has not been told the end waits for that. */
		if (vm->state == SIM_VM_TRANSIT && vm->job)
			return -EBUSY;
		guest_runs(n, vm, GUEST_GOES_ON);
		vm->job = 0;
		return 0;
	case SIM_VM_INCOMING:
		vm->resumed = true;
		return -ETIMEDOUT;
	case SIM_VM_OFF:
	case SIM_VM_STARTING:
		break;
	}
	return -ENOENT;
}

struct power_button {
	char uuid[37];
};

/* The guest powers off, wherever it is by then. */
static void acpi_heard(struct world *w, unsigned node, uint64_t boots, void *bytes)
{
	const struct power_button *pressed = bytes;
	const struct sim_guest *guest = guest_of(w, pressed->uuid);
	if (!guest->runs_on || guest->boots != boots)
		return;
	struct sim_node *n = w->nodes[guest->runs_on];
	sim_hypervisor_crash(n, sim_hypervisor_vm(n, pressed->uuid));
}

static void do_shutdown(struct sim_node *n, const struct sim_vm *vm)
{
	struct world *w = n->world;
	if (vm->state != SIM_VM_RUNNING || world_random(w, ACPI_DEAF) == 0)
		return;
	struct power_button *pressed = must_alloc(sizeof(*pressed));
	memcpy(pressed->uuid, vm->uuid, sizeof(pressed->uuid));
	events_add(&w->events, (struct event){.time_ms = w->now_ms + world_random(w, ACPI_TAKES_MS),
				   .run = acpi_heard,
				   .node = n->id,
				   .number = guest_of(w, vm->uuid)->boots,
				   .bytes = pressed});
}

static int carry_out(struct sim_node *n, const struct action *action)
{
	struct sim_vm *vm = sim_hypervisor_add(n, action->uuid);
	switch (action->type) {
	case ACTION_START:
		return do_start(n, vm);
	case ACTION_SHUTDOWN:
		do_shutdown(n, vm);
		return 0;
	case ACTION_STOP:
		vm_ends(n, vm);
		return 0;
	case ACTION_ABORT:
		vm->aborted = vm->job != 0;
		return 0;
	case ACTION_RESUME:
		return do_resume(n, vm);
	case ACTION_MIGRATE:
		break;
	}
	return 0;
}

/* Orders. */

static void done_late(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct sim_begun *begun = bytes;
	struct sim_node *n = w->nodes[node];
	bool same = n->hypervisor.boot == begun->boot && n->hypervisor.served == begun->served;
	if (n->powered && same)
		carry_out(n, &begun->action);
}

static void start_is_off(struct sim_node *n, const struct action *action)
{
	struct sim_vm *vm = sim_hypervisor_vm(n, action->uuid);
	if (action->type == ACTION_START && vm && vm->state == SIM_VM_STARTING)
		vm->state = SIM_VM_OFF;
}

/* A hypervisor that hung carries out what it was asked once it wakes, after its client was
 * killed: at once, or a start when it comes to it, and until then nothing is to be seen of it. */
static void do_later(struct sim_node *n, const struct sim_begun *begun)
{
	struct world *w = n->world;
	struct sim_begun *copy = must_alloc(sizeof(*copy));
	bool late = begun->action.type == ACTION_START || begun->action.type == ACTION_STOP;
	uint64_t late_ms = late && world_random(w, 2) ? world_random(w, LATE_MS_MAX) : 0;
	*copy = *begun;
	if (late_ms)
		start_is_off(n, &begun->action);
	events_add(&w->events, (struct event){.time_ms = n->hypervisor.hung_until_ms + 1 + late_ms,
				   .run = done_late,
				   .node = n->id,
				   .bytes = copy});
}

/* The hypervisor has done it, whether or not anybody still waits for the answer. */
static void act_done(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	const struct sim_begun *begun = bytes;
	const struct sim_hypervisor *h = &n->hypervisor;
	/* A machine that lost its power meanwhile has forgotten what it began. */
	if (!n->powered || h->boot != begun->boot)
		return;
	/* Killed in the middle: what became of a start, libvirt finds out when it is back. */
	if (h->served != begun->served) {
		sim_hypervisor_answer(n, begun, -EIO);
		return;
	}
	if (w->now_ms < h->hung_until_ms) {
		if (world_random(w, 2))
			do_later(n, begun);
		else
			start_is_off(n, &begun->action);
		sim_hypervisor_answer(n, begun, -ETIMEDOUT);
		return;
	}
	int status = carry_out(n, &begun->action);
	if (world_random(w, LOST_ANSWERS) == 0)
		status = -EPIPE;
	sim_hypervisor_answer(n, begun, status);
}

/* Nothing was done: libvirt is not there, or says no. */
static void act_refused(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct sim_begun *begun = bytes;
	struct sim_node *n = w->nodes[node];
	if (n->powered && n->hypervisor.boot == begun->boot)
		sim_hypervisor_answer(n, begun, -EIO);
}

static enum sim_lane lane_of(const struct sim_hypervisor *h, const struct action *action)
{
	if (action->type != ACTION_START)
		return LANE_STOP;
	return h->free_ms[LANE_START] <= h->free_ms[LANE_START_TOO] ? LANE_START : LANE_START_TOO;
}

static uint64_t order_takes_ms(struct world *w, const struct action *action)
{
	if (action->type != ACTION_START)
		return 10 + world_random(w, 200);
	return 50 + world_random(w, world_random(w, 16) ? START_TAKES_MS : SLOW_TAKES_MS);
}

static const char *const asked[] = {
    [ACTION_START] = "start",
    [ACTION_SHUTDOWN] = "shut down",
    [ACTION_STOP] = "stop",
    [ACTION_MIGRATE] = "migrate",
    [ACTION_ABORT] = "abort",
    [ACTION_RESUME] = "resume",
};

void sim_hypervisor_act(struct sim_node *n, const struct action *action)
{
	struct world *w = n->world;
	struct sim_hypervisor *h = &n->hypervisor;
	struct event event = {.node = n->id, .run = act_done};
	struct sim_begun *begun = must_alloc(sizeof(*begun));
	struct sim_vm *vm = sim_hypervisor_add(n, action->uuid);
	*begun = (struct sim_begun){
	    .action = *action, .life = n->life, .boot = h->boot, .served = h->served};
	event.bytes = begun;
	world_trace(w, n->id, "vm %u generation %" PRIu64 ": %s", action->vm, action->generation,
	    asked[action->type]);
	if (action->type == ACTION_START || action->type == ACTION_RESUME)
		verify_starts(n);
	vm->noted |= action->type == ACTION_START;
	if (h->down || w->now_ms < h->failing_until_ms) {
		event.run = act_refused;
		event.time_ms = w->now_ms + 1 + world_random(w, 50);
	} else if (action->type == ACTION_MIGRATE) {
		begun->call = vm->call = ++w->calls;
		sim_migrate(n, begun);
		free(begun);
		return;
	} else if (action->type == ACTION_ABORT || action->type == ACTION_RESUME) {
		uint64_t hung_ms = h->hung_until_ms > w->now_ms ? h->hung_until_ms - w->now_ms : 0;
		uint64_t takes_ms = 5 + world_random(w, 60) + hung_ms;
		event.time_ms = w->now_ms + (takes_ms < DEADLINE_MS ? takes_ms : DEADLINE_MS);
	} else {
		if (action->type == ACTION_START && vm->state == SIM_VM_OFF)
			vm->state = SIM_VM_STARTING;
		event.time_ms = worker_time(n, lane_of(h, action), order_takes_ms(w, action));
	}
	events_add(&w->events, event);
}

/* Looks. */

bool sim_hypervisor_moves(const struct sim_vm *vm)
{
	return vm->job && (vm->state == SIM_VM_RUNNING || vm->state == SIM_VM_TRANSIT);
}

static enum vm_observed observed(struct world *w, enum sim_vm_state state)
{
	switch (state) {
	case SIM_VM_OFF:
		return OBSERVED_SHUTOFF;
	case SIM_VM_STARTING: /* QEMU is there for a moment before the CPUs run */
		return world_random(w, 2) ? OBSERVED_TRANSIT : OBSERVED_SHUTOFF;
	case SIM_VM_RUNNING:
		return OBSERVED_RUNNING;
	case SIM_VM_TRANSIT:
	case SIM_VM_INCOMING:
		return OBSERVED_TRANSIT;
	case SIM_VM_COPY:
		return OBSERVED_PAUSED;
	}
	return OBSERVED_UNKNOWN;
}

struct look {
	uint64_t life;
	uint64_t number;
	enum collector_state state;
	unsigned count;
	struct seen_vm vms[];
};

static void seen(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct look *look = bytes;
	struct sim_node *n = w->nodes[node];
	if (n->life != look->life || !n->daemon)
		return;
	n->hypervisor.looking = false;
	uint64_t now_ms = sim_node_clock(n);
	agent_collected(&n->agent, "hypervisor", look->state,
	    look->state == COLLECTOR_OK ? "" : "no answer", now_ms);
	for (unsigned i = 0; i < look->count && look->state == COLLECTOR_OK; i++)
		if (look->vms[i].observed == OBSERVED_RUNNING)
			guest_seen(n, look->vms[i].uuid);
	if (look->state == COLLECTOR_OK)
		agent_saw_vms(&n->agent, look->number, look->vms, look->count);
	else
		agent_saw_nothing(&n->agent);
	sim_node_settle(n);
}

static void looked(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	const struct sim_hypervisor *h = &n->hypervisor;
	if (n->life != life || !n->daemon)
		return;
	size_t size = sizeof(struct look) + h->count * sizeof(struct seen_vm);
	struct look *look = must_alloc(size);
	*look = (struct look){.life = life, .number = h->look, .state = COLLECTOR_OK};
	if (w->now_ms < h->hung_until_ms)
		look->state = COLLECTOR_STUCK;
	else if (h->down)
		look->state = COLLECTOR_FAILED;
	for (unsigned i = 0; i < h->count; i++) {
		struct seen_vm *vm = &look->vms[look->count++];
		*vm = (struct seen_vm){.observed = observed(w, h->vms[i].state)};
		memcpy(vm->uuid, h->vms[i].uuid, sizeof(vm->uuid));
		vm->job.active = sim_hypervisor_moves(&h->vms[i]);
	}
	tell_daemon(n, seen, look, size);
	free(look);
}

void sim_hypervisor_look(struct sim_node *n)
{
	struct sim_hypervisor *h = &n->hypervisor;
	struct world *w = n->world;
	if (h->looking || w->now_ms < h->look_ms)
		return;
	h->looking = true;
	h->look = agent_looks(&n->agent);
	h->look_ms = w->now_ms + LOOK_EVERY_MS;
	world_at(w, worker_time(n, LANE_LOOK, 5 + world_random(w, 50)), looked, n->id, n->life);
}

void sim_hypervisor_hasten(struct sim_node *n)
{
	struct sim_hypervisor *h = &n->hypervisor;
	uint64_t soon_ms = n->world->now_ms + LOOK_SOON_MS;
	if (!h->looking && h->look_ms > soon_ms)
		h->look_ms = soon_ms;
}

void sim_hypervisor_give_up(struct sim_node *n)
{
	const struct local *local = &n->agent.local;
	for (unsigned i = 0; i < local->count; i++) {
		struct sim_vm *vm = sim_hypervisor_vm(n, local->vms[i].uuid);
		if (!vm || !vm->call || !plan_is_stuck(&local->vms[i], sim_node_clock(n)))
			continue;
		struct sim_begun begun = {.action = {.type = ACTION_MIGRATE},
		    .life = n->life,
		    .call = vm->call = ++n->world->calls};
		memcpy(begun.action.uuid, vm->uuid, sizeof(begun.action.uuid));
		sim_hypervisor_answer(n, &begun, -EPIPE);
	}
}

/* Lives. */

void sim_hypervisor_restart(struct sim_node *n)
{
	for (unsigned i = 0; i < n->hypervisor.count; i++)
		if (n->hypervisor.vms[i].noted)
			plan_doubt(&n->agent.local, n->hypervisor.vms[i].uuid, sim_node_clock(n));
	memset(n->hypervisor.free_ms, 0, sizeof(n->hypervisor.free_ms));
	n->hypervisor.look_ms = 0;
	n->hypervisor.looking = false;
}

void sim_hypervisor_off(struct sim_node *n)
{
	struct sim_hypervisor *h = &n->hypervisor;
	for (unsigned i = 0; i < h->count; i++)
		guest_stops(n, &h->vms[i]);
	h->count = 0;
	h->hung_until_ms = h->failing_until_ms = 0;
	h->down = false;
	h->boot++;
	h->served++;
}

void sim_hypervisor_back(struct sim_node *n)
{
	struct sim_hypervisor *h = &n->hypervisor;
	struct world *w = n->world;
	if (!n->powered || !h->down)
		return;
	h->down = false;
	world_trace(w, n->id, "libvirtd is back");
	for (unsigned i = 0; i < h->count; i++) {
		struct sim_vm *vm = &h->vms[i];
		if (vm->state == SIM_VM_STARTING && world_random(w, 2))
			guest_runs(n, vm, GUEST_BOOTS);
		else if (vm->state == SIM_VM_STARTING)
			vm->state = SIM_VM_OFF;
		else
			sim_migrate_recover(n, vm);
	}
}

static void back(struct world *w, unsigned node, uint64_t served, void *bytes)
{
	if (w->nodes[node]->hypervisor.served == served)
		sim_hypervisor_back(w->nodes[node]);
}

void sim_hypervisor_kill(struct sim_node *n, uint64_t ms)
{
	struct sim_hypervisor *h = &n->hypervisor;
	if (!n->powered || h->down)
		return;
	h->down = true;
	h->served++;
	h->hung_until_ms = 0;
	world_trace(n->world, n->id, "libvirtd killed");
	world_at(n->world, n->world->now_ms + ms + ADOPTS_AFTER_MS, back, n->id, h->served);
}

void sim_hypervisor_crash(struct sim_node *n, struct sim_vm *vm)
{
	if (!vm || vm->state == SIM_VM_OFF || vm->state == SIM_VM_STARTING)
		return;
	if (vm->state == SIM_VM_RUNNING)
		guest_died(n, vm);
	vm_ends(n, vm);
}

struct sim_vm *sim_hypervisor_vm(struct sim_node *n, const char *uuid)
{
	struct sim_hypervisor *h = &n->hypervisor;
	for (unsigned i = 0; i < h->count; i++)
		if (!strcmp(h->vms[i].uuid, uuid))
			return &h->vms[i];
	return NULL;
}
