/* Where this node's replica of the log stands: `raft status`, `raft members`, `raft transfer`. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/history.h"
#include "fsm/schema.h"
#include "node/config/config.h"
#include "node/member/health.h"
#include "node/operation/json.h"
#include "node/operation/operation_raft.h"
#include "raft/configuration.h"
#include "raft/peers.h"
#include "raft/wal.h"

static const char *role_text(enum replica_role role)
{
	switch (role) {
	case REPLICA_FOLLOWER:
		return "follower";
	case REPLICA_CANDIDATE:
		return "candidate";
	case REPLICA_LEADER:
		return "leader";
	case REPLICA_FAILED:
		return "failed";
	}
	return "?";
}

bool raft_asked_elsewhere(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	if (!argument_given(turn->arguments, "member"))
		return false;
	const struct node *node = turn_node(turn, "member");
	if (!node)
		return true;
	if (node->id == context->id)
		return false;
	json_t *arguments = json_copy(turn->arguments);
	json_object_del(arguments, "member");
	turn_ask(turn, node, arguments);
	json_decref(arguments);
	return true;
}

uint64_t raft_term_at(const struct context *context, uint64_t index)
{
	struct replica_status s;
	struct disk_entry entry;
	const struct replica *r = context->replica(context->data);
	if (!r)
		return 0;
	replica_status(r, &s);
	if (!replica_entry(r, index, &entry))
		return entry.term;
	return index && index == s.snapshot_index ? s.snapshot_term : 0;
}

json_t *raft_hash_json(uint64_t hash)
{
	return json_sprintf("%016" PRIx64, hash);
}

static json_t *u64_or_null(uint64_t value)
{
	return value ? json_u64(value) : json_null();
}

static uint64_t age_of(uint64_t now_ms, uint64_t then_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* Members. */

struct connections {
	unsigned n;
	struct peers_status peers[PEERS_MEMBERS_MAX];
};

static struct connections *connections_of(const struct context *context)
{
	struct connections *c = must_alloc(sizeof(*c));
	if (context->peers)
		c->n = context->peers(context->data, c->peers, PEERS_MEMBERS_MAX);
	return c;
}

static void add_connection(json_t *json, const struct connections *c, uint64_t id)
{
	const struct peers_status *p = NULL;
	for (unsigned i = 0; i < c->n; i++)
		if (c->peers[i].id == id)
			p = &c->peers[i];
	bool known = p && p->sending && p->rtt_us;
	json_object_set_new(json, "rtt_us", known ? json_u64(p->rtt_us) : json_null());
	json_object_set_new(json, "connected", p ? json_boolean(p->sending) : json_null());
	json_object_set_new(json, "error", p && *p->error ? json_text(p->error) : json_null());
}

static json_t *members_json(const struct context *context, const struct health_log *log)
{
	struct connections *connections = connections_of(context);
	uint64_t now_ms = context->now_ms(context->data);
	json_t *list = json_array();
	for (unsigned i = 0; i < log->members_count; i++) {
		const struct replica_member *m = &log->members[i];
		/* Only the leader knows how far the others are. */
		bool leads = log->status.role == REPLICA_LEADER;
		bool known = leads && (m->match || m->heard_ms);
		uint64_t lag = log->status.last > m->match ? log->status.last - m->match : 0;
		json_t *json = json_pack("{s:I, s:o, s:s, s:o}", "id", (json_int_t)m->id, "node",
		    node_name_json(context->cluster, m->id), "role",
		    state_name(member_role_names, m->role), "address", json_text(m->address));
		json_object_set_new(json, "match_index", known ? json_u64(m->match) : json_null());
		json_object_set_new(json, "next_index", leads ? json_u64(m->next) : json_null());
		json_object_set_new(json, "lag", known ? json_u64(lag) : json_null());
		json_object_set_new(json, "heard_age_ms",
		    m->contact_ms ? json_u64(age_of(now_ms, m->contact_ms)) : json_null());
		add_connection(json, connections, m->id);
		json_array_append_new(list, json);
	}
	free(connections);
	return list;
}

void operation_raft_members(struct operation_turn *turn)
{
	struct err err;
	if (!turn_replica(turn->context, &err)) {
		turn_refuse(turn, -EIO, &err);
		return;
	}
	struct health_log *log = turn_log(turn->context);
	json_t *json = json_pack("{s:s, s:o, s:o}", "schema", "raft-members/1", "leader",
	    node_name_json(turn->context->cluster, log->status.leader), "members",
	    members_json(turn->context, log));
	free(log);
	turn_answer(turn, json);
}

