#include "node/member/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fsm/authority.h"
#include "fsm/ceph.h"
#include "fsm/history.h"
#include "fsm/node.h"
#include "fsm/vm.h"

const char *const health_level_names[] = {"healthy", "degraded", "critical", NULL};

/* A leader that was not heard for this long: what is shown here may be old. */
#define OUT_OF_TOUCH_MS	     3000
#define OLD_VALUES_MS	     1000
#define ROTATION_PATIENCE_MS 30000

__attribute__((format(printf, 3, 4))) static void say(
    struct health *h, enum health_level level, const char *format, ...)
{
	if (level > h->level)
		h->level = level;
	if (h->count < HEALTH_MESSAGES_MAX) {
		va_list args;
		va_start(args, format);
		vsnprintf(h->messages[h->count], sizeof(h->messages[0]), format, args);
		va_end(args);
	}
	h->count++;
}

static bool is_silent(const struct cluster *c, const struct node *node)
{
	return node_silence_ms(c, node) > node_patience_ms(c, node, HEALTH_SILENCE_MS);
}

bool health_member_well(const struct cluster *c, uint64_t id)
{
	const struct node *node = id <= UINT32_MAX ? cluster_node(c, (uint32_t)id) : NULL;
	/* Before its first keepalive a node is given the benefit of the doubt. */
	if (!node || !node->last.count)
		return true;
	return node->daemon_state != DAEMON_FENCED && node->daemon_state != DAEMON_STOP &&
	       !is_silent(c, node);
}

unsigned health_failure_tolerance(const struct cluster *c, const struct health_log *log)
{
	unsigned voters = 0, well = 0;
	/* Then nothing can be agreed on, and the value knows nothing of who fell silent since. */
	if (!log->status.leader)
		return 0;
	for (unsigned i = 0; i < log->members_count; i++) {
		if (log->members[i].role != MEMBER_VOTER)
			continue;
		voters++;
		well += health_member_well(c, log->members[i].id);
	}
	unsigned majority = voters / 2 + 1;
	return well > majority ? well - majority : 0;
}

static bool says_against(const struct node *node)
{
	const struct keepalive *k = node_keepalive(node);
	for (uint32_t i = 0; k && i < k->collectors.count; i++) {
		const struct collector *collector = &k->collectors.items[i];
		bool counts = !strcmp(collector->name, HEALTH_LOG) ||
			      !strcmp(collector->name, HEALTH_REPLICA) ||
			      !strcmp(collector->name, HEALTH_GUARD);
		if (counts && collector->state == COLLECTOR_FAILED)
			return true;
	}
	return false;
}

bool health_may_lead(const struct cluster *c, const struct node *node)
{
	return node->mode == NODE_COORDINATOR && node->daemon_state == DAEMON_RUN &&
	       !is_silent(c, node) && !says_against(node);
}

uint32_t health_next_leader(const struct cluster *c, uint32_t self, uint32_t after)
{
	cluster_each(c->nodes, struct node, node)
	{
		if (node->id > after && node->id != self && health_may_lead(c, node))
			return node->id;
	}
	return 0;
}

static void judge_log(
    const struct cluster *c, const struct health_log *log, uint64_t now_ms, struct health *h)
{
	const struct replica_status *s = &log->status;
	if (s->role == REPLICA_FAILED)
		say(h, HEALTH_CRITICAL, "this node's replica of the log has stopped");
	else if (!s->leader)
		say(h, HEALTH_CRITICAL, "the log has no leader: nothing can be changed");
	else if (s->role != REPLICA_LEADER && now_ms > s->heard_ms + OUT_OF_TOUCH_MS)
		say(h, HEALTH_CRITICAL,
		    "this node has not heard the leader for %" PRIu64 " s: what it shows is old",
		    (now_ms - s->heard_ms) / 1000);
	if (history_diverged_at(c))
		say(h, HEALTH_CRITICAL,
		    "this node's replica differs from the others' since index %" PRIu64,
		    history_diverged_at(c));
	if (s->voters > 1 && health_failure_tolerance(c, log) == 0)
		say(h, HEALTH_DEGRADED, "no further coordinator may fail");
}

/* Of values that are as fresh as ever nothing is said. */
static void age_text(const struct cluster *c, const struct node *node,
    const struct collector *collector, char text[48])
{
	uint64_t age_ms = node_collector_age_ms(c, node, collector);
	*text = 0;
	if (age_ms >= OLD_VALUES_MS && age_ms != NODE_AGE_NEVER)
		snprintf(text, 48, "; last values are %" PRIu64 " s old", age_ms / 1000);
}

static void judge_collectors(const struct cluster *c, const struct node *node, struct health *h)
{
	const struct keepalive *k = node_keepalive(node);
	for (uint32_t i = 0; k && i < k->collectors.count; i++) {
		const struct collector *collector = &k->collectors.items[i];
		char age[48];
		if (collector->state != COLLECTOR_STUCK && collector->state != COLLECTOR_FAILED)
			continue;
		age_text(c, node, collector, age);
		say(h, HEALTH_DEGRADED, "%s: %s is %s%s%.100s%s", node->name, collector->name,
		    state_name(collector_state_names, collector->state),
		    *collector->message ? ": " : "", collector->message, age);
	}
}

