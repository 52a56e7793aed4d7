/* People at work while things fail: what they ask, and what they were told.
 *
 * A writer asks for one thing at a time and, when no answer comes, asks another
 * node for the very same (client and sequence stay): so an operation is often in
 * the log twice, and must have been done once. An owner wears out one VM. All of
 * them go on until their last operation is decided. */
#ifndef TOOLS_SIM_USER_H
#define TOOLS_SIM_USER_H

#include "tools/sim/world.h"

#define USER_WRITERS 3
#define USER_OWNERS  4

struct operation_made { /* by its number */
	bool token; /* else a fact */
	bool decided;
	int result;
	uint64_t index;
};

struct writer {
	uint64_t client, sequence;
	struct buffer operation; /* the last one */
	uint64_t number; /* of it */
	uint64_t asked; /* rises with every time that anything is asked */
	bool waits;
};

struct users {
	uint64_t until_ms; /* nothing new is begun after that */
	uint64_t rest_until_ms; /* nor before that */
	struct writer writers[USER_WRITERS];
	struct operation_made *made; /* owned; made[number - 1] */
	uint64_t made_count, made_capacity;
	unsigned acknowledged, retried;
	uint64_t acknowledged_index; /* the highest */
};

void users_begin(struct world *w, struct users *users, uint64_t until_ms);
void users_answered(struct world *w, struct users *users, const struct sim_answer *answer);
/* At the end: what was acknowledged is there, and everything was done once. */
void users_check(struct world *w, const struct users *users, const struct sim_node *n);
void users_close(struct users *users);

/* Nobody begins anything new before then: the logs of all nodes become equal. */
void users_rest(struct world *w, uint64_t until_ms);

/* Any node; more often than chance would the one that leads. */
struct sim_node *user_target(struct world *w);

#endif
