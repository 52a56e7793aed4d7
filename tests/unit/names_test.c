/* Names and UUIDs in the value: programs that speak to the socket, or nodes that join, are not held
 * back by what the command line checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "fsm/cluster.h"

#define UUID	     "22222222-0000-4000-8000-0000000000de"
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct cluster c;

static int apply(const struct command *command)
{
	struct buffer bytes = {0};
	struct err err;
	command_encode(command, &bytes);
	int result = cluster_apply(&c, c.index + 1, bytes.data, bytes.size, &err);
	buffer_close(&bytes);
	return result;
}

static int found(const char *name, const char *node)
{
	struct command command = {.number = COMMAND_found,
	    .found = {.uuid = "u", .address = "hv1:7000", .incarnation = "i1", .schema = 1}};
	snprintf(command.found.name, sizeof(command.found.name), "%s", name);
	snprintf(command.found.node, sizeof(command.found.node), "%s", node);
	return apply(&command);
}

static int define(const char *name, const char *uuid)
{
	struct command command = {
	    .number = COMMAND_vm_define, .vm_define = {.memory_mib = 1, .vcpus = 1}};
	snprintf(command.vm_define.name, sizeof(command.vm_define.name), "%s", name);
	snprintf(command.vm_define.uuid, sizeof(command.vm_define.uuid), "%s", uuid);
	return apply(&command);
}

static int join(const char *name, const char *address)
{
	struct command command = {.number = COMMAND_join, .join = {.incarnation = "i2"}};
	snprintf(command.join.name, sizeof(command.join.name), "%s", name);
	snprintf(command.join.address, sizeof(command.join.address), "%s", address);
	return apply(&command);
}

static int begin(void **state)
{
	cluster_init(&c);
	return 0;
}

static int end(void **state)
{
	cluster_close(&c);
	return 0;
}

static const char *const hiding[] = {"\x1b[2J", "a\nb",
    "a\xc2\x9b"
    "b",
    "a\xe2\x80\xae"
    "b",
    "a\xe2\x81\xa6"
    "b",
    "\xff", "../../etc", "a/b", ".."};

static void a_vm_is_named_by_what_can_be_seen_and_is_no_path(void **state)
{
	assert_int_equal(found("lab", "hv1"), 1);
	for (size_t i = 0; i < COUNT(hiding); i++)
		assert_int_equal(define(hiding[i], UUID), -EINVAL);
	assert_int_equal(define("B\xc3\xbcro 1", UUID), 1);
}

static void a_vm_has_a_uuid_of_the_one_form(void **state)
{
	assert_int_equal(found("lab", "hv1"), 1);
	assert_int_equal(define("web", "../../../../etc/passwd"), -EINVAL);
	assert_int_equal(define("web", "\x1b[2J"), -EINVAL);
	assert_int_equal(define("web", "22222222-0000-4000-8000-0000000000DE"), -EINVAL);
	assert_int_equal(c.vms.count, 0);
}

static void nodes_and_clusters_have_plain_names(void **state)
{
	for (size_t i = 0; i < COUNT(hiding); i++) {
		assert_int_equal(found(hiding[i], "hv1"), -EINVAL);
		assert_int_equal(found("lab", hiding[i]), -EINVAL);
	}
	assert_int_equal(found("lab", "hv1"), 1);
	for (size_t i = 0; i < COUNT(hiding); i++)
		assert_int_equal(join(hiding[i], "hv2:7000"), -EINVAL);
	assert_int_equal(join("hv2", "\x1b[2J"), -EINVAL);
	/* It gets as far as its token. */
	assert_int_equal(join("hv2", "hv2:7000"), -EPERM);
}

static void a_fact_s_key_can_be_seen(void **state)
{
	struct command command = {.number = COMMAND_fact,
	    .fact = {.key = "a\x1b", .value = {.data = (uint8_t *)"v", .size = 1}}};
	assert_int_equal(found("lab", "hv1"), 1);
	assert_int_equal(apply(&command), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(a_vm_is_named_by_what_can_be_seen_and_is_no_path),
	    TEST(a_vm_has_a_uuid_of_the_one_form),
	    TEST(nodes_and_clusters_have_plain_names),
	    TEST(a_fact_s_key_can_be_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
