#include "raft/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "raft/clock.h"
#include "raft/directory.h"
#include "raft/writer.h"

#define GROUP_BYTES (1u << 20) /* appends that go into one batch */
#define GROUP_MAX   256
#define TIMES_MAX   1024
#define ASIDE_MAX   10000
#define SPACE_MS    5000 /* between two looks at what is free */
#define PLACE_MS    1000 /* and at whether the directory is still where it was */

struct waiting {
	struct disk_request request;
	uint64_t since_ms;
};

struct answered {
	uint64_t ticket;
	int status;
};

/* What both threads touch, under the lock. */
struct shared {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool closing;
	struct waiting *queue; /* a ring: count from head on */
	unsigned head, count, capacity;
	struct answered *answers;
	unsigned answers_n, answers_capacity;
	uint32_t times_us[TIMES_MAX]; /* the last so many writes, as a ring */
	uint64_t times_n;
	struct writer_status writer;
	uint64_t free_bytes, free_ms; /* of the disk, and when that was looked up */
};

struct wal {
	int fd, lock_fd;
	char *lock_path; /* owned */
	struct wal_options options;
	struct directory loaded; /* what state points into; until wal_forget_state() */
	/* The thread's alone. */
	struct writer *writer;
	uint64_t space_ms; /* when it last looked for what is free */
	struct disk_request taken; /* a snapshot that is written between the others */
	enum { WAL_TAKES_NOTHING, WAL_TAKES_SNAPSHOT } takes;
	uint64_t place_ms; /* and at the directory's place */
	bool removed; /* from there: the thread's, too */
	struct shared *shared;
	pthread_t thread;
	bool has_thread;
};

static ssize_t system_write(void *data, int fd, const void *bytes, size_t size, uint64_t offset)
{
	ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
	return n < 0 ? -errno : n;
}

static int system_sync(void *data, int fd)
{
	/* Of a directory, fdatasync() may leave out the names. Not by fstat(): a file that is
	 * looked at gets new times with the next write, and they cost a third of what the write
	 * does. */
	int flags = fcntl(fd, F_GETFL);
	int result = flags < 0 ? -1 : flags & O_DIRECTORY ? fsync(fd) : fdatasync(fd);
	return result < 0 ? -errno : 0;
}

const struct wal_files wal_system_files = {.write = system_write, .sync = system_sync};

/* For waiting, and how long something took. */
static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The writer's thread. */

static struct waiting *waiting_at(struct shared *s, unsigned i)
{
	return &s->queue[(s->head + i) % s->capacity];
}

static uint64_t request_bytes(const struct disk_request *r)
{
	uint64_t bytes = 0;
	for (unsigned i = 0; i < r->append.n; i++)
		bytes += r->append.entries[i].size;
	return bytes;
}

/* Copy what goes into the next write: one request, or appends in a row. */
static unsigned group_copy(struct shared *s, struct disk_request group[GROUP_MAX])
{
	unsigned n = 0;
	uint64_t bytes = 0;
	while (n < s->count && n < GROUP_MAX) {
		const struct disk_request *r = &waiting_at(s, n)->request;
		const struct disk_request *before = n > 0 ? &group[n - 1] : NULL;
		bool alone = r->type != DISK_APPEND;
		if (before && (alone || before->append.index + before->append.n != r->append.index))
			break;
		bytes += alone ? 0 : request_bytes(r);
		if (before && bytes > GROUP_BYTES)
			break;
		group[n++] = *r;
		if (alone)
			break;
	}
	return n;
}

/* 1: a snapshot was begun, and is not to be answered yet. */
static int group_write(struct writer *w, const struct disk_request *group, unsigned n)
{
	const struct disk_request *requests[GROUP_MAX];
	switch (group[0].type) {
	case DISK_VOTE:
		return writer_promise(w, &group[0]);
	case DISK_SNAPSHOT:
		return writer_snapshot_begin(w, &group[0]);
	case DISK_APPEND:
		for (unsigned i = 0; i < n; i++)
			requests[i] = &group[i];
		return writer_append(w, requests, n);
	}
	return -EINVAL;
}

static void answer(struct wal *wal, uint64_t ticket, int status)
{
	struct shared *s = wal->shared;
	if (s->answers_n == s->answers_capacity) {
		s->answers_capacity = 2 * (s->answers_n + 1);
		s->answers = must_realloc(s->answers, s->answers_capacity * sizeof(*s->answers));
	}
	s->answers[s->answers_n++] = (struct answered){ticket, status};
	writer_status(wal->writer, &s->writer);
}

