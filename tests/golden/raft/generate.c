/* Makes the data directory of the golden cases anew, for when the format changes:
 *
 *   make build/release/tests/golden/raft/generate
 *   rm -r tests/golden/raft/data
 *   build/release/tests/golden/raft/generate tests/golden/raft/data
 *   rm tests/golden/raft/data/raft/spare tests/golden/raft/data/raft/reserve
 *   ACCEPT=1 tests/golden/run raft
 *
 * torn and corrupt name offsets in the segment: see that they still stand within batches. */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fsm/snapshot.h"
#include "raft/batch.h"
#include "raft/configuration.h"
#include "raft/wal.h"
#include "tests/golden/certificate.h"

#define SEGMENT_BYTES 4096
#define SECRET_HASH   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct generator {
	struct wal *wal;
	struct disk disk;
	sem_t ready;
	uint64_t ticket, index, term;
	struct cluster cluster;
	struct configuration members;
	struct batch batch;
};

static void ready(void *data)
{
	sem_post(&((struct generator *)data)->ready);
}

static void done(void *data, uint64_t ticket, int status)
{
	uint64_t *answered = data;
	if (status) {
		fprintf(stderr, "a write: %s\n", strerror(-status));
		exit(1);
	}
	*answered = ticket;
}

static void submit(struct generator *g, struct disk_request *request)
{
	uint64_t answered = 0;
	request->ticket = ++g->ticket;
	g->disk.submit(g->disk.data, request);
	while (answered < g->ticket) {
		sem_wait(&g->ready);
		wal_collect(g->wal, done, &answered);
	}
}

static void append(struct generator *g, enum disk_entry_type type, const struct buffer *data)
{
	struct disk_entry entry = {
	    .term = g->term, .type = type, .size = (uint32_t)data->size, .data = data->data};
	struct disk_request request = {
	    .type = DISK_APPEND, .append = {.index = ++g->index, .entries = &entry, .n = 1}};
	submit(g, &request);
}

static void elect(struct generator *g, uint64_t term)
{
	struct disk_request vote = {.type = DISK_VOTE, .vote = {.term = term, .vote = 1}};
	struct buffer barrier = {0};
	for (int i = 0; i < 8; i++)
		buffer_append_u8(&barrier, 0);
	g->term = term;
	submit(g, &vote);
	append(g, DISK_BARRIER, &barrier);
	buffer_close(&barrier);
}

static void change(struct generator *g)
{
	struct buffer bytes = {0};
	configuration_encode(&g->members, &bytes);
	append(g, DISK_CHANGE, &bytes);
	buffer_close(&bytes);
}

/* Into the entry that the next commit() writes. */
static void say(struct generator *g, const struct command *command)
{
	struct buffer bytes = {0};
	command_encode(command, &bytes);
	batch_add(&g->batch, bytes.data, bytes.size);
	buffer_close(&bytes);
}

static void commit(struct generator *g)
{
	struct buffer bytes = {0};
	const uint8_t *operation;
	size_t size;
	batch_encode(&g->batch, &bytes);
	append(g, DISK_COMMAND, &bytes);
	struct batch_reader in = batch_read(bytes.data, bytes.size);
	while (batch_next(&in, &operation, &size)) {
		struct err err;
		if (cluster_apply(&g->cluster, g->index, operation, size, &err) < 0) {
			fprintf(stderr, "entry %d: %s\n", (int)g->index, err.text);
			exit(1);
		}
	}
	batch_close(&g->batch);
	buffer_close(&bytes);
}

static void tick(struct generator *g, uint64_t elapsed_ms)
{
	struct sighting seen[] = {{.vm = 1, .generation = 2, .observed = OBSERVED_RUNNING}};
	struct keepalive keepalives[2] = {0};
	struct command command = {.number = COMMAND_tick};
	command.tick.elapsed_ms = elapsed_ms;
	command.tick.hash_index = g->cluster.index;
	command.tick.hash = g->cluster.hash;
	command.tick.keepalives.items = keepalives;
	command.tick.keepalives.count = 2;
	for (uint32_t i = 0; i < 2; i++)
		keepalives[i] = (struct keepalive){.node = i + 1,
		    .memory_total_mib = 16384,
		    .memory_free_mib = 12000,
		    .vcpus_total = 8,
		    .sightings_known = true};
	keepalives[1].sightings.items = seen;
	keepalives[1].sightings.count = 1;
	say(g, &command);
	commit(g);
}

