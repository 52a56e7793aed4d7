/* Is this machine fit to be a node? What bootstrap and join look at first.
 *
 * What would only fail later, on a daemon's log that nobody reads, is said here with what to do
 * about it. Nothing is changed: durable writes are timed in a file without a name. A check that
 * hangs costs a line and its deadline (tools/probe.h), not the command. */
#ifndef TOOLS_SURVEY_H
#define TOOLS_SURVEY_H

#include <jansson.h>
#include <stdio.h>

#include "node/config/config.h"
#include "raft/token.h"

#define SURVEY_FINDINGS_MAX 64
#define SURVEY_TEXT_MAX	    320

/* OK: as it should be. Warning: a node can live with it. Failed: it cannot. */
enum survey_state { SURVEY_OK, SURVEY_WARNING, SURVEY_FAILED };

struct survey_finding { /* no pointers: it goes through a pipe */
	enum survey_state state;
	unsigned check; /* which, by survey.def */
	char text[SURVEY_TEXT_MAX];
	char advice[SURVEY_TEXT_MAX]; /* what to do; "": nothing */
};

struct survey_subject {
	const struct config *config;
	const char *config_path;
	const struct token *token; /* of a machine that joins; NULL: it is the first one */
};

struct survey {
	unsigned count;
	struct survey_finding findings[SURVEY_FINDINGS_MAX];
};

/* All checks; takes as long as the slowest, at most 8 s. */
void survey_run(const struct survey_subject *subject, struct survey *survey);

/* The worst of all findings. */
enum survey_state survey_verdict(const struct survey *survey);

/* [{"check", "state", "text", "advice"}]; advice is null where there is none. */
json_t *survey_json(const struct survey *survey);
void survey_print(const struct survey *survey, FILE *out);

#endif
