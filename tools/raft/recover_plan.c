/* pvc raft recover plan: what is left, what could be lost, and who goes on. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/operation/json.h"
#include "tools/cli.h"
#include "tools/raft/plan_file.h"
#include "tools/raft/survivors.h"
#include "tools/replay.h"
#include "tools/view.h"

struct planning {
	struct survivors survivors;
	struct recovery recovery;
	struct cluster value; /* of the chosen one, for names */
};

static const struct survivor *chosen_of(const struct planning *p)
{
	return &p->survivors.list[p->recovery.chosen];
}

static const char *name_of(const struct planning *p, uint64_t id)
{
	static char text[32];
	const struct node *node = cluster_node(&p->value, (uint32_t)id);
	if (node)
		return node->name;
	snprintf(text, sizeof(text), "node-%" PRIu64, id);
	return text;
}

static int check_idle(const struct planning *p, struct err *err)
{
	for (unsigned i = 0; i < p->survivors.n; i++)
		if (p->survivors.directories[i].status.in_use)
			return err_set(err, -EBUSY,
			    "%s: its daemon is running: stop it first (systemctl stop pvcnoded), "
			    "on every survivor",
			    p->survivors.directories[i].path);
	return 0;
}

/* The plan. */

static json_t *members_json(const struct planning *p)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < p->recovery.members.n; i++) {
		const struct configuration_member *m = &p->recovery.members.members[i];
		json_array_append_new(
		    list, json_pack("{s:o, s:o, s:o, s:s}", "node", json_text(name_of(p, m->id)),
			      "id", json_u64(m->id), "address", json_text(m->address), "role",
			      state_name(member_role_names, m->role)));
	}
	return list;
}

static json_t *gone_json(struct planning *p)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < p->recovery.old.n; i++) {
		const struct configuration_member *m = &p->recovery.old.members[i];
		if (configuration_find(&p->recovery.members, m->id))
			continue;
		json_array_append_new(
		    list, json_pack("{s:o, s:o, s:o}", "node", json_text(name_of(p, m->id)), "id",
			      json_u64(m->id), "address", json_text(m->address)));
	}
	return list;
}

/* Those who are no members by the newest log have nothing to do in the plan. */
static json_t *survivors_list(struct planning *p)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < p->survivors.n; i++) {
		const struct survivor *s = &p->survivors.list[i];
		json_t *one = survivors_json(&p->survivors, i);
		bool stays = configuration_find(&p->recovery.members, s->id) != NULL;
		json_object_set_new(one, "stays", json_boolean(stays));
		json_object_set_new(one, "before", json_string(s->before));
		json_object_set_new(one, "after", json_string(s->after));
		json_array_append_new(list, one);
	}
	return list;
}

