#include "raft/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX (4ull << 30) /* more is no file of ours */
#define READ_MAX      (1u << 20) /* at a time: behind it there may be a hole */

static const char *const prefixes[] = {
    [DIRECTORY_SEGMENT] = "segment",
    [DIRECTORY_SNAPSHOT] = "snapshot",
};

void directory_name(enum directory_file kind, uint64_t a, uint64_t b, char name[DIRECTORY_NAME_MAX])
{
	snprintf(name, DIRECTORY_NAME_MAX, "%s-%020" PRIu64 "-%020" PRIu64, prefixes[kind], a, b);
}

int directory_name_parse(enum directory_file kind, const char *name, uint64_t *a, uint64_t *b)
{
	size_t prefix = strlen(prefixes[kind]) + 1;
	if (strlen(name) != prefix + 41)
		return -EINVAL;
	*a = strtoull(name + prefix, NULL, 10);
	*b = strtoull(name + prefix + 21, NULL, 10);
	/* What gives the same name again was one. */
	char again[DIRECTORY_NAME_MAX];
	directory_name(kind, *a, *b, again);
	return strcmp(again, name) == 0 ? 0 : -EINVAL;
}

int directory_list(int fd, void (*found)(void *data, const char *name), void *data)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own < 0)
		return -errno;
	DIR *dir = fdopendir(own);
	if (!dir) {
		close(own);
		return -ENOMEM;
	}
	const struct dirent *at;
	while ((errno = 0, at = readdir(dir)))
		found(data, at->d_name);
	int result = -errno;
	closedir(dir);
	return result;
}

__attribute__((format(printf, 5, 6))) static void find(struct directory *d, enum finding_kind kind,
    const char *file, uint64_t offset, const char *format, ...)
{
	d->findings = must_realloc(d->findings, (d->findings_n + 1) * sizeof(*d->findings));
	struct finding *f = &d->findings[d->findings_n++];
	*f = (struct finding){.kind = kind, .offset = offset};
	snprintf(f->file, sizeof(f->file), "%s", file);
	va_list args;
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
}

