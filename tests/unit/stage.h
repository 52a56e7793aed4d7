/* A node for tests of operations: a value, and a context that applies what is
 * proposed at once, as a log with one member would.
 *
 * Only tests/unit/ includes it; each test that does has a stage of its own. */
#ifndef TESTS_UNIT_STAGE_H
#define TESTS_UNIT_STAGE_H

#include <string.h>

#include "fsm/vm.h"
#include "node/operation/context.h"
#include "node/log/journal.h"
#include "node/operation/operation.h"

struct stage {
	struct cluster cluster;
	struct context context;
	struct journal *journal;
	uint64_t sequence;
	int refuse; /* not 0: every proposal is answered with this, and not applied */
	/* A proposal that is held back until stage_release(). */
	bool hold;
	context_done held;
	void *held_data;
};

/* What an operation answered. */
struct stage_answer {
	bool done;
	int status;
	json_t *result;
	struct err err;
};

static inline uint64_t stage_now_ms(void *data)
{
	return 1000000;
}

static inline struct replica *stage_replica(void *data)
{
	return NULL;
}

static inline const char *stage_trouble(void *data)
{
	return "the disk is full";
}

static inline int stage_apply(struct stage *s, struct command *command, struct err *err)
{
	struct buffer bytes = {0};
	command->client = 1;
	command->sequence = ++s->sequence;
	command_encode(command, &bytes);
	int result = cluster_apply(&s->cluster, s->cluster.index + 1, bytes.data, bytes.size, err);
	journal_note(s->journal, s->cluster.index, result);
	buffer_close(&bytes);
	return result;
}

static inline void stage_propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	struct stage *s = data;
	struct err err = {""};
	int result = s->refuse ? s->refuse : stage_apply(s, command, &err);
	if (s->refuse)
		err_set(&err, 0, "what strerror has to say");
	if (s->hold) {
		s->held = done;
		s->held_data = done_data;
		return;
	}
	done(done_data, result, s->cluster.index, &err);
}

static inline void stage_release(struct stage *s, int result)
{
	context_done held = s->held;
	s->held = NULL;
	held(s->held_data, result, s->cluster.index, NULL);
}

static inline int stage_token(void *data, struct context_token *token, struct err *err)
{
	snprintf(token->text, sizeof(token->text), "a-token");
	memset(token->hash, 'a', 64);
	token->hash[64] = 0;
	return 0;
}

/* A keepalive of node with its one collector in that state, after elapsed_ms. Of its VMs it
 * says that those that are to run do. */
static inline void stage_tick(
    struct stage *s, uint32_t node, uint64_t elapsed_ms, enum collector_state state)
{
	struct command command = {.number = COMMAND_tick};
	struct sighting sightings[16];
	struct collector collector = {.name = "hypervisor", .state = state, .age_ms = 70};
	collector.kills = state == COLLECTOR_STUCK ? 3 : 0;
	struct keepalive keepalive = {
	    .node = node,
	    .memory_total_mib = 8192,
	    .memory_used_mib = 1024,
	    .memory_free_mib = 7168,
	    .vcpus_total = 4,
	    .load_milli = 1250,
	    .sightings_known = true,
	};
	uint32_t n = 0;
	cluster_each(s->cluster.vms, struct vm, vm)
	{
		if (vm->node != node || n == 16)
			continue;
		sightings[n].vm = vm->id;
		sightings[n].generation = vm->generation;
		enum vm_duty duty = vm_duty(vm, node);
		bool runs = duty == VM_DUTY_RUN || duty == VM_DUTY_SEND;
		sightings[n++].observed = runs ? OBSERVED_RUNNING : OBSERVED_SHUTOFF;
	}
	keepalive.sightings.items = sightings;
	keepalive.sightings.count = n;
	keepalive.collectors.items = &collector;
	keepalive.collectors.count = 1;
	command.tick.elapsed_ms = elapsed_ms;
	command.tick.keepalives.items = &keepalive;
	command.tick.keepalives.count = node ? 1 : 0;
	stage_apply(s, &command, NULL);
}

static inline void stage_node(struct stage *s, uint32_t id, const char *name)
{
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 1000}};
	struct command join = {.number = COMMAND_join, .join = {.mode = NODE_COORDINATOR}};
	if (id > 1) {
		memset(token.token.hash, '0', 64);
		memset(join.join.hash, '0', 64);
		snprintf(join.join.name, sizeof(join.join.name), "%s", name);
		snprintf(join.join.address, sizeof(join.join.address), "%s:7480", name);
		snprintf(join.join.incarnation, sizeof(join.join.incarnation), "of %s", name);
		stage_apply(s, &token, NULL);
		stage_apply(s, &join, NULL);
	}
	struct command hello = {.number = COMMAND_node_hello};
	hello.node_hello.node = id;
	hello.node_hello.hypervisor = true;
	memcpy(hello.node_hello.version, "1.2.3", 6);
	struct command state = {.number = COMMAND_node_state};
	state.node_state.node = id;
	state.node_state.state = DAEMON_RUN;
	stage_apply(s, &hello, NULL);
	stage_apply(s, &state, NULL);
	stage_tick(s, id, 0, COLLECTOR_OK);
}

static inline void stage_primary(struct stage *s, uint32_t node, uint64_t epoch)
{
	struct command takeover = {.number = COMMAND_takeover};
	struct command primary = {.number = COMMAND_primary};
	takeover.takeover.node = primary.primary.node = node;
	takeover.takeover.epoch = primary.primary.epoch = epoch;
	stage_apply(s, &takeover, NULL);
	stage_apply(s, &primary, NULL);
}

/* A cluster "prod" of hv1, the primary. */
static inline void stage_open(struct stage *s)
{
	*s = (struct stage){.journal = journal_new()};
	cluster_init(&s->cluster);
	s->context = (struct context){
	    .data = s,
	    .id = 1,
	    .cluster = &s->cluster,
	    .now_ms = stage_now_ms,
	    .replica = stage_replica,
	    .trouble = stage_trouble,
	    .propose = stage_propose,
	    .journal = s->journal,
	    .token = stage_token,
	};
	struct command found = {.number = COMMAND_found, .found = {.schema = 1}};
	memcpy(found.found.name, "prod", 5);
	memcpy(found.found.uuid, "u", 2);
	memcpy(found.found.node, "hv1", 4);
	stage_apply(s, &found, NULL);
	stage_node(s, 1, "hv1");
	stage_primary(s, 1, 7);
}

static inline void stage_close(struct stage *s)
{
	cluster_close(&s->cluster);
	journal_free(s->journal);
}

static inline void stage_done(void *data, int status, json_t *result, const struct err *err)
{
	struct stage_answer *a = data;
	a->done = true;
	a->status = status;
	a->result = result;
	if (err)
		a->err = *err;
}

#define STAGE_WEB1                                                                                 \
	"<domain type='kvm'><name>web1</name>"                                                     \
	"<uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>"                                        \
	"<memory unit='MiB'>512</memory><vcpu>2</vcpu></domain>"

#endif
