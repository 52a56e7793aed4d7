/* Help texts, made from the tables of operations and applets. */
#ifndef TOOLS_HELP_H
#define TOOLS_HELP_H

#include <stdbool.h>
#include <stdio.h>

#include "node/operation/operation.h"

/* Help for what these words name: everything, an area ("vm") or an operation. 0, or -ENOENT
 * when they name nothing. */
int help_print(const char *const *words, unsigned n, FILE *out);

/* Do these words begin names of operations or applets without being one? */
bool help_is_area(const char *const *words, unsigned n);

/* Usage, what it does, and its arguments. */
void help_operation(const struct operation *o, FILE *out);

/* "usage: pvc vm start VM [--wait] [--timeout TIME]" */
void help_usage(const struct operation *o, FILE *out);

/* "--by-hand" for by_hand. */
const char *help_option(const char *name, char text[64]);

#endif
