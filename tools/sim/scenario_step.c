/* What the lines of a scenario do, all but its operations and expectations. */
#include "tools/sim/scenario_step.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/guess.h"
#include "node/operation/operation.h"
#include "tools/sim/network.h"
#include "tools/sim/request.h"

#define FOR_GOOD_MS 3600000

int step_bad(struct scenario *s, const struct step *step, const char *format, ...)
{
	char text[ERR_TEXT_MAX / 2];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return err_set(&s->problem, -EINVAL, "%s:%u: %s", s->path, step->line, text);
}

int step_unknown(
    struct scenario *s, const struct step *step, const char *word, const char *const *words)
{
	char text[ERR_TEXT_MAX / 2];
	struct guess guess = guess_of(word);
	size_t used = (size_t)snprintf(text, sizeof(text), "'%.64s': ", word);
	for (unsigned i = 0; words[i]; i++) {
		const char *between = !i ? "" : words[i + 1] ? ", " : " or ";
		guess_offer(&guess, words[i]);
		used +=
		    (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", between, words[i]);
	}
	snprintf(text + used, sizeof(text) - used, " is expected");
	guess_append(&guess, text, sizeof(text));
	return step_bad(s, step, "%s", text);
}

const char *step_word(const struct step *step, unsigned word)
{
	return word < step->count ? step->words[word] : "";
}

struct sim_node *step_node(struct scenario *s, const struct step *step, unsigned word)
{
	char *end;
	const char *text = step_word(step, word);
	unsigned long id = strtoul(text, &end, 10);
	if (*text && !*end && id >= 1 && id <= s->world.node_count)
		return s->world.nodes[id];
	step_bad(s, step, "there is no node '%s': they are 1 to %u", text, s->world.node_count);
	return NULL;
}

int step_time(const char *text, uint64_t *ms)
{
	return operation_duration(text, ms);
}

int step_on(struct scenario *s, const struct step *step, unsigned word)
{
	static const char *const words[] = {"on", "off", NULL};
	const char *text = step_word(step, word);
	if (!strcmp(text, "on"))
		return 1;
	return !strcmp(text, "off") ? 0 : step_unknown(s, step, text, words);
}

static int step_power(struct scenario *s, const struct step *step)
{
	struct sim_node *n = step_node(s, step, 1);
	int on = n ? step_on(s, step, 2) : -EINVAL;
	if (on >= 0)
		sim_node_power(n, on);
	return on < 0 ? on : 0;
}

static int step_daemon(struct scenario *s, const struct step *step)
{
	struct sim_node *n = step_node(s, step, 1);
	int on = n ? step_on(s, step, 2) : -EINVAL;
	if (on >= 0)
		sim_node_daemon(n, on);
	return on < 0 ? on : 0;
}

static int step_network(struct scenario *s, const struct step *step)
{
	struct sim_node *n = step_node(s, step, 1);
	int on = n ? step_on(s, step, 2) : -EINVAL;
	if (on < 0)
		return on;
	network_cut(&s->world, n->id, !on);
	world_trace(&s->world, n->id, on ? "network whole" : "network cut");
	return 0;
}

static int step_oneway(struct scenario *s, const struct step *step)
{
	struct sim_node *from = step_node(s, step, 1);
	struct sim_node *to = from ? step_node(s, step, 2) : NULL;
	int on = to ? step_on(s, step, 3) : -EINVAL;
	if (on < 0)
		return on;
	s->world.cut[from->id][to->id] = !on;
	world_trace(&s->world, to->id, on ? "hears n%u again" : "no longer hears n%u", from->id);
	return 0;
}

static int step_pause(struct scenario *s, const struct step *step)
{
	uint64_t ms;
	struct sim_node *n = step_node(s, step, 1);
	if (!n)
		return -EINVAL;
	if (step_time(step_word(step, 2), &ms))
		return step_bad(s, step, "pause NODE TIME: '%s' is not a time", step_word(step, 2));
	sim_node_pause(n, ms);
	return 0;
}

static int step_hang(struct scenario *s, const struct step *step)
{
	static const char *const words[] = {"hypervisor", "pool", "nic", NULL};
	struct sim_node *n = step_node(s, step, 1);
	const char *what = step_word(step, 2);
	uint64_t ms = FOR_GOOD_MS;
	if (!n)
		return -EINVAL;
	if (strcmp(what, words[0]) != 0 && strcmp(what, words[1]) != 0 &&
	    strcmp(what, words[2]) != 0)
		return step_unknown(s, step, what, words);
	if (step->count > 3 && step_time(step->words[3], &ms))
		return step_bad(s, step, "'%s' is not a time", step->words[3]);
	if (!strcmp(what, words[0]))
		sim_node_hang(n, ms);
	else /* The simulated nodes ask nothing of theirs yet. */
		world_trace(&s->world, n->id, "%s hangs for %llu ms", what, (unsigned long long)ms);
	return 0;
}

/* Nothing in the cluster reads a wall clock: this shows that nothing happens. */
static int step_clock(struct scenario *s, const struct step *step)
{
	uint64_t ms;
	struct sim_node *n = step_node(s, step, 1);
	const char *by = step_word(step, 2);
	if (!n)
		return -EINVAL;
	if ((*by != '+' && *by != '-') || step_time(by + 1, &ms))
		return step_bad(s, step, "clock NODE +1h: '%s' is not such a jump", by);
	world_trace(&s->world, n->id, "wall clock jumps by %s", by);
	return 0;
}

static int step_spoil(struct scenario *s, const struct step *step)
{
	struct sim_node *n = step_node(s, step, 1);
	if (!n)
		return -EINVAL;
	sim_node_spoil(n);
	return 0;
}

static int step_disk(struct scenario *s, const struct step *step)
{
	static const char *const words[] = {"full", "fail", "slow=TIME", "ok", NULL};
	struct sim_node *n = step_node(s, step, 1);
	const char *what = step_word(step, 2);
	struct disk_faults faults = {0};
	uint64_t ms = 0;
	if (!n)
		return -EINVAL;
	if (!strcmp(what, "full"))
		faults.full = true;
	else if (!strcmp(what, "fail"))
		faults.failing = true;
	else if (!strncmp(what, "slow=", 5) && !step_time(what + 5, &ms))
		faults.slow_ms = (unsigned)ms;
	else if (strcmp(what, "ok") != 0)
		return step_unknown(s, step, what, words);
	n->disk.faults = faults;
	world_trace(&s->world, n->id, "disk %s", what);
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
    {"spoil", step_spoil},
    {"vm", step_vm},
    {"copy", step_copy},
    {"crash", step_crash},
    {"libvirt", step_libvirt},
    {"await", step_await},
    {"op", step_op},
    {"expect", step_expect},
    {"until", step_until},
};

#define VERBS (sizeof(verbs) / sizeof(*verbs))

int step_run(struct scenario *s, const struct step *step)
{
	const char *words[VERBS + 1] = {NULL};
	for (unsigned i = 0; i < VERBS; i++) {
		if (!strcmp(step_word(step, 0), verbs[i].name))
			return verbs[i].run(s, step);
		words[i] = verbs[i].name;
	}
	return step_unknown(s, step, step_word(step, 0), words);
}
