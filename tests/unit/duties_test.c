/* A node's duties: what it tells the log, whom it hands the lead, what it holds and when it may
 * end. The value and the judgement are the real ones, the rest are doubles; what is proposed
 * is applied at once, unless a test wants otherwise. */
#include "fsm/history.h"
#include "node/member/health.h"
#include "tests/unit/doubles.h"
#include "tests/unit/stage.h"

#define LEASE_MS 200
#define VMS	 DOUBLES_ACTIONS_MAX

static struct stage stage; /* of hv1, hv2 and hv3; hv1 is this node */
static struct config config;
static bool config_runs_vms = true;
static uv_loop_t loop;
static struct duties *duties;
static uint64_t now;

static struct {
	unsigned count[256]; /* by command */
	struct command last;
	bool silent; /* what is proposed is not answered, nor applied */
	context_done done[64];
	void *data[64];
	unsigned unanswered;
} said;

static struct { /* keepalives */
	uint64_t to;
	unsigned count;
	struct buffer bytes;
} sent;

static uint32_t round_trip_us;
static unsigned stirs;

/* The rest of the node. */

static void propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	said.count[command->number]++;
	said.last = *command;
	if (!said.silent) {
		stage_propose(data, command, timeout_ms, done, done_data);
		return;
	}
	assert_true(said.unanswered < 64);
	said.done[said.unanswered] = done;
	said.data[said.unanswered++] = done_data;
}

static void answer_all(int result)
{
	struct err err = {"no"};
	unsigned n = said.unanswered;
	said.unanswered = 0;
	for (unsigned i = 0; i < n; i++)
		said.done[i](said.data[i], result, stage.cluster.index, &err);
}

static void send_bytes(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	if (bytes[0] != AGENT_KEEPALIVE_MARK)
		return;
	sent.to = to;
	sent.count++;
	sent.bytes.size = 0;
	buffer_append(&sent.bytes, bytes, size);
}

static uint32_t rtt_us(void *data)
{
	return round_trip_us;
}

static void stirred(void *data)
{
	stirs++;
}

/* Who leads, since now, in that term; the lease is there if it is this node. */
static void leads(uint32_t node, uint64_t term)
{
	struct replica_status *s = &ledger.status;
	s->role = node == 1 ? REPLICA_LEADER : REPLICA_FOLLOWER;
	s->leader = node;
	s->term = term;
	s->leader_since_ms = s->heard_ms = now;
	s->leader_commit = s->applied = 10;
	s->free_ms = now;
	ledger.lease_ms = node == 1 ? LEASE_MS : 0;
}

static void member(uint32_t id, enum member_role role)
{
	struct replica_member *m = &ledger.members[ledger.n_members++];
	*m = (struct replica_member){.id = id, .role = role, .heard_ms = now};
	snprintf(m->address, sizeof(m->address), "hv%u:7480", id);
}

/* hv1 is the primary in term 7, and leads; the other nodes are there and well. */
static void open_with(unsigned nodes)
{
	static const char *const names[] = {"hv1", "hv2", "hv3"};
	struct err err = {""};
	memset(&ledger, 0, sizeof(ledger));
	memset(&holdings, 0, sizeof(holdings));
	memset(&execute, 0, sizeof(execute));
	memset(&said, 0, sizeof(said));
	memset(&sent, 0, sizeof(sent));
	now = 1000000;
	round_trip_us = stirs = 0;
	stage_open(&stage);
	for (uint32_t id = 1; id <= nodes; id++) {
		if (id > 1)
			stage_node(&stage, id, names[id - 1]);
		member(id, MEMBER_VOTER);
	}
	stage.context.propose = propose;
	ledger.status.id = 1;
	ledger.status.election_ms = 300;
	holdings.holding = (struct holding){.addresses_wanted = 1, .addresses_held = 1};
	leads(1, 7);
	config = (struct config){.functions.enable_hypervisor = config_runs_vms,
	    .system.intervals = {.keepalive_interval = 1, .vm_shutdown_timeout = 180},
	    .raft = {.heartbeat_ms = 50, .election_ms = 300, .replace_after = 600}};
	struct duties_options options = {.loop = &loop,
	    .config = &config,
	    .context = &stage.context,
	    .send = send_bytes,
	    .rtt_us = rtt_us,
	    .stirred = stirred};
	assert_int_equal(duties_open(&duties, &options, &err), 0);
	if (config_runs_vms)
		agent_saw_vms(execute.agent, agent_looks(execute.agent), NULL, 0);
}

