#include "tools/sim/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/check.h"
#include "fsm/history.h"
#include "fsm/snapshot.h"
#include "node/members.h"
#include "tools/sim/hypervisor.h"
#include "tools/sim/network.h"

#define PROPOSE_TIMEOUT_MS 10000
#define MEMBER_AGAIN_MS	   200
#define REOPEN_MS	   1000
#define ADDRESS_TAKES_MS   20

static struct sim_node *node_of(struct world *w, unsigned id)
{
	return w->nodes[id];
}

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

static bool runs(const struct sim_node *n)
{
	return n->powered && n->daemon && n->world->now_ms >= n->paused_until_ms;
}

/* The world's time at which this node's clock will show clock_ms; never early. */
static uint64_t world_time(const struct sim_node *n, uint64_t clock_ms)
{
	uint64_t clock_now_ms = sim_node_clock(n);
	uint64_t left_ms = clock_ms > clock_now_ms ? clock_ms - clock_now_ms : 0;
	if (left_ms > 1u << 30)
		left_ms = 1u << 30;
	return n->world->now_ms + left_ms + (left_ms >> 10);
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
	if (other)
		network_send(n->world, n->id, other->id, bytes, size);
}

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
	struct err err = {{0}};
	int result = cluster_apply(&n->value, index, operation, size, &err);
	if (result >= 0)
		trace_command(n, index, operation, size);
	if (check_cluster(&n->value, &err))
		world_fail(
		    n->world, "n%u: index %llu: %s", n->id, (unsigned long long)index, err.text);
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
	return snapshot_decode(&n->value, bytes, size, NULL);
}

static void joined(struct sim_node *n, unsigned who, int result)
{
	struct sim_node *newcomer = node_of(n->world, who);
	if (result <= 0 || newcomer->raft_id)
		return;
	newcomer->raft_id = (uint32_t)result;
	sim_node_daemon(newcomer, true);
}

static void read_done(struct sim_node *n, uint64_t acknowledged_index, int result)
{
	if (result == 0 && n->value.index < acknowledged_index)
		world_fail(n->world, "n%u: stale read: index %llu, %llu had been acknowledged",
		    n->id, (unsigned long long)n->value.index,
		    (unsigned long long)acknowledged_index);
}

static void acknowledge(struct world *w, uint64_t number, uint64_t index)
{
	if (w->acknowledged_count == w->acknowledged_capacity) {
		w->acknowledged_capacity =
		    w->acknowledged_capacity ? w->acknowledged_capacity * 2 : 64;
		w->acknowledged = must_realloc(
		    w->acknowledged, w->acknowledged_capacity * sizeof(*w->acknowledged));
	}
	struct acknowledged *a = &w->acknowledged[w->acknowledged_count++];
	snprintf(a->key, sizeof(a->key), "fact-%llu", (unsigned long long)number);
	a->index = index;
	if (index > w->acknowledged_index)
		w->acknowledged_index = index;
}

static void port_answered(void *data, uint64_t request, int result, uint64_t index)
{
	struct sim_node *n = data;
	uint64_t number = request & 0xffffffffffffff;
	switch ((enum request_kind)(request >> 56)) {
	case REQUEST_HELLO:
		n->agent.hello_done |= result >= 0;
		break;
	case REQUEST_FACT:
		if (result >= 0)
			acknowledge(n->world, number, index);
		break;
	case REQUEST_READ:
		read_done(n, number, result);
		break;
	case REQUEST_JOIN:
		joined(n, (unsigned)number, result);
		break;
	case REQUEST_FENCE:
		node_of(n->world, (unsigned)number)->fence_pending = false;
		n->world->fences += result >= 0;
		break;
	case REQUEST_OPERATION:
		n->world->answered(n->world->answered_data, number, result, index);
		break;
	case REQUEST_MEMBER:
	case REQUEST_NONE:
		break;
	}
}

static void port_changed(void *data)
{
}

/* The floating address and its guard. */

