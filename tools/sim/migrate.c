#include "tools/sim/migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sim/guest.h"
#include "tools/sim/node.h"

#define BEGINS_MS_MAX	30
#define MESSAGE_MS_MAX	40
#define SLOW_MESSAGE_IN 8
#define SLOW_MESSAGE_MS 3000
#define MESSAGE_WAITS	5000 /* for a libvirt that hangs, until the other gives it up */
#define COPY_STEP_MS	200
#define COPY_MS_MAX	1500
#define LONG_COPY_IN	8 /* one of so many takes long... */
#define LONG_COPY_MS	20000
#define ENDLESS_COPY_IN 40 /* ...or never ends, as the guest writes faster than that */
#define ENDLESS_COPY_MS 120000 /* then libvirt gives it up */
#define LINK_LOST_MS	3000 /* without a word between both, until they give each other up */
#define NOTICED_MS_MAX	3000 /* until the target destroys a copy that nobody fills any more */
#define LOST_ANSWERS	30 /* one of so many ends, and its worker dies before it says how */
#define STANDS_IN	12 /* one of so many sources stands where it stopped, after a failure */

enum phase { PHASE_BEGIN, PHASE_PREPARE, PHASE_COPY, PHASE_FINISH, PHASE_CONFIRM };

struct end { /* one of the two, as it was when it was asked */
	unsigned node;
	uint64_t boot, served;
};

struct migration {
	uint64_t number;
	enum phase phase;
	struct end source, target;
	struct sim_begun begun;
	uint64_t left_ms; /* of copying */
	uint64_t silent_ms; /* nothing has passed between both for so long */
};

static uint64_t message_ms(struct world *w)
{
	bool slow = world_random(w, SLOW_MESSAGE_IN) == 0;
	return 1 + world_random(w, slow ? SLOW_MESSAGE_MS : MESSAGE_MS_MAX);
}

static void tell_moment(struct world *w, const struct migration *m)
{
	if (w->moment)
		w->moment(w, m->source.node, m->target.node);
}

static void migrate_step(struct world *w, unsigned node, uint64_t number, void *bytes);

static void later(struct world *w, const struct migration *m, uint64_t ms)
{
	struct migration *copy = must_alloc(sizeof(*copy));
	*copy = *m;
	events_add(&w->events, (struct event){.time_ms = w->now_ms + ms,
				   .run = migrate_step,
				   .node = m->source.node,
				   .bytes = copy});
}

static struct end end_of(const struct sim_node *n)
{
	return (struct end){n->id, n->hypervisor.boot, n->hypervisor.served};
}

/* It has power as it had, and its libvirt is the one that it was. */
static bool stands(const struct world *w, const struct end *e)
{
	const struct sim_node *n = w->nodes[e->node];
	return n->powered && n->hypervisor.boot == e->boot && n->hypervisor.served == e->served &&
	       !n->hypervisor.down;
}

static uint64_t hung_ms(const struct world *w, const struct end *e)
{
	uint64_t until_ms = w->nodes[e->node]->hypervisor.hung_until_ms;
	return until_ms > w->now_ms ? until_ms - w->now_ms : 0;
}

static bool linked(const struct world *w, const struct migration *m)
{
	return !w->cut[m->source.node][m->target.node] && !w->cut[m->target.node][m->source.node];
}

/* What the migration has at that end, in that state; NULL: nothing any more. */
static struct sim_vm *part(
    struct world *w, const struct migration *m, const struct end *e, enum sim_vm_state state)
{
	struct sim_vm *vm = sim_hypervisor_vm(w->nodes[e->node], m->begun.action.uuid);
	return vm && vm->job == m->number && vm->state == state ? vm : NULL;
}

static void at_target(struct world *w, const struct migration *m, event_run run, uint64_t ms)
{
	struct migration *copy = must_alloc(sizeof(*copy));
	*copy = *m;
	events_add(&w->events,
	    (struct event){
		.time_ms = w->now_ms + ms, .run = run, .node = m->target.node, .bytes = copy});
}

/* The target destroys what is not whole when it notices that nobody fills it. */
static void notice(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct migration *m = bytes;
	struct sim_vm *copy = part(w, m, &m->target, SIM_VM_INCOMING);
	if (!stands(w, &m->target) || !copy)
		return;
	world_trace(w, node, "vm %s: what came of it is destroyed", copy->uuid);
	copy->state = SIM_VM_OFF;
	copy->job = 0;
}

static void abandon(struct world *w, const struct migration *m)
{
	at_target(w, m, notice, hung_ms(w, &m->target) + world_random(w, NOTICED_MS_MAX));
}

