/* What a configuration asks for and does not get: keys that this version takes and does nothing
 * with (config_idle.def), where they are not at their defaults. */
#ifndef NODE_CONFIG_CONFIG_IDLE_H
#define NODE_CONFIG_CONFIG_IDLE_H

#include "node/config/config.h"

/* Call each with "system.intervals.fence_intervals" and its like, in the order of the file. */
void config_idle_each(
    const struct config *c, void (*each)(void *data, const char *key), void *data);

#define CONFIG_IDLE_TEXT "is accepted, but this version does nothing with it"

#endif
