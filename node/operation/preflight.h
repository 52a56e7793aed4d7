/* Does the log survive a change of the cluster's members? Answered before anybody is asked
 * to agree to it.
 *
 * Pure. It plays to its end what the leader would do about the change (members.h) with the
 * members as they are, and counts who is in touch before and after. */
#ifndef NODE_OPERATION_PREFLIGHT_H
#define NODE_OPERATION_PREFLIGHT_H

#include "fsm/cluster.h"
#include "node/member/health.h"

enum preflight_kind {
	PREFLIGHT_ADD, /* of a voter that is not there yet */
	PREFLIGHT_REMOVE,
	PREFLIGHT_PROMOTE,
	PREFLIGHT_DEMOTE,
	PREFLIGHT_REPLACE,
};

struct preflight_change {
	enum preflight_kind kind;
	uint32_t node; /* not of ADD */
	uint32_t successor; /* of REPLACE */
};

struct preflight_quorum {
	unsigned voters, live; /* live: in touch */
	unsigned tolerance; /* so many more may fail */
	bool holds; /* a majority is in touch */
};

struct preflight {
	struct preflight_quorum before, after;
	bool leaderless; /* as far as is known here: the rest may be old */
	bool votes; /* the node, or the successor, in the end */
	bool kept; /* the node goes on voting until a majority is in touch without it */
};

#define PREFLIGHT_TEXT_MAX 160

struct preflight preflight_of(
    const struct cluster *c, const struct health_log *log, const struct preflight_change *change);

/* "voters 3 → 2, in touch 3 → 2, failure tolerance 1 → 0" */
void preflight_print(const struct preflight *p, char text[PREFLIGHT_TEXT_MAX]);

/* Is a node in touch? The leader knows whom it hears, the others go by the keepalives. */
bool preflight_in_touch(const struct cluster *c, const struct health_log *log, uint64_t id);

/* Nothing is left for the leader to do about the members, as far as is known here. */
bool preflight_settled(const struct cluster *c, const struct health_log *log);

/* 0, or -EPERM with err: what the change would do and what to do first. Not asked when the
 * change is forced. */
int preflight_judge(const struct preflight *p, struct err *err);

#endif
