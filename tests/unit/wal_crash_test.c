/* The write-ahead log and everything that can go wrong below it: a crash at any moment,
 * a write torn at any byte, a writer that is killed, a disk that fails or is full. */
#include "tests/unit/wal_bench.h"
#include "tests/unit/wal_model.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "raft/directory.h"
#include "raft/inspect.h"
#include "raft/writer.h"

static ssize_t plain_write(int fd, const void *bytes, size_t size, uint64_t offset)
{
	ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
	return n < 0 ? -errno : n;
}

/* A disk that keeps writes in memory until they are synced, and loses power at a certain
 * write or sync: then what was not synced is lost, but for some sectors of it. */

#define SECTOR	      512
#define UNSYNCED_MAX  64
#define UNSYNCED_SIZE (256 << 10)

struct unsynced {
	int fd; /* our own */
	ino_t inode;
	uint64_t offset;
	size_t size;
	uint8_t *bytes;
};

struct power {
	unsigned lasts; /* so many more writes and syncs */
	bool lost;
	uint64_t seed;
	struct unsynced unsynced[UNSYNCED_MAX];
	unsigned n;
};

static ino_t inode_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void unsynced_drop(struct power *p, unsigned i)
{
	close(p->unsynced[i].fd);
	free(p->unsynced[i].bytes);
	p->unsynced[i] = p->unsynced[--p->n];
}

static void unsynced_some_sectors(struct power *p, const struct unsynced *u)
{
	for (uint64_t at = u->offset; at < u->offset + u->size;) {
		uint64_t end = (at / SECTOR + 1) * SECTOR;
		if (end > u->offset + u->size)
			end = u->offset + u->size;
		p->seed = p->seed * 6364136223846793005ull + 1442695040888963407ull;
		if (p->seed >> 63)
			plain_write(u->fd, u->bytes + (at - u->offset), end - at, at);
		at = end;
	}
}

static bool power_fails(struct power *p)
{
	if (!p->lost && p->lasts > 0) {
		p->lasts--;
		return false;
	}
	p->lost = true;
	while (p->n > 0) {
		unsynced_some_sectors(p, &p->unsynced[0]);
		unsynced_drop(p, 0);
	}
	return true;
}

static ssize_t power_write(void *data, int fd, const void *bytes, size_t size, uint64_t offset)
{
	struct power *p = data;
	if (p->n == UNSYNCED_MAX)
		return -EIO;
	if (!p->lost) {
		struct unsynced *u = &p->unsynced[p->n++];
		*u = (struct unsynced){dup(fd), inode_of(fd), offset, size, must_alloc(size)};
		memcpy(u->bytes, bytes, size);
	}
	return power_fails(p) ? -EIO : (ssize_t)size;
}

static int power_sync(void *data, int fd)
{
	struct power *p = data;
	if (power_fails(p))
		return -EIO;
	ino_t inode = inode_of(fd);
	for (unsigned i = 0; i < p->n;) {
		struct unsynced *u = &p->unsynced[i];
		bool same = u->inode == inode;
		if (same)
			plain_write(u->fd, u->bytes, u->size, u->offset);
		/* The order within a file stays. */
		if (same) {
			close(u->fd);
			free(u->bytes);
			memmove(u, u + 1, (--p->n - i) * sizeof(*u));
		} else {
			i++;
		}
	}
	return 0;
}

/* A member that lives on such a disk, again and again. */
struct story {
	struct bench bench;
	struct power power;
	struct wal_files files;
	struct model *now, *before;
	bool unsure; /* the last request was not answered: it may have been done or not */
};

static void story_open(struct story *s)
{
	struct bench *b = &s->bench;
	struct err err = {0};
	if (wal_open(&b->wal, &b->options, &b->state, &err) < 0) {
		if (!s->power.lost)
			fail_msg("%s", err.text);
		return;
	}
	bool before = s->unsure && model_is(s->before, &b->state);
	if (!before && !model_is(s->now, &b->state))
		fail_msg("seed %llu", (unsigned long long)s->now->seed);
	if (before)
		*s->now = *s->before;
	s->unsure = false;
}

