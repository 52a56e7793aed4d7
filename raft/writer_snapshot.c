/* Snapshots: into a file, a piece at a time, and what of the log they stand for is let go. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "raft/writer_core.h"

#define TMP_NAME "tmp-snapshot"

/* The first segment that still holds an entry from keep_from on. The last one always stays. */
static unsigned segments_void(const struct writer *w, uint64_t keep_from)
{
	unsigned n = w->segments_n;
	uint64_t end = UINT64_MAX; /* entries from here on were replaced by later segments */
	unsigned keep = n > 0 ? n - 1 : 0;
	for (unsigned i = n; i > 0; i--) {
		const struct live_segment *s = &w->segments[i - 1];
		uint64_t last = s->last < end - 1 ? s->last : end - 1;
		if (last >= s->start && last >= keep_from)
			keep = i - 1;
		if (s->start < end)
			end = s->start;
	}
	return keep;
}

struct sweep {
	int fd;
	const char *newest, *older;
	uint64_t sequence;
};

static void sweep_name(void *data, const char *name)
{
	const struct sweep *s = data;
	uint64_t a, b;
	if (directory_name_parse(DIRECTORY_SNAPSHOT, name, &a, &b) == 0) {
		if (s->newest && strcmp(name, s->newest) != 0 && strcmp(name, s->older) != 0)
			unlinkat(s->fd, name, 0);
	} else if (directory_name_parse(DIRECTORY_SEGMENT, name, &a, &b) == 0) {
		if (a < s->sequence)
			unlinkat(s->fd, name, 0);
	} else if (strncmp(name, "tmp-", 4) == 0) {
		unlinkat(s->fd, name, 0);
	}
}

void writer_sweep(struct writer *w, const char *newest, const char *older, uint64_t sequence)
{
	struct sweep sweep = {w->options.fd, newest, older, sequence};
	directory_list(w->options.fd, sweep_name, &sweep);
}

static void segments_forget(struct writer *w, unsigned n)
{
	w->segments_n -= n;
	if (w->segments_n > 0)
		memmove(w->segments, w->segments + n, w->segments_n * sizeof(*w->segments));
	if (w->segments_n == 0 && w->fd >= 0) {
		close(w->fd);
		w->fd = -1;
	}
}

/* Drop the terms of entries before the first. */
static void terms_forget(struct writer *w)
{
	unsigned n = 0;
	while (n + 1 < w->terms_n && w->terms[n + 1].index <= w->first)
		n++;
	w->terms_n -= n;
	if (n > 0)
		memmove(w->terms, w->terms + n, w->terms_n * sizeof(*w->terms));
}

/* The log after a snapshot: nothing when the snapshot stands for all of it, else from keep_from. */
static void log_forget(struct writer *w, const struct snapshot_file *file, unsigned voided)
{
	uint64_t index = file->snapshot.index;
	if (voided == w->segments_n) {
		w->terms_n = 0;
		w->first = index + 1;
		w->last = index;
	} else if (w->first < file->keep_from) {
		w->first = file->keep_from;
		terms_forget(w);
	}
	segments_forget(w, voided);
}

static int taking_end(struct writer *w, int result)
{
	struct taking *t = &w->taking;
	close(t->fd);
	t->fd = -1;
	if (result < 0)
		unlinkat(w->options.fd, TMP_NAME, 0);
	return writer_answer(w, result);
}

/* The name makes it count, and all of it void that it stands for. */
static int taking_name(struct writer *w)
{
	const struct snapshot_file *file = &w->taking.file;
	struct directory_snapshot next = {
	    .index = file->snapshot.index, .term = file->snapshot.term};
	directory_name(DIRECTORY_SNAPSHOT, next.index, next.term, next.name);
	int result = writer_name_give(w, TMP_NAME, next.name);
	if (result < 0)
		return result;
	writer_sweep(w, next.name, w->snapshot.name, file->sequence);
	unsigned voided = 0;
	while (voided < w->segments_n && w->segments[voided].sequence < file->sequence)
		voided++;
	log_forget(w, file, voided);
	w->has_snapshot = true;
	w->snapshot = next;
	w->snapshot_bytes = SNAPSHOT_HEADER_SIZE + w->taking.body.size;
	return 0;
}

/* Whether the log, as it is now, has the last entry of the snapshot. */
static bool log_agrees(const struct writer *w, const struct disk_snapshot *s)
{
	return s->index <= w->last && writer_term_at(w, s->index) == s->term;
}

/* Which segments are void is known only now: entries were appended since it was begun. */
static int taking_head(struct writer *w)
{
	struct taking *t = &w->taking;
	struct buffer header = {0};
	unsigned voided = w->segments_n;
	if (t->extent == TAKING_BESIDE) {
		if (!log_agrees(w, &t->file.snapshot))
			return -EINVAL;
		voided = segments_void(w, t->file.keep_from);
	}
	t->file.sequence = voided < w->segments_n ? w->segments[voided].sequence : w->next_sequence;
	snapshot_header_encode(&t->file, &t->body, &header);
	int result = writer_put(w, t->fd, header.data, header.size, 0);
	buffer_close(&header);
	return result;
}

/* Synced piece by piece: one sync of all of it at the end would take as long as all of it does. */
int writer_snapshot_step(struct writer *w)
{
	struct taking *t = &w->taking;
	struct buffer piece = {0};
	if (w->failed)
		return taking_end(w, w->failed);
	uint64_t at = SNAPSHOT_HEADER_SIZE + t->body.size;
	bool more = snapshot_body_next(&t->body, &t->file.snapshot, &piece);
	int result = writer_put(w, t->fd, piece.data, piece.size, at);
	buffer_close(&piece);
	if (result == 0 && !more)
		result = taking_head(w);
	if (result == 0)
		result = writer_sync(w, t->fd);
	if (result == 0 && more)
		return 1;
	return taking_end(w, result < 0 ? result : taking_name(w));
}

int writer_snapshot_begin(struct writer *w, const struct disk_request *request)
{
	struct taking *t = &w->taking;
	assert(t->fd < 0);
	if (w->failed)
		return w->failed;
	const struct disk_snapshot *s = &request->snapshot.snapshot;
	if (s->index == 0 || (w->has_snapshot && s->index < w->snapshot.index))
		return writer_answer(w, -EINVAL);
	bool whole = request->snapshot.installed || s->index > w->last;
	if (!whole && !log_agrees(w, s))
		return writer_answer(w, -EINVAL);
	uint64_t keep_from = request->snapshot.keep_from;
	bool none_kept = whole || keep_from > s->index;
	*t = (struct taking){
	    .fd = writer_create(w, TMP_NAME),
	    .extent = whole ? TAKING_WHOLE : TAKING_BESIDE,
	    .file = {.snapshot = *s, .keep_from = none_kept ? s->index + 1 : keep_from},
	};
	if (t->fd < 0)
		return writer_answer(w, t->fd);
	int result = 1;
	/* What comes next follows it, or follows nothing. */
	while (whole && result > 0)
		result = writer_snapshot_step(w);
	return result;
}

int writer_snapshot(struct writer *w, const struct disk_request *request)
{
	int result = writer_snapshot_begin(w, request);
	while (result > 0)
		result = writer_snapshot_step(w);
	return result;
}
