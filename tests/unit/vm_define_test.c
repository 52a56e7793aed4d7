/* What a VM is: defined, modified, renamed, and what the cluster goes by. */
#include <errno.h>
#include <stdlib.h>

#include "fsm/memory.h"
#include "fsm/membership.h"
#include "fsm/vm_define.h"
#include "tests/unit/vms.h"

static struct vm *vm; /* off, on hv1 */

static struct blob xml_of(const char *text)
{
	return (struct blob){(uint8_t *)(uintptr_t)text, (uint32_t)strlen(text)};
}

static int begin(void **state)
{
	nodes_up(3);
	struct command command = definition("web", 1);
	command.vm_define.xml = xml_of("<domain/>");
	vm = define(command);
	see(vm, OBSERVED_SHUTOFF);
	return 0;
}

static int modify(uint64_t hash, uint64_t memory_mib, const char *xml)
{
	return APPLY(vm_modify, .vm = vm->id, .xml_hash = hash, .memory_mib = memory_mib,
	    .vcpus = 2, .xml = xml_of(xml));
}

static void all_that_was_given_is_kept(void **state)
{
	struct node_ref limit[] = {{3}, {1}};
	struct vm_tag tags[] = {{"blue"}, {"test.1"}};
	struct command command = definition("db", 0);
	command.vm_define.method = MIGRATION_SHUTDOWN;
	command.vm_define.priority = 7;
	command.vm_define.autostart = true;
	command.vm_define.provision = true;
	command.vm_define.limit.items = limit;
	command.vm_define.limit.count = 2;
	command.vm_define.tags.items = tags;
	command.vm_define.tags.count = 2;
	struct vm *db = define(command);
	assert_int_equal(db->state, VM_PROVISION);
	assert_int_equal(db->method, MIGRATION_SHUTDOWN);
	assert_int_equal(db->priority, 7);
	assert_true(db->autostart);
	assert_int_equal(db->limit.count, 2);
	assert_int_equal(db->limit.items[0].node, 3);
	assert_string_equal(db->tags.items[1].name, "test.1");
	assert_true(db->node == 1 || db->node == 3);
}

static int define_limited(uint32_t first, uint32_t second)
{
	struct node_ref limit[] = {{first}, {second}};
	struct command command = definition("db", 0);
	command.vm_define.limit.items = limit;
	command.vm_define.limit.count = 2;
	return apply(command);
}

static int define_tagged(const char *first, const char *second)
{
	struct vm_tag tags[2] = {{{0}}};
	struct command command = definition("db", 0);
	snprintf(tags[0].name, sizeof(tags[0].name), "%s", first);
	snprintf(tags[1].name, sizeof(tags[1].name), "%s", second);
	command.vm_define.tags.items = tags;
	command.vm_define.tags.count = 2;
	return apply(command);
}

static void limits_and_tags_are_looked_at(void **state)
{
	assert_int_equal(define_limited(1, 9), -ENOENT);
	assert_int_equal(define_limited(2, 2), -EINVAL);
	assert_string_equal(err.text, "hv2 is in the limit twice");
	assert_int_equal(define_tagged("a", "a"), -EINVAL);
	assert_int_equal(define_tagged("a", "no blanks"), -EINVAL);
	assert_int_equal(define_tagged("a", ""), -EINVAL);
	assert_int_equal(c.vms.count, 1);
}

