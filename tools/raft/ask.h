/* Asking the daemon a question, and taking its answer as it is. */
#ifndef TOOLS_RAFT_ASK_H
#define TOOLS_RAFT_ASK_H

#include "tools/client.h"

/* 0 with a result, which is the caller's; -EIO: it refused, err has its words; -EMSGSIZE: because
 * the answer would be too large; -EHOSTDOWN: the daemon is gone, or does not answer in time.
 * arguments may be NULL; a reference is taken. */
int ask_daemon(
    struct client *client, const char *words, json_t *arguments, json_t **result, struct err *err);

#endif
