#include "node/duties.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"
#include "fsm/history.h"
#include "fsm/memory.h"
#include "fsm/node.h"
#include "node/vm/execute.h"
#include "node/member/health.h"
#include "node/primary/holdings.h"
#include "node/host.h"
#include "node/laps.h"
#include "node/log/log.h"
#include "node/member/members.h"
#include "node/own_address.h"
#include "node/member/pace.h"
#include "node/pool_watch.h"

#define PROPOSE_TIMEOUT_MS 10000
/* Reports of VMs under way: most of what may be (ledger.h) is left to people. */
#define REPORTS_MAX	  16
#define MEMBER_AGAIN_MS	  200
#define TRANSFER_AGAIN_MS 500
/* Without a majority for that long, who is ended need not wait until it has told it. */
#define LEAVE_UNSAID_MS 3000
/* Without a guard for that long, the lead goes to somebody else. */
#define UNGUARDED_MS 2000
/* So long nothing must have been wrong with a disk before it is called well again. */
#define DISK_WELL_MS 10000

struct duties {
	struct duties_options options;
	struct agent agent;
	struct execute *execute; /* NULL: this node runs no VMs */
	struct pool_watch *pool; /* NULL: this node uses no disk pool */
	unsigned parts; /* on closing: what is not closed yet */
	struct holdings *holdings;
	int disk_error; /* of the log, as wal_status has it */
	uint64_t disk_ill_ms; /* when it last was */
	bool disk_said; /* that it is */
	uint64_t closed_ms; /* when the log was last seen closed, for a reason; 0: never */
	uint64_t guarded_ms; /* when there last was a guard */
	bool unguarded;
	unsigned reports; /* under way */
	uint64_t host_ms, member_ms, transfer_ms;
	struct stopping stopping;
	char awaited[STOPPING_TEXT_MAX]; /* by it; "": nothing */
	bool announced_divergence;
	bool holding; /* the guard has been told to hold */
	bool leased; /* when last looked at */
	bool lost; /* out of touch for long enough to go without a word */
	uint64_t current_ms; /* when we were last in touch */
	struct standing standing; /* of the last turn */
	/* Of the last turn, to log what changed. */
	uint64_t logged_leader, logged_epoch;
	enum coordinator_state logged_primary;
};

static void changed(void *data)
{
	struct duties *d = data;
	d->options.stirred(d->options.data);
}

static struct agent_options agent_options(const struct config *config, uint32_t id)
{
	const struct config_intervals *intervals = &config->system.intervals;
	uint64_t lease_ms = config_lease_ms(&config->raft);
	return (struct agent_options){
	    .node = id,
	    .keepalive_interval_ms = (uint64_t)intervals->keepalive_interval * 1000,
	    .shutdown_timeout_ms = (uint64_t)intervals->vm_shutdown_timeout * 1000,
	    /* Our own lease, were a clock an eighth slower than ours. */
	    .lease_ms = lease_ms + lease_ms / 8,
	    .hypervisor = config->functions.enable_hypervisor,
	};
}

static void closed(void *data)
{
	struct duties *d = data;
	if (--d->parts)
		return;
	agent_close(&d->agent);
	free(d);
}

void duties_close(struct duties *d)
{
	d->parts = 1 + (d->execute != NULL) + (d->pool != NULL);
	if (d->holdings)
		holdings_close(d->holdings);
	if (d->execute)
		execute_close(d->execute, closed, d);
	if (d->pool)
		pool_watch_close(d->pool, closed, d);
	closed(d);
}

