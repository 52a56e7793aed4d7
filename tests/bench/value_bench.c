/* The value and its log at full size: 100 nodes, 2,000 VMs whose XML is of about 3 KB.
 *
 *   value_bench [--data DIR] [--operations N]
 *
 * Prints a line of JSON for each figure:
 *   apply     operations applied per second, by the mix below
 *   tick      one tick with the keepalives of all nodes, 20 VMs each
 *   snapshot  made on the loop, and as it is stored
 *   restart   the directory opened, the snapshot restored and 10,000 entries applied; and
 *             what of that is before the log can go on; memory after it
 *   place     of the 20 VMs of a node: the tick in which its flush begins, its fence with a new
 *             place for each; and whether any node may be lost, reckoned for all of them
 *
 * The mix, for each 1,000 operations: one tick of all nodes, as many operations as a busy
 * second brings; the others in equal parts a VM's wanted state (stop, start, in turn), its
 * node's report that it has come about, and a fact of 200 bytes. All but the tick carry their
 * at-most-once mark. Each part runs in a process of its own, so that memory is its own too. */
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fsm/check.h"
#include "fsm/snapshot.h"
#include "fsm/tolerance.h"
#include "raft/batch.h"
#include "raft/configuration.h"
#include "raft/snapshot_file.h"
#include "raft/wal.h"

#define NODES	      100
#define VMS	      2000
#define FACTS	      500
#define TICK_EVERY    1000 /* operations */
#define LOG_ENTRIES   10000
#define APPEND_MAX    64 /* entries of one request */
#define ADDRESS	      "10.0.0.1:1248"
#define SNAPSHOT_TERM 5

static const char *data_directory = "build/bench/data";
static unsigned long operations_total = 500000;

static uint64_t clock_us(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* Applying waits for nothing: what other processes take does not count. */
static uint64_t used_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "value_bench: %s: %s\n", what, why);
	exit(1);
}

/* A cluster, and what its nodes and people say about it next. */

struct actor {
	uint64_t generation;
	enum { ACTOR_RUNNING, ACTOR_STOPPING, ACTOR_STOPPED, ACTOR_STARTING } state;
};

struct load {
	struct cluster cluster;
	struct actor vms[VMS];
	uint64_t sequences[NODES]; /* of each node's daemon as a client */
	uint64_t made; /* operations */
	uint32_t random;
};

static uint32_t chance(struct load *l, uint32_t below)
{
	l->random = l->random * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)l->random * below >> 32);
}

static uint32_t node_of(uint32_t vm)
{
	return (vm - 1) % NODES + 1;
}

static void mark(struct load *l, struct command *command, uint32_t node)
{
	command->client = 0x1234567800000000 + node;
	command->sequence = ++l->sequences[node - 1];
}

static void append_tick(struct load *l, struct buffer *out)
{
	static struct keepalive keepalives[NODES];
	static struct sighting sightings[VMS];
	static struct collector collectors[NODES][2];
	struct command command = {.number = COMMAND_tick};
	command.tick.elapsed_ms = 1000;
	command.tick.keepalives.items = keepalives;
	command.tick.keepalives.count = NODES;
	uint32_t used = 0;
	for (uint32_t node = 1; node <= NODES; node++) {
		struct keepalive *k = &keepalives[node - 1];
		*k = (struct keepalive){.node = node,
		    .memory_total_mib = 262144,
		    .memory_used_mib = 100000 + chance(l, 4096),
		    .memory_free_mib = 150000 + chance(l, 4096),
		    .vcpus_total = 64,
		    .load_milli = chance(l, 64000),
		    .sightings_known = true};
		k->sightings.items = &sightings[used];
		for (uint32_t vm = node; vm <= VMS; vm += NODES) {
			const struct actor *a = &l->vms[vm - 1];
			bool on = a->state == ACTOR_RUNNING || a->state == ACTOR_STOPPING;
			sightings[used++] = (struct sighting){.vm = vm,
			    .generation = a->generation,
			    .observed = on ? OBSERVED_RUNNING : OBSERVED_SHUTOFF};
		}
		k->sightings.count = VMS / NODES;
		k->collectors.items = collectors[node - 1];
		k->collectors.count = 2;
		for (unsigned i = 0; i < 2; i++) {
			struct collector *c = &collectors[node - 1][i];
			*c = (struct collector){.state = COLLECTOR_OK, .age_ms = chance(l, 900)};
			snprintf(c->name, sizeof(c->name), "%s", i ? "hypervisor" : "host");
		}
	}
	command_encode(&command, out);
}

