#include "tools/sim/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/history.h"
#include "fsm/proposer.h"
#include "fsm/snapshot.h"
#include "node/member/members.h"
#include "tools/sim/network.h"
#include "tools/sim/request.h"
#include "tools/sim/verify.h"

#define MEMBER_TIMEOUT_MS 10000
#define MEMBER_AGAIN_MS	  200
#define REOPEN_MS	  1000
#define SHUTDOWN_MS	  3000 /* that a guest gets to power off */
#define WAIT_MS_MAX	  (1u << 30)

struct sim_node *sim_node_by_raft_id(const struct world *w, uint64_t raft_id)
{
	for (unsigned i = 1; i <= w->node_count; i++)
		if (raft_id && w->nodes[i]->raft_id == raft_id)
			return w->nodes[i];
	return NULL;
}

uint64_t sim_node_clock(const struct sim_node *n)
{
	/* Not from zero, so that nothing can take one node's time for another's. */
	int64_t drift_ms = (int64_t)n->world->now_ms * n->drift_ppm / 1000000;
	return 1000000 * n->id + n->world->now_ms + (uint64_t)drift_ms;
}

uint64_t sim_node_when(const struct sim_node *n, uint64_t clock_ms)
{
	uint64_t clock_now_ms = sim_node_clock(n);
	uint64_t left_ms = clock_ms > clock_now_ms ? clock_ms - clock_now_ms : 0;
	if (left_ms > WAIT_MS_MAX)
		left_ms = WAIT_MS_MAX;
	if (n->drift_ppm < 0)
		left_ms += left_ms * (uint64_t)-n->drift_ppm / 1000000 + (left_ms >> 10);
	return n->world->now_ms + left_ms;
}

bool sim_node_runs(const struct sim_node *n)
{
	return n->powered && n->daemon && n->world->now_ms >= n->paused_until_ms;
}

bool sim_node_serves(const struct sim_node *n)
{
	return sim_node_runs(n) && n->replica;
}

/* Ports of the replica. */

static void port_submit(void *data, const struct disk_request *request)
{
	struct sim_node *n = data;
	sim_disk_submit(n->world, n->id, request);
}

static void port_send(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	struct sim_node *n = data;
	struct sim_node *other = sim_node_by_raft_id(n->world, to);
	verify_sends(n, to, bytes, size);
	if (other)
		network_send(n->world, n->id, other->id, bytes, size);
}

/* What the log says, once: by whoever applies it first. */
static void trace_command(struct sim_node *n, uint64_t index, const uint8_t *bytes, size_t size)
{
	struct command command;
	struct world *w = n->world;
	if (index < w->traced_index || (index == w->traced_index && n->id != w->traced_by))
		return;
	w->traced_index = index;
	w->traced_by = n->id;
	if (w->options.quiet || command_decode(&command, bytes, size))
		return;
	w->fences += command.number == COMMAND_node_fenced;
	bool dull = command.number == COMMAND_tick || command.number == COMMAND_fact;
	if (!dull) {
		struct buffer text = {0};
		command_print(&command, &text);
		world_trace(w, 0, "%.*s", (int)text.size, (char *)text.data);
		buffer_close(&text);
	}
	command_clear(&command);
}

static int port_apply(void *data, uint64_t index, const uint8_t *operation, size_t size)
{
	struct sim_node *n = data;
	verify_before(n, index);
	int result = cluster_apply(&n->value, index, operation, size, &n->refused);
	if (result >= 0)
		trace_command(n, index, operation, size);
	else
		n->refused_index = index;
	verify_applied(n, index);
	return result;
}

static void port_snapshot(void *data, struct buffer *out)
{
	struct sim_node *n = data;
	snapshot_encode(&n->value, out);
}

static int port_restore(void *data, uint64_t index, const uint8_t *bytes, size_t size)
{
	struct sim_node *n = data;
	struct err err = {{0}};
	int result = snapshot_decode(&n->value, bytes, size, &err);
	if (result)
		world_fail(n->world, "n%u: %s", n->id, err.text);
	return result;
}

static int port_admit(void *data, uint64_t from, const uint8_t *operation, size_t size)
{
	return proposer_check((uint32_t)from, operation, size);
}

static void port_changed(void *data)
{
}

/* The daemon's life. */

static unsigned draw_election_ms(struct world *w)
{
	static const unsigned drawn_ms[] = {150, WORLD_ELECTION_MS, 600, WORLD_ELECTION_MS_MAX};
	if (!w->options.unlike)
		return WORLD_ELECTION_MS;
	return drawn_ms[world_random(w, sizeof(drawn_ms) / sizeof(*drawn_ms))];
}

static unsigned lease_of(const struct sim_node *n)
{
	return n->election_ms * 4 / 5;
}

