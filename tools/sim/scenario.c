#include "tools/sim/scenario.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/operation.h"
#include "tools/sim/network.h"
#include "tools/sim/node.h"
#include "tools/sim/request.h"

#define WORDS_MAX    24
#define UP_WITHIN_MS 20000
#define QUIET_MS     5000 /* at the end, when no `until` says how long */

struct step {
	unsigned line;
	uint64_t time_ms; /* from when the cluster is up */
	char *words[WORDS_MAX];
	unsigned count;
};

struct pending { /* an operation whose answer is awaited */
	struct scenario *scenario;
	context_done done;
	void *done_data;
	uint64_t number;
};

struct scenario {
	const char *path;
	char *text;
	struct step *steps;
	unsigned count;
	uint64_t until_ms;
	unsigned nodes, coordinators;
	struct world world;
	uint64_t base_ms;
	struct pending *pending; /* by order of asking; done NULL: answered */
	unsigned pending_count;
	unsigned failed; /* expectations */
	struct err problem;
};

static int bad(struct scenario *s, const struct step *step, const char *format, const char *what)
{
	struct err err;
	err_set(&err, 0, format, what);
	return err_set(&s->problem, -EINVAL, "%s:%u: %s", s->path, step->line, err.text);
}

/* Reading. */

static int parse_time(const char *text, uint64_t *ms)
{
	return operation_duration(text, ms);
}

static void split(struct step *step, char *line)
{
	char *rest = NULL;
	for (char *word = strtok_r(line, " \t\r", &rest); word && step->count < WORDS_MAX;
	     word = strtok_r(NULL, " \t\r", &rest))
		step->words[step->count++] = word;
}

static void shift(struct step *step, unsigned n)
{
	memmove(step->words, step->words + n, (step->count - n) * sizeof(*step->words));
	step->count -= n;
}

static int parse_head(struct scenario *s, struct step *step)
{
	for (unsigned i = 0; i + 1 < step->count; i += 2) {
		unsigned n = (unsigned)strtoul(step->words[i + 1], NULL, 10);
		if (n < 1 || n > WORLD_NODES_MAX)
			return bad(
			    s, step, "'%s' is not a number of nodes (1 to 16)", step->words[i + 1]);
		if (!strcmp(step->words[i], "nodes"))
			s->nodes = n;
		else if (!strcmp(step->words[i], "coordinators"))
			s->coordinators = n;
		else
			return bad(
			    s, step, "'%s': nodes or coordinators is expected", step->words[i]);
	}
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
	step.time_ms = s->count ? s->steps[s->count - 1].time_ms : 0;
	if (!strcmp(step.words[0], "at") || !strcmp(step.words[0], "until")) {
		bool until = !strcmp(step.words[0], "until");
		if (step.count < 2 || parse_time(step.words[1], &step.time_ms))
			return bad(s, &step, "'%s' is not a time (10s, 500ms, 2m)",
			    step.count > 1 ? step.words[1] : "");
		if (until)
			s->until_ms = step.time_ms;
		shift(&step, 2);
		if (until && !step.count) {
			step.words[0] = "until";
			step.count = 1;
		}
	}
	if (s->count && step.time_ms < s->steps[s->count - 1].time_ms)
		return bad(s, &step, "%s", "this is before the line above it");
	s->steps = must_realloc(s->steps, (s->count + 1) * sizeof(*s->steps));
	s->steps[s->count++] = step;
	return 0;
}

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return NULL;
	char *text = must_alloc(1u << 20);
	size_t size = fread(text, 1, (1u << 20) - 1, file);
	text[size] = 0;
	fclose(file);
	return text;
}

static int scenario_read(struct scenario *s)
{
	s->text = read_text(s->path);
	if (!s->text)
		return err_set(&s->problem, -errno, "%s: %s", s->path, strerror(errno));
	unsigned number = 0;
	for (char *line = s->text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		int result = parse_line(s, line, ++number);
		if (result)
			return result;
	}
	return 0;
}