static void append_fact(struct load *l, struct buffer *out)
{
	struct command command = {.number = COMMAND_fact};
	uint8_t value[200];
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)('a' + chance(l, 26));
	snprintf(command.fact.key, sizeof(command.fact.key), "network/vni%u", chance(l, FACTS));
	command.fact.value = (struct blob){value, sizeof(value)};
	mark(l, &command, chance(l, NODES) + 1);
	command_encode(&command, out);
}

/* What comes next in the life of this VM: it is asked for, or it has come about. */
static void append_step(struct load *l, uint32_t vm, struct buffer *out)
{
	struct actor *a = &l->vms[vm - 1];
	struct command command = {.number = COMMAND_vm_state};
	bool asked = a->state == ACTOR_RUNNING || a->state == ACTOR_STOPPED;
	if (asked) {
		a->generation++;
		command.vm_state.vm = vm;
		command.vm_state.state = a->state == ACTOR_RUNNING ? VM_STOP : VM_START;
	} else {
		command.number = COMMAND_vm_report;
		command.vm_report.node = node_of(vm);
		command.vm_report.vm = vm;
		command.vm_report.generation = a->generation;
		command.vm_report.observed =
		    a->state == ACTOR_STOPPING ? OBSERVED_SHUTOFF : OBSERVED_RUNNING;
	}
	a->state = a->state == ACTOR_STARTING ? ACTOR_RUNNING : a->state + 1;
	mark(l, &command, node_of(vm));
	command_encode(&command, out);
}

static void append_next(struct load *l, struct buffer *out)
{
	uint64_t number = l->made++;
	if (number % TICK_EVERY == 0)
		append_tick(l, out);
	else if (number % 3 == 0)
		append_fact(l, out);
	else
		append_step(l, chance(l, VMS) + 1, out);
}

/* Bringing it up. */

static void apply(struct load *l, const struct buffer *operation)
{
	struct err err = {{0}};
	if (cluster_apply(
		&l->cluster, l->cluster.index + 1, operation->data, operation->size, &err) < 0)
		die("an operation", err.text);
}

static void say(struct load *l, const struct command *command)
{
	struct buffer operation = {0};
	command_encode(command, &operation);
	apply(l, &operation);
	buffer_close(&operation);
}

/* As virt-install makes it: two disks, two networks, serial, graphics. */
static void print_xml(struct buffer *out, const char *name, const char *uuid, uint32_t vm)
{
	buffer_print(out,
	    "<domain type='kvm'>\n  <name>%s</name>\n  <uuid>%s</uuid>\n"
	    "  <metadata>\n    <libosinfo:libosinfo xmlns:libosinfo="
	    "\"http://libosinfo.org/xmlns/libvirt/domain/1.0\">\n"
	    "      <libosinfo:os id=\"http://libosinfo.org/linux/2022\"/>\n"
	    "    </libosinfo:libosinfo>\n  </metadata>\n"
	    "  <memory unit='MiB'>4096</memory>\n  <vcpu placement='static'>4</vcpu>\n"
	    "  <os>\n    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n"
	    "    <boot dev='hd'/>\n  </os>\n"
	    "  <features>\n    <acpi/>\n    <apic/>\n    <vmport state='off'/>\n  </features>\n"
	    "  <cpu mode='host-model' check='partial'/>\n"
	    "  <clock offset='utc'>\n    <timer name='rtc' tickpolicy='catchup'/>\n"
	    "    <timer name='pit' tickpolicy='delay'/>\n    <timer name='hpet' present='no'/>\n"
	    "  </clock>\n  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>restart</on_reboot>\n"
	    "  <on_crash>restart</on_crash>\n  <devices>\n"
	    "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n",
	    name, uuid);
	for (unsigned disk = 0; disk < 2; disk++)
		buffer_print(out,
		    "    <disk type='network' device='disk'>\n"
		    "      <driver name='qemu' type='raw' cache='none' discard='unmap'/>\n"
		    "      <auth username='libvirt'>\n"
		    "        <secret type='ceph' uuid='c416032b-2ad9-457f-a5c2-18704a3485f4'/>\n"
		    "      </auth>\n      <source protocol='rbd' name='vms/%s_disk%u'>\n"
		    "        <host name='coordinator1.storage.example.org' port='6789'/>\n"
		    "        <host name='coordinator2.storage.example.org' port='6789'/>\n"
		    "        <host name='coordinator3.storage.example.org' port='6789'/>\n"
		    "      </source>\n      <target dev='sd%c' bus='scsi'/>\n    </disk>\n",
		    name, disk, 'a' + disk);
	for (unsigned nic = 0; nic < 2; nic++)
		buffer_print(out,
		    "    <interface type='bridge'>\n"
		    "      <mac address='52:54:00:%02x:%02x:%02x'/>\n"
		    "      <source bridge='vmbr%u'/>\n      <model type='virtio'/>\n"
		    "      <mtu size='1500'/>\n    </interface>\n",
		    vm * 7 % 251, vm % 256, vm / 256 * 2 + nic, 100 + vm % 60);
	buffer_print(out,
	    "    <controller type='scsi' index='0' model='virtio-scsi'/>\n"
	    "    <controller type='pci' index='0' model='pcie-root'/>\n"
	    "    <serial type='pty'>\n      <log file='/var/log/libvirt/%s.log' append='on'/>\n"
	    "      <target type='isa-serial' port='0'/>\n    </serial>\n"
	    "    <console type='pty'>\n      <target type='serial' port='0'/>\n    </console>\n"
	    "    <channel type='unix'>\n"
	    "      <target type='virtio' name='org.qemu.guest_agent.0'/>\n"
	    "    </channel>\n    <graphics type='vnc' port='-1' listen='127.0.0.1'/>\n"
	    "    <video>\n      <model type='virtio' heads='1' primary='yes'/>\n    </video>\n"
	    "    <watchdog model='i6300esb' action='reset'/>\n"
	    "    <memballoon model='virtio'/>\n    <rng model='virtio'>\n"
	    "      <backend model='random'>/dev/urandom</backend>\n    </rng>\n"
	    "  </devices>\n</domain>\n",
	    name);
}

