#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/volume.h"

static void a_volume_is_a_pool_and_an_image_and_maybe_a_namespace_between_them(void **state)
{
	struct volume v;
	assert_int_equal(volume_parse(&v, "vms/web1_sda"), 0);
	assert_string_equal(v.pool, "vms");
	assert_string_equal(v.space, "");
	assert_string_equal(v.image, "web1_sda");
	assert_int_equal(volume_parse(&v, "vms/blue team/web1.sda"), 0);
	assert_string_equal(v.pool, "vms");
	assert_string_equal(v.space, "blue team");
	assert_string_equal(v.image, "web1.sda");
}

static void what_is_no_volume_is_refused(void **state)
{
	static const char *const names[] = {
	    "", "vms", "vms/", "/web1", "vms//web1", "a/b/c/d", "vms/a\nb", "vms/web1@snap", "/"};
	char name[VOLUME_NAME_MAX + 1];
	struct volume v;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(volume_parse(&v, names[i]), -EINVAL);
	memset(name, 'a', VOLUME_NAME_MAX);
	name[1] = '/';
	name[VOLUME_NAME_MAX] = '\0';
	assert_int_equal(volume_parse(&v, name), -EINVAL);
	name[VOLUME_NAME_MAX - 1] = '\0';
	assert_int_equal(volume_parse(&v, name), 0);
	assert_int_equal(strlen(v.image), VOLUME_NAME_MAX - 3);
}

static void a_volume_is_listed_once_and_not_more_than_there_is_room_for(void **state)
{
	static struct volumes volumes;
	struct err err;
	char name[32];
	volumes.count = 0;
	for (unsigned i = 0; i < VOLUMES_MAX; i++) {
		snprintf(name, sizeof(name), "vms/disk%u", i);
		assert_int_equal(volumes_add(&volumes, name, &err), 0);
		assert_int_equal(volumes_add(&volumes, name, &err), 0);
		assert_int_equal(volumes.count, i + 1);
	}
	assert_int_equal(volumes_add(&volumes, "vms/one_more", &err), -ENOSPC);
	assert_int_equal(volumes_add(&volumes, "nothing", &err), -EINVAL);
	assert_int_equal(volumes.count, VOLUMES_MAX);
	assert_string_equal(volumes.names[VOLUMES_MAX - 1], "vms/disk63");
}

static void the_address_of_a_lock_is_ours_in_whatever_shape_it_comes(void **state)
{
	static const char *const ours[] = {"10.0.0.1", "10.0.0.1:0/2958327856",
	    "v1:10.0.0.1:0/2958327856", "v2:10.0.0.1:6800/7", "any:10.0.0.1:0/1",
	    "[v2:10.0.0.1:0/1,v1:10.0.0.1:0/1]", "10.0.0.1/4", "[::ffff:10.0.0.1]:0/1",
	    "v1:[::ffff:a00:1]:0/1", "::ffff:10.0.0.1", "[fd00::1]:0/1", "v1:[fd00:0:0::1]:0/1",
	    "v2:[FD00:0000::0001]:0/1", "fd00::1", "[v2:[fd00::1]:0/1,v1:10.0.0.1:0/1]"};
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		assert_int_equal(
		    lock_judge(ours[i], "192.168.0.9 10.0.0.1 fd00::1", "10.0.0.2"), LOCK_OURS);
	assert_int_equal(lock_judge("10.0.0.1:0/1", "  ::ffff:10.0.0.1  ", ""), LOCK_OURS);
}

