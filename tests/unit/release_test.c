/* Freeing a VM's volumes: all of them or none, and the way to the worker and back. */
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
#include "node/worker/release_wire.h"
#include "storage/release.h"

/* A pool of three volumes: "vms/free" without a lock, "vms/ours" and "vms/theirs". */
struct pool {
	struct buffer told; /* what was unlocked, in order */
	int fails_at; /* this call, from 1; 0: none */
	int calls;
};

static int call(struct pool *pool, struct err *err)
{
	return ++pool->calls == pool->fails_at ? err_set(err, -ETIMEDOUT, "it hangs") : 0;
}

static int fake_lockers(struct pool *pool, const char *volume, struct pool_locker **lockers,
    unsigned *n, struct err *err)
{
	int rc = call(pool, err);
	bool theirs = !strcmp(volume, "vms/theirs");
	if (rc)
		return rc;
	if (!strcmp(volume, "vms/none"))
		return err_set(err, -ENOENT, "no such volume");
	if (!strcmp(volume, "vms/free"))
		return 0;
	*lockers = must_alloc(sizeof(**lockers));
	**lockers = (struct pool_locker){.entity = "client.1", .cookie = "auto 1"};
	snprintf(
	    (*lockers)->address, sizeof((*lockers)->address), "v1:10.0.0.%u:0/7", theirs ? 2 : 1);
	*n = 1;
	return 0;
}

static int fake_unlock(
    struct pool *pool, const char *volume, const struct pool_locker *locker, struct err *err)
{
	int rc = call(pool, err);
	if (!rc)
		buffer_print(&pool->told, "%s %s;", volume, locker->address);
	return rc;
}

static const struct pool_port port = {.lockers = fake_lockers, .unlock = fake_unlock};
static struct pool pool;
static struct release release;
static struct release_result result;
static struct err err;

static int begin(void **state)
{
	pool = (struct pool){.fails_at = 0};
	release = (struct release){.own = "10.0.0.1", .proven = "", .extent = RELEASE_STALE};
	return 0;
}

static int end(void **state)
{
	buffer_close(&pool.told);
	release_result_close(&result);
	return 0;
}

static int freed(const char *first, const char *second)
{
	release.volumes.count = 0;
	assert_int_equal(volumes_add(&release.volumes, first, &err), 0);
	assert_int_equal(volumes_add(&release.volumes, second, &err), 0);
	buffer_close(&pool.told);
	pool.calls = 0;
	release_result_close(&result);
	int rc = release_locks(&port, &pool, &release, &result, &err);
	buffer_append_u8(&pool.told, 0);
	return rc;
}

#define TOLD ((const char *)pool.told.data)

static void our_own_are_freed_and_said(void **state)
{
	assert_int_equal(freed("vms/free", "vms/ours"), 0);
	assert_string_equal(TOLD, "vms/ours v1:10.0.0.1:0/7;");
	assert_false(result.refused);
	assert_int_equal(result.count, 1);
	assert_string_equal(result.locks[0].volume, "vms/ours");
	assert_string_equal(result.locks[0].locker.entity, "client.1");
}

static void one_of_others_keeps_all_from_being_freed(void **state)
{
	assert_int_equal(freed("vms/ours", "vms/theirs"), 0);
	assert_string_equal(TOLD, "");
	assert_true(result.refused);
	assert_int_equal(result.count, 1);
	assert_string_equal(result.locks[0].volume, "vms/theirs");
	release.proven = "10.0.0.9 10.0.0.2";
	assert_int_equal(freed("vms/ours", "vms/theirs"), 0);
	assert_string_equal(TOLD, "vms/ours v1:10.0.0.1:0/7;vms/theirs v1:10.0.0.2:0/7;");
	release.proven = "";
	release.extent = RELEASE_ALL;
	assert_int_equal(freed("vms/theirs", "vms/ours"), 0);
	assert_string_equal(TOLD, "vms/theirs v1:10.0.0.2:0/7;vms/ours v1:10.0.0.1:0/7;");
}

static void a_volume_that_does_not_exist_is_not_locked(void **state)
{
	assert_int_equal(freed("vms/none", "vms/ours"), 0);
	assert_string_equal(TOLD, "vms/ours v1:10.0.0.1:0/7;");
}

