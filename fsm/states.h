/* The states of nodes, coordinators and VMs, and their names: states.def. */
#ifndef FSM_STATES_H
#define FSM_STATES_H

#define NAME(value, text) value,
#define STATES(name, ...)                                                                          \
	enum name { __VA_ARGS__ };                                                                 \
	extern const char *const name##_names[]; /* one for each value, then NULL */
#include "fsm/states.def"
#undef NAME
#undef STATES

/* The name of a value, "?" when it is none. */
const char *state_name(const char *const names[], unsigned value);

/* The value of a name, or -EINVAL. */
int state_value(const char *const names[], const char *name);

#endif
