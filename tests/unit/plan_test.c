/* What a node does about its VMs, and when it takes and lets go of the role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fsm/change.h"
#include "fsm/history.h"
#include "fsm/node.h"
#include "node/agent.h"
#include "node/primary/coordinator.h"
#include "node/member/health.h"
#include "node/vm/plan.h"

static struct cluster c;
static struct local local;
static struct plan plan;
static struct vm *vm;
static struct coordinator co;
static struct coordinator_turn turn;
static struct standing current, blind;

static struct node *add_node(uint32_t id)
{
	struct node *node = must_alloc(sizeof(*node));
	node->id = id;
	node->mode = NODE_COORDINATOR;
	node->coordinator_state = COORDINATOR_SECONDARY;
	snprintf(node->name, sizeof(node->name), "hv%u", id);
	snprintf(node->address, sizeof(node->address), "hv%u:7000", id);
	change_insert(&c, &c.nodes, node);
	return node;
}

static int begin(void **state)
{
	cluster_init(&c);
	c.settings.schema = 1;
	add_node(1);
	add_node(2);
	vm = must_alloc(sizeof(*vm));
	vm->id = 7;
	vm->node = 1;
	vm->generation = 3;
	vm->state = VM_START;
	snprintf(vm->uuid, sizeof(vm->uuid), "uuid");
	change_insert(&c, &c.vms, vm);
	local = (struct local){.known = true};
	co = (struct coordinator){0};
	current = (struct standing){.id = 1, .current = true, .leader_id = 2, .term = 5};
	blind = (struct standing){.id = 1, .term = 5};
	return 0;
}

static int end(void **state)
{
	cluster_close(&c);
	local_close(&local);
	plan_close(&plan);
	return 0;
}

/* What was seen counts. */
static void look(uint64_t now_ms)
{
	local_note(&local, &c, 1, now_ms);
	for (unsigned i = 0; i < local.count; i++)
		local.vms[i].fresh = true;
}

static unsigned plan_at(const struct standing *standing, uint64_t now_ms)
{
	struct plan_options options = {.node = 1, .shutdown_timeout_ms = 3000};
	look(now_ms);
	plan_make(&plan, &c, standing, &options, &local, now_ms);
	return plan.count;
}

static void a_vm_that_is_wanted_and_off_is_started_once(void **state)
{
	assert_int_equal(plan_at(&current, 1), 1);
	assert_int_equal(plan.actions[0].type, ACTION_START);
	assert_int_equal(plan_at(&current, 2), 0);
	assert_int_equal(local_observed(&local, "uuid", 2), OBSERVED_UNKNOWN);
}

static void a_node_that_is_not_in_touch_starts_nothing(void **state)
{
	assert_int_equal(plan_at(&blind, 1), 0);
}

static void a_node_whose_hypervisor_does_not_answer_does_nothing(void **state)
{
	local_lost(&local);
	assert_int_equal(plan_at(&current, 1), 0);
	assert_int_equal(local_observed(&local, "uuid", 1), OBSERVED_UNOBSERVABLE);
}

static void a_vm_of_another_node_is_stopped(void **state)
{
	vm->node = 2;
	local_add(&local, "uuid")->observed = OBSERVED_RUNNING;
	assert_int_equal(plan_at(&current, 1), 1);
	assert_int_equal(plan.actions[0].type, ACTION_STOP);
}

/* A daemon that has just started replays its log: the value may be years old. */
static void a_value_that_may_be_old_stops_nothing(void **state)
{
	vm->node = 2;
	local_add(&local, "uuid")->observed = OBSERVED_RUNNING;
	assert_int_equal(plan_at(&blind, 1), 0);
	local_find(&local, "uuid")->acted_generation = 2;
	assert_int_equal(plan_at(&blind, 1), 1);
}

static void a_vm_that_is_not_in_the_value_is_left_alone(void **state)
{
	local_add(&local, "somebody's")->observed = OBSERVED_RUNNING;
	vm->state = VM_STOP;
	assert_int_equal(plan_at(&current, 1), 0);
}

