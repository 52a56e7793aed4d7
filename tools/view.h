/* What an operation answers, for people: by the table in view.def. */
#ifndef TOOLS_VIEW_H
#define TOOLS_VIEW_H

#include <jansson.h>
#include <stdio.h>

#include "tools/table.h"

void view_print(const char *operation, const json_t *result, enum table_colours colours, FILE *out);

/* What came after what view_print() has shown: without headings. */
void view_print_more(const char *operation, const json_t *result, FILE *out);

#endif
