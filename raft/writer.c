#include "raft/writer_core.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define STEP_BYTES	  (256u << 10) /* zeros written in one step of preparation */
#define SMALL_SEGMENT	  (64u << 10) /* what a segment is a multiple of when space is short */
#define BATCH_KEPT	  (1u << 20) /* bytes of the batch buffer that outlast the batch */
#define SPARE_NAME	  "spare"
#define RESERVE_NAME	  "reserve"
#define METADATA_TMP_NAME "tmp-metadata"

static const char *const metadata_names[] = {NULL, "metadata-1", "metadata-2"};
static const uint8_t zeros[STEP_BYTES];

/* Writing. */

static bool is_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

static int reserve_release(struct writer *w)
{
	if (!w->has_reserve || unlinkat(w->options.fd, RESERVE_NAME, 0) < 0)
		return -ENOSPC;
	w->has_reserve = false;
	w->short_of_space = true;
	return 0;
}

static int write_once(struct writer *w, int fd, const uint8_t *bytes, size_t size, uint64_t at)
{
	const struct wal_files *files = w->options.files;
	while (size > 0) {
		ssize_t n = files->write(files->data, fd, bytes, size, at);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		bytes += n;
		size -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

int writer_put(struct writer *w, int fd, const uint8_t *bytes, size_t size, uint64_t at)
{
	int result = write_once(w, fd, bytes, size, at);
	if (is_full(result) && reserve_release(w) == 0)
		result = write_once(w, fd, bytes, size, at);
	if (result < 0 && !is_full(result))
		w->failed = result;
	return result;
}

int writer_sync(struct writer *w, int fd)
{
	int result = w->options.files->sync(w->options.files->data, fd);
	if (result < 0)
		w->failed = result;
	return result;
}

static int sync_names(struct writer *w)
{
	return writer_sync(w, w->options.fd);
}

int writer_name_give(struct writer *w, const char *from, const char *to)
{
	if (renameat(w->options.fd, from, w->options.fd, to) < 0) {
		int result = -errno;
		if (!is_full(result))
			w->failed = result;
		return result;
	}
	return sync_names(w);
}

int writer_create(struct writer *w, const char *name)
{
	const int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
	int fd = openat(w->options.fd, name, flags, 0600);
	if (fd < 0 && is_full(-errno) && reserve_release(w) == 0)
		fd = openat(w->options.fd, name, flags, 0600);
	return fd < 0 ? -errno : fd;
}

int writer_answer(struct writer *w, int result)
{
	w->last_error = result;
	w->blocked = false;
	return result;
}

/* Term and vote. */

/* Into the slot that is not the newest, so that a torn write leaves the newest as it is. */
static int metadata_write(struct writer *w, const struct metadata *wanted)
{
	struct metadata next = *wanted;
	next.version = w->metadata.version + 1;
	unsigned slot = w->slot == 1 ? 2 : 1;
	uint8_t bytes[METADATA_SIZE];
	metadata_encode(&next, bytes);
	int result = writer_put(w, w->metadata_fd[slot], bytes, sizeof(bytes), 0);
	if (result == 0)
		result = writer_sync(w, w->metadata_fd[slot]);
	if (result == 0) {
		w->metadata = next;
		w->slot = slot;
	}
	return result;
}

static int metadata_change(struct writer *w, const struct metadata *wanted)
{
	if (w->failed)
		return w->failed;
	int result = metadata_write(w, wanted);
	w->slots_differ = true;
	return writer_answer(w, result);
}

int writer_vote(struct writer *w, uint64_t term, uint64_t vote)
{
	struct metadata m = {.term = term, .vote = vote, .promise_ms = w->metadata.promise_ms};
	return metadata_change(w, &m);
}

int writer_promise(struct writer *w, const struct disk_request *request)
{
	struct metadata m = {.term = request->vote.term,
	    .vote = request->vote.vote,
	    .promise_ms = request->vote.promise_ms};
	return metadata_change(w, &m);
}

/* A metadata file gets its name when it is whole. */
static int metadata_create(struct writer *w, unsigned slot)
{
	int fd = writer_create(w, METADATA_TMP_NAME);
	if (fd < 0)
		return fd;
	uint8_t bytes[METADATA_SIZE];
	metadata_encode(&w->metadata, bytes);
	int result = writer_put(w, fd, bytes, sizeof(bytes), 0);
	if (result == 0)
		result = writer_sync(w, fd);
	if (result == 0)
		result = writer_name_give(w, METADATA_TMP_NAME, metadata_names[slot]);
	w->metadata_fd[slot] = fd;
	return result;
}

static int metadata_open(struct writer *w, const struct directory *d)
{
	w->metadata = d->metadata;
	w->slot = d->slot ? d->slot : 1;
	for (unsigned slot = 1; slot <= 2; slot++) {
		int result = 0;
		if (d->slot_exists[slot]) {
			int fd = openat(w->options.fd, metadata_names[slot], O_RDWR | O_CLOEXEC);
			result = fd < 0 ? -errno : 0;
			w->metadata_fd[slot] = fd;
		} else {
			result = metadata_create(w, slot);
		}
		if (result < 0)
			return result;
	}
	/* What was read may be in memory only, where the one before was killed. */
	return writer_vote(w, w->metadata.term, w->metadata.vote);
}

/* Terms of the log. */

uint64_t writer_term_at(const struct writer *w, uint64_t index)
{
	if (index == 0)
		return 0;
	for (unsigned i = w->terms_n; i > 0 && index >= w->first && index <= w->last; i--)
		if (w->terms[i - 1].index <= index)
			return w->terms[i - 1].term;
	return w->has_snapshot && index == w->snapshot.index ? w->snapshot.term : 0;
}

static void log_cut(struct writer *w, uint64_t index)
{
	while (w->terms_n > 0 && w->terms[w->terms_n - 1].index >= index)
		w->terms_n--;
	w->last = index - 1;
	if (index < w->first)
		w->first = index;
}

static void log_extend(struct writer *w, uint64_t term)
{
	w->last++;
	if (w->terms_n > 0 && w->terms[w->terms_n - 1].term == term)
		return;
	w->terms = must_realloc(w->terms, (w->terms_n + 1) * sizeof(*w->terms));
	w->terms[w->terms_n++] = (struct term_run){w->last, term};
}

/* The next segment, prepared ahead. */

static void spare_drop(struct writer *w)
{
	if (w->spare_fd >= 0)
		close(w->spare_fd);
	w->spare_fd = -1;
	unlinkat(w->options.fd, SPARE_NAME, 0);
}

static int spare_begin(struct writer *w, uint64_t size)
{
	int fd = writer_create(w, SPARE_NAME);
	if (fd < 0)
		return fd;
	w->spare_fd = fd;
	w->spare_at = 0;
	w->spare_size = size;
	/* One piece of disk if there is one. Where this is not known, the zeros do it. */
	if (fallocate(fd, 0, 0, (off_t)size) < 0 && is_full(-errno))
		return -ENOSPC;
	return 0;
}

static int spare_step(struct writer *w)
{
	uint64_t left = w->spare_size - w->spare_at;
	size_t size = left < STEP_BYTES ? (size_t)left : STEP_BYTES;
	int result = write_once(w, w->spare_fd, zeros, size, w->spare_at);
	if (result == 0)
		result = w->options.files->sync(w->options.files->data, w->spare_fd);
	w->spare_at += size;
	return result;
}

static int spare_make(struct writer *w, uint64_t size)
{
	int result = w->spare_fd < 0 ? spare_begin(w, size) : 0;
	while (result == 0 && w->spare_at < w->spare_size)
		result = spare_step(w);
	if (result < 0) {
		spare_drop(w);
		if (!is_full(result))
			w->failed = result;
	}
	return result;
}

/* A spare with room for need bytes. On a full disk: from the reserve, and then a small one. */
static int spare_take(struct writer *w, uint64_t need)
{
	uint64_t size = need > w->options.segment_bytes ? need : w->options.segment_bytes;
	if (w->spare_fd >= 0 && w->spare_size < need)
		spare_drop(w);
	int result = spare_make(w, size);
	if (is_full(result) && reserve_release(w) == 0)
		result = spare_make(w, size);
	if (is_full(result))
		result = spare_make(w, (need + SMALL_SEGMENT - 1) / SMALL_SEGMENT * SMALL_SEGMENT);
	return result;
}

/* Only where a segment fits beside it. */
static bool reserve_fits(const struct writer *w)
{
	struct statvfs fs;
	uint64_t need = w->options.reserve_bytes + w->options.segment_bytes;
	return fstatvfs(w->options.fd, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize > need;
}

static int reserve_make(struct writer *w)
{
	int fd = openat(w->options.fd, RESERVE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int result = -posix_fallocate(fd, 0, (off_t)w->options.reserve_bytes);
	close(fd);
	if (result < 0)
		unlinkat(w->options.fd, RESERVE_NAME, 0);
	w->has_reserve = result == 0;
	w->short_of_space = result < 0;
	return result;
}

bool writer_prepare(struct writer *w)
{
	if (w->failed || w->blocked)
		return false;
	int result;
	/* So that a vote is not forgotten when one of the two is damaged later on. */
	if (w->slots_differ) {
		w->slots_differ = false;
		metadata_write(w, &w->metadata);
		return !w->failed;
	}
	bool fits = !w->has_reserve && reserve_fits(w);
	w->short_of_space = !w->has_reserve && !fits;
	if (fits)
		result = reserve_make(w);
	else if (w->spare_fd < 0)
		result = spare_begin(w, w->options.segment_bytes);
	else if (w->spare_at < w->spare_size)
		result = spare_step(w);
	else
		return false;
	/* No harm done yet: the request that needs it will try, and say so. */
	if (result < 0) {
		w->blocked = true;
		spare_drop(w);
	}
	return result == 0;
}

bool writer_behind(const struct writer *w)
{
	if (w->failed || w->blocked || w->fd < 0)
		return false;
	return (w->spare_fd < 0 ? 0 : w->spare_at) < 2 * w->at &&
	       !(w->spare_fd >= 0 && w->spare_at == w->spare_size);
}

/* Appending. */

static void segment_add(struct writer *w, struct live_segment segment)
{
	w->segments = must_realloc(w->segments, (w->segments_n + 1) * sizeof(segment));
	w->segments[w->segments_n++] = segment;
	w->next_sequence = segment.sequence + 1;
}

/* What comes after the last batch of a segment is not needed once there is a next one. */
static void segment_seal(struct writer *w)
{
	if (w->fd < 0)
		return;
	if (ftruncate(w->fd, (off_t)w->at) == 0)
		w->segments[w->segments_n - 1].size = w->at;
	close(w->fd);
	w->fd = -1;
}

static uint32_t batch_fill(struct writer *w, size_t begin, uint32_t chain,
    const struct disk_request *const *requests, unsigned n)
{
	struct segment_batch batch = {.mark = w->mark, .previous = chain};
	batch.index = requests[0]->append.index;
	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < requests[i]->append.n; k++)
			segment_batch_add(&w->batch, &requests[i]->append.entries[k]);
		batch.count += requests[i]->append.n;
	}
	return segment_batch_end(&w->batch, begin, &batch);
}

/* Begin a segment with a batch. It gets its name when both are durable, so that a crash
 * leaves either all of the log as it was, or all of it as it is to be. */
static int append_new(
    struct writer *w, const struct disk_request *const *requests, unsigned n, uint64_t batch_size)
{
	uint64_t index = requests[0]->append.index;
	int result = spare_take(w, SEGMENT_HEADER_SIZE + batch_size);
	if (result < 0)
		return result;
	struct segment_header header = {.sequence = w->next_sequence,
	    .start = index,
	    .previous_term = writer_term_at(w, index - 1)};
	while (header.mark == 0)
		if (getrandom(&header.mark, sizeof(header.mark), 0) != sizeof(header.mark))
			return -EIO;
	uint64_t mark = w->mark;
	w->mark = header.mark;
	w->batch.size = 0;
	uint32_t chain = segment_header_encode(&header, &w->batch);
	chain = batch_fill(w, segment_batch_begin(&w->batch), chain, requests, n);
	char name[DIRECTORY_NAME_MAX];
	directory_name(DIRECTORY_SEGMENT, header.sequence, header.start, name);
	result = writer_put(w, w->spare_fd, w->batch.data, w->batch.size, 0);
	if (result == 0)
		result = writer_sync(w, w->spare_fd);
	if (result == 0)
		result = writer_name_give(w, SPARE_NAME, name);
	if (result < 0) {
		w->mark = mark;
		spare_drop(w);
		return result;
	}
	segment_seal(w);
	w->fd = w->spare_fd;
	w->spare_fd = -1;
	w->at = w->batch.size;
	w->size = w->spare_size;
	w->chain = chain;
	segment_add(w, (struct live_segment){header.sequence, index, index - 1, w->size});
	return 0;
}

/* A write that stopped half way must not stay: a later segment would make it look like damage. */
static void batch_clear(struct writer *w)
{
	for (size_t done = 0; done < w->batch.size && !w->failed; done += STEP_BYTES) {
		size_t left = w->batch.size - done;
		size_t size = left < STEP_BYTES ? left : STEP_BYTES;
		int result = write_once(w, w->fd, zeros, size, w->at + done);
		if (result < 0)
			w->failed = result;
	}
	if (!w->failed)
		writer_sync(w, w->fd);
}

static int append_here(struct writer *w, const struct disk_request *const *requests, unsigned n)
{
	w->batch.size = 0;
	uint32_t chain = batch_fill(w, segment_batch_begin(&w->batch), w->chain, requests, n);
	int result = writer_put(w, w->fd, w->batch.data, w->batch.size, w->at);
	if (result < 0) {
		batch_clear(w);
		return result;
	}
	result = writer_sync(w, w->fd);
	if (result < 0)
		return result;
	w->at += w->batch.size;
	w->chain = chain;
	return 0;
}

static uint64_t batch_size(const struct disk_request *const *requests, unsigned n)
{
	uint64_t size = SEGMENT_BATCH_SIZE;
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < requests[i]->append.n; k++)
			size += segment_entry_size(&requests[i]->append.entries[k]);
	return size;
}

/* What could not be read again must not be written. */
static bool types_known(const struct disk_request *const *requests, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < requests[i]->append.n; k++) {
			enum disk_entry_type type = requests[i]->append.entries[k].type;
			if (type < DISK_COMMAND || type > DISK_CHANGE)
				return false;
		}
	return true;
}