static void a_guest_that_ignores_the_power_button_is_stopped_in_the_end(void **state)
{
	struct local_vm *l = local_add(&local, "uuid");
	l->observed = OBSERVED_RUNNING;
	vm->state = VM_SHUTDOWN;
	assert_int_equal(plan_at(&current, 1000), 1);
	assert_int_equal(plan.actions[0].type, ACTION_SHUTDOWN);
	plan_done(&local, &plan.actions[0], 0, "", 1001);
	assert_int_equal(plan_at(&current, 3999), 0);
	assert_int_equal(plan_at(&current, 4000), 1);
	assert_int_equal(plan.actions[0].type, ACTION_STOP);
}

static void a_start_that_fails_is_tried_again_later_and_later(void **state)
{
	uint64_t now_ms = 1000, waited_ms = 0;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(plan_at(&current, now_ms), 1);
		struct action action = plan.actions[0];
		plan_done(&local, &action, -EIO, "no such image", now_ms);
		uint64_t wait_ms = local_find(&local, "uuid")->retry_ms - now_ms;
		assert_true(wait_ms > waited_ms);
		waited_ms = wait_ms;
		assert_int_equal(plan_at(&current, now_ms + wait_ms - 1), 0);
		now_ms += wait_ms;
	}
	assert_string_equal(local_find(&local, "uuid")->reason, "no such image");
}

static void a_start_that_was_cut_off_is_not_said_to_be_off(void **state)
{
	assert_int_equal(plan_at(&current, 1000), 1);
	struct action action = plan.actions[0];
	plan_done(&local, &action, -ETIMEDOUT, "killed", 2000);
	look(2500);
	assert_int_equal(local_observed(&local, "uuid", 3000), OBSERVED_UNKNOWN);
	assert_int_equal(local_observed(&local, "uuid", 200000), OBSERVED_SHUTOFF);
}

/* It may have asked, and the hypervisor not yet answered. */
static void a_start_whose_worker_died_is_not_said_to_be_off(void **state)
{
	assert_int_equal(plan_at(&current, 1000), 1);
	struct action action = plan.actions[0];
	plan_done(&local, &action, -EPIPE, "the worker died", 2000);
	assert_true(plan_doubts(&local, "uuid", 3000));
	look(2500);
	assert_int_equal(local_observed(&local, "uuid", 3000), OBSERVED_UNKNOWN);
	local_find(&local, "uuid")->doubt_until_ms = 0;
	plan_done(&local, &action, -EPROTO, "what it said was no answer", 2000);
	assert_true(plan_doubts(&local, "uuid", 3000));
}

static void a_start_that_was_refused_is_off(void **state)
{
	assert_int_equal(plan_at(&current, 1000), 1);
	struct action action = plan.actions[0];
	plan_done(&local, &action, -EINVAL, "no such machine", 2000);
	assert_false(plan_doubts(&local, "uuid", 3000));
	assert_int_equal(local_observed(&local, "uuid", 3000), OBSERVED_SHUTOFF);
}

/* Of two that were cut off, the second may come when the first has been stopped again. */
static void a_doubt_ends_with_time_and_nothing_else(void **state)
{
	struct action start = {.type = ACTION_START, .uuid = "uuid"}, stop = start;
	stop.type = ACTION_STOP;
	assert_int_equal(plan_at(&current, 1000), 1);
	plan_done(&local, &plan.actions[0], -ETIMEDOUT, "killed", 2000);
	plan_done(&local, &start, 0, "", 3000);
	plan_done(&local, &stop, 0, "", 4000);
	look(4500);
	assert_int_equal(local_observed(&local, "uuid", 5000), OBSERVED_UNKNOWN);
	assert_true(plan_doubts(&local, "uuid", 5000));
	assert_false(plan_doubts(&local, "uuid", 200000));
	assert_int_equal(local_observed(&local, "uuid", 200000), OBSERVED_SHUTOFF);
}

static void what_an_earlier_daemon_began_is_not_said_to_be_off(void **state)
{
	plan_doubt(&local, "uuid", 1000);
	look(1500);
	assert_int_equal(local_observed(&local, "uuid", 2000), OBSERVED_UNKNOWN);
	assert_int_equal(local_observed(&local, "uuid", 200000), OBSERVED_SHUTOFF);
}

