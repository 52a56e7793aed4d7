/* Writing into a log that no daemon runs: what was asked for is on the disk when it returns. */
#ifndef TOOLS_LOG_WRITER_H
#define TOOLS_LOG_WRITER_H

#include <semaphore.h>

#include "raft/wal.h"

struct log_writer {
	struct wal *wal;
	struct disk_state state; /* what the log held; until something is written */
	sem_t ready;
	unsigned left; /* requests without an answer */
	int status;
};

/* Open the log of a directory that exists. 0, or as wal_open(): nothing is to be closed then. */
int log_writer_open(struct log_writer *w, const char *directory, struct err *err);

/* Carry out the requests, in their order. 0, or -errno of the first that failed. */
int log_writer_write(struct log_writer *w, struct disk_request *requests, unsigned n);

void log_writer_close(struct log_writer *w);

#endif
