#include "node/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/history.h"
#include "fsm/node.h"
#include "fsm/schema.h"
#include "fsm/vm.h"
#include "node/member/health.h"

/* What was proposed and does not show in the value is proposed again after this. */
#define TELL_AGAIN_MS	 2000
#define LEAVE_AGAIN_MS	 500
#define TICK_NEWCOMER_MS 50
/* However seldom keepalives come: cluster time is never older than that. */
#define TICK_MS 1000
/* What nobody told us of is found that soon. */
#define LOOK_AGAIN_MS 250

void agent_init(struct agent *agent, const struct agent_options *options)
{
	*agent = (struct agent){.options = *options};
	/* With nothing to ask, nothing is unknown. */
	agent->local.known = !options->hypervisor;
}

/* A keepalive that waits for somebody else's tick would be a sign of life from the past. */
static void forget_heard(struct agent *agent)
{
	while (agent->heard_count)
		record_clear(keepalive_record(), &agent->heard[--agent->heard_count]);
}

void agent_close(struct agent *agent)
{
	forget_heard(agent);
	free(agent->heard);
	free(agent->osds);
	local_close(&agent->local);
	plan_close(&agent->plan);
}

/* Observations. */

uint64_t agent_looks(struct agent *agent)
{
	return local_look(&agent->local);
}

void agent_saw_vms(struct agent *agent, uint64_t look, const struct seen_vm *vms, unsigned n)
{
	local_saw(&agent->local, look, vms, n);
}

void agent_saw_nothing(struct agent *agent)
{
	local_lost(&agent->local);
}

/* NULL: there are too many. */
static struct collector *find_collector(struct agent *agent, const char *name)
{
	for (unsigned i = 0; i < agent->collector_count; i++)
		if (!strcmp(agent->collectors[i].name, name))
			return &agent->collectors[i];
	if (agent->collector_count == AGENT_COLLECTORS_MAX)
		return NULL;
	struct collector *k = &agent->collectors[agent->collector_count++];
	*k = (struct collector){.age_ms = 0};
	snprintf(k->name, sizeof(k->name), "%s", name);
	return k;
}

void agent_collected(struct agent *agent, const char *collector, enum collector_state state,
    const char *message, uint64_t now_ms)
{
	struct collector *k = find_collector(agent, collector);
	if (!k)
		return;
	snprintf(k->message, sizeof(k->message), "%.159s", message);
	k->state = state;
	if (state == COLLECTOR_OK)
		k->age_ms = now_ms;
}

void agent_counted(struct agent *agent, const char *collector, uint64_t kills)
{
	struct collector *k = find_collector(agent, collector);
	if (k)
		k->kills = kills < UINT32_MAX ? (uint32_t)kills : UINT32_MAX;
}

void agent_forgets(struct agent *agent, const char *collector)
{
	for (unsigned i = 0; i < agent->collector_count; i++) {
		if (strcmp(agent->collectors[i].name, collector) != 0)
			continue;
		memmove(&agent->collectors[i], &agent->collectors[i + 1],
		    (--agent->collector_count - i) * sizeof(agent->collectors[0]));
		return;
	}
}

void agent_has_osds(struct agent *agent, struct ceph_id *ids, uint32_t n)
{
	free(agent->osds);
	agent->osds = ids;
	agent->osd_count = n;
}

void agent_action_done(struct agent *agent, const struct action *action, int status,
    const char *reason, uint64_t now_ms)
{
	plan_done(&agent->local, action, status, reason, now_ms);
}

static void hear(struct agent *agent, struct keepalive *keepalive)
{
	for (unsigned i = 0; i < agent->heard_count; i++) {
		if (agent->heard[i].node != keepalive->node)
			continue;
		record_clear(keepalive_record(), &agent->heard[i]);
		agent->heard[i] = *keepalive;
		return;
	}
	if (agent->heard_count == CLUSTER_NODES_MAX) {
		record_clear(keepalive_record(), keepalive);
		return;
	}
	if (agent->heard_count == agent->heard_capacity) {
		agent->heard_capacity = agent->heard_capacity ? agent->heard_capacity * 2 : 4;
		agent->heard =
		    must_realloc(agent->heard, agent->heard_capacity * sizeof(*agent->heard));
	}
	agent->heard[agent->heard_count++] = *keepalive;
}

