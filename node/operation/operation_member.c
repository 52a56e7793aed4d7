/* Operations: who is a member of the cluster, and what as. Each change says first what it would
 * do to the log's quorum. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/membership.h"
#include "fsm/text.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"
#include "node/operation/preflight.h"
#include "raft/configuration.h"

/* Tokens. */

/* A token for the node of that name, NULL: any. False: the turn is over. */
static bool token_make(
    struct operation_turn *turn, const char *name, struct command *command, char text[1024])
{
	const struct context *context = turn->context;
	struct context_token token;
	struct err err;
	int status = 0;
	*command = (struct command){.number = COMMAND_token};
	if (!context->token)
		status = err_set(&err, -ENODATA, "no certificates here to make a token from");
	else if (name && strlen(name) >= sizeof(command->token.name))
		status = err_set(&err, -EINVAL, "a node's name has at most 63 letters");
	else if (name && !text_is_node_name(name))
		status = err_set(
		    &err, -EINVAL, "names of nodes are of letters, digits, '-', '_' and '.'");
	else
		status = context->token(context->data, &token, &err);
	if (status) {
		turn_refuse(turn, status, &err);
		return false;
	}
	if (name)
		memcpy(command->token.name, name, strlen(name));
	memcpy(command->token.hash, token.hash, sizeof(command->token.hash));
	memcpy(text, token.text, sizeof(token.text));
	command->token.valid_ms = argument_duration_ms(turn->arguments, "expire");
	return true;
}

/* What was put beside the message is the whole answer. */
static json_t *facts_alone(struct operation_turn *turn, int result)
{
	json_t *facts = turn->facts;
	turn->facts = NULL;
	return facts;
}

void operation_cluster_token(struct operation_turn *turn)
{
	struct command command;
	char text[1024];
	if (!token_make(turn, argument_text(turn->arguments, "node"), &command, text))
		return;
	turn->facts = json_pack("{s:o}", "token", json_text(text));
	turn->finish = facts_alone;
	turn_propose(turn, &command);
}

/* Who there is. */

static const struct replica_member *member_of(const struct health_log *log, uint32_t id)
{
	for (unsigned i = 0; i < log->members_count; i++)
		if (log->members[i].id == id)
			return &log->members[i];
	return NULL;
}

void operation_cluster_member_list(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	struct health_log *log = turn_log(turn->context);
	json_t *list = json_array();
	cluster_each(c->nodes, struct node, node)
	{
		const struct replica_member *member = member_of(log, node->id);
		json_array_append_new(list,
		    json_pack("{s:o, s:I, s:o, s:s, s:o, s:b, s:s, s:s, s:o}", "name",
			json_text(node->name), "id", (json_int_t)node->id, "address",
			json_text(node->address), "mode", state_name(node_mode_names, node->mode),
			"role",
			member ? json_string(state_name(member_role_names, member->role))
			       : json_null(),
			"in_touch", (int)preflight_in_touch(c, log, node->id), "daemon_state",
			state_name(daemon_state_names, node->daemon_state), "coordinator_state",
			state_name(coordinator_state_names, node->coordinator_state), "certificate",
			json_text(node->incarnation)));
	}
	free(log);
	turn_answer(turn, list);
}

/* The preflight. */

static json_t *before_after(unsigned before, unsigned after)
{
	return json_pack("{s:i, s:i}", "before", (int)before, "after", (int)after);
}

static json_t *preflight_json(const struct preflight *p, bool forced)
{
	return json_pack("{s:o, s:o, s:o, s:b, s:b}", "voters",
	    before_after(p->before.voters, p->after.voters), "voters_in_touch",
	    before_after(p->before.live, p->after.live), "failure_tolerance",
	    before_after(p->before.tolerance, p->after.tolerance), "quorum_survives",
	    (int)p->after.holds, "forced", (int)forced);
}

/* Whether the change may be proposed; its effect then stands in the turn's facts. False: the
 * turn is over. */
static bool preflight_passed(
    struct operation_turn *turn, const struct preflight_change *change, struct preflight *p)
{
	struct err err;
	int status = turn_replica(turn->context, &err) ? 0 : -EIO;
	bool forced = argument_given(turn->arguments, "force");
	if (!status) {
		struct health_log *log = turn_log(turn->context);
		*p = preflight_of(turn->context->cluster, log, change);
		free(log);
		if (!forced)
			status = preflight_judge(p, &err);
	}
	if (status) {
		turn_refuse(turn, status, &err);
		return false;
	}
	turn->facts = json_pack("{s:o}", "preflight", preflight_json(p, forced));
	return true;
}

/* The turn's message says what was done; here it says what that does to the quorum, too. Judged
 * anew when the members have changed before it was agreed to (turn->judged). */
static void propose(
    struct operation_turn *turn, const struct preflight_change *change, struct command *command)
{
	struct preflight p;
	char effect[PREFLIGHT_TEXT_MAX], done[sizeof(turn->message)];
	if (!preflight_passed(turn, change, &p))
		return;
	memcpy(done, turn->message, sizeof(done));
	preflight_print(&p, effect);
	bool comes = change->kind == PREFLIGHT_PROMOTE || change->kind == PREFLIGHT_REPLACE;
	turn_say(turn, "%.200s; %s%s", done, effect,
	    p.kept		? "; it keeps its vote until a majority is in touch without it"
	    : comes && !p.votes ? "; it stands by until there is a place among the voters"
				: "");
	turn->judged++;
	turn_propose(turn, command);
}

