#include "raft/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "raft/directory.h"

#define READS_MAX 16

struct inspect {
	struct directory directory;
	bool in_use;
};

/* Asks about the lock without taking it: the writer must never find it taken. */
static bool lock_held(int fd)
{
	int lock_fd = openat(fd, "lock", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (lock_fd < 0)
		return false;
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	bool held = fcntl(lock_fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	close(lock_fd);
	return held;
}

/* A file is not read in one moment. What only looked like damage does not do so again. */
static int read_settled(struct inspect *in, int fd, struct err *err)
{
	struct directory *d = &in->directory;
	int result = -EAGAIN;
	for (unsigned i = 0; i < READS_MAX; i++) {
		directory_close(d);
		result = directory_read(d, fd, err);
		bool settled = result < 0 || !in->in_use || !directory_problem(d);
		if (result != -EAGAIN && settled)
			break;
	}
	return result;
}

int inspect_open(struct inspect **inspect, const char *directory, struct err *err)
{
	*inspect = NULL;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", directory, strerror(errno));
	struct inspect *in = must_alloc(sizeof(*in));
	in->in_use = lock_held(fd);
	int result = read_settled(in, fd, err);
	close(fd);
	if (result < 0) {
		inspect_close(in);
		return err_wrap(err, result, "%s", directory);
	}
	*inspect = in;
	return 0;
}

void inspect_close(struct inspect *in)
{
	directory_close(&in->directory);
	free(in);
}

static void status_of_segments(const struct directory *d, struct inspect_status *status)
{
	for (unsigned i = 0; i < d->segments_n; i++) {
		const struct directory_segment *s = &d->segments[i];
		status->segments += !s->stale;
		if (s->torn_to == 0)
			continue;
		memcpy(status->torn_file, s->name, sizeof(status->torn_file));
		status->torn_offset = s->end.at;
		status->torn_bytes = s->torn_to - s->end.at;
	}
}

void inspect_status(const struct inspect *in, struct inspect_status *status)
{
	const struct directory *d = &in->directory;
	*status = (struct inspect_status){
	    .in_use = in->in_use,
	    .term = d->metadata.term,
	    .vote = d->metadata.vote,
	    .version = d->metadata.version,
	    .first = d->n > 0 ? d->first : d->last + 1,
	    .last = d->last,
	    .bytes = d->bytes,
	};
	if (d->has_snapshot)
		status->snapshot = &d->snapshot.snapshot;
	for (unsigned i = 0; i < d->snapshots_n; i++)
		if (strcmp(d->snapshots[i].name, d->snapshot_name) == 0)
			status->snapshot_file_bytes = d->snapshots[i].file_size;
	status_of_segments(d, status);
	for (unsigned i = 0; i < d->findings_n; i++)
		if (d->findings[i].kind == FINDING_PROBLEM)
			status->problems++;
		else
			status->notes++;
}

int inspect_segment(const struct inspect *in, unsigned n, struct inspect_segment *segment)
{
	if (n >= in->directory.segments_n)
		return -ENOENT;
	const struct directory_segment *s = &in->directory.segments[n];
	*segment = (struct inspect_segment){
	    .sequence = s->sequence,
	    .start = s->start,
	    .last = s->end.next > 0 ? s->end.next - 1 : s->start - 1,
	    .bytes = s->size,
	    .used = s->end.at,
	    .batches = s->batches,
	    .stale = s->stale,
	};
	memcpy(segment->name, s->name, sizeof(segment->name));
	return 0;
}

int inspect_snapshot(const struct inspect *in, unsigned n, struct inspect_snapshot *snapshot)
{
	const struct directory *d = &in->directory;
	if (n >= d->snapshots_n)
		return -ENOENT;
	const struct directory_snapshot *s = &d->snapshots[n];
	*snapshot = (struct inspect_snapshot){
	    .index = s->index,
	    .term = s->term,
	    .file_bytes = s->file_size,
	    .valid = s->valid,
	    .counts = d->has_snapshot && !strcmp(s->name, d->snapshot_name),
	};
	memcpy(snapshot->name, s->name, sizeof(snapshot->name));
	return 0;
}

int inspect_entry(const struct inspect *in, uint64_t index, struct disk_entry *entry)
{
	const struct directory *d = &in->directory;
	if (d->n == 0 || index < d->first || index - d->first >= d->n)
		return -ENOENT;
	*entry = d->entries[index - d->first];
	return 0;
}

int inspect_where(
    const struct inspect *in, uint64_t index, char name[INSPECT_NAME_MAX], uint64_t *offset)
{
	const struct directory *d = &in->directory;
	struct disk_entry entry;
	if (inspect_entry(in, index, &entry))
		return -ENOENT;
	for (unsigned i = 0; i < d->segments_n; i++) {
		const struct directory_segment *s = &d->segments[i];
		if (!s->bytes || entry.data < s->bytes || entry.data > s->bytes + s->size)
			continue;
		memcpy(name, s->name, INSPECT_NAME_MAX);
		*offset = (uint64_t)(entry.data - s->bytes) - SEGMENT_ENTRY_SIZE;
		return 0;
	}
	return -ENOENT;
}

unsigned inspect_verify(const struct inspect *in,
    void (*found)(void *data, const struct inspect_finding *finding), void *data)
{
	unsigned problems = 0;
	for (unsigned i = 0; i < in->directory.findings_n; i++) {
		const struct finding *f = &in->directory.findings[i];
		struct inspect_finding finding = {
		    .problem = f->kind == FINDING_PROBLEM,
		    .harmless = f->kind == FINDING_HARMLESS,
		    .file = f->file,
		    .offset = f->offset,
		    .text = f->text,
		};
		found(data, &finding);
		problems += finding.problem;
	}
	return problems;
}
