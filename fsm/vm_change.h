/* What people ask for of a VM: one table (vm_change.def) says what comes of it.
 *
 * A VM is busy while an attempt of a migration is under way and until its copy runs (migration.h),
 * and for some requests while it is on its way to be off. What is asked for then is queued in the
 * value: one request, the last one; and done as soon as the table says so. stop overtakes. */
#ifndef FSM_VM_CHANGE_H
#define FSM_VM_CHANGE_H

#include "fsm/cluster.h"

enum vm_answer {
	ANSWER_NOW,
	ANSWER_SAME,
	ANSWER_QUEUE,
	ANSWER_OFF,
	ANSWER_ABORT,
	ANSWER_CUT,
#define DOING(name, text)
#define CHANGE(...)
#define REFUSAL(name, code, text) ANSWER_##name,
#include "fsm/vm_change.def"
};

/* What would come of it now. OFF is never among the answers. */
enum vm_answer vm_change_answer(
    const struct cluster *c, const struct vm *vm, enum vm_request request);
/* Would it be refused? 0, or -errno with err: why, and what is possible. */
int vm_change_check(
    const struct cluster *c, const struct vm *vm, enum vm_request request, struct err *err);

/* What the VM is doing, for people: "is being migrated". */
const char *vm_change_doing(const struct vm *vm);
/* What may be asked for now, "shutdown, stop, restart"; as far as it fits. */
void vm_change_possible(const struct cluster *c, const struct vm *vm, char *text, size_t size);

/* Would a start leave it on the node that it is on? If not it is placed anew. */
bool vm_change_stays(const struct cluster *c, const struct vm *vm);
/* Start it as if a person had asked for it: where it is, or where there is room. */
void vm_change_start(struct cluster *c, struct vm *vm);

/* Do what is queued, if it may be done by now; what cannot be any more is dropped, and the VM says
 * why. After each change of a VM, and at each tick. */
void vm_change_resume(struct cluster *c, struct vm *vm);

#endif
