/* Where a VM goes when nobody says: a pure decision in numbered steps, which place.def lists.
 *
 * Who asks why is told by the very code that decides, node by node: an explanation
 * cannot be of other rules than the decision. */
#ifndef FSM_PLACE_H
#define FSM_PLACE_H

#include "fsm/memory.h"

/* So long ago at most, in cluster time, a node was heard that gets a VM. */
#define PLACE_FRESH_MS 10000

enum place_step {
#define PLACE_STEP(number, NAME, name, text) PLACE_##NAME = number,
#include "fsm/place.def"
};

/* What was found of one node. */
struct place_finding {
	const struct node *node;
	enum place_step step; /* at which it fell; PLACE_BEST: at none before that one */
	int64_t score; /* with PLACE_BEST, by the VM's selector: the largest is the best */
	const char *reason; /* why it fell, or what the score is; valid during the call */
};

struct place_listener {
	void (*found)(void *data, const struct place_finding *finding);
	void *data;
};

/* The best node for vm. 0: none has room now. memories is memory_of_all()'s, of the cluster as it
 * is, or as it would be. */
uint32_t place_choose(const struct cluster *c, const struct vm *vm, const struct memory *memories);

/* The same decision; the listener hears of every node once, in the order of their ids. */
uint32_t place_explain(const struct cluster *c, const struct vm *vm, const struct memory *memories,
    const struct place_listener *listener);

/* May vm be placed on node by a person? Steps 2 to 7: 0 or -errno with err. */
int place_check(
    const struct cluster *c, const struct vm *vm, const struct node *node, struct err *err);

/* Who of many is placed first: negative when it is a, by priority, then by size, then by id. Never
 * 0 for two VMs. */
int place_order(const struct vm *a, const struct vm *b);

/* The step's name and text of place.def. */
const char *place_step_name(enum place_step step);
const char *place_step_text(enum place_step step);

/* Why it has no place, where place_choose() finds none. */
const char *place_none(const struct vm *vm);

#endif
