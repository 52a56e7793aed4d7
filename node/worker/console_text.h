/* What a serial console has said, as lines that can be shown.
 *
 * A guest can write anything: what would move a cursor, change colours or title of a terminal is
 * left out, and bytes that are no UTF-8 are shown as '?'. Pure. */
#ifndef NODE_WORKER_CONSOLE_TEXT_H
#define NODE_WORKER_CONSOLE_TEXT_H

#include "fsm/buffer.h"

/* Longer lines are cut into several. */
#define CONSOLE_LINE_MAX 4096u

enum console_end {
	CONSOLE_END_OPEN, /* a line without its end is not one yet */
	CONSOLE_END_WHOLE, /* it is one */
};

/* Append the lines of bytes, each with a newline and nothing else that is not to be shown. Returns
 * how many bytes they were made of. */
size_t console_lines(const struct reader *bytes, enum console_end end, struct buffer *out);

/* The last lines_max lines of bytes begin there. */
size_t console_tail(const uint8_t *bytes, size_t size, unsigned lines_max);

#endif
