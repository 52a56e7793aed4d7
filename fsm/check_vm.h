/* What must hold of one VM. Only for check.c. */
#ifndef FSM_CHECK_VM_H
#define FSM_CHECK_VM_H

#include "fsm/cluster.h"

/* 0, or -EBADMSG with err naming the first thing that is wrong. */
int check_vm(const struct cluster *c, const struct vm *vm, struct err *err);

#endif
