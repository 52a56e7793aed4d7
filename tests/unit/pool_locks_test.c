/* Locks of volumes, with a librados that has one image and does what a test says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/buffer.h"
#include "storage/pool_rbd.h"

#define CLUSTER ((rados_t)&fake)
#define IO	((rados_ioctx_t)&fake.open)
#define ADDRESS "v1:10.0.0.1:0/77"

static struct {
	struct buffer calls; /* a line each, of those that change something */
	unsigned open; /* ioctxs */
	bool first_format;
	unsigned lockers; /* client.0, client.1, ... */
	int monitors, list, blocklist, unlock; /* what they return; 0: what is right */
	unsigned listed; /* so often */
} fake;

static struct pool pool;
static struct pool_locker *lockers;
static unsigned n;
static struct err err;

static int fake_command(rados_t cluster, const char **commands, size_t count, const char *in,
    size_t in_size, char **out, size_t *out_size, char **said, size_t *said_size)
{
	*said = NULL;
	*out = fake.monitors ? NULL : strdup("{}");
	*out_size = 2;
	return fake.monitors;
}

static void fake_free(char *bytes)
{
	free(bytes);
}

static int fake_ioctx(rados_t cluster, const char *name, rados_ioctx_t *io)
{
	if (strcmp(name, "vms") != 0)
		return -ENOENT;
	fake.open++;
	*io = IO;
	return 0;
}

static void fake_destroy(rados_ioctx_t io)
{
	assert_true(fake.open == 1);
	fake.open--;
}

static void fake_space(rados_ioctx_t io, const char *space)
{
	if (*space)
		buffer_print(&fake.calls, "space %s\n", space);
}

static int fake_read(
    rados_ioctx_t io, const char *object, char *bytes, size_t size, uint64_t offset)
{
	static const char id[] = "\4\0\0\0abcd";
	if (fake.first_format || strcmp(object, "rbd_id.web1") != 0)
		return -ENOENT;
	assert_in_range(size, sizeof(id), 4096);
	memcpy(bytes, id, sizeof(id) - 1);
	return sizeof(id) - 1;
}

static int fake_stat(rados_ioctx_t io, const char *object, uint64_t *size, time_t *time)
{
	return fake.first_format && strcmp(object, "web1.rbd") == 0 ? 0 : -ENOENT;
}

/* As the library: all of them with their NULs, or none and the size that is missing. */
static bool put(const struct buffer *from, char *to, size_t *size)
{
	bool fits = from->size <= *size;
	if (fits && from->size)
		memcpy(to, from->data, from->size);
	*size = from->size;
	return fits;
}

static ssize_t fake_list(rados_ioctx_t io, const char *object, const char *name, int *exclusive,
    char *tag, size_t *tag_size, char *clients, size_t *clients_size, char *cookies,
    size_t *cookies_size, char *addresses, size_t *addresses_size)
{
	struct buffer lists[3] = {{0}};
	fake.listed++;
	assert_string_equal(object, fake.first_format ? "web1.rbd" : "rbd_header.abcd");
	assert_string_equal(name, "rbd_lock");
	if (fake.list)
		return fake.list;
	for (unsigned i = 0; i < fake.lockers; i++) {
		buffer_print(&lists[0], "client.%u%c", i, 0);
		buffer_print(&lists[1], "auto %u%c", i, 0);
		buffer_print(&lists[2], "v1:10.0.0.1:0/%u%c", i + 1, 0);
	}
	bool fits = put(&lists[0], clients, clients_size);
	fits = put(&lists[1], cookies, cookies_size) && fits;
	fits = put(&lists[2], addresses, addresses_size) && fits;
	for (unsigned i = 0; i < 3; i++)
		buffer_close(&lists[i]);
	return fits ? (ssize_t)fake.lockers : -ERANGE;
}

static int fake_blocklist(rados_t cluster, char *address, uint32_t seconds)
{
	buffer_print(&fake.calls, "blocklist %s %u\n", address, seconds);
	return fake.blocklist;
}

static int fake_break(
    rados_ioctx_t io, const char *object, const char *name, const char *client, const char *cookie)
{
	buffer_print(&fake.calls, "break %s %s %s %s\n", object, name, client, cookie);
	return fake.unlock;
}

static void fake_shutdown(rados_t cluster)
{
	assert_int_equal(fake.open, 0);
	buffer_print(&fake.calls, "shutdown\n");
}

static const struct ceph_dl library = {
    .rados_mon_command = fake_command,
    .rados_buffer_free = fake_free,
    .rados_ioctx_create = fake_ioctx,
    .rados_ioctx_destroy = fake_destroy,
    .rados_ioctx_set_namespace = fake_space,
    .rados_read = fake_read,
    .rados_stat = fake_stat,
    .rados_list_lockers = fake_list,
    .rados_blocklist_add = fake_blocklist,
    .rados_break_lock = fake_break,
    .rados_shutdown = fake_shutdown,
};

