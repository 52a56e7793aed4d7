/* For the tests of the write-ahead log: one whose requests are waited for, and what goes in. */
#ifndef TESTS_UNIT_WAL_BENCH_H
#define TESTS_UNIT_WAL_BENCH_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fsm/buffer.h"
#include "raft/wal.h"

#define SMALL_SEGMENT 16384
#define SMALL_RESERVE 65536

/* A wal, and requests that are waited for. */

struct bench {
	char directory[64];
	struct wal_options options;
	struct wal *wal;
	struct disk_state state;
	sem_t ready;
	uint64_t ticket; /* of the last request */
	uint64_t answered; /* the last one answered */
	int status; /* of that */
};

static inline void bench_ready(void *data)
{
	struct bench *b = data;
	sem_post(&b->ready);
}

static inline void bench_done(void *data, uint64_t ticket, int status)
{
	struct bench *b = data;
	assert_int_equal(ticket, b->answered + 1);
	b->answered = ticket;
	b->status = status;
}

static inline void bench_init(struct bench *b)
{
	*b = (struct bench){0};
	snprintf(b->directory, sizeof(b->directory), "/tmp/wal-test-XXXXXX");
	assert_non_null(mkdtemp(b->directory));
	sem_init(&b->ready, 0, 0);
	b->options = (struct wal_options){
	    .directory = b->directory,
	    .segment_bytes = SMALL_SEGMENT,
	    .reserve_bytes = SMALL_RESERVE,
	    .ready = bench_ready,
	    .data = b,
	};
}