/* Else it would be tried as often as the loop turns. */
static void a_stop_that_fails_is_tried_again_later(void **state)
{
	vm->state = VM_STOP;
	local_add(&local, "uuid")->observed = OBSERVED_RUNNING;
	assert_int_equal(plan_at(&current, 1000), 1);
	struct action action = plan.actions[0];
	plan_done(&local, &action, -EIO, "no", 1000);
	assert_int_equal(plan_at(&current, 1001), 0);
	assert_int_equal(plan_at(&current, 2000), 1);
}

/* Somebody has mended it and asks again. */
static void a_new_wish_does_not_wait_for_what_failed_before(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		local_add(&local, "uuid")->retry_ms = 0;
		assert_int_equal(plan_at(&current, 1000), 1);
		struct action action = plan.actions[0];
		plan_done(&local, &action, -EIO, "no such image", 1000);
	}
	assert_int_equal(plan_at(&current, 30000), 0);
	vm->generation += 2;
	assert_int_equal(plan_at(&current, 30001), 1);
	assert_string_equal(local_find(&local, "uuid")->reason, "");
}

/* After a power cut all VMs of a node are due at once: more than who carries it out queues. */
static void a_thousand_vms_are_started_a_few_at_a_time(void **state)
{
	for (uint32_t i = 0; i < 1000; i++) {
		struct vm *one = must_alloc(sizeof(*one));
		*one = (struct vm){.id = 100 + i, .node = 1, .generation = 1, .state = VM_START};
		snprintf(one->uuid, sizeof(one->uuid), "uuid-%u", i);
		change_insert(&c, &c.vms, one);
	}
	unsigned started = 0, turns = 0;
	while (plan_at(&current, 1000 + turns) && turns++ < 2000) {
		assert_true(plan.count <= PLAN_STARTS_MAX);
		started += plan.count;
		assert_int_equal(plan_at(&current, 1000), 0);
		for (unsigned i = 0; i < local.count; i++) {
			struct action action = {.type = ACTION_START};
			memcpy(action.uuid, local.vms[i].uuid, sizeof(action.uuid));
			if (!local.vms[i].busy)
				continue;
			plan_done(&local, &action, 0, "", 1000);
			local.vms[i].observed = OBSERVED_RUNNING;
		}
	}
	assert_true(started >= 1001);
}

/* The agent. */

static struct agent agent;

static unsigned told(const struct agent_turn *t, enum command_number number)
{
	unsigned n = 0;
	for (unsigned i = 0; i < t->count; i++)
		n += t->commands[i].number == number;
	return n;
}

/* By looks that are begun and done now: the first shows that there is such a VM. */
static void see(const struct seen_vm *vms, unsigned n)
{
	for (unsigned i = 0; i < 2; i++) {
		agent_saw_vms(&agent, agent_looks(&agent), vms, n);
		local_note(&agent.local, &c, 1, 1);
	}
	agent_saw_vms(&agent, agent_looks(&agent), vms, n);
}

static struct agent_turn agent_at(const struct standing *standing, uint64_t now_ms)
{
	struct agent_turn t;
	struct holding none = {.addresses_gone = true, .services_gone = true};
	agent_turn(&agent, &c, standing, &none, now_ms, &t);
	return t;
}

static int begin_agent(void **state)
{
	struct agent_options agent_options = {.node = 1,
	    .keepalive_interval_ms = 1000,
	    .shutdown_timeout_ms = 3000,
	    .lease_ms = 270,
	    .hypervisor = true};
	begin(state);
	agent_init(&agent, &agent_options);
	agent.hello_done = true;
	cluster_node(&c, 1)->daemon_state = DAEMON_RUN;
	return 0;
}

static int end_agent(void **state)
{
	agent_close(&agent);
	return end(state);
}

