#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/journal.h"
#include "node/json.h"
#include "node/operation_turn.h"

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

static json_t *hash_json(const struct cluster *c)
{
	return json_sprintf("%016" PRIx64, c->hash);
}

void operation_raft_status(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	const struct cluster *c = context->cluster;
	struct replica_status s;
	struct err err;
	struct replica *r = turn_replica(context, &err);
	if (!r) {
		turn_refuse(turn, -EIO, &err);
		return;
	}
	replica_status(r, &s);
	json_t *json = json_pack("{s:I, s:o, s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:o}", "id",
	    (json_int_t)s.id, "node", node_name_json(c, s.id), "role", role_text(s.role), "term",
	    (json_int_t)s.term, "leader", node_name_json(c, s.leader), "commit_index",
	    (json_int_t)s.commit, "applied_index", (json_int_t)s.applied, "last_index",
	    (json_int_t)s.last, "snapshot_index", (json_int_t)s.snapshot_index, "state_hash",
	    hash_json(c));
	json_object_set_new(json, "log_bytes", json_integer((json_int_t)s.log_bytes));
	json_object_set_new(json, "write_ms_max", json_u64(s.write_ms_max));
	json_object_set_new(json, "election_ms", json_integer(s.election_ms));
	json_object_set_new(json, "bad_messages", json_u64(s.bad_messages));
	json_object_set_new(json, "failure", json_text(replica_failure(r)));
	turn_answer(turn, json);
}

/* One line for people: of a tick, which says much and happens always, only how many. */
static json_t *text_json(const struct journal_entry *entry, const struct command *command)
{
	struct buffer text = {0};
	if (entry->ticks)
		buffer_print(&text, "tick (%" PRIu64 " in a row) of %" PRIu32 " nodes",
		    entry->ticks, command->tick.keepalives.count);
	else
		command_print(command, &text);
	buffer_append_u8(&text, 0);
	json_t *json = json_text((const char *)text.data);
	buffer_close(&text);
	return json;
}

/* One of which only the kind was kept. */
static json_t *large_json(const struct journal_entry *entry)
{
	const struct record *record =
	    entry->number < COMMAND_NUMBER_END ? command_record((unsigned)entry->number) : NULL;
	const char *name = record ? record->name + strlen("command_") : "?";
	char text[96];
	snprintf(text, sizeof(text), "%.40s (%u bytes)", name, entry->size);
	return json_pack("{s:s, s:s}", "command", name, "text", entry->ticks ? "tick" : text);
}

static json_t *operation_json(const struct journal_entry *entry)
{
	struct command command;
	if (!entry->operation)
		return large_json(entry);
	int status = command_decode(&command, entry->operation, entry->size);
	if (status)
		return json_pack("{s:s, s:s}", "command", "?", "text",
		    status == -ENOTSUP ? "(of a newer version)" : "(not a command)");
	json_t *json = json_command(&command);
	json_object_set_new(json, "text", text_json(entry, &command));
	command_clear(&command);
	return json;
}

void operation_raft_log(struct operation_turn *turn)
{
	const struct journal *journal = turn->context->journal;
	uint64_t last = argument_number(turn->arguments, "last");
	if (!journal) {
		struct err err;
		err_set(&err, -ENODATA, "no operations are kept here");
		turn_refuse(turn, -ENODATA, &err);
		return;
	}
	unsigned count = journal_count(journal);
	if (last < count)
		count = (unsigned)last;
	json_t *list = json_array();
	while (count-- > 0) {
		struct journal_entry entry = journal_back(journal, count);
		json_array_append_new(
		    list, json_pack("{s:I, s:i, s:i, s:o}", "index", (json_int_t)entry.index,
			      "size", (int)entry.size, "result", entry.result, "operation",
			      operation_json(&entry)));
	}
	turn_answer(turn, list);
}

void operation_raft_transfer(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	struct err err;
	struct replica *r = turn_replica(context, &err);
	const struct node *node = r ? argument_node(context, turn->arguments, &err) : NULL;
	if (!node) {
		turn_refuse(turn, r ? -ENOENT : -EIO, &err);
		return;
	}
	int status = replica_transfer(r, node->id, context->now_ms(context->data));
	struct replica_status s;
	replica_status(r, &s);
	if (status == -ENOTCONN && s.role != REPLICA_LEADER)
		err_set(&err, status, "%s is not the leader: ask %s",
		    node_name(context->cluster, context->id),
		    node_name(context->cluster, (uint32_t)s.leader));
	else if (status == -EBUSY)
		err_set(&err, status, "leadership is being handed over already");
	else if (status == -EHOSTDOWN)
		err_set(&err, status, "leadership cannot go to %s: it does not answer", node->name);
	else if (status)
		err_set(&err, status, "leadership cannot go to %s: it is no voter, or the leader",
		    node->name);
	if (status)
		turn_refuse(turn, status == -ENOTCONN ? -EREMOTE : status, &err);
	else
		turn_answer(turn, json_pack("{s:o}", "message",
				      json_sprintf("leadership goes to %s", node->name)));
}

void operation_raft_hash(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	turn_answer(
	    turn, json_pack("{s:o, s:o}", "index", json_u64(c->index), "hash", hash_json(c)));
}