static void heard_keepalive(struct agent *agent, uint32_t from, struct reader *in)
{
	struct keepalive keepalive;
	if (record_decode(keepalive_record(), in, &keepalive))
		return;
	if (reader_left(in) == 0 && keepalive.node == from)
		hear(agent, &keepalive);
	else
		record_clear(keepalive_record(), &keepalive);
}

bool agent_hears(uint8_t mark)
{
	return mark == AGENT_KEEPALIVE_MARK || mark == AGENT_HASH_MARK || mark == AGENT_WORD_MARK;
}

static void heard_hash(struct agent *agent, uint8_t mark, uint32_t from, struct reader *in)
{
	struct agreement_voice voice = {.node = from};
	voice.index = reader_u64(in);
	voice.hash = reader_u64(in);
	if (in->failed || reader_left(in))
		return;
	if (mark == AGENT_WORD_MARK)
		agent->word = voice;
	else
		agreement_heard(&agent->agreement, &voice);
}

void agent_heard(struct agent *agent, uint32_t from, const uint8_t *bytes, size_t size)
{
	struct reader in = reader_of(bytes, size);
	uint8_t mark = reader_u8(&in);
	if (mark == AGENT_KEEPALIVE_MARK)
		heard_keepalive(agent, from, &in);
	else if (agent_hears(mark))
		heard_hash(agent, mark, from, &in);
}

/* What is told. */

static struct command *add_command(struct agent_turn *turn, enum command_number number)
{
	if (turn->count == AGENT_COMMANDS_MAX)
		return NULL;
	struct command *command = &turn->commands[turn->count++];
	*command = (struct command){.number = number};
	return command;
}

static void tell_hello(struct agent *agent, struct agent_turn *turn, uint64_t now_ms)
{
	if (agent->told_hello_ms && now_ms - agent->told_hello_ms < TELL_AGAIN_MS)
		return;
	struct command *command = add_command(turn, COMMAND_node_hello);
	if (!command)
		return;
	agent->told_hello_ms = now_ms;
	struct command_node_hello *hello = &command->node_hello;
	hello->node = agent->options.node;
	hello->schema_min = SCHEMA_MIN;
	hello->schema_max = SCHEMA_MAX;
	hello->hypervisor = agent->options.hypervisor;
	memcpy(hello->version, agent->host.version, sizeof(hello->version));
	memcpy(hello->kernel, agent->host.kernel, sizeof(hello->kernel));
	memcpy(hello->arch, agent->host.arch, sizeof(hello->arch));
	memcpy(hello->addresses, agent->host.addresses, sizeof(hello->addresses));
	memcpy(hello->boot_id, agent->host.boot_id, sizeof(hello->boot_id));
	memcpy(hello->migration_uri, agent->host.migration_uri, sizeof(hello->migration_uri));
}

/* A fenced node that is back holds nothing of others before it says `run`. */
static bool runs_nothing_of_others(const struct agent *agent, const struct cluster *c)
{
	cluster_each(c->vms, struct vm, vm)
	{
		const struct local_vm *local = local_find(&agent->local, vm->uuid);
		if (!local || vm_duty(vm, agent->options.node) != VM_DUTY_NONE)
			continue;
		if (!vm_observed_off(local->observed) || !local->fresh || local->busy)
			return false;
	}
	return true;
}

static enum daemon_state state_wanted(
    const struct agent *agent, const struct cluster *c, const struct node *me)
{
	if (agent->leaving)
		return agent->leaving;
	if (agent->local.known && runs_nothing_of_others(agent, c))
		return DAEMON_RUN;
	return me->daemon_state == DAEMON_RUN ? DAEMON_RUN : DAEMON_INIT;
}