/* It would pass for a sign of life when this node leads again. */
static void a_keepalive_is_not_kept_by_who_does_not_lead(void **state)
{
	struct keepalive keepalive = {.node = 2};
	struct buffer bytes = {0};
	struct standing leader = {
	    .id = 1, .leader = true, .current = true, .term = 6, .leader_id = 1};
	buffer_append_u8(&bytes, AGENT_KEEPALIVE_MARK);
	record_encode(keepalive_record(), &keepalive, &bytes);
	agent_heard(&agent, 2, bytes.data, bytes.size);
	buffer_close(&bytes);
	struct agent_turn t = agent_at(&current, 10000);
	agent_turn_close(&t);
	t = agent_at(&leader, 50000);
	for (unsigned i = 0; i < t.count; i++)
		if (t.commands[i].number == COMMAND_tick)
			assert_int_equal(t.commands[i].tick.keepalives.count, 1);
	assert_int_equal(told(&t, COMMAND_tick), 1);
	agent_turn_close(&t);
}

static uint64_t elapsed_of(const struct agent_turn *t)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->commands[i].number == COMMAND_tick)
			return t->commands[i].tick.elapsed_ms;
	return UINT64_MAX;
}

/* Of its own keepalives only: cluster time is everybody's. */
static void a_leader_with_long_intervals_lets_time_pass_all_the_same(void **state)
{
	struct standing leader = {
	    .id = 1, .leader = true, .current = true, .term = 6, .leader_id = 1};
	agent.options.keepalive_interval_ms = 300000;
	struct agent_turn t = agent_at(&leader, 10000);
	assert_int_equal(elapsed_of(&t), 0);
	agent_turn_close(&t);
	t = agent_at(&leader, 10500);
	assert_int_equal(told(&t, COMMAND_tick), 0);
	agent_turn_close(&t);
	for (uint64_t now_ms = 11000; now_ms < 20000; now_ms += 1000) {
		t = agent_at(&leader, now_ms);
		assert_int_equal(elapsed_of(&t), 1000);
		agent_turn_close(&t);
	}
}

static void apply_facts(const struct agent_turn *t)
{
	for (unsigned i = 0; i < t->count; i++) {
		struct buffer bytes = {0};
		if (t->commands[i].number != COMMAND_fact)
			continue;
		command_encode(&t->commands[i], &bytes);
		assert_int_equal(cluster_apply(&c, c.index + 1, bytes.data, bytes.size, NULL), 0);
		buffer_close(&bytes);
	}
}

static void a_node_says_how_often_it_is_to_be_heard(void **state)
{
	static const uint64_t intervals_ms[] = {10000, 300000, 1000};
	uint64_t now_ms = 10000;
	struct agent_turn t = agent_at(&current, now_ms);
	assert_int_equal(told(&t, COMMAND_fact), 0); /* the usual */
	agent_turn_close(&t);
	for (unsigned i = 0; i < 3; i++) {
		agent.options.keepalive_interval_ms = intervals_ms[i];
		t = agent_at(&current, now_ms += 5000);
		assert_int_equal(told(&t, COMMAND_fact), 1);
		struct agent_turn again = agent_at(&current, now_ms + 1);
		assert_int_equal(told(&again, COMMAND_fact), 0);
		agent_turn_close(&again);
		apply_facts(&t);
		agent_turn_close(&t);
		assert_int_equal(node_interval_ms(&c, cluster_node(&c, 1)), intervals_ms[i]);
		t = agent_at(&current, now_ms += 5000);
		assert_int_equal(told(&t, COMMAND_fact), 0);
		agent_turn_close(&t);
	}
}

static void why_an_earlier_start_failed_is_not_told_of_a_vm_that_is_stopped(void **state)
{
	struct seen_vm nothing = {0};
	see(&nothing, 0);
	struct agent_turn t = agent_at(&current, 10000);
	assert_int_equal(t.action_count, 1);
	struct action action = t.actions[0];
	agent_turn_close(&t);
	agent_action_done(&agent, &action, -EIO, "no such image", 10000);
	see(&nothing, 0);
	t = agent_at(&current, 10001);
	assert_int_equal(told(&t, COMMAND_vm_report), 1);
	agent_turn_close(&t);
	vm->state = VM_STOP;
	vm->observed = OBSERVED_SHUTOFF;
	vm->observed_generation = ++vm->generation;
	see(&nothing, 0);
	t = agent_at(&current, 20000);
	assert_int_equal(told(&t, COMMAND_vm_report), 0);
	agent_turn_close(&t);
}

