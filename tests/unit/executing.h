/* A node that carries out what it plans, for execute_test: agent, workers and simulated ports, a
 * value that every command is applied to at once, and what tests look for and wait for. */
#ifndef TESTS_UNIT_EXECUTING_H
#define TESTS_UNIT_EXECUTING_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fsm/change.h"
#include "node/vm/execute.h"
#include "node/worker/worker_main.h"
#include "raft/clock.h"

#define PATIENCE_MS 60000
#define BEAT_MS	    250 /* without news */
#define OWN	    "v1:127.0.0.1:0/77"
#define OTHER	    "v1:10.0.0.2:0/88"
#define STRANGER    "v1:10.9.9.9:0/99"
#define HUNG_VM	    "vms/33333333-0000-4000-8000-000000000000" /* whose look ends only with it */

static uv_loop_t loop;
static uv_timer_t alarm_timer, beat;
static char directory[] = "/tmp/execute_test.XXXXXX";
static struct config config;
static struct cluster c;
static struct agent agent;
static struct execute *execute;
static struct standing standing;
static unsigned fails_told; /* vm_fail, to the log */
static bool late; /* waited in vain */
static bool beats; /* the node judges by itself */

static const char *path_of(const char *name)
{
	static char paths[4][256];
	static unsigned at;
	char *path = paths[at++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static bool is_there(const char *name)
{
	return access(path_of(name), F_OK) == 0;
}

static void file_write(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static const char *file_read(const char *name)
{
	static char text[1024];
	FILE *file = fopen(path_of(name), "r");
	memset(text, 0, sizeof(text));
	if (file && fread(text, 1, sizeof(text) - 1, file) > 0)
		fclose(file);
	else if (file)
		fclose(file);
	return text;
}

static struct node *add_node(uint32_t id, const char *addresses)
{
	struct node *node = must_alloc(sizeof(*node));
	*node = (struct node){.id = id, .mode = NODE_COORDINATOR, .daemon_state = DAEMON_RUN};
	snprintf(node->name, sizeof(node->name), "hv%u", id);
	snprintf(node->addresses, sizeof(node->addresses), "%s", addresses);
	change_insert(&c, &c.nodes, node);
	return node;
}

/* With this volume, or none. */
static struct vm *add_vm(uint32_t id, const char *volume)
{
	struct vm *vm = must_alloc(sizeof(*vm));
	struct buffer xml = {0};
	*vm = (struct vm){.id = id, .node = 1, .generation = 3, .state = VM_START};
	snprintf(vm->name, sizeof(vm->name), "web%u", id);
	snprintf(vm->uuid, sizeof(vm->uuid), "22222222-0000-4000-8000-%012u", id);
	buffer_print(&xml,
	    "<domain><name>%s</name><uuid>%s</uuid><memory>1024</memory><devices>"
	    "<disk type='network'><source protocol='%s' name='%s'/></disk></devices></domain>",
	    vm->name, vm->uuid, *volume ? "rbd" : "nbd", volume);
	vm->xml = (struct blob){xml.data, (uint32_t)xml.size};
	change_insert(&c, &c.vms, vm);
	return vm;
}

/* A lock in the pool, in a file of this name. */
static void add_lock(const char *name, const char *volume, const char *address)
{
	char path[64], text[256];
	snprintf(path, sizeof(path), "pool/locks/%s", name);
	snprintf(text, sizeof(text), "%s client.4711 %s auto 1", volume, address);
	file_write(path, text);
}

static bool runs(const struct vm *vm)
{
	char path[64];
	snprintf(path, sizeof(path), "vms/%s", vm->uuid);
	return is_there(path);
}

static void apply(struct command *command)
{
	struct buffer bytes = {0};
	fails_told += command->number == COMMAND_vm_fail;
	command_encode(command, &bytes);
	cluster_apply(&c, c.index + 1, bytes.data, bytes.size, NULL);
	buffer_close(&bytes);
}

/* What the daemon does whenever anything may have changed. */
static void turn(void)
{
	struct agent_turn t;
	struct holding none = {.addresses_gone = true, .services_gone = true};
	agent_turn(&agent, &c, &standing, &none, clock_ms(), &t);
	for (unsigned i = 0; i < t.action_count; i++)
		execute_begin(execute, &t.actions[i]);
	for (unsigned i = 0; i < t.count; i++)
		apply(&t.commands[i]);
	agent_turn_close(&t);
	execute_turn(execute, clock_ms());
}

static void on_beat(uv_timer_t *timer)
{
	turn();
}

static void on_alarm(uv_timer_t *timer)
{
	late = true;
}

#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		bool met;                                                                          \
		late = false;                                                                      \
		uv_timer_start(&alarm_timer, on_alarm, PATIENCE_MS, 0);                            \
		while (!(met = (condition)) && !late)                                              \
			uv_run(&loop, UV_RUN_ONCE);                                                \
		uv_timer_stop(&alarm_timer);                                                       \
		assert_true(met);                                                                  \
	} while (0)

static void on_changed(void *data)
{
	if (beats)
		uv_timer_start(&beat, on_beat, 0, BEAT_MS);
}

static void text_set(char *text, size_t size, const char *value)
{
	snprintf(text, size, "%s", value);
}

static void make_config(void)
{
	struct buffer problems = {0};
	static const char yaml[] = "pvc: {node: hv1, cluster: {name: c, coordinators: [hv1]}}\n";
	(void)config_parse(&config, "test", yaml, sizeof(yaml) - 1, &problems);
	buffer_close(&problems);
	struct config_configuration *own = &config.system.configuration;
	config.functions.enable_storage = config.functions.enable_hypervisor = true;
	config.hypervisor.driver = CONFIG_HYPERVISOR_SIM;
	text_set(config.hypervisor.uri, sizeof(config.hypervisor.uri), path_of("vms"));
	config.pool.driver = CONFIG_POOL_SIM;
	text_set(
	    own->storage.ceph_config_file, sizeof(own->storage.ceph_config_file), path_of("pool"));
	own->storage.ceph_admin_keyring[0] = '\0';
	text_set(own->directories.dynamic_directory, sizeof(own->directories.dynamic_directory),
	    path_of("run"));
	text_set(config.cluster.networks.storage.network,
	    sizeof(config.cluster.networks.storage.network), "127.0.0.0/8");
	text_set(own->networking.storage.address, sizeof(own->networking.storage.address),
	    "127.0.0.1/8");
}

static void agent_begin(void)
{
	struct agent_options options = {.node = 1,
	    .keepalive_interval_ms = 1000,
	    .shutdown_timeout_ms = 3000,
	    .lease_ms = 270,
	    .hypervisor = true};
	agent_init(&agent, &options);
	agent.hello_done = true;
}

static int begin(void **state)
{
	assert_int_equal(mkdir(directory, 0700), 0);
	assert_int_equal(mkdir(path_of("pool"), 0700), 0);
	assert_int_equal(mkdir(path_of("pool/locks"), 0700), 0);
	assert_int_equal(mkdir(path_of("run"), 0700), 0);
	make_config();
	cluster_init(&c);
	c.settings.schema = 1;
	add_node(1, "127.0.0.1");
	add_node(2, "10.0.0.2 fd00::2");
	standing = (struct standing){.id = 1, .current = true, .leader_id = 2, .term = 5};
	agent_begin();
	fails_told = 0;
	return 0;
}

/* After the test has set what it wants to have otherwise. */
static void node_begin(void)
{
	struct err err;
	struct execute_options options = {.loop = &loop,
	    .config = &config,
	    .agent = &agent,
	    .cluster = &c,
	    .look_every_ms = 100,
	    .changed = on_changed};
	assert_int_equal(execute_open(&execute, &options, &err), 0);
	beats = true;
	on_changed(NULL);
}

static void beat_end(void)
{
	beats = false;
	uv_timer_stop(&beat);
}

static void on_closed(void *data)
{
	*(bool *)data = true;
}

static void node_end(void)
{
	bool closed = false;
	beat_end();
	execute_close(execute, on_closed, &closed);
	AWAIT(closed);
}

static int unlink_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	return remove(path);
}

static int end(void **state)
{
	node_end();
	agent_close(&agent);
	cluster_close(&c);
	return nftw(directory, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
