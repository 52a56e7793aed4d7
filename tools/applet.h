/* What the binary can be beside the command line client: applet.def.
 *
 * An applet is run by the name of the file (pvcnoded) or by the first words
 * (pvc pvcnoded, pvc cluster join); argv[0] is then the last of those words. Its
 * exit status is the process's. */
#ifndef TOOLS_APPLET_H
#define TOOLS_APPLET_H

#include "node/operation/operation.h"

#define APPLET(words, needs, function, help) int function(int argc, char **argv);
#include "tools/applet.def"
#undef APPLET
#define RAFT(identifier, ...) int applet_raft_##identifier(int argc, char **argv);
#include "tools/raft/command.def"
#undef RAFT

struct applet {
	const char *words;
	const char *needs; /* "--data|--at": only with one of these, where an operation has the same
			      name; NULL: always */
	int (*run)(int argc, char **argv);
	const char *help; /* NULL: for pvc itself, not shown */
	const struct operation *shape; /* its arguments; NULL: it reads them itself */
};

extern const struct applet applets[]; /* ends with words NULL */

/* Are these words, behind its name, for the applet and not for the daemon? */
bool applet_asked(const struct applet *a, const char *const *words, unsigned n);
/* The next option of needs, and where it goes on; NULL behind the last. */
const char *applet_need(const char *needs, char option[32]);

#endif