int writer_append(struct writer *w, const struct disk_request *const *requests, unsigned n)
{
	if (w->failed)
		return w->failed;
	uint64_t index = requests[0]->append.index;
	uint64_t size = batch_size(requests, n);
	/* After one that found no space, those behind it do not follow the log any more. */
	if (index > w->last + 1)
		return writer_answer(w, w->refused ? w->refused : -EINVAL);
	if (index == 0 || (w->has_snapshot && index <= w->snapshot.index))
		return writer_answer(w, -EINVAL);
	if (size > SEGMENT_BATCH_MAX)
		return writer_answer(w, -EMSGSIZE);
	if (!types_known(requests, n))
		return writer_answer(w, -EINVAL);
	int result;
	if (w->fd >= 0 && index == w->last + 1 && w->at + size <= w->size)
		result = append_here(w, requests, n);
	else
		result = append_new(w, requests, n, size);
	w->refused = result;
	if (result < 0)
		return writer_answer(w, result);
	if (w->batch.capacity > BATCH_KEPT)
		buffer_close(&w->batch);
	log_cut(w, index);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < requests[i]->append.n; k++)
			log_extend(w, requests[i]->append.entries[k].term);
	w->segments[w->segments_n - 1].last = w->last;
	return writer_answer(w, 0);
}