static void define(struct load *l, uint32_t vm)
{
	struct command command = {.number = COMMAND_vm_define};
	struct command_vm_define *define = &command.vm_define;
	struct buffer xml = {0};
	snprintf(define->name, sizeof(define->name), "customer%u-web%u", vm / 8, vm % 8);
	snprintf(define->uuid, sizeof(define->uuid), "%08x-%04x-4%03x-8%03x-%08x%04x",
	    chance(l, UINT32_MAX), chance(l, 65536), chance(l, 4096), chance(l, 4096),
	    chance(l, UINT32_MAX), vm);
	print_xml(&xml, define->name, define->uuid, vm);
	define->memory_mib = 4096;
	define->vcpus = 4;
	define->node = node_of(vm);
	define->autostart = true;
	define->xml = (struct blob){xml.data, (uint32_t)xml.size};
	mark(l, &command, define->node);
	say(l, &command);
	buffer_close(&xml);
	l->vms[vm - 1] = (struct actor){.generation = 1, .state = ACTOR_STOPPED};
}

static void join(struct load *l, uint32_t id)
{
	static const char hash[] =
	    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 60000}};
	struct command command = {.number = COMMAND_join};
	struct command_join *join = &command.join;
	memcpy(token.token.hash, hash, sizeof(hash));
	memcpy(join->hash, hash, sizeof(hash));
	snprintf(join->name, sizeof(join->name), "hv%u", id);
	snprintf(join->address, sizeof(join->address), "10.0.0.%u:1248", id);
	snprintf(join->incarnation, sizeof(join->incarnation), "%048x", id * 2654435761u);
	join->mode = id <= 5 ? NODE_COORDINATOR : NODE_HYPERVISOR;
	join->hypervisor = true;
	say(l, &token);
	say(l, &command);
}

static void hello(struct load *l, uint32_t id)
{
	struct command hello = {.number = COMMAND_node_hello,
	    .node_hello = {.node = id,
		.version = "0.1.0",
		.schema_min = 1,
		.schema_max = 1,
		.kernel = "6.1.0-28-amd64",
		.arch = "x86_64",
		.hypervisor = true}};
	struct command run = {
	    .number = COMMAND_node_state, .node_state = {.node = id, .state = DAEMON_RUN}};
	say(l, &hello);
	say(l, &run);
}