static int setup(void **state)
{
	memset(&fake, 0, sizeof(fake));
	pool = (struct pool){.dl = &library, .cluster = CLUSTER, .timeout_s = 2};
	lockers = NULL;
	n = 0;
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(fake.open, 0);
	buffer_close(&fake.calls);
	free(lockers);
	return 0;
}

static void expect_calls(const char *wanted)
{
	buffer_append_u8(&fake.calls, 0);
	assert_string_equal((const char *)fake.calls.data, wanted);
	fake.calls.size = 0;
}

static int list(const char *volume)
{
	free(lockers);
	return pool_rbd_lockers(&pool, volume, &lockers, &n, &err);
}

static int unlock(const char *address)
{
	struct pool_locker locker = {.entity = "client.4711", .cookie = "auto 1"};
	snprintf(locker.address, sizeof(locker.address), "%s", address);
	return pool_rbd_unlock(&pool, "vms/web1", &locker, &err);
}

static void the_holders_of_a_lock_are_listed_however_many_they_are(void **state)
{
	static const unsigned counts[] = {0, 1, 2, 1000};
	for (unsigned i = 0; i < 4; i++) {
		fake.lockers = counts[i];
		assert_int_equal(list("vms/web1"), 0);
		assert_int_equal(n, counts[i]);
		assert_true(!n == !lockers);
	}
	assert_string_equal(lockers[999].entity, "client.999");
	assert_string_equal(lockers[999].cookie, "auto 999");
	assert_string_equal(lockers[999].address, "v1:10.0.0.1:0/1000");
}

static void an_image_of_the_first_format_and_one_in_a_namespace_are_found(void **state)
{
	fake.lockers = 1;
	fake.first_format = true;
	assert_int_equal(list("vms/web1"), 0);
	assert_int_equal(n, 1);
	fake.first_format = false;
	assert_int_equal(list("vms/blue/web1"), 0);
	assert_int_equal(n, 1);
	expect_calls("space blue\n");
}

static void what_is_not_there_and_what_was_never_locked_are_told_apart(void **state)
{
	assert_int_equal(list("vms/web2"), -ENOENT);
	assert_int_equal(list("nowhere/web1"), -ENOENT);
	fake.list = -ENOENT;
	assert_int_equal(list("vms/web1"), 0);
	assert_int_equal(n, 0);
	assert_ptr_equal(pool.cluster, CLUSTER);
}

/* The disks would still answer, but whoever starts by that would hang. */
static void without_the_monitors_nobody_is_told_who_has_a_lock(void **state)
{
	fake.lockers = 1;
	fake.monitors = -ETIMEDOUT;
	assert_int_equal(list("vms/web1"), -ETIMEDOUT);
	assert_int_equal(fake.listed, 0);
	expect_calls("shutdown\n");
}

static void a_disk_that_does_not_answer_costs_the_connection(void **state)
{
	fake.list = -ETIMEDOUT;
	assert_int_equal(list("vms/web1"), -ETIMEDOUT);
	expect_calls("shutdown\n");
	assert_null(pool.cluster);
}

static void a_client_is_kept_from_writing_before_its_lock_is_broken(void **state)
{
	assert_int_equal(unlock(ADDRESS), 0);
	expect_calls("blocklist " ADDRESS " 86400\n"
		     "break rbd_header.abcd rbd_lock client.4711 auto 1\n");
	assert_int_equal(unlock("[v2:10.0.0.1:0/77,v1:10.0.0.1:0/78]"), 0);
	expect_calls("blocklist v2:10.0.0.1:0/77 86400\n"
		     "blocklist v1:10.0.0.1:0/78 86400\n"
		     "break rbd_header.abcd rbd_lock client.4711 auto 1\n");
}

static void a_client_that_may_go_on_writing_keeps_its_lock(void **state)
{
	fake.blocklist = -EPERM;
	assert_int_equal(unlock(ADDRESS), -EPERM);
	expect_calls("blocklist " ADDRESS " 86400\n");
	/* Whoever has no nonce stands for its whole machine, and this one for nobody. */
	assert_int_equal(unlock("v1:10.0.0.1:0/0"), -EINVAL);
	assert_int_equal(unlock("-"), -EINVAL);
	expect_calls("");
}

static void a_lock_that_is_gone_is_one_that_is_free(void **state)
{
	fake.unlock = -ENOENT;
	assert_int_equal(unlock(ADDRESS), 0);
	fake.unlock = -EIO;
	assert_int_equal(unlock(ADDRESS), -EIO);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(the_holders_of_a_lock_are_listed_however_many_they_are),
	    TEST(an_image_of_the_first_format_and_one_in_a_namespace_are_found),
	    TEST(what_is_not_there_and_what_was_never_locked_are_told_apart),
	    TEST(without_the_monitors_nobody_is_told_who_has_a_lock),
	    TEST(a_disk_that_does_not_answer_costs_the_connection),
	    TEST(a_client_is_kept_from_writing_before_its_lock_is_broken),
	    TEST(a_client_that_may_go_on_writing_keeps_its_lock),
	    TEST(a_lock_that_is_gone_is_one_that_is_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