static void group_drop(struct shared *s, unsigned n, uint64_t spent_us)
{
	s->head = (s->head + n) % s->capacity;
	s->count -= n;
	s->times_us[s->times_n++ % TIMES_MAX] =
	    spent_us < UINT32_MAX ? (uint32_t)spent_us : UINT32_MAX;
}

/* Without the lock: a file system that hangs may not answer, and only this thread waits then. */
static void look_for_space(struct wal *wal)
{
	struct shared *s = wal->shared;
	struct statvfs space;
	uint64_t now_ms = clock_ms();
	if (wal->space_ms && now_ms - wal->space_ms < SPACE_MS)
		return;
	wal->space_ms = now_ms;
	if (fstatvfs(wal->fd, &space) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
	s->free_ms = now_ms;
	pthread_mutex_unlock(&s->lock);
}

/* What is written into a directory that was removed can be read by nobody ever again. */
static void look_at_place(struct wal *wal)
{
	struct stat held, found;
	uint64_t now_ms = now_us() / 1000;
	if (now_ms - wal->place_ms < PLACE_MS)
		return;
	wal->place_ms = now_ms;
	if (fstat(wal->lock_fd, &held) < 0)
		return;
	if (stat(wal->lock_path, &found) < 0)
		wal->removed |= errno == ENOENT || errno == ENOTDIR;
	else
		wal->removed |= held.st_ino != found.st_ino || held.st_dev != found.st_dev;
}

static void idle(struct wal *wal)
{
	struct shared *s = wal->shared;
	pthread_mutex_unlock(&s->lock);
	bool more = writer_prepare(wal->writer);
	look_for_space(wal);
	look_at_place(wal);
	pthread_mutex_lock(&s->lock);
	writer_status(wal->writer, &s->writer);
	uint64_t wake_ms = now_us() / 1000 + PLACE_MS;
	struct timespec wake = {(time_t)(wake_ms / 1000), (long)(wake_ms % 1000) * 1000000};
	if (!more && s->count == 0 && !s->closing)
		pthread_cond_timedwait(&s->wake, &s->lock, &wake);
}

static void tell(struct wal *wal)
{
	if (wal->options.ready)
		wal->options.ready(wal->options.data);
}

/* Another snapshot, and what is behind it, waits for the one that is under way. */
static unsigned group_take(struct wal *wal, struct disk_request group[GROUP_MAX])
{
	struct shared *s = wal->shared;
	if (s->count == 0 ||
	    (wal->takes == WAL_TAKES_SNAPSHOT && waiting_at(s, 0)->request.type == DISK_SNAPSHOT))
		return 0;
	return group_copy(s, group);
}

static void turn_group(struct wal *wal, const struct disk_request *group, unsigned n)
{
	struct shared *s = wal->shared;
	uint64_t begin_us = now_us();
	int status = wal->removed ? -ESTALE : group_write(wal->writer, group, n);
	uint64_t spent_us = now_us() - begin_us;
	if (status > 0) {
		wal->taken = group[0];
		wal->takes = WAL_TAKES_SNAPSHOT;
	}
	pthread_mutex_lock(&s->lock);
	group_drop(s, n, spent_us);
	for (unsigned i = 0; i < n && status <= 0; i++)
		answer(wal, group[i].ticket, status);
	pthread_mutex_unlock(&s->lock);
	if (status <= 0)
		tell(wal);
	if (writer_behind(wal->writer))
		writer_prepare(wal->writer);
}

static void turn_snapshot(struct wal *wal)
{
	struct shared *s = wal->shared;
	int status = writer_snapshot_step(wal->writer);
	if (status > 0)
		return;
	wal->takes = WAL_TAKES_NOTHING;
	pthread_mutex_lock(&s->lock);
	answer(wal, wal->taken.ticket, status);
	pthread_mutex_unlock(&s->lock);
	tell(wal);
}

static void *writer_thread(void *data)
{
	struct wal *wal = data;
	struct shared *s = wal->shared;
	struct disk_request group[GROUP_MAX];
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->count == 0 && !s->closing && wal->takes == WAL_TAKES_NOTHING)
			idle(wal);
		if (s->count == 0 && wal->takes == WAL_TAKES_NOTHING)
			break;
		unsigned n = group_take(wal, group);
		pthread_mutex_unlock(&s->lock);
		if (n > 0)
			turn_group(wal, group, n);
		if (wal->takes == WAL_TAKES_SNAPSHOT)
			turn_snapshot(wal);
		look_for_space(wal);
		look_at_place(wal);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* The owner's side. */

static void wal_submit(void *data, const struct disk_request *request)
{
	struct wal *wal = data;
	struct shared *s = wal->shared;
	pthread_mutex_lock(&s->lock);
	if (s->count == s->capacity) {
		unsigned capacity = s->capacity ? 2 * s->capacity : 64;
		struct waiting *queue = must_alloc(capacity * sizeof(*queue));
		for (unsigned i = 0; i < s->count; i++)
			queue[i] = *waiting_at(s, i);
		free(s->queue);
		s->queue = queue;
		s->head = 0;
		s->capacity = capacity;
	}
	s->count++;
	*waiting_at(s, s->count - 1) = (struct waiting){*request, clock_ms()};
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

struct disk wal_disk(struct wal *wal)
{
	return (struct disk){.data = wal, .submit = wal_submit};
}

void wal_collect(struct wal *wal, void (*done)(void *data, uint64_t ticket, int status), void *data)
{
	struct shared *s = wal->shared;
	pthread_mutex_lock(&s->lock);
	struct answered *answers = s->answers;
	unsigned n = s->answers_n;
	s->answers = NULL;
	s->answers_n = s->answers_capacity = 0;
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		done(data, answers[i].ticket, answers[i].status);
	free(answers);
}

/* Whoever holds it may write; it goes with the process. */
static int directory_lock(int fd, int *lock_fd, struct err *err)
{
	*lock_fd = openat(fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*lock_fd < 0)
		return err_set(err, -errno, "lock: %s", strerror(errno));
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fcntl(*lock_fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	int result = errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
	close(*lock_fd);
	*lock_fd = -1;
	return err_set(err, result, "%s", result == -EBUSY ? "in use" : strerror(-result));
}

int wal_lock(const char *directory, int *fd, int *lock_fd, struct err *err)
{
	*fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return err_set(err, -errno, "%s: %s", directory, strerror(errno));
	int result = directory_lock(*fd, lock_fd, err);
	if (result < 0) {
		close(*fd);
		*fd = -1;
		return err_wrap(err, result, "%s", directory);
	}
	return 0;
}

static int wal_load(struct wal *wal, struct err *err)
{
	int result = directory_read(&wal->loaded, wal->fd, err);
	if (result < 0)
		return err_wrap(err, result, "%s", wal->options.directory);
	const struct finding *f = directory_problem(&wal->loaded);
	if (f)
		return err_set(err, -EBADMSG, "%s/%s: offset %llu: %s", wal->options.directory,
		    f->file, (unsigned long long)f->offset, f->text);
	struct writer_options options = {
	    .fd = wal->fd,
	    .segment_bytes = wal->options.segment_bytes,
	    .reserve_bytes = wal->options.reserve_bytes,
	    .files = wal->options.files,
	};
	result = writer_open(&wal->writer, &options, &wal->loaded, err);
	return result < 0 ? err_wrap(err, result, "%s", wal->options.directory) : 0;
}

static int wal_start(struct wal *wal, struct err *err)
{
	writer_status(wal->writer, &wal->shared->writer);
	int result = -pthread_create(&wal->thread, NULL, writer_thread, wal);
	wal->has_thread = result == 0;
	if (result < 0)
		return err_set(err, result, "start the writer: %s", strerror(-result));
	return 0;
}

static void state_of(const struct directory *d, struct disk_state *state)
{
	*state = (struct disk_state){
	    .term = d->metadata.term,
	    .vote = d->metadata.vote,
	    .promise_ms = d->metadata.promise_ms,
	    .has_snapshot = d->has_snapshot,
	    .snapshot = d->snapshot.snapshot,
	    .first = d->first,
	    .entries = d->entries,
	    .n = d->n,
	};
}

/* With a condition that is waited for by the clock of now_us(). */
static struct shared *shared_new(void)
{
	struct shared *s = must_alloc(sizeof(*s));
	pthread_condattr_t clock;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, &clock);
	pthread_condattr_destroy(&clock);
	return s;
}

int wal_open(
    struct wal **out, const struct wal_options *options, struct disk_state *state, struct err *err)
{
	*out = NULL;
	struct wal *wal = must_alloc(sizeof(*wal));
	wal->options = *options;
	if (!wal->options.segment_bytes)
		wal->options.segment_bytes = WAL_SEGMENT_BYTES;
	if (!wal->options.reserve_bytes)
		wal->options.reserve_bytes = WAL_RESERVE_BYTES;
	if (!wal->options.files)
		wal->options.files = &wal_system_files;
	wal->fd = wal->lock_fd = -1;
	wal->shared = shared_new();
	size_t path_size = strlen(options->directory) + sizeof("/lock");
	wal->lock_path = must_alloc(path_size);
	snprintf(wal->lock_path, path_size, "%s/lock", options->directory);
	int result = wal_lock(options->directory, &wal->fd, &wal->lock_fd, err);
	if (result == 0)
		result = wal_load(wal, err);
	if (result == 0)
		result = wal_start(wal, err);
	wal->options.directory = NULL; /* the caller's */
	if (result < 0) {
		wal_close(wal);
		return result;
	}
	state_of(&wal->loaded, state);
	*out = wal;
	return 0;
}

void wal_forget_state(struct wal *wal)
{
	directory_close(&wal->loaded);
}

void wal_close(struct wal *wal)
{
	struct shared *s = wal->shared;
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	if (wal->has_thread)
		pthread_join(wal->thread, NULL);
	if (wal->writer)
		writer_close(wal->writer);
	directory_close(&wal->loaded);
	if (wal->lock_fd >= 0)
		close(wal->lock_fd);
	if (wal->fd >= 0)
		close(wal->fd);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s->queue);
	free(s->answers);
	free(s);
	free(wal->lock_path);
	free(wal);
}

/* Setting aside. */

static int aside_create(int fd, char name[256], struct err *err)
{
	for (unsigned n = 1; n <= ASIDE_MAX; n++) {
		snprintf(name, 256, "corrupt-%u", n);
		if (mkdirat(fd, name, 0700) == 0)
			return openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (errno != EEXIST)
			break;
	}
	return err_set(err, -errno, "make %s: %s", name, strerror(errno));
}

struct aside {
	int from, to;
	int result;
};

static void aside_move(struct aside *a, const char *name)
{
	if (renameat(a->from, name, a->to, name) < 0 && errno != ENOENT && a->result == 0)
		a->result = -errno;
}

static void aside_name(void *data, const char *name)
{
	struct aside *a = data;
	uint64_t x, y;
	if (directory_name_parse(DIRECTORY_SEGMENT, name, &x, &y) == 0 ||
	    directory_name_parse(DIRECTORY_SNAPSHOT, name, &x, &y) == 0)
		aside_move(a, name);
	/* These hold nothing. */
	if (strcmp(name, "spare") == 0 || strcmp(name, "reserve") == 0 ||
	    strncmp(name, "tmp-", 4) == 0)
		unlinkat(a->from, name, 0);
}

static int aside_run(struct aside *a)
{
	/* The metadata first: a log without it is refused, it without the log would not be. */
	aside_move(a, "metadata-1");
	aside_move(a, "metadata-2");
	if (a->result == 0 && (fsync(a->to) < 0 || fsync(a->from) < 0))
		a->result = -errno;
	if (a->result < 0)
		return a->result;
	int result = directory_list(a->from, aside_name, a);
	if (a->result == 0 && (fsync(a->to) < 0 || fsync(a->from) < 0))
		a->result = -errno;
	return a->result < 0 ? a->result : result;
}

int wal_set_aside(const char *directory, char name[256], struct err *err)
{
	struct aside a = {.from = -1, .to = -1};
	int lock_fd = -1;
	name[0] = '\0';
	int result = wal_lock(directory, &a.from, &lock_fd, err);
	if (result < 0)
		return result;
	a.to = aside_create(a.from, name, err);
	result = a.to < 0 ? a.to : 0;
	if (result == 0) {
		result = aside_run(&a);
		close(a.to);
		if (result < 0)
			err_set(err, result, "set %s aside: %s", directory, strerror(-result));
	}
	close(lock_fd);
	close(a.from);
	return result;
}

static int time_order(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

void wal_status(const struct wal *wal, struct wal_status *status)
{
	struct shared *s = wal->shared;
	uint32_t times[TIMES_MAX];
	*status = (struct wal_status){0};
	pthread_mutex_lock(&s->lock);
	unsigned n = s->times_n < TIMES_MAX ? (unsigned)s->times_n : TIMES_MAX;
	memcpy(times, s->times_us, n * sizeof(*times));
	status->bytes = s->writer.bytes;
	status->segments = s->writer.segments;
	status->last_error = s->writer.last_error;
	status->free_bytes = s->free_bytes;
	status->free_ms = s->free_ms;
	status->waiting_since_ms = s->count > 0 ? waiting_at(s, 0)->since_ms : 0;
	pthread_mutex_unlock(&s->lock);
	if (n == 0)
		return;
	qsort(times, n, sizeof(*times), time_order);
	status->write_us_p50 = times[n / 2];
	status->write_us_p99 = times[(uint64_t)n * 99 / 100];
	status->write_us_max = times[n - 1];
}
