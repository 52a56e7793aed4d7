/* A group whose quorum is lost for good: who of those who are left goes on, and with which log.
 *
 * It is done as if the one with the newest log (term of the last entry, then index, as votes are
 * given: thesis 3.6.1) had been elected by all who are left, in the first term of a new generation
 * (replica.h), and had made itself the only voter. So each survivor's disk gets that vote, and the
 * chosen one's log the one entry. As stand-bys of a leader that needs nobody the others then drop
 * what its log does not have, catch up, and can be given their votes back. Whoever was lost and
 * comes back with its old log is of an older generation, and never elected.
 *
 * Only recover_apply() changes files. */
#ifndef RAFT_RECOVER_H
#define RAFT_RECOVER_H

#include <stdint.h>

#include "fsm/err.h"
#include "raft/configuration.h"
#include "raft/identity.h"
#include "raft/inspect.h"

struct survivor { /* a member that is left, as its directory was read */
	/* The caller's. */
	const struct inspect *in;
	const char *name; /* for err */
	uint64_t id;
	uint64_t committed; /* known to be, by whoever can tell; 0: nothing is known */
	/* Of survivor_look(). */
	struct inspect_status status;
	uint64_t last_term;
	enum member_role role; /* by its own newest configuration */
	bool member; /* whether it is in that */
	/* Of recover_plan(). */
	uint64_t keep; /* the last entry that is in the newest log too: the rest will be dropped */
	bool behind; /* the newest log has only a snapshot there: keep may be too much */
	char before[IDENTITY_HEX_SIZE]; /* digest of snapshot and log as they are */
	char after[IDENTITY_HEX_SIZE]; /* as recover_apply() leaves them: others than the chosen
					  one's stay as they are */
};

struct recovery {
	unsigned chosen; /* which of the survivors */
	uint64_t term; /* of the new entry, and the vote's */
	struct configuration old; /* the newest of the chosen one */
	struct configuration members; /* those who stay; the chosen one alone votes */
	unsigned voters, voters_left; /* in the old one */
};

/* Fill in what the directory itself says. Returns 0; -ENOENT: no log; -EBADMSG: it is damaged, err
 * says where. */
int survivor_look(struct survivor *s, struct err *err);

/* Which has the newest log: the first of those that look the same, voters before others. */
unsigned survivors_newest(const struct survivor *list, unsigned n);

/* Set keep and behind of one by the newest. -EUCLEAN: they contradict each other in what is
 * committed or has the same term. */
int survivor_compare(struct survivor *s, const struct survivor *newest, struct err *err);

/* Decide, for survivors that were looked at. Returns 0; -EALREADY: a majority of the voters is
 * left, nothing is to be recovered; -EINVAL: two of one id, or the newest is no member by its own
 * log; -EUCLEAN: as survivor_compare(). */
int recover_plan(struct recovery *r, struct survivor *list, unsigned n, struct err *err);

/* What apply does in one directory, and what it must find there. */
struct recover_step {
	uint64_t id; /* whose directory it is */
	uint64_t chosen;
	uint64_t term;
	uint64_t last; /* the entry behind which the chosen one's new one goes */
	uint64_t seen_term, seen_vote;
	const struct configuration *members;
	const char *before, *after;
};

enum recover_progress {
	RECOVER_DUE, /* nothing of it was done, or not all */
	RECOVER_DONE, /* and nothing came after it */
	RECOVER_PAST, /* it was done, and the member has been running since */
};

/* How far the step is. Returns that; -EBADMSG: damaged; -ESTALE with err: the directory is not
 * what was seen when the step was planned. */
int recover_look(const struct inspect *in, const struct recover_step *step, struct err *err);

/* Do it: fd is of the directory, whose lock the caller holds (wal_lock()), and recover_look() said
 * RECOVER_DUE. Durable on return. 0 or -errno with err; it can be repeated after any failure
 * or crash. */
int recover_apply(int fd, const struct recover_step *step, struct err *err);

#endif
