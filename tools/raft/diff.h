/* What the files of `pvc raft diff` share: diff.c has directories and files, diff_members.c what
 * runs. */
#ifndef TOOLS_RAFT_DIFF_H
#define TOOLS_RAFT_DIFF_H

#include "tools/raft/command.h"

/* Compare the members that the arguments a and b name, through the daemon. Returns the exit
 * status. */
int diff_members(const struct raft_call *call);

#endif
