/* What this node must do so that what runs here is what the cluster wants: the
 * one place where that is decided. Pure: the value, the standing, what was
 * observed and the time go in; actions come out. Levels, not edges: whatever
 * was lost on the way is found again on the next round. */
#ifndef NODE_PLAN_H
#define NODE_PLAN_H

#include "fsm/cluster.h"
#include "node/standing.h"

/* A VM as this node knows it, by UUID. */
struct local_vm {
	char uuid[37];
	uint32_t vm;		/* its id in the value; 0: not in the value (any more) */
	enum vm_observed observed;
	bool busy;		/* an action on it is under way: what was observed may be over */
	uint64_t acted_generation; /* of the last action begun */
	uint64_t asked_ms;	/* when it was first asked to shut down; 0: it was not */
	uint64_t asked_generation; /* for which generation */
	uint64_t retry_ms;	/* not before that */
	unsigned failures;	/* starts that failed in a row */
	char reason[200];	/* of the last one */
};

struct local { /* what was observed here */
	bool known; /* false: the hypervisor could not be asked; nothing may be concluded */
	struct local_vm *vms; /* owned */
	unsigned count, capacity;
};

struct local_vm *local_find(const struct local *l, const char *uuid); /* NULL: none */
struct local_vm *local_add(struct local *l, const char *uuid);	/* found or made */
void local_close(struct local *l);

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
};

struct plan {
	struct action *actions; /* owned; in the order of the VMs' ids */
	unsigned count, capacity;
};

/* For each VM of the value that this node owns, and each that runs here:
 *  1. Busy: nothing, an action is under way.
 *  2. Runs here, but another node owns it: stop, whatever the standing: a value can be
 *     old, but ownership never comes back without a new generation.
 *  3. Not in the value: not ours, left alone.
 *  4. Wanted start, seen off, `current`, past its back-off: start.
 *  5. Wanted shutdown, runs: ask once by ACPI; past the time-out: stop.
 *  6. Wanted stop, disable or fail, runs: stop. */
void plan_make(struct plan *plan, const struct cluster *c, const struct standing *standing,
    const struct plan_options *options, struct local *local, uint64_t now_ms);
void plan_close(struct plan *plan);

/* An action ended: 0, or -errno with the reason. */
void plan_done(struct local *local, const struct action *action, int status, const char *reason,
    uint64_t now_ms);

#endif
