/* The hypervisor's client, wire, role and simulated adapter together. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/vm/execute.h"
#include "node/worker/hypervisor_client.h"
#include "node/vm/starting.h"
#include "node/worker/worker_main.h"
#include "tests/unit/patience.h"

#define UUID "22222222-0000-4000-8000-0000000000d1"
#define XML                                                                                        \
	"<domain><name>web1</name><uuid>" UUID "</uuid>"                                           \
	"<memory unit='MiB'>512</memory><vcpu>2</vcpu></domain>"

struct outcome {
	bool answered;
	int status;
	struct err err;
	struct hypervisor_vm first;
	unsigned n;
};

static struct hypervisor_client *client;
static char directory[] = "/tmp/hypervisor_test.XXXXXX";

static void on_ordered(void *data, int status, const struct err *err)
{
	*(struct outcome *)data = (struct outcome){.answered = true, .status = status, .err = *err};
}

static void on_listed(void *data, const struct hypervisor_listing *listing)
{
	struct outcome *o = data;
	*o = (struct outcome){
	    .answered = true, .status = listing->status, .err = *listing->err, .n = listing->n};
	if (o->n > 0)
		o->first = listing->vms[0];
}

static struct outcome order(enum hypervisor_op op, const char *uuid, const char *xml)
{
	struct outcome o = {0};
	struct hypervisor_order wanted = {.op = op,
	    .uuid = uuid,
	    .xml = xml,
	    .deadline_ms = PATIENCE_MS,
	    .done = on_ordered,
	    .data = &o};
	assert_int_equal(hypervisor_order(client, &wanted), 0);
	await(&o.answered);
	return o;
}

static struct outcome list(void)
{
	struct outcome o = {0};
	assert_int_equal(hypervisor_list(client, PATIENCE_MS, on_listed, &o), 0);
	await(&o.answered);
	return o;
}

static void on_closed(void *data)
{
	*(bool *)data = true;
}

static void client_end(void)
{
	bool closed = false;
	hypervisor_client_close(client, on_closed, &closed);
	await(&closed);
}

static void client_begin(const char *driver, const char *uri)
{
	client = hypervisor_client_new(
	    &(struct hypervisor_client_options){.loop = &loop, .driver = driver, .uri = uri});
}

static void power_cut(void)
{
	DIR *d = opendir(directory);
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(directory);
}

static int setup(void **state)
{
	client_begin("sim", directory);
	return 0;
}

static int teardown(void **state)
{
	client_end();
	power_cut();
	return 0;
}

static void a_vm_starts_is_listed_and_stops(void **state)
{
	assert_int_equal(list().n, 0);
	assert_int_equal(order(HYPERVISOR_start, UUID, XML).status, 0);
	assert_int_equal(order(HYPERVISOR_start, UUID, XML).status, 0);
	struct outcome o = list();
	assert_int_equal(o.status, 0);
	assert_int_equal(o.n, 1);
	assert_string_equal(o.first.uuid, UUID);
	assert_string_equal(o.first.name, "web1");
	assert_int_equal(o.first.observed, OBSERVED_RUNNING);
	assert_int_equal(o.first.memory_mib, 512);
	assert_int_equal(o.first.vcpus, 2);
	assert_int_equal(order(HYPERVISOR_stop, UUID, NULL).status, 0);
	assert_int_equal(order(HYPERVISOR_stop, UUID, NULL).status, 0);
	assert_int_equal(order(HYPERVISOR_shutdown, UUID, NULL).status, 0);
	assert_int_equal(list().n, 0);
}

/* The other node's directory, and a client of its own. */
static char elsewhere[sizeof(directory) + sizeof(".target")];
static struct hypervisor_client *here, *there;

static void elsewhere_begin(void)
{
	snprintf(elsewhere, sizeof(elsewhere), "%s.target", directory);
	here = client;
	client_begin("sim", elsewhere);
	there = client;
	assert_int_equal(list().n, 0);
	client = here;
}

static void elsewhere_end(void)
{
	client = there;
	order(HYPERVISOR_stop, UUID, NULL);
	client_end();
	client = here;
	rmdir(elsewhere);
}

static struct outcome list_there(void)
{
	client = there;
	struct outcome o = list();
	client = here;
	return o;
}

static void migrate_begin(struct outcome *o, uint64_t rate_mib_max)
{
	struct hypervisor_migration migration = {
	    .uuid = UUID, .uri = elsewhere, .rate_mib_max = rate_mib_max};
	struct hypervisor_order wanted = {.op = HYPERVISOR_migrate,
	    .migration = &migration,
	    .deadline_ms = PATIENCE_MS,
	    .done = on_ordered,
	    .data = o};
	*o = (struct outcome){.answered = false};
	assert_int_equal(hypervisor_order(client, &wanted), 0);
}

