/* What this node must do so that what runs here is what the cluster wants: the
 * one place where that is decided. Pure: the value, the standing, what was
 * observed and the time go in; actions come out. Levels, not edges: whatever
 * was lost on the way is found again on the next round. */
#ifndef NODE_VM_PLAN_H
#define NODE_VM_PLAN_H

#include "fsm/cluster.h"
#include "node/member/standing.h"
#include "node/vm/local.h"

enum action_type {
	ACTION_START,
	ACTION_SHUTDOWN,
	ACTION_STOP,
	ACTION_MIGRATE, /* the one that the VM is not busy with */
	ACTION_ABORT, /* its migration */
	ACTION_RESUME,
};

/* Does it make CPUs run? Then what was cut off may do so yet. */
bool action_wakes(enum action_type type);

struct action {
	enum action_type type;
	uint32_t vm;
	uint64_t generation;
	char uuid[37];
	uint32_t target; /* of ACTION_MIGRATE: the node */
};

struct plan_options {
	uint32_t node;
	uint64_t shutdown_timeout_ms; /* ACPI gets that long, then the power goes */
	bool leaving; /* this node is about to end: nothing is started */
};

/* Actions under way at a time, without migrations; the rest wait, by the VMs' ids. */
#define PLAN_BUSY_MAX 32
/* And starts among them: the one of the highest priority first, then by id. */
#define PLAN_STARTS_MAX 2
/* A VM that dies as often within that time is given up; before, it is started again, each time
 * a little later. */
#define PLAN_DEATHS_MAX LOCAL_DEATHS_MAX
#define PLAN_DEATHS_MS	600000
/* Who waits so long for a target to be ready for a VM says that it failed. */
#define PLAN_TARGET_MS 30000
/* Who cannot say for so long whether a migration goes on takes it that none does. */
#define PLAN_UNCLEAR_MS 60000
/* A call to migrate of which there is nothing to be seen for so long is given up. */
#define PLAN_STUCK_MS 120000

struct plan {
	struct action *actions; /* owned; in the order of the VMs' ids, starts last */
	unsigned count, capacity;
	unsigned room; /* for more actions under way */
	unsigned starts; /* under way */
	struct vm **waiting; /* owned; those to be started, before they are put in order */
	unsigned waiting_count, waiting_capacity;
};

/* For each VM of the value that is to be here by its duty (fsm/vm.h), and each that is here:
 *  1. Busy: nothing, an action is under way. One that failed waits longer and longer, unless the
 *     generation is a new one. What is not known is waited for.
 *  2. The value may be older than what runs here (a daemon that has just started replays its
 *     log): nothing is stopped or aborted unless we are `current`, or the value's generation is
 *     newer than that of our own last action on the VM. Nothing is ever started, resumed or sent
 *     unless we are `current`.
 *  3. Not in the value: not ours, left alone.
 *  4. No duty, or it is to be off, and it is here: stop.
 *  5. To be shut down, and it is here: ask by ACPI once; past the time-out: stop.
 *  6. To run:
 *     a. it arrived: resume what is not seen running, unless it is off.
 *     b. off: start, unless that was refused for this generation or this node is leaving. One that
 *        died waits.
 *     c. in transit, and had run under this owner: resume. Paused then: a person did that.
 *     d. in transit or paused, and had not: a copy that is left over. Stop; b follows.
 *     e. a migration goes on that nobody wants any more: abort.
 *  7. To be sent: once the target has seen that nothing is left of it there, and no start that
 *     was cut off may come about here any more, migrate, once for each generation. Given up:
 *     abort. It is never started, not even when it is gone.
 *  8. To be received: what is here before that was said to be off is left over: stop. What comes
 *     after it is left alone.
 * What is wanted must have been noted before, of this very value (local_note()). */
void plan_make(struct plan *plan, const struct cluster *c, const struct standing *standing,
    const struct plan_options *options, struct local *local, uint64_t now_ms);
void plan_close(struct plan *plan);

/* How the attempt at sending a VM stands; reason is set when it failed. */
enum plan_sent {
	PLAN_SENT_GOING, /* or it cannot be said; the sighting tells the rest */
	PLAN_SENT_ARRIVED, /* whole and paused at the target, gone from here */
	PLAN_SENT_FAILED, /* nothing goes on any more: it is here, or the hypervisor said so */
};
enum plan_sent plan_sent(
    const struct local *local, const struct vm *vm, uint64_t now_ms, char reason[200]);

/* What has failed has failed, whatever becomes of the VM before that can be told: the one that ran
 * on and then died has not arrived. At every turn, with a leader or without. */
void plan_note_sent(struct local *local, const struct cluster *c, uint32_t node, uint64_t now_ms);

/* Is our call to migrate it of no use any more? Whoever makes it is to be killed. */
bool plan_is_stuck(const struct local_vm *vm, uint64_t now_ms);

/* A start or a resume of this VM was cut off, by this daemon or by one before it: until some time
 * has passed it may still come about, whatever else is seen or done. */
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

/* An action ended: 0, or -errno with the reason. A start with -ENOMEM: the VM is to be `stop` with
 * that reason. */
void plan_done(struct local *local, const struct action *action, int status, const char *reason,
    uint64_t now_ms);

#endif
