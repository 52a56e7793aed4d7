/* Is the cluster well? Judged by the value and by this node's replica of it.
 *
 * Pure. Critical: something that was wanted does not happen (a VM failed or has
 * no place, no primary, no leader). Degraded: one more fault may do that. */
#ifndef NODE_MEMBER_HEALTH_H
#define NODE_MEMBER_HEALTH_H

#include <stdbool.h>

#include "fsm/cluster.h"
#include "raft/replica.h"

/* A node that was not heard for longer is said so. */
#define HEALTH_SILENCE_MS   5000
#define HEALTH_MESSAGES_MAX 64

/* Collectors that say of a node that it must not lead. */
#define HEALTH_LOG     "log" /* its log's disk */
#define HEALTH_REPLICA "replica" /* its value is the others' */
#define HEALTH_GUARD   "guard" /* what the role holds would be let go of in time */

enum health_level { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_CRITICAL };
extern const char *const health_level_names[];

struct health {
	enum health_level level;
	unsigned count; /* of messages; those past the limit are counted only */
	char messages[HEALTH_MESSAGES_MAX][200];
};

/* How the log stands, as this node knows. */
struct health_log {
	const char *closed; /* NULL: it is open; else why not, "": not known */
	const char *removal; /* as removal_text(); NULL: nothing to say */
	struct replica_status status;
	unsigned members_count;
	struct replica_member members[REPLICA_MEMBERS_MAX];
};

/* Was a member of the log heard lately, as far as the value knows? */
bool health_member_well(const struct cluster *c, uint64_t id);

/* How many more voters may fail before nothing can be agreed on: voters that were not
 * heard lately have failed already. */
unsigned health_failure_tolerance(const struct cluster *c, const struct health_log *log);

/* Is it a coordinator that runs, was heard, and said nothing against it? */
bool health_may_lead(const struct cluster *c, const struct node *node);
/* Who may, but for self: the one with the lowest id above after; 0: nobody. */
uint32_t health_next_leader(const struct cluster *c, uint32_t self, uint32_t after);

void health_judge(
    const struct cluster *c, const struct health_log *log, uint64_t now_ms, struct health *health);

#endif
