/* What a keepalive costs: CPU on its node, on the leader and on every member, and bytes in the
 * log, in clusters of 3, 30 and 100 nodes with 20 VMs each that all run.
 *
 *   keepalive_bench [--rounds N]
 *
 * Prints a line of JSON for each size. The nodes are real agents (node/agent.h) around one value,
 * their hypervisors and the log are simulated: whatever an agent wants told is applied at once.
 * A round is one keepalive of every node and the ticks that bring them into the log:
 *   node_ms    what the node sees is taken in, judged by, and its keepalive made
 *   leader_ms  it is heard, and its share of all that the leader judges and puts into ticks
 *   member_ms  its share of the tick is applied; every member does that
 *   cpu_ms     the three together
 *   log_bytes  its share of the entries of the log */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/agent.h"
#include "raft/batch.h"

#define NODES_MAX   100
#define VMS	    20 /* of each node */
#define INTERVAL_MS 2000
#define STEP_MS	    250 /* between two turns of each node */
#define SETTLE_MS   20000

static const char token_hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* CPU nanoseconds by what they were for. */
struct costs {
	uint64_t node_ns, leader_ns, member_ns;
	uint64_t keepalives, ticks, tick_bytes, others;
};

struct fleet {
	struct cluster cluster;
	struct agent agents[NODES_MAX];
	struct seen_vm seen[NODES_MAX][VMS];
	unsigned nodes;
	unsigned vms; /* that a hypervisor has by now */
	uint64_t now_ms;
	struct costs costs;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "keepalive_bench: %s: %s\n", what, why);
	exit(1);
}

static uint64_t used_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Nanoseconds since *mark, which moves on. */
static uint64_t lap(uint64_t *mark)
{
	uint64_t now = used_ns(), took = now - *mark;
	*mark = now;
	return took;
}

static void apply(struct fleet *f, const uint8_t *bytes, size_t size)
{
	struct err err;
	if (cluster_apply(&f->cluster, f->cluster.index + 1, bytes, size, &err) < 0)
		die("an operation", err.text);
}

static void say(struct fleet *f, const struct command *command)
{
	struct buffer operation = {0};
	command_encode(command, &operation);
	apply(f, operation.data, operation.size);
	buffer_close(&operation);
}

/* As the log stores it; both halves of what it costs are counted. */
static void say_tick(struct fleet *f, const struct command *command)
{
	struct buffer operation = {0}, entry = {0};
	struct batch batch = {0};
	uint64_t mark = used_ns();
	command_encode(command, &operation);
	batch_add(&batch, operation.data, operation.size);
	batch_encode(&batch, &entry);
	f->costs.leader_ns += lap(&mark);
	apply(f, operation.data, operation.size);
	f->costs.member_ns += lap(&mark);
	f->costs.ticks++;
	f->costs.tick_bytes += entry.size;
	f->costs.keepalives += command->tick.keepalives.count;
	batch_close(&batch);
	buffer_close(&operation);
	buffer_close(&entry);
}

static void carry_out(struct fleet *f, struct agent *agent, const struct agent_turn *turn)
{
	for (unsigned i = 0; i < turn->count; i++) {
		const struct command *command = &turn->commands[i];
		if (command->number == COMMAND_tick) {
			say_tick(f, command);
			continue;
		}
		f->costs.others++;
		say(f, command);
		agent->hello_done |= command->number == COMMAND_node_hello;
	}
}

/* A turn of one node: it has looked at its VMs, and judges. */
static void turn_node(struct fleet *f, unsigned i)
{
	struct agent *agent = &f->agents[i];
	struct agent_turn turn;
	const struct holding holding = {.addresses_gone = true, .services_gone = true};
	const struct standing standing = {.id = i + 1,
	    .leader = i == 0,
	    .current = true,
	    .term = 1,
	    .leader_id = 1,
	    .lease_until_ms = f->now_ms + 1000};
	bool due = agent->keepalive_ms <= f->now_ms;
	uint64_t *used = i && due ? &f->costs.node_ns : &f->costs.leader_ns;
	uint64_t mark = used_ns();
	agent_saw_vms(agent, agent_looks(agent), f->seen[i], f->vms);
	agent_collected(agent, "host", COLLECTOR_OK, "", f->now_ms);
	agent_collected(agent, "hypervisor", COLLECTOR_OK, "", f->now_ms);
	agent_turn(agent, &f->cluster, &standing, &holding, f->now_ms, &turn);
	if (i == 0 || due)
		*used += lap(&mark);
	if (turn.keepalive.size)
		agent_heard(
		    &f->agents[0], agent->options.node, turn.keepalive.data, turn.keepalive.size);
	if (turn.hash.size)
		agent_heard(&f->agents[0], agent->options.node, turn.hash.data, turn.hash.size);
	f->costs.leader_ns += turn.keepalive.size ? lap(&mark) : 0;
	carry_out(f, agent, &turn);
	agent_turn_close(&turn);
}

static void run_for(struct fleet *f, uint64_t ms)
{
	for (uint64_t end_ms = f->now_ms + ms; f->now_ms < end_ms; f->now_ms += STEP_MS)
		for (unsigned i = 0; i < f->nodes; i++)
			turn_node(f, i);
}

