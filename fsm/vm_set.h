/* How the parts of fsm/ change a VM: each function says its change (change.h) and keeps what
 * belongs together together. Only for fsm/. */
#ifndef FSM_VM_SET_H
#define FSM_VM_SET_H

#include "fsm/memory.h"

void vm_touch(struct cluster *c, struct vm *vm);

/* The VM; NULL with *result and err when there is none. */
struct vm *vm_find(struct cluster *c, uint32_t id, int *result, struct err *err);
/* The VM, if node is its owner at that generation; else NULL with *result and err. */
struct vm *vm_find_owned(
    struct cluster *c, const struct sighting *of, uint32_t node, int *result, struct err *err);

/* Another owner, 0: none; nothing is known of the VM there. No attempt may be under way. */
void vm_set_owner(struct cluster *c, struct vm *vm, uint32_t node);
/* Another wanted state, and a generation of its own. The same one changes nothing. */
void vm_set_state(struct cluster *c, struct vm *vm, enum vm_state state);
void vm_set_reason(struct cluster *c, struct vm *vm, const char *reason);

/* The best place, or none for now. True when it has got another owner, or none any more. */
bool vm_place_by(struct cluster *c, struct vm *vm, const struct memory *memories);
void vm_place(struct cluster *c, struct vm *vm);

/* What node left locked is nobody's. */
void vm_note_proven_off(struct vm *vm, uint32_t node);

/* Who should run, the most important first: by priority, then by id. For qsort() of pointers. */
int vm_compare(const void *a, const void *b);

#endif
