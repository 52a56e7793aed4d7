/* The command line: words to an operation, the daemon's answer to people or
 * programs, and an exit status. */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

#include <stdbool.h>

#include "fsm/err.h"

enum cli_exit {
	CLI_DONE = 0,
	CLI_REFUSED = 1, /* refused or failed, or not there in time */
	CLI_USAGE = 2,
	CLI_UNREACHABLE = 3, /* the daemon */
};

#define CLI_WORDS_MAX 256

struct cli {
	const char *socket;
	enum { CLI_TABLE, CLI_JSON } format;
	enum { CLI_RUN, CLI_HELP, CLI_VERSION } what;
	const char *words[CLI_WORDS_MAX]; /* without the global options */
	unsigned count;
};

/* Take the global options out of argv[1..]. 0 or -EINVAL with err. */
int cli_read(struct cli *cli, int argc, char **argv, struct err *err);

/* Was JSON asked for, whatever the rest of the words says? */
bool cli_wants_json(int argc, char **argv);

int cli_main(int argc, char **argv);

#endif
