/* A new node's data directory: what is there already, and how it is made.
 *
 * Its identity/ is made last of all and at once: as long as that is missing nothing has happened,
 * and a bootstrap or join can be repeated. Where it is there, nothing is touched. */
#ifndef TOOLS_FOUNDING_H
#define TOOLS_FOUNDING_H

#include <jansson.h>

#include "node/config/config.h"
#include "raft/identity.h"

struct founding {
	char data[512], identity[600], log[600], join_key[600];
	unsigned directories_made; /* of data and those above it */
	bool log_set_aside; /* one of nobody, to aside */
	char aside[256];
};

void founding_of(struct founding *f, const struct config *config);

/* Is nothing of a node here? 0; -EEXIST: a node, or a part of one: err says which and what to do;
 * -ETIMEDOUT: the disk hangs. Asks in a process of its own. */
int founding_look(const struct founding *f, struct err *err);

/* Make the data directory, and those above it. Directories that are there get its mode. */
int founding_directory(struct founding *f, struct err *err);
/* Remove what founding_directory() made, if nothing is in it. */
void founding_directory_undo(struct founding *f);

/* The log of a new member. configuration: its first entry; empty on a node that joins. A log that
 * is there is of nobody any more, and is kept aside. */
int founding_log(struct founding *f, const struct buffer *configuration, struct err *err);

/* What will be there: [{"path", "mode", "what"}]. */
enum founding_role { FOUNDING_FIRST, FOUNDING_COORDINATOR, FOUNDING_OTHER };
json_t *founding_plan(const struct founding *f, enum founding_role role);

#endif