/* Open, do requests until the power is lost or there were enough. Returns whether it was lost. */
static bool story_live(struct story *s, unsigned lasts)
{
	s->power.lasts = lasts;
	s->power.lost = false;
	story_open(s);
	for (unsigned i = 0; i < 40 && s->bench.wal && !s->unsure; i++) {
		*s->before = *s->now;
		s->unsure = model_step(s->now, &s->bench) < 0;
	}
	bool lost = s->unsure || !s->bench.wal;
	if (s->bench.wal)
		bench_shut(&s->bench);
	s->power.lost = true;
	power_fails(&s->power);
	return lost;
}

/* The same first life each time, with the power lost one write or sync later, and three more. */
static bool story_of(uint64_t seed, unsigned lasts)
{
	struct story s = {.now = model_new(seed), .before = model_new(seed)};
	s.power.seed = seed * 77 + lasts;
	s.files = (struct wal_files){.data = &s.power, .write = power_write, .sync = power_sync};
	bench_init(&s.bench);
	s.bench.options.data = &s.bench;
	s.bench.options.files = &s.files;
	bool lost = story_live(&s, lasts);
	for (unsigned life = 0; life < 3; life++)
		story_live(&s, (unsigned)(s.power.seed >> 40) % 30);
	s.power.lasts = UINT32_MAX;
	s.power.lost = false;
	story_open(&s);
	assert_non_null(s.bench.wal);
	bench_close(&s.bench);
	s.power.lost = true;
	power_fails(&s.power);
	free(s.before);
	free(s.now);
	return lost;
}

static void power_lost_at_any_write_or_sync_loses_nothing_answered(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		for (unsigned lasts = 0; story_of(seed, lasts); lasts++)
			assert_true(lasts < 2000);
}

/* A snapshot in pieces, with appends between them. */

#define LARGE (2u << 20 | 5000)

struct beside {
	char directory[64];
	int fd;
	struct power power;
	struct wal_files files;
	struct writer *writer;
	uint8_t *data;
	uint64_t last; /* what was answered */
	enum { BESIDE_NOT_BEGUN, BESIDE_UNDER_WAY, BESIDE_ANSWERED } snapshot;
};

static int beside_append(struct beside *b)
{
	enum { N = 3 };
	struct disk_entry entries[N];
	struct disk_request request = {
	    .type = DISK_APPEND, .append = {.index = b->last + 1, .entries = entries, .n = N}};
	const struct disk_request *requests[] = {&request};
	for (unsigned i = 0; i < N; i++)
		entries[i] = entry_make(b->last + 1 + i, 1);
	int result = writer_append(b->writer, requests, 1);
	b->last += result == 0 ? N : 0;
	for (unsigned i = 0; i < N; i++)
		free((uint8_t *)entries[i].data);
	return result;
}

static int beside_snapshot(struct beside *b)
{
	struct disk_request request = {.type = DISK_SNAPSHOT,
	    .snapshot = {.keep_from = 11,
		.snapshot = {.index = 15,
		    .term = 1,
		    .configuration_index = 1,
		    .configuration = configuration,
		    .configuration_size = sizeof(configuration),
		    .data = b->data,
		    .size = LARGE}}};
	b->snapshot = BESIDE_UNDER_WAY;
	int result = writer_snapshot_begin(b->writer, &request);
	while (result > 0) {
		result = beside_append(b);
		if (result == 0)
			result = writer_snapshot_step(b->writer);
	}
	b->snapshot = result == 0 ? BESIDE_ANSWERED : BESIDE_UNDER_WAY;
	return result;
}

static int beside_live(struct beside *b)
{
	struct directory d;
	struct err err;
	struct writer_options options = {.fd = b->fd,
	    .segment_bytes = SMALL_SEGMENT,
	    .reserve_bytes = SMALL_RESERVE,
	    .files = &b->files};
	assert_int_equal(directory_read(&d, b->fd, &err), 0);
	int result = writer_open(&b->writer, &options, &d, &err);
	directory_close(&d);
	if (result < 0)
		return result;
	while (result == 0 && b->last < 21)
		result = beside_append(b);
	if (result == 0)
		result = beside_snapshot(b);
	if (result == 0)
		result = beside_append(b);
	writer_close(b->writer);
	return result;
}

