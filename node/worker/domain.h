/* What the cluster needs to know of a VM's libvirt domain XML.
 *
 * The user's XML is kept byte for byte; this only reads it. Names and units
 * are those of libvirt's formatdomain. A DOCTYPE is refused, so nothing is
 * ever expanded or fetched. The one file that knows the XML library is domain.c. */
#ifndef NODE_WORKER_DOMAIN_H
#define NODE_WORKER_DOMAIN_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/err.h"
#include "storage/volume.h"

#define DOMAIN_SIZE_MAX	 (1u << 20) /* bytes of XML */
#define DOMAIN_DEPTH_MAX 64u /* elements within elements */
#define DOMAIN_VCPUS_MAX 4096u
#define DOMAIN_MIB_MAX	 (1u << 30) /* one PiB */

struct domain {
	char name[64];
	char uuid[37]; /* lower case, with hyphens */
	uint64_t memory_mib; /* <memory>, rounded up */
	uint32_t vcpus; /* <vcpu>: the most it can have */
	/* What it may write of the pool: rbd disks, but for those that are readonly, shareable, a
	 * CD-ROM or a snapshot, which it does not lock. */
	struct volumes volumes;
};

/* Any bytes give 0, or -EINVAL with the line in err: "line 3: no uuid ...". */
int domain_read(const char *xml, size_t size, struct domain *d, struct err *err);

#endif
