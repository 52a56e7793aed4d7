/* Ceph's statistics: what its monitors and its manager said last, as one view, and what of it
 * the cluster's value does not have yet.
 *
 * Answers come apart and are matched by id. What the monitors list is there; a group of fields that
 * they or the manager did not answer this time is as it was said before, and what was never said is
 * absent.
 * Plain values: no I/O. */
#ifndef NODE_STATISTICS_H
#define NODE_STATISTICS_H

#include "fsm/cluster.h"

struct statistics {
	struct ceph_view view; /* its lists in the order of ids */
	unsigned left_out; /* OSDs and pools of the last look beyond what the value may hold */
	bool listed; /* the monitors have said once what there is */
};

void statistics_clear(struct statistics *s);

/* What pool_port.look gave; if it lists what there is, the rest is gone. The lists of view are
 * taken over. */
void statistics_looked(struct statistics *s, struct ceph_view *view);

/* What pool_port.measure gave, about what the last look named; the rest of it is nothing that
 * there is. The lists stay the caller's. */
void statistics_measured(struct statistics *s, const struct ceph_view *view);

/* Of what the manager says the value has the newest: another primary asked it, or nobody did. */
void statistics_adopt(struct statistics *s, const struct cluster *c);

/* Fill in what the value does not have; false: it has all. On true the report owns its lists
 * (command_clear); node and epoch are the caller's to fill in. */
bool statistics_report(
    const struct statistics *s, const struct cluster *c, struct command_ceph_report *report);

/* The OSDs of a machine that has one of these names (the last is NULL), whole or up to its first
 * dot: a new list of *n ids. */
struct ceph_id *statistics_osds_of(
    const struct statistics *s, const char *const names[], uint32_t *n);

#endif
