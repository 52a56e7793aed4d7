/* Makes the data directories of the golden cases anew, for when the format changes:
 *
 *   make build/release/tests/golden/recover/generate
 *   rm -r tests/golden/recover/data
 *   build/release/tests/golden/recover/generate tests/golden/recover/data
 *   ACCEPT=1 tests/golden/run recover
 *
 * Five voters, hv1 to hv5, and a stand-by, hv6. hv1 led in term 2, and lost touch with all but hv5;
 * hv2 led in term 3. Then hv1, hv2 and hv3 were lost for good. `odd` is hv5 with a snapshot of another
 * value than its log leads to; `untrue` is hv5 with files that are sound, and a tick that tells
 * another hash than they lead to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/snapshot.h"
#include "raft/batch.h"
#include "raft/configuration.h"
#include "raft/wal.h"
#include "raft/writer.h"
#include "tests/golden/certificate.h"

#define SEGMENT_BYTES 4096
#define ENTRIES_MAX   16
#define NODES	      6
#define SECRET_HASH   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define CLUSTER	      "11111111-2222-3333-4444-555555555555"

struct history { /* a log, and the value it leads to */
	struct disk_entry entries[ENTRIES_MAX];
	unsigned n;
	uint64_t term;
	struct cluster cluster;
	struct batch batch;
	uint64_t sequence;
};

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-result));
	exit(1);
}

/* Takes the bytes. */
static void add(struct history *h, enum disk_entry_type type, struct buffer *bytes)
{
	h->entries[h->n++] = (struct disk_entry){
	    .term = h->term, .type = type, .size = (uint32_t)bytes->size, .data = bytes->data};
	*bytes = (struct buffer){0};
}

static void say(struct history *h, struct command *command)
{
	struct buffer bytes = {0};
	struct err err;
	command->client = 7;
	command->sequence = ++h->sequence;
	command_encode(command, &bytes);
	batch_add(&h->batch, bytes.data, bytes.size);
	check(cluster_apply(&h->cluster, h->n + 1, bytes.data, bytes.size, &err), err.text);
	buffer_close(&bytes);
}

static void commit(struct history *h)
{
	struct buffer bytes = {0};
	batch_encode(&h->batch, &bytes);
	batch_close(&h->batch);
	add(h, DISK_COMMAND, &bytes);
}

static void elect(struct history *h, uint64_t term)
{
	struct buffer bytes = {0};
	h->term = term;
	buffer_append_u64(&bytes, 0);
	add(h, DISK_BARRIER, &bytes);
}

static void change(struct history *h, unsigned nodes)
{
	struct configuration members = {0};
	struct buffer bytes = {0};
	char address[32];
	for (unsigned id = 1; id <= nodes; id++) {
		snprintf(address, sizeof(address), "10.0.0.%u:1248", id);
		configuration_set(&members, id, address, id < 6 ? MEMBER_VOTER : MEMBER_STANDBY);
	}
	configuration_encode(&members, &bytes);
	add(h, DISK_CHANGE, &bytes);
}

static void fact(struct history *h, const char *key)
{
	struct command command = {
	    .number = COMMAND_fact, .fact = {.value = {.data = (uint8_t *)"value", .size = 5}}};
	snprintf(command.fact.key, sizeof(command.fact.key), "%s", key);
	say(h, &command);
	commit(h);
}

/* The leader's hash, which everything before it is committed by. */
static void tick(struct history *h)
{
	struct command command = {.number = COMMAND_tick,
	    .tick = {.hash_index = h->cluster.index, .hash = h->cluster.hash}};
	say(h, &command);
	commit(h);
}

/* Of an entry before it. */
static void tick_untrue(struct history *h)
{
	struct command command = {.number = COMMAND_tick,
	    .tick = {.hash_index = h->cluster.index, .hash = ~h->cluster.hash}};
	say(h, &command);
	commit(h);
}

static void join(struct history *h, unsigned id)
{
	struct command token = {
	    .number = COMMAND_token, .token = {.hash = SECRET_HASH, .valid_ms = 60000}};
	struct command command = {.number = COMMAND_join, .join = {.hash = SECRET_HASH}};
	snprintf(token.token.name, sizeof(token.token.name), "hv%u", id);
	snprintf(token.token.hash, sizeof(token.token.hash), "%s%u", SECRET_HASH, id);
	snprintf(command.join.name, sizeof(command.join.name), "hv%u", id);
	snprintf(command.join.address, sizeof(command.join.address), "10.0.0.%u:1248", id);
	snprintf(command.join.incarnation, sizeof(command.join.incarnation), "number %u", id);
	snprintf(command.join.hash, sizeof(command.join.hash), "%s%u", SECRET_HASH, id);
	command.join.mode = id < 6 ? NODE_COORDINATOR : NODE_HYPERVISOR;
	say(h, &token);
	say(h, &command);
}

