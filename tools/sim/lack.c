#include "tools/sim/lack.h"

#include <stdio.h>
#include <string.h>

#include "fsm/place.h"
#include "fsm/vm.h"
#include "node/member/members.h"
#include "node/vm/plan.h"
#include "tools/sim/guest.h"
#include "tools/sim/node.h"

#define DEATHS 5 /* of a VM, before it may be given up: plan.h */

static void lack_set(struct lack *lack, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void lack_set(struct lack *lack, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(lack->text, sizeof(lack->text), format, args);
	va_end(args);
}

/* Is there a node that it could be placed on? */
static bool has_room(const struct cluster *c, const struct vm *vm)
{
	cluster_each(c->nodes, struct node,
	    node) if (node->id != vm->node && !place_check(c, vm, node, NULL)) return true;
	return false;
}

/* It waits for room that there is not: whoever asked is told, and can do something. */
static bool waits_rightly(const struct cluster *c, const struct vm *vm)
{
	const struct node *home = cluster_node(c, vm->home);
	if (vm->state == VM_START)
		return !vm->node && !has_room(c, vm);
	if (vm->state == VM_UNMIGRATE)
		return !home || place_check(c, vm, home, NULL);
	const struct node *asked = cluster_node(c, vm->destination);
	return asked ? place_check(c, vm, asked, NULL) != 0 : !has_room(c, vm);
}

static void lack_change(const struct cluster *c, const struct vm *vm, struct lack *lack)
{
	bool moves = vm->state == VM_MIGRATE || vm->state == VM_UNMIGRATE;
	if (vm->state == VM_SHUTDOWN || vm->state == VM_RESTART)
		lack_set(
		    lack, "VM %u is still to %s", vm->id, state_name(vm_state_names, vm->state));
	else if (vm->target || vm->arrived || vm->abort)
		lack_set(lack, "VM %u is still on its way to node %u", vm->id, vm->target);
	else if (moves && !waits_rightly(c, vm))
		lack_set(lack, "VM %u is still to %s: %s", vm->id,
		    state_name(vm_state_names, vm->state), vm->failed_reason);
	else if (vm->queued && !moves)
		lack_set(lack, "VM %u: %s is still to be done", vm->id,
		    state_name(vm_request_names, vm->queued));
}

static void lack_vm(
    struct world *w, const struct cluster *c, const struct vm *vm, struct lack *lack)
{
	struct sim_node *owner = sim_node_by_raft_id(w, vm->node);
	const struct sim_vm *sim = owner ? sim_hypervisor_vm(owner, vm->uuid) : NULL;
	bool on = sim && sim->state == SIM_VM_RUNNING;
	if (vm_is_wanted(vm) != on && !(vm->state == VM_START && waits_rightly(c, vm)))
		lack_set(lack, "VM %u should be %s and is %s on node %u", vm->id,
		    state_name(vm_state_names, vm->state), on ? "on" : "off", vm->node);
	else if (vm->node && vm->observed != (on ? OBSERVED_RUNNING : OBSERVED_SHUTOFF))
		lack_set(lack, "VM %u is %s on node %u and known as %s", vm->id, on ? "on" : "off",
		    vm->node, state_name(vm_observed_names, vm->observed));
	if (vm->state == VM_FAIL && guest_of(w, vm->uuid)->deaths < DEATHS)
		lack_set(lack, "VM %u was given up after %u deaths: %s", vm->id,
		    guest_of(w, vm->uuid)->deaths, vm->failed_reason);
	lack_change(c, vm, lack);
}

/* Whatever there is of a VM is with its owner, and is no half of anything. */
static void lack_hypervisor(const struct cluster *c, struct sim_node *n, struct lack *lack)
{
	for (unsigned i = 0; i < n->hypervisor.count; i++) {
		const struct sim_vm *sim = &n->hypervisor.vms[i];
		const struct vm *vm = cluster_vm_named(c, sim->uuid);
		if (sim->state == SIM_VM_OFF)
			continue;
		if (!vm || vm->node != n->raft_id)
			lack_set(lack, "VM %s is on n%u unwanted", sim->uuid, n->id);
		else if (sim->state != SIM_VM_RUNNING)
			lack_set(lack, "VM %s stands on n%u", sim->uuid, n->id);
	}
}

static void lack_domain(const struct node *node, struct lack *lack)
{
	bool flushes = node->domain_state == DOMAIN_FLUSH && !*node->domain_reason;
	if (flushes || node->domain_state == DOMAIN_UNFLUSH)
		lack_set(lack, "node %u is still %s", node->id,
		    state_name(domain_state_names, node->domain_state));
}

static void lack_node(const struct cluster *c, const struct sim_node *n, struct lack *lack)
{
	const struct node *node = cluster_node(c, n->raft_id);
	if (!sim_node_serves(n) || !node)
		lack_set(lack, "n%u is not up", n->id);
	else if (node->daemon_state != DAEMON_RUN)
		lack_set(
		    lack, "n%u is %s", n->id, state_name(daemon_state_names, node->daemon_state));
	else if (n->value.index + 2 < c->index)
		lack_set(lack, "n%u is behind", n->id);
	else
		lack_domain(node, lack);
}

static void lack_voters(const struct world *w, unsigned primary, struct lack *lack)
{
	struct replica_status status;
	const struct cluster *c = &w->nodes[primary]->value;
	unsigned eligible = 0;
	cluster_each(c->nodes, struct node, node) eligible += node->mode != NODE_HYPERVISOR;
	replica_status(w->nodes[primary]->replica, &status);
	if (status.voters != members_voters_wanted(eligible))
		lack_set(lack, "%u vote, not %u", status.voters, members_voters_wanted(eligible));
}

struct lack lack_of(struct world *w)
{
	struct lack lack = {""};
	unsigned primary = world_primary(w);
	if (!primary) {
		lack_set(&lack, "there is no primary");
		return lack;
	}
	const struct cluster *c = &w->nodes[primary]->value;
	lack_voters(w, primary, &lack);
	for (unsigned i = 1; i <= w->node_count; i++) {
		lack_node(c, w->nodes[i], &lack);
		lack_hypervisor(c, w->nodes[i], &lack);
	}
	cluster_each(c->vms, struct vm, vm) lack_vm(w, c, vm, &lack);
	cluster_each(
	    c->nodes, struct node, node) if (node->coordinator_state == COORDINATOR_RELINQUISH)
	    lack_set(&lack, "node %u has not let go", node->id);
	return lack;
}