/* Opening. */

static int segments_open(struct writer *w, const struct directory *d)
{
	w->next_sequence = d->has_snapshot ? d->snapshot.sequence : 1;
	const struct directory_segment *last = NULL;
	for (unsigned i = 0; i < d->segments_n; i++) {
		const struct directory_segment *s = &d->segments[i];
		if (s->stale)
			continue;
		segment_add(
		    w, (struct live_segment){s->sequence, s->start, s->end.next - 1, s->size});
		last = s;
	}
	if (!last)
		return 0;
	w->fd = openat(w->options.fd, last->name, O_RDWR | O_CLOEXEC);
	if (w->fd < 0)
		return -errno;
	w->at = last->end.at;
	w->size = last->size;
	w->mark = last->header.mark;
	w->chain = last->end.chain;
	/* The last batch may be in memory only: its writer was killed before the sync, or was
	 * told that the sync failed. Written again it is as durable as any other. */
	uint64_t from = last->batches > 1 ? last->end.last_batch : 0;
	int result = writer_put(w, w->fd, last->bytes + from, w->at - from, from);
	for (uint64_t at = w->at; at < last->torn_to && result == 0; at += STEP_BYTES) {
		uint64_t left = last->torn_to - at;
		result = writer_put(w, w->fd, zeros, left < STEP_BYTES ? left : STEP_BYTES, at);
	}
	return result < 0 ? result : writer_sync(w, w->fd);
}