static inline void bench_open(struct bench *b)
{
	struct err err = {0};
	if (wal_open(&b->wal, &b->options, &b->state, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void bench_shut(struct bench *b)
{
	wal_close(b->wal);
	b->wal = NULL;
	b->ticket = b->answered = 0;
}

static inline void bench_reopen(struct bench *b)
{
	bench_shut(b);
	bench_open(b);
}

static inline void directory_remove(const char *directory)
{
	DIR *dir = opendir(directory);
	const struct dirent *at;
	while (dir && (at = readdir(dir))) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%s", directory, at->d_name);
		if (strncmp(at->d_name, "corrupt-", 8) == 0) {
			DIR *inner = opendir(path);
			const struct dirent *in;
			while (inner && (in = readdir(inner)))
				unlinkat(dirfd(inner), in->d_name, 0);
			closedir(inner);
			rmdir(path);
		}
		unlink(path);
	}
	closedir(dir);
	rmdir(directory);
}

static inline void bench_close(struct bench *b)
{
	if (b->wal)
		wal_close(b->wal);
	directory_remove(b->directory);
	sem_destroy(&b->ready);
}

static inline void bench_submit(struct bench *b, struct disk_request *request)
{
	request->ticket = ++b->ticket;
	struct disk disk = wal_disk(b->wal);
	disk.submit(disk.data, request);
}

static inline int bench_wait(struct bench *b)
{
	while (b->answered < b->ticket) {
		sem_wait(&b->ready);
		wal_collect(b->wal, bench_done, b);
	}
	return b->status;
}

static inline int bench_do(struct bench *b, struct disk_request request)
{
	bench_submit(b, &request);
	return bench_wait(b);
}

static inline int vote(struct bench *b, uint64_t term, uint64_t candidate)
{
	return bench_do(b, (struct disk_request){
			       .type = DISK_VOTE,
			       .vote = {.term = term, .vote = candidate},
			   });
}

/* An entry's bytes follow from its index and term, so that they can be checked anywhere. */
static inline void entry_fill(uint8_t *bytes, uint32_t size, uint64_t index, uint64_t term)
{
	uint64_t x = index * 0x9e3779b97f4a7c15ull + term;
	for (uint32_t i = 0; i < size; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		bytes[i] = (uint8_t)(x >> 56);
	}
}

static inline uint32_t entry_size(uint64_t index, uint64_t term)
{
	return (uint32_t)((index * 7 + term * 31) % 9 * 8 + (index % 50 == 49 ? 6000 : 0));
}

static inline struct disk_entry entry_make(uint64_t index, uint64_t term)
{
	uint32_t size = entry_size(index, term);
	uint8_t *bytes = must_alloc(size);
	entry_fill(bytes, size, index, term);
	return (struct disk_entry){
	    .term = term,
	    .type = DISK_COMMAND + index % 3,
	    .size = size,
	    .data = bytes,
	};
}

static inline bool entry_is(const struct disk_entry *entry, uint64_t index, uint64_t term)
{
	if (entry->term != term || entry->type != DISK_COMMAND + index % 3 ||
	    entry->size != entry_size(index, term))
		return false;
	struct disk_entry same = entry_make(index, term);
	bool equal = same.size == 0 || memcmp(same.data, entry->data, same.size) == 0;
	free((uint8_t *)same.data);
	return equal;
}

static inline int append(struct bench *b, uint64_t index, unsigned n, uint64_t term)
{
	struct disk_entry *entries = must_alloc((n + 1) * sizeof(*entries));
	for (unsigned i = 0; i < n; i++)
		entries[i] = entry_make(index + i, term);
	int status = bench_do(b, (struct disk_request){
				     .type = DISK_APPEND,
				     .append = {.index = index, .entries = entries, .n = n},
				 });
	for (unsigned i = 0; i < n; i++)
		free((uint8_t *)entries[i].data);
	free(entries);
	return status;
}

static const uint8_t configuration[] = "one voter";

static inline struct buffer snapshot_data(uint64_t index, uint64_t term)
{
	struct buffer data = {0};
	for (unsigned i = 0; i < 200; i++)
		buffer_append_u64(&data, index + (i % 10 == 0 ? term * i : 0));
	return data;
}

static inline struct disk_request snapshot_request(
    uint64_t index, uint64_t term, struct buffer *data)
{
	*data = snapshot_data(index, term);
	return (struct disk_request){
	    .type = DISK_SNAPSHOT,
	    .snapshot.snapshot =
		{
		    .index = index,
		    .term = term,
		    .configuration_index = index / 2,
		    .configuration = configuration,
		    .configuration_size = sizeof(configuration),
		    .data = data->data,
		    .size = data->size,
		},
	};
}

static inline int snapshot_take(struct bench *b, uint64_t index, uint64_t term, uint64_t keep_from)
{
	struct buffer data;
	struct disk_request request = snapshot_request(index, term, &data);
	request.snapshot.keep_from = keep_from;
	int status = bench_do(b, request);
	buffer_close(&data);
	return status;
}

static inline int snapshot_install(struct bench *b, uint64_t index, uint64_t term)
{
	struct buffer data;
	struct disk_request request = snapshot_request(index, term, &data);
	request.snapshot.installed = true;
	int status = bench_do(b, request);
	buffer_close(&data);
	return status;
}

static inline bool snapshot_is(const struct disk_state *state, uint64_t index, uint64_t term)
{
	const struct disk_snapshot *s = &state->snapshot;
	struct buffer data = snapshot_data(index, term);
	bool equal = state->has_snapshot && s->index == index && s->term == term &&
		     s->configuration_index == index / 2 &&
		     s->configuration_size == sizeof(configuration) &&
		     memcmp(s->configuration, configuration, sizeof(configuration)) == 0 &&
		     s->size == data.size && memcmp(s->data, data.data, data.size) == 0;
	buffer_close(&data);
	return equal;
}

/* Files. */

static inline const char *path_of(const struct bench *b, const char *name)
{
	static char path[512];
	snprintf(path, sizeof(path), "%s/%s", b->directory, name);
	return path;
}

/* The name of the n-th file of a kind, by name. */
static inline const char *file_named(const struct bench *b, const char *prefix, unsigned n)
{
	static char name[256];
	struct dirent **list;
	int count = scandir(b->directory, &list, NULL, alphasort);
	unsigned seen = 0;
	name[0] = '\0';
	for (int i = 0; i < count; i++) {
		if (strncmp(list[i]->d_name, prefix, strlen(prefix)) == 0 && seen++ == n)
			snprintf(name, sizeof(name), "%s", list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return name;
}

static inline unsigned files_count(const struct bench *b, const char *prefix)
{
	unsigned n = 0;
	while (file_named(b, prefix, n)[0])
		n++;
	return n;
}

static inline struct buffer file_get(const char *path)
{
	struct buffer bytes = {0};
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	uint8_t part[4096];
	ssize_t n;
	while ((n = read(fd, part, sizeof(part))) > 0)
		buffer_append(&bytes, part, (size_t)n);
	close(fd);
	return bytes;
}

static inline void file_put(const char *path, const uint8_t *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static inline void file_flip(const char *path, size_t offset)
{
	struct buffer bytes = file_get(path);
	assert_true(offset < bytes.size);
	bytes.data[offset] ^= 0x40;
	file_put(path, bytes.data, bytes.size);
	buffer_close(&bytes);
}

#endif
