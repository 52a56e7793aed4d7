/* Commands that read a member's files: command.def.
 *
 * Nothing is written to the directory and no lock is taken, so a running node does not notice.
 * What people see is made of the same JSON that programs get, as everywhere in the command
 * line. */
#ifndef TOOLS_RAFT_COMMAND_H
#define TOOLS_RAFT_COMMAND_H

#include <stdbool.h>

#include "node/operation/operation.h"

struct raft_call {
	const struct raft_command *command;
	json_t *arguments; /* by the names in command.def */
	const char *socket; /* of the daemon that is asked when no directory is named */
	bool follow;
	bool json; /* for programs */
};

struct raft_command {
	struct operation operation; /* nobody else's: its words, help and arguments */
	const char *exits; /* what the exit status says */
	int (*run)(const struct raft_call *call); /* the exit status: enum cli_exit */
};

#define RAFT(identifier, ...) extern const struct raft_command raft_##identifier##_command;
#include "tools/raft/command.def"
#undef RAFT

/* An argument; NULL or 0 when it was not given. */
const char *raft_text(const struct raft_call *call, const char *name);
uint64_t raft_number(const struct raft_call *call, const char *name);

/* Say what failed. Returns the exit status: that of a daemon which cannot be reached when status
 * is -EHOSTDOWN. */
int raft_fail(const struct raft_call *call, int status, const struct err *err);

/* Print json, which is taken over: as it is, or the part of it that the view shows people. view
 * is a name in view.def. */
void raft_show(const struct raft_call *call, const char *view, json_t *json);
/* The same, but people see only this field of it, a list. */
void raft_show_part(
    const struct raft_call *call, const char *view, const char *field, json_t *json);

/* RAFT commands, each in its own file. */
#define RAFT(identifier, ...) int raft_##identifier(const struct raft_call *call);
#include "tools/raft/command.def"
#undef RAFT

#endif