static void populate(struct load *l)
{
	struct command found = {.number = COMMAND_found,
	    .found = {.name = "bench",
		.uuid = "c416032b-2ad9-457f-a5c2-18704a3485f4",
		.node = "hv1",
		.address = ADDRESS,
		.incarnation = "one",
		.schema = 1}};
	struct buffer operation = {0};
	cluster_init(&l->cluster);
	say(l, &found);
	for (uint32_t id = 2; id <= NODES; id++)
		join(l, id);
	for (uint32_t id = 1; id <= NODES; id++)
		hello(l, id);
	append_tick(l, &operation);
	apply(l, &operation);
	for (uint32_t vm = 1; vm <= VMS; vm++)
		define(l, vm);
	for (uint32_t vm = 1; vm <= VMS; vm++)
		for (unsigned step = 0; step < 2; step++) {
			operation.size = 0;
			append_step(l, vm, &operation);
			apply(l, &operation);
		}
	for (unsigned i = 0; i < 4 * FACTS; i++) {
		operation.size = 0;
		append_fact(l, &operation);
		apply(l, &operation);
	}
	buffer_close(&operation);
}

/* Figures. */

static void measure_apply(struct load *l)
{
	struct buffer operations = {0};
	uint64_t took_us = 0, ticks_us = 0;
	size_t ends[TICK_EVERY];
	unsigned long done = 0;
	for (; done < operations_total; done += TICK_EVERY) {
		operations.size = 0;
		for (unsigned i = 0; i < TICK_EVERY; i++) {
			append_next(l, &operations);
			ends[i] = operations.size;
		}
		uint64_t start = used_us(), tick = 0;
		size_t at = 0;
		for (unsigned i = 0; i < TICK_EVERY; at = ends[i++]) {
			struct buffer one = {operations.data + at, ends[i] - at, 0};
			apply(l, &one);
			if (i == 0)
				tick = used_us() - start;
		}
		took_us += used_us() - start;
		ticks_us += tick;
	}
	struct err err;
	if (check_cluster(&l->cluster, &err))
		die("the value", err.text);
	printf("{\"figure\": \"apply\", \"per_second\": %.0f, \"operations\": %lu}\n",
	    (double)done * 1e6 / (double)took_us, done);
	printf("{\"figure\": \"tick\", \"us\": %.0f, \"keepalives\": %d}\n",
	    (double)ticks_us / (double)(done / TICK_EVERY), NODES);
	buffer_close(&operations);
}

/* What is on the disk of a group's only member. */
static void encode_members(struct buffer *out)
{
	struct configuration members = {.n = 0};
	configuration_set(&members, 1, ADDRESS, MEMBER_VOTER);
	configuration_encode(&members, out);
}

static void measure_snapshot(struct load *l, struct buffer *value)
{
	struct buffer members = {0}, file = {0};
	uint64_t worst_us = 0; /* of the first one: its memory is new */
	encode_members(&members);
	for (unsigned i = 0; i < 10; i++) {
		buffer_close(value);
		uint64_t start = now_us();
		snapshot_encode(&l->cluster, value);
		uint64_t took_us = now_us() - start;
		worst_us = took_us > worst_us ? took_us : worst_us;
	}
	struct snapshot_file contents = {.snapshot = {.index = l->cluster.index,
					     .term = SNAPSHOT_TERM,
					     .configuration_index = 1,
					     .configuration = members.data,
					     .configuration_size = members.size,
					     .data = value->data,
					     .size = value->size}};
	snapshot_file_encode(&contents, &file);
	printf("{\"figure\": \"snapshot\", \"bytes\": %zu, \"stored_bytes\": %zu, "
	       "\"loop_ms\": %.2f}\n",
	    value->size, file.size, (double)worst_us / 1000);
	buffer_close(&members);
	buffer_close(&file);
}

/* The disk. */

struct store {
	struct wal *wal;
	struct disk disk;
	sem_t ready;
	uint64_t ticket, answered;
};

static void store_ready(void *data)
{
	sem_post(&((struct store *)data)->ready);
}

static void store_done(void *data, uint64_t ticket, int status)
{
	if (status)
		die("a write", strerror(-status));
	((struct store *)data)->answered = ticket;
}

static void store_open(struct store *s, struct disk_state *state)
{
	struct err err;
	*s = (struct store){0};
	sem_init(&s->ready, 0, 0);
	struct wal_options options = {.directory = data_directory, .ready = store_ready, .data = s};
	if (wal_open(&s->wal, &options, state, &err))
		die("the log", err.text);
	s->disk = wal_disk(s->wal);
}

static void submit(struct store *s, struct disk_request *request)
{
	request->ticket = ++s->ticket;
	s->disk.submit(s->disk.data, request);
	while (s->answered < s->ticket) {
		sem_wait(&s->ready);
		wal_collect(s->wal, store_done, s);
	}
}

