/* The write-ahead log: what was answered is there again, and nothing else. */
#include "tests/unit/wal_bench.h"
#include "tests/unit/wal_model.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "raft/directory.h"
#include "raft/inspect.h"
#include "raft/metadata.h"
#include "raft/writer.h"

static void a_new_directory_is_empty(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(b.state.term, 0);
		assert_int_equal(b.state.vote, 0);
		assert_false(b.state.has_snapshot);
		assert_int_equal(b.state.n, 0);
		bench_reopen(&b);
	}
	bench_close(&b);
}

static void term_and_vote_come_back(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	for (uint64_t term = 1; term < 8; term++) {
		assert_int_equal(vote(&b, term, term * 10), 0);
		bench_reopen(&b);
		assert_int_equal(b.state.term, term);
		assert_int_equal(b.state.vote, term * 10);
	}
	bench_close(&b);
}

static void entries_come_back(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 1, 3, 1), 0);
	assert_int_equal(append(&b, 4, 1, 2), 0);
	bench_reopen(&b);
	assert_int_equal(append(&b, 5, 100, 2), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 104);
	assert_int_equal(b.state.first, 1);
	for (unsigned i = 1; i <= 104; i++)
		assert_true(entry_is(&b.state.entries[i - 1], i, i < 4 ? 1 : 2));
	bench_close(&b);
}

static void an_append_over_older_entries_replaces_them(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 1, 10, 1), 0);
	assert_int_equal(append(&b, 4, 2, 2), 0);
	assert_int_equal(append(&b, 6, 1, 2), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 6);
	for (unsigned i = 1; i <= 6; i++)
		assert_true(entry_is(&b.state.entries[i - 1], i, i < 4 ? 1 : 2));
	assert_int_equal(append(&b, 1, 0, 3), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 0);
	assert_int_equal(append(&b, 1, 2, 3), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 2);
	assert_true(entry_is(&b.state.entries[1], 2, 3));
	bench_close(&b);
}

static void an_append_that_would_leave_a_gap_is_refused(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 2, 1, 1), -EINVAL);
	assert_int_equal(append(&b, 0, 1, 1), -EINVAL);
	assert_int_equal(append(&b, 1, 1, 1), 0);
	assert_int_equal(append(&b, 3, 1, 1), -EINVAL);
	assert_int_equal(append(&b, 2, 1, 1), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 2);
	bench_close(&b);
}

static void an_entry_larger_than_a_segment_comes_back(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 1, 1, 1), 0);
	uint32_t size = 3 << 20;
	struct disk_entry big = {.term = 2, .type = DISK_COMMAND, .size = size};
	big.data = must_alloc(size);
	entry_fill((uint8_t *)big.data, size, 2, 2);
	struct disk_request request = {
	    .type = DISK_APPEND,
	    .append = {.index = 2, .entries = &big, .n = 1},
	};
	assert_int_equal(bench_do(&b, request), 0);
	assert_int_equal(append(&b, 3, 1, 2), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, 3);
	assert_int_equal(b.state.entries[1].size, size);
	assert_memory_equal(b.state.entries[1].data, big.data, size);
	free((uint8_t *)big.data);
	bench_close(&b);
}

static void a_snapshot_taken_keeps_the_entries_asked_for(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	for (uint64_t i = 1; i <= 400; i++)
		assert_int_equal(append(&b, i, 1, 1), 0);
	unsigned before = files_count(&b, "segment-");
	assert_int_equal(snapshot_take(&b, 350, 1, 300), 0);
	assert_true(files_count(&b, "segment-") < before);
	assert_int_equal(append(&b, 401, 1, 2), 0);
	bench_reopen(&b);
	assert_true(snapshot_is(&b.state, 350, 1));
	assert_int_equal(b.state.first, 300);
	assert_int_equal(b.state.n, 102);
	for (unsigned i = 0; i < b.state.n; i++)
		assert_true(entry_is(&b.state.entries[i], 300 + i, i < 101 ? 1 : 2));
	assert_int_equal(snapshot_take(&b, 401, 2, 402), 0);
	assert_int_equal(snapshot_take(&b, 401, 2, 402), 0);
	assert_int_equal(append(&b, 402, 1, 2), 0);
	assert_int_equal(snapshot_take(&b, 402, 2, 402), 0);
	assert_int_equal(files_count(&b, "snapshot-"), 2);
	bench_reopen(&b);
	assert_true(snapshot_is(&b.state, 402, 2));
	assert_int_equal(b.state.n, 1);
	assert_int_equal(b.state.first, 402);
	bench_close(&b);
}