int duties_open(struct duties **duties, const struct duties_options *options, struct err *err)
{
	struct duties *d = must_alloc(sizeof(*d));
	d->options = *options;
	struct agent_options agent = agent_options(options->config, options->context->id);
	agent_init(&d->agent, &agent);
	host_read(&d->agent.host);
	own_addresses(options->config, d->agent.host.addresses);
	config_migration_uri(options->config, d->agent.host.migration_uri);
	struct holdings_options holdings = {
	    .loop = options->loop, .config = options->config, .changed = changed, .data = d};
	int result = holdings_open(&d->holdings, &holdings, err);
	struct execute_options execute = {
	    .loop = options->loop,
	    .config = options->config,
	    .agent = &d->agent,
	    .cluster = options->context->cluster,
	    .look_every_ms = agent.keepalive_interval_ms,
	    .changed = changed,
	    .data = d,
	};
	struct pool_watch_options pool = {
	    .loop = options->loop,
	    .config = options->config,
	    .context = options->context,
	    .agent = &d->agent,
	    .changed = changed,
	    .data = d,
	};
	if (!result && agent.hypervisor)
		result = execute_open(&d->execute, &execute, err);
	if (!result && options->config->functions.enable_storage)
		result = pool_watch_open(&d->pool, &pool, err);
	if (!result)
		*duties = d;
	else
		duties_close(d);
	return result;
}

void duties_heard(struct duties *d, uint64_t from, const uint8_t *bytes, size_t size)
{
	agent_heard(&d->agent, (uint32_t)from, bytes, size);
}

/* What the log of this daemon tells people about the cluster. */

static const char *name_of(const struct cluster *c, uint64_t id)
{
	const struct node *node = cluster_node(c, (uint32_t)id);
	return node ? node->name : "nobody";
}

static void log_changes(struct duties *d, const struct cluster *c)
{
	bool known = !d->standing.term || !d->standing.leader_id ||
		     cluster_node(c, (uint32_t)d->standing.leader_id);
	/* One that was just started has heard of the leader before it knows its name. */
	if (d->standing.leader_id != d->logged_leader && known) {
		log_info("Leader of term %" PRIu64 ": %s", d->standing.term,
		    name_of(c, d->standing.leader_id));
		d->logged_leader = d->standing.leader_id;
	}
	if (c->primary.epoch == d->logged_epoch && c->primary.state == d->logged_primary)
		return;
	if (c->primary.state == COORDINATOR_TAKEOVER)
		log_system("Takeover: %s takes the role of primary, epoch %" PRIu64,
		    name_of(c, c->primary.node), c->primary.epoch);
	else if (c->primary.state == COORDINATOR_PRIMARY)
		log_ok("Primary coordinator: %s, epoch %" PRIu64, name_of(c, c->primary.node),
		    c->primary.epoch);
	d->logged_epoch = c->primary.epoch;
	d->logged_primary = c->primary.state;
}

static void log_divergence(struct duties *d, const struct cluster *c)
{
	uint64_t index = history_diverged_at(c);
	if (!index || d->announced_divergence)
		return;
	d->announced_divergence = true;
	log_error("This replica differs from the others' since index %" PRIu64
		  ": it does nothing any more. Remove this node and join it anew.",
	    index);
}

static void log_keepalive(const struct duties *d)
{
	const struct config_logging *logging = &d->options.config->system.configuration.logging;
	const struct cluster *c = d->options.context->cluster;
	const struct host *host = &d->agent.host;
	struct memory m;
	const struct node *me = cluster_node(c, d->options.context->id);
	if (!logging->log_keepalives || !me)
		return;
	memory_of(c, me, &m);
	log_tick("%s keepalive: %s, %s; VMs running: %u; load %u.%02u; memory used %" PRIu64
		 " MiB, free %" PRIu64 " MiB",
	    me->name, state_name(daemon_state_names, me->daemon_state),
	    state_name(coordinator_state_names, me->coordinator_state), m.vms_running,
	    host->load_milli / 1000, host->load_milli / 10 % 100, host->memory_used_mib,
	    host->memory_free_mib);
	if (logging->log_keepalive_cluster_details)
		log_tick("  cluster: primary %s, %u nodes, %u VMs, term %" PRIu64
			 ", index %" PRIu64,
		    name_of(c, c->primary.node), c->nodes.count, c->vms.count, d->standing.term,
		    c->index);
	if (logging->log_keepalive_storage_details && d->pool && c->ceph.known & CEPH_STATUS)
		log_tick("  storage: Ceph %s, %" PRIu32 " OSDs, %" PRIu32 " up, %" PRIu32
			 " in; used %" PRIu64 " MiB of %" PRIu64 " MiB",
		    state_name(ceph_health_names, c->ceph.health), c->ceph.osds, c->ceph.osds_up,
		    c->ceph.osds_in, c->ceph.used_kib / 1024, c->ceph.size_kib / 1024);
}