static void write_log(struct load *l, struct store *s)
{
	struct buffer operation = {0}, payloads[APPEND_MAX] = {{0}};
	struct disk_entry entries[APPEND_MAX];
	uint64_t index = l->cluster.index + 1;
	for (unsigned done = 0; done < LOG_ENTRIES; index += APPEND_MAX, done += APPEND_MAX) {
		unsigned n = LOG_ENTRIES - done < APPEND_MAX ? LOG_ENTRIES - done : APPEND_MAX;
		for (unsigned i = 0; i < n; i++) {
			struct batch batch = {0};
			operation.size = payloads[i].size = 0;
			append_next(l, &operation);
			batch_add(&batch, operation.data, operation.size);
			batch_encode(&batch, &payloads[i]);
			batch_close(&batch);
			entries[i] = (struct disk_entry){.term = SNAPSHOT_TERM,
			    .type = DISK_COMMAND,
			    .size = (uint32_t)payloads[i].size,
			    .data = payloads[i].data};
		}
		struct disk_request append = {
		    .type = DISK_APPEND, .append = {.index = index, .entries = entries, .n = n}};
		submit(s, &append);
	}
	for (unsigned i = 0; i < APPEND_MAX; i++)
		buffer_close(&payloads[i]);
	buffer_close(&operation);
}

static void write_directory(struct load *l, const struct buffer *value)
{
	struct store s;
	struct disk_state state;
	struct buffer members = {0};
	store_open(&s, &state);
	if (state.n || state.has_snapshot)
		die(data_directory, "is not empty");
	wal_forget_state(s.wal);
	encode_members(&members);
	struct disk_request vote = {.type = DISK_VOTE, .vote = {.term = SNAPSHOT_TERM, .vote = 1}};
	struct disk_request snapshot = {.type = DISK_SNAPSHOT,
	    .snapshot = {.installed = true,
		.snapshot = {.index = l->cluster.index,
		    .term = SNAPSHOT_TERM,
		    .configuration_index = 1,
		    .configuration = members.data,
		    .configuration_size = members.size,
		    .data = value->data,
		    .size = value->size}}};
	submit(&s, &vote);
	submit(&s, &snapshot);
	write_log(l, &s);
	wal_close(s.wal);
	buffer_close(&members);
}

static void build(void)
{
	struct load *l = must_alloc(sizeof(*l));
	struct buffer value = {0};
	l->random = 1;
	populate(l);
	measure_apply(l);
	measure_snapshot(l, &value);
	write_directory(l, &value);
}

/* The restart. */

static int machine_apply(void *data, uint64_t index, const uint8_t *operation, size_t size)
{
	int result = cluster_apply(data, index, operation, size, NULL);
	if (result < 0)
		die("an entry", strerror(-result));
	return result;
}

static void machine_snapshot(void *data, struct buffer *out)
{
	snapshot_encode(data, out);
}

static int machine_restore(void *data, uint64_t index, const uint8_t *bytes, size_t size)
{
	return snapshot_decode(data, bytes, size, NULL);
}

static void send_nothing(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
}

static void answered(void *data, uint64_t request, int result, uint64_t index)
{
}

static void changed(void *data)
{
}

struct written {
	struct store *store;
	struct replica *replica;
};

static void written(void *data, uint64_t ticket, int status)
{
	struct written *w = data;
	replica_written(w->replica, ticket, status, now_us() / 1000);
}

