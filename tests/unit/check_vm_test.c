/* What cannot be true of a VM is found, so that no snapshot brings it in. */
#include <errno.h>

#include "fsm/check_vm.h"
#include "tests/unit/vms.h"

static struct vm *web; /* runs on hv1 */

static int begin(void **state)
{
	nodes_up(3);
	web = running("web", 1);
	return 0;
}

static void refused(const struct vm *vm, const char *text)
{
	struct err wrong = {""};
	assert_int_equal(check_vm(&c, vm, &wrong), -EBADMSG);
	assert_string_equal(wrong.text, text);
}

/* A copy of a VM that is as it should be, and one thing about it that is not. */
#define REFUSED(field, value, text)                                                                \
	do {                                                                                       \
		struct vm bad = *web;                                                              \
		assert_int_equal(check_vm(&c, &bad, NULL), 0);                                     \
		bad.field = value;                                                                 \
		refused(&bad, text);                                                               \
	} while (0)

static void a_vm_that_moves_without_sense_is_found(void **state)
{
	REFUSED(target_observed, OBSERVED_PAUSED,
	    "web has what belongs to an attempt, and there is none");
	REFUSED(abort, true, "web has what belongs to an attempt, and there is none");
	REFUSED(tries, 1, "web has a wish to move that nobody has");
	REFUSED(destination, 2, "web has a wish to move that nobody has");
	REFUSED(why, MOVE_FLUSH, "web has a reason to be where it is, and belongs nowhere else");
	REFUSED(state, VM_MIGRATE, "web moves for no reason");
	REFUSED(home, 1, "web has a home that is none, or is there");
	REFUSED(flushed_off, true, "web was shut down by a flush, and is not");
	REFUSED(queued_node, 2, "web has a request queued that says where");
	REFUSED(id, 99, "VM 99 was never given out");
	migrate(web, 2);
	REFUSED(target, 1, "web moves from nowhere, or to nowhere");
	REFUSED(target, 9, "web moves from nowhere, or to nowhere");
	REFUSED(state, VM_START, "web moves, and nobody wants it");
	REFUSED(by, MIGRATION_NONE, "web moves by no method");
	REFUSED(whole_ms, 5, "web has a copy that is whole and not whole");
	REFUSED(tries, 4, "web was tried too often");
	REFUSED(arrived, true, "web has arrived, and is not to run there");
	migrated(web);
	REFUSED(state, VM_STOP, "web has arrived, and is not to run there");
	assert_int_equal(check_vm(&c, web, NULL), 0);
}

static void lists_with_one_thing_twice_are_found(void **state)
{
	struct node_ref nodes[] = {{1}, {1}};
	struct vm_tag tags[] = {{"a"}, {"a"}};
	struct vm bad = *web;
	bad.limit.items = nodes;
	bad.limit.count = 2;
	refused(&bad, "web is limited to a node twice");
	bad = *web;
	bad.tags.items = tags;
	bad.tags.count = 2;
	refused(&bad, "web has a tag twice");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, value_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_vm_that_moves_without_sense_is_found),
	    TEST(lists_with_one_thing_twice_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