static void debug_keepalive(uint64_t due_ms, uint64_t now, const struct laps *laps)
{
	char text[LAPS_TEXT_MAX];
	log_debug("main", "keepalive %" PRIu64 " ms after it was due: %s",
	    due_ms ? now - due_ms : 0, laps_text(laps, text));
}

/* What the agent said. */

static void said_hello(void *data, int result, uint64_t index, const struct err *err)
{
	struct duties *d = data;
	d->agent.hello_done |= result >= 0;
	changed(d);
}

static void proposed(void *data, int result, uint64_t index, const struct err *err)
{
	/* ESTALE: the value moved on meanwhile; the next turn looks at the new one. */
	if (result < 0 && result != -ESTALE && result != -ENOTCONN && result != -ETIMEDOUT)
		log_warning("The log refused what this node told it: %s", err->text);
}

static void reported(void *data, int result, uint64_t index, const struct err *err)
{
	struct duties *d = data;
	d->reports--;
	proposed(data, result, index, err);
}

static void propose_all(struct duties *d, struct agent_turn *turn)
{
	const struct context *context = d->options.context;
	for (unsigned i = 0; i < turn->count; i++) {
		struct command *command = &turn->commands[i];
		bool report =
		    command->number == COMMAND_vm_report || command->number == COMMAND_vm_fail;
		/* The agent says it again, and the keepalive says the same. */
		if (report && d->reports == REPORTS_MAX)
			continue;
		d->reports += report;
		context->propose(context->data, command, PROPOSE_TIMEOUT_MS,
		    report				    ? reported
		    : command->number == COMMAND_node_hello ? said_hello
							    : proposed,
		    d);
	}
}

static void turn_members(struct duties *d, const struct cluster *c, uint64_t now)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	/* Who are members is not for a value to say that is not the others'. */
	if (!d->standing.leader || history_diverged_at(c) || now - d->member_ms < MEMBER_AGAIN_MS)
		return;
	struct replica *replica = ledger_replica(d->options.ledger);
	struct members_view view = {
	    .cluster = c,
	    .members = members,
	    .n = replica_members(replica, members, REPLICA_MEMBERS_MAX),
	    .self = d->standing.id,
	    .now_ms = now,
	    .replace_after_ms = (uint64_t)d->options.config->raft.replace_after * 1000,
	};
	struct member_change change = members_change(&view);
	if (change.type == MEMBER_CHANGE_NONE)
		return;
	d->member_ms = now;
	if (change.type == MEMBER_CHANGE_LEAD)
		replica_transfer(replica, change.id, now);
	else
		ledger_change_member(d->options.ledger, &change);
}

/* To one that would not give the lead back, if it votes. Begun? */
static bool lead_handed_on(struct duties *d, struct replica *replica, uint64_t now)
{
	const struct cluster *c = d->options.context->cluster;
	uint32_t next = 0;
	while ((next = health_next_leader(c, d->standing.id, next)))
		if (!replica_transfer(replica, next, now))
			return true;
	return false;
}