static void tell_state(struct agent *agent, const struct cluster *c, const struct node *me,
    struct agent_turn *turn, uint64_t now_ms)
{
	enum daemon_state wanted = state_wanted(agent, c, me);
	if (me->daemon_state == wanted)
		return;
	if (agent->told_state == wanted && now_ms - agent->told_state_ms < TELL_AGAIN_MS)
		return;
	struct command *command = add_command(turn, COMMAND_node_state);
	if (!command)
		return;
	agent->told_state = wanted;
	agent->told_state_ms = now_ms;
	command->node_state.node = agent->options.node;
	command->node_state.state = wanted;
}

/* How long it may be silent and yet be well, for the others to know. */
static void tell_interval(struct agent *agent, const struct cluster *c, const struct node *me,
    struct agent_turn *turn, uint64_t now_ms)
{
	uint64_t interval_ms = agent->options.keepalive_interval_ms;
	/* Who sends them more often than that need not say so. */
	if (interval_ms < NODE_INTERVAL_MS)
		interval_ms = NODE_INTERVAL_MS;
	if (node_interval_ms(c, me) == interval_ms)
		return;
	if (agent->told_interval_ms && now_ms - agent->told_interval_ms < TELL_AGAIN_MS)
		return;
	struct command *command = add_command(turn, COMMAND_fact);
	if (!command)
		return;
	agent->told_interval_ms = now_ms;
	struct node_interval_key key = node_interval_key(me->id);
	char text[24];
	int size = snprintf(text, sizeof(text), "%" PRIu64, interval_ms);
	memcpy(command->fact.key, key.text, sizeof(key.text));
	command->fact.value = (struct blob){must_alloc((size_t)size), (uint32_t)size};
	memcpy(command->fact.value.data, text, (size_t)size);
}

/* It is not to be started any more: nothing that this node may do will change that. */
static void tell_fail(struct agent *agent, const struct vm *vm, struct local_vm *local,
    struct agent_turn *turn, uint64_t now_ms)
{
	if (local->told_fail_ms && now_ms - local->told_fail_ms < TELL_AGAIN_MS)
		return;
	struct command *command = add_command(turn, COMMAND_vm_fail);
	if (!command)
		return;
	local->told_fail_ms = now_ms;
	command->vm_fail.node = agent->options.node;
	command->vm_fail.vm = vm->id;
	command->vm_fail.generation = vm->generation;
	command->vm_fail.state = local->refused_state;
	memcpy(command->vm_fail.reason, local->reason, sizeof(local->reason));
}

/* How the attempt at sending it has ended: again and again, until the value knows. */
static void tell_sent(
    struct agent *agent, const struct vm *vm, struct agent_turn *turn, uint64_t now_ms)
{
	char reason[200] = "";
	enum plan_sent sent = plan_sent(&agent->local, vm, now_ms, reason);
	struct local_vm *local = local_find(&agent->local, vm->uuid);
	if (sent == PLAN_SENT_GOING)
		return;
	bool told = local->told_move_generation == vm->generation;
	if (told && now_ms - local->told_move_ms < TELL_AGAIN_MS)
		return;
	bool arrived = sent == PLAN_SENT_ARRIVED;
	struct command *command =
	    add_command(turn, arrived ? COMMAND_vm_migrated : COMMAND_vm_migrate_failed);
	if (!command)
		return;
	local->told_move_generation = vm->generation;
	local->told_move_ms = now_ms;
	if (arrived) {
		command->vm_migrated.node = agent->options.node;
		command->vm_migrated.vm = vm->id;
		command->vm_migrated.generation = vm->generation;
		return;
	}
	command->vm_migrate_failed.node = agent->options.node;
	command->vm_migrate_failed.vm = vm->id;
	command->vm_migrate_failed.generation = vm->generation;
	memcpy(command->vm_migrate_failed.reason, reason, sizeof(reason));
}

/* While it is being sent, or when that has failed, it says nothing that it is off: with a whole
 * copy elsewhere the value would take it to have arrived, and it may have run on before it died. */