/* A fenced node is back: what crashed here is as off as what was switched off. */
static void a_vm_of_others_that_crashed_here_does_not_keep_a_node_from_running(void **state)
{
	struct seen_vm crashed = {.uuid = "uuid", .observed = OBSERVED_CRASHED};
	vm->node = 2;
	cluster_node(&c, 1)->daemon_state = DAEMON_FENCED;
	see(&crashed, 1);
	struct agent_turn t = agent_at(&current, 10000);
	assert_int_equal(told(&t, COMMAND_node_state), 1);
	assert_int_equal(t.commands[0].node_state.state, DAEMON_RUN);
	agent_turn_close(&t);
}

static void a_node_does_not_run_while_vms_of_others_do_here(void **state)
{
	struct seen_vm one = {.uuid = "uuid", .observed = OBSERVED_RUNNING};
	vm->node = 2;
	cluster_node(&c, 1)->daemon_state = DAEMON_FENCED;
	see(&one, 1);
	struct agent_turn t = agent_at(&current, 10000);
	assert_int_equal(told(&t, COMMAND_node_state), 1);
	assert_int_equal(t.commands[0].node_state.state, DAEMON_INIT);
	agent_turn_close(&t);
	one.observed = OBSERVED_SHUTOFF;
	see(&one, 1);
	cluster_node(&c, 1)->daemon_state = DAEMON_INIT;
	t = agent_at(&current, 20000);
	assert_int_equal(told(&t, COMMAND_node_state), 0); /* it is being stopped */
	agent_turn_close(&t);
	local_find(&agent.local, "uuid")->busy = false;
	see(&one, 1);
	t = agent_at(&current, 30000);
	assert_int_equal(told(&t, COMMAND_node_state), 1);
	assert_int_equal(t.commands[0].node_state.state, DAEMON_RUN);
	agent_turn_close(&t);
}

/* It may hold less than what this node acted by, and a late message make it look current. */
static void a_log_that_is_opened_again_starts_nothing_before_it_has_said_hello(void **state)
{
	struct standing closed = {0};
	struct seen_vm nothing = {0};
	see(&nothing, 0);
	struct agent_turn t = agent_at(&closed, 10000);
	agent_turn_close(&t);
	t = agent_at(&current, 10001);
	assert_int_equal(t.action_count, 0);
	assert_int_equal(told(&t, COMMAND_node_hello), 1);
	agent_turn_close(&t);
	agent.hello_done = true;
	t = agent_at(&current, 10002);
	assert_int_equal(t.action_count, 1);
	agent_turn_close(&t);
}

/* As a tick of a leader with another hash finds it. */
static void diverge(void)
{
	c.index = 40;
	history_note(&c);
	history_compare(&c, 40, c.hash + 1);
	assert_int_equal(history_diverged_at(&c), 40);
}

static void one_that_has_diverged_says_so_and_nothing_else(void **state)
{
	struct keepalive k;
	struct seen_vm nothing = {0};
	see(&nothing, 0);
	diverge();
	cluster_node(&c, 1)->daemon_state = DAEMON_INIT;
	struct agent_turn t = agent_at(&current, 10000);
	assert_int_equal(t.count, 0);
	assert_int_equal(t.action_count, 0);
	assert_int_equal(t.keepalive.data[0], AGENT_KEEPALIVE_MARK);
	struct reader in = reader_of(t.keepalive.data + 1, t.keepalive.size - 1);
	assert_int_equal(record_decode(keepalive_record(), &in, &k), 0);
	assert_false(k.sightings_known);
	assert_int_equal(k.sightings.count, 0);
	assert_int_equal(k.collectors.count, 1);
	assert_string_equal(k.collectors.items[0].name, "replica");
	assert_int_equal(k.collectors.items[0].state, COLLECTOR_FAILED);
	assert_string_equal(k.collectors.items[0].message,
	    "its value differs from the others' since entry 40: join it anew");
	record_clear(keepalive_record(), &k);
	agent_turn_close(&t);
}

