/* Operations of the command line in a scenario: the daemon's own handlers, over a context that
 * leads into a simulated node. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/operation/operation.h"
#include "tools/sim/request.h"
#include "tools/sim/scenario_step.h"

struct asked {
	struct scenario *scenario;
	const struct step *step;
	struct sim_node *node;
	struct context context;
	context_done done; /* NULL: nothing is under way */
	void *done_data;
	unsigned number; /* in the scenario's list */
};

static uint64_t context_now(void *data)
{
	return sim_node_clock(((struct asked *)data)->node);
}

static const char *context_trouble(void *data)
{
	return "";
}

static struct replica *context_replica(void *data)
{
	return ((struct asked *)data)->node->replica;
}

static void context_propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	struct asked *asked = data;
	asked->done = done;
	asked->done_data = done_data;
	request_propose(asked->node, command, ASK_USER, asked->number);
}

void op_answered(struct world *w, const struct sim_answer *answer)
{
	struct scenario *s = w->player;
	struct asked *asked = s->asked[answer->number];
	context_done done = asked->done;
	const struct err *why = answer->node->refused_index == answer->index
				    ? &answer->node->refused
				    : &(struct err){{0}};
	asked->done = NULL;
	if (done)
		done(asked->done_data, answer->result, answer->index, why);
}

static void operation_answered(void *data, int status, json_t *result, const struct err *err)
{
	const struct asked *asked = data;
	char *text = result ? json_dumps(result, JSON_COMPACT) : NULL;
	world_trace(&asked->scenario->world, 0, "line %u: %s", asked->step->line,
	    status < 0 ? err->text
	    : text     ? text
		       : "done");
	free(text);
	json_decref(result);
}

static struct asked *asked_add(struct scenario *s, const struct step *step, struct sim_node *n)
{
	struct asked *asked = must_alloc(sizeof(*asked));
	*asked = (struct asked){.scenario = s, .step = step, .node = n, .number = s->asked_count};
	asked->context = (struct context){
	    .data = asked,
	    .id = n->raft_id,
	    .cluster = &n->value,
	    .now_ms = context_now,
	    .replica = context_replica,
	    .trouble = context_trouble,
	    .propose = context_propose,
	};
	s->asked = must_realloc(s->asked, (s->asked_count + 1) * sizeof(struct asked *));
	s->asked[s->asked_count++] = asked;
	return asked;
}

int step_op(struct scenario *s, const struct step *step)
{
	unsigned first = 1;
	struct sim_node *n = s->world.nodes[1];
	struct operation_call call = {0};
	struct err err;
	if (!strcmp(step_word(step, 1), "on")) {
		n = step_node(s, step, 2);
		first = 3;
	}
	if (!n)
		return -EINVAL;
	const char *const *words = (const char *const *)step->words + first;
	unsigned count = step->count > first ? step->count - first : 0;
	if (operation_parse(words, count, &call, &err))
		return step_bad(s, step, "%s", err.text);
	struct asked *asked = asked_add(s, step, n);
	if (sim_node_serves(n)) {
		operation_run(&asked->context, &call, operation_answered, asked);
		sim_node_settle(n);
	} else {
		world_trace(&s->world, n->id, "line %u: the daemon does not answer", step->line);
	}
	operation_call_close(&call);
	return 0;
}

void op_close(struct scenario *s)
{
	struct err gone;
	err_set(&gone, 0, "the scenario is over");
	for (unsigned i = 0; i < s->asked_count; i++) {
		if (s->asked[i]->done)
			s->asked[i]->done(s->asked[i]->done_data, -ETIMEDOUT, 0, &gone);
		free(s->asked[i]);
	}
	free(s->asked);
}