static void agent_start(struct sim_node *n)
{
	struct agent_options options = {
	    .node = n->raft_id,
	    .keepalive_interval_ms = WORLD_KEEPALIVE_MS,
	    .shutdown_timeout_ms = SHUTDOWN_MS,
	    .lease_ms = lease_of(n) + lease_of(n) / 8,
	    .hypervisor = !world_is_witness(n->world, n->id),
	};
	agent_init(&n->agent, &options);
	n->agent.host = (struct host){
	    .memory_total_mib = 8192, .memory_free_mib = 8192, .vcpus_total = 8, .version = "sim"};
	snprintf(n->agent.host.boot_id, sizeof(n->agent.host.boot_id), "%u-%" PRIu64, n->id,
	    n->hypervisor.boot);
	snprintf(n->agent.host.migration_uri, sizeof(n->agent.host.migration_uri), "sim:%u", n->id);
}

static void replica_open(struct sim_node *n)
{
	struct disk_state state;
	struct err err = {{0}};
	struct replica_options options = {
	    .id = n->raft_id,
	    .heartbeat_ms = WORLD_HEARTBEAT_MS,
	    .election_ms = n->election_ms,
	    .lease_ms = lease_of(n),
	    .seed = (uint32_t)world_random(n->world, UINT32_MAX),
	    .snapshot_log_bytes = n->world->options.snapshot_log_bytes,
	};
	char address[32];
	snprintf(address, sizeof(address), "sim:%u", n->raft_id);
	options.address = address;
	struct replica_ports ports = {
	    .disk = {.data = n, .submit = port_submit},
	    .machine = {.data = n,
		.apply = port_apply,
		.snapshot = port_snapshot,
		.restore = port_restore,
		.admit = port_admit},
	    .data = n,
	    .send = port_send,
	    .answered = request_answered,
	    .changed = port_changed,
	};
	sim_disk_state(&n->disk, &state);
	cluster_close(&n->value);
	cluster_init(&n->value);
	verify_opened(n);
	n->replica = replica_new(&options, &ports, &state, sim_node_clock(n), &err);
	free(state.entries);
	if (!n->replica)
		world_fail(n->world, "n%u: %s", n->id, err.text);
}

static void replica_shut(struct sim_node *n)
{
	sim_disk_crash(n->world, &n->disk);
	if (n->replica)
		replica_free(n->replica);
	n->replica = NULL;
}

static void reopen(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	if (!n->powered || !n->daemon || n->replica || n->life != life)
		return;
	if (n->disk.faults.full || n->disk.faults.failing || !sim_node_runs(n)) {
		world_at(w, w->now_ms + REOPEN_MS, reopen, node, life);
		return;
	}
	replica_open(n);
	sim_node_settle(n);
}

static void daemon_start(struct sim_node *n)
{
	n->daemon = true;
	n->life++;
	n->client = world_random(n->world, UINT64_MAX - 1) + 1;
	n->sequence = 0;
	n->paused_until_ms = 0;
	n->election_ms = draw_election_ms(n->world);
	world_trace(n->world, n->id, "daemon up");
	if (n->world->options.unlike)
		world_trace(n->world, n->id, "calls an election after %u ms", n->election_ms);
	agent_start(n);
	sim_hypervisor_restart(n);
	reopen(n->world, n->id, n->life, NULL);
}

static void daemon_end(struct sim_node *n)
{
	n->daemon = false;
	n->life++;
	replica_shut(n);
	agent_close(&n->agent);
}

void sim_node_daemon(struct sim_node *n, bool on)
{
	if (n->daemon == on || !n->powered || !n->raft_id)
		return;
	if (on) {
		daemon_start(n);
		return;
	}
	world_trace(n->world, n->id, "daemon killed");
	daemon_end(n);
	sim_guard_orphan(n);
	network_closed(n->world, n->id);
}

void sim_node_leave(struct sim_node *n)
{
	if (!sim_node_serves(n) || n->agent.leaving)
		return;
	world_trace(n->world, n->id, "daemon is to end");
	agent_leave(&n->agent, DAEMON_SHUTDOWN);
	sim_node_settle(n);
}

static void left(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	if (w->nodes[node]->life != life)
		return;
	world_trace(w, node, "daemon has ended");
	sim_node_daemon(w->nodes[node], false);
}

/* As node/stopping.h has it, without the waits that are for people. */
static void turn_leave(struct sim_node *n)
{
	const struct node *me = cluster_node(&n->value, n->raft_id);
	if (!n->agent.leaving || !me || me->daemon_state != n->agent.leaving)
		return;
	if (n->agent.leaving == DAEMON_STOP)
		world_at(n->world, n->world->now_ms + 1, left, n->id, n->life);
	else if (!agent_busy(&n->agent))
		agent_leave(&n->agent, DAEMON_STOP);
}

