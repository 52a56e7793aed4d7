#include "tools/applet.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

const char *applet_need(const char *needs, char option[32])
{
	size_t size = strcspn(needs, "|");
	if (!size)
		return NULL;
	snprintf(option, 32, "%.*s", (int)size, needs);
	return needs + size + (needs[size] == '|');
}

static bool has_option(const char *option, const char *const *words, unsigned n)
{
	size_t length = strlen(option);
	for (unsigned i = 0; i < n; i++)
		if (!strncmp(words[i], option, length) &&
		    (!words[i][length] || words[i][length] == '='))
			return true;
	return false;
}

bool applet_asked(const struct applet *a, const char *const *words, unsigned n)
{
	char option[32];
	const char *needs = a->needs;
	if (!needs || !operation_named(a->words))
		return true;
	while ((needs = applet_need(needs, option)))
		if (has_option(option, words, n))
			return true;
	return false;
}