static bool has_a_word(const struct agent *agent, const struct vm *vm, uint64_t now_ms)
{
	char reason[200];
	const struct local_vm *local = local_find(&agent->local, vm->uuid);
	if (!local || vm_duty(vm, agent->options.node) != VM_DUTY_SEND)
		return false;
	/* Whether its machine was rebooted meanwhile is to be known first. */
	if (!agent->hello_done)
		return true;
	return local->sending || plan_sent(&agent->local, vm, now_ms, reason) == PLAN_SENT_FAILED;
}

/* What may be said of a VM here, for its owner or for the target of its migration. */
static enum vm_observed sighting_of(const struct agent *agent, const struct vm *vm, uint64_t now_ms)
{
	bool owner = vm->node == agent->options.node;
	enum vm_observed known = owner ? vm->observed : vm->target_observed;
	enum vm_observed observed = local_observed(&agent->local, vm->uuid, now_ms);
	if (vm_observed_off(observed) && has_a_word(agent, vm, now_ms))
		return OBSERVED_UNKNOWN;
	if (known != OBSERVED_UNKNOWN)
		return observed;
	/* What was never seen cannot be lost sight of. */
	if (observed == OBSERVED_UNOBSERVABLE)
		return OBSERVED_UNKNOWN;
	/* A copy counts only if it came after all that may be left over was seen to be gone; one
	 * that the owner finds, and that did not arrive, is left over as well (plan.h, 6d). */
	bool copy = !owner ||
		    ((observed == OBSERVED_PAUSED || observed == OBSERVED_TRANSIT) && !vm->arrived);
	return !copy || vm_observed_off(observed) ? observed : OBSERVED_UNKNOWN;
}

static bool knows(const struct agent *agent, const struct vm *vm, enum vm_observed observed)
{
	if (vm->node == agent->options.node)
		return vm->observed == observed && vm->observed_generation == vm->generation;
	return vm->target_observed == observed;
}

/* Keepalives bring the same levels; a report brings a change at once. */
static void tell_vm(
    struct agent *agent, const struct vm *vm, struct agent_turn *turn, uint64_t now_ms)
{
	enum vm_observed observed = sighting_of(agent, vm, now_ms);
	struct local_vm *local = local_find(&agent->local, vm->uuid);
	if (!local)
		return;
	bool runs = vm_duty(vm, agent->options.node) == VM_DUTY_RUN;
	if (runs && local->refused_generation == vm->generation) {
		tell_fail(agent, vm, local, turn, now_ms);
		return;
	}
	if (observed == OBSERVED_UNKNOWN)
		return;
	/* What failed for an earlier generation failed for a wish that nobody has any more. */
	bool own = vm->node == agent->options.node && local->acted_generation == vm->generation;
	const char *reason = own ? local->reason : "";
	if (knows(agent, vm, observed) && (!*reason || !strcmp(reason, vm->failed_reason)))
		return;
	bool told = local->told == observed && local->told_generation == vm->generation;
	if (told && local->told_ms && now_ms - local->told_ms < TELL_AGAIN_MS)
		return;
	struct command *command = add_command(turn, COMMAND_vm_report);
	if (!command)
		return;
	local->told = observed;
	local->told_generation = vm->generation;
	local->told_ms = now_ms;
	command->vm_report.node = agent->options.node;
	command->vm_report.vm = vm->id;
	command->vm_report.generation = vm->generation;
	command->vm_report.observed = observed;
	memcpy(command->vm_report.reason, reason, strlen(reason));
}

static bool concerns(const struct agent *agent, const struct vm *vm)
{
	return vm->node == agent->options.node || vm->target == agent->options.node;
}

static void tell_vms(
    struct agent *agent, const struct cluster *c, struct agent_turn *turn, uint64_t now_ms)
{
	/* A guest stands still until this is known. */
	cluster_each(c->vms, struct vm, vm) if (vm_duty(vm, agent->options.node) == VM_DUTY_SEND)
	    tell_sent(agent, vm, turn, now_ms);
	cluster_each(c->vms, struct vm, vm) if (concerns(agent, vm))
	    tell_vm(agent, vm, turn, now_ms);
}

