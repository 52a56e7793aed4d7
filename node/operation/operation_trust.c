#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fsm/authority.h"
#include "node/operation/json.h"
#include "node/operation/operation_turn.h"
#include "raft/identity.h"

/* What a phase of the rotation is about. */
static const char *phase_text(enum authority_state state)
{
	switch (state) {
	case AUTHORITY_WANTED:
		return "is to be made by the leader";
	case AUTHORITY_INCOMING:
		return "comes: every node is to trust it, every coordinator to have its key";
	case AUTHORITY_OUTGOING:
		return "goes: every node is to have a certificate of the new one";
	case AUTHORITY_ACTIVE:
		break;
	}
	return "signs";
}

/* "CA 3 comes: every node is ... (waits for hv3)" */
static void rotation_text(const struct cluster *c, char *text, size_t size)
{
	char names[128];
	const struct authority *moving = authority_moving(c);
	if (!moving) {
		snprintf(text, size, "none");
		return;
	}
	unsigned n = authority_awaited(c, names, sizeof(names));
	snprintf(text, size, "CA %" PRIu32 " %s%s%s%s", moving->id, phase_text(moving->state),
	    n ? " (waits for " : "", n ? names : "", n ? ")" : "");
}

static json_t *date_json(uint64_t seconds)
{
	char text[32];
	time_t at = (time_t)seconds;
	struct tm parts;
	if (!seconds || !gmtime_r(&at, &parts))
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	return json_string(text);
}

static json_t *authority_json(const struct cluster *c, const struct authority *a)
{
	struct identity_validity validity = {0};
	if (!a)
		return json_null();
	if (*a->certificate)
		identity_validity(a->certificate, strlen(a->certificate), &validity, NULL);
	return json_pack("{s:I, s:s, s:s, s:o, s:o}", "id", (json_int_t)a->id, "state",
	    state_name(authority_state_names, a->state), "fingerprint", a->fingerprint, "until",
	    date_json((uint64_t)validity.until_s), "since_ms",
	    json_u64(c->settings.time_ms - a->since_ms));
}

static json_t *numbers_json(const uint32_t numbers[AUTHORITIES_MAX])
{
	json_t *list = json_array();
	for (unsigned i = 0; i < AUTHORITIES_MAX; i++)
		if (numbers[i])
			json_array_append_new(list, json_integer(numbers[i]));
	return list;
}

static json_t *node_trust_json(const struct cluster *c, const struct node *node)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b}", "node", json_text(node->name), "signer",
	    node->signer ? json_integer(node->signer) : json_null(), "certificate_until",
	    date_json(node->certificate_until_s), "trusts", numbers_json(node->trusts), "keys",
	    numbers_json(node->keys), "awaited", (int)authority_awaits(c, node));
}

void operation_cluster_ca_status(struct operation_turn *turn)
{
	const struct cluster *c = turn->context->cluster;
	char rotation[256];
	json_t *nodes = json_array(), *waits = json_array();
	rotation_text(c, rotation, sizeof(rotation));
	cluster_each(c->nodes, struct node, node)
	{
		json_array_append_new(nodes, node_trust_json(c, node));
		if (authority_awaits(c, node))
			json_array_append_new(waits, json_text(node->name));
	}
	turn_answer(turn,
	    json_pack("{s:o, s:o, s:o, s:o, s:o}", "active", authority_json(c, authority_active(c)),
		"moving", authority_json(c, authority_moving(c)), "rotation", json_text(rotation),
		"waits_for", waits, "nodes", nodes));
}

static int rotate_begin(struct operation_turn *turn, struct command *command, struct err *err)
{
	const struct cluster *c = turn->context->cluster;
	const struct authority *active = authority_active(c);
	char names[128];
	if (!active)
		return err_set(err, -EAGAIN, "the log does not know of the cluster's CA yet");
	if (authority_awaited(c, names, sizeof(names)))
		return err_set(err, -EALREADY,
		    "a rotation of the CA is under way: it waits for %s; --force cuts them off",
		    names);
	command->number = COMMAND_authority_rotate;
	command->authority_rotate.active = active->id;
	turn_say(turn, "a rotation of the CA has begun: see pvc cluster ca status");
	return 0;
}

static int rotate_force(struct operation_turn *turn, struct command *command, struct err *err)
{
	const struct cluster *c = turn->context->cluster;
	const struct authority *moving = authority_moving(c);
	char names[128];
	unsigned n = authority_awaited(c, names, sizeof(names));
	if (!n)
		return err_set(err, -EINVAL, "no rotation of the CA waits for anybody");
	command->number = COMMAND_authority_shift;
	command->authority_shift.authority = moving->id;
	command->authority_shift.force = true;
	turn_say(
	    turn, "the rotation goes on without %s: cut off, to be removed and joined anew", names);
	return 0;
}

void operation_cluster_ca_rotate(struct operation_turn *turn)
{
	struct command command = {0};
	struct err err;
	int status = argument_given(turn->arguments, "force") ? rotate_force(turn, &command, &err)
							      : rotate_begin(turn, &command, &err);
	if (status)
		turn_refuse(turn, status, &err);
	else
		turn_propose(turn, &command);
}

void progress_cluster_ca_rotate(
    const struct context *context, const json_t *arguments, struct operation_progress *p)
{
	char rotation[200];
	rotation_text(context->cluster, rotation, sizeof(rotation));
	if (authority_moving(context->cluster))
		progress_set(p, PROGRESS_PENDING, "%s", rotation);
	else
		progress_set(
		    p, PROGRESS_DONE, "the CA is another, and the old one is trusted no more");
}
