/* What is true of each VM, whatever any node believes: where its CPUs run, and what its memory
 * went through.
 *
 * A guest's memory grows older each time its CPUs begin to run. A copy that a migration made
 * holds one age of it and may go on only from there: if the guest ran anywhere since, it would
 * see its disks jump into its future. One way is left to that (migration.h): libvirt took it back
 * and it died, and there was no daemon to see either. */
#ifndef TOOLS_SIM_GUEST_H
#define TOOLS_SIM_GUEST_H

#include "tools/sim/hypervisor.h"
#include "tools/sim/world.h"

struct sim_guest {
	char uuid[37];
	unsigned runs_on; /* 0: nowhere */
	uint64_t age; /* of its memory */
	uint64_t unseen; /* its runs since the last of which some daemon knows */
	uint64_t boots;
	uint64_t copy_ms; /* that a migration of it takes; 0: as chance wants it */
	unsigned deaths; /* it went off, and nobody had asked the hypervisor for that */
};

struct guests *guests_new(void);
void guests_free(struct guests *guests);

enum guest_from {
	GUEST_BOOTS,
	GUEST_GOES_ON,
	GUEST_IS_TAKEN_BACK, /* the same, by libvirt, unasked */
};

/* Found or made; the world's, until another is made. */
struct sim_guest *guest_of(struct world *w, const char *uuid);

/* The CPUs of vm begin to run on n: it is the only one, some value says that n owns it, and its
 * memory is what the guest had last. */
void guest_runs(struct sim_node *n, struct sim_vm *vm, enum guest_from from);
/* The daemon where it runs, or ran, has been told of that. */
void guest_seen(struct sim_node *n, const char *uuid);
/* They run no more. */
void guest_stops(struct sim_node *n, const struct sim_vm *vm);
/* Nobody asked the hypervisor for that. */
void guest_died(struct sim_node *n, const struct sim_vm *vm);

/* n has the newest value: whatever runs is owned by where it runs, and no node promises more than
 * it has. */
void guests_verify(struct sim_node *n);

#endif