static uint64_t mark_of(const struct operation_turn *turn)
{
	return membership_mark(turn->context->cluster);
}

/* The primary leads; for a moment somebody may lead that is not it yet, or any more. */
static int check_follows(
    const struct operation_turn *turn, const struct node *node, struct err *err)
{
	struct replica_status status;
	const struct replica *r = turn_replica(turn->context, err);
	if (!r)
		return -EIO;
	replica_status(r, &status);
	if (status.leader != node->id)
		return 0;
	return err_set(err, -EBUSY,
	    "%s leads the log: first pvc raft transfer NODE, to another coordinator", node->name);
}

void operation_cluster_member_add(struct operation_turn *turn)
{
	const struct preflight_change change = {.kind = PREFLIGHT_ADD};
	const char *name = argument_text(turn->arguments, "name");
	char token[1024], effect[PREFLIGHT_TEXT_MAX];
	struct preflight p;
	struct command command;
	if (cluster_node_named(turn->context->cluster, name)) {
		turn_deny(turn, -EEXIST,
		    "there is a node %s already: if that one is lost, pvc cluster member remove %s",
		    name, name);
		return;
	}
	if (!preflight_passed(turn, &change, &p) || !token_make(turn, name, &command, token))
		return;
	preflight_print(&p, effect);
	json_object_set_new(turn->facts, "message",
	    json_sprintf("%s may join; as a coordinator or a witness it %s: %s", name,
		p.votes ? "votes" : "stands by", effect));
	json_object_set_new(turn->facts, "token", json_text(token));
	json_object_set_new(turn->facts, "command", json_sprintf("pvc cluster join %s", token));
	turn->finish = facts_alone;
	turn_propose(turn, &command);
}

void operation_cluster_member_remove(struct operation_turn *turn)
{
	struct err err;
	const struct node *node = turn_node(turn, "node");
	if (!node)
		return;
	int status = node_may_leave(turn->context->cluster, node, &err);
	if (!status)
		status = check_follows(turn, node, &err);
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	const struct preflight_change change = {.kind = PREFLIGHT_REMOVE, .node = node->id};
	struct command command = {.number = COMMAND_leave, .leave = {node->id, mark_of(turn)}};
	turn_say(turn, "%s is no member of the cluster any more", node->name);
	propose(turn, &change, &command);
}

static void change_mode(struct operation_turn *turn, enum node_mode mode)
{
	struct err err;
	const struct node *node = turn_node(turn, "node");
	if (!node)
		return;
	int status = node_may_become(turn->context->cluster, node, mode, &err);
	if (!status && mode != NODE_COORDINATOR)
		status = check_follows(turn, node, &err);
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	const struct preflight_change change = {
	    .kind = mode == NODE_COORDINATOR ? PREFLIGHT_PROMOTE : PREFLIGHT_DEMOTE,
	    .node = node->id,
	};
	struct command command = {
	    .number = COMMAND_node_mode, .node_mode = {node->id, mode, mark_of(turn)}};
	turn_say(turn, "%s is a %s%s", node->name, state_name(node_mode_names, mode),
	    node->mode == mode ? " already" : "");
	propose(turn, &change, &command);
}

void operation_cluster_member_promote(struct operation_turn *turn)
{
	change_mode(turn, NODE_COORDINATOR);
}

void operation_cluster_member_demote(struct operation_turn *turn)
{
	change_mode(turn, NODE_HYPERVISOR);
}

static int check_replace(const struct operation_turn *turn, const struct node *node,
    const struct node *successor, struct err *err)
{
	const struct cluster *c = turn->context->cluster;
	int status = node_may_be_replaced(c, node, successor, err);
	if (!status)
		status = check_follows(turn, node, err);
	/* One that has only just joined has not been heard of yet, either. */
	bool well = successor->last.count && health_member_well(c, successor->id);
	if (status || argument_given(turn->arguments, "force") || well)
		return status;
	return err_set(err, -EHOSTDOWN,
	    "%s was not heard of late: start its daemon first, or repeat it with --force",
	    successor->name);
}

void operation_cluster_member_replace(struct operation_turn *turn)
{
	struct err err;
	const struct node *node = turn_node(turn, "node");
	const struct node *successor = node ? turn_node(turn, "successor") : NULL;
	if (!successor)
		return;
	int status = check_replace(turn, node, successor, &err);
	if (status) {
		turn_refuse(turn, status, &err);
		return;
	}
	const struct preflight_change change = {
	    .kind = PREFLIGHT_REPLACE, .node = node->id, .successor = successor->id};
	struct command command = {
	    .number = COMMAND_replace, .replace = {node->id, successor->id, mark_of(turn)}};
	turn_say(turn, "%s takes the place of %s, which is no member of the cluster any more",
	    successor->name, node->name);
	propose(turn, &change, &command);
}

void progress_cluster_member(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	struct health_log *log = turn_log(context);
	if (preflight_settled(context->cluster, log))
		progress_set(p, PROGRESS_DONE, "the log's members follow: %u vote, %u stand by",
		    log->status.voters, log->status.standbys);
	else
		progress_set(p, PROGRESS_PENDING, "the log's members do not follow yet");
	free(log);
}
