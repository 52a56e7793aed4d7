/* How long people wait for `pvc vm list` of 100 nodes and 2,000 VMs that run.
 *
 *   list_bench [--times N] [--pvc BINARY]
 *
 * The value is real, and so are the control socket, served by a process of its own, and the
 * program that asks: from its start to its end is what is measured, as a person would. No
 * hypervisor is there to be asked. Prints a line of JSON for each form of the answer:
 *   p50_ms, worst_ms  of the whole program
 *   bytes             that it printed */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/control/control.h"

#define NODES	  100
#define VMS	  2000
#define TIMES_MAX 1000

static const char token_hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char *binary = "build/release/pvc";
static unsigned times = 50;
static char directory[] = "/tmp/list_bench.XXXXXX";
static char path[64];

static void die(const char *what, const char *why)
{
	fprintf(stderr, "list_bench: %s: %s\n", what, why);
	exit(1);
}

static void say(struct cluster *c, const struct command *command)
{
	struct buffer operation = {0};
	struct err err = {""};
	command_encode(command, &operation);
	if (cluster_apply(c, c->index + 1, operation.data, operation.size, &err) < 0)
		die("an operation", err.text);
	buffer_close(&operation);
}

static void add_node(struct cluster *c, uint32_t id)
{
	struct command token = {.number = COMMAND_token, .token = {.valid_ms = 60000}};
	struct command join = {
	    .number = COMMAND_join, .join = {.mode = NODE_COORDINATOR, .hypervisor = true}};
	struct command hello = {.number = COMMAND_node_hello,
	    .node_hello = {.node = id,
		.version = "0.1.0",
		.schema_min = 1,
		.schema_max = 1,
		.hypervisor = true}};
	struct command run = {
	    .number = COMMAND_node_state, .node_state = {.node = id, .state = DAEMON_RUN}};
	if (id > 1) {
		memcpy(token.token.hash, token_hash, sizeof(token_hash));
		memcpy(join.join.hash, token_hash, sizeof(token_hash));
		snprintf(join.join.name, sizeof(join.join.name), "hv%u", id);
		snprintf(join.join.address, sizeof(join.join.address), "10.0.0.%u:7480", id);
		snprintf(join.join.incarnation, sizeof(join.join.incarnation), "of %u", id);
		say(c, &token);
		say(c, &join);
	}
	say(c, &hello);
	say(c, &run);
}

static void add_vm(struct cluster *c, uint32_t id)
{
	struct command define = {.number = COMMAND_vm_define,
	    .vm_define = {.memory_mib = 4096, .vcpus = 4, .node = (id - 1) % NODES + 1}};
	struct command start = {
	    .number = COMMAND_vm_state, .vm_state = {.vm = id, .state = VM_START}};
	snprintf(define.vm_define.name, sizeof(define.vm_define.name), "customer%u-web%u", id / 8,
	    id % 8);
	snprintf(define.vm_define.uuid, sizeof(define.vm_define.uuid),
	    "c416032b-2ad9-457f-a5c2-%012x", id);
	say(c, &define);
	say(c, &start);
}

/* Every node is heard, and says that its VMs run. */
static void hear_all(struct cluster *c)
{
	static struct keepalive keepalives[NODES];
	static struct sighting sightings[NODES][VMS / NODES];
	struct command command = {.number = COMMAND_tick};
	command.tick.keepalives.items = keepalives;
	command.tick.keepalives.count = NODES;
	for (uint32_t node = 1; node <= NODES; node++) {
		struct keepalive *k = &keepalives[node - 1];
		*k = (struct keepalive){.node = node,
		    .memory_total_mib = 262144,
		    .memory_free_mib = 150000,
		    .vcpus_total = 64,
		    .sightings_known = true};
		k->sightings.items = sightings[node - 1];
	}
	cluster_each(c->vms, struct vm, vm)
	{
		struct keepalive *k = &keepalives[vm->node - 1];
		k->sightings.items[k->sightings.count++] = (struct sighting){
		    .vm = vm->id, .generation = vm->generation, .observed = OBSERVED_RUNNING};
	}
	say(c, &command);
}