static void make_sightings(
    struct agent *agent, const struct cluster *c, struct keepalive *k, uint64_t now_ms)
{
	uint32_t mine = 0;
	cluster_each(c->vms, struct vm, vm) mine += concerns(agent, vm);
	if (mine > LIST_MAX)
		mine = LIST_MAX;
	k->sightings.items = must_alloc(mine * sizeof(*k->sightings.items));
	cluster_each(c->vms, struct vm, vm)
	{
		if (!concerns(agent, vm) || k->sightings.count == mine)
			continue;
		enum vm_observed observed = sighting_of(agent, vm, now_ms);
		/* What the value has was true once; that nothing is known is no news. */
		if (observed == OBSERVED_UNKNOWN)
			continue;
		k->sightings.items[k->sightings.count++] = (struct sighting){
		    .vm = vm->id, .generation = vm->generation, .observed = observed};
	}
}

/* How far those are that go from here. */
static void make_movements(struct agent *agent, const struct cluster *c, struct keepalive *k)
{
	k->movements.items = must_alloc(agent->local.count * sizeof(*k->movements.items));
	for (unsigned i = 0; i < agent->local.count && k->movements.count < LIST_MAX; i++) {
		const struct local_vm *local = &agent->local.vms[i];
		const struct hypervisor_job *job = &local->job;
		const struct vm *vm =
		    local->moving && job->active ? cluster_vm_named(c, local->uuid) : NULL;
		if (!vm || vm->node != agent->options.node)
			continue;
		k->movements.items[k->movements.count++] = (struct movement){.vm = vm->id,
		    .generation = vm->generation,
		    .percent = job->percent,
		    .total_mib = job->total_mib,
		    .left_mib = job->left_mib,
		    .rate_mib_s = job->rate_mib_s,
		    .downtime_ms = job->downtime_ms,
		    .elapsed_ms = job->elapsed_ms};
	}
}

static void make_bridges(const struct host *host, struct keepalive *k)
{
	k->bridges.items = must_alloc(host->bridge_count * sizeof(*k->bridges.items));
	k->bridges.count = host->bridge_count;
	if (host->bridge_count)
		memcpy(
		    k->bridges.items, host->bridges, host->bridge_count * sizeof(*host->bridges));
}

static void make_keepalive(
    struct agent *agent, const struct cluster *c, struct keepalive *k, uint64_t now_ms)
{
	*k = (struct keepalive){
	    .node = agent->options.node,
	    .memory_total_mib = agent->host.memory_total_mib,
	    .memory_used_mib = agent->host.memory_used_mib,
	    .memory_free_mib = agent->host.memory_free_mib,
	    .vcpus_total = agent->host.vcpus_total,
	    .load_milli = agent->host.load_milli,
	    .late_ms = agent->late_ms,
	    .sightings_known = agent->local.known && !history_diverged_at(c),
	};
	/* By a value that is not the others' nothing can be said of VMs. */
	if (!history_diverged_at(c)) {
		make_sightings(agent, c, k, now_ms);
		make_movements(agent, c, k);
	}
	make_bridges(&agent->host, k);
	k->collectors.items = must_alloc(agent->collector_count * sizeof(*k->collectors.items));
	k->collectors.count = agent->collector_count;
	for (unsigned i = 0; i < agent->collector_count; i++) {
		k->collectors.items[i] = agent->collectors[i];
		uint64_t good_ms = agent->collectors[i].age_ms;
		k->collectors.items[i].age_ms = good_ms ? now_ms - good_ms : NODE_AGE_NEVER;
	}
	k->osds.items = must_alloc(agent->osd_count * sizeof(*k->osds.items));
	k->osds.count = agent->osd_count;
	if (agent->osd_count)
		memcpy(k->osds.items, agent->osds, agent->osd_count * sizeof(*agent->osds));
}