static int open_three(void **state)
{
	open_with(3);
	return 0;
}

static int open_one(void **state)
{
	open_with(1);
	return 0;
}

static int close_all(void **state)
{
	said.unanswered = 0;
	duties_close(duties);
	buffer_close(&sent.bytes);
	stage_close(&stage);
	return 0;
}

static uint64_t turn(void)
{
	return duties_turn(duties, now);
}

/* As the loop does it, while all nodes are heard. */
static void turns_for(uint64_t ms)
{
	for (uint64_t end_ms = now + ms; now < end_ms; now += 50) {
		for (unsigned i = 0; i < ledger.n_members; i++)
			ledger.members[i].heard_ms = now;
		ledger.status.heard_ms = now;
		turn();
	}
}

static enum daemon_state own_state(void)
{
	return cluster_node(&stage.cluster, 1)->daemon_state;
}

/* What everybody knows of one of its collectors; NULL: nothing. */
static const struct collector *told_of(const char *name)
{
	const struct node *me = cluster_node(&stage.cluster, 1);
	for (uint32_t i = 0; me->last.count && i < me->last.items[0].collectors.count; i++)
		if (!strcmp(me->last.items[0].collectors.items[i].name, name))
			return &me->last.items[0].collectors.items[i];
	return NULL;
}

static void assert_told(const char *name, enum collector_state state, const char *message)
{
	const struct collector *k = told_of(name);
	assert_non_null(k);
	assert_int_equal(k->state, state);
	if (!strstr(k->message, message))
		fail_msg("%s: not: %s", k->message, message);
}

/* Holding. */

static void the_primary_holds_as_long_as_its_lease_lasts(void **state)
{
	turn();
	assert_true(holdings.held && holdings.served);
	assert_int_equal(holdings.until_ms, now + LEASE_MS);
	/* It is made longer without a judgement. */
	now += 40;
	assert_in_range(duties_renew(duties, now), now + 1, now + LEASE_MS / 2);
	assert_int_equal(holdings.until_ms, now + LEASE_MS);
	ledger.lease_ms = 0;
	now += 40;
	duties_renew(duties, now);
	assert_int_equal(holdings.until_ms, now - 40 + LEASE_MS);
	turn();
	assert_false(holdings.held);
	assert_int_equal(duties_renew(duties, now), UINT64_MAX);
}

static void a_lease_that_comes_or_goes_stirs_the_loop(void **state)
{
	duties_renew(duties, now);
	unsigned before = stirs;
	duties_renew(duties, now);
	assert_int_equal(stirs, before);
	ledger.lease_ms = 0;
	duties_renew(duties, now);
	assert_int_equal(stirs, before + 1);
}

static void a_new_primary_takes_addresses_once_they_are_free_and_services_later(void **state)
{
	stage_primary(&stage, 2, 8);
	holdings.holding = (struct holding){.addresses_wanted = 1, .addresses_gone = true};
	leads(1, 9);
	ledger.status.free_ms = now + 100;
	turn();
	assert_int_equal(stage.cluster.primary.node, 1);
	assert_int_equal(stage.cluster.primary.epoch, 9);
	uint64_t next = turn();
	assert_false(holdings.held);
	assert_in_range(next, now + 1, now + 100);
	now += 100;
	turn();
	assert_true(holdings.held && !holdings.served);
	/* So long its services may take to stop: a lease, and what a slow clock adds. */
	now += 240 + 240 / 8 - 101;
	turn();
	assert_false(holdings.served);
	now++;
	turn();
	assert_true(holdings.held && holdings.served);
	assert_int_equal(stage.cluster.primary.state, COORDINATOR_TAKEOVER);
	holdings.holding = (struct holding){.addresses_wanted = 1, .addresses_held = 1};
	turn();
	assert_int_equal(stage.cluster.primary.state, COORDINATOR_PRIMARY);
}

