/* A copy of a data directory before it is changed: an archive of the program tar.
 *
 * It has its name only once it is whole, durable and compared with what it was made of. */
#ifndef TOOLS_RAFT_BACKUP_H
#define TOOLS_RAFT_BACKUP_H

#include "fsm/err.h"

#define BACKUP_PATH_MAX 4096

struct backup {
	const char *directory; /* what is copied; nobody changes it meanwhile */
	const char *place; /* where the archive goes; NULL: beside the directory */
	const char *mark; /* part of its name: one whole archive with it is enough */
	const char *node; /* another part: whose directory it is, as many are called the same */
};

/* Make DIRECTORY.MARK.NODE.DATE.tar, mode 0600, in place, and put its path into path. One of the
 * same directory, mark and node that is there already is taken as it is; nothing is ever
 * overwritten. 0, or -errno with err. */
int backup_make(const struct backup *backup, char path[BACKUP_PATH_MAX], struct err *err);

#endif