static void a_snapshot_installed_replaces_the_whole_log(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 1, 200, 1), 0);
	assert_int_equal(snapshot_install(&b, 100, 5), 0);
	bench_reopen(&b);
	assert_true(snapshot_is(&b.state, 100, 5));
	assert_int_equal(b.state.n, 0);
	assert_int_equal(append(&b, 100, 1, 5), -EINVAL);
	assert_int_equal(append(&b, 101, 3, 5), 0);
	bench_reopen(&b);
	assert_int_equal(b.state.first, 101);
	assert_int_equal(b.state.n, 3);
	assert_true(entry_is(&b.state.entries[2], 103, 5));
	assert_int_equal(snapshot_install(&b, 5000, 6), 0);
	assert_int_equal(append(&b, 5001, 1, 6), 0);
	bench_reopen(&b);
	assert_true(snapshot_is(&b.state, 5000, 6));
	assert_int_equal(b.state.first, 5001);
	bench_close(&b);
}

static void a_snapshot_that_contradicts_the_log_is_refused(void **state)
{
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 1, 10, 1), 0);
	assert_int_equal(snapshot_take(&b, 5, 2, 1), -EINVAL);
	assert_int_equal(snapshot_take(&b, 5, 1, 1), 0);
	assert_int_equal(snapshot_take(&b, 4, 1, 1), -EINVAL);
	bench_close(&b);
}

static void random_requests_come_back_as_a_model_says(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct bench b;
		struct model *m = model_new(seed);
		bench_init(&b);
		bench_open(&b);
		for (unsigned i = 0; i < 120; i++) {
			assert_int_equal(model_step(m, &b), 0);
			if (model_random(m, 16) > 0)
				continue;
			bench_reopen(&b);
			if (!model_is(m, &b.state))
				fail_msg("seed %llu, step %u", (unsigned long long)seed, i);
			if (model_random(m, 2) == 0)
				wal_forget_state(b.wal);
		}
		bench_close(&b);
		free(m);
	}
}

/* A disk on which the syncs of one file wait until they may go on. */
struct gate {
	atomic_ulong inode; /* 0: none waits */
	sem_t begun, go;
};

static ssize_t gate_write(void *data, int fd, const void *bytes, size_t size, uint64_t offset)
{
	ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
	return n < 0 ? -errno : n;
}

static int gate_sync(void *data, int fd)
{
	struct gate *g = data;
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_ino != g->inode)
		return 0;
	sem_post(&g->begun);
	sem_wait(&g->go);
	return 0;
}

static void appends_that_wait_share_one_sync(void **state)
{
	enum { N = 200 };
	struct bench b;
	struct gate gate = {0};
	struct wal_files files = {.data = &gate, .write = gate_write, .sync = gate_sync};
	struct disk_request requests[N];
	struct disk_entry entries[N];
	sem_init(&gate.begun, 0, 0);
	sem_init(&gate.go, 0, 0);
	bench_init(&b);
	b.options.files = &files;
	b.options.segment_bytes = 1 << 20;
	bench_open(&b);
	assert_int_equal(append(&b, 1, 1, 1), 0);
	struct stat st;
	assert_int_equal(stat(path_of(&b, file_named(&b, "segment-", 0)), &st), 0);
	gate.inode = st.st_ino;
	for (unsigned i = 0; i < N; i++) {
		entries[i] = entry_make(2 + i, 1);
		requests[i] = (struct disk_request){
		    .type = DISK_APPEND,
		    .append = {.index = 2 + i, .entries = &entries[i], .n = 1},
		};
		bench_submit(&b, &requests[i]);
		if (i == 0)
			sem_wait(&gate.begun);
	}
	gate.inode = 0;
	sem_post(&gate.go);
	assert_int_equal(bench_wait(&b), 0);
	/* The first append, the one that was under way, and one for all the others. */
	struct inspect *in;
	struct inspect_segment segment;
	assert_int_equal(inspect_open(&in, b.directory, NULL), 0);
	assert_int_equal(inspect_segment(in, 0, &segment), 0);
	assert_int_equal(segment.batches, 3);
	inspect_close(in);
	struct wal_status status;
	wal_status(b.wal, &status);
	assert_true(status.write_us_max > 0);
	assert_int_equal(status.waiting_since_ms, 0);
	bench_reopen(&b);
	assert_int_equal(b.state.n, N + 1);
	for (unsigned i = 0; i < N; i++)
		free((uint8_t *)entries[i].data);
	bench_close(&b);
}

