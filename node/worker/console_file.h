/* The file in which libvirt keeps what a VM says on its serial console.
 *
 * It grows, and virtlogd moves a full one aside: NAME.log becomes NAME.log.0, that one NAME.log.1.
 * They are read as one, so whoever follows misses nothing as long as what it read last is still
 * among them. Blocking; but never waits for anything but a file system: a pipe or a device in the
 * place of the file is refused. */
#ifndef NODE_WORKER_CONSOLE_FILE_H
#define NODE_WORKER_CONSOLE_FILE_H

#include <stdbool.h>

#include "fsm/buffer.h"
#include "fsm/err.h"

#define CONSOLE_BYTES_MAX (256u << 10) /* that are looked at in one reading */
#define CONSOLE_PATH_MAX  1024

/* A line that the guest has not ended (a prompt) counts as one when nothing was added for that
 * long. */
#define CONSOLE_QUIET_MS 1000

enum console_from {
	CONSOLE_LAST, /* the last lines; there must be a file */
	CONSOLE_FOLLOW, /* what comes after a mark, or the last lines; there may be no file */
};

struct console_query {
	char path[CONSOLE_PATH_MAX];
	enum console_from from;
	uint64_t mark; /* as an earlier reading gave it; 0: none */
	unsigned lines_max; /* of the last ones; what comes after a mark is told whole */
};

struct console_sight {
	struct buffer lines; /* owned; each with its newline, as console_text.h has them */
	uint64_t mark; /* what comes next; fits into 63 bits; 0: there is no file yet */
	bool more; /* there is more to be read at once */
};

/* 0 (console_sight_close frees it), or a negative errno. */
int console_read(const struct console_query *query, struct console_sight *sight, struct err *err);
void console_sight_close(struct console_sight *sight);

#endif