static void begin(struct history *h)
{
	struct command found = {.number = COMMAND_found,
	    .found = {.name = "lab",
		.uuid = CLUSTER,
		.node = "hv1",
		.address = "10.0.0.1:1248",
		.incarnation = "one",
		.schema = 1}};
	*h = (struct history){.term = 1};
	cluster_init(&h->cluster);
	change(h, 1);
	elect(h, 2);
	say(h, &found);
	commit(h);
	for (unsigned id = 2; id <= NODES; id++)
		join(h, id);
	commit(h);
	change(h, NODES);
	fact(h, "first");
	tick(h);
	fact(h, "second");
}

static void end(struct history *h)
{
	for (unsigned i = 0; i < h->n; i++)
		free((void *)h->entries[i].data);
	cluster_close(&h->cluster);
}

/* Files. */

static void write_snapshot(struct writer *w, struct history *h)
{
	struct buffer value = {0};
	const struct disk_entry *members = &h->entries[4];
	snapshot_encode(&h->cluster, &value);
	struct disk_request request = {.type = DISK_SNAPSHOT,
	    .snapshot = {.keep_from = h->n + 1,
		.snapshot = {.index = h->n,
		    .term = h->term,
		    .configuration_index = 5,
		    .configuration = members->data,
		    .configuration_size = members->size,
		    .data = value.data,
		    .size = value.size}}};
	check(writer_snapshot(w, &request), "a snapshot");
	buffer_close(&value);
}

static void write_log(
    const char *directory, const struct history *h, uint64_t vote, struct history *snapshot)
{
	char path[4096];
	struct directory d;
	struct writer *w;
	struct err err;
	snprintf(path, sizeof(path), "%s/raft", directory);
	mkdir(path, 0755);
	struct disk_request append = {
	    .type = DISK_APPEND, .append = {.index = 1, .entries = h->entries, .n = h->n}};
	const struct disk_request *requests[] = {&append};
	struct writer_options options = {.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    .segment_bytes = SEGMENT_BYTES,
	    .reserve_bytes = SEGMENT_BYTES,
	    .files = &wal_system_files};
	check(directory_read(&d, options.fd, &err), path);
	check(writer_open(&w, &options, &d, &err), path);
	check(writer_vote(w, h->term, vote), path);
	check(writer_append(w, requests, 1), path);
	if (snapshot)
		write_snapshot(w, snapshot);
	writer_close(w);
	directory_close(&d);
	close(options.fd);
}

static void sign(const char *directory, uint64_t id)
{
	struct identity who = {.id = id, .cluster = CLUSTER};
	snprintf(who.name, sizeof(who.name), "hv%u", (unsigned)id);
	certificate_write(directory, &who);
}

static void make(const char *place, unsigned id, const struct history *h, uint64_t vote)
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/hv%u", place, id);
	mkdir(path, 0755);
	write_log(path, h, vote, NULL);
	sign(path, id);
}

/* As hv5's. */
static void make_named(
    const char *place, const char *name, struct history *h, struct history *snapshot)
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/%s", place, name);
	mkdir(path, 0755);
	write_log(path, h, 1, snapshot);
	sign(path, 5);
	end(h);
}

static void make_untrue(const char *place)
{
	struct history h;
	begin(&h);
	tick_untrue(&h);
	fact(&h, "third");
	make_named(place, "untrue", &h, NULL);
}

static void make_odd(const char *place)
{
	struct history h, odd;
	struct command command = {.number = COMMAND_maintenance, .maintenance = {.on = true}};
	begin(&h);
	fact(&h, "third");
	begin(&odd);
	say(&odd, &command);
	batch_close(&odd.batch);
	odd.cluster.index = odd.n;
	make_named(place, "odd", &h, &odd);
	end(&odd);
}

int main(int argc, char **argv)
{
	struct history h;
	if (argc != 2)
		return 2;
	mkdir(argv[1], 0755);
	begin(&h);
	make(argv[1], 6, &h, 0);
	fact(&h, "third");
	elect(&h, 3);
	fact(&h, "fourth");
	make(argv[1], 4, &h, 2);
	end(&h);
	begin(&h);
	fact(&h, "third");
	fact(&h, "of hv1 and hv5 only");
	fact(&h, "of hv1 and hv5 only, too");
	fact(&h, "of hv1 and hv5 only, again");
	make(argv[1], 5, &h, 1);
	end(&h);
	make_odd(argv[1]);
	make_untrue(argv[1]);
	return 0;
}