static void turn_leave(struct duties *d, uint64_t now)
{
	struct replica *replica = ledger_replica(d->options.ledger);
	bool ill = d->disk_error != 0 || d->unguarded;
	bool stopping = stopping_hands_on(&d->stopping);
	if (!(stopping || ill) || !replica || d->standing.leader_id != d->standing.id)
		return;
	if (now - d->transfer_ms < TRANSFER_AGAIN_MS)
		return;
	d->transfer_ms = now;
	if (!lead_handed_on(d, replica, now) && stopping)
		replica_transfer(replica, 0, now);
}

/* It is started again and again; but until that comes about nobody should hold anything here, nor
 * be handed the lead. */
static void turn_guard(struct duties *d, uint64_t now)
{
	if (holdings_guarded(d->holdings) || !d->guarded_ms)
		d->guarded_ms = now;
	bool failing = now - d->guarded_ms >= UNGUARDED_MS;
	agent_collected(&d->agent, HEALTH_GUARD, failing ? COLLECTOR_FAILED : COLLECTOR_OK,
	    failing ? "it cannot be started" : "", now);
	if (failing && !d->unguarded)
		log_error("The guard cannot be started: another node is to lead");
	else if (!failing && d->unguarded)
		log_ok("There is a guard again");
	d->unguarded = failing;
}

/* How the services are goes to everybody with the keepalive. */
/* What the role cannot hold is told to everybody, as what the node measures is. */
static void turn_addresses(struct duties *d, uint64_t now)
{
	char text[HOLDINGS_TEXT_MAX];
	bool failing = holdings_addresses_failing(d->holdings, text);
	agent_collected(
	    &d->agent, "addresses", failing ? COLLECTOR_FAILED : COLLECTOR_OK, text, now);
}

static void turn_services(struct duties *d, uint64_t now)
{
	char text[HOLDINGS_TEXT_MAX];
	if (!d->options.config->services_count)
		return;
	bool failing = holdings_failing(d->holdings, text);
	agent_collected(
	    &d->agent, "services", failing ? COLLECTOR_FAILED : COLLECTOR_OK, text, now);
}

/* Of the kernel's own files: nothing that could keep us waiting. */
static void measure_host(struct duties *d, uint64_t now)
{
	struct err why = {""};
	int result = host_read(&d->agent.host);
	if (result)
		err_set(&why, 0, "/proc/meminfo: %s", strerror(-result));
	agent_collected(&d->agent, "host", result ? COLLECTOR_FAILED : COLLECTOR_OK, why.text, now);
	if (!d->agent.hello_done)
		own_addresses(d->options.config, d->agent.host.addresses);
}

/* How the log is doing, and with it how patient this member should be. */
static void measure_log(struct duties *d, struct replica *replica)
{
	const struct config_raft *raft = &d->options.config->raft;
	struct replica_status status;
	struct wal_status wal;
	ledger_wal_status(d->options.ledger, &wal);
	d->disk_error = wal.last_error;
	if (!replica)
		return;
	replica_status(replica, &status);
	struct pace pace = {
	    .election_ms = raft->election_ms,
	    .heartbeat_ms = raft->heartbeat_ms,
	    .rtt_us = d->options.rtt_us(d->options.data),
	    .write_us_p50 = wal.write_us_p50,
	    .write_us_p99 = wal.write_us_p99,
	};
	unsigned election_ms = pace_election(&pace, status.election_ms);
	if (election_ms == status.election_ms)
		return;
	log_info("An election is called after %u ms from now on: round trips take %" PRIu32
		 " us, writes %" PRIu64 " us",
	    election_ms, pace.rtt_us, wal.write_us_p99);
	replica_set_election(replica, election_ms);
}

/* A leader whose disk is slow gives the lead away by itself (replica.h); one whose disk is full
 * lives on its reserve and leaves while it can (turn_leave). Here both are said. */