static void who_lets_go_says_so_once_nothing_is_held(void **state)
{
	turn();
	leads(2, 8);
	stage_primary(&stage, 2, 8);
	turn();
	assert_false(holdings.held);
	assert_int_equal(said.count[COMMAND_relinquished], 0);
	holdings.holding = (struct holding){.addresses_gone = true};
	turn();
	assert_int_equal(said.count[COMMAND_relinquished], 0);
	holdings.holding.services_gone = true;
	turn();
	assert_int_equal(said.count[COMMAND_relinquished], 1);
	assert_int_equal(cluster_node(&stage.cluster, 1)->coordinator_state, COORDINATOR_SECONDARY);
}

/* The lead. */

static void define(unsigned n);
static void see(unsigned n, enum vm_observed observed);

/* A step of the end and the next one: each stirs the loop. */
static void some_turns(void)
{
	for (unsigned i = 0; i < 6; i++)
		turn();
}

static void who_is_ended_hands_the_lead_on_and_holds_until_then(void **state)
{
	turn();
	duties_stop(duties, now);
	turn();
	assert_int_equal(own_state(), DAEMON_SHUTDOWN);
	assert_int_equal(ledger.n_transfers, 0);
	some_turns();
	assert_int_equal(ledger.n_transfers, 1);
	assert_int_equal(ledger.transfers[0], 2);
	now += 300;
	turn();
	assert_int_equal(ledger.n_transfers, 1);
	/* Not everybody can take it: the next one is asked. */
	ledger.unfit = 2;
	now += 300;
	turn();
	assert_int_equal(ledger.n_transfers, 3);
	assert_int_equal(ledger.transfers[2], 3);
	assert_true(holdings.held);
	assert_false(duties_stopped(duties));
	leads(3, 8);
	stage_primary(&stage, 3, 8);
	turn();
	assert_false(holdings.held || duties_stopped(duties));
	/* However long its services take, it is not said to have stopped. */
	holdings.holding = (struct holding){.addresses_gone = true};
	turns_for(120000);
	assert_int_equal(own_state(), DAEMON_SHUTDOWN);
	assert_false(duties_stopped(duties));
	holdings.holding.services_gone = true;
	/* The one who follows is waiting for that word. */
	assert_int_equal(said.count[COMMAND_relinquished], 0);
	some_turns();
	assert_int_equal(said.count[COMMAND_relinquished], 1);
	assert_int_equal(own_state(), DAEMON_STOP);
	assert_true(duties_stopped(duties));
	assert_int_equal(ledger.n_transfers, 3);
}

static void keepalives_go_on_to_the_last_and_one_comes_at_the_end(void **state)
{
	turn();
	leads(2, 8);
	stage_primary(&stage, 2, 8);
	holdings.holding = (struct holding){.addresses_gone = true};
	duties_stop(duties, now);
	turns_for(1000);
	unsigned before = sent.count;
	turns_for(60000);
	assert_in_range(sent.count, before + 59, before + 61);
	/* Between two of them everything is over. */
	unsigned last = sent.count + 1;
	while (sent.count < last)
		turns_for(50);
	turns_for(300);
	assert_int_equal(sent.count, last);
	holdings.holding.services_gone = true;
	some_turns();
	assert_int_equal(sent.count, last + 1);
	assert_true(duties_stopped(duties));
}

static void who_is_in_a_hurry_does_not_wait_for_what_is_done_to_a_vm(void **state)
{
	struct command start = {
	    .number = COMMAND_vm_state, .vm_state = {.vm = 1, .state = VM_START}};
	define(1);
	stage_apply(&stage, &start, NULL);
	turn();
	see(1, OBSERVED_SHUTOFF);
	turn();
	assert_int_equal(execute.n_actions, 1);
	leads(2, 8);
	stage_primary(&stage, 2, 8);
	holdings.holding = (struct holding){.addresses_gone = true, .services_gone = true};
	duties_stop(duties, now);
	turns_for(60000);
	char awaited[STOPPING_TEXT_MAX];
	duties_awaits(duties, awaited);
	assert_string_equal(awaited, "a VM is being started or stopped");
	assert_int_equal(own_state(), DAEMON_SHUTDOWN);
	duties_stop(duties, now);
	some_turns();
	assert_true(duties_stopped(duties));
}