/* Node id runs, was heard, and said this of its replica. */
static struct node *heard_of(uint32_t id, enum collector_state replica)
{
	struct node *node = cluster_node(&c, id);
	node->daemon_state = DAEMON_RUN;
	node->last.items = must_alloc(sizeof(*node->last.items));
	node->last.count = 1;
	node->last.items->collectors.items = must_alloc(sizeof(struct collector));
	node->last.items->collectors.count = 1;
	node->last.items->collectors.items->state = replica;
	memcpy(node->last.items->collectors.items->name, HEALTH_REPLICA, sizeof(HEALTH_REPLICA));
	return node;
}

static void one_that_has_diverged_hands_the_lead_on(void **state)
{
	struct standing leader = {
	    .id = 1, .leader = true, .current = true, .term = 6, .leader_id = 1};
	add_node(3);
	heard_of(2, COLLECTOR_OK);
	heard_of(3, COLLECTOR_OK);
	c.primary = (struct primary){.node = 1, .epoch = 6, .state = COORDINATOR_PRIMARY};
	diverge();
	struct agent_turn t = agent_at(&leader, 10000);
	assert_int_equal(t.transfer_to, 2);
	assert_int_equal(t.count, 0);
	assert_false(t.hold);
	agent_turn_close(&t);
	t = agent_at(&leader, 10001);
	assert_int_equal(t.transfer_to, 0);
	agent_turn_close(&t);
	/* The first may be no voter. */
	t = agent_at(&leader, 11000);
	assert_int_equal(t.transfer_to, 3);
	agent_turn_close(&t);
	t = agent_at(&leader, 12000);
	assert_int_equal(t.transfer_to, 2);
	agent_turn_close(&t);
}

static void the_lead_does_not_go_to_one_that_has_diverged_too(void **state)
{
	struct standing leader = {
	    .id = 1, .leader = true, .current = true, .term = 6, .leader_id = 1};
	struct node *other = heard_of(2, COLLECTOR_OK);
	assert_true(health_may_lead(&c, other));
	other->last.items->collectors.items->state = COLLECTOR_FAILED;
	assert_false(health_may_lead(&c, other));
	diverge();
	struct agent_turn t = agent_at(&leader, 10000);
	assert_int_equal(t.transfer_to, 0);
	agent_turn_close(&t);
}

static void the_lead_does_not_go_to_one_without_a_guard(void **state)
{
	struct node *other = heard_of(2, COLLECTOR_OK);
	struct collector *collector = other->last.items->collectors.items;
	snprintf(collector->name, sizeof(collector->name), HEALTH_GUARD);
	assert_true(health_may_lead(&c, other));
	collector->state = COLLECTOR_FAILED;
	assert_false(health_may_lead(&c, other));
}

static void who_is_ill_hands_the_lead_to_one_that_is_well(void **state)
{
	add_node(3);
	add_node(4);
	struct node *bad_disk = heard_of(2, COLLECTOR_OK);
	struct collector *collector = bad_disk->last.items->collectors.items;
	snprintf(collector->name, sizeof(collector->name), HEALTH_LOG);
	heard_of(3, COLLECTOR_OK);
	heard_of(4, COLLECTOR_OK);
	assert_int_equal(health_next_leader(&c, 1, 0), 2);
	assert_int_equal(health_next_leader(&c, 1, 2), 3);
	assert_int_equal(health_next_leader(&c, 3, 2), 4);
	assert_int_equal(health_next_leader(&c, 1, 4), 0);
	collector->state = COLLECTOR_FAILED;
	assert_int_equal(health_next_leader(&c, 1, 0), 3);
	cluster_node(&c, 3)->daemon_state = DAEMON_STOP;
	assert_int_equal(health_next_leader(&c, 1, 0), 4);
	assert_int_equal(health_next_leader(&c, 4, 0), 0);
}

/* The role. */

static const struct coordinator_options options = {.lease_ms = 300};

static void judge(const struct standing *standing, const struct holding *holding, uint64_t now_ms)
{
	coordinator_turn(&co, &c, standing, &options, holding, now_ms, &turn);
}

static struct standing leading(uint64_t since_ms)
{
	return (struct standing){.id = 1,
	    .leader = true,
	    .current = true,
	    .term = 5,
	    .leader_id = 1,
	    .leader_since_ms = since_ms,
	    .lease_until_ms = since_ms + 240};
}