/* Steps. */

static struct sim_node *node_word(struct scenario *s, const struct step *step, unsigned word)
{
	char *end;
	const char *text = word < step->count ? step->words[word] : "";
	unsigned long id = strtoul(text, &end, 10);
	if (!*text || *end || id < 1 || id > s->world.node_count) {
		bad(s, step, "there is no node '%s'", text);
		return NULL;
	}
	return s->world.nodes[id];
}

/* 1 on, 0 off, or -EINVAL. */
static int on_word(struct scenario *s, const struct step *step, unsigned word)
{
	const char *text = word < step->count ? step->words[word] : "";
	if (!strcmp(text, "on"))
		return 1;
	if (!strcmp(text, "off"))
		return 0;
	return bad(s, step, "'%s': on or off is expected", text);
}

static int step_power(struct scenario *s, const struct step *step)
{
	struct sim_node *n = node_word(s, step, 1);
	int on = n ? on_word(s, step, 2) : -EINVAL;
	if (on >= 0)
		sim_node_power(n, on);
	return on < 0 ? on : 0;
}

static int step_daemon(struct scenario *s, const struct step *step)
{
	struct sim_node *n = node_word(s, step, 1);
	int on = n ? on_word(s, step, 2) : -EINVAL;
	if (on >= 0)
		sim_node_daemon(n, on);
	return on < 0 ? on : 0;
}

static int step_network(struct scenario *s, const struct step *step)
{
	struct sim_node *n = node_word(s, step, 1);
	int on = n ? on_word(s, step, 2) : -EINVAL;
	if (on < 0)
		return on;
	network_cut(&s->world, n->id, !on);
	world_trace(&s->world, n->id, on ? "network whole" : "network cut");
	return 0;
}

static int step_oneway(struct scenario *s, const struct step *step)
{
	struct sim_node *from = node_word(s, step, 1);
	struct sim_node *to = from ? node_word(s, step, 2) : NULL;
	int on = to ? on_word(s, step, 3) : -EINVAL;
	if (on < 0)
		return on;
	s->world.cut[from->id][to->id] = !on;
	world_trace(&s->world, to->id, on ? "hears n%u again" : "no longer hears n%u", from->id);
	return 0;
}

static int step_pause(struct scenario *s, const struct step *step)
{
	uint64_t ms;
	struct sim_node *n = node_word(s, step, 1);
	if (!n)
		return -EINVAL;
	if (step->count < 3 || parse_time(step->words[2], &ms))
		return bad(s, step, "%s", "pause NODE TIME");
	sim_node_pause(n, ms);
	return 0;
}

static int step_hang(struct scenario *s, const struct step *step)
{
	uint64_t ms = 3600000;
	struct sim_node *n = node_word(s, step, 1);
	if (!n)
		return -EINVAL;
	if (step->count < 3 || strcmp(step->words[2], "hypervisor") != 0)
		return bad(s, step, "%s", "hang NODE hypervisor [TIME]");
	if (step->count > 3 && parse_time(step->words[3], &ms))
		return bad(s, step, "'%s' is not a time", step->words[3]);
	sim_node_hang(n, ms);
	return 0;
}

/* Nothing in the cluster reads a wall clock: this shows that nothing happens. */
static int step_clock(struct scenario *s, const struct step *step)
{
	struct sim_node *n = node_word(s, step, 1);
	if (!n || step->count < 3)
		return n ? bad(s, step, "%s", "clock NODE +1h") : -EINVAL;
	world_trace(&s->world, n->id, "wall clock jumps by %s", step->words[2]);
	return 0;
}