void sim_node_power(struct sim_node *n, bool on)
{
	if (n->powered == on)
		return;
	world_trace(n->world, n->id, on ? "power on" : "power off");
	if (on) {
		n->powered = true;
		sim_node_daemon(n, true);
		return;
	}
	if (n->daemon)
		daemon_end(n);
	sim_guard_off(n);
	sim_hypervisor_off(n);
	n->powered = false;
}

void sim_node_pause(struct sim_node *n, uint64_t ms)
{
	n->paused_until_ms = n->world->now_ms + ms;
	world_trace(n->world, n->id, "daemon stopped for %llu ms", (unsigned long long)ms);
	n->wake_ms = 0;
	sim_node_settle(n);
}

void sim_node_hang(struct sim_node *n, uint64_t ms)
{
	n->hypervisor.hung_until_ms = n->world->now_ms + ms;
	world_trace(n->world, n->id, "hypervisor hangs for %llu ms", (unsigned long long)ms);
}

void sim_node_spoil(struct sim_node *n)
{
	struct command fact = {.number = COMMAND_fact, .fact = {.key = "spoiled"}};
	struct buffer bytes = {0};
	fact.fact.value = (struct blob){(uint8_t *)"x", 1};
	command_encode(&fact, &bytes);
	cluster_apply(&n->value, n->value.index, bytes.data, bytes.size, NULL);
	buffer_close(&bytes);
	n->spoiled = true;
	world_trace(n->world, n->id, "bad memory: its value is not the others' any more");
}

/* Turns. */

static void turn_members(struct sim_node *n, const struct standing *standing, uint64_t now_ms)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	if (!standing->leader || history_diverged_at(&n->value) ||
	    now_ms - n->member_ms < MEMBER_AGAIN_MS)
		return;
	struct members_view view = {
	    .cluster = &n->value,
	    .members = members,
	    .n = replica_members(n->replica, members, REPLICA_MEMBERS_MAX),
	    .self = n->raft_id,
	    .now_ms = now_ms,
	    .replace_after_ms = n->world->options.replace_after_ms,
	};
	struct member_change change = members_change(&view);
	if (change.type == MEMBER_CHANGE_NONE)
		return;
	n->member_ms = now_ms;
	uint64_t request = (uint64_t)ASK_MEMBER << 56, deadline_ms = now_ms + MEMBER_TIMEOUT_MS;
	if (change.type == MEMBER_CHANGE_LEAD)
		replica_transfer(n->replica, change.id, now_ms);
	else if (change.type == MEMBER_CHANGE_SET)
		replica_member_set(n->replica, request, change.id, change.address, change.role,
		    deadline_ms, now_ms);
	else
		replica_member_remove(n->replica, request, change.id, deadline_ms, now_ms);
}

static void turn_hold(struct sim_node *n, const struct standing *standing, bool wanted)
{
	if (wanted)
		sim_guard_hold(n, standing->lease_until_ms);
	else
		sim_guard_let_go(n);
}

static void tell(struct sim_node *n, uint64_t raft_id, const struct buffer *bytes)
{
	struct sim_node *to = sim_node_by_raft_id(n->world, raft_id);
	if (bytes->size && to)
		network_send(n->world, n->id, to->id, bytes->data, bytes->size);
}

static void turn_agent(struct sim_node *n, const struct standing *standing, uint64_t now_ms)
{
	struct holding holding = sim_guard_holding(n);
	struct agent_turn turn;
	agent_turn(&n->agent, &n->value, standing, &holding, now_ms, &turn);
	for (unsigned i = 0; i < turn.count; i++) {
		bool hello = turn.commands[i].number == COMMAND_node_hello;
		request_propose(n, &turn.commands[i], hello ? ASK_HELLO : ASK_NONE, 0);
	}
	for (unsigned i = 0; i < turn.action_count; i++)
		sim_hypervisor_act(n, &turn.actions[i]);
	turn_hold(n, standing, turn.hold);
	if (turn.transfer_to)
		replica_transfer(n->replica, turn.transfer_to, now_ms);
	tell(n, standing->leader_id, &turn.keepalive);
	tell(n, turn.hash_to, &turn.hash);
	if (turn.look)
		sim_hypervisor_hasten(n);
	agent_turn_close(&turn);
	sim_hypervisor_give_up(n);
}

static void wake(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = w->nodes[node];
	if (n->life != life || n->wake_ms != w->now_ms)
		return;
	n->wake_ms = 0;
	sim_node_settle(n);
}

static void wake_at(struct sim_node *n, uint64_t time_ms)
{
	if (time_ms <= n->world->now_ms)
		time_ms = n->world->now_ms + 1;
	if (n->wake_ms && n->wake_ms <= time_ms && n->wake_ms > n->world->now_ms)
		return;
	n->wake_ms = time_ms;
	world_at(n->world, time_ms, wake, n->id, n->life);
}