static void a_lock_of_anybody_else_is_foreign_however_alike_it_looks(void **state)
{
	static const char *const foreign[] = {"10.0.0.11:0/1", "10.0.0.2:0/1", "110.0.0.1:0/1",
	    "v1:10.0.0.10:0/10", "[v2:10.0.0.1:0/1,v1:10.0.0.2:0/1]", "[fd00::11]:0/1",
	    "[fd00::1:0]:0/1", "fd00::1:0", "[::1]:0/1", "0.0.0.0:0/1", "[::]:0/1", "", "-", ":/0",
	    "v1:", "[v2:", "[]", "[v]", "10.0.0.1:0/", "10.0.0.1:x/1", "10.0.0.1:0/1x",
	    "10.0.0.1 :0/1", "[fd00::1", "v3:10.0.0.1", "10.0.0.01:0/1", "[v2:10.0.0.1:0/1,]",
	    "[v1:10.0.0.1,v1:10.0.0.1,v1:10.0.0.1,v1:10.0.0.1,v1:10.0.0.1]"};
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_int_equal(lock_judge(foreign[i], "10.0.0.1 fd00::1 0.0.0.0 ::", "nonsense"),
		    LOCK_FOREIGN);
	assert_int_equal(lock_judge("10.0.0.1:0/1", "", ""), LOCK_FOREIGN);
	assert_int_equal(lock_judge("10.0.0.1:0/1", "10.0.0.12 10.0.0.1x", ""), LOCK_FOREIGN);
}

static void who_is_proven_off_is_neither_ours_nor_foreign(void **state)
{
	assert_int_equal(
	    lock_judge("v1:10.0.0.2:0/1", "10.0.0.1", "10.0.0.3 10.0.0.2"), LOCK_PROVEN_OFF);
	assert_int_equal(lock_judge("[fd00::2]:0/1", "fd00::1", "fd00::2"), LOCK_PROVEN_OFF);
	assert_int_equal(lock_judge("10.0.0.1:0/1", "10.0.0.1", "10.0.0.1"), LOCK_OURS);
	/* One of two: not all of that client is accounted for. */
	assert_int_equal(
	    lock_judge("[v2:10.0.0.2:0/1,v1:10.0.0.1:0/1]", "10.0.0.1", "10.0.0.2"), LOCK_FOREIGN);
}

static void a_client_is_kept_out_by_its_very_address_and_never_its_machine(void **state)
{
	char clients[VOLUME_CLIENTS_MAX][VOLUME_CLIENT_MAX];
	assert_int_equal(lock_clients("v1:10.0.0.1:0/123", clients), 1);
	assert_string_equal(clients[0], "v1:10.0.0.1:0/123");
	assert_int_equal(lock_clients("[v2:[fd00::1]:0/12,v1:10.0.0.1:0/13]", clients), 2);
	assert_string_equal(clients[0], "v2:[fd00::1]:0/12");
	assert_string_equal(clients[1], "v1:10.0.0.1:0/13");
	assert_int_equal(lock_clients("10.0.0.1:0/0", clients), 0);
	assert_int_equal(lock_clients("10.0.0.1:0/00", clients), 0);
	assert_int_equal(lock_clients("10.0.0.1:0", clients), 0);
	assert_int_equal(lock_clients("10.0.0.1", clients), 0);
	assert_int_equal(lock_clients("[fd00::1]:0/0", clients), 0);
	assert_int_equal(lock_clients("[v2:10.0.0.1:0/1,v1:10.0.0.1:0/0]", clients), 0);
	assert_int_equal(lock_clients("-", clients), 0);
}

static void people_are_shown_the_address_alone(void **state)
{
	char text[VOLUME_CLIENT_MAX];
	lock_address_print("v1:10.0.0.12:0/123", text);
	assert_string_equal(text, "10.0.0.12");
	lock_address_print("v1:[fd00:0::12]:0/123", text);
	assert_string_equal(text, "fd00::12");
	lock_address_print("[v2:[::ffff:10.0.0.12]:0/1,v1:10.0.0.12:0/1]", text);
	assert_string_equal(text, "10.0.0.12");
	lock_address_print("somewhere", text);
	assert_string_equal(text, "somewhere");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_volume_is_a_pool_and_an_image_and_maybe_a_namespace_between_them),
	    cmocka_unit_test(what_is_no_volume_is_refused),
	    cmocka_unit_test(a_volume_is_listed_once_and_not_more_than_there_is_room_for),
	    cmocka_unit_test(the_address_of_a_lock_is_ours_in_whatever_shape_it_comes),
	    cmocka_unit_test(a_lock_of_anybody_else_is_foreign_however_alike_it_looks),
	    cmocka_unit_test(who_is_proven_off_is_neither_ours_nor_foreign),
	    cmocka_unit_test(a_client_is_kept_out_by_its_very_address_and_never_its_machine),
	    cmocka_unit_test(people_are_shown_the_address_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
