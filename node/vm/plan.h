/* What this node must do so that what runs here is what the cluster wants: the
 * one place where that is decided. Pure: the value, the standing, what was
 * observed and the time go in; actions come out. Levels, not edges: whatever
 * was lost on the way is found again on the next round. */
#ifndef NODE_VM_PLAN_H
#define NODE_VM_PLAN_H

#include "fsm/cluster.h"
#include "node/member/standing.h"

/* A VM as this node knows it, by UUID. */
struct local_vm {
	char uuid[37];
	enum vm_observed observed;
	bool busy; /* an action on it is under way: what was observed may be over */
	uint64_t acted_generation; /* of the last action begun; 0: none since this daemon started */
	uint64_t doubt_until_ms; /* a start was cut off: it may come about as late as that */
	uint64_t asked_ms; /* when it was asked to shut down, for asked_generation */
	uint64_t asked_generation;
	uint64_t retry_ms; /* no action for acted_generation before that */
	unsigned failures; /* actions for acted_generation that failed in a row */
	char reason[200]; /* of the last one; "": it did not fail */
	/* Before a start the VM's volumes are freed in the pool (execute.h). */
	bool waits; /* the action is with the pool, not with the hypervisor: it takes no room */
	uint64_t released_generation, released_until_ms; /* they are free for this start */
	uint64_t refused_generation; /* somebody else has one: no start until somebody asks anew */
	/* What the log was told of it last, and when. */
	enum vm_observed told;
	uint64_t told_generation;
	uint64_t told_ms;
	uint64_t told_fail_ms;
};

/* What the hypervisor showed of one VM. A VM that is just being started or stopped, so
 * that neither can be said, is OBSERVED_UNKNOWN. */
struct seen_vm {
	char uuid[37];
	enum vm_observed observed;
};

struct local { /* what was observed here */
	bool known; /* false: the hypervisor could not be asked; nothing may be concluded */
	struct local_vm *vms; /* owned; by UUID */
	unsigned count, capacity;
};

struct local_vm *local_find(const struct local *l, const char *uuid); /* NULL: none */
struct local_vm *local_add(struct local *l, const char *uuid); /* found or made; others move */
void local_close(struct local *l);

/* What may be said of a VM: unknown as long as an action may still change it. */
enum vm_observed local_observed(const struct local *l, const char *uuid, uint64_t now_ms);

enum action_type { ACTION_START, ACTION_SHUTDOWN, ACTION_STOP };

struct action {
	enum action_type type;
	uint32_t vm;
	uint64_t generation;
	char uuid[37];
};

struct plan_options {
	uint32_t node;
	uint64_t shutdown_timeout_ms; /* ACPI gets that long, then the power goes */
	bool leaving; /* this node is about to end: nothing is started */
};

/* Actions under way at a time; the rest wait for their turn, by the VMs' ids. */
#define PLAN_BUSY_MAX 32

struct plan {
	struct action *actions; /* owned; in the order of the VMs' ids */
	unsigned count, capacity;
	unsigned room; /* for more actions under way */
};

/* For each VM of the value that this node owns, and each that runs here:
 *  1. Busy: nothing, an action is under way. One that failed waits longer and longer, unless the
 *     generation is a new one.
 *  2. The value may be older than what runs here (a daemon that has just started replays its
 *     log): nothing is stopped unless we are `current`, or the value's generation is newer than
 *     that of our own last action on the VM.
 *  3. Runs here, but another node owns it, or nobody: stop.
 *  4. Not in the value: not ours, left alone.
 *  5. Wanted start, seen off, `current`: start, unless that was refused for this generation or
 *     this node is leaving.
 *  6. Wanted shutdown, runs: ask by ACPI once; past the time-out: stop.
 *  7. Wanted stop, disable or fail, runs: stop. */
void plan_make(struct plan *plan, const struct cluster *c, const struct standing *standing,
    const struct plan_options *options, struct local *local, uint64_t now_ms);
void plan_close(struct plan *plan);

/* A start of this VM was cut off, by this daemon or by one before it: until some time has passed
 * it may still come about, whatever else is seen or done. */
void plan_doubt(struct local *local, const char *uuid, uint64_t now_ms);
bool plan_doubts(const struct local *local, const char *uuid, uint64_t now_ms);

/* A start waits for the pool: its VM is busy, but the hypervisor has room for others. In the end
 * comes one of the following, or plan_done. */
void plan_wait(struct local *local, const struct action *action);
/* The volumes are free: it is planned again, if it still is to be, and may then go on at once. */
void plan_released(struct local *local, const struct action *action, uint64_t now_ms);
bool plan_is_released(const struct local *local, const struct action *action, uint64_t now_ms);
/* Are its volumes about to be its own: with the pool, or freed and on its way to the hypervisor? */
bool plan_is_starting(const struct local_vm *vm, uint64_t now_ms);
/* It must not be done now: it is planned again from then on. */
void plan_postpone(struct local *local, const struct action *action, uint64_t until_ms);
/* A person has to do something first: the VM is to fail with that reason. */
void plan_refused(struct local *local, const struct action *action, const char *reason);

/* An action ended: 0, or -errno with the reason. */
void plan_done(struct local *local, const struct action *action, int status, const char *reason,
    uint64_t now_ms);

#endif
