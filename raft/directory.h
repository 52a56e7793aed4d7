/* A data directory as it is read: by the writer before it goes on, and by inspect.
 *
 * Nothing here changes a file. What does not check becomes a finding, and reading goes on as far
 * as it makes sense, so that one damaged file does not hide the rest. */
#ifndef RAFT_DIRECTORY_H
#define RAFT_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/err.h"
#include "raft/disk.h"
#include "raft/metadata.h"
#include "raft/segment.h"
#include "raft/snapshot_file.h"

#define DIRECTORY_NAME_MAX 64

enum directory_file {
	DIRECTORY_SEGMENT, /* segment-SEQUENCE-START */
	DIRECTORY_SNAPSHOT, /* snapshot-INDEX-TERM */
};

/* The name of a file with its two numbers, and back: 0, or -EINVAL when it is no such name. */
void directory_name(
    enum directory_file kind, uint64_t a, uint64_t b, char name[DIRECTORY_NAME_MAX]);
int directory_name_parse(enum directory_file kind, const char *name, uint64_t *a, uint64_t *b);

/* Call found for every name in the directory. 0 or -errno. Names may be unlinked meanwhile. */
int directory_list(int fd, void (*found)(void *data, const char *name), void *data);

enum finding_kind {
	FINDING_NOTE, /* as a crash may leave it: nothing that was answered is lost */
	FINDING_HARMLESS, /* damage, of what nothing needs */
	FINDING_PROBLEM, /* damage */
};

struct finding {
	enum finding_kind kind;
	char file[DIRECTORY_NAME_MAX];
	uint64_t offset;
	char text[160];
};

struct directory_segment {
	char name[DIRECTORY_NAME_MAX];
	uint64_t sequence, start; /* as the name says */
	bool stale; /* a snapshot made it void: not read */
	struct segment_header header;
	uint8_t *bytes; /* owned; the entries point into it */
	size_t size; /* of the file */
	struct segment_cursor end; /* behind the last good batch */
	size_t torn_to; /* where the torn tail ends; 0: there is none */
	unsigned batches;
};

struct directory_snapshot {
	char name[DIRECTORY_NAME_MAX];
	uint64_t index, term; /* as the name says */
	uint64_t file_size;
	bool valid;
	unsigned finding; /* number of the finding that says why it is not valid */
};

struct directory {
	struct metadata metadata;
	unsigned slot; /* of metadata: 1 or 2; 0: the directory is new */
	bool slot_exists[3];

	struct directory_snapshot *snapshots; /* newest first */
	unsigned snapshots_n;
	bool has_snapshot;
	char snapshot_name[DIRECTORY_NAME_MAX]; /* of the one that counts, which is: */
	struct snapshot_file snapshot;
	uint8_t *configuration; /* owned */
	struct buffer data; /* owned */

	struct directory_segment *segments; /* by sequence, stale ones included */
	unsigned segments_n;
	struct disk_entry *entries; /* first to last without a gap */
	uint64_t first; /* 0: there never was an entry */
	unsigned n;
	char first_name[DIRECTORY_NAME_MAX]; /* the oldest segment that counts */
	uint64_t last; /* of the log, or of the snapshot when the log is empty; 0: neither */

	struct finding *findings;
	unsigned findings_n;
	uint64_t bytes; /* of all files */
};

/* Read the directory open as fd. Returns 0 whatever was found; -EAGAIN when a file went
 * away meanwhile (read again); another -errno with err when the system refused. To be closed in
 * each case. */
int directory_read(struct directory *d, int fd, struct err *err);
void directory_close(struct directory *d);

/* The first problem found, NULL when there is none. */
const struct finding *directory_problem(const struct directory *d);

#endif
