/* What is asked of a console's worker and what it answers, as bytes.
 *
 * Both ends are this binary, so there is no version in it. */
#ifndef NODE_WORKER_CONSOLE_WIRE_H
#define NODE_WORKER_CONSOLE_WIRE_H

#include "node/worker/console_file.h"

void console_query_encode(struct buffer *b, const struct console_query *query);
int console_query_decode(struct reader *r, struct console_query *query); /* 0 or -EPROTO */

void console_sight_encode(struct buffer *b, const struct console_sight *sight);
/* 0 (console_sight_close), or -EPROTO and there is nothing to be freed. */
int console_sight_decode(struct reader *r, struct console_sight *sight);

#endif