/* What held this daemon up; to wait for a leader, or to begin, is not to be late. */
static void measure_lateness(struct agent *agent, uint64_t now_ms)
{
	uint64_t late_ms =
	    agent->keepalive_waits || !agent->keepalive_ms ? 0 : now_ms - agent->keepalive_ms;
	agent->keepalive_waits = false;
	if (late_ms > agent->late_ms)
		agent->late_ms = late_ms < UINT32_MAX ? (uint32_t)late_ms : UINT32_MAX;
}

static void tell_keepalive(struct agent *agent, const struct cluster *c,
    const struct standing *standing, struct agent_turn *turn, uint64_t now_ms)
{
	if (now_ms < agent->keepalive_ms)
		return;
	/* Without a leader it stays due: the next one hears it at once. */
	if (!standing->leader_id) {
		agent->keepalive_waits = true;
		return;
	}
	measure_lateness(agent, now_ms);
	agent->keepalive_ms = now_ms + agent->options.keepalive_interval_ms;
	struct keepalive keepalive;
	make_keepalive(agent, c, &keepalive, now_ms);
	if (standing->leader_id == standing->id) {
		hear(agent, &keepalive);
		return;
	}
	buffer_append_u8(&turn->keepalive, AGENT_KEEPALIVE_MARK);
	record_encode(keepalive_record(), &keepalive, &turn->keepalive);
	record_clear(keepalive_record(), &keepalive);
}

/* Nothing can be placed on a node that was never heard: it need not wait for its turn. */
static bool heard_a_newcomer(const struct agent *agent, const struct cluster *c)
{
	for (unsigned i = 0; i < agent->heard_count; i++) {
		const struct node *node = cluster_node(c, agent->heard[i].node);
		if (node && !node->last.count)
			return true;
	}
	return false;
}

static void send_hash(
    struct agent_turn *turn, uint8_t mark, uint32_t to, const struct agreement_voice *voice)
{
	turn->hash_to = to;
	buffer_append_u8(&turn->hash, mark);
	buffer_append_u64(&turn->hash, voice->index);
	buffer_append_u64(&turn->hash, voice->hash);
}

/* What the leader judges by (agreement.h). One that is lost does not matter: the next tick brings
 * another. */
static void tell_hash(struct agent *agent, const struct cluster *c, const struct node *me,
    const struct standing *standing, struct agent_turn *turn)
{
	struct agreement_voice own = {0};
	bool asked = standing->leader_id && standing->leader_id != standing->id &&
		     me->mode != NODE_HYPERVISOR;
	if (!asked || history_last_tick(c, &own.index, &own.hash) || own.index == agent->told_tick)
		return;
	agent->told_tick = own.index;
	send_hash(turn, AGENT_HASH_MARK, (uint32_t)standing->leader_id, &own);
}

static void heed_word(struct agent *agent, struct cluster *c, const struct standing *standing)
{
	struct agreement_voice word = agent->word;
	uint64_t hash;
	agent->word = (struct agreement_voice){0};
	bool leaders = word.node && word.node == standing->leader_id && !standing->leader;
	if (leaders && !history_hash_at(c, word.index, &hash) && hash != word.hash)
		history_outvoted(c, word.index);
}

static void say_split(struct agent *agent, const struct cluster *c, uint32_t other, uint64_t now_ms)
{
	struct err why = {""};
	const struct node *node = cluster_node(c, other);
	if (other)
		err_set(&why, 0,
		    "the value of %s is another, and too few members answer to say whose is right",
		    node ? node->name : "another member");
	if (other || agent->split)
		agent_collected(agent, HEALTH_REPLICA, other ? COLLECTOR_STUCK : COLLECTOR_OK,
		    why.text, now_ms);
	agent->split = other;
}

