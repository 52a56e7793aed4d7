/* Somebody vouches that a node is off.
 *
 * The value refuses it of a node that sent a keepalive of late; but who sends them seldom may
 * be silent and well. The leader hears its members many times a second, so it is asked as well. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "node/operation/json.h"
#include "node/log/log.h"
#include "node/operation/operation_turn.h"

/* The leader heard it so lately: it is on, whoever says otherwise. */
#define HEARD_MS 1000

static void fence(struct operation_turn *turn)
{
	const struct node *node = cluster_node(turn->context->cluster, turn->about);
	struct command command = {.number = COMMAND_node_fenced};
	command.node_fenced.node = turn->about;
	command.node_fenced.by_hand = true;
	memcpy(command.node_fenced.who, turn->caller, sizeof(turn->caller));
	turn_say(
	    turn, "%s is fenced: its VMs run elsewhere", node ? node->name : "a node that left");
	turn_propose(turn, &command);
}

static void refuse_heard(struct operation_turn *turn, uint64_t age_ms)
{
	struct err err;
	err_set(&err, -EBUSY, "%s answered the leader %" PRIu64 " ms ago: it is not off",
	    node_name(turn->context->cluster, turn->about), age_ms);
	turn_refuse(turn, -EBUSY, &err);
}

/* The leader's list of members came. */
static void members_came(void *data, int status, json_t *result, const struct err *err)
{
	struct operation_turn *turn = data;
	json_int_t age_ms = INT64_MAX;
	const struct context *context = turn->context;
	log_debug("fence", "%s: when the leader heard it was asked: took %" PRIu64 " ms",
	    node_name(context->cluster, turn->about),
	    context->now_ms(context->data) - turn->began_ms);
	size_t i;
	json_t *row;
	if (status) {
		turn_refuse(turn, status, err);
		return;
	}
	json_array_foreach(json_object_get(result, "members"), i, row)
	{
		const json_t *age = json_object_get(row, "heard_age_ms");
		if (json_integer_value(json_object_get(row, "id")) == turn->about &&
		    json_is_integer(age))
			age_ms = json_integer_value(age);
	}
	json_decref(result);
	if (age_ms < HEARD_MS)
		refuse_heard(turn, (uint64_t)age_ms);
	else
		fence(turn);
}

void operation_node_fenced(struct operation_turn *turn)
{
	const struct context *context = turn->context;
	const struct operation *members = operation_named("raft members");
	struct operation_call call = {.operation = members, .arguments = json_object()};
	struct replica *r = context->replica(context->data);
	struct replica_status s = {0};
	struct err err;
	const struct node *node = argument_node(context, turn->arguments, &err);
	if (!node) {
		json_decref(call.arguments);
		turn_refuse(turn, -ENOENT, &err);
		return;
	}
	turn->about = node->id;
	turn->began_ms = context->now_ms(context->data);
	if (r)
		replica_status(r, &s);
	if (s.role == REPLICA_LEADER)
		operation_run(context, &call, members_came, turn);
	else if (s.leader && context->ask)
		context->ask(context->data, (uint32_t)s.leader, &call, members_came, turn);
	else /* without a leader nothing comes of it */
		fence(turn);
	json_decref(call.arguments);
}
