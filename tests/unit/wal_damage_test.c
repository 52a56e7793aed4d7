/* Damage is found, named with file and offset, and left as it is; and a directory is read from
 * outside while its writer is at work. */
#include "tests/unit/wal_bench.h"

#include <inttypes.h>
#include <sched.h>

#include "raft/directory.h"
#include "raft/inspect.h"
#include "raft/metadata.h"
#include "raft/segment.h"

/* Everything in a directory, as one number. */
static uint64_t directory_sum(const struct bench *b)
{
	uint64_t sum = 0;
	struct dirent **list;
	int count = scandir(b->directory, &list, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		const char *name = list[i]->d_name;
		if (name[0] != '.') {
			struct buffer bytes = file_get(path_of(b, name));
			for (size_t k = 0; k < strlen(name); k++)
				sum = sum * 31 + (uint8_t)name[k];
			for (size_t k = 0; k < bytes.size; k++)
				sum = sum * 31 + bytes.data[k];
			buffer_close(&bytes);
		}
		free(list[i]);
	}
	free(list);
	return sum;
}

static bool refused(struct bench *b, const char *file, uint64_t offset)
{
	struct err err = {0};
	char expected[300];
	uint64_t before = directory_sum(b);
	int result = wal_open(&b->wal, &b->options, &b->state, &err);
	snprintf(expected, sizeof(expected), "%s: offset %" PRIu64 ": ", file, offset);
	if (result == -EBADMSG && strstr(err.text, expected) && directory_sum(b) == before)
		return true;
	print_message("%d, %s instead of %s\n", result, err.text, expected);
	return false;
}