static int step_disk(struct scenario *s, const struct step *step)
{
	struct sim_node *n = node_word(s, step, 1);
	if (!n || step->count < 3)
		return n ? bad(s, step, "%s", "disk NODE full|fail|slow=TIME|ok") : -EINVAL;
	const char *what = step->words[2];
	struct disk_faults faults = {0};
	uint64_t ms = 0;
	if (!strcmp(what, "full"))
		faults.full = true;
	else if (!strcmp(what, "fail"))
		faults.failing = true;
	else if (!strncmp(what, "slow=", 5) && !parse_time(what + 5, &ms))
		faults.slow_ms = (unsigned)ms;
	else if (strcmp(what, "ok") != 0)
		return bad(s, step, "'%s': full, fail, slow=TIME or ok is expected", what);
	n->disk.faults = faults;
	world_trace(&s->world, n->id, "disk %s", what);
	return 0;
}

static int step_vm(struct scenario *s, const struct step *step)
{
	struct command define = {.number = COMMAND_vm_define};
	struct command_vm_define *vm = &define.vm_define;
	bool start = false;
	if (step->count < 2)
		return bad(s, step, "%s", "vm NAME [node=N] [memory=MIB] [state=start|stop]");
	snprintf(vm->name, sizeof(vm->name), "%s", step->words[1]);
	snprintf(vm->uuid, sizeof(vm->uuid), "uuid-%.20s", step->words[1]);
	vm->memory_mib = 512;
	vm->vcpus = 1;
	for (unsigned i = 2; i < step->count; i++) {
		if (!strncmp(step->words[i], "node=", 5))
			vm->node = (uint32_t)strtoul(step->words[i] + 5, NULL, 10);
		else if (!strncmp(step->words[i], "memory=", 7))
			vm->memory_mib = strtoull(step->words[i] + 7, NULL, 10);
		else if (!strcmp(step->words[i], "state=start"))
			start = true;
		else if (strcmp(step->words[i], "state=stop") != 0)
			return bad(
			    s, step, "'%s': node=, memory= or state= is expected", step->words[i]);
	}
	struct sim_node *first = s->world.nodes[1];
	struct command state = {.number = COMMAND_vm_state, .vm_state = {.state = VM_START}};
	state.vm_state.vm = first->value.settings.next_vm;
	request_propose(first, &define, REQUEST_NONE, 0);
	if (start)
		request_propose(first, &state, REQUEST_NONE, 0);
	sim_node_settle(first);
	/* The next `vm` line needs to know which number this one got. */
	world_run(&s->world, s->world.now_ms + 500);
	return 0;
}

/* Operations of the command line. */

static uint64_t context_now(void *data)
{
	return sim_node_clock(data);
}

static struct replica *context_replica(void *data)
{
	return ((struct sim_node *)data)->replica;
}

static struct scenario *playing; /* one at a time in a process */

static void context_propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	struct scenario *s = playing;
	s->pending = must_realloc(s->pending, (s->pending_count + 1) * sizeof(*s->pending));
	s->pending[s->pending_count++] = (struct pending){.done = done, .done_data = done_data};
	request_propose(data, command, REQUEST_USER, s->pending_count - 1);
}

static void answered(struct world *w, const struct sim_answer *answer)
{
	struct scenario *s = w->player;
	struct pending pending = s->pending[answer->number];
	struct err err = {{0}};
	s->pending[answer->number].done = NULL;
	if (answer->result < 0)
		err_set(&err, answer->result, "refused: %s", strerror(-answer->result));
	if (pending.done)
		pending.done(pending.done_data, answer->result, answer->index, &err);
}

static void operation_answered(void *data, int status, json_t *result, const struct err *err)
{
	const struct step *step = data;
	char *text = result ? json_dumps(result, JSON_COMPACT) : NULL;
	world_trace(&playing->world, 0, "line %u: %s", step->line,
	    status < 0 ? err->text
	    : text     ? text
		       : "done");
	free(text);
	json_decref(result);
}