static void take_over(void)
{
	cluster_node(&c, 1)->coordinator_state = COORDINATOR_TAKEOVER;
	c.primary = (struct primary){.node = 1, .epoch = 5, .state = COORDINATOR_TAKEOVER};
}

static void a_new_leader_proposes_a_takeover_and_not_again_at_once(void **state)
{
	struct standing leader = leading(1000);
	struct holding nothing = {.addresses_gone = true, .services_gone = true};
	judge(&leader, &nothing, 1000);
	assert_true(turn.propose);
	assert_int_equal(turn.command.number, COMMAND_takeover);
	assert_int_equal(turn.command.takeover.epoch, 5);
	assert_false(turn.hold);
	judge(&leader, &nothing, 1001);
	assert_false(turn.propose);
	judge(&leader, &nothing, 2001);
	assert_true(turn.propose);
}

static void it_waits_for_the_old_primary_or_for_its_lease(void **state)
{
	struct standing leader = leading(1000);
	struct holding nothing = {.addresses_wanted = 1, .addresses_gone = true};
	take_over();
	cluster_node(&c, 2)->coordinator_state = COORDINATOR_RELINQUISH;
	leader.free_ms = 1100;
	judge(&leader, &nothing, 1099);
	assert_false(turn.hold);
	assert_int_equal(turn.command.number, COMMAND_primary_step);
	judge(&leader, &nothing, 1100);
	assert_true(turn.hold);
	co = (struct coordinator){0};
	cluster_node(&c, 2)->coordinator_state = COORDINATOR_SECONDARY;
	judge(&leader, &nothing, 1001);
	assert_true(turn.hold);
	assert_true(turn.serve);
}

static void services_have_the_time_of_a_lease_to_stop_elsewhere(void **state)
{
	struct standing leader = leading(1000);
	struct holding addresses = {
	    .addresses_wanted = 1, .addresses_held = 1, .services_wanted = 1};
	take_over();
	cluster_node(&c, 2)->coordinator_state = COORDINATOR_RELINQUISH;
	judge(&leader, &addresses, 1299);
	assert_true(turn.hold);
	assert_false(turn.serve);
	assert_int_equal(turn.command.number, COMMAND_primary_step);
	assert_string_equal(
	    turn.command.primary_step.step, "waiting for the old primary's services");
	judge(&leader, &addresses, 1300);
	assert_true(turn.serve);
	leader.free_ms = 4600; /* called early, by those who had promised the old leader more */
	judge(&leader, &addresses, 4599);
	assert_false(turn.hold);
	assert_false(turn.serve);
	judge(&leader, &addresses, 4600);
	assert_true(turn.hold);
	assert_true(turn.serve);
}

static void without_a_lease_nothing_is_held(void **state)
{
	struct standing leader = leading(1000);
	struct holding all = {.addresses_wanted = 1, .addresses_held = 1};
	take_over();
	c.primary.state = COORDINATOR_PRIMARY;
	judge(&leader, &all, 1400);
	assert_true(turn.hold);
	leader.leader = false;
	judge(&leader, &all, 1401);
	assert_false(turn.hold);
}

static void it_is_primary_when_everything_answers_or_was_tried(void **state)
{
	struct standing leader = leading(1000);
	struct holding holding = {.addresses_wanted = 2, .addresses_held = 1};
	take_over();
	judge(&leader, &holding, 1001);
	assert_int_not_equal(turn.command.number, COMMAND_primary);
	holding.addresses_failed = 1;
	judge(&leader, &holding, 1002);
	assert_int_equal(turn.command.number, COMMAND_primary);
}

static void a_step_is_told_again_in_another_epoch_and_when_it_does_not_show(void **state)
{
	struct standing leader = leading(1000);
	struct holding holding = {.addresses_wanted = 1};
	take_over();
	judge(&leader, &holding, 1001);
	assert_int_equal(turn.command.number, COMMAND_primary_step);
	judge(&leader, &holding, 1002);
	assert_false(turn.propose);
	judge(&leader, &holding, 3000);
	assert_true(turn.propose);
	c.primary.epoch = leader.term = 9;
	judge(&leader, &holding, 3001);
	assert_true(turn.propose);
}