/* What was written to term and vote, and how much of it was synced. */
struct vote_watch {
	unsigned writes, synced;
	uint8_t bytes[METADATA_SIZE];
};

static bool is_named(int fd, const char *part)
{
	char link[64], path[512] = "";
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, part);
}

static ssize_t vote_write(void *data, int fd, const void *bytes, size_t size, uint64_t offset)
{
	struct vote_watch *watch = data;
	if (is_named(fd, "/metadata-")) {
		assert_int_equal(size, METADATA_SIZE);
		memcpy(watch->bytes, bytes, size);
		watch->writes++;
	}
	return gate_write(NULL, fd, bytes, size, offset);
}

static int vote_sync(void *data, int fd)
{
	struct vote_watch *watch = data;
	if (is_named(fd, "/metadata-"))
		watch->synced = watch->writes;
	return 0;
}

/* The one before may have been killed between its write and its sync: what is read then is in
 * memory only, and would be answered by. */
static void term_and_vote_are_made_durable_again_when_they_are_read(void **state)
{
	struct bench b;
	struct directory d;
	struct writer *w;
	struct err err = {0};
	struct metadata m;
	struct vote_watch watch = {0};
	struct wal_files files = {.data = &watch, .write = vote_write, .sync = vote_sync};
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(vote(&b, 7, 2), 0);
	bench_shut(&b);
	int fd = open(b.directory, O_RDONLY | O_DIRECTORY);
	struct writer_options options = {.fd = fd,
	    .segment_bytes = SMALL_SEGMENT,
	    .reserve_bytes = SMALL_RESERVE,
	    .files = &files};
	assert_int_equal(directory_read(&d, fd, &err), 0);
	assert_int_equal(writer_open(&w, &options, &d, &err), 0);
	assert_int_equal(watch.writes, 1);
	assert_int_equal(watch.synced, 1);
	assert_int_equal(metadata_decode(watch.bytes, sizeof(watch.bytes), &m, &err), 0);
	assert_int_equal(m.term, 7);
	assert_int_equal(m.vote, 2);
	assert_true(m.version > d.metadata.version);
	writer_close(w);
	directory_close(&d);
	close(fd);
	bench_close(&b);
}

/* A snapshot of three pieces; what is asked for while one is synced comes before the next. */

#define LARGE (2u << 20 | 5000)

struct order {
	uint64_t tickets[16];
	unsigned n;
	int status;
};

static void order_done(void *data, uint64_t ticket, int status)
{
	struct order *o = data;
	assert_true(o->n < 16);
	o->tickets[o->n++] = ticket;
	o->status = o->status ? o->status : status;
}

static void order_wait(struct bench *b, struct order *o, unsigned n)
{
	while (o->n < n) {
		sem_wait(&b->ready);
		wal_collect(b->wal, order_done, o);
	}
}

/* The gate is at the file that a snapshot is written to. */
static int large_sync(void *data, int fd)
{
	struct gate *g = data;
	if (!is_named(fd, "/tmp-snapshot"))
		return 0;
	sem_post(&g->begun);
	sem_wait(&g->go);
	return 0;
}

static void large_open(struct bench *b, struct gate *gate, struct wal_files *files)
{
	*files = (struct wal_files){.data = gate, .write = gate_write, .sync = large_sync};
	sem_init(&gate->begun, 0, 0);
	sem_init(&gate->go, 0, 0);
	bench_init(b);
	b->options.files = files;
	bench_open(b);
	assert_int_equal(append(b, 1, 20, 1), 0);
}

static struct disk_request large_request(uint64_t index, uint8_t *data)
{
	struct buffer small;
	struct disk_request request = snapshot_request(index, 1, &small);
	buffer_close(&small);
	entry_fill(data, LARGE, index, 1);
	request.snapshot.snapshot.data = data;
	request.snapshot.snapshot.size = LARGE;
	return request;
}

