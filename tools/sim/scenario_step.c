/* What the lines of a scenario do, all but its operations and expectations. */
#include "tools/sim/scenario_step.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/hash.h"
#include "node/guess.h"
#include "node/operation/operation.h"
#include "tools/sim/network.h"
#include "tools/sim/request.h"

#define FOR_GOOD_MS   3600000
#define VM_TAKES_MS   500 /* until the next line may name it */
#define VM_MEMORY_MIB 512

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

/* 1 on, 0 off, or -EINVAL. */
static int step_on(struct scenario *s, const struct step *step, unsigned word)
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

static int number_after(const char *text, uint64_t *number)
{
	char *end;
	*number = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || *end ? -EINVAL : 0;
}

static int vm_option(
    struct scenario *s, const struct step *step, const char *word, struct command_vm_define *vm)
{
	static const char *const words[] = {
	    "node=N", "memory=MIB", "state=start", "state=stop", NULL};
	uint64_t number = 0;
	if (!strncmp(word, "node=", 5) && !number_after(word + 5, &number) && number >= 1 &&
	    number <= s->world.node_count)
		vm->node = s->world.nodes[number]->raft_id;
	else if (!strncmp(word, "memory=", 7) && !number_after(word + 7, &number))
		vm->memory_mib = number;
	else if (strcmp(word, "state=start") != 0 && strcmp(word, "state=stop") != 0)
		return step_unknown(s, step, word, words);
	return 0;
}

void step_uuid(const char *vm, char uuid[37])
{
	uint64_t hash = hash_bytes(0, vm, strlen(vm));
	snprintf(uuid, 37, "%08x-0000-4000-8000-0000%08x", (uint32_t)hash, (uint32_t)(hash >> 32));
}

static int step_vm(struct scenario *s, const struct step *step)
{
	struct command define = {.number = COMMAND_vm_define};
	struct command_vm_define *vm = &define.vm_define;
	bool start = false;
	if (step->count < 2)
		return step_bad(s, step, "vm NAME [node=N] [memory=MIB] [state=start|stop]");
	snprintf(vm->name, sizeof(vm->name), "%s", step->words[1]);
	step_uuid(vm->name, vm->uuid);
	vm->memory_mib = VM_MEMORY_MIB;
	vm->vcpus = 1;
	for (unsigned i = 2; i < step->count; i++) {
		int result = vm_option(s, step, step->words[i], vm);
		if (result)
			return result;
		start |= !strcmp(step->words[i], "state=start");
	}
	struct sim_node *first = s->world.nodes[1];
	struct command state = {.number = COMMAND_vm_state, .vm_state = {.state = VM_START}};
	state.vm_state.vm = first->value.settings.next_vm;
	request_propose(first, &define, ASK_NONE, 0);
	if (start)
		request_propose(first, &state, ASK_NONE, 0);
	sim_node_settle(first);
	/* The next `vm` line needs to know which number this one got. */
	world_run(&s->world, s->world.now_ms + VM_TAKES_MS);
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