static int step_op(struct scenario *s, const struct step *step)
{
	unsigned first = 1;
	struct sim_node *n = s->world.nodes[1];
	if (step->count > 3 && !strcmp(step->words[1], "on")) {
		n = node_word(s, step, 2);
		first = 3;
	}
	if (!n)
		return -EINVAL;
	struct operation_call call = {0};
	struct err err;
	const char *const *words = (const char *const *)step->words + first;
	if (operation_parse(words, step->count - first, &call, &err))
		return bad(s, step, "%s", err.text);
	struct context context = {
	    .data = n,
	    .id = n->raft_id,
	    .cluster = &n->value,
	    .now_ms = context_now,
	    .replica = context_replica,
	    .propose = context_propose,
	};
	struct context *kept = must_alloc(sizeof(*kept));
	*kept = context; /* until the scenario ends: an answer may come at any time */
	operation_run(kept, &call, operation_answered, (void *)(uintptr_t)step);
	operation_call_close(&call);
	sim_node_settle(n);
	return 0;
}

/* Expectations. */

static void missed(struct scenario *s, const struct step *step, const char *what)
{
	s->failed++;
	world_trace(&s->world, 0, "line %u: EXPECTED otherwise: %s", step->line, what);
}

static unsigned vm_runs_on(const struct scenario *s, const char *name)
{
	char uuid[37];
	snprintf(uuid, sizeof(uuid), "uuid-%.20s", name);
	for (unsigned i = 1; i <= s->world.node_count; i++) {
		const struct sim_vm *vm = sim_hypervisor_vm(s->world.nodes[i], uuid);
		if (vm && vm->state == SIM_VM_RUNNING && s->world.nodes[i]->powered)
			return i;
	}
	return 0;
}

static int expect_vm(struct scenario *s, const struct step *step)
{
	char what[128];
	unsigned runs_on = step->count > 3 ? vm_runs_on(s, step->words[2]) : 0;
	const char *state = step->count > 3 ? step->words[3] : "";
	bool running = !strcmp(state, "running");
	if (!running && strcmp(state, "off") != 0)
		return bad(s, step, "%s", "expect vm NAME running [on N | not on N] | off");
	bool held = running == (runs_on != 0);
	bool not_on = step->count > 6 && !strcmp(step->words[4], "not");
	if (running && step->count > 5) {
		struct sim_node *n = node_word(s, step, step->count - 1);
		if (!n)
			return -EINVAL;
		held = held && (runs_on == n->id) != not_on;
	}
	snprintf(what, sizeof(what), runs_on ? "it runs on %u" : "it does not run", runs_on);
	if (!held)
		missed(s, step, what);
	return 0;
}

static int step_expect(struct scenario *s, const struct step *step)
{
	const char *what = step->count > 1 ? step->words[1] : "";
	char text[64];
	unsigned primary = world_primary(&s->world);
	if (!strcmp(what, "vm"))
		return expect_vm(s, step);
	if (!strcmp(what, "no-fence")) {
		if (s->world.fences)
			missed(s, step, "a node was fenced");
		return 0;
	}
	snprintf(text, sizeof(text), primary ? "the primary is %u" : "there is none", primary);
	if (!strcmp(what, "no-primary")) {
		if (primary)
			missed(s, step, text);
		return 0;
	}
	if (strcmp(what, "primary") != 0)
		return bad(s, step, "'%s': vm, primary, no-primary or no-fence is expected", what);
	if (step->count > 2) {
		struct sim_node *n = node_word(s, step, 2);
		if (!n)
			return -EINVAL;
		if (n->id != primary)
			missed(s, step, text);
	} else if (!primary) {
		missed(s, step, text);
	}
	return 0;
}

static int step_until(struct scenario *s, const struct step *step)
{
	return 0;
}

static const struct verb {
	const char *name;
	int (*run)(struct scenario *s, const struct step *step);
} verbs[] = {
    {"power", step_power},
    {"daemon", step_daemon},
    {"network", step_network},
    {"oneway", step_oneway},
    {"pause", step_pause},
    {"hang", step_hang},
    {"clock", step_clock},
    {"disk", step_disk},
    {"vm", step_vm},
    {"op", step_op},
    {"expect", step_expect},
    {"until", step_until},
};