/* Who asked libvirt to resume it before that has it resumed now. */
static void become_whole(struct world *w, const struct migration *m, struct sim_vm *copy)
{
	struct sim_node *n = w->nodes[m->target.node];
	copy->state = SIM_VM_COPY;
	world_trace(w, n->id, "vm %s is whole, and paused", copy->uuid);
	if (copy->resumed)
		guest_runs(n, copy, GUEST_GOES_ON);
}

/* It was asked to finish before it hung: it does, when nobody waits for it any more. */
static void finish_late(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	const struct migration *m = bytes;
	struct sim_vm *copy = part(w, m, &m->target, SIM_VM_INCOMING);
	if (!stands(w, &m->target) || !copy)
		return;
	become_whole(w, m, copy);
}

static void tell_end(struct world *w, const struct migration *m, int status)
{
	struct sim_node *n = w->nodes[m->source.node];
	w->arrivals += !status;
	world_trace(w, n->id, "vm %s: migration to n%u: %s", m->begun.action.uuid, m->target.node,
	    status ? strerror(-status) : "done");
	if (n->powered && n->hypervisor.boot == m->source.boot)
		sim_hypervisor_answer(
		    n, &m->begun, world_random(w, LOST_ANSWERS) ? status : -EPIPE);
}

/* libvirt of the source gives up: its VM goes on, and what is not whole at the target vanishes. */
static void fail(struct world *w, const struct migration *m, int status)
{
	struct sim_node *n = w->nodes[m->source.node];
	struct sim_vm *vm = sim_hypervisor_vm(n, m->begun.action.uuid);
	if (vm && vm->job == m->number) {
		vm->job = 0;
		if (vm->state == SIM_VM_TRANSIT && world_random(w, STANDS_IN))
			guest_runs(n, vm, GUEST_IS_TAKEN_BACK);
	}
	abandon(w, m);
	tell_end(w, m, status);
}

static void step_begin(struct world *w, struct migration *m)
{
	struct sim_node *n = w->nodes[m->source.node];
	struct sim_vm *vm = sim_hypervisor_vm(n, m->begun.action.uuid);
	if (!vm || vm->state != SIM_VM_RUNNING || vm->job) {
		tell_end(w, m, vm && vm->job ? -EBUSY : -ENOENT);
		return;
	}
	vm->job = m->number;
	vm->aborted = false;
	m->phase = PHASE_PREPARE;
	later(w, m, 1 + world_random(w, MESSAGE_MS_MAX));
}

static uint64_t draw_copy_ms(struct world *w)
{
	if (!w->peace && world_random(w, ENDLESS_COPY_IN) == 0)
		return ENDLESS_COPY_MS;
	return 50 + world_random(w, world_random(w, LONG_COPY_IN) ? COPY_MS_MAX : LONG_COPY_MS);
}

static void step_prepare(struct world *w, struct migration *m)
{
	struct sim_node *n = w->nodes[m->target.node];
	m->target = end_of(n);
	if (!linked(w, m) || !stands(w, &m->target) || hung_ms(w, &m->target) > MESSAGE_WAITS) {
		fail(w, m, -EHOSTUNREACH);
		return;
	}
	if (hung_ms(w, &m->target)) {
		later(w, m, hung_ms(w, &m->target));
		return;
	}
	struct sim_vm *copy = sim_hypervisor_add(n, m->begun.action.uuid);
	if (copy->state != SIM_VM_OFF || w->now_ms < n->hypervisor.failing_until_ms) {
		fail(w, m, -EEXIST);
		return;
	}
	copy->state = SIM_VM_INCOMING;
	copy->job = m->number;
	copy->resumed = false;
	m->phase = PHASE_COPY;
	m->left_ms = guest_of(w, copy->uuid)->copy_ms;
	if (!m->left_ms)
		m->left_ms = draw_copy_ms(w);
	later(w, m, m->left_ms < COPY_STEP_MS ? m->left_ms : COPY_STEP_MS);
}

/* All memory has gone over: the source stops, and what is there is what it was at that moment. */
static void switch_over(struct world *w, struct migration *m, struct sim_vm *vm)
{
	struct sim_vm *copy = part(w, m, &m->target, SIM_VM_INCOMING);
	guest_stops(w->nodes[m->source.node], vm);
	vm->state = SIM_VM_TRANSIT;
	copy->age = vm->age;
	m->phase = PHASE_FINISH;
	later(w, m, message_ms(w));
	tell_moment(w, m);
}

static void step_copy(struct world *w, struct migration *m)
{
	struct sim_vm *vm = part(w, m, &m->source, SIM_VM_RUNNING);
	bool there = stands(w, &m->target) && part(w, m, &m->target, SIM_VM_INCOMING);
	uint64_t passed_ms = m->left_ms < COPY_STEP_MS ? m->left_ms : COPY_STEP_MS;
	if (linked(w, m)) {
		m->left_ms -= passed_ms;
		m->silent_ms = 0;
	} else {
		m->silent_ms += COPY_STEP_MS;
	}
	if (!vm || (!there && linked(w, m)))
		fail(w, m, -EIO);
	else if (vm->aborted)
		fail(w, m, -ECANCELED);
	else if (m->silent_ms > LINK_LOST_MS)
		fail(w, m, -EHOSTUNREACH);
	else if (m->left_ms || !there)
		later(w, m, m->left_ms && m->left_ms < COPY_STEP_MS ? m->left_ms : COPY_STEP_MS);
	else
		switch_over(w, m, vm);
}

