/* Where a command reads: a data directory that is named, or the running daemon's. */
#ifndef TOOLS_RAFT_SOURCE_H
#define TOOLS_RAFT_SOURCE_H

#include "raft/configuration.h"
#include "raft/identity.h"
#include "raft/inspect.h"
#include "tools/raft/command.h"

#define SOURCE_PATH_MAX 4096

struct source {
	char log[SOURCE_PATH_MAX]; /* the directory of the log's files */
	char certificate[SOURCE_PATH_MAX]; /* of the member it belongs to, if it is there */
	struct inspect *in;
	uint64_t commit_index; /* as its daemon says; 0: that was not asked */
};

/* Read the directory of the argument --data, or else the one that the daemon names. 0: to be
 * closed; -EHOSTDOWN when the daemon cannot be reached; another -errno when there is nothing to
 * read. */
int source_open(struct source *s, const struct raft_call *call, struct err *err);
/* The same, of this directory. */
int source_open_at(struct source *s, const char *directory, struct err *err);
/* Read it again. On failure the old contents stay. */
int source_again(struct source *s, struct err *err);
void source_close(struct source *s);
/* Say on standard error when it is damaged: what is shown of it may not be all. */
void source_warn(const struct source *s, const struct raft_call *call);

/* All entries up to this one are committed for certain: the daemon says so, or the files. */
uint64_t source_committed(const struct source *s);

/* The newest configuration at index: of an entry, or of the snapshot. Returns the index at which
 * it was made, 0 when there is none. */
uint64_t source_configuration(const struct source *s, uint64_t index, struct configuration *c);
/* Whose directory it is, as its certificate says, which is not verified. 0 or -errno with err. */
int source_identity(const struct source *s, struct identity *who, struct err *err);

#endif
