/* What a node knows of the VMs on it: what was seen, what it is doing, what it did.
 *
 * What was seen counts only if the look was begun when this node knew what is wanted of
 * the VM by now, and nothing was done to it since. So "off" means: seen off by a node that
 * knew already that it is not to start it; and a copy that another node left behind is not
 * taken for the one that comes next. Until then the VM is OBSERVED_UNKNOWN. */
#ifndef NODE_VM_LOCAL_H
#define NODE_VM_LOCAL_H

#include "fsm/cluster.h"
#include "node/worker/hypervisor.h"

/* Deaths of a VM that are remembered: with so many within PLAN_DEATHS_MS it fails (plan.h). */
#define LOCAL_DEATHS_MAX 5

/* A VM as this node knows it, by UUID. */
struct local_vm {
	char uuid[37];
	uint32_t
	    vm; /* which one of the value has it: what is defined anew is another VM; 0: none */
	enum vm_observed observed; /* by the last look or by our own deed; see local_observed() */
	struct hypervisor_job job; /* a migration from here, by the last look */
	uint64_t generation; /* of the value, as this node knows it */
	uint64_t since_ms; /* when it came to know it */
	bool fresh; /* observed was seen since, and nothing was done to the VM meanwhile */
	uint64_t look_min; /* no look before this one counts */
	bool ran; /* wanted on, it was seen running: if it is off by now, it died */
	bool moving; /* it comes or goes: a worker of its own is to be ready */
	uint64_t deaths_ms[LOCAL_DEATHS_MAX]; /* the oldest first */
	unsigned deaths;

	bool busy; /* an action on it is under way: what was observed may be over */
	bool starting; /* and that is a start */
	uint64_t acted_generation; /* of the last action begun; 0: none since this daemon started */
	uint64_t doubt_until_ms; /* a start was cut off: it may come about as late as that */
	uint64_t asked_ms; /* when it was asked to shut down, for asked_generation */
	uint64_t asked_generation;
	uint64_t retry_ms; /* no action for acted_generation before that */
	unsigned failures; /* actions for acted_generation that failed in a row */
	char reason[200]; /* of the last one; "": it did not fail */
	/* Before a start the VM's volumes are freed in the pool (freeing.h). */
	bool waits; /* the action is with the pool, not with the hypervisor: it takes no room */
	uint64_t released_generation, released_until_ms; /* they are free for this start */
	uint64_t refused_generation; /* no start for it until somebody asks anew... */
	enum vm_state refused_state; /* ...which the log is told with this state */

	/* Its migration from here: one call for each generation. */
	uint64_t sent_generation; /* of the last call; 0: none by this daemon */
	bool sending; /* that has not ended; the VM is not busy with it */
	int sent_status; /* how it ended */
	char sent_reason[200];
	uint64_t job_ms; /* when it began, or was last seen to go on */
	uint64_t unclear_ms; /* since when nobody can say whether it goes on; 0: one can */

	/* What the log was told of it last, and when. */
	enum vm_observed told;
	uint64_t told_generation;
	uint64_t told_ms;
	uint64_t told_fail_ms;
	uint64_t told_move_generation, told_move_ms;
};

/* What the hypervisor showed of one VM. A VM that is just being started or stopped, so
 * that neither can be said, is OBSERVED_UNKNOWN. */
struct seen_vm {
	char uuid[37];
	enum vm_observed observed;
	struct hypervisor_job job;
};

struct local { /* what was observed here */
	bool known; /* false: the hypervisor could not be asked; nothing may be concluded */
	bool lost; /* it was asked, and did not answer */
	uint64_t looks; /* begun so far */
	uint64_t look_seen; /* the latest that was answered */
	bool look_wanted; /* something is not known since the last look was begun */
	struct local_vm *vms; /* owned; by UUID */
	unsigned count, capacity;
};

struct local_vm *local_find(const struct local *l, const char *uuid); /* NULL: none */
struct local_vm *local_add(struct local *l, const char *uuid); /* found or made; others move */
void local_close(struct local *l);

/* Does it not run, nor stand still? */
bool vm_observed_off(enum vm_observed observed);

/* A look at all VMs begins: returns its number. */
uint64_t local_look(struct local *l);
/* And has shown these, at that time: what is not among them is off. */
void local_saw(struct local *l, uint64_t look, const struct seen_vm *vms, unsigned n);

/* And has not been answered. */
void local_lost(struct local *l);

/* What is wanted of the VMs on this node changes: what was seen before counts no more. */
void local_note(struct local *l, const struct cluster *c, uint32_t node, uint64_t now_ms);

/* Something was done to it: looks that were begun before show what may be over. */
void local_touch(struct local *l, struct local_vm *vm);
/* And it is not known what came of it. */
void local_blur(struct local *l, struct local_vm *vm);

/* What may be said of a VM: unknown as long as an action may still change it. */
enum vm_observed local_observed(const struct local *l, const char *uuid, uint64_t now_ms);

#endif