static void a_vm_that_has_moved_is_paused_until_it_is_resumed_there(void **state)
{
	struct outcome moved;
	elsewhere_begin();
	assert_int_equal(order(HYPERVISOR_start, UUID, XML).status, 0);
	migrate_begin(&moved, 0);
	await(&moved.answered);
	assert_string_equal(moved.err.text, "");
	assert_int_equal(moved.status, 0);
	assert_int_equal(list().n, 0);
	assert_int_equal(list_there().first.observed, OBSERVED_PAUSED);
	assert_int_equal(order(HYPERVISOR_resume, UUID, NULL).status, -ENOENT);
	client = there;
	assert_int_equal(order(HYPERVISOR_start, UUID, XML).status, 0);
	assert_int_equal(list().first.observed, OBSERVED_PAUSED);
	assert_int_equal(order(HYPERVISOR_resume, UUID, NULL).status, 0);
	assert_int_equal(order(HYPERVISOR_resume, UUID, NULL).status, 0);
	assert_int_equal(list().first.observed, OBSERVED_RUNNING);
	client = here;
	elsewhere_end();
}

static void a_migration_shows_how_far_it_is_and_can_be_aborted(void **state)
{
	struct outcome moved, looked = {0};
	elsewhere_begin();
	assert_int_equal(order(HYPERVISOR_start, UUID, XML).status, 0);
	migrate_begin(&moved, 1);
	/* The mover waits for the end: whoever looks meanwhile, or aborts, is another. */
	struct hypervisor_client *mover = client;
	client_begin("sim", directory);
	here = client;
	while (!looked.first.job.active || looked.first.job.left_mib == 512)
		looked = list();
	assert_int_equal(looked.first.observed, OBSERVED_RUNNING);
	assert_int_equal(looked.first.job.total_mib, 512);
	assert_int_equal(looked.first.job.rate_mib_s, 1);
	assert_int_equal(list_there().first.observed, OBSERVED_TRANSIT);
	client = there;
	assert_int_equal(order(HYPERVISOR_resume, UUID, NULL).status, -EBUSY);
	client = here;
	assert_int_equal(order(HYPERVISOR_abort, UUID, NULL).status, 0);
	assert_int_equal(order(HYPERVISOR_abort, UUID, NULL).status, 0);
	await(&moved.answered);
	assert_int_equal(moved.status, -ECANCELED);
	assert_false(list().first.job.active);
	assert_int_equal(list().first.observed, OBSERVED_RUNNING);
	assert_int_equal(list_there().n, 0);
	client_end();
	here = client = mover;
	elsewhere_end();
}

static void a_mover_that_is_killed_leaves_half_a_copy_and_the_vm_runs_on(void **state)
{
	struct outcome moved, looked = {0};
	elsewhere_begin();
	assert_int_equal(order(HYPERVISOR_start, UUID, XML).status, 0);
	migrate_begin(&moved, 1);
	struct hypervisor_client *mover = client;
	client_begin("sim", directory);
	here = client;
	while (!looked.first.job.active)
		looked = list();
	client = mover;
	client_end();
	client = here;
	while (looked.first.job.active)
		looked = list();
	assert_int_not_equal(moved.status, 0);
	assert_int_equal(looked.first.observed, OBSERVED_RUNNING);
	assert_int_equal(list_there().first.observed, OBSERVED_TRANSIT);
	migrate_begin(&moved, 0);
	await(&moved.answered);
	assert_int_equal(moved.status, -EEXIST);
	client = there;
	assert_int_equal(order(HYPERVISOR_stop, UUID, NULL).status, 0);
	client = here;
	migrate_begin(&moved, 0);
	await(&moved.answered);
	assert_int_equal(moved.status, 0);
	elsewhere_end();
}

static void vms_outlive_the_worker_and_a_power_cut_ends_them(void **state)
{
	assert_int_equal(order(HYPERVISOR_start, UUID, XML).status, 0);
	kill(hypervisor_client_status(client).pid, SIGKILL);
	struct outcome o = list();
	if (o.status == -EPIPE)
		o = list();
	assert_int_equal(o.n, 1);
	power_cut();
	assert_int_equal(list().n, 0);
}

static void wrong_xml_and_wrong_uuids_are_refused_with_a_reason(void **state)
{
	struct outcome o = order(HYPERVISOR_validate, "", "<domain/>");
	assert_int_equal(o.status, -EINVAL);
	assert_string_equal(o.err.text, "line 1: no <name>");
	assert_int_equal(order(HYPERVISOR_validate, "", XML).status, 0);
	o = order(HYPERVISOR_start, "22222222-0000-4000-8000-0000000000d2", XML);
	assert_int_equal(o.status, -EINVAL);
	assert_non_null(strstr(o.err.text, "the XML has uuid " UUID));
	assert_int_equal(
	    order(HYPERVISOR_stop, "../../../../../../../../../../etc/pa", "").status, -EINVAL);
	assert_int_equal(list().n, 0);
}

