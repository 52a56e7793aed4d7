/* What the sources of writer.h share. Only for raft/writer*.c. */
#ifndef RAFT_WRITER_CORE_H
#define RAFT_WRITER_CORE_H

#include "raft/snapshot_file.h"
#include "raft/writer.h"

struct live_segment {
	uint64_t sequence, start;
	uint64_t last; /* index of its last entry, whether or not a later segment replaced it */
	uint64_t size; /* of the file */
};

/* Entries from index on, up to the next run, are of this term. */
struct term_run {
	uint64_t index, term;
};

/* A snapshot on its way to the disk. */
struct taking {
	int fd; /* -1: none is */
	enum { TAKING_BESIDE, TAKING_WHOLE } extent; /* whole: nothing of the log stays */
	struct snapshot_file file;
	struct snapshot_body body;
};

struct writer {
	struct writer_options options;
	int failed; /* -errno that ended everything until the directory is opened again */
	int last_error; /* of the last request; 0: it was done */
	int refused; /* -errno of an append that was not done: those behind it cannot be either */

	struct metadata metadata;
	unsigned slot;
	int metadata_fd[3]; /* by slot */
	bool slots_differ; /* the older slot still holds another term or vote */

	struct live_segment *segments; /* by sequence, which rises by one */
	unsigned segments_n;
	uint64_t next_sequence;
	int fd; /* of the last segment; -1: none, the next append begins one */
	uint64_t at, size, mark;
	uint32_t chain;

	struct term_run *terms;
	unsigned terms_n;
	uint64_t first, last; /* first > last: the log is empty */

	bool has_snapshot;
	struct directory_snapshot snapshot; /* name, index, term */

	int spare_fd; /* -1: none */
	uint64_t spare_at, spare_size;
	bool has_reserve;
	bool short_of_space; /* the reserve is given back, or there was no room for it */
	uint64_t snapshot_bytes;
	struct taking taking;
	bool blocked; /* no space to prepare anything: not before the next request */
	struct buffer batch;
};

/* On a full disk the reserve is given back, once. Any other failure is for good. */
int writer_put(struct writer *w, int fd, const uint8_t *bytes, size_t size, uint64_t at);
/* After a failed one the kernel may call the lost pages clean: nothing can be trusted. */
int writer_sync(struct writer *w, int fd);
int writer_create(struct writer *w, const char *name); /* an empty file; returns its fd */
/* Rename, and make the new name durable. */
int writer_name_give(struct writer *w, const char *from, const char *to);
int writer_answer(struct writer *w, int result); /* to a request; returns result */

uint64_t writer_term_at(const struct writer *w, uint64_t index); /* 0: not known */

/* Remove what a snapshot made void, and what a crash left under way: segments below sequence and,
 * unless newest is NULL, all snapshots but newest and older. */
void writer_sweep(struct writer *w, const char *newest, const char *older, uint64_t sequence);

#endif