static long status_kib(const char *field)
{
	char line[256];
	long kib = 0;
	FILE *file = fopen("/proc/self/status", "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, field, strlen(field)))
			kib = strtol(line + strlen(field), NULL, 10);
	if (file)
		fclose(file);
	return kib;
}

static void restart(void)
{
	struct cluster cluster;
	struct store s;
	struct disk_state state;
	struct replica_status status;
	struct err err;
	cluster_init(&cluster);
	uint64_t start = now_us();
	store_open(&s, &state);
	uint64_t opened_us = now_us() - start;
	struct replica_options options = {.id = 1,
	    .address = ADDRESS,
	    .heartbeat_ms = 50,
	    .election_ms = 300,
	    .lease_ms = 200,
	    .seed = 1};
	struct replica_ports ports = {.disk = s.disk,
	    .machine = {.data = &cluster,
		.apply = machine_apply,
		.snapshot = machine_snapshot,
		.restore = machine_restore},
	    .send = send_nothing,
	    .answered = answered,
	    .changed = changed};
	struct replica *r = replica_new(&options, &ports, &state, now_us() / 1000, &err);
	if (!r)
		die("the replica", err.text);
	wal_forget_state(s.wal);
	uint64_t made_us = now_us() - start;
	struct written w = {&s, r};
	do {
		sem_wait(&s.ready);
		wal_collect(s.wal, written, &w);
		replica_flush(r, now_us() / 1000);
		replica_status(r, &status);
	} while (status.role != REPLICA_LEADER || status.applied < status.last);
	uint64_t ready_us = now_us() - start;
	if (cluster.index < status.snapshot_index + LOG_ENTRIES)
		die("the replica", "did not apply all entries");
	printf("{\"figure\": \"restart\", \"ready_ms\": %.0f, \"open_ms\": %.0f, \"new_ms\": %.0f, "
	       "\"entries\": %d, \"rss_kib\": %ld, \"rss_kib_max\": %ld}\n",
	    (double)ready_us / 1000, (double)opened_us / 1000, (double)(made_us - opened_us) / 1000,
	    LOG_ENTRIES, status_kib("VmRSS:"), status_kib("VmHWM:"));
	if (check_cluster(&cluster, &err))
		die("the value", err.text);
	wal_close(s.wal);
	replica_free(r);
	cluster_close(&cluster);
}

/* Places for the VMs of a node. */

static uint64_t applied_us(struct load *l, const struct command *command)
{
	struct buffer operation = {0};
	command_encode(command, &operation);
	uint64_t start = used_us();
	apply(l, &operation);
	uint64_t took_us = used_us() - start;
	buffer_close(&operation);
	return took_us;
}

static uint64_t tolerance_us(const struct cluster *c)
{
	const unsigned times = 10;
	struct tolerance t;
	uint64_t start = used_us();
	for (unsigned i = 0; i < times; i++) {
		tolerance_open(c, &t);
		if (t.count)
			die("tolerance", "there is room for all, and it is not seen");
		tolerance_close(&t);
	}
	return (used_us() - start) / times;
}

static unsigned moving(const struct cluster *c)
{
	unsigned n = 0;
	cluster_each(c->vms, struct vm, vm) n += vm->state == VM_MIGRATE;
	return n;
}

static void place(void)
{
	struct load *l = must_alloc(sizeof(*l));
	struct command tick = {.number = COMMAND_tick}, silence = tick;
	struct command fence = {
	    .number = COMMAND_node_fenced, .node_fenced = {.node = NODES, .by_hand = true}};
	struct command flush = {
	    .number = COMMAND_node_domain, .node_domain = {.node = 1, .domain = DOMAIN_FLUSH}};
	l->random = 1;
	populate(l);
	uint64_t judged_us = tolerance_us(&l->cluster);
	say(l, &flush);
	uint64_t flush_us = applied_us(l, &tick);
	if (moving(&l->cluster) != VMS / NODES)
		die("the flush", "moves other VMs than it should");
	silence.tick.elapsed_ms = 5000;
	say(l, &silence);
	uint64_t fence_us = applied_us(l, &fence);
	cluster_each(l->cluster.vms, struct vm, vm) if (!vm->node || vm->node == NODES)
	    die(vm->name, "has no place");
	printf("{\"figure\": \"place\", \"flush_us\": %" PRIu64 ", \"fence_us\": %" PRIu64
	       ", \"tolerance_us\": %" PRIu64 "}\n",
	    flush_us, fence_us, judged_us);
}

/* 0 when it did what it should. */
static int apart(void (*part)(void))
{
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		part();
		fflush(stdout);
		_exit(0);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status;
}

static void remove_directory(void)
{
	char name[4096];
	snprintf(name, sizeof(name), "%s", data_directory);
	char *remove[] = {"rm", "-rf", name, NULL};
	execvp("rm", remove);
	die("rm", strerror(errno));
}

int main(int argc, char **argv)
{
	char directory[4096];
	for (int i = 1; i < argc; i += 2) {
		if (!strcmp(argv[i], "--data") && argv[i + 1])
			data_directory = argv[i + 1];
		else if (!strcmp(argv[i], "--operations") && argv[i + 1])
			operations_total = strtoul(argv[i + 1], NULL, 10);
		else {
			fputs("usage: value_bench [--data DIR] [--operations N]\n", stderr);
			return 2;
		}
	}
	snprintf(directory, sizeof(directory), "%s/value.XXXXXX", data_directory);
	if (!mkdtemp(directory))
		die(directory, strerror(errno));
	data_directory = directory;
	int failed = apart(build);
	failed = failed || apart(restart);
	failed = failed || apart(place);
	return apart(remove_directory) || failed;
}
