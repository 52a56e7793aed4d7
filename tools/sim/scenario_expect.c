/* What a scenario expects, and what was found instead. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft/configuration.h"
#include "fsm/history.h"
#include "node/member/health.h"
#include "tools/sim/guest.h"
#include "tools/sim/scenario_step.h"

struct found {
	bool held;
	char text[128];
};

static void found_set(struct found *f, bool held, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void found_set(struct found *f, bool held, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	f->held = held;
}

static struct sim_node *vm_runs_on(const struct scenario *s, const char *name)
{
	char uuid[37];
	step_uuid(name, uuid);
	for (unsigned i = 1; i <= s->world.node_count; i++) {
		const struct sim_vm *vm = sim_hypervisor_vm(s->world.nodes[i], uuid);
		if (vm && vm->state == SIM_VM_RUNNING)
			return s->world.nodes[i];
	}
	return NULL;
}

static int expect_vm_place(
    struct scenario *s, const struct step *step, const struct sim_node *runs_on, struct found *f)
{
	static const char *const words[] = {"on", "not on", NULL};
	bool not_on = !strcmp(step_word(step, 4), "not");
	unsigned at = not_on ? 5 : 4;
	if (step->count == 4)
		return 0;
	if (strcmp(step_word(step, at), "on") != 0)
		return step_unknown(s, step, step_word(step, 4), words);
	const struct sim_node *n = step_node(s, step, at + 1);
	if (!n)
		return -EINVAL;
	f->held = f->held && (runs_on == n) != not_on;
	return 0;
}

/* How often its memory was new: a live migration is none of them. */
static int expect_booted(
    struct scenario *s, const struct step *step, const char *name, struct found *f)
{
	char uuid[37];
	step_uuid(name, uuid);
	uint64_t boots = guest_of(&s->world, uuid)->boots;
	if (step->count != 5)
		return step_bad(s, step, "expect vm NAME booted TIMES");
	found_set(f, boots == strtoull(step_word(step, 4), NULL, 10), "it booted %u times",
	    (unsigned)boots);
	return 0;
}

static int expect_vm(struct scenario *s, const struct step *step, struct found *f)
{
	static const char *const words[] = {"running", "off", "booted", NULL};
	const char *name = step_word(step, 2), *state = step_word(step, 3);
	const struct sim_node *runs_on = vm_runs_on(s, name);
	bool running = !strcmp(state, "running");
	if (!strcmp(state, "booted"))
		return expect_booted(s, step, name, f);
	if (!running && strcmp(state, "off") != 0)
		return step_unknown(s, step, state, words);
	if (!step_has_vm(s, name))
		return step_bad(s, step, "there is no VM %s", name);
	if (runs_on)
		found_set(f, running, "it runs on %u", runs_on->id);
	else
		found_set(f, !running, "it does not run");
	return running ? expect_vm_place(s, step, runs_on, f) : 0;
}

static int expect_primary(struct scenario *s, const struct step *step, struct found *f)
{
	unsigned primary = world_primary(&s->world);
	const struct sim_node *n = step->count > 2 ? step_node(s, step, 2) : NULL;
	if (step->count > 2 && !n)
		return -EINVAL;
	if (primary)
		found_set(f, !n || n->id == primary, "the primary is %u", primary);
	else
		found_set(f, false, "there is none");
	return 0;
}

static int expect_no_primary(struct scenario *s, const struct step *step, struct found *f)
{
	unsigned primary = world_primary(&s->world);
	found_set(f, !primary, "the primary is %u", primary);
	return 0;
}

/* Of the node that knows most. */
static const struct sim_node *newest(const struct world *w)
{
	const struct sim_node *n = w->nodes[1];
	for (unsigned i = 2; i <= w->node_count; i++)
		if (w->nodes[i]->value.index > n->value.index)
			n = w->nodes[i];
	return n;
}

/* As the log of the node that knows most has it. */
static const char *role_of(const struct world *w, const struct sim_node *n)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	const struct sim_node *by = newest(w);
	unsigned count =
	    by->replica ? replica_members(by->replica, members, REPLICA_MEMBERS_MAX) : 0;
	for (unsigned i = 0; i < count; i++)
		if (members[i].id == n->raft_id)
			return state_name(member_role_names, members[i].role);
	return "no member";
}

static int expect_role(
    struct scenario *s, const struct sim_node *n, const char *role, struct found *f)
{
	const char *is = role_of(&s->world, n);
	found_set(f, !strcmp(is, role), "it is %s", is);
	return 0;
}

/* Does `pvc status` on that node tell of it? */
static bool tells_of(const struct sim_node *on, const char *about)
{
	struct health_log *log = must_alloc(sizeof(*log));
	struct health *health = must_alloc(sizeof(*health));
	bool told = false;
	char begin[96];
	snprintf(begin, sizeof(begin), "%s: " HEALTH_REPLICA " is failed", about);
	replica_status(on->replica, &log->status);
	health_judge(&on->value, log, sim_node_clock(on), health);
	for (unsigned i = 0; i < health->count && i < HEALTH_MESSAGES_MAX; i++)
		told |= !strncmp(health->messages[i], begin, strlen(begin));
	free(health);
	free(log);
	return told;
}