static void where_nobody_may_lead_whoever_is_furthest_gets_it(void **state)
{
	turn();
	struct command stop = {.number = COMMAND_node_state, .node_state.state = DAEMON_STOP};
	for (stop.node_state.node = 2; stop.node_state.node <= 3; stop.node_state.node++)
		stage_apply(&stage, &stop, NULL);
	duties_stop(duties, now);
	some_turns();
	assert_int_equal(ledger.n_transfers, 1);
	assert_int_equal(ledger.transfers[0], 0);
}

static void who_finds_nobody_to_lead_lets_go_all_the_same(void **state)
{
	turn();
	duties_stop(duties, now);
	ledger.unfit = 2;
	for (unsigned i = 0; i < 30 && holdings.held; i++) {
		ledger.n_transfers = 0;
		now += 500;
		turn();
	}
	assert_false(holdings.held);
	holdings.holding = (struct holding){.addresses_gone = true, .services_gone = true};
	ledger.n_transfers = 0;
	some_turns();
	assert_true(duties_stopped(duties));
}

static void a_node_alone_lets_go_and_ends(void **state)
{
	turn();
	assert_true(holdings.held);
	duties_stop(duties, now);
	some_turns();
	assert_false(holdings.held);
	assert_int_equal(own_state(), DAEMON_SHUTDOWN);
	assert_false(duties_stopped(duties));
	unsigned ticks = said.count[COMMAND_tick];
	holdings.holding = (struct holding){.addresses_gone = true, .services_gone = true};
	some_turns();
	assert_int_equal(own_state(), DAEMON_STOP);
	assert_true(duties_stopped(duties));
	/* Its last keepalive is its own to tell. */
	assert_int_equal(said.count[COMMAND_tick], ticks + 1);
}

static void out_of_touch_for_long_one_ends_without_a_word(void **state)
{
	turn();
	leads(0, 7);
	said.silent = true;
	duties_stop(duties, now);
	for (unsigned i = 0; i < 29; i++) {
		now += 100;
		turn();
	}
	holdings.holding = (struct holding){.addresses_gone = true, .services_gone = true};
	assert_false(duties_stopped(duties));
	now += 100;
	some_turns();
	assert_true(duties_stopped(duties));
	/* But never while it may hold something. */
	holdings.holding.services_gone = false;
	assert_false(duties_stopped(duties));
}

static void without_a_guard_the_lead_goes_to_another(void **state)
{
	turns_for(500);
	holdings.unguarded = true;
	turns_for(1500);
	assert_int_equal(ledger.n_transfers, 0);
	turns_for(2500);
	assert_in_range(ledger.n_transfers, 3, 8);
	assert_int_equal(ledger.transfers[0], 2);
	assert_told(HEALTH_GUARD, COLLECTOR_FAILED, "cannot be started");
	unsigned before = ledger.n_transfers;
	holdings.unguarded = false;
	turns_for(1500);
	assert_int_equal(ledger.n_transfers, before);
	assert_told(HEALTH_GUARD, COLLECTOR_OK, "");
}

static void a_log_that_closes_again_and_again_is_not_well_in_between(void **state)
{
	turn();
	assert_told(HEALTH_LOG, COLLECTOR_OK, "");
	ledger.closed = true;
	ledger.trouble = "the log ends at 465 here";
	turns_for(1000);
	ledger.closed = false;
	turns_for(1500);
	assert_told(HEALTH_LOG, COLLECTOR_FAILED, "ends at 465");
	turns_for(12000);
	assert_told(HEALTH_LOG, COLLECTOR_OK, "");
}