static void only_what_is_given_of_meta_changes(void **state)
{
	struct node_ref limit[] = {{2}};
	struct vm_tag tags[] = {{"green"}};
	struct command command = {.number = COMMAND_vm_meta,
	    .vm_meta = {.vm = vm->id, .autostart = true, .priority = 5, .selector = SELECTOR_VMS}};
	command.vm_meta.limit.items = limit;
	command.vm_meta.limit.count = 1;
	command.vm_meta.tags.items = tags;
	command.vm_meta.tags.count = 1;
	command.vm_meta.given = VM_META_PRIORITY | VM_META_TAGS;
	assert_int_equal(apply(command), 0);
	assert_int_equal(vm->priority, 5);
	assert_false(vm->autostart);
	assert_int_equal(vm->selector, SELECTOR_MEMFREE);
	assert_int_equal(vm->limit.count, 0);
	assert_string_equal(vm->tags.items[0].name, "green");
	command.vm_meta.given = VM_META_ALL;
	assert_int_equal(apply(command), 0);
	assert_int_equal(vm->limit.items[0].node, 2);
	assert_true(vm->autostart);
	/* An empty list is one. */
	assert_int_equal(APPLY(vm_meta, .vm = vm->id, .given = VM_META_LIMIT), 0);
	assert_int_equal(vm->limit.count, 0);
	assert_int_equal(vm->tags.count, 1);
	assert_int_equal(APPLY(vm_meta, .vm = vm->id, .given = 64), -EINVAL);
}

static void a_definition_is_modified_by_who_knows_the_present_one(void **state)
{
	uint64_t hash = vm->xml_hash;
	assert_int_equal(modify(hash, 2048, "<domain>2</domain>"), 0);
	assert_int_equal(vm->memory_mib, 2048);
	assert_int_equal(vm->vcpus, 2);
	assert_memory_equal(vm->xml.data, "<domain>2</domain>", vm->xml.size);
	assert_true(vm->xml_hash != hash);
	assert_int_equal(modify(hash, 1024, "<domain>3</domain>"), -ESTALE);
}

static void nobody_promises_more_by_modifying(void **state)
{
	assert_int_equal(modify(vm->xml_hash, NODE_MIB, "<domain/>"), -ENOMEM);
	assert_int_equal(modify(vm->xml_hash, NODE_MIB - MEMORY_RESERVED_MIB, "<domain/>"), 0);
}

static void what_runs_has_what_it_was_started_with(void **state)
{
	want(vm, VM_START);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(modify(vm->xml_hash, 512, "<domain/>"), -EBUSY);
	assert_int_equal(modify(vm->xml_hash, 1024, "<domain>2</domain>"), 0);
	migrate(vm, 2);
	assert_int_equal(modify(vm->xml_hash, 1024, "<domain>3</domain>"), -EBUSY);
}

static int rename_to(const char *name)
{
	struct command command = {.number = COMMAND_vm_rename, .vm_rename = {.vm = vm->id}};
	snprintf(command.vm_rename.name, sizeof(command.vm_rename.name), "%s", name);
	command.vm_rename.xml = xml_of("<domain>new</domain>");
	return apply(command);
}

static void what_is_off_gets_another_name(void **state)
{
	struct vm *db = define(definition("db", 2));
	assert_int_equal(rename_to("db"), -EEXIST);
	assert_int_equal(rename_to(db->uuid), -EEXIST);
	assert_int_equal(rename_to("a/b"), -EINVAL);
	assert_int_equal(rename_to("www"), 0);
	assert_string_equal(vm->name, "www");
	assert_ptr_equal(cluster_vm_named(&c, "www"), vm);
	assert_null(cluster_vm_named(&c, "web"));
	want(vm, VM_START);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(rename_to("web"), -EBUSY);
}

static void a_node_that_leaves_is_no_home_any_more(void **state)
{
	want(vm, VM_START);
	see(vm, OBSERVED_RUNNING);
	migrate(vm, 2);
	migrated(vm);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(vm->home, 1);
	fence(1);
	struct command leave = {.number = COMMAND_leave, .leave = {.node = 1}};
	leave.leave.judged = membership_mark(&c);
	assert_int_equal(apply(leave), 0);
	assert_int_equal(vm->home, 0);
	assert_int_equal(vm->why, MOVE_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, value_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(all_that_was_given_is_kept),
	    TEST(limits_and_tags_are_looked_at),
	    TEST(only_what_is_given_of_meta_changes),
	    TEST(a_definition_is_modified_by_who_knows_the_present_one),
	    TEST(nobody_promises_more_by_modifying),
	    TEST(what_runs_has_what_it_was_started_with),
	    TEST(what_is_off_gets_another_name),
	    TEST(a_node_that_leaves_is_no_home_any_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
