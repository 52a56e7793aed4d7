/* Was this node removed from the cluster? Then it ends, once its vote is not needed any more.
 *
 * The judgement is pure but for since when. What was removed may hear of it (its own value says
 * so), or is only refused by everybody it can reach; then it may as well be that the others do
 * not know it yet: it says so, and goes on asking. */
#ifndef NODE_REMOVAL_H
#define NODE_REMOVAL_H

#include "fsm/cluster.h"
#include "raft/peers.h"
#include "raft/replica.h"

/* Refused by all for so long: said. */
#define REMOVAL_REFUSED_MS 10000
/* Removed, a voter by the last that it heard, and out of touch for so long: nobody asks it. */
#define REMOVAL_ALONE_MS 3000

enum removal {
	REMOVAL_NONE,
	REMOVAL_REFUSED, /* nobody takes this node for a member */
	REMOVAL_VOTES, /* removed; a majority is not in touch without it */
	REMOVAL_DONE, /* removed, and there is nothing left to do */
};

struct removal_view {
	const struct cluster *cluster;
	uint32_t id;
	bool votes; /* by this node's own log */
	bool current; /* in touch with a leader, or leads */
	unsigned refusing; /* so many do not take it for a member... */
	unsigned connected; /* ...and so many do */
};

struct removal_watch { /* all zero at its start */
	uint64_t unlike_ms; /* when it was last seen otherwise; 0: never looked */
	enum removal now, told;
};

enum removal removal_judge(
    struct removal_watch *watch, const struct removal_view *view, uint64_t now_ms);

/* The same from the real things, into watch->now. */
void removal_look(struct removal_watch *watch, const struct cluster *c,
    const struct replica *replica, const struct peers *peers, uint64_t now_ms);
/* A line in the log when that has changed; data_directory: for who wants to come back. */
void removal_tell(struct removal_watch *watch, const char *data_directory);

#endif