static void appends_and_votes_do_not_wait_for_a_large_snapshot(void **state)
{
	enum { N = 20 };
	struct bench b;
	struct gate gate = {0};
	struct wal_files files;
	struct order order = {0};
	uint8_t *data = must_alloc(LARGE);
	large_open(&b, &gate, &files);
	struct disk_request snapshot = large_request(15, data);
	snapshot.snapshot.keep_from = 11;
	struct disk_request vote = {.type = DISK_VOTE, .vote = {.term = 3, .vote = 2}};
	struct disk_request appends[2];
	struct disk_entry entries[2][N];
	for (unsigned i = 0; i < 2; i++) {
		uint64_t index = 21 + i * N;
		for (unsigned k = 0; k < N; k++) {
			entries[i][k] = (struct disk_entry){
			    .term = 2, .type = DISK_COMMAND, .size = 2000, .data = data + k};
		}
		appends[i] = (struct disk_request){
		    .type = DISK_APPEND, .append = {.index = index, .entries = entries[i], .n = N}};
	}
	struct disk_request *beside[] = {&appends[0], &vote, &appends[1]};
	uint64_t first = b.ticket + 1;
	bench_submit(&b, &snapshot);
	for (unsigned i = 0; i < 3; i++) {
		sem_wait(&gate.begun);
		bench_submit(&b, beside[i]);
		sem_post(&gate.go);
	}
	order_wait(&b, &order, 4);
	assert_int_equal(order.status, 0);
	assert_int_equal(order.tickets[0], first + 1);
	assert_int_equal(order.tickets[1], first + 2);
	assert_int_equal(order.tickets[2], first);
	assert_int_equal(order.tickets[3], first + 3);
	bench_reopen(&b);
	assert_int_equal(b.state.term, 3);
	assert_int_equal(b.state.snapshot.index, 15);
	assert_int_equal(b.state.snapshot.size, LARGE);
	assert_memory_equal(b.state.snapshot.data, data, LARGE);
	assert_int_equal(b.state.first, 11);
	assert_int_equal(b.state.n, 50);
	for (unsigned k = 0; k < N; k++)
		assert_memory_equal(b.state.entries[30 + k].data, data + k, 2000);
	bench_close(&b);
	free(data);
}

static void what_comes_behind_a_second_snapshot_waits_for_both(void **state)
{
	struct bench b;
	struct gate gate = {0};
	struct wal_files files;
	struct order order = {0};
	uint8_t *data = must_alloc(LARGE), *installed = must_alloc(LARGE);
	large_open(&b, &gate, &files);
	struct disk_request taken = large_request(15, data);
	taken.snapshot.keep_from = 11;
	struct disk_request leader = large_request(50, installed);
	leader.snapshot.installed = true;
	struct disk_entry entry = entry_make(51, 1);
	struct disk_request append = {
	    .type = DISK_APPEND, .append = {.index = 51, .entries = &entry, .n = 1}};
	uint64_t first = b.ticket + 1;
	bench_submit(&b, &taken);
	sem_wait(&gate.begun);
	bench_submit(&b, &leader);
	bench_submit(&b, &append);
	for (unsigned i = 0; i < 6; i++)
		sem_post(&gate.go);
	order_wait(&b, &order, 3);
	assert_int_equal(order.status, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(order.tickets[i], first + i);
	for (unsigned i = 0; i < 3; i++)
		sem_post(&gate.go);
	bench_reopen(&b);
	assert_int_equal(b.state.snapshot.index, 50);
	assert_memory_equal(b.state.snapshot.data, installed, LARGE);
	assert_int_equal(b.state.first, 51);
	assert_int_equal(b.state.n, 1);
	bench_close(&b);
	free((uint8_t *)entry.data);
	free(installed);
	free(data);
}

static void what_is_free_is_looked_up_by_the_writer(void **state)
{
	struct bench b;
	struct wal_status status = {0};
	bench_init(&b);
	bench_open(&b);
	/* It does so when it has nothing to do, too: nobody has written anything. */
	for (unsigned i = 0; i < 2000 && !status.free_ms; i++) {
		usleep(5000);
		wal_status(b.wal, &status);
	}
	assert_true(status.free_ms > 0);
	assert_true(status.free_bytes > 0);
	bench_close(&b);
}

/* The files are written all the same, and nobody would ever find them again. */
static void a_directory_that_was_removed_is_noticed(void **state)
{
	struct bench b;
	char away[128], other[128];
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 1, 1, 1), 0);
	snprintf(away, sizeof(away), "%s.away", b.directory);
	assert_int_equal(rename(b.directory, away), 0);
	assert_int_equal(mkdir(b.directory, 0700), 0);
	uint64_t index = 2;
	int status = 0;
	for (unsigned i = 0; i < 4000 && !status; i++) {
		status = append(&b, index++, 1, 1);
		usleep(5000);
	}
	assert_int_equal(status, -ESTALE);
	assert_int_equal(vote(&b, 2, 1), -ESTALE);
	/* Back again, it is still not known what happened to it meanwhile. */
	snprintf(other, sizeof(other), "%s.other", b.directory);
	assert_int_equal(rename(b.directory, other), 0);
	assert_int_equal(rename(away, b.directory), 0);
	assert_int_equal(append(&b, index, 1, 1), -ESTALE);
	assert_int_equal(rmdir(other), 0);
	bench_close(&b);
}