static void a_driver_that_does_not_exist_is_named(void **state)
{
	client_end();
	client_begin("xen", "xen:///");
	struct outcome o = list();
	assert_int_equal(o.status, -EINVAL);
	assert_string_equal(o.err.text, "no hypervisor driver 'xen'");
}

static void a_libvirt_that_cannot_be_reached_is_named(void **state)
{
	client_end();
	client_begin("libvirt", "qemu+unix:///system?socket=/nonexistent");
	struct outcome o = list();
	assert_true(o.status < 0);
	assert_true(strstr(o.err.text, "/nonexistent") || strstr(o.err.text, "not installed"));
}

static void ignore(void *data)
{
}

/* The hypervisor may carry it out yet: until that is certain the VM is not said to be off. */
static void a_start_that_an_earlier_daemon_left_open_is_in_doubt(void **state)
{
	static struct config config;
	struct agent agent;
	struct cluster cluster;
	struct execute *execute;
	struct err err = {""};
	bool closed = false;
	char *dynamic = config.system.configuration.directories.dynamic_directory;
	agent_init(&agent, &(struct agent_options){.node = 1, .hypervisor = true});
	cluster_init(&cluster);
	snprintf(config.hypervisor.uri, sizeof(config.hypervisor.uri), "%s", directory);
	snprintf(dynamic, sizeof(config.system.configuration.directories.dynamic_directory),
	    "/tmp/execute-test-XXXXXX");
	assert_non_null(mkdtemp(dynamic));
	assert_int_equal(starting_note(dynamic, UUID), 0);
	struct execute_options options = {.loop = &loop,
	    .config = &config,
	    .agent = &agent,
	    .cluster = &cluster,
	    .look_every_ms = 1000,
	    .changed = ignore};
	assert_int_equal(execute_open(&execute, &options, &err), 0);
	uint64_t now_ms = uv_hrtime() / 1000000;
	assert_true(plan_doubts(&agent.local, UUID, now_ms));
	assert_false(plan_doubts(&agent.local, "another", now_ms));
	execute_close(execute, on_closed, &closed);
	await(&closed);
	starting_clear(dynamic, UUID);
	char path[128];
	snprintf(path, sizeof(path), "%s/starting", dynamic);
	rmdir(path);
	assert_int_equal(rmdir(dynamic), 0);
	agent_close(&agent);
	cluster_close(&cluster);
}

static void a_list_of_vms_survives_the_wire_and_no_part_of_it_does(void **state)
{
	struct hypervisor_vm vms[3] = {
	    {UUID, "a", OBSERVED_RUNNING, 1, 2, {true, true, 7, 6, 5, 4, 100, 2}},
	    {UUID, "a longer name", OBSERVED_UNOBSERVABLE, UINT64_MAX, UINT32_MAX,
		{.total_mib = 0}},
	    {.uuid = ""},
	};
	struct hypervisor_vm *read;
	unsigned n;
	struct buffer b = {0};
	hypervisor_vms_encode(&b, vms, 3);
	for (size_t size = 0; size < b.size; size++) {
		struct reader r = reader_of(b.data, size);
		assert_int_equal(hypervisor_vms_decode(&r, &read, &n), -EPROTO);
		assert_null(read);
	}
	struct reader r = reader_of(b.data, b.size);
	assert_int_equal(hypervisor_vms_decode(&r, &read, &n), 0);
	assert_int_equal(n, 3);
	for (unsigned i = 0; i < n; i++) {
		assert_string_equal(read[i].name, vms[i].name);
		assert_int_equal(read[i].memory_mib, vms[i].memory_mib);
		assert_memory_equal(&read[i].job, &vms[i].job, sizeof(vms[i].job));
	}
	free(read);
	buffer_append_u8(&b, 0);
	r = reader_of(b.data, b.size);
	assert_int_equal(hypervisor_vms_decode(&r, &read, &n), -EPROTO);
	buffer_close(&b);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return worker_main(argc - 1, argv + 1);
	if (!mkdtemp(directory))
		return 1;
	patience_begin();
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_vm_starts_is_listed_and_stops),
	    TEST(a_vm_that_has_moved_is_paused_until_it_is_resumed_there),
	    TEST(a_migration_shows_how_far_it_is_and_can_be_aborted),
	    TEST(a_mover_that_is_killed_leaves_half_a_copy_and_the_vm_runs_on),
	    TEST(vms_outlive_the_worker_and_a_power_cut_ends_them),
	    TEST(wrong_xml_and_wrong_uuids_are_refused_with_a_reason),
	    TEST(a_driver_that_does_not_exist_is_named),
	    TEST(a_libvirt_that_cannot_be_reached_is_named),
	    cmocka_unit_test(a_start_that_an_earlier_daemon_left_open_is_in_doubt),
	    cmocka_unit_test(a_list_of_vms_survives_the_wire_and_no_part_of_it_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