static void found(struct generator *g)
{
	struct command command = {.number = COMMAND_found,
	    .found = {.name = "lab",
		.uuid = "11111111-2222-3333-4444-555555555555",
		.node = "hv1",
		.address = "10.0.0.1:1248",
		.incarnation = "one",
		.schema = 1}};
	struct command token = {.number = COMMAND_token,
	    .token = {.name = "hv2", .hash = SECRET_HASH, .valid_ms = 60000}};
	struct command join = {.number = COMMAND_join,
	    .client = 7,
	    .sequence = 1,
	    .join = {.name = "hv2",
		.address = "10.0.0.2:1248",
		.incarnation = "two",
		.hash = SECRET_HASH,
		.mode = NODE_COORDINATOR,
		.hypervisor = true}};
	g->members.n = 0;
	configuration_set(&g->members, 1, "10.0.0.1:1248", MEMBER_VOTER);
	g->term = 1;
	change(g);
	elect(g, 2);
	say(g, &command);
	commit(g);
	say(g, &token);
	say(g, &join);
	commit(g);
	configuration_set(&g->members, 2, "10.0.0.2:1248", MEMBER_STANDBY);
	change(g);
}

static void live(struct generator *g)
{
	static uint8_t xml[] = "<domain><name>web1</name><graphics passwd='geheim'/></domain>";
	struct command hello = {.number = COMMAND_node_hello,
	    .node_hello = {.node = 2,
		.version = "0.1.0",
		.schema_min = 1,
		.schema_max = 1,
		.hypervisor = true}};
	struct command run = {
	    .number = COMMAND_node_state, .node_state = {.node = 2, .state = DAEMON_RUN}};
	struct command define = {.number = COMMAND_vm_define,
	    .client = 9,
	    .sequence = 1,
	    .vm_define = {.name = "web1",
		.uuid = "99999999-2222-3333-4444-555555555555",
		.memory_mib = 512,
		.vcpus = 1,
		.xml = {.data = xml, .size = sizeof(xml) - 1}}};
	struct command start = {
	    .number = COMMAND_vm_state, .client = 9, .sequence = 2, .vm_state = {1, VM_START}};
	struct command takeover = {.number = COMMAND_takeover, .takeover = {1, 2}};
	struct command primary = {.number = COMMAND_primary, .primary = {1, 2}};
	say(g, &takeover);
	commit(g);
	say(g, &hello);
	say(g, &run);
	commit(g);
	tick(g, 0);
	say(g, &define);
	say(g, &primary);
	commit(g);
	say(g, &start);
	commit(g);
	tick(g, 1000);
}

static void snapshot(struct generator *g)
{
	struct buffer value = {0}, members = {0};
	snapshot_encode(&g->cluster, &value);
	configuration_encode(&g->members, &members);
	struct disk_request request = {.type = DISK_SNAPSHOT,
	    .snapshot = {.keep_from = g->index - 4,
		.snapshot = {.index = g->index,
		    .term = g->term,
		    .configuration_index = 5,
		    .configuration = members.data,
		    .configuration_size = members.size,
		    .data = value.data,
		    .size = value.size}}};
	submit(g, &request);
	buffer_close(&value);
	buffer_close(&members);
}

int main(int argc, char **argv)
{
	struct generator g = {0};
	struct disk_state state;
	struct err err;
	char path[4096];
	if (argc != 2)
		return 2;
	snprintf(path, sizeof(path), "%s/raft", argv[1]);
	mkdir(argv[1], 0755);
	mkdir(path, 0755);
	sem_init(&g.ready, 0, 0);
	cluster_init(&g.cluster);
	struct wal_options options = {.directory = path,
	    .segment_bytes = SEGMENT_BYTES,
	    .reserve_bytes = SEGMENT_BYTES,
	    .ready = ready,
	    .data = &g};
	if (wal_open(&g.wal, &options, &state, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	wal_forget_state(g.wal);
	g.disk = wal_disk(g.wal);
	found(&g);
	live(&g);
	snapshot(&g);
	tick(&g, 1000);
	elect(&g, 3);
	tick(&g, 0);
	tick(&g, 1000);
	wal_close(g.wal);
	cluster_close(&g.cluster);
	certificate_write(argv[1],
	    &(struct identity){
		.id = 1, .cluster = "11111111-2222-3333-4444-555555555555", .name = "hv1"});
	return 0;
}