static unsigned address_holder(const struct world *w, unsigned except)
{
	for (unsigned i = 1; i <= w->node_count; i++)
		if (i != except && w->nodes[i]->address && w->nodes[i]->powered)
			return i;
	return 0;
}

static void address_off(struct sim_node *n, const char *why)
{
	n->address_coming = false;
	if (!n->address)
		return;
	n->address = false;
	world_trace(n->world, n->id, "floating address off (%s)", why);
}

/* The guard looks when the lease that it knows of ends, whatever the daemon does. */
static void guard_wake(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = node_of(w, node);
	if (!n->address && !n->address_coming)
		return;
	if (sim_node_clock(n) >= n->guard_until_ms)
		address_off(n, "lease");
	else
		world_at(w, world_time(n, n->guard_until_ms), guard_wake, node, 0);
}

static void address_on(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = node_of(w, node);
	if (!n->address_coming || n->life != life)
		return;
	n->address_coming = false;
	if (sim_node_clock(n) >= n->guard_until_ms)
		return;
	n->address = true;
	world_trace(w, node, "floating address on");
	world_check(w);
	if (n->powered && n->daemon)
		sim_node_settle(n);
}

static void hold(struct sim_node *n, const struct standing *standing, bool wanted)
{
	struct world *w = n->world;
	if (!wanted) {
		address_off(n, "let go");
		return;
	}
	n->guard_until_ms = standing->lease_until_ms;
	if (n->address || n->address_coming)
		return;
	/* The probe finds another holder only where the network lets it. */
	unsigned other = address_holder(w, n->id);
	if (other && !w->cut[n->id][other] && !w->cut[other][n->id])
		return;
	n->address_coming = true;
	world_at(w, w->now_ms + ADDRESS_TAKES_MS, address_on, n->id, n->life);
	world_at(w, world_time(n, n->guard_until_ms), guard_wake, n->id, 0);
}

static struct holding holding_of(const struct sim_node *n)
{
	return (struct holding){
	    .addresses_wanted = 1,
	    .addresses_held = n->address,
	    .addresses_gone = !n->address && !n->address_coming,
	    .services_gone = true,
	};
}

/* The daemon's life. */

static void agent_start(struct sim_node *n)
{
	struct agent_options options = {
	    .node = n->raft_id,
	    .keepalive_interval_ms = WORLD_KEEPALIVE_MS,
	    .shutdown_timeout_ms = 3000,
	    .lease_ms = WORLD_LEASE_WAIT_MS,
	    .hypervisor = true,
	};
	agent_init(&n->agent, &options);
	n->agent.host = (struct host){
	    .memory_total_mib = 8192, .memory_free_mib = 8192, .vcpus_total = 8, .version = "sim"};
}

static void replica_open(struct sim_node *n)
{
	struct disk_state state;
	struct err err = {{0}};
	struct replica_options options = {
	    .id = n->raft_id,
	    .heartbeat_ms = WORLD_HEARTBEAT_MS,
	    .election_ms = WORLD_ELECTION_MS,
	    .lease_ms = WORLD_LEASE_MS,
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
		.restore = port_restore},
	    .data = n,
	    .send = port_send,
	    .answered = port_answered,
	    .changed = port_changed,
	};
	sim_disk_state(&n->disk, &state);
	cluster_close(&n->value);
	cluster_init(&n->value);
	n->replica = replica_new(&options, &ports, &state, sim_node_clock(n), &err);
	free(state.entries);
	if (!n->replica)
		world_fail(n->world, "n%u: %s", n->id, err.text);
}

static void replica_shut(struct sim_node *n)
{
	sim_disk_crash(n->world, &n->disk);
	replica_free(n->replica);
	n->replica = NULL;
}

static void reopen(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = node_of(w, node);
	if (!n->powered || !n->daemon || n->replica || n->life != life)
		return;
	if (n->disk.faults.full || n->disk.faults.failing) {
		world_at(w, w->now_ms + REOPEN_MS, reopen, node, life);
		return;
	}
	replica_open(n);
	sim_node_settle(n);
}

