/* The directories of those who are left: whose they are, what they hold, and whether the values in
 * them are the same wherever they can be compared. */
#ifndef TOOLS_RAFT_SURVIVORS_H
#define TOOLS_RAFT_SURVIVORS_H

#include <jansson.h>

#include "raft/recover.h"
#include "tools/raft/source.h"

#define SURVIVORS_MAX 64

struct survivor_directory {
	const char *path; /* as it was named */
	struct source source;
	struct identity who;
	struct inspect_status status;
	/* Of survivors_compare(): where it is compared with the newest; 0: it cannot be. */
	uint64_t hash_index, hash;
};

struct survivors {
	unsigned n;
	struct survivor_directory directories[SURVIVORS_MAX];
	struct survivor list[SURVIVORS_MAX]; /* of the same, in the same order */
	json_t *damaged; /* [{"directory", "problem"}]: left out */
};

/* How survivors_open() takes a directory that is damaged. */
enum survivors_damaged { SURVIVORS_DAMAGED_FAILS, SURVIVORS_DAMAGED_LEFT_OUT };

/* Read the directories that paths names (a list of texts, which outlives them), each of another
 * node of one cluster. 0, or -errno with err; to be closed in each case. */
int survivors_open(
    struct survivors *s, const json_t *paths, enum survivors_damaged damaged, struct err *err);
void survivors_close(struct survivors *s);

/* Compare the values that they lead to with the one of newest, each where its log ends that is in
 * both (survivor.keep). 0; -EUCLEAN: err names the two and the entry after which they differ. */
int survivors_compare(struct survivors *s, unsigned newest, struct err *err);

/* {"node", "id", "directory", "role", "last_index", ...}: of one, once compared. */
json_t *survivors_json(const struct survivors *s, unsigned which);

#endif