/* Sets what the next tick can tell. False: this leader is the one that is wrong. */
static bool agree(struct agent *agent, struct cluster *c, uint64_t now_ms, struct agent_turn *turn)
{
	struct agreement_voice own = {.node = agent->options.node};
	uint32_t other, unlike = 0;
	agent->agreed = (struct agreement_voice){.index = c->index};
	if (history_last_tick(c, &own.index, &own.hash))
		return true;
	enum agreement_verdict verdict = agreement_judge(&agent->agreement, c, &own, &other);
	switch (verdict) {
	case AGREEMENT_WRONG:
		history_outvoted(c, own.index);
		break;
	case AGREEMENT_RIGHT:
		agent->agreed = own;
		break;
	case AGREEMENT_TIED:
		unlike = other;
		send_hash(turn, AGENT_WORD_MARK, other, &own);
		break;
	case AGREEMENT_SPLIT:
		unlike = other;
		break;
	case AGREEMENT_UNKNOWN:
		break;
	}
	say_split(agent, c, unlike, now_ms);
	return verdict != AGREEMENT_WRONG;
}

/* One entry for the whole cluster; the first of a term passes no time, because
 * nobody can say how long there was no leader. */
static void tell_tick(struct agent *agent, struct cluster *c, const struct standing *standing,
    struct agent_turn *turn, uint64_t now_ms)
{
	bool first = agent->tick_term != standing->term;
	uint64_t wait_ms = agent->options.keepalive_interval_ms;
	if (wait_ms > TICK_MS)
		wait_ms = TICK_MS;
	if (standing->leader_id != standing->id)
		forget_heard(agent);
	if (!standing->leader)
		return;
	if (heard_a_newcomer(agent, c) && wait_ms > TICK_NEWCOMER_MS)
		wait_ms = TICK_NEWCOMER_MS;
	/* Its own last keepalive, or what there was of others' at the end. */
	if (agent->leaving == DAEMON_STOP && agent->heard_count)
		wait_ms = 0;
	if (!first && now_ms - agent->tick_ms < wait_ms)
		return;
	struct command *command =
	    agree(agent, c, now_ms, turn) ? add_command(turn, COMMAND_tick) : NULL;
	if (!command)
		return;
	command->tick.elapsed_ms = first ? 0 : now_ms - agent->tick_ms;
	command->tick.hash_index = agent->agreed.index;
	command->tick.hash = agent->agreed.hash;
	command->tick.keepalives.items = must_alloc(agent->heard_count * sizeof(*agent->heard));
	command->tick.keepalives.count = agent->heard_count;
	if (agent->heard_count)
		memcpy(command->tick.keepalives.items, agent->heard,
		    agent->heard_count * sizeof(*agent->heard));
	agent->heard_count = 0;
	agent->tick_term = standing->term;
	agent->tick_ms = now_ms;
}

uint64_t agent_free_ms(const struct agent *agent, const struct standing *standing, uint64_t now_ms)
{
	struct coordinator_options options = {.lease_ms = agent->options.lease_ms};
	uint64_t serve_ms = coordinator_serve_ms(standing, &options);
	if (!standing->leader || serve_ms <= now_ms)
		return UINT64_MAX;
	return standing->free_ms > now_ms ? standing->free_ms : serve_ms;
}

static void turn_coordinator(struct agent *agent, const struct cluster *c,
    const struct standing *standing, const struct holding *holding, uint64_t now_ms,
    struct agent_turn *turn)
{
	struct coordinator_options options = {.lease_ms = agent->options.lease_ms};
	struct coordinator_turn co;
	coordinator_turn(&agent->coordinator, c, standing, &options, holding, now_ms, &co);
	turn->hold = co.hold;
	turn->serve = co.serve;
	turn->transfer_to = co.transfer_to;
	if (!co.propose)
		return;
	struct command *command = add_command(turn, co.command.number);
	if (command)
		*command = co.command;
}

/* The one after whom it was tried with last: one of them must be a voter. 0: nobody. */
static uint32_t next_leader(const struct agent *agent, const struct cluster *c)
{
	uint32_t self = agent->options.node;
	uint32_t next = health_next_leader(c, self, agent->left_to);
	return next ? next : health_next_leader(c, self, 0);
}

/* A replica that has diverged knows nothing: it does not act on its value, does not lead, and
 * says so to everybody. Its VMs go on running: it is not known which are its own. */
