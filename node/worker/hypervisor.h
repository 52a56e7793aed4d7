/* The port to the hypervisor. Adapters are plain blocking functions that know
 * no loop; they run in a worker process that is killed at its deadline.
 *
 * A migration never makes anything run: the copy stays paused where it arrives
 * until somebody resumes it there. So whatever is lost on the way, a VM's CPUs
 * cannot run on two nodes; who may resume is the cluster's to say. */
#ifndef NODE_WORKER_HYPERVISOR_H
#define NODE_WORKER_HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "fsm/err.h"
#include "fsm/states.h"

struct hypervisor; /* one connection */

/* A migration from here, as it goes; all 0 when there is none. */
struct hypervisor_job {
	bool active;
	bool unknown; /* nobody can say now whether it is: active is false */
	uint64_t total_mib, left_mib; /* of memory */
	uint64_t rate_mib_s;
	uint64_t elapsed_ms;
	unsigned percent; /* 0 to 100; goes back when the guest writes faster than it is copied */
	unsigned downtime_ms; /* expected: how long the guest would stand still */
};

/* OBSERVED_TRANSIT: paused by the hypervisor in the middle of a migration: a copy that is not
 * whole yet, or what stands at the source until the end is known. OBSERVED_PAUSED: the rest, and
 * so a copy that is whole. */
struct hypervisor_vm { /* one VM that the hypervisor has, ours or not */
	char uuid[37];
	char name[64];
	enum vm_observed observed;
	uint64_t memory_mib;
	uint32_t vcpus;
	struct hypervisor_job job;
};

struct hypervisor_migration {
	const char *uuid;
	const char *uri; /* of the target's hypervisor, as seen from here */
	unsigned downtime_ms_max; /* the guest may stand still for */
	uint64_t rate_mib_max; /* per second; 0: no limit */
	bool tls; /* for the guest's memory as well */
};

struct hypervisor_port {
	const char *name; /* libvirt, sim */
	int (*open)(struct hypervisor **h, const char *uri, struct err *err);
	void (*close)(struct hypervisor *h);
	/* All VMs, started by us or not; *vms is malloced. Statistics of one that does
	 * not run are not asked for, one that vanishes meanwhile is left out. */
	int (*list)(struct hypervisor *h, struct hypervisor_vm **vms, unsigned *n, struct err *err);
	/* Start from XML. 0 also when it already runs. */
	int (*start)(struct hypervisor *h, const char *uuid, const char *xml, struct err *err);
	/* Ask the guest to power off (ACPI); does not wait. 0 also when it does not run. */
	int (*shutdown)(struct hypervisor *h, const char *uuid, struct err *err);
	/* Power off now. 0 also when it does not run. */
	int (*stop)(struct hypervisor *h, const char *uuid, struct err *err);
	/* Copy the running VM to another node, and wait for the end. 0: it is gone from here,
	 * whole and paused there. Otherwise err says why; list then tells what is here: most often
	 * it runs on as if nothing had been. -EPIPE: the hypervisor itself was lost, so nobody has
	 * said how it ended; gone from here, it may have arrived. What a caller that is killed has
	 * begun goes on. */
	int (*migrate)(
	    struct hypervisor *h, const struct hypervisor_migration *migration, struct err *err);
	/* Give up the migration from here: its migrate fails. 0 also when there is none. */
	int (*abort)(struct hypervisor *h, const char *uuid, struct err *err);
	/* Let the CPUs of a paused VM run. 0 also when they do; -ENOENT when it is not here. */
	int (*resume)(struct hypervisor *h, const char *uuid, struct err *err);
	/* Would start accept this XML? */
	int (*validate)(struct hypervisor *h, const char *xml, struct err *err);
};

extern const struct hypervisor_port hypervisor_libvirt, hypervisor_sim;

#endif