/* Status. */

static void add_value(json_t *json, const struct context *context)
{
	const struct cluster *c = context->cluster;
	const struct config *config = context->config;
	json_object_set_new(json, "state_hash", raft_hash_json(c->hash));
	json_object_set_new(json, "hash_index", json_u64(c->index));
	json_object_set_new(json, "diverged_at", u64_or_null(history_diverged_at(c)));
	json_object_set_new(json, "schema_version", json_integer(c->settings.schema));
	json_object_set_new(json, "schema_min", json_integer(SCHEMA_MIN));
	json_object_set_new(json, "schema_max", json_integer(SCHEMA_MAX));
	json_object_set_new(json, "version", json_string(PVC_VERSION));
	json_object_set_new(json, "libraft", json_string(replica_library_version()));
	json_object_set_new(json, "data_directory",
	    config ? json_text(config->system.configuration.directories.data_directory)
		   : json_null());
}

static void add_files(json_t *json, const struct context *context)
{
	struct wal_status wal = {0};
	uint64_t now_ms = context->now_ms(context->data);
	if (context->files)
		context->files(context->data, &wal);
	json_object_set_new(json, "bytes", u64_or_null(wal.bytes));
	json_object_set_new(json, "segments_count", u64_or_null(wal.segments));
	json_object_set_new(
	    json, "free_bytes", wal.free_ms ? json_u64(wal.free_bytes) : json_null());
	json_object_set_new(
	    json, "free_age_ms", wal.free_ms ? json_u64(age_of(now_ms, wal.free_ms)) : json_null());
	json_object_set_new(json, "write_us",
	    json_pack("{s:o, s:o, s:o}", "p50", json_u64(wal.write_us_p50), "p99",
		json_u64(wal.write_us_p99), "max", json_u64(wal.write_us_max)));
	json_object_set_new(json, "disk_error",
	    wal.last_error ? json_string(strerror(-wal.last_error)) : json_null());
}

static void add_indexes(json_t *json, const struct replica_status *s)
{
	json_object_set_new(json, "first_index", json_u64(s->first));
	json_object_set_new(json, "last_index", json_u64(s->last));
	json_object_set_new(json, "commit_index", json_u64(s->commit));
	json_object_set_new(json, "applied_index", json_u64(s->applied));
	json_object_set_new(json, "snapshot_index", json_u64(s->snapshot_index));
	json_object_set_new(json, "snapshot_term", json_u64(s->snapshot_term));
	json_object_set_new(json, "snapshot_bytes", json_u64(s->snapshot_bytes));
	json_object_set_new(json, "log_bytes", json_u64(s->log_bytes));
}

static void add_leader(
    json_t *json, const struct context *context, const struct replica_status *s, uint64_t now_ms)
{
	struct replica *r = context->replica(context->data);
	json_object_set_new(json, "term", json_u64(s->term));
	json_object_set_new(json, "vote", u64_or_null(s->vote));
	json_object_set_new(json, "vote_node", node_name_json(context->cluster, s->vote));
	json_object_set_new(json, "leader", node_name_json(context->cluster, s->leader));
	json_object_set_new(json, "leader_age_ms",
	    s->leader ? json_u64(age_of(now_ms, s->leader_since_ms)) : json_null());
	json_object_set_new(
	    json, "heard_age_ms", s->leader ? json_u64(age_of(now_ms, s->heard_ms)) : json_null());
	json_object_set_new(json, "lease_left_ms",
	    s->role == REPLICA_LEADER ? json_u64(replica_lease_left(r, now_ms)) : json_null());
	json_object_set_new(json, "heartbeat_ms", json_integer(s->heartbeat_ms));
	json_object_set_new(json, "election_ms", json_integer(s->election_ms));
	json_object_set_new(json, "lease_ms", json_integer(s->lease_ms));
}

static void add_replica(json_t *json, const struct context *context, const struct health_log *log)
{
	const struct replica_status *s = &log->status;
	uint64_t now_ms = context->now_ms(context->data);
	uint64_t waits_ms = s->write_since_ms ? age_of(now_ms, s->write_since_ms) : 0;
	add_leader(json, context, s, now_ms);
	add_indexes(json, s);
	json_object_set_new(json, "write_ms_max", json_u64(s->write_ms_max));
	json_object_set_new(json, "write_waits_ms", json_u64(waits_ms));
	json_object_set_new(json, "bad_messages", json_u64(s->bad_messages));
	json_object_set_new(json, "voters", json_integer(s->voters));
	json_object_set_new(json, "standbys", json_integer(s->standbys));
	json_object_set_new(json, "failure_tolerance",
	    json_integer(health_failure_tolerance(context->cluster, log)));
	json_object_set_new(json, "members", members_json(context, log));
}