static int expect_diverged(struct scenario *s, const struct sim_node *n, struct found *f)
{
	const struct node *node = cluster_node(&n->value, n->raft_id);
	found_set(f, history_diverged_at(&n->value), "it does not know");
	if (n->guard.held)
		found_set(f, false, "it holds the floating address");
	for (unsigned i = 1; i <= s->world.node_count; i++) {
		const struct sim_node *other = s->world.nodes[i];
		if (node && sim_node_serves(other) && !tells_of(other, node->name))
			found_set(f, false, "on %u nothing is told of it", i);
	}
	return 0;
}

static int expect_domain(
    const struct cluster *c, const struct sim_node *n, const char *state, struct found *f)
{
	const struct node *node = cluster_node(c, n->raft_id);
	const char *is = node ? state_name(domain_state_names, node->domain_state) : "unknown";
	found_set(f, !strcmp(is, state), "it is %s", is);
	return 0;
}

static int expect_node(struct scenario *s, const struct step *step, struct found *f)
{
	const char *words[24] = {"current", "voter", "standby", "diverged", "ready", "flushed"},
		   *state = step_word(step, 3);
	const struct sim_node *n = step_node(s, step, 2);
	const struct cluster *c = &newest(&s->world)->value;
	bool known = !strcmp(state, "current");
	if (!n)
		return -EINVAL;
	for (unsigned i = 0; daemon_state_names[i] && i < 14; i++) {
		known |= !strcmp(state, daemon_state_names[i]);
		words[i + 6] = daemon_state_names[i];
	}
	if (!strcmp(state, "ready") || !strcmp(state, "flushed"))
		return expect_domain(c, n, state, f);
	if (!strcmp(state, "voter") || !strcmp(state, "standby"))
		return expect_role(s, n, state, f);
	if (!strcmp(state, "diverged"))
		return expect_diverged(s, n, f);
	if (!known)
		return step_unknown(s, step, state, words);
	if (!strcmp(state, "current")) {
		uint64_t behind = c->index - n->value.index;
		found_set(f, sim_node_serves(n) && behind < 2, "it is %llu entries behind",
		    (unsigned long long)behind);
		return 0;
	}
	const struct node *node = cluster_node(c, n->raft_id);
	const char *is = node ? state_name(daemon_state_names, node->daemon_state) : "unknown";
	found_set(f, !strcmp(is, state), "it is %s", is);
	return 0;
}

static int expect_no_fence(struct scenario *s, const struct step *step, struct found *f)
{
	found_set(f, !s->world.fences, "a node was fenced");
	return 0;
}

static int expect_fence(struct scenario *s, const struct step *step, struct found *f)
{
	found_set(f, s->world.fences, "no node was fenced");
	return 0;
}

static const struct expectation {
	const char *name;
	int (*look)(struct scenario *s, const struct step *step, struct found *f);
} expectations[] = {
    {"vm", expect_vm},
    {"primary", expect_primary},
    {"no-primary", expect_no_primary},
    {"node", expect_node},
    {"fence", expect_fence},
    {"no-fence", expect_no_fence},
};

#define EXPECTATIONS (sizeof(expectations) / sizeof(*expectations))

static const struct expectation *expectation_of(
    struct scenario *s, const struct step *step, const char *name)
{
	const char *words[EXPECTATIONS + 1] = {NULL};
	for (unsigned i = 0; i < EXPECTATIONS; i++) {
		if (!strcmp(name, expectations[i].name))
			return &expectations[i];
		words[i] = expectations[i].name;
	}
	step_unknown(s, step, name, words);
	return NULL;
}

static void note(struct scenario *s, const struct step *step, const struct found *f)
{
	struct buffer text = {0};
	for (unsigned i = 1; i < step->count; i++)
		buffer_print(&text, "%s%s", i > 1 ? " " : "", step->words[i]);
	world_trace(&s->world, 0, "line %u: %s: %.*s%s%s", step->line,
	    f->held ? "as expected" : "EXPECTED", (int)text.size, (char *)text.data,
	    f->held ? "" : ", but ", f->held ? "" : f->text);
	json_array_append_new(s->expectations,
	    json_pack("{s:i, s:o, s:b, s:s}", "line", (int)step->line, "expected",
		json_stringn((char *)text.data, text.size), "held", f->held, "found", f->text));
	buffer_close(&text);
}

int step_expect(struct scenario *s, const struct step *step)
{
	struct found found = {0};
	const struct expectation *e = expectation_of(s, step, step_word(step, 1));
	int result = e ? e->look(s, step, &found) : -EINVAL;
	if (result)
		return result;
	s->failed += !found.held;
	note(s, step, &found);
	return 0;
}