static void populate(struct cluster *c)
{
	struct command found = {.number = COMMAND_found,
	    .found = {.name = "bench",
		.uuid = "c416032b-2ad9-457f-a5c2-18704a3485f4",
		.node = "hv1",
		.address = "10.0.0.1:7480",
		.incarnation = "one",
		.schema = 1}};
	cluster_init(c);
	say(c, &found);
	for (uint32_t id = 1; id <= NODES; id++)
		add_node(c, id);
	hear_all(c);
	for (uint32_t id = 1; id <= VMS; id++)
		add_vm(c, id);
	hear_all(c);
}

/* What the daemon is to those who ask it. */

static uint64_t context_now_ms(void *data)
{
	return 0;
}

static struct replica *context_replica(void *data)
{
	return NULL;
}

static const char *context_trouble(void *data)
{
	return "";
}

static void context_propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	done(done_data, -ENOTSUP, 0, NULL);
}

static void port_propose(void *data, uint64_t request, const uint8_t *operation, size_t size)
{
}

static void port_read(void *data, uint64_t request)
{
}

/* Until it is killed, at the latest with its parent; a byte goes to ready once it listens. */
static void serve(struct cluster *c, int ready)
{
	struct context context = {
	    .id = 1,
	    .cluster = c,
	    .now_ms = context_now_ms,
	    .replica = context_replica,
	    .trouble = context_trouble,
	    .propose = context_propose,
	};
	uv_loop_t loop;
	struct control *control;
	struct err err;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	uv_loop_init(&loop);
	struct control_options options = {.loop = &loop,
	    .path = path,
	    .context = &context,
	    .ports = {NULL, port_propose, port_read, port_read}};
	if (control_open(&control, &options, &err))
		die("the socket", err.text);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	uv_run(&loop, UV_RUN_DEFAULT);
	_exit(0);
}

static pid_t start_server(struct cluster *c)
{
	int ready[2];
	char byte;
	if (pipe(ready))
		die("pipe", "no descriptors");
	pid_t pid = fork();
	if (pid == 0)
		serve(c, ready[1]);
	close(ready[1]);
	if (pid < 0 || read(ready[0], &byte, 1) != 1)
		die("the server", "it did not come up");
	close(ready[0]);
	return pid;
}

/* Asking. */

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1000000;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Run it with its output in a file; the milliseconds from its start to its end. */
static double ask(const char *format, int out)
{
	double begin = now_ms();
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out, STDOUT_FILENO);
		execl(binary, "pvc", "-s", path, "vm", "list", "-f", format, (char *)NULL);
		_exit(127);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		die(binary, "vm list failed");
	return now_ms() - begin;
}

static void measure(const char *format)
{
	static double took[TIMES_MAX];
	char name[96];
	snprintf(name, sizeof(name), "%s/answer", directory);
	int out = open(name, O_RDWR | O_CREAT, 0600);
	if (out < 0)
		die(name, "cannot be written");
	for (unsigned i = 0; i < times; i++) {
		if (ftruncate(out, 0) || lseek(out, 0, SEEK_SET))
			die(name, "cannot be written");
		took[i] = ask(format, out);
	}
	long bytes = (long)lseek(out, 0, SEEK_END);
	close(out);
	unlink(name);
	if (bytes < VMS * 50)
		die("vm list", "the answer is too short for so many VMs");
	qsort(took, times, sizeof(*took), compare);
	printf("{\"figure\": \"%s\", \"p50_ms\": %.1f, \"worst_ms\": %.1f, \"bytes\": %ld}\n",
	    format, took[times / 2], took[times - 1], bytes);
}

static void read_options(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--times"))
			times = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--pvc"))
			binary = argv[i + 1];
		else
			die(argv[i], "there is no such option");
	}
	if (argc % 2 == 0 || !times || times > TIMES_MAX)
		die("usage", "list_bench [--times 1..1000] [--pvc BINARY]");
}

int main(int argc, char **argv)
{
	static struct cluster cluster;
	read_options(argc, argv);
	if (!mkdtemp(directory))
		die(directory, "cannot be made");
	snprintf(path, sizeof(path), "%s/socket", directory);
	populate(&cluster);
	pid_t server = start_server(&cluster);
	measure("table");
	measure("json");
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(path);
	rmdir(directory);
	return 0;
}
