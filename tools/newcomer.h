/* What bootstrap and join have in common: their options, the checks before, and how what they do
 * is shown. Both are one object of JSON, of which people see a part. */
#ifndef TOOLS_NEWCOMER_H
#define TOOLS_NEWCOMER_H

#include <jansson.h>

#include "raft/token.h"
#include "tools/founding.h"
#include "tools/survey.h"

enum newcomer_kind { NEWCOMER_BOOTSTRAP, NEWCOMER_JOIN };

struct newcomer {
	enum newcomer_kind kind;
	const char *config_path;
	const char *token_text;
	bool plan, json;
	char peer[CONFIG_PEER_MAX]; /* where other members reach this node */
	struct token token;
	struct config config;
	struct founding founding;
	struct survey survey;
	json_t *said; /* {"schema", "plan", "done", "error", "node", "checks", ...}; owned */
	struct err err;
};

/* Read the words, the configuration and the token, see that no node is here, and look at the
 * machine. Returns the exit status, or -1: to go on, with what newcomer_end() takes. */
int newcomer_begin(struct newcomer *n, int argc, char **argv);

bool newcomer_is_coordinator(const struct newcomer *n);

/* A command to type next: "pvcnoded -c FILE" (printf). */
void newcomer_next(struct newcomer *n, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Show all, with err when result is negative. headline: what was done, for people. Returns the
 * exit status. */
int newcomer_end(struct newcomer *n, int result, const char *headline);

#endif
