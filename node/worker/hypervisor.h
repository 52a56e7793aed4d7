/* The port to the hypervisor. Adapters are plain blocking functions that know
 * no loop; they run in a worker process that is killed at its deadline. */
#ifndef NODE_WORKER_HYPERVISOR_H
#define NODE_WORKER_HYPERVISOR_H

#include <stdint.h>

#include "fsm/err.h"
#include "fsm/states.h"

struct hypervisor; /* one connection */

struct hypervisor_vm { /* one VM that the hypervisor has, ours or not */
	char uuid[37];
	char name[64];
	enum vm_observed observed;
	uint64_t memory_mib;
	uint32_t vcpus;
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
	/* Would start accept this XML? */
	int (*validate)(struct hypervisor *h, const char *xml, struct err *err);
};

extern const struct hypervisor_port hypervisor_libvirt, hypervisor_sim;

#endif