static void watch_disk(struct duties *d, const struct replica *replica, uint64_t now)
{
	struct replica_status status;
	struct err why = {""};
	enum collector_state disk = COLLECTOR_OK;
	replica_status(replica, &status);
	uint64_t waits_ms = status.write_since_ms ? now - status.write_since_ms : 0;
	if (d->disk_error) {
		disk = COLLECTOR_FAILED;
		err_set(&why, 0, "The log's disk: %s", strerror(-d->disk_error));
	} else if (waits_ms >= config_lease_ms(&d->options.config->raft)) {
		disk = COLLECTOR_STUCK;
		err_set(&why, 0, "The log's disk has not answered for %" PRIu64 " ms", waits_ms);
	} else if (d->closed_ms && now - d->closed_ms < DISK_WELL_MS) {
		/* One that closes soon after each opening is not well while it is open. */
		disk = COLLECTOR_FAILED;
		err_set(&why, 0, "The log was closed: %s", ledger_trouble(d->options.ledger));
	}
	agent_collected(&d->agent, HEALTH_LOG, disk, why.text, now);
	if (disk != COLLECTOR_OK)
		d->disk_ill_ms = now;
	if (disk != COLLECTOR_OK && !d->disk_said)
		log_error("%s: another node is to lead", why.text);
	else if (disk == COLLECTOR_OK && d->disk_said && now - d->disk_ill_ms >= DISK_WELL_MS)
		log_ok("The log's disk is well again");
	else
		return;
	d->disk_said = disk != COLLECTOR_OK;
}

static void tell(struct duties *d, uint64_t node, const struct buffer *bytes)
{
	if (bytes->size)
		d->options.send(d->options.data, node, bytes->data, bytes->size);
}

/* Somebody else votes, and may lead when this node does not. */
static bool another_votes(const struct duties *d, const struct replica *replica)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	unsigned n = replica ? replica_members(replica, members, REPLICA_MEMBERS_MAX) : 0;
	for (unsigned i = 0; i < n; i++)
		if (members[i].role == MEMBER_VOTER && members[i].id != d->options.context->id)
			return true;
	return false;
}

/* Returns whether what is held here is to be let go of, whoever leads. */
static bool turn_stopping(
    struct duties *d, const struct replica *replica, const struct holding *holding, uint64_t now)
{
	struct stopping_view view = {
	    .cluster = d->options.context->cluster,
	    .node = d->options.context->id,
	    .now_ms = now,
	    .leads = d->standing.leader_id && d->standing.leader_id == d->standing.id,
	    .follower = another_votes(d, replica),
	    .gone = holding->addresses_gone && holding->services_gone,
	    .busy = agent_busy(&d->agent),
	    .lost = d->lost,
	};
	if (stopping_turn(&d->stopping, &view))
		changed(d);
	agent_leave(&d->agent, stopping_says(&d->stopping));
	stopping_awaits(&d->stopping, &view, d->awaited);
	return stopping_lets_go(&d->stopping, &view);
}