/* Where the n-th batch of the segment begins. */
static uint64_t batch_offset(const char *path, unsigned n)
{
	struct buffer bytes = file_get(path);
	struct segment_cursor c;
	struct segment_header header;
	struct segment_batch batch;
	assert_int_equal(segment_open(&c, bytes.data, bytes.size, &header, NULL), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(segment_next(&c, &batch, NULL), SEGMENT_BATCH);
	buffer_close(&bytes);
	return c.at;
}

static const char *newest_segment(const struct bench *b)
{
	return file_named(b, "segment-", files_count(b, "segment-") - 1);
}

/* One with several segments, the newest of which has several batches. */
static void bench_fill(struct bench *b)
{
	bench_init(b);
	bench_open(b);
	uint64_t index = 1;
	while (files_count(b, "segment-") < 3)
		for (unsigned i = 0; i < 10; i++, index++)
			assert_int_equal(append(b, index, 1, 1), 0);
	for (unsigned i = 0; i < 5; i++, index += 2)
		assert_int_equal(append(b, index, 2, 1), 0);
	bench_shut(b);
}

static void a_batch_damaged_before_the_last_is_refused(void **state)
{
	struct bench b;
	bench_fill(&b);
	const char *name = newest_segment(&b);
	char path[512];
	snprintf(path, sizeof(path), "%s", path_of(&b, name));
	for (unsigned n = 0; n < 3; n++) {
		uint64_t begin = batch_offset(path, n), end = batch_offset(path, n + 1);
		for (uint64_t at = begin; at < end; at++) {
			file_flip(path, at);
			assert_true(refused(&b, name, begin));
			file_flip(path, at);
		}
	}
	bench_open(&b);
	bench_close(&b);
}

static void damage_in_an_older_segment_is_refused(void **state)
{
	struct bench b;
	bench_fill(&b);
	char name[64], path[512];
	snprintf(name, sizeof(name), "%s", file_named(&b, "segment-", 1));
	snprintf(path, sizeof(path), "%s", path_of(&b, name));
	struct buffer bytes = file_get(path);
	unsigned batches = 0;
	while (batch_offset(path, batches) < bytes.size)
		batches++;
	uint64_t last = batch_offset(path, batches - 1);
	file_flip(path, bytes.size - 1);
	assert_true(refused(&b, name, last));
	file_put(path, bytes.data, last + 16);
	assert_true(refused(&b, name, last));
	/* Without its last batch it is whole, but does not reach the next one. */
	file_put(path, bytes.data, last);
	assert_true(refused(&b, file_named(&b, "segment-", 2), 0));
	file_put(path, bytes.data, 20);
	assert_true(refused(&b, name, 0));
	unlink(path);
	assert_true(refused(&b, file_named(&b, "segment-", 1), 0));
	file_put(path, bytes.data, bytes.size);
	buffer_close(&bytes);
	bench_open(&b);
	bench_close(&b);
}

static void damage_in_the_header_of_a_segment_is_refused(void **state)
{
	struct bench b;
	bench_fill(&b);
	for (unsigned n = 0; n < 3; n++) {
		const char *name = file_named(&b, "segment-", n);
		for (uint64_t at = 0; at < SEGMENT_HEADER_SIZE; at++) {
			file_flip(path_of(&b, name), at);
			assert_true(refused(&b, name, 0));
			file_flip(path_of(&b, name), at);
		}
	}
	bench_close(&b);
}

static void a_segment_under_another_name_is_refused(void **state)
{
	struct bench b;
	bench_fill(&b);
	char old[512], name[64];
	snprintf(old, sizeof(old), "%s", path_of(&b, newest_segment(&b)));
	directory_name(DIRECTORY_SEGMENT, files_count(&b, "segment-"), 1, name);
	assert_int_equal(rename(old, path_of(&b, name)), 0);
	assert_true(refused(&b, name, 0));
	bench_close(&b);
}

/* A segment in bytes: its header, and then a batch of one entry for each of these. */
static void segment_make(struct buffer *out, const struct segment_header *header,
    const struct segment_batch *batches, unsigned n)
{
	out->size = 0;
	segment_header_encode(header, out);
	for (unsigned i = 0; i < n; i++) {
		struct disk_entry entry = entry_make(header->start + i, 1);
		size_t begin = segment_batch_begin(out);
		segment_batch_add(out, &entry);
		segment_batch_end(out, begin, &batches[i]);
		free((uint8_t *)entry.data);
	}
}

/* What the first batch must have as its previous checksum. */
static uint32_t header_sum(const struct segment_header *header)
{
	struct buffer bytes = {0};
	uint32_t sum = segment_header_encode(header, &bytes);
	buffer_close(&bytes);
	return sum;
}

static void a_batch_counts_only_behind_the_one_it_was_written_behind(void **state)
{
	struct segment_header header = {.sequence = 1, .start = 1, .mark = 77};
	struct segment_batch first = {.mark = 77, .index = 1, .count = 1}, batch;
	struct segment_cursor c;
	struct buffer bytes = {0};
	first.previous = header_sum(&header);
	segment_make(&bytes, &header, &first, 1);
	segment_open(&c, bytes.data, bytes.size, &header, NULL);
	assert_int_equal(segment_next(&c, &batch, NULL), SEGMENT_BATCH);
	struct segment_batch second = {.mark = 77, .index = 2, .count = 1, .previous = c.chain};
	struct segment_batch next[5] = {second, second, second, second, second};
	const enum segment_result results[5] = {
	    SEGMENT_BATCH, SEGMENT_WRONG, SEGMENT_WRONG, SEGMENT_WRONG, SEGMENT_TORN};
	next[1].previous ^= 1;
	next[2].index = 3;
	next[3].count = 2;
	next[4].mark = 78;
	for (unsigned i = 0; i < 5; i++) {
		const struct segment_batch batches[] = {first, next[i]};
		segment_make(&bytes, &header, batches, 2);
		segment_open(&c, bytes.data, bytes.size, &header, NULL);
		assert_int_equal(segment_next(&c, &batch, NULL), SEGMENT_BATCH);
		assert_int_equal(segment_next(&c, &batch, NULL), results[i]);
	}
	buffer_close(&bytes);
}

static void a_segment_that_follows_an_entry_of_another_term_is_refused(void **state)
{
	struct bench b;
	char name[DIRECTORY_NAME_MAX];
	struct buffer bytes = {0};
	bench_init(&b);
	bench_open(&b);
	assert_int_equal(append(&b, 1, 3, 1), 0);
	bench_shut(&b);
	directory_name(DIRECTORY_SEGMENT, 2, 4, name);
	for (uint64_t term = 3; term > 0; term--) {
		struct segment_header header = {.sequence = 2, .start = 4, .mark = 5};
		struct segment_batch batch = {.mark = 5, .index = 4, .count = 1};
		header.previous_term = term;
		batch.previous = header_sum(&header);
		segment_make(&bytes, &header, &batch, 1);
		file_put(path_of(&b, name), bytes.data, bytes.size);
		if (term > 1)
			assert_true(refused(&b, name, 0));
	}
	buffer_close(&bytes);
	bench_open(&b);
	assert_int_equal(b.state.n, 4);
	bench_close(&b);
}

static uint64_t metadata_term(const struct bench *b, unsigned slot)
{
	char name[32];
	struct metadata m = {0};
	snprintf(name, sizeof(name), "metadata-%u", slot);
	struct buffer bytes = file_get(path_of(b, name));
	metadata_decode(bytes.data, bytes.size, &m, NULL);
	buffer_close(&bytes);
	return m.term;
}

static void one_damaged_metadata_file_is_survived_and_two_are_not(void **state)
{
	struct bench b;
	bench_fill(&b);
	for (unsigned slot = 1; slot <= 2; slot++) {
		char name[32];
		snprintf(name, sizeof(name), "metadata-%u", slot);
		bench_open(&b);
		assert_int_equal(b.state.term, slot - 1);
		assert_int_equal(vote(&b, slot, 2), 0);
		/* In idle times it is written to the other one too. */
		while (metadata_term(&b, 1) != slot || metadata_term(&b, 2) != slot)
			sched_yield();
		bench_shut(&b);
		file_flip(path_of(&b, name), 17);
	}
	bench_open(&b);
	assert_int_equal(b.state.term, 2);
	bench_shut(&b);
	file_flip(path_of(&b, "metadata-1"), 47);
	file_flip(path_of(&b, "metadata-2"), 0);
	assert_true(refused(&b, "metadata-1", 0));
	unlink(path_of(&b, "metadata-1"));
	assert_true(refused(&b, "metadata-2", 0));
	unlink(path_of(&b, "metadata-2"));
	assert_true(refused(&b, "metadata-1", 0));
	bench_close(&b);
}

static void a_damaged_snapshot_is_survived_where_the_log_leads_past_it(void **state)
{
	struct bench b;
	bench_fill(&b);
	bench_open(&b);
	assert_int_equal(snapshot_take(&b, 20, 1, 1), 0);
	assert_int_equal(snapshot_take(&b, 30, 1, 15), 0);
	bench_shut(&b);
	char newest[64], older[64];
	snprintf(older, sizeof(older), "%s", file_named(&b, "snapshot-", 0));
	snprintf(newest, sizeof(newest), "%s", file_named(&b, "snapshot-", 1));
	struct buffer bytes = file_get(path_of(&b, newest));
	for (size_t at = 0; at < bytes.size; at += 3) {
		file_flip(path_of(&b, newest), at);
		bench_open(&b);
		assert_true(snapshot_is(&b.state, 20, 1));
		assert_int_equal(b.state.first, 1);
		bench_shut(&b);
		file_flip(path_of(&b, newest), at);
	}
	buffer_close(&bytes);
	file_flip(path_of(&b, older), 100);
	bench_open(&b);
	assert_true(snapshot_is(&b.state, 30, 1));
	bench_shut(&b);
	/* Neither: the log begins at 1, so that it is enough. */
	file_flip(path_of(&b, newest), 100);
	bench_open(&b);
	assert_false(b.state.has_snapshot);
	assert_int_equal(b.state.first, 1);
	bench_close(&b);
}

static void a_damaged_snapshot_is_refused_where_the_log_has_a_gap(void **state)
{
	struct bench b;
	bench_fill(&b);
	bench_open(&b);
	unsigned n = b.state.n;
	assert_int_equal(snapshot_take(&b, 5, 1, 1), 0);
	assert_int_equal(snapshot_take(&b, n, 1, n), 0);
	bench_shut(&b);
	const char *name = file_named(&b, "snapshot-", 1);
	file_flip(path_of(&b, name), 100);
	assert_true(refused(&b, name, 88));
	file_flip(path_of(&b, name), 100);
	file_flip(path_of(&b, name), 20);
	assert_true(refused(&b, name, 0));
	bench_close(&b);
}

static void a_damaged_snapshot_that_was_installed_is_refused(void **state)
{
	struct bench b;
	bench_fill(&b);
	bench_open(&b);
	assert_int_equal(snapshot_take(&b, 5, 1, 1), 0);
	assert_int_equal(snapshot_install(&b, 1000, 3), 0);
	bench_shut(&b);
	const char *name = file_named(&b, "snapshot-", 1);
	file_flip(path_of(&b, name), 100);
	assert_true(refused(&b, name, 88));
	bench_close(&b);
}

/* From outside. */

struct found {
	unsigned problems, notes;
	char file[INSPECT_NAME_MAX];
	uint64_t offset;
};

static void found_add(void *data, const struct inspect_finding *finding)
{
	struct found *f = data;
	f->problems += finding->problem;
	f->notes += !finding->problem;
	snprintf(f->file, sizeof(f->file), "%s", finding->file);
	f->offset = finding->offset;
	assert_true(strlen(finding->text) > 0);
}

static void inspect_shows_what_is_there_and_changes_nothing(void **state)
{
	struct bench b;
	bench_fill(&b);
	bench_open(&b);
	unsigned n = b.state.n;
	assert_int_equal(vote(&b, 8, 3), 0);
	assert_int_equal(snapshot_take(&b, 30, 1, 10), 0);
	bench_shut(&b);
	uint64_t before = directory_sum(&b);
	struct inspect *in;
	struct inspect_status s;
	assert_int_equal(inspect_open(&in, b.directory, NULL), 0);
	inspect_status(in, &s);
	assert_false(s.in_use);
	assert_int_equal(s.term, 8);
	assert_int_equal(s.vote, 3);
	assert_int_equal(s.first, 10);
	assert_int_equal(s.last, n);
	assert_int_equal(s.snapshot->index, 30);
	assert_true(s.snapshot_file_bytes > 0 && s.snapshot_file_bytes < s.snapshot->size);
	assert_int_equal(s.problems + s.notes, 0);
	assert_string_equal(s.torn_file, "");
	struct disk_entry entry;
	for (uint64_t i = 10; i <= n; i++) {
		assert_int_equal(inspect_entry(in, i, &entry), 0);
		assert_true(entry_is(&entry, i, 1));
	}
	assert_int_equal(inspect_entry(in, 9, &entry), -ENOENT);
	assert_int_equal(inspect_entry(in, n + 1, &entry), -ENOENT);
	struct inspect_segment segment;
	for (unsigned i = 0; i < s.segments; i++)
		assert_int_equal(inspect_segment(in, i, &segment), 0);
	assert_int_equal(segment.last, n);
	assert_int_equal(inspect_segment(in, s.segments, &segment), -ENOENT);
	inspect_close(in);
	assert_int_equal(directory_sum(&b), before);
	bench_close(&b);
	assert_int_equal(inspect_open(&in, b.directory, NULL), -ENOENT);
}

static void inspect_tells_damage_from_a_torn_tail(void **state)
{
	struct bench b;
	bench_fill(&b);
	char name[64], path[512];
	snprintf(name, sizeof(name), "%s", newest_segment(&b));
	snprintf(path, sizeof(path), "%s", path_of(&b, name));
	unsigned batches = 0;
	struct inspect *in;
	struct inspect_status s;
	struct inspect_segment segment;
	assert_int_equal(inspect_open(&in, b.directory, NULL), 0);
	inspect_status(in, &s);
	assert_int_equal(inspect_segment(in, s.segments - 1, &segment), 0);
	batches = segment.batches;
	uint64_t last = s.last;
	inspect_close(in);

	uint64_t torn = batch_offset(path, batches - 1);
	file_flip(path, torn + 40);
	assert_int_equal(inspect_open(&in, b.directory, NULL), 0);
	inspect_status(in, &s);
	assert_int_equal(s.problems, 0);
	assert_string_equal(s.torn_file, name);
	assert_int_equal(s.torn_offset, torn);
	assert_int_equal(s.last, last - 2);
	inspect_close(in);

	struct found found = {0};
	uint64_t damaged = batch_offset(path, batches - 2);
	file_flip(path, damaged + 40);
	assert_int_equal(inspect_open(&in, b.directory, NULL), 0);
	assert_int_equal(inspect_verify(in, found_add, &found), 1);
	assert_int_equal(found.problems, 1);
	assert_string_equal(found.file, name);
	assert_int_equal(found.offset, damaged);
	inspect_status(in, &s);
	assert_int_equal(s.last, last - 4);
	inspect_close(in);
	bench_close(&b);
}

/* What was answered when a look began must be in it. */
static void look(struct bench *b)
{
	uint64_t answered = b->answered;
	struct inspect *in;
	struct err err = {0};
	if (inspect_open(&in, b->directory, &err) < 0)
		fail_msg("%s", err.text);
	struct found found = {0};
	if (inspect_verify(in, found_add, &found) > 0)
		fail_msg("%s: offset %" PRIu64, found.file, found.offset);
	struct inspect_status s;
	inspect_status(in, &s);
	assert_true(s.in_use);
	assert_true(s.last >= answered && s.last <= b->ticket);
	struct disk_entry entry;
	for (uint64_t i = s.first; i <= s.last; i++) {
		assert_int_equal(inspect_entry(in, i, &entry), 0);
		assert_true(entry_is(&entry, i, 1));
	}
	inspect_close(in);
}

static void inspect_is_safe_beside_a_writer(void **state)
{
	enum { N = 4000, AHEAD = 32 };
	struct bench b;
	bench_init(&b);
	bench_open(&b);
	struct disk_request *requests = must_alloc(N * sizeof(*requests));
	struct disk_entry *entries = must_alloc(N * sizeof(*entries));
	unsigned looks = 0;
	for (unsigned i = 0; i < N; i++) {
		entries[i] = entry_make(i + 1, 1);
		requests[i] = (struct disk_request){
		    .type = DISK_APPEND,
		    .append = {.index = i + 1, .entries = &entries[i], .n = 1},
		};
		bench_submit(&b, &requests[i]);
		wal_collect(b.wal, bench_done, &b);
		assert_int_equal(b.status, 0);
		if (i % AHEAD == 0) {
			look(&b);
			looks++;
		}
	}
	assert_int_equal(bench_wait(&b), 0);
	assert_true(looks > 100);
	for (unsigned i = 0; i < N; i++)
		free((uint8_t *)entries[i].data);
	free(entries);
	free(requests);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_batch_damaged_before_the_last_is_refused),
	    cmocka_unit_test(damage_in_an_older_segment_is_refused),
	    cmocka_unit_test(damage_in_the_header_of_a_segment_is_refused),
	    cmocka_unit_test(a_segment_under_another_name_is_refused),
	    cmocka_unit_test(a_batch_counts_only_behind_the_one_it_was_written_behind),
	    cmocka_unit_test(a_segment_that_follows_an_entry_of_another_term_is_refused),
	    cmocka_unit_test(one_damaged_metadata_file_is_survived_and_two_are_not),
	    cmocka_unit_test(a_damaged_snapshot_is_survived_where_the_log_leads_past_it),
	    cmocka_unit_test(a_damaged_snapshot_is_refused_where_the_log_has_a_gap),
	    cmocka_unit_test(a_damaged_snapshot_that_was_installed_is_refused),
	    cmocka_unit_test(inspect_shows_what_is_there_and_changes_nothing),
	    cmocka_unit_test(inspect_tells_damage_from_a_torn_tail),
	    cmocka_unit_test(inspect_is_safe_beside_a_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