static void a_leader_whose_disk_is_ill_hands_the_lead_on(void **state)
{
	turn();
	ledger.wal.last_error = -ENOSPC;
	turns_for(1500);
	assert_in_range(ledger.n_transfers, 1, 3);
	assert_int_equal(ledger.transfers[0], 2);
	assert_told(HEALTH_LOG, COLLECTOR_FAILED, "No space left");
	unsigned before = ledger.n_transfers;
	ledger.wal.last_error = 0;
	turns_for(1500);
	assert_int_equal(ledger.n_transfers, before);
	assert_told(HEALTH_LOG, COLLECTOR_OK, "");
	/* One that does not answer. */
	ledger.status.write_since_ms = now - 240;
	turns_for(1500);
	assert_told(HEALTH_LOG, COLLECTOR_STUCK, "has not answered for");
	/* Who follows has nothing to hand on. */
	leads(2, 8);
	ledger.wal.last_error = -EIO;
	turns_for(1500);
	assert_int_equal(ledger.n_transfers, before);
}

static void a_wish_for_another_primary_is_granted(void **state)
{
	struct command wish = {.number = COMMAND_primary_want, .primary_want.node = 3};
	turn();
	stage_apply(&stage, &wish, NULL);
	turn();
	assert_int_equal(ledger.n_transfers, 1);
	assert_int_equal(ledger.transfers[0], 3);
}

static void diverge(void)
{
	struct command tick = {.number = COMMAND_tick,
	    .tick = {.hash_index = stage.cluster.index, .hash = ~stage.cluster.hash}};
	stage_apply(&stage, &tick, NULL);
	assert_true(history_diverged_at(&stage.cluster) > 0);
}

static void one_whose_value_differs_holds_nothing_and_does_not_lead(void **state)
{
	turn();
	assert_true(holdings.held);
	memset(said.count, 0, sizeof(said.count));
	ledger.n_members = 2; /* a member is missing */
	diverge();
	turn();
	assert_false(holdings.held);
	assert_int_equal(ledger.transfers[0], 2);
	now += 1000;
	turn();
	assert_int_equal(ledger.n_changes, 0);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(said.count[i], 0);
}

/* Members. */

static void a_leader_makes_members_of_the_values_nodes_one_at_a_time(void **state)
{
	ledger.n_members = 2;
	turn();
	assert_int_equal(ledger.n_changes, 1);
	assert_int_equal(ledger.change.type, MEMBER_CHANGE_SET);
	assert_int_equal(ledger.change.id, 3);
	assert_string_equal(ledger.change.address, "hv3:7480");
	now += 100;
	turn();
	assert_int_equal(ledger.n_changes, 1);
	now += 100;
	turn();
	assert_int_equal(ledger.n_changes, 2);
	leads(2, 8);
	turns_for(1000);
	assert_int_equal(ledger.n_changes, 2);
}

static void it_is_as_patient_as_its_network_needs(void **state)
{
	turn();
	assert_int_equal(ledger.election_ms, 0);
	round_trip_us = 300000;
	turns_for(1000);
	assert_in_range(ledger.election_ms, 301, 3000);
	round_trip_us = 0;
	turns_for(1000);
	assert_int_equal(ledger.election_ms, 300);
}

static void a_log_that_is_closed_is_stood_by(void **state)
{
	turn();
	ledger.closed = true;
	memset(said.count, 0, sizeof(said.count));
	turn();
	assert_false(holdings.held);
	duties_renew(duties, now);
	turns_for(500);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(said.count[i], 0);
	/* Whatever it knew before, it says that it is there again. */
	ledger.closed = false;
	turn();
	assert_int_equal(said.count[COMMAND_node_hello], 1);
}

/* What is told. */

static void it_says_that_it_is_there_until_that_is_known(void **state)
{
	said.silent = true;
	turn();
	assert_int_equal(said.count[COMMAND_node_hello], 1);
	answer_all(-ETIMEDOUT);
	turn();
	assert_int_equal(said.count[COMMAND_node_hello], 1);
	now += 2000;
	turn();
	assert_int_equal(said.count[COMMAND_node_hello], 2);
	assert_int_equal(said.count[COMMAND_node_state], 0);
	answer_all(0);
	now += 2000;
	turn();
	assert_int_equal(said.count[COMMAND_node_hello], 2);
}