uint64_t duties_turn(struct duties *d, uint64_t now)
{
	struct cluster *c = d->options.context->cluster;
	struct replica *replica = ledger_replica(d->options.ledger);
	struct holding holding;
	struct agent_turn turn;
	struct laps laps = laps_begin();
	if (now >= d->host_ms) {
		measure_host(d, now);
		laps_take(&laps, "host");
		measure_log(d, replica);
		laps_take(&laps, "log");
		d->host_ms = now + d->agent.options.keepalive_interval_ms / 2;
	}
	if (!replica && *ledger_trouble(d->options.ledger))
		d->closed_ms = now;
	if (replica)
		watch_disk(d, replica, now);
	turn_addresses(d, now);
	turn_guard(d, now);
	turn_services(d, now);
	d->standing = standing_of(replica, now);
	if (d->standing.current)
		d->current_ms = now;
	d->lost = now - d->current_ms >= LEAVE_UNSAID_MS;
	holdings_status(d->holdings, &holding);
	uint64_t keepalive_ms = d->agent.keepalive_ms;
	laps_take(&laps, "holdings");
	agent_turn(&d->agent, c, &d->standing, &holding, now, &turn);
	laps_take(&laps, "judging");
	bool told = keepalive_ms != d->agent.keepalive_ms;
	if (told)
		log_keepalive(d);
	/* One that is ended goes on holding until another leads, if there is another. */
	bool lets_go = turn_stopping(d, replica, &holding, now);
	d->holding = turn.hold && !lets_go;
	if (d->holding)
		holdings_take(d->holdings, d->standing.lease_until_ms);
	else
		holdings_drop(d->holdings);
	if (d->holding && turn.serve)
		holdings_serve(d->holdings);
	for (unsigned i = 0; i < turn.action_count; i++)
		execute_begin(d->execute, &turn.actions[i]);
	if (turn.look && d->execute)
		execute_look(d->execute);
	propose_all(d, &turn);
	if (turn.transfer_to && replica)
		replica_transfer(replica, turn.transfer_to, now);
	tell(d, d->standing.leader_id, &turn.keepalive);
	tell(d, turn.hash_to, &turn.hash);
	agent_turn_close(&turn);
	turn_members(d, c, now);
	turn_leave(d, now);
	log_changes(d, c);
	log_divergence(d, c);
	laps_take(&laps, "acting");
	if (told)
		debug_keepalive(keepalive_ms, now, &laps);
	uint64_t next = agent_next_ms(&d->agent, now);
	uint64_t look = d->execute ? execute_turn(d->execute, now) : UINT64_MAX;
	uint64_t pool = d->pool ? pool_watch_turn(d->pool, now) : UINT64_MAX;
	/* The moment from which nobody else can hold what a new leader waits for. */
	uint64_t free_ms = agent_free_ms(&d->agent, &d->standing, now);
	next = free_ms < next ? free_ms : next;
	next = pool < next ? pool : next;
	return look < next ? look : next;
}

uint64_t duties_renew(struct duties *d, uint64_t now)
{
	struct replica *replica = ledger_replica(d->options.ledger);
	uint64_t lease_ms = replica ? replica_lease_left(replica, now) : 0;
	/* The first round of answers makes a leader whole; nothing else tells of it. */
	if ((lease_ms > 0) != d->leased)
		changed(d);
	d->leased = lease_ms > 0;
	if (!d->holding)
		return UINT64_MAX;
	if (lease_ms)
		holdings_take(d->holdings, now + lease_ms);
	return now + lease_ms / 4 + 1;
}

void duties_collected(struct duties *d, const char *collector, enum collector_state state,
    const char *message, uint64_t now_ms)
{
	agent_collected(&d->agent, collector, state, message, now_ms);
}

void duties_flush(struct duties *d, const struct execute_flush *flush)
{
	struct err err;
	if (d->execute) {
		execute_flush(d->execute, flush);
		return;
	}
	err_set(&err, 0, "this node runs no VMs: ask one that does");
	flush->done(flush->data, &(struct locks_outcome){.status = -EOPNOTSUPP, .err = &err});
}

void duties_validate(struct duties *d, const char *xml, context_checked done, void *data)
{
	struct err err = {""};
	if (d->execute)
		execute_validate(d->execute, xml, done, data);
	else
		done(data, -EOPNOTSUPP, &err);
}

void duties_stop(struct duties *d, uint64_t now_ms)
{
	stopping_ask(&d->stopping, now_ms);
	agent_leave(&d->agent, stopping_says(&d->stopping));
	changed(d);
}

bool duties_stopped(const struct duties *d)
{
	struct holding holding;
	holdings_status(d->holdings, &holding);
	return d->stopping.step == STOPPING_DONE && holding.addresses_gone && holding.services_gone;
}

void duties_awaits(const struct duties *d, char text[STOPPING_TEXT_MAX])
{
	memcpy(text, d->awaited, sizeof(d->awaited));
}