/* Room for a file, zeros: what is there may be of any size, and must not end the process. */
static int file_room(int file, struct buffer *out)
{
	struct stat st;
	if (fstat(file, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > FILE_SIZE_MAX)
		return -EFBIG;
	out->data = calloc(1, (size_t)st.st_size + 1);
	if (!out->data)
		return -ENOMEM;
	out->capacity = (size_t)st.st_size;
	return 0;
}

/* Where the data goes on at or behind at: a hole is zeros already, and takes no memory. */
static size_t file_data(int file, size_t at, size_t end)
{
	off_t next = lseek(file, (off_t)at, SEEK_DATA);
	if (next < 0)
		return errno == ENXIO ? end : at;
	return (size_t)next < end ? (size_t)next : end;
}

/* The whole file into memory that the caller frees. */
static int file_read(struct directory *d, int fd, const char *name, struct buffer *out)
{
	int file = openat(fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (file < 0)
		return -errno;
	int result = file_room(file, out);
	while (result == 0 && out->size < out->capacity) {
		out->size = file_data(file, out->size, out->capacity);
		size_t left = out->capacity - out->size;
		ssize_t n = pread(file, out->data + out->size, left < READ_MAX ? left : READ_MAX,
		    (off_t)out->size);
		if (n < 0 && errno != EINTR)
			result = -errno;
		if (n == 0)
			break;
		out->size += n > 0 ? (size_t)n : 0;
	}
	close(file);
	d->bytes += out->size;
	return result;
}

static int file_error(const char *name, int result, struct err *err)
{
	/* It was listed and is gone: the writer is at work. */
	if (result == -ENOENT)
		return err_set(err, -EAGAIN, "%s went away", name);
	if (result == -EINVAL || result == -ELOOP)
		return err_set(err, result, "%s is no regular file", name);
	return err_set(err, result, "%s: %s", name, strerror(-result));
}

static void name_found(void *data, const char *name)
{
	struct directory *d = data;
	uint64_t a, b;
	if (directory_name_parse(DIRECTORY_SEGMENT, name, &a, &b) == 0) {
		d->segments = must_realloc(d->segments, (d->segments_n + 1) * sizeof(*d->segments));
		struct directory_segment *s = &d->segments[d->segments_n++];
		*s = (struct directory_segment){.sequence = a, .start = b};
		directory_name(DIRECTORY_SEGMENT, a, b, s->name);
	}
	if (directory_name_parse(DIRECTORY_SNAPSHOT, name, &a, &b) == 0) {
		d->snapshots =
		    must_realloc(d->snapshots, (d->snapshots_n + 1) * sizeof(*d->snapshots));
		struct directory_snapshot *s = &d->snapshots[d->snapshots_n++];
		*s = (struct directory_snapshot){.index = a, .term = b};
		directory_name(DIRECTORY_SNAPSHOT, a, b, s->name);
	}
}

static int segment_order(const void *a, const void *b)
{
	const struct directory_segment *x = a, *y = b;
	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static int snapshot_order(const void *a, const void *b)
{
	const struct directory_snapshot *x = a, *y = b;
	if (x->index != y->index)
		return x->index > y->index ? -1 : 1;
	return x->term > y->term ? -1 : x->term < y->term;
}

static int metadata_read(struct directory *d, int fd, struct err *err)
{
	static const char *const names[] = {NULL, "metadata-1", "metadata-2"};
	struct err why[3] = {0};
	for (unsigned slot = 1; slot <= 2; slot++) {
		struct buffer bytes = {0};
		int result = file_read(d, fd, names[slot], &bytes);
		struct metadata m;
		if (result == 0) {
			d->slot_exists[slot] = true;
			result = metadata_decode(bytes.data, bytes.size, &m, &why[slot]);
			if (result == 0 && (d->slot == 0 || m.version > d->metadata.version)) {
				d->metadata = m;
				d->slot = slot;
			}
			result = 0;
		}
		buffer_close(&bytes);
		if (result < 0 && result != -ENOENT)
			return file_error(names[slot], result, err);
	}
	bool other_files = d->segments_n > 0 || d->snapshots_n > 0;
	for (unsigned slot = 1; slot <= 2; slot++)
		if (why[slot].text[0])
			find(d, d->slot ? FINDING_NOTE : FINDING_PROBLEM, names[slot], 0, "%s",
			    why[slot].text);
	if (!d->slot && other_files && !d->slot_exists[1] && !d->slot_exists[2])
		find(d, FINDING_PROBLEM, names[1], 0, "missing, and so is %s", names[2]);
	return 0;
}

static void snapshot_choose(struct directory *d, const struct directory_snapshot *s,
    const struct snapshot_file *file, struct buffer *data)
{
	d->has_snapshot = true;
	memcpy(d->snapshot_name, s->name, sizeof(d->snapshot_name));
	d->snapshot = *file;
	d->data = *data;
	*data = (struct buffer){0};
	struct disk_snapshot *kept = &d->snapshot.snapshot;
	d->configuration = must_alloc(kept->configuration_size);
	if (kept->configuration_size > 0)
		memcpy(d->configuration, kept->configuration, kept->configuration_size);
	kept->configuration = d->configuration;
}

static int snapshot_read(struct directory *d, struct directory_snapshot *s, int fd, struct err *err)
{
	struct buffer bytes = {0}, data = {0};
	struct snapshot_file file;
	int result = file_read(d, fd, s->name, &bytes);
	if (result < 0) {
		buffer_close(&bytes);
		return file_error(s->name, result, err);
	}
	s->file_size = bytes.size;
	uint64_t offset;
	struct err why;
	result = snapshot_file_decode(bytes.data, bytes.size, &file, &data, &offset, &why);
	if (result == 0 && (file.snapshot.index != s->index || file.snapshot.term != s->term)) {
		offset = 16;
		result = err_set(&why, -EBADMSG, "is a snapshot of another index");
	}
	s->valid = result == 0;
	if (s->valid && !d->has_snapshot)
		snapshot_choose(d, s, &file, &data);
	s->finding = d->findings_n;
	if (!s->valid)
		find(d, FINDING_PROBLEM, s->name, offset, "%s", why.text);
	buffer_close(&data);
	buffer_close(&bytes);
	return 0;
}

/* The tail of a segment whose batches end with something that is not one. */
static void tail_judge(struct directory *d, struct directory_segment *s, enum segment_result result,
    const struct err *why)
{
	bool newest = s == &d->segments[d->segments_n - 1];
	size_t later = segment_mark_later(&s->end);
	/* The first batch is made durable before the segment gets its name. */
	if (result == SEGMENT_TORN && newest && s->batches > 0 && later == 0) {
		s->torn_to = segment_used(&s->end);
		find(d, FINDING_NOTE, s->name, s->end.at, "torn tail of %zu bytes (%s)",
		    s->torn_to - s->end.at, why->text);
	} else if (later != 0) {
		find(d, FINDING_PROBLEM, s->name, s->end.at, "%s; another batch follows at %zu",
		    why->text, later);
	} else {
		find(d, FINDING_PROBLEM, s->name, s->end.at, "%s", why->text);
	}
}

static int segment_read(struct directory *d, struct directory_segment *s, int fd, struct err *err)
{
	struct buffer bytes = {0};
	int result = file_read(d, fd, s->name, &bytes);
	s->bytes = bytes.data;
	s->size = bytes.size;
	if (result < 0)
		return file_error(s->name, result, err);
	struct err why;
	result = segment_open(&s->end, s->bytes, s->size, &s->header, &why);
	if (result == 0 && (s->header.sequence != s->sequence || s->header.start != s->start))
		result = err_set(&why, -EBADMSG, "header belongs to another segment");
	if (result < 0) {
		find(d, FINDING_PROBLEM, s->name, 0, "%s", why.text);
		return 0;
	}
	struct segment_batch batch;
	enum segment_result next;
	while ((next = segment_next(&s->end, &batch, &why)) == SEGMENT_BATCH)
		s->batches++;
	if (next != SEGMENT_END)
		tail_judge(d, s, next, &why);
	else if (s->batches == 0)
		find(d, FINDING_PROBLEM, s->name, s->end.at, "no batch after the header");
	return 0;
}

static void entry_add(struct directory *d, struct disk_entry entry)
{
	if ((d->n & (d->n + 1)) == 0) /* grows at 0, 1, 3, 7, ... */
		d->entries = must_realloc(d->entries, (2 * (size_t)d->n + 2) * sizeof(entry));
	d->entries[d->n++] = entry;
}

/* Is the entry before start of the term that the header says? */
static bool follows(const struct directory *d, const struct segment_header *h)
{
	const struct disk_snapshot *s = &d->snapshot.snapshot;
	if (h->start == 1)
		return h->previous_term == 0;
	if (d->n > 0 && h->start > d->first)
		return h->previous_term == d->entries[h->start - 1 - d->first].term;
	if (d->has_snapshot && h->start - 1 == s->index)
		return h->previous_term == s->term;
	return true;
}

/* The entries of a segment replace what lies at and after its start. Returns whether it fits. */
static bool segment_collect(struct directory *d, const struct directory_segment *s)
{
	const struct segment_header *h = &s->header;
	if (d->first > 0 && h->start > d->first + d->n) {
		find(d, FINDING_PROBLEM, s->name, 0,
		    "begins at index %" PRIu64 ", but the log before it ends at %" PRIu64, h->start,
		    d->first + d->n - 1);
		return false;
	}
	if (!follows(d, h)) {
		find(d, FINDING_PROBLEM, s->name, 0, "does not follow the entry before it");
		return false;
	}
	if (d->first == 0)
		memcpy(d->first_name, s->name, sizeof(d->first_name));
	if (d->first == 0 || h->start < d->first)
		d->first = h->start;
	d->n = (unsigned)(h->start - d->first);
	struct segment_cursor c;
	struct segment_header again;
	struct segment_batch batch;
	segment_open(&c, s->bytes, s->size, &again, NULL);
	for (unsigned i = 0; i < s->batches; i++) {
		segment_next(&c, &batch, NULL);
		struct reader entries = segment_entries(&c);
		for (uint32_t k = 0; k < batch.count; k++)
			entry_add(d, segment_entry_next(&entries));
	}
	return true;
}

static int segments_read(struct directory *d, int fd, struct err *err)
{
	/* Beside a damaged snapshot it cannot be known which segments it made void. */
	bool known = d->snapshots_n == 0 || d->snapshots[0].valid;
	uint64_t expected = !known ? 0 : d->has_snapshot ? d->snapshot.sequence : 1;
	bool collecting = true;
	for (unsigned i = 0; i < d->segments_n; i++) {
		struct directory_segment *s = &d->segments[i];
		s->stale = d->has_snapshot && s->sequence < d->snapshot.sequence;
		if (s->stale)
			continue;
		int result = segment_read(d, s, fd, err);
		if (result < 0)
			return result;
		if (expected != 0 && s->sequence != expected) {
			find(d, FINDING_PROBLEM, s->name, 0,
			    "segment %" PRIu64 " before it is missing", s->sequence - 1);
			collecting = false;
		}
		expected = s->sequence + 1;
		collecting = collecting && s->batches > 0 && segment_collect(d, s);
	}
	return 0;
}

static bool snapshot_covered(const struct directory *d, const struct directory_snapshot *s)
{
	return d->n > 0 && d->first <= d->snapshot.snapshot.index + 1 && s->index >= d->first &&
	       s->index - d->first < d->n && d->entries[s->index - d->first].term == s->term;
}

/* See that log and snapshot meet, and drop what the snapshot made void. */
static void log_join(struct directory *d)
{
	const struct disk_snapshot *s = &d->snapshot.snapshot;
	uint64_t end = d->first + d->n;
	d->last = d->first > 0 ? end - 1 : s->index;
	if (d->first == 0)
		return;
	if (d->first > s->index + 1)
		find(d, FINDING_PROBLEM, d->first_name, 0,
		    "the log begins at index %" PRIu64 ", entries from %" PRIu64 " on are missing",
		    d->first, s->index + 1);
	if (d->has_snapshot && d->last < s->index)
		find(d, FINDING_PROBLEM, d->snapshot_name, 0,
		    "the log ends at index %" PRIu64 ", before the snapshot", d->last);
	if (d->has_snapshot && s->index >= d->first && s->index <= d->last &&
	    d->entries[s->index - d->first].term != s->term)
		find(d, FINDING_PROBLEM, d->snapshot_name, 0,
		    "the log has another term at index %" PRIu64, s->index);
	if (d->first < d->snapshot.keep_from) {
		uint64_t from = d->snapshot.keep_from < end ? d->snapshot.keep_from : end;
		unsigned drop = (unsigned)(from - d->first);
		d->n -= drop;
		if (d->n > 0)
			memmove(d->entries, d->entries + drop, d->n * sizeof(*d->entries));
		d->first = from;
	}
}

/* A damaged snapshot does no harm where the log leads past it from an older one. */
static void snapshots_judge(struct directory *d)
{
	for (unsigned i = 0; i < d->snapshots_n; i++) {
		const struct directory_snapshot *s = &d->snapshots[i];
		bool older = d->has_snapshot && s->index <= d->snapshot.snapshot.index;
		if (!s->valid && (older || snapshot_covered(d, s)))
			d->findings[s->finding].kind = FINDING_HARMLESS;
	}
}

int directory_read(struct directory *d, int fd, struct err *err)
{
	*d = (struct directory){0};
	int result = directory_list(fd, name_found, d);
	if (result < 0)
		return err_set(err, result, "read the directory: %s", strerror(-result));
	if (d->segments_n > 0)
		qsort(d->segments, d->segments_n, sizeof(*d->segments), segment_order);
	if (d->snapshots_n > 0)
		qsort(d->snapshots, d->snapshots_n, sizeof(*d->snapshots), snapshot_order);
	result = metadata_read(d, fd, err);
	for (unsigned i = 0; i < d->snapshots_n && result == 0; i++)
		result = snapshot_read(d, &d->snapshots[i], fd, err);
	if (result == 0)
		result = segments_read(d, fd, err);
	if (result < 0)
		return result;
	snapshots_judge(d);
	log_join(d);
	return 0;
}

void directory_close(struct directory *d)
{
	for (unsigned i = 0; i < d->segments_n; i++)
		free(d->segments[i].bytes);
	free(d->segments);
	free(d->snapshots);
	free(d->entries);
	free(d->findings);
	free(d->configuration);
	buffer_close(&d->data);
	*d = (struct directory){0};
}

const struct finding *directory_problem(const struct directory *d)
{
	for (unsigned i = 0; i < d->findings_n; i++)
		if (d->findings[i].kind == FINDING_PROBLEM)
			return &d->findings[i];
	return NULL;
}