static void beside_check(const struct beside *b)
{
	struct directory d;
	struct err err;
	assert_int_equal(directory_read(&d, b->fd, &err), 0);
	const struct finding *problem = directory_problem(&d);
	if (problem)
		fail_msg("%s: %s", problem->file, problem->text);
	assert_true(d.last == b->last || d.last == b->last + 3);
	if (b->snapshot != BESIDE_UNDER_WAY)
		assert_int_equal(d.has_snapshot, b->snapshot == BESIDE_ANSWERED);
	if (d.has_snapshot) {
		assert_int_equal(d.snapshot.snapshot.size, LARGE);
		assert_memory_equal(d.snapshot.snapshot.data, b->data, LARGE);
	}
	assert_int_equal(d.n > 0 ? d.first : 1, d.has_snapshot ? 11 : 1);
	for (unsigned i = 0; i < d.n; i++)
		assert_true(entry_is(&d.entries[i], d.first + i, 1));
	directory_close(&d);
}

/* Returns whether power was lost on the way. */
static bool beside_of(uint8_t *data, unsigned lasts)
{
	struct beside b = {.data = data, .power = {.lasts = lasts, .seed = lasts}};
	b.files = (struct wal_files){.data = &b.power, .write = power_write, .sync = power_sync};
	snprintf(b.directory, sizeof(b.directory), "/tmp/wal-test-XXXXXX");
	assert_non_null(mkdtemp(b.directory));
	b.fd = open(b.directory, O_RDONLY | O_DIRECTORY);
	bool lost = beside_live(&b) < 0;
	b.power.lost = true;
	power_fails(&b.power);
	beside_check(&b);
	close(b.fd);
	directory_remove(b.directory);
	return lost;
}

static void power_lost_while_a_snapshot_is_written_loses_nothing_answered(void **state)
{
	uint8_t *data = must_alloc(LARGE);
	entry_fill(data, LARGE, 15, 1);
	unsigned lasts = 0;
	while (beside_of(data, lasts))
		lasts++;
	assert_true(lasts > 30);
	free(data);
}

/* A write torn at any byte. */

enum tear { TEAR_ZERO, TEAR_GARBAGE, TEAR_CUT, TEARS };

static void tear_apply(struct buffer *bytes, size_t from, size_t to, enum tear tear)
{
	switch (tear) {
	case TEAR_ZERO:
		memset(bytes->data + from, 0, to - from);
		break;
	case TEAR_GARBAGE:
		entry_fill(bytes->data + from, (uint32_t)(to - from), from, to);
		break;
	default:
		bytes->size = from;
	}
}

static void tear_check(struct bench *b, const char *segment, uint64_t answered, uint64_t last)
{
	struct directory d;
	struct err err = {0};
	int fd = open(b->directory, O_RDONLY | O_DIRECTORY);
	assert_int_equal(directory_read(&d, fd, &err), 0);
	const struct finding *problem = directory_problem(&d);
	if (problem)
		fail_msg("%s: %llu: %s", problem->file, (unsigned long long)problem->offset,
		    problem->text);
	assert_true(d.last == answered || d.last == last);
	for (unsigned i = 0; i < d.n; i++)
		assert_true(entry_is(&d.entries[i], i + 1, 1));
	directory_close(&d);
	close(fd);
}

static bool tail_is_clean(const struct bench *b)
{
	struct inspect *in;
	struct inspect_status status;
	assert_int_equal(inspect_open(&in, b->directory, NULL), 0);
	inspect_status(in, &status);
	inspect_close(in);
	return status.problems == 0 && !status.torn_file[0];
}

