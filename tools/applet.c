#include "tools/applet.h"

#include <stddef.h>

#include "tools/raft/command.h"

#define APPLET(words, needs, function, help) {words, needs, function, help, NULL},
#define RAFT(identifier, words, needs, help, ...)                                                  \
	{words, needs, applet_raft_##identifier, help, &raft_##identifier##_command.operation},
const struct applet applets[] = {
#include "tools/applet.def"
#include "tools/raft/command.def"
    {0}};
#undef APPLET
#undef RAFT
