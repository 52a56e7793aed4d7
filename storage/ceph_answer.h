/* What Ceph answers to commands, as records of the cluster's value.
 *
 * Several answers go into one view: they are matched by id, never by position, and each sets
 * the bits of known for the groups of fields that it really gave. The bytes come from a network
 * and a foreign program: anything may be in them, and what makes no sense is left out. */
#ifndef STORAGE_CEPH_ANSWER_H
#define STORAGE_CEPH_ANSWER_H

#include <stddef.h>

#include "fsm/err.h"
#include "fsm/record.h"

#define CEPH_ANSWER_MAX (32u << 20) /* bytes */

enum ceph_command {
#define CEPH_COMMAND(name, server, words) CEPH_##name,
#include "storage/ceph_command.def"
#undef CEPH_COMMAND
	CEPH_COMMANDS
};

enum ceph_server {
	CEPH_MONITORS,
	CEPH_MANAGER,
};

const char *ceph_command_words(enum ceph_command command); /* "osd df" */
enum ceph_server ceph_command_server(enum ceph_command command);

/* Add to view what the answer says. Returns 0, or -EBADMSG with err, and then view is as it was. */
int ceph_answer_read(enum ceph_command command, const char *answer, size_t size,
    struct ceph_view *view, struct err *err);

#endif