static void a_write_torn_at_any_byte_is_cut_off(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	uint64_t last = 3;
	assert_int_equal(append(&b, 1, 3, 1), 0);
	for (unsigned n = 1; n <= 3; n++) {
		assert_int_equal(append(&b, last + 1, n, 1), 0);
		char path[512];
		snprintf(path, sizeof(path), "%s", path_of(&b, file_named(&b, "segment-", 0)));
		struct buffer whole = file_get(path);
		struct directory d;
		int fd = open(b.directory, O_RDONLY | O_DIRECTORY);
		assert_int_equal(directory_read(&d, fd, NULL), 0);
		size_t from = d.segments[0].end.last_batch, to = d.segments[0].end.at;
		directory_close(&d);
		close(fd);
		bench_shut(&b);
		for (enum tear tear = 0; tear < TEARS; tear++) {
			for (size_t at = from; at <= to; at++) {
				struct buffer torn = {0};
				buffer_append(&torn, whole.data, whole.size);
				tear_apply(&torn, at, to, tear);
				file_put(path, torn.data, torn.size);
				buffer_close(&torn);
				tear_check(&b, path, last, last + n);
				if (at % 16 != 5)
					continue;
				/* And it can be gone on from there. */
				bench_open(&b);
				uint64_t end = b.state.n;
				assert_true(tail_is_clean(&b));
				assert_int_equal(append(&b, end + 1, 2, 1), 0);
				bench_reopen(&b);
				assert_int_equal(b.state.n, end + 2);
				bench_shut(&b);
				unlink(path_of(&b, file_named(&b, "segment-", 1)));
			}
		}
		file_put(path, whole.data, whole.size);
		buffer_close(&whole);
		bench_open(&b);
		last += n;
		assert_int_equal(b.state.n, last);
	}
	bench_close(&b);
}

/* A writer that is killed. */

#define IN_FLIGHT 8

struct killed {
	struct bench bench;
	int pipe; /* the last index of each append that was answered goes in here */
	uint64_t last, term;
	struct disk_request requests[IN_FLIGHT];
	struct disk_entry entries[IN_FLIGHT][3];
	struct buffer snapshots[IN_FLIGHT];
};

static void killed_answered(void *data, uint64_t ticket, int status)
{
	struct killed *k = data;
	const struct disk_request *r = &k->requests[ticket % IN_FLIGHT];
	if (status != 0 || ticket != ++k->bench.answered)
		_exit(1);
	if (r->type == DISK_SNAPSHOT) {
		buffer_close(&k->snapshots[ticket % IN_FLIGHT]);
		return;
	}
	uint64_t index = r->append.index + r->append.n - 1;
	if (write(k->pipe, &index, sizeof(index)) != sizeof(index))
		_exit(1);
	for (unsigned i = 0; i < r->append.n; i++)
		free((uint8_t *)r->append.entries[i].data);
}

static void killed_submit(struct killed *k)
{
	uint64_t ticket = k->bench.ticket + 1;
	struct disk_request *r = &k->requests[ticket % IN_FLIGHT];
	struct disk_entry *entries = k->entries[ticket % IN_FLIGHT];
	if (ticket % 50 == 0) {
		*r = snapshot_request(k->last, k->term, &k->snapshots[ticket % IN_FLIGHT]);
		r->snapshot.keep_from = k->last - 20;
	} else {
		unsigned n = 1 + (unsigned)(ticket % 3);
		for (unsigned i = 0; i < n; i++)
			entries[i] = entry_make(k->last + 1 + i, k->term);
		*r = (struct disk_request){
		    .type = DISK_APPEND,
		    .append = {.index = k->last + 1, .entries = entries, .n = n},
		};
		k->last += n;
	}
	bench_submit(&k->bench, r);
}

static uint64_t state_last(const struct disk_state *state)
{
	return state->n > 0 ? state->first + state->n - 1 : state->snapshot.index;
}

/* In the child: append until killed, several at a time. */
static void killed_run(struct killed *k)
{
	struct bench *b = &k->bench;
	if (wal_open(&b->wal, &b->options, &b->state, NULL) < 0)
		_exit(1);
	k->last = state_last(&b->state);
	wal_forget_state(b->wal);
	for (;;) {
		while (b->ticket - b->answered < IN_FLIGHT - 1)
			killed_submit(k);
		sem_wait(&b->ready);
		wal_collect(b->wal, killed_answered, k);
	}
}