/* By a copy of yesterday, which has a lock, too. */
static void a_directory_that_was_replaced_is_noticed(void **state)
{
	struct bench b;
	char away[128], lock[128];
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 1, 1, 1), 0);
	snprintf(away, sizeof(away), "%s.away", b.directory);
	snprintf(lock, sizeof(lock), "%s/lock", b.directory);
	assert_int_equal(rename(b.directory, away), 0);
	assert_int_equal(mkdir(b.directory, 0700), 0);
	int fd = open(lock, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	int status = 0;
	for (uint64_t index = 2; index < 4000 && !status; index++) {
		status = append(&b, index, 1, 1);
		usleep(5000);
	}
	assert_int_equal(status, -ESTALE);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(rmdir(b.directory), 0);
	assert_int_equal(rename(away, b.directory), 0);
	bench_close(&b);
}

static void a_directory_in_use_is_not_opened_again(void **state)
{
	struct bench b;
	struct wal *second;
	struct disk_state nothing;
	struct err err;
	char name[256];
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(wal_open(&second, &b.options, &nothing, &err), -EBUSY);
	assert_non_null(strstr(err.text, b.directory));
	assert_int_equal(wal_set_aside(b.directory, name, &err), -EBUSY);
	bench_close(&b);
	assert_int_equal(wal_open(&second, &b.options, &nothing, &err), -ENOENT);
}

static void a_directory_set_aside_makes_room_for_a_new_one(void **state)
{
	struct bench b;
	struct err err;
	char name[256], path[300];
	bench_init(&b);
	for (unsigned i = 1; i <= 2; i++) {
		bench_open(&b);
		assert_int_equal(b.state.term, 0);
		assert_int_equal(b.state.n, 0);
		assert_int_equal(vote(&b, 7, 7), 0);
		assert_int_equal(append(&b, 1, 300, 1), 0);
		assert_int_equal(snapshot_take(&b, 50, 1, 1), 0);
		bench_shut(&b);
		assert_int_equal(wal_set_aside(b.directory, name, &err), 0);
		snprintf(path, sizeof(path), "corrupt-%u", i);
		assert_string_equal(name, path);
		assert_int_equal(files_count(&b, "segment-"), 0);
		assert_int_equal(files_count(&b, "snapshot-"), 0);
		assert_int_equal(files_count(&b, "metadata-"), 0);
	}
	/* What was set aside is whole. */
	struct bench aside = b;
	snprintf(path, sizeof(path), "%s/corrupt-1", b.directory);
	aside.options.directory = path;
	bench_open(&aside);
	assert_int_equal(aside.state.term, 7);
	assert_int_equal(aside.state.n, 300);
	bench_shut(&aside);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_new_directory_is_empty),
	    cmocka_unit_test(term_and_vote_come_back),
	    cmocka_unit_test(entries_come_back),
	    cmocka_unit_test(an_append_over_older_entries_replaces_them),
	    cmocka_unit_test(an_append_that_would_leave_a_gap_is_refused),
	    cmocka_unit_test(an_entry_larger_than_a_segment_comes_back),
	    cmocka_unit_test(a_snapshot_taken_keeps_the_entries_asked_for),
	    cmocka_unit_test(a_snapshot_installed_replaces_the_whole_log),
	    cmocka_unit_test(a_snapshot_that_contradicts_the_log_is_refused),
	    cmocka_unit_test(appends_that_wait_share_one_sync),
	    cmocka_unit_test(term_and_vote_are_made_durable_again_when_they_are_read),
	    cmocka_unit_test(appends_and_votes_do_not_wait_for_a_large_snapshot),
	    cmocka_unit_test(what_comes_behind_a_second_snapshot_waits_for_both),
	    cmocka_unit_test(what_is_free_is_looked_up_by_the_writer),
	    cmocka_unit_test(a_directory_that_was_removed_is_noticed),
	    cmocka_unit_test(a_directory_that_was_replaced_is_noticed),
	    cmocka_unit_test(a_directory_in_use_is_not_opened_again),
	    cmocka_unit_test(a_directory_set_aside_makes_room_for_a_new_one),
	    cmocka_unit_test(random_requests_come_back_as_a_model_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
