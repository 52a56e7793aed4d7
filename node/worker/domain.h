/* What the cluster needs to know of a VM's libvirt domain XML.
 *
 * The user's XML is kept byte for byte; this only reads it. Names and units
 * are those of libvirt's formatdomain. A DOCTYPE is refused, so nothing is
 * ever expanded or fetched. domain.c and effective.c alone know the XML library. */
#ifndef NODE_WORKER_DOMAIN_H
#define NODE_WORKER_DOMAIN_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/err.h"
#include "fsm/record.h"
#include "storage/volume.h"

#define DOMAIN_SIZE_MAX	 (1u << 20) /* bytes of XML */
#define DOMAIN_DEPTH_MAX 64u /* elements within elements */
#define DOMAIN_VCPUS_MAX 4096u
#define DOMAIN_MIB_MAX	 (1u << 30) /* one PiB */

#define DOMAIN_MACS_MAX	 64u
#define DOMAIN_NAMES_MAX 32u

/* What it refers to, with the first line where it does, for whoever tells people about it. */
struct domain_mac {
	uint8_t bytes[6];
	unsigned line;
};

struct domain_names { /* each once */
	struct domain_name {
		char text[64];
		unsigned line;
	} items[DOMAIN_NAMES_MAX];
	unsigned count;
};

struct domain {
	char name[64];
	char uuid[37]; /* lower case, with hyphens */
	uint64_t memory_mib; /* <memory>, rounded up */
	uint32_t vcpus; /* <vcpu>: the most it can have */
	/* What it may write of the pool: rbd disks, but for those that are readonly, shareable, a
	 * CD-ROM or a snapshot, which it does not lock. */
	struct volumes volumes;
	unsigned name_line, uuid_line;
	struct domain_mac macs[DOMAIN_MACS_MAX]; /* of its interfaces, each once */
	unsigned macs_count;
	struct domain_names bridges, pools; /* of its interfaces; of its rbd disks of every kind */
};

/* As libvirt reads one: six numbers of one or two hexadecimal digits, with colons between them. 0,
 * or -EINVAL. */
int domain_mac_parse(const char *text, uint8_t bytes[6]);

/* Any bytes give 0, or -EINVAL with the line in err: "line 3: no uuid ...". */
int domain_read(const char *xml, size_t size, struct domain *d, struct err *err);

/* The same XML with another name in it, and no other byte changed. What out holds is overwritten.
 * 0, or -EINVAL with err: it cannot be read, or would not have that name. */
int domain_rename(const struct blob *xml, const char *name, struct buffer *out, struct err *err);

#endif