/* Let a child append until so many were answered, kill it; returns the last index answered. */
static uint64_t killed_after(struct bench *b, uint64_t term, unsigned answers)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct killed *k = must_alloc(sizeof(*k));
		k->bench = *b;
		k->bench.options.data = &k->bench;
		k->pipe = ends[1];
		k->term = term;
		killed_run(k);
	}
	close(ends[1]);
	uint64_t index, last = 0;
	for (unsigned i = 0; read(ends[0], &index, sizeof(index)) == sizeof(index); i++) {
		last = index;
		if (i == answers)
			kill(pid, SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(ends[0]);
	return last;
}

static void a_writer_killed_again_and_again_has_all_it_answered(void **state)
{
	struct bench b;
	bench_init(&b);
	for (unsigned round = 1; round <= 30; round++) {
		uint64_t answered = killed_after(&b, round, round * 37 % 200);
		bench_open(&b);
		assert_true(state_last(&b.state) >= answered);
		assert_true(b.state.n > 0 && answered > 0);
		for (unsigned i = 0; i < b.state.n; i++) {
			const struct disk_entry *entry = &b.state.entries[i];
			assert_true(entry_is(entry, b.state.first + i, entry->term));
		}
		if (b.state.has_snapshot)
			assert_true(
			    snapshot_is(&b.state, b.state.snapshot.index, b.state.snapshot.term));
		bench_shut(&b);
	}
	bench_close(&b);
}

/* A disk that fails. */

struct bad_disk {
	atomic_int writes_fail; /* so many of the next ones, */
	atomic_int syncs_fail;
	atomic_int error; /* with this, after half was written */
	ino_t inode; /* of the one file that fails */
	atomic_int writes, syncs; /* of it, so far */
};

static bool use_up(atomic_int *count)
{
	if (*count <= 0)
		return false;
	--*count;
	return true;
}

static ssize_t bad_write(void *data, int fd, const void *bytes, size_t size, uint64_t offset)
{
	struct bad_disk *bad = data;
	if (inode_of(fd) != bad->inode)
		return plain_write(fd, bytes, size, offset);
	bad->writes++;
	if (!use_up(&bad->writes_fail))
		return plain_write(fd, bytes, size, offset);
	plain_write(fd, bytes, size / 2, offset);
	return bad->error;
}

static int bad_sync(void *data, int fd)
{
	struct bad_disk *bad = data;
	if (inode_of(fd) != bad->inode)
		return 0;
	bad->syncs++;
	return use_up(&bad->syncs_fail) ? bad->error : 0;
}

/* One that has three entries, and fails only where they are. */
static void bad_init(struct bench *b, struct bad_disk *bad, struct wal_files *files)
{
	*bad = (struct bad_disk){0};
	*files = (struct wal_files){.data = bad, .write = bad_write, .sync = bad_sync};
	bench_init(b);
	b->options.files = files;
	bench_open(b);
	assert_int_equal(append(b, 1, 3, 1), 0);
	bench_shut(b);
	struct stat st;
	assert_int_equal(stat(path_of(b, file_named(b, "segment-", 0)), &st), 0);
	bad->inode = st.st_ino;
	bench_open(b);
}

static int last_error(const struct bench *b)
{
	struct wal_status status;
	wal_status(b->wal, &status);
	return status.last_error;
}

static void after_a_failed_sync_nothing_is_answered_until_it_is_opened_again(void **state)
{
	struct bench b;
	struct bad_disk bad;
	struct wal_files files;
	bad_init(&b, &bad, &files);
	bad.error = -EIO;
	bad.syncs_fail = 1;
	assert_int_equal(append(&b, 4, 1, 1), -EIO);
	assert_int_equal(append(&b, 4, 1, 1), -EIO);
	assert_int_equal(append(&b, 5, 1, 1), -EIO);
	assert_int_equal(vote(&b, 9, 9), -EIO);
	assert_int_equal(snapshot_take(&b, 2, 1, 1), -EIO);
	assert_int_equal(last_error(&b), -EIO);
	bad.writes = bad.syncs = 0;
	bench_reopen(&b);
	/* What is read back may only be in memory: it is written and synced again. */
	assert_int_equal(bad.writes, 1);
	assert_int_equal(bad.syncs, 1);
	assert_int_equal(b.state.term, 0);
	assert_false(b.state.has_snapshot);
	assert_true(b.state.n == 3 || b.state.n == 4);
	assert_int_equal(append(&b, b.state.n + 1, 1, 1), 0);
	assert_int_equal(vote(&b, 9, 9), 0);
	bench_close(&b);
}

static void after_a_failed_write_nothing_is_answered_until_it_is_opened_again(void **state)
{
	struct bench b;
	struct bad_disk bad;
	struct wal_files files;
	bad_init(&b, &bad, &files);
	bad.error = -EIO;
	bad.writes_fail = 1;
	assert_int_equal(append(&b, 4, 2, 1), -EIO);
	assert_int_equal(vote(&b, 9, 9), -EIO);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 3);
	assert_int_equal(append(&b, 4, 1, 1), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 4);
	bench_close(&b);
}