static void who_follows_sends_a_keepalive_each_interval_to_the_leader(void **state)
{
	leads(2, 8);
	turns_for(3000);
	assert_int_equal(sent.count, 3);
	assert_int_equal(sent.to, 2);
	assert_int_equal(said.count[COMMAND_tick], 0);
}

static void a_leader_puts_what_it_hears_into_one_tick(void **state)
{
	struct keepalive k = {.node = 2, .memory_total_mib = 4321};
	struct buffer bytes = {0};
	turn();
	unsigned before = said.count[COMMAND_tick];
	buffer_append_u8(&bytes, AGENT_KEEPALIVE_MARK);
	record_encode(keepalive_record(), &k, &bytes);
	duties_heard(duties, 2, bytes.data, bytes.size);
	duties_collected(duties, "bmc", COLLECTOR_STUCK, "it does not answer", now);
	now += 1000;
	turn();
	assert_int_equal(said.count[COMMAND_tick], before + 1);
	assert_int_equal(sent.count, 0);
	const struct node *other = cluster_node(&stage.cluster, 2);
	assert_int_equal(other->last.items[0].memory_total_mib, 4321);
	assert_told("bmc", COLLECTOR_STUCK, "it does not answer");
	buffer_close(&bytes);
}

static void what_cannot_be_held_goes_to_everybody(void **state)
{
	config.services_count = 1;
	turns_for(1200);
	assert_told("addresses", COLLECTOR_OK, "");
	assert_told("services", COLLECTOR_OK, "");
	holdings.address = "10.0.0.9 is another's";
	holdings.service = "api: it does not answer";
	turns_for(1200);
	assert_told("addresses", COLLECTOR_FAILED, "10.0.0.9 is another's");
	assert_told("services", COLLECTOR_FAILED, "api: it does not answer");
}

/* VMs. */

/* On this node, once the log knows that it runs again. */
static void define(unsigned n)
{
	turn();
	turn();
	assert_int_equal(own_state(), DAEMON_RUN);
	for (unsigned i = 1; i <= n; i++) {
		struct command define = {.number = COMMAND_vm_define,
		    .vm_define = {.memory_mib = 1, .vcpus = 1, .node = 1}};
		snprintf(define.vm_define.name, sizeof(define.vm_define.name), "vm%u", i);
		snprintf(define.vm_define.uuid, sizeof(define.vm_define.uuid),
		    "00000000-0000-0000-0000-%012u", i);
		assert_true(stage_apply(&stage, &define, NULL) > 0);
	}
}

static void see(unsigned n, enum vm_observed observed)
{
	struct seen_vm seen[VMS] = {0};
	for (unsigned i = 0; i < n; i++) {
		snprintf(
		    seen[i].uuid, sizeof(seen[i].uuid), "00000000-0000-0000-0000-%012u", i + 1);
		seen[i].observed = observed;
	}
	agent_saw_vms(execute.agent, agent_looks(execute.agent), seen, n);
}

static void a_vm_is_started_here_only_while_in_touch(void **state)
{
	struct command start = {
	    .number = COMMAND_vm_state, .vm_state = {.vm = 1, .state = VM_START}};
	define(1);
	see(1, OBSERVED_SHUTOFF);
	stage_apply(&stage, &start, NULL);
	leads(0, 7);
	turn();
	assert_int_equal(execute.n_actions, 0);
	leads(2, 8);
	turn();
	/* What was seen before it was wanted does not count. */
	assert_int_equal(execute.n_actions, 0);
	see(1, OBSERVED_SHUTOFF);
	turn();
	assert_int_equal(execute.n_actions, 1);
	assert_int_equal(execute.actions[0].type, ACTION_START);
	assert_int_equal(execute.actions[0].vm, 1);
}

static void who_is_ended_starts_nothing(void **state)
{
	struct command start = {
	    .number = COMMAND_vm_state, .vm_state = {.vm = 1, .state = VM_START}};
	define(1);
	see(1, OBSERVED_SHUTOFF);
	duties_stop(duties, now);
	stage_apply(&stage, &start, NULL);
	turn();
	see(1, OBSERVED_SHUTOFF);
	turns_for(1000);
	assert_int_equal(execute.n_actions, 0);
}