static void turn_diverged(struct agent *agent, const struct cluster *c,
    const struct standing *standing, uint64_t now_ms, struct agent_turn *turn)
{
	struct err why;
	err_set(&why, 0, "its value differs from the others' since entry %" PRIu64 ": join it anew",
	    history_diverged_at(c));
	agent_collected(agent, HEALTH_REPLICA, COLLECTOR_FAILED, why.text, now_ms);
	tell_keepalive(agent, c, standing, turn, now_ms);
	if (!standing->leader || now_ms - agent->left_ms < LEAVE_AGAIN_MS)
		return;
	agent->left_ms = now_ms;
	agent->left_to = turn->transfer_to = next_leader(agent, c);
}

void agent_turn(struct agent *agent, struct cluster *c, const struct standing *standing,
    const struct holding *holding, uint64_t now_ms, struct agent_turn *turn)
{
	/* Not the commands: there is room for many, and this runs at every turn of the loop. */
	turn->count = turn->action_count = 0;
	turn->actions = NULL;
	turn->hold = turn->serve = turn->look = false;
	turn->transfer_to = 0;
	turn->keepalive = turn->hash = (struct buffer){0};
	const struct node *me = cluster_node(c, agent->options.node);
	if (agent->options.hypervisor)
		local_note(&agent->local, c, agent->options.node, now_ms);
	heed_word(agent, c, standing);
	if (history_diverged_at(c)) {
		turn_diverged(agent, c, standing, now_ms, turn);
		return;
	}
	/* Opened again, the log may hold less than before: until it has told us that we are there,
	 * and with that all that went before, the value may be older than what we did by it. */
	if (!standing->id) {
		agent->hello_done = false;
		agent->told_hello_ms = 0;
	}
	if (agent->hello_done)
		plan_note_sent(&agent->local, c, agent->options.node, now_ms);
	turn_coordinator(agent, c, standing, holding, now_ms, turn);
	tell_keepalive(agent, c, standing, turn, now_ms);
	tell_tick(agent, c, standing, turn, now_ms);
	if (!me || !standing->leader_id)
		return;
	if (!agent->hello_done) {
		if (agent->leaving)
			tell_state(agent, c, me, turn, now_ms);
		else
			tell_hello(agent, turn, now_ms);
		return;
	}
	tell_hash(agent, c, me, standing, turn);
	tell_state(agent, c, me, turn, now_ms);
	tell_interval(agent, c, me, turn, now_ms);
	if (!agent->options.hypervisor || agent->leaving == DAEMON_STOP)
		return;
	struct plan_options options = {
	    .node = agent->options.node,
	    .shutdown_timeout_ms = agent->options.shutdown_timeout_ms,
	    .leaving = agent->leaving != DAEMON_INIT,
	};
	plan_make(&agent->plan, c, standing, &options, &agent->local, now_ms);
	turn->actions = agent->plan.actions;
	turn->action_count = agent->plan.count;
	turn->look = agent->local.look_wanted;
	tell_vms(agent, c, turn, now_ms);
}

void agent_turn_close(struct agent_turn *turn)
{
	for (unsigned i = 0; i < turn->count; i++)
		command_clear(&turn->commands[i]);
	buffer_close(&turn->keepalive);
	buffer_close(&turn->hash);
}

uint64_t agent_next_ms(const struct agent *agent, uint64_t now_ms)
{
	uint64_t soon_ms = now_ms + LOOK_AGAIN_MS;
	/* One that is overdue waits for a leader, which stirs us by itself. */
	bool later = agent->keepalive_ms > now_ms && agent->keepalive_ms < soon_ms;
	return later ? agent->keepalive_ms : soon_ms;
}

void agent_leave(struct agent *agent, enum daemon_state state)
{
	if (agent->leaving != state && state == DAEMON_STOP)
		agent->keepalive_ms = 0;
	agent->leaving = state;
}

bool agent_busy(const struct agent *agent)
{
	for (unsigned i = 0; i < agent->local.count; i++)
		if (agent->local.vms[i].busy && !agent->local.vms[i].waits)
			return true;
	return false;
}