json_t *raft_status_json(const struct context *context)
{
	struct replica *r = context->replica(context->data);
	struct health_log *log = turn_log(context);
	const char *failure = r ? replica_failure(r) : log->closed;
	json_t *json = json_pack("{s:s, s:I, s:o, s:s}", "schema", "raft-status/1", "id",
	    (json_int_t)context->id, "node", node_name_json(context->cluster, context->id), "role",
	    r ? role_text(log->status.role) : "closed");
	json_object_set_new(json, "failure",
	    r && !*failure ? json_null() : json_text(*failure ? failure : "it is being opened"));
	if (r)
		add_replica(json, context, log);
	add_value(json, context);
	add_files(json, context);
	free(log);
	return json;
}

/* Transfer. */

static void transfer_answer(struct operation_turn *turn, json_t *message)
{
	turn_answer(turn, json_pack("{s:s, s:o}", "schema", "raft-transfer/1", "message", message));
}

/* Only the leader can: it is asked by whoever is not. */
static void transfer_elsewhere(
    struct operation_turn *turn, const struct node *to, const struct replica_status *s)
{
	const struct context *context = turn->context;
	struct operation_call call = {.operation = turn->operation, .arguments = turn->arguments};
	if (s->leader == to->id)
		transfer_answer(turn, json_sprintf("%s leads already", to->name));
	else if (!s->leader)
		turn_deny(turn, -ENOTCONN, "there is no leader to take it from");
	/* One that a member asked does not ask on: nobody may have heard of the newest leader. */
	else if (context->ask && s->leader != context->id && strncmp(turn->caller, "node ", 5))
		context->ask(context->data, (uint32_t)s->leader, &call, turn_forwarded, turn);
	else
		turn_deny(turn, -EREMOTE, "%s is not the leader: ask %s",
		    node_name(context->cluster, context->id),
		    node_name(context->cluster, (uint32_t)s->leader));
}

static int transfer_here(
    const struct context *context, struct replica *r, const struct node *to, struct err *err)
{
	/* It would give it back at once, and the primary would have changed for nothing. */
	if (to->mode == NODE_WITNESS)
		return err_set(err, -EPERM,
		    "leadership cannot go to %s: it is a witness, and never the primary", to->name);
	int status = replica_transfer(r, to->id, context->now_ms(context->data));
	switch (status) {
	case 0:
		return 0;
	case -EBUSY:
		return err_set(err, status, "leadership is being handed over already");
	case -EHOSTDOWN:
		return err_set(
		    err, status, "leadership cannot go to %s: it does not answer", to->name);
	default:
		return err_set(err, status, "leadership cannot go to %s: it is no voter", to->name);
	}
}

void operation_raft_transfer(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	struct replica_status s;
	struct err err;
	struct replica *r = turn_replica(context, &err);
	const struct node *to = r ? argument_node(context, turn->arguments, &err) : NULL;
	if (!to) {
		turn_refuse(turn, r ? -ENOENT : -EIO, &err);
		return;
	}
	replica_status(r, &s);
	if (s.role != REPLICA_LEADER || to->id == context->id) {
		transfer_elsewhere(turn, to, &s);
		return;
	}
	int status = transfer_here(context, r, to, &err);
	if (status)
		turn_refuse(turn, status, &err);
	else
		transfer_answer(turn, json_sprintf("leadership goes to %s", to->name));
}

void progress_raft_transfer(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	struct replica_status s;
	struct replica *r = context->replica(context->data);
	const struct node *to = argument_node(context, arguments, NULL);
	if (r)
		replica_status(r, &s);
	if (!to)
		progress_set(p, PROGRESS_FAILED, "the node has left the cluster");
	else if (!r)
		progress_set(p, PROGRESS_PENDING, "this node's log is not open");
	else if (s.leader == to->id)
		progress_set(p, PROGRESS_DONE, "%s leads, in term %" PRIu64, to->name, s.term);
	else if (s.leader)
		progress_set(p, PROGRESS_PENDING, "%s still leads",
		    node_name(context->cluster, (uint32_t)s.leader));
	else
		progress_set(p, PROGRESS_PENDING, "an election is under way");
}