void sim_node_daemon(struct sim_node *n, bool on)
{
	if (n->daemon == on || !n->powered || !n->raft_id)
		return;
	n->daemon = on;
	n->life++;
	world_trace(n->world, n->id, on ? "daemon up" : "daemon killed");
	if (on) {
		n->client = world_random(n->world, UINT64_MAX - 1) + 1;
		n->sequence = 0;
		n->worker_free_ms = n->list_ms = 0;
		n->list_busy = false;
		agent_start(n);
		replica_open(n);
		sim_node_settle(n);
		return;
	}
	if (n->replica)
		replica_shut(n);
	agent_close(&n->agent);
	address_off(n, "guard: the daemon is gone");
	network_closed(n->world, n->id);
}

void sim_node_power(struct sim_node *n, bool on)
{
	if (n->powered == on)
		return;
	if (!on) {
		world_trace(n->world, n->id, "power off");
		n->address = n->address_coming = false;
		n->vm_count = 0;
		n->life++;
		if (n->daemon) {
			n->daemon = false;
			if (n->replica)
				replica_shut(n);
			agent_close(&n->agent);
		}
		n->powered = false;
		return;
	}
	n->powered = true;
	n->hung_until_ms = n->paused_until_ms = 0;
	world_trace(n->world, n->id, "power on");
	sim_node_daemon(n, true);
}

void sim_node_pause(struct sim_node *n, uint64_t ms)
{
	n->paused_until_ms = n->world->now_ms + ms;
	world_trace(n->world, n->id, "daemon stopped for %llu ms", (unsigned long long)ms);
	n->wake_ms = 0;
}

void sim_node_hang(struct sim_node *n, uint64_t ms)
{
	n->hung_until_ms = n->world->now_ms + ms;
	world_trace(n->world, n->id, "hypervisor hangs for %llu ms", (unsigned long long)ms);
}

/* Turns. */

static void request_encode(struct sim_node *n, struct command *command, struct buffer *out)
{
	if (command->number != COMMAND_tick) {
		command->client = n->client;
		command->sequence = ++n->sequence;
	}
	command_encode(command, out);
}

void sim_node_propose(
    struct sim_node *n, struct command *command, enum request_kind kind, uint64_t number)
{
	struct buffer bytes = {0};
	if (!n->replica)
		return;
	uint64_t now_ms = sim_node_clock(n);
	request_encode(n, command, &bytes);
	replica_propose(n->replica, (uint64_t)kind << 56 | number, bytes.data, bytes.size,
	    now_ms + PROPOSE_TIMEOUT_MS, now_ms);
	buffer_close(&bytes);
}

void sim_node_read(struct sim_node *n)
{
	uint64_t now_ms = sim_node_clock(n);
	if (!n->replica)
		return;
	replica_read(n->replica, (uint64_t)REQUEST_READ << 56 | n->world->acknowledged_index,
	    now_ms + 2000, now_ms);
	replica_flush(n->replica, now_ms);
}

static void turn_members(struct sim_node *n, const struct standing *standing, uint64_t now_ms)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	if (!standing->leader || now_ms - n->member_ms < MEMBER_AGAIN_MS)
		return;
	unsigned count = replica_members(n->replica, members, REPLICA_MEMBERS_MAX);
	struct member_change change = members_change(&n->value, members, count, n->raft_id);
	if (change.type == MEMBER_CHANGE_NONE)
		return;
	n->member_ms = now_ms;
	uint64_t request = (uint64_t)REQUEST_MEMBER << 56;
	if (change.type == MEMBER_CHANGE_SET)
		replica_member_set(n->replica, request, change.id, change.address, change.role,
		    now_ms + PROPOSE_TIMEOUT_MS, now_ms);
	else
		replica_member_remove(
		    n->replica, request, change.id, now_ms + PROPOSE_TIMEOUT_MS, now_ms);
}

