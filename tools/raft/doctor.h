/* What is wrong, and the command to type next: found by asking the daemon, and in the files of its
 * data directory.
 *
 * A finding is {"severity", "about", "text", "next"}: critical (something that is wanted does not
 * happen, or data are in danger) or warning (one more fault may do that). */
#ifndef TOOLS_RAFT_DOCTOR_H
#define TOOLS_RAFT_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "tools/raft/command.h"

#define DOCTOR_PATH_MAX 4096
#define DOCTOR_REMOVAL	"removal" /* what a finding is about that makes others pointless */

#define DOCTOR_REMOVED_NEXT                                                                        \
	"to come back: move the directory away, then pvc cluster join TOKEN; else: systemctl "     \
	"disable pvcnoded"

struct doctor {
	const char *socket;
	char directory[DOCTOR_PATH_MAX]; /* the data directory; "": not known */
	bool daemon; /* it answers */
	json_t *findings; /* owned */
	json_t *node; /* {"id", "node", "cluster"}, as far as known; owned */
	json_t *checked; /* what was looked at; owned */
};

void doctor_say(
    json_t *findings, const char *severity, const char *about, const char *text, const char *next);

/* Ask the daemon: what it says is wrong, how the log stands, who is silent. Sets daemon, and
 * directory when it is not given. */
void doctor_ask(struct doctor *d);

/* Look at the files: modes, identity, log, room. A disk that hangs is a finding. */
void doctor_read(struct doctor *d);

/* All of it: {"schema", "daemon", "data_directory", "node", "checked", "findings"}; what is
 * critical comes first. Arguments data, config. */
json_t *doctor_examine(const struct raft_call *call);

#endif
