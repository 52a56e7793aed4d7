/* The XML that the hypervisor gets, made from the user's.
 *
 * What the cluster keeps is the user's, byte for byte. One thing is put in before
 * a start: where the first serial console's output goes, so that `pvc vm console`
 * finds it. A VM without a serial console gets one; where the user set a log, or
 * has it write to a file, nothing is put in. A migration carries the result on. */
#ifndef NODE_WORKER_EFFECTIVE_H
#define NODE_WORKER_EFFECTIVE_H

#include "fsm/buffer.h"
#include "fsm/err.h"
#include "fsm/record.h"

/* The log is DIRECTORY/NAME.log. Everything else is as it was, byte for byte; XML in UTF-16 is
 * that altogether. What out holds is overwritten. 0, or -EINVAL with err as of domain_read. */
int domain_effective(
    const struct blob *xml, const char *directory, struct buffer *out, struct err *err);

/* The file in which the first of its consoles is then found: the user's, or ours. 0; -ENODATA:
 * there is none; -EINVAL as above. */
#define CONSOLE_FILE_MAX 1024
int domain_console(
    const struct blob *xml, const char *directory, char file[CONSOLE_FILE_MAX], struct err *err);

#endif