static void turn_agent(struct sim_node *n, const struct standing *standing, uint64_t now_ms)
{
	struct holding holding = holding_of(n);
	struct agent_turn turn;
	agent_turn(&n->agent, &n->value, standing, &holding, now_ms, &turn);
	for (unsigned i = 0; i < turn.count; i++) {
		bool hello = turn.commands[i].number == COMMAND_node_hello;
		sim_node_propose(n, &turn.commands[i], hello ? REQUEST_HELLO : REQUEST_NONE, 0);
	}
	for (unsigned i = 0; i < turn.action_count; i++)
		sim_hypervisor_act(n, &turn.actions[i]);
	hold(n, standing, turn.hold);
	if (turn.transfer_to)
		replica_transfer(n->replica, turn.transfer_to, now_ms);
	struct sim_node *leader = sim_node_by_raft_id(n->world, standing->leader_id);
	if (turn.keepalive.size && leader)
		network_send(n->world, n->id, leader->id, turn.keepalive.data, turn.keepalive.size);
	agent_turn_close(&turn);
}

static void note_hash(struct sim_node *n)
{
	struct world *w = n->world;
	uint64_t index = n->value.index;
	if (history_diverged_at(&n->value))
		world_fail(w, "n%u found that it has diverged at index %llu", n->id,
		    (unsigned long long)history_diverged_at(&n->value));
	if (index >= w->hashes_size) {
		uint64_t size = index * 2 + 1024;
		w->hashes = must_realloc(w->hashes, size * sizeof(*w->hashes));
		memset(w->hashes + w->hashes_size, 0, (size - w->hashes_size) * sizeof(*w->hashes));
		w->hashes_size = size;
	}
	if (!w->hashes[index])
		w->hashes[index] = n->value.hash;
	else if (w->hashes[index] != n->value.hash)
		world_fail(w, "n%u: index %llu: another state hash than its peers", n->id,
		    (unsigned long long)index);
}

static void wake(struct world *w, unsigned node, uint64_t life, void *bytes)
{
	struct sim_node *n = node_of(w, node);
	if (n->life != life || n->wake_ms != w->now_ms)
		return;
	n->wake_ms = 0;
	if (n->powered && n->daemon)
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

void sim_node_settle(struct sim_node *n)
{
	if (!runs(n)) {
		if (n->powered && n->daemon)
			wake_at(n, n->paused_until_ms);
		return;
	}
	uint64_t now_ms = sim_node_clock(n);
	if (n->replica && now_ms >= replica_timeout(n->replica))
		replica_tick(n->replica, now_ms);
	if (n->replica)
		check_failed(n);
	struct standing standing = standing_of(n->replica, WORLD_ELECTION_MS, now_ms);
	sim_hypervisor_look(n);
	if (n->replica) {
		note_hash(n);
		turn_agent(n, &standing, now_ms);
		turn_members(n, &standing, now_ms);
		replica_flush(n->replica, now_ms);
	} else {
		hold(n, &standing, false);
	}
	uint64_t next_ms = agent_next_ms(&n->agent, now_ms);
	if (n->replica && replica_timeout(n->replica) < next_ms)
		next_ms = replica_timeout(n->replica);
	wake_at(n, world_time(n, next_ms));
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
	if (node_of(w, node)->life == life)
		sim_node_receive(node_of(w, node), late->from, late->data, late->size);
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
	if (!runs(n)) {
		receive_later(n, from, bytes, size);
		return;
	}
	if (size && bytes[0] == AGENT_KEEPALIVE_MARK)
		agent_heard(&n->agent, bytes, size);
	else
		replica_receive(
		    n->replica, n->world->nodes[from]->raft_id, bytes, size, sim_node_clock(n));
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
	if (!runs(n) || !n->replica)
		return;
	replica_lost(n->replica, n->world->nodes[member]->raft_id, sim_node_clock(n));
	sim_node_settle(n);
}

struct sim_node *sim_node_add(struct world *w)
{
	struct sim_node *n = must_alloc(sizeof(*n));
	n->world = w;
	n->id = ++w->node_count;
	n->powered = true;
	n->drift_ppm = (int)world_random(w, 1001) - 500;
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
	free(n->vms);
	free(n);
}