static void log_open(struct writer *w, const struct directory *d)
{
	w->first = d->n > 0 ? d->first : d->last + 1;
	w->last = w->first - 1;
	for (unsigned i = 0; i < d->n; i++)
		log_extend(w, d->entries[i].term);
	assert(w->last == d->last);
}

static void leftovers_remove(struct writer *w, const struct directory *d)
{
	for (unsigned i = 0; i < d->snapshots_n; i++)
		if (strcmp(d->snapshots[i].name, d->snapshot_name) == 0)
			w->snapshot = d->snapshots[i];
	w->has_snapshot = d->has_snapshot;
	w->snapshot_bytes = w->snapshot.file_size;
	writer_sweep(w, NULL, NULL, w->segments_n > 0 ? w->segments[0].sequence : w->next_sequence);
	spare_drop(w);
	struct stat st;
	w->has_reserve = fstatat(w->options.fd, RESERVE_NAME, &st, 0) == 0 &&
			 (uint64_t)st.st_size == w->options.reserve_bytes;
	w->short_of_space = !w->has_reserve && !reserve_fits(w);
}

int writer_open(struct writer **writer, const struct writer_options *options,
    const struct directory *d, struct err *err)
{
	struct writer *w = must_alloc(sizeof(*w));
	w->options = *options;
	w->fd = w->spare_fd = w->metadata_fd[1] = w->metadata_fd[2] = w->taking.fd = -1;
	*writer = w;
	int result = segments_open(w, d);
	if (result == 0) {
		leftovers_remove(w, d);
		log_open(w, d);
		result = metadata_open(w, d);
	}
	if (result == 0)
		result = sync_names(w);
	if (result < 0) {
		writer_close(w);
		*writer = NULL;
		return err_set(err, result, "write to the data directory: %s", strerror(-result));
	}
	return 0;
}

void writer_close(struct writer *w)
{
	const int fds[] = {w->fd, w->spare_fd, w->metadata_fd[1], w->metadata_fd[2], w->taking.fd};
	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	buffer_close(&w->batch);
	free(w->segments);
	free(w->terms);
	free(w);
}

void writer_status(const struct writer *w, struct writer_status *status)
{
	*status = (struct writer_status){.segments = w->segments_n, .last_error = w->last_error};
	if (w->failed)
		status->last_error = w->failed;
	else if (w->short_of_space && !w->last_error)
		status->last_error = -ENOSPC;
	status->bytes = w->snapshot_bytes + (uint64_t)2 * METADATA_SIZE;
	for (unsigned i = 0; i < w->segments_n; i++)
		status->bytes += w->segments[i].size;
	if (w->spare_fd >= 0)
		status->bytes += w->spare_size;
	if (w->has_reserve)
		status->bytes += w->options.reserve_bytes;
}
