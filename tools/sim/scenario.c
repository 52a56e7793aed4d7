#include "tools/sim/scenario.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/answer.h"
#include "tools/sim/scenario_step.h"

#define TEXT_MAX     (1u << 20) /* bytes of a file */
#define UP_WITHIN_MS 20000
#define PATIENCE_MS  10000 /* as node/operation/operation_turn.h */
#define QUIET_MS     5000 /* at the end, when no `until` says how long */

/* Reading. */

static void split(struct step *step, char *line)
{
	char *rest = NULL;
	for (char *word = strtok_r(line, " \t\r", &rest); word && step->count < STEP_WORDS_MAX;
	     word = strtok_r(NULL, " \t\r", &rest))
		step->words[step->count++] = word;
}

static void shift(struct step *step, unsigned n)
{
	memmove(step->words, step->words + n, (step->count - n) * sizeof(*step->words));
	step->count -= n;
}

static int parse_head(struct scenario *s, const struct step *step)
{
	static const char *const words[] = {"nodes", "coordinators", "witness", NULL};
	if (s->count)
		return step_bad(s, step, "how many nodes there are stands before the first step");
	for (unsigned i = 0; i < step->count; i += 2) {
		const char *number = step_word(step, i + 1);
		unsigned long n = strtoul(number, NULL, 10);
		if (n < 1 || n > WORLD_NODES_MAX)
			return step_bad(s, step, "'%s' is not a number of nodes (1 to %d)", number,
			    WORLD_NODES_MAX);
		if (!strcmp(step->words[i], "nodes"))
			s->nodes = (unsigned)n;
		else if (!strcmp(step->words[i], "coordinators"))
			s->coordinators = (unsigned)n;
		else if (!strcmp(step->words[i], "witness"))
			s->witnesses |= 1u << n;
		else
			return step_unknown(s, step, step->words[i], words);
	}
	return 0;
}

/* Takes `at TIME` off a step; `until TIME` stays one, with nothing else in it. */
static int parse_when(struct scenario *s, struct step *step)
{
	bool at = !strcmp(step->words[0], "at"), until = !strcmp(step->words[0], "until");
	step->time_ms = s->count ? s->steps[s->count - 1].time_ms : 0;
	if (!at && !until)
		return 0;
	if (step_time(step_word(step, 1), &step->time_ms))
		return step_bad(s, step, "'%s' is not a time (10s, 500ms, 2m)", step_word(step, 1));
	if (at && step->count < 3)
		return step_bad(s, step, "nothing happens at %s", step->words[1]);
	if (s->count && step->time_ms < s->steps[s->count - 1].time_ms)
		return step_bad(s, step, "this is before the line above it");
	if (at)
		shift(step, 2);
	else
		s->until_ms = step->time_ms;
	return 0;
}

static int parse_line(struct scenario *s, char *line, unsigned number)
{
	struct step step = {.line = number};
	char *comment = strchr(line, '#');
	if (comment)
		*comment = 0;
	split(&step, line);
	if (!step.count)
		return 0;
	if (!strcmp(step.words[0], "nodes"))
		return parse_head(s, &step);
	int result = parse_when(s, &step);
	if (result)
		return result;
	s->steps = must_realloc(s->steps, (s->count + 1) * sizeof(*s->steps));
	s->steps[s->count++] = step;
	return 0;
}

static int read_text(struct scenario *s)
{
	FILE *file = fopen(s->path, "re");
	if (!file)
		return err_set(&s->problem, -errno, "%s: %s", s->path, strerror(errno));
	s->text = must_alloc(TEXT_MAX);
	size_t size = fread(s->text, 1, TEXT_MAX - 1, file);
	bool failed = ferror(file), whole = feof(file);
	s->text[size] = 0;
	fclose(file);
	if (failed)
		return err_set(&s->problem, -EIO, "%s: cannot be read", s->path);
	return whole ? 0 : err_set(&s->problem, -EFBIG, "%s: larger than 1 MiB", s->path);
}

static int scenario_read(struct scenario *s)
{
	unsigned number = 0;
	int result = read_text(s);
	for (char *line = s->text, *next; line && !result; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		result = parse_line(s, line, ++number);
	}
	if (s->coordinators > s->nodes)
		s->coordinators = s->nodes;
	if (!result && s->witnesses >> s->nodes >> 1)
		return err_set(&s->problem, -EINVAL, "%s: a witness is one of the %u nodes",
		    s->path, s->nodes);
	return result;
}

/* Playing. */

static bool is_up(const struct scenario *s)
{
	struct replica_status status;
	unsigned primary = world_primary(&s->world);
	if (!primary)
		return false;
	replica_status(s->world.nodes[primary]->replica, &status);
	for (unsigned i = 1; i <= s->world.node_count; i++) {
		const struct sim_node *n = s->world.nodes[i];
		const struct node *node = cluster_node(&n->value, n->raft_id);
		if (!node || node->daemon_state != DAEMON_RUN || !node->last.count)
			return false;
	}
	return status.voters == world_voters_wanted(&s->world);
}

