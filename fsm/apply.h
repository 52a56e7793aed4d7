/* One function for each command, named by the table. Only for fsm/.
 *
 * Each checks everything before it changes anything, may take blobs and lists
 * out of the command (and zero them there), and says every change through
 * change.h. */
#ifndef FSM_APPLY_H
#define FSM_APPLY_H

#include "fsm/change.h"

#define COMMAND(number, name, ...)                                                                 \
	int apply_##name(struct cluster *c, struct command_##name *command, struct err *err);
#include "fsm/command.def"

#endif
