/* Any operations, one after another, on a small cluster that is at work: each is applied or
 * refused, the value stays sound, and its snapshot gives it back.
 *
 * The input is a list of operations: two octets for the size, little endian, then the bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/check.h"
#include "fsm/snapshot.h"

#define OPERATIONS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct cluster *c)
{
	struct err err = {""};
	if (check_cluster(c, &err) == 0)
		return;
	fprintf(stderr, "index %llu: %s\n", (unsigned long long)c->index, err.text);
	abort();
}

static void apply(struct cluster *c, struct command command)
{
	struct buffer bytes = {0};
	struct err err = {""};
	command_encode(&command, &bytes);
	if (cluster_apply(c, c->index + 1, bytes.data, bytes.size, &err) < 0) {
		fprintf(stderr, "prepare: %s\n", err.text);
		abort();
	}
	buffer_close(&bytes);
}

static void prepare_node(struct cluster *c, unsigned number)
{
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 1000000}};
	struct command join = {.number = COMMAND_join, .join = {.mode = number < 3}};
	snprintf(token.token.hash, sizeof(token.token.hash), "%064u", number);
	memcpy(join.join.hash, token.token.hash, sizeof(join.join.hash));
	snprintf(join.join.name, sizeof(join.join.name), "n%u", number);
	snprintf(join.join.address, sizeof(join.join.address), "n%u:1", number);
	snprintf(join.join.incarnation, sizeof(join.join.incarnation), "i%u", number);
	join.join.hypervisor = true;
	apply(c, token);
	apply(c, join);
}

static void prepare_run(struct cluster *c, uint32_t node)
{
	struct keepalive keepalive = {.node = node, .memory_total_mib = 8192, .vcpus_total = 8};
	apply(c, (struct command){.number = COMMAND_node_hello,
		     .node_hello = {.node = node, .hypervisor = true, .schema_max = 1}});
	apply(c, (struct command){.number = COMMAND_node_state,
		     .node_state = {.node = node, .state = DAEMON_RUN}});
	apply(c, (struct command){.number = COMMAND_tick,
		     .tick = {.elapsed_ms = 100, .keepalives = {&keepalive, 1}}});
}

static void prepare_vm(struct cluster *c, unsigned number, uint32_t node)
{
	struct command define = {.client = 7, .sequence = number, .number = COMMAND_vm_define};
	snprintf(define.vm_define.name, sizeof(define.vm_define.name), "v%u", number);
	snprintf(define.vm_define.uuid, sizeof(define.vm_define.uuid),
	    "00000000-0000-4000-8000-%012u", number);
	define.vm_define.memory_mib = 1024 * number;
	define.vm_define.vcpus = 1;
	define.vm_define.node = node;
	apply(c, define);
}

/* Three nodes, the first of them primary; a VM that runs, one that is off, one that waits. */
static void prepare(struct cluster *c)
{
	struct command found = {.number = COMMAND_found,
	    .found = {.name = "c", .uuid = "u", .node = "n1", .address = "n1:1", .schema = 1}};
	cluster_init(c);
	apply(c, found);
	prepare_node(c, 2);
	prepare_node(c, 3);
	for (uint32_t node = 1; node <= 3; node++)
		prepare_run(c, node);
	apply(c, (struct command){.number = COMMAND_takeover, .takeover = {.node = 1, .epoch = 5}});
	apply(c, (struct command){.number = COMMAND_primary, .primary = {.node = 1, .epoch = 5}});
	prepare_vm(c, 1, 1);
	prepare_vm(c, 2, 2);
	prepare_vm(c, 9, 0);
	apply(c,
	    (struct command){.number = COMMAND_vm_state, .vm_state = {.vm = 1, .state = VM_START}});
	apply(c, (struct command){.number = COMMAND_vm_report,
		     .vm_report = {.node = 1,
			 .vm = 1,
			 .generation = cluster_vm(c, 1)->generation,
			 .observed = OBSERVED_RUNNING}});
	check(c);
}

static void print(const uint8_t *bytes, size_t size)
{
	struct command command;
	struct buffer text = {0};
	if (command_decode(&command, bytes, size))
		return;
	command_print(&command, &text);
	text.size = 0;
	command_encode(&command, &text);
	if (text.size != size || memcmp(text.data, bytes, size) != 0)
		abort();
	command_clear(&command);
	buffer_close(&text);
}

static void check_snapshot(struct cluster *c)
{
	struct cluster other;
	struct buffer bytes = {0}, again = {0};
	struct err err = {""};
	cluster_init(&other);
	snapshot_encode(c, &bytes);
	if (snapshot_decode(&other, bytes.data, bytes.size, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	snapshot_encode(&other, &again);
	if (again.size != bytes.size || memcmp(again.data, bytes.data, bytes.size) != 0)
		abort();
	buffer_close(&bytes);
	buffer_close(&again);
	cluster_close(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cluster c;
	struct reader in = reader_of(data, size);
	prepare(&c);
	for (unsigned i = 0; i < OPERATIONS_MAX && reader_left(&in) > 2; i++) {
		size_t length = reader_u8(&in);
		length |= (size_t)reader_u8(&in) << 8;
		if (length > reader_left(&in))
			length = reader_left(&in);
		const uint8_t *operation = reader_bytes(&in, length);
		uint64_t hash = c.hash;
		bool marked = length && operation[0]; /* a session remembers refusals too */
		print(operation, length);
		int result = cluster_apply(&c, c.index + 1, operation, length, NULL);
		if (result < 0 && !marked && c.hash != hash)
			abort();
		check(&c);
	}
	check_snapshot(&c);
	cluster_close(&c);
	return 0;
}