static void a_write_without_space_leaves_no_trace(void **state)
{
	struct bench b;
	struct bad_disk bad;
	struct wal_files files;
	bad_init(&b, &bad, &files);
	while (files_count(&b, "reserve") == 0)
		sched_yield();
	bad.error = -ENOSPC;
	bad.writes_fail = 2; /* once with the reserve, once without */
	assert_int_equal(append(&b, 4, 5, 1), -ENOSPC);
	assert_int_equal(append(&b, 9, 1, 1), -ENOSPC);
	assert_true(tail_is_clean(&b));
	assert_int_equal(vote(&b, 2, 9), 0);
	assert_int_equal(append(&b, 4, 1, 1), 0);
	assert_int_equal(append(&b, 2, 1, 2), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 2);
	assert_int_equal(b.state.term, 2);
	assert_true(entry_is(&b.state.entries[1], 2, 2));
	bench_close(&b);
}

/* A disk that is full. */

static void fill(const char *path)
{
	uint8_t part[4096] = {1};
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	assert_true(fd >= 0);
	while (write(fd, part, sizeof(part)) > 0)
		;
	close(fd);
}

static bool error_becomes(const struct bench *b, int error)
{
	for (unsigned i = 0; i < 2000; i++) {
		if (last_error(b) == error)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	return false;
}

/* Append until there is no space; returns the last index that was answered with 0. */
static uint64_t append_until_full(struct bench *b, uint64_t last)
{
	for (;;) {
		int status = append(b, last + 1, 8, 1);
		if (status == -ENOSPC)
			return last;
		assert_int_equal(status, 0);
		last += 8;
		assert_true(last < 100000);
	}
}

static void a_full_disk_takes_votes_and_goes_on_when_there_is_space(void **state)
{
	struct bench b;
	bench_init(&b);
	if (mount("tmpfs", b.directory, "tmpfs", 0, "size=1m") < 0) {
		print_message("skipped: mount of a tmpfs: %s\n", strerror(errno));
		bench_close(&b);
		skip();
	}
	bench_open(&b);
	assert_int_equal(append(&b, 1, 8, 1), 0);
	while (files_count(&b, "reserve") == 0 || files_count(&b, "spare") == 0)
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	assert_true(error_becomes(&b, 0));
	fill(path_of(&b, "filler"));
	uint64_t last = append_until_full(&b, 8);
	/* More than what the open segment and the spare had room for. */
	assert_int_equal(files_count(&b, "reserve"), 0);
	assert_int_equal(last_error(&b), -ENOSPC);
	assert_int_equal(vote(&b, 5, 2), 0);
	assert_int_equal(vote(&b, 6, 3), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.term, 6);
	assert_int_equal(b.state.n, last);
	wal_forget_state(b.wal);
	last = append_until_full(&b, last);
	unlink(path_of(&b, "filler"));
	assert_int_equal(append(&b, last + 1, 8, 1), 0);
	assert_true(error_becomes(&b, 0));
	assert_int_equal(files_count(&b, "reserve"), 1);
	bench_reopen(&b);
	assert_int_equal(b.state.n, last + 8);
	for (unsigned i = 0; i < b.state.n; i++)
		assert_true(entry_is(&b.state.entries[i], i + 1, 1));
	wal_close(b.wal);
	b.wal = NULL;
	assert_int_equal(umount(b.directory), 0);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(power_lost_at_any_write_or_sync_loses_nothing_answered),
	    cmocka_unit_test(power_lost_while_a_snapshot_is_written_loses_nothing_answered),
	    cmocka_unit_test(a_write_torn_at_any_byte_is_cut_off),
	    cmocka_unit_test(a_writer_killed_again_and_again_has_all_it_answered),
	    cmocka_unit_test(after_a_failed_sync_nothing_is_answered_until_it_is_opened_again),
	    cmocka_unit_test(after_a_failed_write_nothing_is_answered_until_it_is_opened_again),
	    cmocka_unit_test(a_write_without_space_leaves_no_trace),
	    cmocka_unit_test(a_full_disk_takes_votes_and_goes_on_when_there_is_space),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
