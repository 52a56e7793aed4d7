/* Have the members the same value? The leader asks this before each tick, of what was after the
 * last one (history_last_tick): what all apply as the same entry.
 *
 * Pure. Whoever may vote tells the leader its hash; what most of them have is right, and the tick
 * says so to everybody. A leader that most are against is itself the one that is wrong.
 *
 * With half of them on either side, so always with two, nothing tells who is right. But two values
 * must not both be acted on (a VM would run twice), and it is the leader whom the log, the role of
 * the primary and the cluster's time need: it gives the others its word, by a message, and they
 * stop. Not by the log: there its hash, if it was the wrong one after all, would be held against
 * everybody at each start, and it is a start that may mend it. Where not even half are on the
 * leader's side, because others are silent, nobody is called wrong: people are told. */
#ifndef NODE_MEMBER_AGREEMENT_H
#define NODE_MEMBER_AGREEMENT_H

#include "fsm/cluster.h"

struct agreement_voice { /* what a member said last */
	uint32_t node;
	uint64_t index, hash;
};

struct agreement { /* all zero: nobody has said anything */
	struct agreement_voice voices[CLUSTER_NODES_MAX];
	unsigned count;
};

enum agreement_verdict {
	AGREEMENT_UNKNOWN, /* too few have said anything yet */
	AGREEMENT_RIGHT, /* most have what the leader has */
	AGREEMENT_WRONG, /* most have something else, and all of them the same */
	AGREEMENT_TIED, /* half have what the leader has, and others do not */
	AGREEMENT_SPLIT, /* fewer do, and others do not: who is right cannot be said */
};

void agreement_heard(struct agreement *agreement, const struct agreement_voice *voice);

/* own: the leader's. Who may vote is as its value says. other gets a node that has something
 * else, when there is one. */
enum agreement_verdict agreement_judge(const struct agreement *agreement, const struct cluster *c,
    const struct agreement_voice *own, uint32_t *other);

#endif
