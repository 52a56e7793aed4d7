/* The disk pool's client, wire, role and simulated adapter together. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/ceph.h"
#include "node/worker/pool_client.h"
#include "node/worker/pool_wire.h"
#include "node/worker/worker_main.h"
#include "storage/ceph_view.h"
#include "tests/unit/patience.h"

#define SOON_MS 300

struct outcome {
	bool answered;
	int status;
	struct err err;
	struct ceph_view view; /* taken; view_drop */
};

static struct pool_client *client;
static char directory[] = "/tmp/pool_test.XXXXXX";

static void on_seen(void *data, struct pool_sight *sight)
{
	*(struct outcome *)data = (struct outcome){
	    .answered = true, .status = sight->status, .err = *sight->err, .view = sight->view};
	sight->view = (struct ceph_view){0};
}

static struct outcome look_within(unsigned deadline_ms)
{
	struct outcome o = {0};
	assert_int_equal(pool_look(client, deadline_ms, on_seen, &o), 0);
	await(&o.answered);
	return o;
}

static struct outcome look(void)
{
	return look_within(PATIENCE_MS);
}

static struct outcome measure(void)
{
	struct outcome o = {0};
	assert_int_equal(pool_measure(client, PATIENCE_MS, on_seen, &o), 0);
	await(&o.answered);
	return o;
}

static void view_drop(struct outcome *o)
{
	record_clear(ceph_view_record(), &o->view);
}

static void client_begin(const char *driver, const char *config_file)
{
	client = pool_client_new(&(struct pool_client_options){.loop = &loop,
	    .driver = driver,
	    .pool = {.config_file = config_file, .keyring = "", .timeout_s = 1}});
}

static void on_closed(void *data)
{
	*(bool *)data = true;
}

static void client_end(void)
{
	bool closed = false;
	pool_client_close(client, on_closed, &closed);
	await(&closed);
}