static bool signer_is_left(const struct planning *p)
{
	char path[SOURCE_PATH_MAX + 16];
	for (unsigned i = 0; i < p->survivors.n; i++) {
		const char *certificate = p->survivors.directories[i].source.certificate;
		size_t directory = strlen(certificate) - strlen("node.crt");
		snprintf(path, sizeof(path), "%.*sca.key", (int)directory, certificate);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

static json_t *plan_json(struct planning *p)
{
	const struct survivor *chosen = chosen_of(p);
	const struct recovery *r = &p->recovery;
	json_t *plan = json_pack(
	    "{s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:b, s:o, s:o, s:o, s:O}", "cluster",
	    json_text(p->survivors.directories[0].who.cluster), "chosen", json_u64(chosen->id),
	    "chosen_node", json_text(p->survivors.directories[r->chosen].who.name), "last_index",
	    json_u64(chosen->status.last), "last_term", json_u64(chosen->last_term), "term",
	    json_u64(r->term), "voters", (int)r->voters, "voters_left", (int)r->voters_left,
	    "signer_left", (int)signer_is_left(p), "members", members_json(p), "gone", gone_json(p),
	    "survivors", survivors_list(p), "damaged", p->survivors.damaged);
	plan_seal(plan);
	return plan;
}

static int make_plan(struct planning *p, struct err *err)
{
	struct replay r;
	int result = check_idle(p, err);
	if (!result)
		result = recover_plan(&p->recovery, p->survivors.list, p->survivors.n, err);
	if (!result)
		result = survivors_compare(&p->survivors, p->recovery.chosen, err);
	if (!result)
		result = replay_run(&r, chosen_of(p)->in, 0, err);
	if (result)
		return result;
	cluster_close(&p->value);
	p->value = r.cluster;
	return 0;
}

/* For people. */

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static uint64_t number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void print_names(const json_t *list)
{
	size_t i;
	const json_t *one;
	json_array_foreach(list, i, one)
	{
		printf("%s%s", i ? ", " : "", text(one, "node"));
	}
}

/* An entry that was acknowledged is on more than half of the voters; where they are an even
 * number, half of them are enough to have every one. */
static void print_losses(const json_t *plan)
{
	uint64_t last = number(plan, "last_index"), committed = 0;
	size_t i;
	const json_t *one;
	printf("\nWhat can be lost:\n");
	if (2 * number(plan, "voters_left") == number(plan, "voters"))
		printf("  nothing that was acknowledged: it was on more than half of the %" PRIu64
		       " voters, and\n  half of them are here (unless the members were changed "
		       "after entry %" PRIu64 ")\n",
		    number(plan, "voters"), last);
	else
		printf("  whatever was acknowledged after entry %" PRIu64 ": a majority without "
		       "%s may have had it,\n  and nobody who is left can tell\n",
		    last, text(plan, "chosen_node"));
	json_array_foreach(json_object_get(plan, "survivors"), i, one)
	{
		uint64_t dropped = number(one, "dropped"), end = number(one, "last_index");
		if (number(one, "committed_index") > committed)
			committed = number(one, "committed_index");
		if (dropped)
			printf("  entries %" PRIu64 " to %" PRIu64 " of %s are dropped: they were "
			       "never committed\n",
			    end - dropped + 1, end, text(one, "node"));
	}
	if (committed < last)
		printf("What may be new: entries %" PRIu64 " to %" PRIu64
		       " stay, though they may never have been answered\n",
		    committed + 1, last);
}

static void print_members(const json_t *plan)
{
	const json_t *gone = json_object_get(plan, "gone");
	printf("\nGone for good: ");
	print_names(gone);
	printf("\n  They MUST NEVER start again with the data they have: together they would take\n"
	       "  themselves for the cluster, beside this one (split brain). Wipe their disks "
	       "first.\n"
	       "  They stay listed: `pvc node fenced NODE --by-hand` frees their VMs,\n"
	       "  `pvc cluster member remove NODE` takes them off.\n");
	printf("\nMembers afterwards: ");
	print_names(json_object_get(plan, "members"));
	printf("\n  %s alone votes at first; the others stand by, and coordinators get their votes "
	       "back\n  by themselves as soon as they have caught up.\n",
	    text(plan, "chosen_node"));
	if (!json_is_true(json_object_get(plan, "signer_left")))
		printf("  None of them has the key of the cluster's CA: no node can join until a "
		       "copy of\n  identity/ca.key is put back.\n");
}

static void print_rest(const json_t *plan)
{
	size_t i;
	const json_t *one;
	json_array_foreach(json_object_get(plan, "survivors"), i, one)
	{
		if (!json_is_true(json_object_get(one, "stays")))
			printf("\n%s is no member by the newest log, and left out: let it join "
			       "anew.\n",
			    text(one, "node"));
	}
	json_array_foreach(json_object_get(plan, "damaged"), i, one)
	{
		printf("\nLeft out: %s: it is damaged (%s). Let that node join anew.\n",
		    text(one, "directory"), text(one, "problem"));
	}
}

static void print_next(const json_t *plan, const char *file)
{
	const char *id = text(plan, "id");
	if (!file) {
		printf("\nPlan %s. Nothing was written: --out FILE keeps it for `pvc raft recover "
		       "apply`.\n",
		    id);
		return;
	}
	printf("\nPlan %s is in %s. Next, on each of these nodes, while all daemons are stopped:\n"
	       "  pvc raft recover apply --plan %s --id %s --data DIR\n"
	       "then, where the directories can be read: pvc raft recover verify DIR...\n"
	       "and last: systemctl start pvcnoded, on %s first\n",
	    id, file, file, id, text(plan, "chosen_node"));
}

static void print_plan(const json_t *plan, const char *file)
{
	printf("Cluster %s: %" PRIu64 " of %" PRIu64 " voters are left.\n\n", text(plan, "cluster"),
	    number(plan, "voters_left"), number(plan, "voters"));
	view_print(
	    "raft recover", json_object_get(plan, "survivors"), table_colours(stdout), stdout);
	printf("\nThe newest log is %s's: entry %" PRIu64 " of term %" PRIu64
	       ". It goes on in term %" PRIu64 ".\n",
	    text(plan, "chosen_node"), number(plan, "last_index"), number(plan, "last_term"),
	    number(plan, "term"));
	print_losses(plan);
	print_members(plan);
	print_rest(plan);
	print_next(plan, file);
}

int raft_recover_plan(const struct raft_call *call)
{
	struct planning *p = must_alloc(sizeof(*p));
	struct err err = {{0}};
	const char *file = raft_text(call, "out");
	bool skip = json_is_true(json_object_get(call->arguments, "skip_damaged"));
	cluster_init(&p->value);
	int result = survivors_open(&p->survivors, json_object_get(call->arguments, "directory"),
	    skip ? SURVIVORS_DAMAGED_LEFT_OUT : SURVIVORS_DAMAGED_FAILS, &err);
	if (result == -EBADMSG)
		snprintf(err.text + strlen(err.text), sizeof(err.text) - strlen(err.text),
		    " (--skip-damaged leaves it out)");
	if (!result)
		result = make_plan(p, &err);
	json_t *plan = result ? NULL : plan_json(p);
	if (plan && file)
		result = plan_write(file, plan, &err);
	if (!result && call->json)
		raft_show(call, "", json_incref(plan));
	else if (!result)
		print_plan(plan, file);
	json_decref(plan);
	survivors_close(&p->survivors);
	cluster_close(&p->value);
	free(p);
	return result ? raft_fail(call, result, &err) : CLI_DONE;
}
