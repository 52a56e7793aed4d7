/* Host failures to tolerate: after any one node is lost, does everything that should run still
 * have room?
 *
 * What is reckoned is what vm_recover() would do: the VMs of the lost node, in the order of
 * place_order(), each where place_choose() sends it. Room is what is promised, not what is used,
 * so that a VM that is off takes some as well. A VM that is limited to the node that it is on goes
 * down with it, as was asked for: no room elsewhere is missed. */
#ifndef FSM_TOLERANCE_H
#define FSM_TOLERANCE_H

#include "fsm/cluster.h"

/* What has no room without this node. */
struct tolerance_loss {
	uint32_t node; /* 0: as it is, with all nodes there are */
	uint32_t count; /* of VMs, 1 at least */
	uint64_t memory_mib; /* of all of them */
	const struct vm **vms; /* the cluster's, in the order in which a place was looked for */
};

struct tolerance {
	uint32_t count; /* 0: any one node may be lost */
	struct tolerance_loss *losses; /* by node */
	const struct vm **vms; /* what the losses point into */
};

/* t is valid as long as c stays as it is; tolerance_close() ends it. */
void tolerance_open(const struct cluster *c, struct tolerance *t);
void tolerance_close(struct tolerance *t);

/* Is there another node at all that runs VMs? */
bool tolerance_is_possible(const struct cluster *c);

/* The loss that leaves most memory without room, the first of those; NULL: there is none. */
const struct tolerance_loss *tolerance_worst(const struct tolerance *t);

/* "without n3 web1, web2 (6144 MiB) have no room" */
#define TOLERANCE_TEXT_MAX 512
void tolerance_text(
    const struct cluster *c, const struct tolerance_loss *loss, char text[TOLERANCE_TEXT_MAX]);

/* Would it be less if a VM, one of c or a new one with id 0, were as in would_be? 0, or -ENOMEM
 * with err saying what would have no room. Where it is not possible there is nothing to lose:
 * always 0. */
int tolerance_check(const struct cluster *c, const struct vm *would_be, struct err *err);

/* The same of the start of a VM that is off, wherever it would be placed. */
int tolerance_check_start(const struct cluster *c, const struct vm *vm, struct err *err);

#endif