static const char *path_of(const char *name)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void file_write(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void file_expect(const char *name, const char *wanted)
{
	char text[512] = "";
	FILE *file = fopen(path_of(name), "r");
	assert_non_null(file);
	assert_int_equal(fread(text, 1, sizeof(text) - 1, file), strlen(wanted));
	fclose(file);
	assert_string_equal(text, wanted);
}

static int setup(void **state)
{
	client_begin("sim", directory);
	return mkdir(directory, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {
	    "osds", "pools", "blocklist", "locks/1", "locks/2", "locks/3", "locks/4"};
	client_end();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	rmdir(path_of("locks"));
	return rmdir(directory);
}

static void a_pool_without_disks_is_healthy(void **state)
{
	struct outcome o = look();
	assert_int_equal(o.status, 0);
	assert_int_equal(o.view.status.count, 1);
	assert_int_equal(o.view.status.items->health, CEPH_OK);
	assert_int_equal(o.view.osds.count, 0);
	assert_true(o.view.listed);
	view_drop(&o);
	o = measure();
	assert_int_equal(o.status, 0);
	assert_false(o.view.listed);
	assert_int_equal(o.view.osds.count, 0);
	view_drop(&o);
}

static void a_look_and_a_measurement_give_each_its_own(void **state)
{
	file_write("osds", "7 hv2 down in 1048576 0\n0 hv1 up in 1048576 262144\n");
	file_write("pools", "1 vms 32 3\n");
	struct outcome o = look();
	assert_int_equal(o.status, 0);
	assert_int_equal(o.view.status.items->health, CEPH_WARNING);
	assert_string_equal(o.view.status.items->health_message, "1 osds down");
	assert_int_equal(o.view.osds.count, 2);
	const struct ceph_osd *osd = o.view.osds.items;
	assert_int_equal(osd[0].known, CEPH_OSD_DUMP | CEPH_OSD_TREE);
	assert_string_equal(osd[0].host, "hv1");
	assert_true(osd[0].up);
	assert_int_equal(osd[0].size_kib, 0);
	assert_int_equal(osd[1].id, 7);
	assert_false(osd[1].up);
	assert_int_equal(o.view.pools.count, 1);
	assert_string_equal(o.view.pools.items->name, "vms");
	assert_int_equal(o.view.pools.items->replicas, 3);
	view_drop(&o);
	o = measure();
	assert_int_equal(o.status, 0);
	assert_int_equal(o.view.status.count, 0);
	assert_int_equal(o.view.osds.items[0].known, CEPH_OSD_DF | CEPH_OSD_IO);
	assert_int_equal(o.view.osds.items[0].utilization_micro, 25000000);
	assert_string_equal(o.view.osds.items[0].host, "");
	assert_int_equal(o.view.pools.items->known, CEPH_POOL_IO);
	view_drop(&o);
}

static void a_look_that_hangs_is_cut_off_and_the_next_one_answers(void **state)
{
	struct outcome o = look();
	assert_int_equal(o.status, 0);
	view_drop(&o);
	assert_int_equal(mkfifo(path_of("osds"), 0600), 0);
	o = look_within(SOON_MS);
	assert_int_equal(o.status, -ETIMEDOUT);
	assert_int_equal(pool_client_status(client).kills, 1);
	assert_int_equal(unlink(path_of("osds")), 0);
	o = look();
	assert_int_equal(o.status, 0);
	view_drop(&o);
}

/* The worker has begun to read the FIFO; what keeps it waiting is returned. */
static int reader_await(const char *name)
{
	uv_timer_start(&alarm_timer, patience_ends, PATIENCE_MS, 0);
	int fd;
	while ((fd = open(path_of(name), O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
		uv_run(&loop, UV_RUN_NOWAIT);
	uv_timer_stop(&alarm_timer);
	return fd;
}

static void a_worker_that_dies_over_a_look_is_an_answer(void **state)
{
	assert_int_equal(mkfifo(path_of("osds"), 0600), 0);
	struct outcome o = {0};
	assert_int_equal(pool_look(client, PATIENCE_MS, on_seen, &o), 0);
	int writer = reader_await("osds"), pid = pool_client_status(client).pid;
	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	await(&o.answered);
	close(writer);
	assert_int_equal(o.status, -EPIPE);
	assert_int_equal(unlink(path_of("osds")), 0);
	o = look();
	assert_int_equal(o.status, 0);
	assert_int_not_equal(pool_client_status(client).pid, pid);
	view_drop(&o);
}

static void a_line_that_makes_no_sense_is_named(void **state)
{
	file_write("osds", "0 hv1 up in 100 10\n1 hv1 up in 100 101\n");
	struct outcome o = look();
	assert_int_equal(o.status, -EINVAL);
	assert_non_null(strstr(o.err.text, "/osds: what is '1 hv1 up in 100 101'?"));
	assert_int_equal(o.view.osds.count, 0);
	file_write("osds", "");
	file_write("pools", "nonsense\n");
	assert_int_equal(measure().status, -EINVAL);
}

static void a_driver_that_does_not_exist_is_named(void **state)
{
	client_end();
	client_begin("zfs", directory);
	struct outcome o = look();
	assert_int_equal(o.status, -EINVAL);
	assert_string_equal(o.err.text, "no pool driver 'zfs'");
}

static void a_ceph_that_is_not_set_up_is_named(void **state)
{
	client_end();
	client_begin("rbd", "/nonexistent/ceph.conf");
	struct outcome o = look();
	assert_true(o.status == -ENOENT || o.status == -ENOSYS);
	assert_true(strstr(o.err.text, "/nonexistent/ceph.conf: No such file") ||
		    strstr(o.err.text, "not installed"));
}

static void a_lock_is_broken_after_its_client_was_kept_from_writing(void **state)
{
	struct pool *pool;
	struct pool_locker *lockers;
	unsigned n;
	struct err err;
	const struct pool_options options = {.config_file = directory, .keyring = ""};
	assert_int_equal(pool_sim.open(&pool, &options, &err), 0);
	assert_int_equal(pool_sim.lockers(pool, "vms/web1", &lockers, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_null(lockers);

	assert_int_equal(mkdir(path_of("locks"), 0700), 0);
	file_write("locks/1", "vms/web1 client.1 v1:10.0.0.1:0/1 auto 1\n");
	file_write("locks/2", "vms/web1 client.2 v1:10.0.0.2:0/2 by hand\n");
	file_write("locks/3", "vms/web2 client.1 v1:10.0.0.1:0/1 auto 1\n");
	file_write("locks/4", "nonsense\n");
	assert_int_equal(pool_sim.lockers(pool, "vms/web1", &lockers, &n, &err), 0);
	assert_int_equal(n, 2);
	struct pool_locker first = lockers[strcmp(lockers[0].entity, "client.1") == 0 ? 0 : 1];
	assert_string_equal(first.address, "v1:10.0.0.1:0/1");
	assert_string_equal(first.cookie, "auto 1");
	free(lockers);
	/* Where the client can not be kept from writing, its lock stays. */
	assert_int_equal(mkdir(path_of("blocklist"), 0700), 0);
	assert_int_equal(pool_sim.unlock(pool, "vms/web1", &first, &err), -EISDIR);
	assert_int_equal(access(path_of("locks/1"), F_OK), 0);
	assert_int_equal(rmdir(path_of("blocklist")), 0);

	struct pool_locker other = first, hand = first;
	snprintf(other.entity, sizeof(other.entity), "client.9");
	snprintf(hand.cookie, sizeof(hand.cookie), "by hand");
	assert_int_equal(pool_sim.unlock(pool, "vms/web1", &other, &err), 0);
	assert_int_equal(pool_sim.unlock(pool, "vms/web1", &hand, &err), 0);
	assert_int_equal(access(path_of("locks/1"), F_OK), 0);
	assert_int_equal(pool_sim.unlock(pool, "vms/web1", &first, &err), 0);
	assert_int_equal(access(path_of("locks/1"), F_OK), -1);
	assert_int_equal(access(path_of("locks/2"), F_OK), 0);
	assert_int_equal(access(path_of("locks/3"), F_OK), 0);
	file_expect("blocklist", "v1:10.0.0.1:0/1\nv1:10.0.0.1:0/1\nv1:10.0.0.1:0/1\n");
	pool_sim.close(pool);
}

static void the_workers_argument_holds_any_path(void **state)
{
	const struct pool_options options = {
	    .config_file = "/etc/a:b\n/ceph.conf", .keyring = "/k:1", .timeout_s = 2};
	struct buffer b = {0};
	struct pool_argument a;
	pool_argument_encode(&b, "rbd", &options);
	assert_int_equal(pool_argument_decode(&a, (const char *)b.data), 0);
	assert_string_equal(a.driver, "rbd");
	assert_string_equal(a.options.config_file, options.config_file);
	assert_string_equal(a.options.keyring, options.keyring);
	assert_int_equal(a.options.timeout_s, 2);
	free(a.texts);
	buffer_close(&b);
	static const char *const wrong[] = {"", "rbd", "rbd:2", "rbd:2:4", "rbd:2:9:/etc",
	    "rbd:2:4:/etc", "rbd:x:4:/etc:", "a-driver-of-too-long-a-name:2:4:/etc:"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (pool_argument_decode(&a, wrong[i]) != -EPROTO)
			fail_msg("taken: %s", wrong[i]);
}

static struct ceph_view view_of(uint32_t osds)
{
	struct ceph_view view = {0};
	ceph_view_status(&view)->known = CEPH_STATUS;
	for (uint32_t id = 0; id < osds; id++)
		*ceph_view_osd(&view, id) =
		    (struct ceph_osd){.id = id, .known = CEPH_OSD_DUMP, .up = true};
	struct ceph_pool *pool = ceph_view_pool(&view, 3);
	pool->known = CEPH_POOL_DUMP;
	snprintf(pool->name, sizeof(pool->name), "vms");
	return view;
}

static int view_carry(const struct ceph_view *view, struct ceph_view *read)
{
	struct buffer b = {0};
	pool_view_encode(&b, view);
	for (size_t size = 0; size < b.size; size++) {
		struct reader r = reader_of(b.data, size);
		assert_int_equal(pool_view_decode(&r, read), -EPROTO);
	}
	struct reader r = reader_of(b.data, b.size);
	int rc = pool_view_decode(&r, read);
	buffer_close(&b);
	return rc;
}

static void a_view_survives_the_wire_and_no_part_of_it_does(void **state)
{
	struct ceph_view view = view_of(3), read;
	assert_int_equal(view_carry(&view, &read), 0);
	assert_int_equal(read.status.items->known, CEPH_STATUS);
	assert_int_equal(read.osds.count, 3);
	assert_true(read.osds.items[2].up);
	assert_string_equal(read.pools.items->name, "vms");
	record_clear(ceph_view_record(), &read);
	struct buffer b = {0};
	pool_view_encode(&b, &view);
	buffer_append_u8(&b, 0);
	struct reader r = reader_of(b.data, b.size);
	assert_int_equal(pool_view_decode(&r, &read), -EPROTO);
	buffer_close(&b);
	record_clear(ceph_view_record(), &view);
}

static void spoil_order(struct ceph_view *view)
{
	view->osds.items[1].id = 0;
}

static void spoil_text(struct ceph_view *view)
{
	view->pools.items->name[1] = '\x1b';
}

static void spoil_known(struct ceph_view *view)
{
	view->osds.items[2].read_ops = 1;
}

static void spoil_status(struct ceph_view *view)
{
	view->status.items->size_kib = 1;
}

static void spoil_count(struct ceph_view *view)
{
	view->status.items = must_realloc(view->status.items, 2 * sizeof(*view->status.items));
	view->status.items[1] = view->status.items[0];
	view->status.items[1].known |= CEPH_DF;
	view->status.count = 2;
}

static void a_view_that_breaks_its_promises_is_refused(void **state)
{
	static void (*const spoils[])(struct ceph_view * view) = {
	    spoil_order, spoil_text, spoil_known, spoil_status, spoil_count};
	for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
		struct ceph_view view = view_of(3), read;
		spoils[i](&view);
		if (view_carry(&view, &read) != -EPROTO)
			fail_msg("spoilt view %zu was taken", i);
		assert_int_equal(read.osds.count, 0);
		record_clear(ceph_view_record(), &view);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return worker_main(argc - 1, argv + 1);
	if (!mkdtemp(directory))
		return 1;
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	patience_begin();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_pool_without_disks_is_healthy),
	    TEST(a_look_and_a_measurement_give_each_its_own),
	    TEST(a_look_that_hangs_is_cut_off_and_the_next_one_answers),
	    TEST(a_worker_that_dies_over_a_look_is_an_answer),
	    TEST(a_line_that_makes_no_sense_is_named),
	    TEST(a_driver_that_does_not_exist_is_named),
	    TEST(a_ceph_that_is_not_set_up_is_named),
	    TEST(a_lock_is_broken_after_its_client_was_kept_from_writing),
	    cmocka_unit_test(the_workers_argument_holds_any_path),
	    cmocka_unit_test(a_view_survives_the_wire_and_no_part_of_it_does),
	    cmocka_unit_test(a_view_that_breaks_its_promises_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
