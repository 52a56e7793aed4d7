/* pvc raft recover verify: do the survivors hold the same, and as the plan has it? */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/operation/json.h"
#include "tools/cli.h"
#include "tools/raft/plan_file.h"
#include "tools/raft/survivors.h"
#include "tools/view.h"

/* How far the plan is with one: text for people, and whether that will do. */
static const char *progress_of(
    const json_t *plan, const struct survivor *s, bool *good, struct err *err)
{
	struct recover_step step;
	struct configuration members;
	/* Who has nothing to do needs nothing. */
	*good = plan_step(plan, s->id, &step, &members, err) != 0;
	if (*good)
		return "not in the plan";
	switch (recover_look(s->in, &step, err)) {
	case RECOVER_DUE:
		return "not applied yet";
	case RECOVER_DONE:
		*good = true;
		return "applied";
	case RECOVER_PAST:
		*good = true;
		return "applied, and has run since";
	default:
		return "not what the plan saw";
	}
}

static int compare(struct survivors *s, struct err *err)
{
	unsigned newest = survivors_newest(s->list, s->n);
	for (unsigned i = 0; i < s->n; i++) {
		int result = survivor_compare(&s->list[i], &s->list[newest], err);
		if (result)
			return result;
	}
	return survivors_compare(s, newest, err);
}

static json_t *rows_json(const struct survivors *s, const json_t *plan, unsigned *unfinished)
{
	json_t *rows = json_array();
	for (unsigned i = 0; i < s->n; i++) {
		json_t *row = survivors_json(s, i);
		struct err err;
		bool good = true;
		const char *text = plan ? progress_of(plan, &s->list[i], &good, &err) : NULL;
		json_object_set_new(row, "progress", text ? json_string(text) : json_null());
		json_array_append_new(rows, row);
		*unfinished += !good;
	}
	return rows;
}

static void print(const struct survivors *s, const json_t *rows, unsigned unfinished)
{
	size_t i;
	const json_t *row;
	view_print("raft recover", rows, table_colours(stdout), stdout);
	json_array_foreach(rows, i, row)
	{
		const char *progress = json_string_value(json_object_get(row, "progress"));
		if (progress)
			printf("%s%s: %s\n", i ? "" : "\n",
			    json_string_value(json_object_get(row, "node")), progress);
	}
	if (unfinished)
		printf("\n%u of %u directories are not as the plan has them.\n", unfinished, s->n);
	else
		printf("\n%u %s undamaged%s.\n", s->n,
		    s->n == 1 ? "directory is" : "directories are",
		    s->n == 1 ? "" : ", and their values agree");
}

int raft_recover_verify(const struct raft_call *call)
{
	struct survivors *s = must_alloc(sizeof(*s));
	struct err err = {{0}};
	json_t *plan = NULL, *rows = NULL;
	unsigned unfinished = 0;
	const char *file = raft_text(call, "plan");
	int result = survivors_open(
	    s, json_object_get(call->arguments, "directory"), SURVIVORS_DAMAGED_FAILS, &err);
	if (!result && file)
		result = plan_read(file, &plan, &err);
	if (!result)
		result = compare(s, &err);
	if (!result)
		rows = rows_json(s, plan, &unfinished);
	if (rows && call->json)
		raft_show(call, "",
		    json_pack("{s:s, s:b, s:O}", "schema", "raft-recover-verify/1", "verified",
			(int)!unfinished, "directories", rows));
	else if (rows)
		print(s, rows, unfinished);
	json_decref(rows);
	json_decref(plan);
	survivors_close(s);
	free(s);
	if (result)
		return raft_fail(call, result, &err);
	return unfinished ? CLI_REFUSED : CLI_DONE;
}
