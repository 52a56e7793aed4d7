/* The first lines of a daemon in its log: easy to find, and all that a report
 * of trouble should say about where it ran.
 *
 * Machine facts (processors, kernel, system) are looked up here, from files and
 * the kernel alone: no name server is ever asked, it might not answer. */
#ifndef NODE_LOG_BANNER_H
#define NODE_LOG_BANNER_H

#include <stdint.h>

struct banner_facts {
	const char *daemon; /* pvcnoded, pvcapid */
	const char *version;
	const char *raft_version; /* of libraft */
	const char *node;
	uint64_t id; /* 0: none yet */
	const char *cluster;
	const char *domain; /* for the full name, when the host's has none; may be "" */
	const char *ipmi_host; /* "": none */
	uint32_t schema_min, schema_max; /* what this version can work with */
};

/* Log the banner, in state 's'. */
void banner_print(const struct banner_facts *facts);

#endif