static int run_step(struct scenario *s, const struct step *step)
{
	for (unsigned i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (!strcmp(step->words[0], verbs[i].name))
			return verbs[i].run(s, step);
	return bad(s, step, "'%s' is not a step: see pvc simulate --help", step->words[0]);
}

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
	return status.voters == s->coordinators;
}

static int play(struct scenario *s)
{
	while (!is_up(s) && s->world.now_ms < UP_WITHIN_MS && !*s->world.failure)
		world_run(&s->world, s->world.now_ms + 100);
	if (!is_up(s))
		return err_set(
		    &s->problem, -EINVAL, "the cluster did not come up: %s", s->world.failure);
	s->base_ms = s->world.now_ms;
	world_trace(&s->world, 0, "the cluster is up; times of steps count from here");
	uint64_t end_ms = s->until_ms;
	for (unsigned i = 0; i < s->count; i++) {
		const struct step *step = &s->steps[i];
		if (s->base_ms + step->time_ms > s->world.now_ms)
			world_run(&s->world, s->base_ms + step->time_ms);
		int result = *s->world.failure ? 0 : run_step(s, step);
		if (result)
			return result;
		if (step->time_ms > end_ms)
			end_ms = step->time_ms;
	}
	if (!s->until_ms)
		world_run(&s->world, s->world.now_ms + QUIET_MS);
	return 0;
}

static void print_value(const struct scenario *s, bool json)
{
	const struct world *w = &s->world;
	const struct sim_node *n = w->nodes[world_primary(w) ? world_primary(w) : 1];
	struct buffer text = {0};
	if (json) {
		printf(
		    "{\"held\":%s,\"failure\":\"%s\",\"primary\":%u,\"fences\":%u,\"index\":%" PRIu64
		    "}\n",
		    *w->failure || s->failed ? "false" : "true", w->failure, world_primary(w),
		    w->fences, n->value.index);
		return;
	}
	buffer_print(&text, "value at index %" PRIu64 "\nprimary ", n->value.index);
	record_print(primary_record(), &n->value.primary, &text);
	cluster_each(n->value.nodes, struct node, node) buffer_print(&text, "\nnode %s %s %s",
	    node->name, state_name(daemon_state_names, node->daemon_state),
	    state_name(coordinator_state_names, node->coordinator_state));
	cluster_each(n->value.vms, struct vm, vm)
	    buffer_print(&text, "\nvm %s %s %s node=%" PRIu32 " generation=%" PRIu64, vm->name,
		state_name(vm_state_names, vm->state), state_name(vm_observed_names, vm->observed),
		vm->node, vm->generation);
	printf("%.*s\n", (int)text.size, (char *)text.data);
	buffer_close(&text);
}

int scenario_play(const char *path, uint64_t seed, bool json)
{
	struct scenario s = {.path = path, .nodes = 3, .coordinators = 3};
	playing = &s;
	int result = scenario_read(&s);
	if (!result) {
		struct world_options options = {.seed = seed,
		    .nodes = s.nodes,
		    .founders = s.nodes,
		    .drift_ppm_max = WORLD_DRIFT_PPM,
		    .coordinators = s.coordinators,
		    .delay_ms_max = 3};
		if (s.coordinators > s.nodes)
			options.coordinators = s.coordinators = s.nodes;
		world_init(&s.world, &options);
		s.world.answered = answered;
		s.world.player = &s;
		result = play(&s);
		if (!json)
			fwrite(s.world.trace.data, 1, s.world.trace.size, stdout);
		if (!result)
			print_value(&s, json);
		world_close(&s.world);
	}
	if (result)
		fprintf(stderr, "pvc simulate: %s\n", s.problem.text);
	bool held = !*s.world.failure && !s.failed;
	free(s.steps);
	free(s.text);
	free(s.pending);
	return result ? 2 : held ? 0 : 1;
}