static void a_flush_of_locks_goes_to_the_one_who_has_the_volumes(void **state)
{
	struct execute_flush flush = {.vm = NULL};
	duties_flush(duties, &flush);
	assert_int_equal(execute.n_flushes, 1);
}

static void flushed(void *data, const struct locks_outcome *outcome)
{
	*(int *)data = outcome->status;
}

static void where_no_vm_runs_no_lock_is_flushed(void **state)
{
	int status = 0;
	struct execute_flush flush = {.done = flushed, .data = &status};
	close_all(state);
	config_runs_vms = false;
	open_with(3);
	config_runs_vms = true;
	duties_flush(duties, &flush);
	assert_int_equal(status, -EOPNOTSUPP);
	assert_int_equal(execute.n_flushes, 0);
}

static void of_many_vms_some_are_reported_at_a_time(void **state)
{
	define(VMS);
	leads(2, 8);
	turn();
	see(VMS, OBSERVED_CRASHED);
	said.silent = true;
	leads(2, 8);
	turn();
	assert_int_equal(said.count[COMMAND_vm_report], 16);
	now += 2000;
	leads(2, 8);
	turn();
	assert_int_equal(said.count[COMMAND_vm_report], 16);
	answer_all(-ESTALE);
	now += 2000;
	leads(2, 8);
	turn();
	assert_int_equal(said.count[COMMAND_vm_report], 32);
}

#define WITH_THREE(test) cmocka_unit_test_setup_teardown(test, open_three, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_THREE(the_primary_holds_as_long_as_its_lease_lasts),
	    WITH_THREE(a_lease_that_comes_or_goes_stirs_the_loop),
	    WITH_THREE(a_new_primary_takes_addresses_once_they_are_free_and_services_later),
	    WITH_THREE(who_lets_go_says_so_once_nothing_is_held),
	    WITH_THREE(who_is_ended_hands_the_lead_on_and_holds_until_then),
	    WITH_THREE(keepalives_go_on_to_the_last_and_one_comes_at_the_end),
	    WITH_THREE(who_is_in_a_hurry_does_not_wait_for_what_is_done_to_a_vm),
	    WITH_THREE(who_finds_nobody_to_lead_lets_go_all_the_same),
	    WITH_THREE(where_nobody_may_lead_whoever_is_furthest_gets_it),
	    cmocka_unit_test_setup_teardown(a_node_alone_lets_go_and_ends, open_one, close_all),
	    WITH_THREE(out_of_touch_for_long_one_ends_without_a_word),
	    WITH_THREE(without_a_guard_the_lead_goes_to_another),
	    WITH_THREE(a_log_that_closes_again_and_again_is_not_well_in_between),
	    WITH_THREE(a_leader_whose_disk_is_ill_hands_the_lead_on),
	    WITH_THREE(a_wish_for_another_primary_is_granted),
	    WITH_THREE(one_whose_value_differs_holds_nothing_and_does_not_lead),
	    WITH_THREE(a_leader_makes_members_of_the_values_nodes_one_at_a_time),
	    WITH_THREE(it_is_as_patient_as_its_network_needs),
	    WITH_THREE(a_log_that_is_closed_is_stood_by),
	    WITH_THREE(it_says_that_it_is_there_until_that_is_known),
	    WITH_THREE(who_follows_sends_a_keepalive_each_interval_to_the_leader),
	    WITH_THREE(a_leader_puts_what_it_hears_into_one_tick),
	    WITH_THREE(what_cannot_be_held_goes_to_everybody),
	    WITH_THREE(a_vm_is_started_here_only_while_in_touch),
	    WITH_THREE(who_is_ended_starts_nothing),
	    WITH_THREE(a_flush_of_locks_goes_to_the_one_who_has_the_volumes),
	    WITH_THREE(where_no_vm_runs_no_lock_is_flushed),
	    WITH_THREE(of_many_vms_some_are_reported_at_a_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