static void who_must_let_go_says_so_once_nothing_is_held(void **state)
{
	struct holding holding = {.addresses_wanted = 1, .services_gone = true};
	cluster_node(&c, 1)->coordinator_state = COORDINATOR_RELINQUISH;
	c.primary = (struct primary){.node = 2, .epoch = 6};
	judge(&current, &holding, 1000);
	assert_false(turn.propose);
	holding = (struct holding){.addresses_wanted = 1, .addresses_gone = true};
	judge(&current, &holding, 1000); /* its services still run */
	assert_false(turn.propose);
	holding.services_gone = true;
	judge(&current, &holding, 1001);
	assert_true(turn.propose);
	assert_int_equal(turn.command.number, COMMAND_relinquished);
	assert_int_equal(turn.command.relinquished.epoch, 6);
}

static void a_wish_hands_leadership_on(void **state)
{
	struct standing leader = leading(1000);
	struct holding nothing = {.addresses_gone = true};
	take_over();
	c.primary.wanted = 2;
	judge(&leader, &nothing, 1000);
	assert_int_equal(turn.transfer_to, 2);
	judge(&leader, &nothing, 1001);
	assert_int_equal(turn.transfer_to, 0);
}

#define TEST(name)	 cmocka_unit_test_setup_teardown(name, begin, end)
#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, begin_agent, end_agent)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_vm_that_is_wanted_and_off_is_started_once),
	    TEST(a_node_that_is_not_in_touch_starts_nothing),
	    TEST(a_node_whose_hypervisor_does_not_answer_does_nothing),
	    TEST(a_vm_of_another_node_is_stopped),
	    TEST(a_value_that_may_be_old_stops_nothing),
	    TEST(a_vm_that_is_not_in_the_value_is_left_alone),
	    TEST(a_guest_that_ignores_the_power_button_is_stopped_in_the_end),
	    TEST(a_start_that_fails_is_tried_again_later_and_later),
	    TEST(a_start_that_was_cut_off_is_not_said_to_be_off),
	    TEST(a_start_whose_worker_died_is_not_said_to_be_off),
	    TEST(a_start_that_was_refused_is_off),
	    TEST(a_doubt_ends_with_time_and_nothing_else),
	    TEST(what_an_earlier_daemon_began_is_not_said_to_be_off),
	    TEST(a_stop_that_fails_is_tried_again_later),
	    TEST(a_new_wish_does_not_wait_for_what_failed_before),
	    TEST(a_thousand_vms_are_started_a_few_at_a_time),
	    AGENT_TEST(a_keepalive_is_not_kept_by_who_does_not_lead),
	    AGENT_TEST(a_leader_with_long_intervals_lets_time_pass_all_the_same),
	    AGENT_TEST(a_node_says_how_often_it_is_to_be_heard),
	    AGENT_TEST(why_an_earlier_start_failed_is_not_told_of_a_vm_that_is_stopped),
	    AGENT_TEST(a_node_does_not_run_while_vms_of_others_do_here),
	    AGENT_TEST(a_vm_of_others_that_crashed_here_does_not_keep_a_node_from_running),
	    AGENT_TEST(a_log_that_is_opened_again_starts_nothing_before_it_has_said_hello),
	    AGENT_TEST(one_that_has_diverged_says_so_and_nothing_else),
	    AGENT_TEST(one_that_has_diverged_hands_the_lead_on),
	    AGENT_TEST(the_lead_does_not_go_to_one_that_has_diverged_too),
	    AGENT_TEST(the_lead_does_not_go_to_one_without_a_guard),
	    AGENT_TEST(who_is_ill_hands_the_lead_to_one_that_is_well),
	    TEST(a_new_leader_proposes_a_takeover_and_not_again_at_once),
	    TEST(it_waits_for_the_old_primary_or_for_its_lease),
	    TEST(services_have_the_time_of_a_lease_to_stop_elsewhere),
	    TEST(without_a_lease_nothing_is_held),
	    TEST(it_is_primary_when_everything_answers_or_was_tried),
	    TEST(a_step_is_told_again_in_another_epoch_and_when_it_does_not_show),
	    TEST(who_must_let_go_says_so_once_nothing_is_held),
	    TEST(a_wish_hands_leadership_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