/* The target says whether all of it is there. */
static void step_finish(struct world *w, struct migration *m)
{
	struct sim_vm *copy = part(w, m, &m->target, SIM_VM_INCOMING);
	bool heard = linked(w, m) && stands(w, &m->target) && copy;
	if (!heard || hung_ms(w, &m->target) > MESSAGE_WAITS) {
		if (heard && world_random(w, 2))
			at_target(w, m, finish_late, hung_ms(w, &m->target));
		fail(w, m, -EHOSTUNREACH);
		return;
	}
	if (hung_ms(w, &m->target)) {
		later(w, m, hung_ms(w, &m->target));
		return;
	}
	become_whole(w, m, copy);
	m->phase = PHASE_CONFIRM;
	later(w, m, message_ms(w));
	tell_moment(w, m);
}

/* The source hears that, or that its connection is gone. */
static void step_confirm(struct world *w, struct migration *m)
{
	struct sim_node *n = w->nodes[m->source.node];
	struct sim_vm *vm = part(w, m, &m->source, SIM_VM_TRANSIT);
	struct sim_vm *copy = part(w, m, &m->target, SIM_VM_COPY);
	if (!linked(w, m) || !stands(w, &m->target)) {
		fail(w, m, -EIO);
		return;
	}
	if (copy)
		copy->job = 0;
	if (vm) {
		vm->state = SIM_VM_OFF;
		vm->job = 0;
		world_trace(w, n->id, "vm %s is gone from here", vm->uuid);
	}
	tell_end(w, m, 0);
}

/* libvirt of the source is gone: QEMU copies on by itself, and who asked hears of nothing more. */
static void orphaned(struct world *w, struct migration *m)
{
	struct sim_vm *vm = part(w, m, &m->source, SIM_VM_RUNNING);
	struct sim_node *n = w->nodes[m->source.node];
	bool powered = n->powered && n->hypervisor.boot == m->source.boot;
	if (powered && vm && m->phase == PHASE_COPY && n->hypervisor.down && world_random(w, 2)) {
		guest_stops(n, vm);
		vm->state = SIM_VM_TRANSIT;
	}
	/* What it asked the target for before it died is in that one's socket. */
	if (m->phase == PHASE_FINISH && world_random(w, 2))
		at_target(w, m, finish_late, hung_ms(w, &m->target) + 1);
	abandon(w, m);
	if (powered)
		tell_end(w, m, -EPIPE);
}

static void migrate_step(struct world *w, unsigned node, uint64_t number, void *bytes)
{
	static void (*const steps[])(struct world * w, struct migration * m) = {
	    step_begin, step_prepare, step_copy, step_finish, step_confirm};
	struct migration *m = bytes;
	if (!stands(w, &m->source))
		orphaned(w, m);
	else if (hung_ms(w, &m->source))
		later(w, m, hung_ms(w, &m->source));
	else
		steps[m->phase](w, m);
}

void sim_migrate(struct sim_node *n, const struct sim_begun *begun)
{
	struct world *w = n->world;
	const struct sim_node *target = sim_node_by_raft_id(w, begun->action.target);
	struct migration m = {.number = ++w->migrations, .source = end_of(n), .begun = *begun};
	/* Who is no node cannot be reached. */
	m.target.node = target ? target->id : n->id;
	world_trace(w, n->id, "vm %s: migration to n%u", begun->action.uuid, m.target.node);
	later(w, &m, 1 + world_random(w, BEGINS_MS_MAX));
}

void sim_migrate_recover(struct sim_node *n, struct sim_vm *vm)
{
	struct world *w = n->world;
	if (!vm->job)
		return;
	vm->job = 0;
	switch (vm->state) {
	case SIM_VM_INCOMING:
		vm->state = SIM_VM_OFF;
		break;
	case SIM_VM_COPY: /* the source was not told yet: libvirt may think it safest to kill it */
		if (world_random(w, 4) == 0)
			vm->state = SIM_VM_OFF;
		break;
	case SIM_VM_TRANSIT: /* it had the end of it, or had not */
		if (world_random(w, 2))
			guest_runs(n, vm, GUEST_IS_TAKEN_BACK);
		break;
	case SIM_VM_OFF:
	case SIM_VM_STARTING:
	case SIM_VM_RUNNING:
		break;
	}
}
