/* Was this node removed from the cluster? Then it ends, once its vote is not needed any more.
 *
 * The judgement is pure but for since when. What was removed may read of it (its own value says
 * so), or is told by a member whose value says so: what is refused here does not come to read it
 * any more. Either ends the daemon and no more: nothing of its data is touched. Who is only
 * refused may as well be one that the others do not know yet: it says so, and goes on asking. */
#ifndef NODE_MEMBER_REMOVAL_H
#define NODE_MEMBER_REMOVAL_H

#include "fsm/cluster.h"
#include "fsm/err.h"
#include "raft/peers.h"
#include "raft/replica.h"

/* Refused by somebody and in touch with no leader for so long: said. */
#define REMOVAL_REFUSED_MS 10000
/* Removed, a voter by the last that it heard, and out of touch for so long: nobody asks it. */
#define REMOVAL_ALONE_MS 3000
#define REMOVAL_NOTE_MAX 128

enum removal {
	REMOVAL_NONE,
	REMOVAL_REFUSED, /* a member does not take this node for one, and no leader is heard */
	REMOVAL_TOLD, /* a member says that it was removed; maybe it hears a leader yet */
	REMOVAL_VOTES, /* removed; a majority is not in touch without it */
	REMOVAL_DONE, /* removed, and there is nothing left to do */
};

struct removal_view {
	const struct cluster *cluster;
	uint32_t id;
	bool votes; /* by this node's own log */
	bool current; /* in touch with a leader, or leads */
	unsigned refusing; /* so many do not take it for a member */
	uint64_t teller; /* a member that says that this node was removed; 0: none does */
};

struct removal_watch { /* all zero at its start */
	uint64_t unlike_ms; /* when it was last seen otherwise; 0: never looked */
	uint64_t teller; /* 0: it is its own value that says so, or nothing does */
	enum removal now, told, why;
};

/* Does the value say that this node was removed? */
bool removal_of(const struct cluster *c, uint32_t id);

enum removal removal_judge(
    struct removal_watch *watch, const struct removal_view *view, uint64_t now_ms);

/* The same from the real things, into watch->now. */
void removal_look(struct removal_watch *watch, const struct cluster *c,
    const struct replica *replica, const struct peers *peers, uint64_t now_ms);
/* A line in the log when that has changed; data_directory: for who wants to come back. */
void removal_tell(struct removal_watch *watch, const char *data_directory);
/* As pvc status has it; NULL: there is nothing to say. */
const char *removal_text(enum removal removal);

/* The file "removed" in the data directory: how a daemon that has ended found out, for whoever
 * looks for the reason afterwards. Nobody else acts on it: a daemon that starts removes it, and
 * finds out again. */
int removal_note_write(
    const struct removal_watch *watch, const char *data_directory, struct err *err);
/* 0, or -errno: there is none. */
int removal_note_read(const char *data_directory, char note[REMOVAL_NOTE_MAX]);
void removal_note_remove(const char *data_directory);

#endif