static void a_failure_on_the_way_is_a_failure(void **state)
{
	release.proven = "10.0.0.2";
	for (int i = 1; i <= 4; i++) {
		pool.fails_at = i;
		assert_int_equal(freed("vms/ours", "vms/theirs"), -ETIMEDOUT);
		assert_string_equal(err.text, "it hangs");
		assert_int_equal(result.count, 0);
	}
	pool.fails_at = 5;
	assert_int_equal(freed("vms/ours", "vms/theirs"), 0);
}

static void what_is_asked_for_survives_the_wire_and_no_part_of_it_does(void **state)
{
	static struct release read;
	struct buffer b = {0};
	release.proven = "10.0.0.2 fd00::2";
	release.extent = RELEASE_ALL;
	release.volumes.count = 0;
	volumes_add(&release.volumes, "vms/a", &err);
	volumes_add(&release.volumes, "vms/space/b", &err);
	release_encode(&b, &release);
	struct reader r = reader_of(b.data, b.size);
	assert_int_equal(release_decode(&r, &read), 0);
	assert_string_equal(read.own, "10.0.0.1");
	assert_string_equal(read.proven, "10.0.0.2 fd00::2");
	assert_int_equal(read.extent, RELEASE_ALL);
	assert_int_equal(read.volumes.count, 2);
	assert_string_equal(read.volumes.names[1], "vms/space/b");
	release_clear(&read);
	for (size_t size = 0; size < b.size; size++) {
		uint8_t *part = memcpy(must_alloc(size), b.data, size);
		r = reader_of(part, size);
		assert_int_equal(release_decode(&r, &read), -EPROTO);
		release_clear(&read);
		free(part);
	}
	buffer_append_u8(&b, 0);
	r = reader_of(b.data, b.size);
	assert_int_equal(release_decode(&r, &read), -EPROTO);
	release_clear(&read);
	buffer_close(&b);
}

static void what_was_freed_survives_the_wire_and_no_part_of_it_does(void **state)
{
	struct release_result read;
	struct buffer b = {0};
	assert_int_equal(freed("vms/ours", "vms/theirs"), 0);
	release_result_encode(&b, &result);
	struct reader r = reader_of(b.data, b.size);
	assert_int_equal(release_result_decode(&r, &read), 0);
	assert_true(read.refused);
	assert_int_equal(read.count, 1);
	assert_string_equal(read.locks[0].volume, "vms/theirs");
	assert_string_equal(read.locks[0].locker.cookie, "auto 1");
	assert_string_equal(read.locks[0].locker.address, "v1:10.0.0.2:0/7");
	release_result_close(&read);
	for (size_t size = 0; size < b.size; size++) {
		uint8_t *part = memcpy(must_alloc(size), b.data, size);
		r = reader_of(part, size);
		assert_int_equal(release_result_decode(&r, &read), -EPROTO);
		free(part);
	}
	for (size_t at = 0; at < b.size; at++) {
		uint8_t was = b.data[at];
		for (int byte = 0; byte < 256; byte++) {
			b.data[at] = (uint8_t)byte;
			r = reader_of(b.data, b.size);
			int rc = release_result_decode(&r, &read);
			assert_true(rc == 0 || rc == -EPROTO);
			if (rc == 0)
				release_result_close(&read);
		}
		b.data[at] = was;
	}
	buffer_close(&b);
}

static void a_list_that_is_longer_than_its_bytes_is_not_believed(void **state)
{
	struct release_result read;
	struct buffer b = {0};
	buffer_append_u8(&b, 0);
	buffer_append_varint(&b, UINT64_MAX / 600);
	buffer_append_u32(&b, 0);
	struct reader r = reader_of(b.data, b.size);
	assert_int_equal(release_result_decode(&r, &read), -EPROTO);
	buffer_close(&b);
	/* Refused, and by nobody. */
	buffer_append_u8(&b, 1);
	buffer_append_varint(&b, 0);
	r = reader_of(b.data, b.size);
	assert_int_equal(release_result_decode(&r, &read), -EPROTO);
	buffer_close(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(our_own_are_freed_and_said),
	    TEST(one_of_others_keeps_all_from_being_freed),
	    TEST(a_volume_that_does_not_exist_is_not_locked),
	    TEST(a_failure_on_the_way_is_a_failure),
	    TEST(what_is_asked_for_survives_the_wire_and_no_part_of_it_does),
	    TEST(what_was_freed_survives_the_wire_and_no_part_of_it_does),
	    TEST(a_list_that_is_longer_than_its_bytes_is_not_believed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
