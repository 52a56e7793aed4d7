#include "fsm/states.h"

#include <errno.h>
#include <string.h>

#define NAME(value, text) [value] = text,
#define STATES(name, ...) const char *const name##_names[] = {__VA_ARGS__ NULL};
#include "fsm/states.def"

const char *state_name(const char *const names[], unsigned value)
{
	for (unsigned i = 0; names[i]; i++)
		if (i == value)
			return names[i];
	return "?";
}

int state_value(const char *const names[], const char *name)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], name))
			return i;
	return -EINVAL;
}
