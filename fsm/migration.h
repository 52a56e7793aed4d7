/* Migrations: a VM that runs gets from one node to another, in attempts.
 *
 * The idea: a VM's CPUs run only where the value says that it is owned. The hypervisors copy it to
 * the target and leave it paused there; the target resumes it once the log says that it is the
 * owner. So whatever is lost on the way nothing runs twice: the source may resume its own as long
 * as it is the owner, and a paused copy that is not owned is a leftover.
 *
 *  1. A wish makes the state migrate or unmigrate. When there is room, an attempt begins: the
 *     target is set, under a generation of its own. Memory is promised on both nodes meanwhile.
 *  2. The owner sends (VM_DUTY_SEND), the target receives (VM_DUTY_RECEIVE).
 *  3. vm_migrated: the copy is whole and paused there, and gone here. The target is the owner, the
 *     copy has `arrived` and is resumed.
 *  4. vm_migrate_failed: nothing of the attempt goes on. The generation that follows makes whatever
 *     is on the target a leftover. After MIGRATION_TRIES of them the VM is shut down and started
 *     there, where its method allows; else it stays.
 *  5. The owner does not know how it ended and sees the VM off: the value decides. The copy was
 *     seen whole: as in 3. There is none for MIGRATION_OFF_MS, nothing is known of it for
 *     MIGRATION_UNKNOWN_MS, or it was seen whole for longer than MIGRATION_TRUST_MS before the
 *     source was off, so that the source may have run on without it: the owner starts it afresh.
 *  6. The owner is proven off: another one starts it afresh (vm_recover()), the copy is a leftover.
 *     It may have been complete; but a hypervisor that loses its connection at the very end resumes
 *     the source, which wrote to its disks until it was fenced: memory from before that would
 *     destroy them.
 *  7. abort: the owner aborts, then 4 without another try, or 3 when it was too late. So also when
 *     the target's daemon has ended, or was not heard for MIGRATION_SILENT_MS.
 *
 * By shutdown: the owner shuts it down, and when it was seen off the target is the owner. */
#ifndef FSM_MIGRATION_H
#define FSM_MIGRATION_H

#include "fsm/memory.h"

#define MIGRATIONS_AT_ONCE   4 /* live ones, out of one node and into one node */
#define MIGRATION_TRIES	     3
#define MIGRATION_RETRY_MS   1000 /* times the tries so far */
#define MIGRATION_OFF_MS     5000
#define MIGRATION_UNKNOWN_MS 10000
#define MIGRATION_TRUST_MS   15000
#define MIGRATION_SILENT_MS  5000

struct migration_wish {
	uint32_t node; /* 0: any */
	enum move_reason why;
	bool live_only;
};

/* vm, which is to run, is wanted elsewhere. It moves when there is room; its reason says what it
 * waits for. 0, or -errno with err: it will never move like that. */
int migration_want(
    struct cluster *c, struct vm *vm, const struct migration_wish *wish, struct err *err);

/* An attempt of those that wait, the most important first: at every tick. */
void migration_tick(struct cluster *c);

/* Its owner has seen it, under the present generation; a target is set. */
void migration_source_seen(struct cluster *c, struct vm *vm);
/* What the target sees, likewise. */
void migration_target_seen(struct cluster *c, struct vm *vm, enum vm_observed observed);
/* node boots anew: what it was sending died there, and may have run on beside a whole copy. */
void migration_source_rebooted(struct cluster *c, const struct node *node);
/* Its target is proven off. */
void migration_target_lost(struct cluster *c, struct vm *vm);

/* Nobody wants it elsewhere any more: no target, no wish, no copy to be resumed. The state is the
 * caller's. */
void migration_forget(struct cluster *c, struct vm *vm);
/* Its home leaves the cluster. */
void migration_forget_home(struct cluster *c, struct vm *vm);

#endif
