/* Lines of a scenario that are about VMs and their hypervisors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/hash.h"
#include "tools/sim/guest.h"
#include "tools/sim/request.h"
#include "tools/sim/scenario_step.h"

#define VM_TAKES_MS   500 /* until the next line may name it */
#define VM_MEMORY_MIB 512
#define LIBVIRT_MS    3600000
#define AWAIT_MS      60000

static int number_after(const char *text, uint64_t *number)
{
	char *end;
	*number = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || *end ? -EINVAL : 0;
}

struct wanted {
	struct command_vm_define define;
	bool start;
};

static bool option_number(const char *word, const char *name, uint64_t *number)
{
	size_t length = strlen(name);
	return !strncmp(word, name, length) && !number_after(word + length, number);
}

static int option_method(const char *word, struct wanted *wanted)
{
	if (strncmp(word, "method=", 7) != 0)
		return -EINVAL;
	for (unsigned i = 0; migration_method_names[i]; i++) {
		if (strcmp(word + 7, migration_method_names[i]) != 0)
			continue;
		wanted->define.method = (enum migration_method)i;
		return 0;
	}
	return -EINVAL;
}

static int vm_option(
    struct scenario *s, const struct step *step, const char *word, struct wanted *wanted)
{
	static const char *const words[] = {"node=N", "memory=MIB", "state=start", "state=stop",
	    "method=live", "method=shutdown", "method=none", "priority=N", "autostart", NULL};
	uint64_t number = 0;
	if (option_number(word, "node=", &number) && number >= 1 && number <= s->world.node_count)
		wanted->define.node = s->world.nodes[number]->raft_id;
	else if (option_number(word, "memory=", &number))
		wanted->define.memory_mib = number;
	else if (option_number(word, "priority=", &number))
		wanted->define.priority = (uint32_t)number;
	else if (!strcmp(word, "autostart"))
		wanted->define.autostart = true;
	else if (!strcmp(word, "state=start"))
		wanted->start = true;
	else if (strcmp(word, "state=stop") != 0 && option_method(word, wanted))
		return step_unknown(s, step, word, words);
	return 0;
}

void step_uuid(const char *vm, char uuid[37])
{
	uint64_t hash = hash_bytes(0, vm, strlen(vm));
	snprintf(uuid, 37, "%08x-0000-4000-8000-0000%08x", (uint32_t)hash, (uint32_t)(hash >> 32));
}

int step_vm(struct scenario *s, const struct step *step)
{
	struct wanted wanted = {.define = {.memory_mib = VM_MEMORY_MIB, .vcpus = 1}};
	if (step->count < 2)
		return step_bad(s, step, "vm NAME [node=N] [memory=MIB] [state=start|stop]");
	snprintf(wanted.define.name, sizeof(wanted.define.name), "%s", step->words[1]);
	step_uuid(wanted.define.name, wanted.define.uuid);
	for (unsigned i = 2; i < step->count; i++) {
		int result = vm_option(s, step, step->words[i], &wanted);
		if (result)
			return result;
	}
	struct sim_node *first = s->world.nodes[1];
	struct command define = {.number = COMMAND_vm_define, .vm_define = wanted.define};
	struct command state = {.number = COMMAND_vm_state, .vm_state = {.state = VM_START}};
	state.vm_state.vm = first->value.settings.next_vm;
	request_propose(first, &define, ASK_NONE, 0);
	if (wanted.start)
		request_propose(first, &state, ASK_NONE, 0);
	sim_node_settle(first);
	/* The next `vm` line needs to know which number this one got. */
	world_run(&s->world, s->world.now_ms + VM_TAKES_MS);
	return 0;
}

bool step_has_vm(const struct scenario *s, const char *name)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!strcmp(step_word(&s->steps[i], 0), "vm") &&
		    !strcmp(step_word(&s->steps[i], 1), name))
			return true;
	return false;
}

/* The VM of that name, which a line makes; else NULL with the problem. */
static struct sim_guest *step_guest(struct scenario *s, const struct step *step, unsigned word)
{
	char uuid[37];
	if (!step_has_vm(s, step_word(step, word))) {
		step_bad(s, step, "there is no VM '%s'", step_word(step, word));
		return NULL;
	}
	step_uuid(step_word(step, word), uuid);
	return guest_of(&s->world, uuid);
}

int step_copy(struct scenario *s, const struct step *step)
{
	struct sim_guest *guest = step_guest(s, step, 1);
	if (!guest)
		return -EINVAL;
	if (step_time(step_word(step, 2), &guest->copy_ms))
		return step_bad(s, step, "copy VM TIME: '%s' is not a time", step_word(step, 2));
	return 0;
}

int step_crash(struct scenario *s, const struct step *step)
{
	const struct sim_guest *guest = step_guest(s, step, 1);
	struct sim_node *n = guest ? step_node(s, step, 2) : NULL;
	if (!n)
		return -EINVAL;
	world_trace(&s->world, n->id, "QEMU of vm %s is killed", guest->uuid);
	sim_hypervisor_crash(n, sim_hypervisor_vm(n, guest->uuid));
	return 0;
}

int step_libvirt(struct scenario *s, const struct step *step)
{
	struct sim_node *n = step_node(s, step, 1);
	int on = n ? step_on(s, step, 2) : -EINVAL;
	if (on < 0)
		return on;
	if (on)
		sim_hypervisor_back(n);
	else
		sim_hypervisor_kill(n, LIBVIRT_MS);
	return 0;
}

int step_await(struct scenario *s, const struct step *step)
{
	static const char *const words[] = {"copying", "whole", "running", NULL};
	static const enum sim_vm_state states[] = {SIM_VM_INCOMING, SIM_VM_COPY, SIM_VM_RUNNING};
	const struct sim_guest *guest = step_guest(s, step, 1);
	struct sim_node *n = guest ? step_node(s, step, 3) : NULL;
	struct world *w = &s->world;
	unsigned wanted = 0;
	if (!n)
		return -EINVAL;
	while (words[wanted] && strcmp(step_word(step, 2), words[wanted]) != 0)
		wanted++;
	if (!words[wanted])
		return step_unknown(s, step, step_word(step, 2), words);
	char uuid[37];
	memcpy(uuid, guest->uuid, sizeof(uuid));
	for (uint64_t until_ms = w->now_ms + AWAIT_MS; w->now_ms < until_ms && !*w->failure;) {
		const struct sim_vm *vm = sim_hypervisor_vm(n, uuid);
		if (vm && vm->state == states[wanted])
			return 0;
		world_run(w, w->now_ms + 1);
	}
	world_fail(w, "line %u: %s was not %s on %u within a minute", step->line,
	    step_word(step, 1), words[wanted], n->id);
	return 0;
}
