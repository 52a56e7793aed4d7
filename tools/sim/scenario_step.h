/* A scenario as it is read and played. Only for tools/sim/scenario*.c. */
#ifndef TOOLS_SIM_SCENARIO_STEP_H
#define TOOLS_SIM_SCENARIO_STEP_H

#include <jansson.h>

#include "fsm/err.h"
#include "node/operation/context.h"
#include "tools/sim/node.h"

#define STEP_WORDS_MAX 24

struct step {
	unsigned line;
	uint64_t time_ms; /* from when the cluster is up */
	char *words[STEP_WORDS_MAX]; /* the scenario's text */
	unsigned count;
};

struct asked; /* an operation of the command line: scenario_op.c */

struct scenario {
	const char *path;
	char *text; /* owned */
	struct step *steps; /* owned */
	unsigned count;
	uint64_t until_ms;
	unsigned nodes, coordinators;
	uint32_t witnesses; /* as world_options */
	struct world world;
	uint64_t base_ms; /* when the cluster was up */
	struct asked **asked; /* owned; by order of asking */
	unsigned asked_count;
	json_t *expectations; /* [{line, expected, held, found}] */
	unsigned failed;
	struct err problem; /* why it is no scenario */
};

/* "FILE:LINE: ..." into problem. Returns -EINVAL. */
int step_bad(struct scenario *s, const struct step *step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same about one word, with what would have been right: NULL at the end of the list. */
int step_unknown(
    struct scenario *s, const struct step *step, const char *word, const char *const *words);

const char *step_word(const struct step *step, unsigned word); /* "" past the end */
/* NULL, with problem: there is no such node. */
struct sim_node *step_node(struct scenario *s, const struct step *step, unsigned word);
int step_time(const char *text, uint64_t *ms); /* 0 or -EINVAL */
int step_on(struct scenario *s, const struct step *step, unsigned word); /* 1 on, 0 off, -EINVAL */
void step_uuid(const char *vm, char uuid[37]); /* of the VM of this name */

/* One line's doing. 0, or -EINVAL with problem. */
int step_run(struct scenario *s, const struct step *step);
int step_op(struct scenario *s, const struct step *step);
int step_expect(struct scenario *s, const struct step *step);
/* scenario_vm.c */
bool step_has_vm(const struct scenario *s, const char *name); /* a line makes it */
int step_vm(struct scenario *s, const struct step *step);
int step_copy(struct scenario *s, const struct step *step);
int step_crash(struct scenario *s, const struct step *step);
int step_libvirt(struct scenario *s, const struct step *step);
int step_await(struct scenario *s, const struct step *step);

void op_answered(struct world *w, const struct sim_answer *answer);
void op_close(struct scenario *s);

#endif