static void check_failed(struct sim_node *n)
{
	struct replica_status status;
	replica_status(n->replica, &status);
	if (status.role != REPLICA_FAILED)
		return;
	world_trace(n->world, n->id, "log closed: %s", replica_failure(n->replica));
	replica_shut(n);
	network_closed(n->world, n->id);
	world_at(n->world, n->world->now_ms + REOPEN_MS, reopen, n->id, n->life);
}

static void turn(struct sim_node *n, uint64_t now_ms)
{
	struct standing standing = standing_of(n->replica, now_ms);
	sim_hypervisor_look(n);
	if (n->replica)
		verify_turn(n);
	turn_agent(n, &standing, now_ms);
	if (!n->replica)
		return;
	turn_members(n, &standing, now_ms);
	turn_leave(n);
	replica_flush(n->replica, now_ms);
	verify_turn(n);
}

void sim_node_settle(struct sim_node *n)
{
	if (!n->powered || !n->daemon)
		return;
	if (!sim_node_runs(n)) {
		wake_at(n, n->paused_until_ms);
		return;
	}
	uint64_t now_ms = sim_node_clock(n);
	if (n->replica && now_ms >= replica_timeout(n->replica))
		replica_tick(n->replica, now_ms);
	if (n->replica)
		check_failed(n);
	turn(n, now_ms);
	uint64_t next_ms = agent_next_ms(&n->agent, now_ms);
	if (n->replica && replica_timeout(n->replica) < next_ms)
		next_ms = replica_timeout(n->replica);
	uint64_t wake_ms = sim_node_when(n, next_ms);
	if (!n->hypervisor.looking && n->hypervisor.look_ms < wake_ms)
		wake_ms = n->hypervisor.look_ms;
	wake_at(n, wake_ms);
}

/* Events from outside. A stopped daemon's socket buffers keep what arrives. */

struct late {
	unsigned from;
	uint32_t size;
	uint8_t data[];
};

static void late_receive(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	const struct late *late = bytes;
	if (w->nodes[node]->life == life)
		sim_node_receive(w->nodes[node], late->from, late->data, late->size);
}

static void receive_later(struct sim_node *n, unsigned from, const uint8_t *bytes, size_t size)
{
	struct late *late = must_alloc(sizeof(*late) + size);
	late->from = from;
	late->size = (uint32_t)size;
	memcpy(late->data, bytes, size);
	events_add(&n->world->events, (struct event){.time_ms = n->paused_until_ms,
					  .run = late_receive,
					  .node = n->id,
					  .number = n->life,
					  .bytes = late});
}

void sim_node_receive(struct sim_node *n, unsigned from, const uint8_t *bytes, size_t size)
{
	if (!n->powered || !n->daemon || !n->replica)
		return;
	if (!sim_node_runs(n)) {
		receive_later(n, from, bytes, size);
		return;
	}
	uint32_t raft_id = n->world->nodes[from]->raft_id;
	if (size && agent_hears(bytes[0]))
		agent_heard(&n->agent, raft_id, bytes, size);
	else
		replica_receive(n->replica, raft_id, bytes, size, sim_node_clock(n));
	sim_node_settle(n);
}

void sim_node_written(struct sim_node *n, uint64_t ticket, int status)
{
	if (!n->replica)
		return;
	replica_written(n->replica, ticket, status, sim_node_clock(n));
	sim_node_settle(n);
}

void sim_node_lost(struct sim_node *n, unsigned member)
{
	if (!sim_node_serves(n))
		return;
	replica_lost(n->replica, n->world->nodes[member]->raft_id, sim_node_clock(n));
	sim_node_settle(n);
}

/* Half of the clocks are as bad as they may be: what a margin is for are the two worst. */
static int draw_drift_ppm(struct world *w)
{
	int most = (int)w->options.drift_ppm_max;
	switch (world_random(w, 4)) {
	case 0:
		return most;
	case 1:
		return -most;
	default:
		return (int)world_random(w, (uint64_t)most * 2 + 1) - most;
	}
}

struct sim_node *sim_node_add(struct world *w)
{
	struct sim_node *n = must_alloc(sizeof(*n));
	*n = (struct sim_node){.world = w, .id = ++w->node_count, .powered = true};
	n->drift_ppm = draw_drift_ppm(w);
	cluster_init(&n->value);
	w->nodes[n->id] = n;
	return n;
}

void sim_node_free(struct sim_node *n)
{
	if (n->replica)
		replica_free(n->replica);
	if (n->daemon)
		agent_close(&n->agent);
	cluster_close(&n->value);
	sim_disk_close(&n->disk);
	free(n->hypervisor.vms);
	free(n);
}