/* What keeps a flush from going on by itself. */
static void judge_flush(const struct node *node, struct health *h)
{
	if (node->domain_state == DOMAIN_FLUSH && *node->domain_reason)
		say(h, HEALTH_DEGRADED, "the flush of %s needs help: %.160s", node->name,
		    node->domain_reason);
}

static void judge_node(const struct cluster *c, const struct node *node, struct health *h)
{
	switch (node->daemon_state) {
	case DAEMON_FENCED:
	case DAEMON_DEAD:
		say(h, HEALTH_DEGRADED, "%s is %s", node->name,
		    state_name(daemon_state_names, node->daemon_state));
		return;
	case DAEMON_STOP:
		say(h, HEALTH_DEGRADED, "%s was shut down", node->name);
		return;
	case DAEMON_SHUTDOWN:
		say(h, HEALTH_DEGRADED, "%s is shutting down", node->name);
		break;
	case DAEMON_INIT:
	case DAEMON_RUN:
		break;
	}
	if (node->last.count && is_silent(c, node))
		say(h, HEALTH_DEGRADED, "%s was not heard for %" PRIu64 " s", node->name,
		    node_silence_ms(c, node) / 1000);
	else
		judge_collectors(c, node, h);
}

static void judge_vm(const struct cluster *c, const struct vm *vm, struct health *h)
{
	const struct node *owner = cluster_node(c, vm->node);
	if (vm->state == VM_FAIL)
		say(h, HEALTH_CRITICAL, "VM %s has failed: %.100s", vm->name, vm->failed_reason);
	else if (vm->state == VM_START && !vm->node)
		say(h, HEALTH_CRITICAL, "VM %s waits for a place: %.100s", vm->name,
		    vm->failed_reason);
	else if (vm_is_wanted(vm) && owner && !health_member_well(c, owner->id))
		say(h, HEALTH_CRITICAL, "VM %s is on %s, which is not well", vm->name, owner->name);
	else if (vm->state == VM_START && vm->observed != OBSERVED_RUNNING && *vm->failed_reason)
		say(h, HEALTH_CRITICAL, "VM %s does not start: %.100s", vm->name,
		    vm->failed_reason);
	else if (vm_is_wanted(vm) && vm->state != VM_START && !vm->target && *vm->failed_reason)
		say(h, HEALTH_DEGRADED, "VM %s waits to %s: %.100s", vm->name,
		    state_name(vm_state_names, vm->state), vm->failed_reason);
}

/* A rotation of the CA that takes its time is nobody's fault but a node's that is away. */
static void judge_authorities(const struct cluster *c, struct health *h)
{
	char names[128];
	const struct authority *moving = authority_moving(c);
	if (!moving || !authority_awaited(c, names, sizeof(names)))
		return;
	uint64_t waits_ms = c->settings.time_ms - moving->since_ms;
	say(h, waits_ms > ROTATION_PATIENCE_MS ? HEALTH_DEGRADED : HEALTH_HEALTHY,
	    "the rotation of the CA waits for %s", names);
}

/* What Ceph calls an error is data that cannot be had. */
static void judge_ceph(const struct cluster *c, struct health *h)
{
	const struct ceph *ceph = &c->ceph;
	if (!(ceph->known & CEPH_STATUS))
		return;
	if (ceph->health == CEPH_WARNING || ceph->health == CEPH_ERROR)
		say(h, ceph->health == CEPH_ERROR ? HEALTH_CRITICAL : HEALTH_DEGRADED,
		    "Ceph: %s: %.160s", state_name(ceph_health_names, ceph->health),
		    ceph->health_message);
}

static void judge_primary(const struct cluster *c, struct health *h)
{
	if (!c->settings.schema)
		say(h, HEALTH_CRITICAL, "this node is not in a cluster yet");
	else if (!cluster_node(c, c->primary.node))
		say(h, HEALTH_CRITICAL, "there is no primary coordinator");
	else if (c->primary.state != COORDINATOR_PRIMARY)
		say(h, HEALTH_DEGRADED, "%s is taking over as primary: %s",
		    cluster_node(c, c->primary.node)->name, c->primary.step);
}

void health_judge(
    const struct cluster *c, const struct health_log *log, uint64_t now_ms, struct health *health)
{
	health->level = HEALTH_HEALTHY;
	health->count = 0;
	if (log->closed)
		say(health, HEALTH_CRITICAL, "this node's log is not open%s%s",
		    *log->closed ? ": " : "", log->closed);
	else if (log->removal)
		/* Of the log it hears no more, whatever becomes of it. */
		say(health, HEALTH_CRITICAL, "%s", log->removal);
	else
		judge_log(c, log, now_ms, health);
	judge_primary(c, health);
	judge_authorities(c, health);
	judge_ceph(c, health);
	cluster_each(c->nodes, struct node, node)
	{
		judge_node(c, node, health);
		judge_flush(node, health);
	}
	cluster_each(c->vms, struct vm, vm) judge_vm(c, vm, health);
}