static void found(struct fleet *f)
{
	struct command found = {.number = COMMAND_found,
	    .found = {.name = "bench",
		.uuid = "c416032b-2ad9-457f-a5c2-18704a3485f4",
		.node = "hv1",
		.address = "10.0.0.1:7480",
		.incarnation = "incarnation1",
		.schema = 1}};
	say(f, &found);
	for (unsigned id = 2; id <= f->nodes; id++) {
		struct command token = {.number = COMMAND_token, .token = {.valid_ms = 60000}};
		struct command command = {.number = COMMAND_join};
		struct command_join *join = &command.join;
		memcpy(token.token.hash, token_hash, sizeof(token_hash));
		memcpy(join->hash, token_hash, sizeof(token_hash));
		snprintf(join->name, sizeof(join->name), "hv%u", id);
		snprintf(join->address, sizeof(join->address), "10.0.0.%u:7480", id);
		snprintf(join->incarnation, sizeof(join->incarnation), "incarnation%u", id);
		join->mode = id <= 5 ? NODE_COORDINATOR : NODE_HYPERVISOR;
		join->hypervisor = true;
		say(f, &token);
		say(f, &command);
	}
}

static void start_agents(struct fleet *f)
{
	for (unsigned i = 0; i < f->nodes; i++) {
		agent_init(&f->agents[i], &(struct agent_options){.node = i + 1,
					      .keepalive_interval_ms = INTERVAL_MS,
					      .shutdown_timeout_ms = 180000,
					      .lease_ms = 500,
					      .hypervisor = true});
		f->agents[i].host = (struct host){.memory_total_mib = 262144,
		    .memory_used_mib = 100000 + i,
		    .memory_free_mib = 150000 - i,
		    .vcpus_total = 64,
		    .load_milli = 1000 + i,
		    .version = "0.1.0"};
	}
}

static void start_vms(struct fleet *f)
{
	for (uint32_t vm = 1; vm <= f->nodes * VMS; vm++) {
		uint32_t node = (vm - 1) % f->nodes + 1;
		struct seen_vm *seen = &f->seen[node - 1][(vm - 1) / f->nodes];
		struct command command = {.number = COMMAND_vm_define};
		struct command_vm_define *define = &command.vm_define;
		struct command start = {
		    .number = COMMAND_vm_state, .vm_state = {.vm = vm, .state = VM_START}};
		snprintf(define->name, sizeof(define->name), "web%u", vm);
		snprintf(define->uuid, sizeof(define->uuid), "00000000-0000-4000-8000-%012x", vm);
		define->memory_mib = 4096;
		define->vcpus = 2;
		define->node = node;
		memcpy(seen->uuid, define->uuid, sizeof(seen->uuid));
		seen->observed = OBSERVED_RUNNING;
		say(f, &command);
		say(f, &start);
	}
	f->vms = VMS;
}

/* Nothing but keepalives is left to be told, and they say that everything runs. */
static void check_steady(const struct fleet *f)
{
	unsigned running = 0;
	cluster_each(f->cluster.vms, struct vm, vm) running += vm->observed == OBSERVED_RUNNING;
	if (running != f->nodes * VMS)
		die("the VMs", "do not all run");
	if (f->costs.others)
		die("the cluster", "does not come to rest");
}

static void measure(unsigned nodes, unsigned rounds)
{
	struct fleet *f = must_alloc(sizeof(*f));
	f->nodes = nodes;
	f->now_ms = 1000000;
	cluster_init(&f->cluster);
	found(f);
	start_agents(f);
	run_for(f, SETTLE_MS);
	start_vms(f);
	run_for(f, SETTLE_MS);
	f->costs = (struct costs){0};
	run_for(f, (uint64_t)rounds * INTERVAL_MS);
	check_steady(f);
	const struct costs *k = &f->costs;
	double each = 1e6 * (double)k->keepalives;
	printf("{\"figure\": \"keepalive\", \"nodes\": %u, \"vms\": %u, \"keepalives\": %" PRIu64
	       ", \"node_ms\": %.4f, \"leader_ms\": %.4f, \"member_ms\": %.4f, \"cpu_ms\": %.4f, "
	       "\"log_bytes\": %.0f, \"tick_bytes\": %.0f}\n",
	    nodes, nodes * VMS, k->keepalives, (double)k->node_ns / each,
	    (double)k->leader_ns / each, (double)k->member_ns / each,
	    (double)(k->node_ns + k->leader_ns + k->member_ns) / each,
	    (double)k->tick_bytes / (double)k->keepalives,
	    (double)k->tick_bytes / (double)k->ticks);
	for (unsigned i = 0; i < nodes; i++)
		agent_close(&f->agents[i]);
	cluster_close(&f->cluster);
	free(f);
}

int main(int argc, char **argv)
{
	static const unsigned sizes[] = {3, 30, NODES_MAX};
	unsigned long rounds = 50;
	if (argc == 3 && !strcmp(argv[1], "--rounds"))
		rounds = strtoul(argv[2], NULL, 10);
	if ((argc != 1 && argc != 3) || !rounds || rounds > 100000) {
		fprintf(stderr, "usage: keepalive_bench [--rounds N]\n");
		return 2;
	}
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		measure(sizes[i], (unsigned)rounds);
	return 0;
}
