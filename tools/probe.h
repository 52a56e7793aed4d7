/* A function in a process of its own, with a deadline: for whatever may block for ever.
 *
 * A disk, a name server, a BMC or a libvirtd that hangs costs one answer. A child that is past
 * its deadline is killed with all that it has started. One that even then does not end, for the
 * kernel waits for a disk, is left behind and waited for no longer. */
#ifndef TOOLS_PROBE_H
#define TOOLS_PROBE_H

#include <stdint.h>

#include "fsm/buffer.h"

struct probe {
	int pid; /* 0: there is none */
	int fd; /* what the child writes is read here */
};

/* Run in a child, whose exit status is what run() returns; what it writes to out is for
 * probe_finish(). Returns 0 or -errno. Nothing may be buffered in stdout, or it comes twice. */
int probe_start(struct probe *probe, int (*run)(void *data, int out), void *data);

/* Wait for it until CLOCK_MONOTONIC is deadline_ms; what it wrote is appended to out, also when it
 * did not end. Returns its exit status; -ETIMEDOUT: it was killed; -EIO: it crashed; -EFBIG: it
 * wrote more than 64 MiB, of which out has the first part. */
int probe_finish(struct probe *probe, uint64_t deadline_ms, struct buffer *out);

uint64_t probe_now_ms(void);

/* Run a program (found in PATH; argv ends with NULL) from within a child of probe_start(), with
 * variables (NAME=VALUE, NULL at the end) beside its own. Its outputs are appended to said. Returns
 * its exit status, or -errno: it could not be started; -EIO: it crashed. */
int probe_program(char *const argv[], char *const variables[], struct buffer *said);

#endif
