/* How long an append waits at the longest while a snapshot is written, on a disk of one's own. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "raft/wal.h"

#define SNAPSHOT_MIB 100
#define ENTRY_BYTES  400
#define EVERY_US     2000 /* an append, if the one before is answered */
#define ALONE	     500 /* appends before the snapshot, to compare with */

struct bench {
	struct wal *wal;
	struct disk disk;
	sem_t ready;
	uint64_t ticket, snapshot_ticket;
	uint64_t append_ticket; /* the one under way; 0: none is */
	bool snapshot_done;
	uint64_t began_us, longest_us, appends;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void ready(void *data)
{
	sem_post(&((struct bench *)data)->ready);
}

static void done(void *data, uint64_t ticket, int status)
{
	struct bench *b = data;
	if (status)
		die("a write", strerror(-status));
	if (ticket == b->snapshot_ticket)
		b->snapshot_done = true;
	if (ticket != b->append_ticket)
		return;
	uint64_t took_us = now_us() - b->began_us;
	b->longest_us = took_us > b->longest_us ? took_us : b->longest_us;
	b->append_ticket = 0;
	b->appends++;
}

static void submit(struct bench *b, struct disk_request *request)
{
	request->ticket = ++b->ticket;
	b->disk.submit(b->disk.data, request);
}

static void append(struct bench *b, uint64_t index)
{
	static uint8_t bytes[ENTRY_BYTES];
	struct disk_entry entry = {
	    .term = 1, .type = DISK_COMMAND, .size = sizeof(bytes), .data = bytes};
	struct disk_request request = {
	    .type = DISK_APPEND, .append = {.index = index, .entries = &entry, .n = 1}};
	b->append_ticket = b->ticket + 1;
	b->began_us = now_us();
	submit(b, &request);
	while (b->append_ticket) {
		sem_wait(&b->ready);
		wal_collect(b->wal, done, b);
	}
	usleep(EVERY_US);
}

/* What is half of it like text and half of it like noise compresses as configurations do. */
static struct buffer value(void)
{
	struct buffer out = {0};
	uint64_t x = 1;
	for (size_t i = 0; i < (size_t)SNAPSHOT_MIB << 20; i += 8) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		buffer_append_u64(&out, i % 64 < 32 ? x : 0x2065756c61762061ull);
	}
	return out;
}

int main(int argc, char **argv)
{
	char directory[4096];
	struct bench b = {0};
	struct disk_state state;
	struct err err;
	snprintf(directory, sizeof(directory), "%s/append.XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(directory))
		die(directory, "cannot be made");
	sem_init(&b.ready, 0, 0);
	struct wal_options options = {.directory = directory, .ready = ready, .data = &b};
	if (wal_open(&b.wal, &options, &state, &err))
		die("the log", err.text);
	wal_forget_state(b.wal);
	b.disk = wal_disk(b.wal);
	uint64_t index = 1;
	while (index <= ALONE)
		append(&b, index++);
	uint64_t alone_us = b.longest_us;
	b.longest_us = b.appends = 0;
	struct buffer data = value();
	uint8_t members[8] = {0};
	struct disk_request snapshot = {.type = DISK_SNAPSHOT,
	    .snapshot = {.keep_from = ALONE / 2,
		.snapshot = {.index = ALONE - 1,
		    .term = 1,
		    .configuration_index = 1,
		    .configuration = members,
		    .configuration_size = sizeof(members),
		    .data = data.data,
		    .size = data.size}}};
	uint64_t start_us = now_us();
	b.snapshot_ticket = b.ticket + 1;
	submit(&b, &snapshot);
	while (!b.snapshot_done)
		append(&b, index++);
	printf("{\"figure\": \"append_beside_snapshot\", \"snapshot_mib\": %d, "
	       "\"snapshot_ms\": %.0f, \"appends\": %llu, \"longest_ms\": %.1f, "
	       "\"longest_alone_ms\": %.1f}\n",
	    SNAPSHOT_MIB, (double)(now_us() - start_us) / 1000, (unsigned long long)b.appends,
	    (double)b.longest_us / 1000, (double)alone_us / 1000);
	wal_close(b.wal);
	buffer_close(&data);
	fflush(stdout);
	char *remove[] = {"rm", "-rf", directory, NULL};
	execvp("rm", remove);
	return 1;
}