static int bring_up(struct scenario *s)
{
	struct world *w = &s->world;
	while (!is_up(s) && w->now_ms < UP_WITHIN_MS && !*w->failure)
		world_run(w, w->now_ms + 100);
	if (!is_up(s))
		return err_set(&s->problem, -EINVAL, "the cluster did not come up: %s", w->failure);
	s->base_ms = w->now_ms;
	world_trace(w, 0, "the cluster is up; times of steps count from here");
	return 0;
}

static int play(struct scenario *s)
{
	struct world *w = &s->world;
	int result = bring_up(s);
	for (unsigned i = 0; i < s->count && !result && !*w->failure; i++) {
		const struct step *step = &s->steps[i];
		if (s->base_ms + step->time_ms > w->now_ms)
			world_run(w, s->base_ms + step->time_ms);
		if (!*w->failure)
			result = step_run(s, step);
	}
	if (!result && !s->until_ms)
		world_run(w, w->now_ms + QUIET_MS);
	return result;
}

/* Telling. */

static bool held(const struct scenario *s)
{
	return !*s->world.failure && !s->failed;
}

static const struct cluster *final_value(const struct scenario *s)
{
	const struct world *w = &s->world;
	return &w->nodes[world_primary(w) ? world_primary(w) : 1]->value;
}

static json_t *nodes_json(const struct cluster *c)
{
	json_t *nodes = json_array();
	cluster_each(c->nodes, struct node, node) json_array_append_new(
	    nodes, json_pack("{s:s, s:s, s:s}", "name", node->name, "daemon_state",
		       state_name(daemon_state_names, node->daemon_state), "coordinator_state",
		       state_name(coordinator_state_names, node->coordinator_state)));
	return nodes;
}

static json_t *vms_json(const struct cluster *c)
{
	json_t *vms = json_array();
	cluster_each(c->vms, struct vm, vm)
	{
		const struct node *node = cluster_node(c, vm->node);
		json_array_append_new(
		    vms, json_pack("{s:s, s:s, s:s, s:s?, s:I}", "name", vm->name, "state",
			     state_name(vm_state_names, vm->state), "observed",
			     state_name(vm_observed_names, vm->observed), "node",
			     node ? node->name : NULL, "generation", (json_int_t)vm->generation));
	}
	return vms;
}

static void print_json(const struct scenario *s)
{
	const struct world *w = &s->world;
	const struct cluster *c = final_value(s);
	json_t *all = json_pack("{s:b, s:s, s:I, s:i, s:i, s:I, s:O, s:o, s:o}", "held", held(s),
	    "failure", w->failure, "seed", (json_int_t)w->options.seed, "primary",
	    (int)world_primary(w), "fences", (int)w->fences, "index", (json_int_t)c->index,
	    "expectations", s->expectations, "nodes", nodes_json(c), "vms", vms_json(c));
	answer_json(all, JSON_INDENT(2));
	json_decref(all);
}

static void print_value(const struct cluster *c)
{
	struct buffer text = {0};
	buffer_print(&text, "value at index %" PRIu64 "\nprimary ", c->index);
	record_print(primary_record(), &c->primary, &text);
	cluster_each(c->nodes, struct node, node) buffer_print(&text, "\nnode %s %s %s", node->name,
	    state_name(daemon_state_names, node->daemon_state),
	    state_name(coordinator_state_names, node->coordinator_state));
	cluster_each(c->vms, struct vm, vm)
	    buffer_print(&text, "\nvm %s %s %s node=%" PRIu32 " generation=%" PRIu64, vm->name,
		state_name(vm_state_names, vm->state), state_name(vm_observed_names, vm->observed),
		vm->node, vm->generation);
	printf("%.*s\n", (int)text.size, (char *)text.data);
	buffer_close(&text);
}

static void tell(const struct scenario *s, bool json)
{
	if (json) {
		print_json(s);
		return;
	}
	fwrite(s->world.trace.data, 1, s->world.trace.size, stdout);
	print_value(final_value(s));
	if (!held(s))
		printf("%s: %u expectations not met%s%s (again: pvc simulate %s --seed %" PRIu64
		       ")\n",
		    s->path, s->failed, *s->world.failure ? "; " : "", s->world.failure, s->path,
		    s->world.options.seed);
}

int scenario_play(const char *path, uint64_t seed, bool json)
{
	struct scenario s = {.path = path, .nodes = 3, .coordinators = 3};
	s.expectations = json_array();
	int result = scenario_read(&s), code = 2;
	if (!result) {
		struct world_options options = {.seed = seed,
		    .nodes = s.nodes,
		    .founders = s.nodes,
		    .coordinators = s.coordinators,
		    .witnesses = s.witnesses,
		    .drift_ppm_max = WORLD_DRIFT_PPM,
		    .delay_ms_max = 3,
		    .patience_ms = PATIENCE_MS};
		world_init(&s.world, &options);
		s.world.answered = op_answered;
		s.world.player = &s;
		result = play(&s);
		if (!result)
			tell(&s, json);
		code = result ? 2 : !held(&s);
		op_close(&s);
		world_close(&s.world);
	}
	if (result) {
		fprintf(stderr, "pvc simulate: %s\n", s.problem.text);
		answer_failed(-EINVAL, s.problem.text);
	}
	json_decref(s.expectations);
	free(s.steps);
	free(s.text);
	return code;
}
