/* Migrations in the value: attempts, what ends them, and who owns the VM afterwards. */
#include <errno.h>

#include "fsm/memory.h"
#include "fsm/migration.h"
#include "fsm/vm_define.h"
#include "tests/unit/vms.h"

static struct vm *vm; /* runs on hv1 */

static int begin(void **state)
{
	nodes_up(4);
	vm = running("web1", 1);
	return 0;
}

static uint64_t promised_mib(uint32_t node)
{
	struct memory m;
	memory_of(&c, cluster_node(&c, node), &m);
	return m.provisioned_mib;
}

static void duties(enum vm_duty source, enum vm_duty target)
{
	assert_int_equal(vm_duty(vm, 1), source);
	assert_int_equal(vm_duty(vm, 2), target);
	assert_int_equal(vm_duty(vm, 3), VM_DUTY_NONE);
	assert_int_equal(vm_duty(vm, 0), VM_DUTY_NONE);
}

static void an_attempt_has_a_target_a_generation_and_room_on_both(void **state)
{
	uint64_t generation = vm->generation;
	assert_int_equal(migrate(vm, 2), 0);
	assert_int_equal(vm->state, VM_MIGRATE);
	assert_int_equal(vm->target, 2);
	assert_int_equal(vm->node, 1);
	assert_true(vm->generation > generation);
	duties(VM_DUTY_SEND, VM_DUTY_RECEIVE);
	assert_int_equal(promised_mib(1), 1024);
	assert_int_equal(promised_mib(2), 1024);
	assert_false(vm_is_off(&c, vm));
}

static void the_owner_changes_once_the_copy_is_whole(void **state)
{
	migrate(vm, 2);
	uint64_t generation = vm->generation;
	assert_int_equal(migrated(vm), 0);
	assert_int_equal(vm->node, 2);
	assert_int_equal(vm->last_node, 1);
	assert_int_equal(vm->home, 1);
	assert_int_equal(vm->target, 0);
	assert_int_equal(vm->generation, generation + 1);
	assert_int_equal(vm->state, VM_START);
	assert_true(vm->arrived);
	duties(VM_DUTY_NONE, VM_DUTY_RUN);
	assert_int_equal(promised_mib(1), 0);
	/* It has been resumed. */
	see(vm, OBSERVED_PAUSED);
	assert_true(vm->arrived);
	see(vm, OBSERVED_RUNNING);
	assert_false(vm->arrived);
	/* Told again, it is of the past. */
	assert_int_equal(
	    APPLY(vm_migrated, .node = 1, .vm = vm->id, .generation = generation), -ESTALE);
}

static void only_the_owner_says_how_it_ended_and_only_of_this_attempt(void **state)
{
	assert_int_equal(migrated(vm), -EINVAL);
	assert_int_equal(migration_failed(vm), -EINVAL);
	migrate(vm, 2);
	assert_int_equal(
	    APPLY(vm_migrated, .node = 2, .vm = vm->id, .generation = vm->generation), -ESTALE);
	assert_int_equal(
	    APPLY(vm_migrated, .node = 1, .vm = vm->id, .generation = vm->generation - 1), -ESTALE);
	assert_int_equal(vm->node, 1);
}

static void a_copy_that_was_lost_is_not_arrived_any_more(void **state)
{
	migrate(vm, 2);
	migrated(vm);
	see(vm, OBSERVED_SHUTOFF);
	assert_false(vm->arrived);
	assert_int_equal(vm_duty(vm, 2), VM_DUTY_RUN);
	see(vm, OBSERVED_RUNNING);
	migrate(vm, 3);
	migrated(vm);
	see(vm, OBSERVED_CRASHED);
	assert_false(vm->arrived);
}

static void a_failed_attempt_is_made_again_and_what_is_left_of_it_is_stale(void **state)
{
	migrate(vm, 2);
	uint64_t generation = vm->generation;
	assert_int_equal(migration_failed(vm), 0);
	assert_int_equal(vm->target, 0);
	assert_int_equal(vm->state, VM_MIGRATE);
	assert_true(vm->generation > generation);
	assert_string_equal(vm->failed_reason, "broken pipe");
	duties(VM_DUTY_RUN, VM_DUTY_NONE);
	seconds(1);
	assert_int_equal(vm->target, 2);
	assert_int_equal(vm->tries, 1);
	/* The second wait is longer. */
	migration_failed(vm);
	seconds(1);
	assert_int_equal(vm->target, 0);
	seconds(1);
	assert_int_equal(vm->target, 2);
}

static void fail_for_good(void)
{
	for (unsigned i = 0; i < MIGRATION_TRIES; i++) {
		assert_int_equal(vm->target, 2);
		assert_int_equal(vm->by, MIGRATION_LIVE);
		migration_failed(vm);
		seconds(i + 1);
	}
}

static void after_three_tries_it_is_shut_down_and_started_there(void **state)
{
	migrate(vm, 2);
	fail_for_good();
	assert_int_equal(vm->target, 2);
	assert_int_equal(vm->by, MIGRATION_SHUTDOWN);
	duties(VM_DUTY_SHUTDOWN, VM_DUTY_NONE);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(vm->node, 1);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->node, 2);
	assert_int_equal(vm->home, 1);
	assert_int_equal(vm->state, VM_START);
	assert_false(vm->arrived);
}

static void what_may_only_be_moved_live_stays_with_the_reason(void **state)
{
	APPLY(vm_migrate, .vm = vm->id, .node = 2, .why = MOVE_MIGRATE, .live_only = true);
	fail_for_good();
	assert_int_equal(vm->target, 0);
	assert_int_equal(vm->state, VM_START);
	assert_string_equal(vm->failed_reason, "broken pipe");
	/* It runs, and one still reads why it is not there. */
	see(vm, OBSERVED_RUNNING);
	assert_string_equal(vm->failed_reason, "broken pipe");
}

static void a_method_of_shutdown_needs_no_tries(void **state)
{
	APPLY(vm_meta, .vm = vm->id, .given = 2, .method = MIGRATION_SHUTDOWN);
	assert_int_equal(
	    APPLY(vm_migrate, .vm = vm->id, .why = MOVE_MIGRATE, .live_only = true), -EPERM);
	migrate(vm, 2);
	assert_int_equal(vm->by, MIGRATION_SHUTDOWN);
	assert_int_equal(promised_mib(2), 1024);
	/* Off under an older generation says nothing of this one. */
	struct sighting before = {vm->id, vm->generation - 1, OBSERVED_SHUTOFF};
	keepalive(1, &before, 1);
	assert_int_equal(vm->node, 1);
	APPLY(vm_meta, .vm = vm->id, .given = 2, .method = MIGRATION_NONE);
	see(vm, OBSERVED_CRASHED);
	assert_int_equal(vm->node, 2);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(migrate(vm, 1), -EPERM);
}

static void what_is_off_while_it_should_run_is_moved_cold(void **state)
{
	see(vm, OBSERVED_SHUTOFF);
	migrate(vm, 2);
	assert_int_equal(vm->by, MIGRATION_SHUTDOWN);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->node, 2);
	assert_int_equal(vm->state, VM_START);
}

static void a_vm_that_is_paused_by_a_person_waits(void **state)
{
	see(vm, OBSERVED_PAUSED);
	migrate(vm, 2);
	assert_int_equal(vm->target, 0);
	assert_string_equal(vm->failed_reason, "it is paused");
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(vm->target, 2);
}

/* The owner's daemon died and came back: it does not know how its call ended. */
static void gone_here_and_whole_there_is_arrived(void **state)
{
	migrate(vm, 2);
	node_sees(2, vm, OBSERVED_TRANSIT);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm_duty(vm, 1), VM_DUTY_SEND);
	assert_false(vm_is_off(&c, vm));
	assert_int_equal(APPLY(vm_undefine, .vm = vm->id), -EBUSY);
	node_sees(2, vm, OBSERVED_PAUSED);
	assert_int_equal(vm->node, 2);
	assert_true(vm->arrived);
}

static void whole_there_and_then_gone_here_is_arrived(void **state)
{
	migrate(vm, 2);
	see(vm, OBSERVED_TRANSIT);
	node_sees(2, vm, OBSERVED_PAUSED);
	assert_int_equal(vm->node, 1);
	seconds(MIGRATION_TRUST_MS / 1000 - 1);
	assert_int_equal(vm->node, 1);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->node, 2);
	assert_true(vm->arrived);
}

static void a_whole_copy_of_an_owner_that_runs_on_is_not_believed_later(void **state)
{
	migrate(vm, 2);
	node_sees(2, vm, OBSERVED_PAUSED);
	seconds(MIGRATION_TRUST_MS / 1000 + 1);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm->target, 0);
	duties(VM_DUTY_RUN, VM_DUTY_NONE);
}

static void gone_here_and_there_is_started_afresh_here(void **state)
{
	migrate(vm, 2);
	see(vm, OBSERVED_SHUTOFF);
	uint64_t generation = vm->generation;
	node_sees(2, vm, OBSERVED_SHUTOFF);
	seconds(3);
	assert_int_equal(vm->target, 2);
	seconds(1);
	assert_int_equal(vm->target, 0);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm->state, VM_START);
	assert_true(vm->generation > generation);
	duties(VM_DUTY_RUN, VM_DUTY_NONE);
}

static void of_a_copy_that_nothing_is_known_of_one_waits_longer(void **state)
{
	migrate(vm, 2);
	see(vm, OBSERVED_SHUTOFF);
	seconds(MIGRATION_UNKNOWN_MS / 1000 - 1);
	assert_int_equal(vm->target, 2);
	assert_int_equal(vm_duty(vm, 1), VM_DUTY_SEND);
	seconds(1);
	assert_int_equal(vm->target, 0);
	assert_int_equal(vm->node, 1);
}

static void that_there_was_no_copy_before_says_nothing(void **state)
{
	migrate(vm, 2);
	node_sees(2, vm, OBSERVED_SHUTOFF);
	see(vm, OBSERVED_SHUTOFF);
	/* The target's daemon is being restarted. */
	seconds(MIGRATION_UNKNOWN_MS / 1000 - 1);
	assert_int_equal(vm->target, 2);
	node_sees(2, vm, OBSERVED_PAUSED);
	assert_int_equal(vm->node, 2);
	assert_true(vm->arrived);
}

static void an_owner_that_is_back_was_not_off(void **state)
{
	migrate(vm, 2);
	see(vm, OBSERVED_SHUTOFF);
	see(vm, OBSERVED_RUNNING);
	seconds(40);
	assert_int_equal(vm->target, 2);
}

static void a_copy_under_an_older_generation_says_nothing(void **state)
{
	migrate(vm, 2);
	struct sighting old = {vm->id, vm->generation - 1, OBSERVED_PAUSED};
	see(vm, OBSERVED_SHUTOFF);
	keepalive(2, &old, 1);
	assert_int_equal(vm->node, 1);
	/* Nor does a node that is not the target. */
	node_sees(3, vm, OBSERVED_PAUSED);
	assert_int_equal(vm->node, 1);
	assert_int_equal(APPLY(vm_report, .node = 3, .vm = vm->id, .generation = vm->generation,
			     .observed = OBSERVED_PAUSED),
	    -ESTALE);
	assert_int_equal(APPLY(vm_report, .node = 2, .vm = vm->id, .generation = vm->generation,
			     .observed = OBSERVED_PAUSED),
	    0);
	assert_int_equal(vm->node, 2);
}

static void what_was_lost_with_its_target_is_started_afresh_here(void **state)
{
	migrate(vm, 2);
	see(vm, OBSERVED_SHUTOFF);
	node_sees(2, vm, OBSERVED_TRANSIT);
	fence(2);
	assert_int_equal(vm->target, 0);
	duties(VM_DUTY_RUN, VM_DUTY_NONE);
}

static void an_attempt_whose_target_is_lost_fails_by_itself(void **state)
{
	migrate(vm, 2);
	node_sees(2, vm, OBSERVED_PAUSED);
	fence(2);
	assert_int_equal(vm->target, 2);
	assert_int_equal(vm_duty(vm, 1), VM_DUTY_SEND);
	/* The copy was lost with it. */
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->target, 0);
	assert_int_equal(vm->node, 1);
}

static void a_copy_that_was_lost_with_its_target_is_forgotten(void **state)
{
	migrate(vm, 2);
	node_sees(2, vm, OBSERVED_PAUSED);
	fence(2);
	node_up(2);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm->target, 2);
	node_sees(2, vm, OBSERVED_SHUTOFF);
	seconds(5);
	assert_int_equal(vm_duty(vm, 1), VM_DUTY_RUN);
}

static void what_ended_well_at_a_target_that_is_off_is_started_afresh_here(void **state)
{
	migrate(vm, 2);
	fence(2);
	assert_int_equal(migrated(vm), 0);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm->target, 0);
	assert_int_equal(vm->state, VM_START);
}

/* Its copy may be older than its disks. */
static void an_owner_that_is_proven_off_is_not_followed_by_a_copy(void **state)
{
	migrate(vm, 2);
	node_sees(2, vm, OBSERVED_PAUSED);
	fence(1);
	assert_true(vm->node > 1);
	assert_int_equal(vm->target, 0);
	assert_false(vm->arrived);
	assert_int_equal(vm->state, VM_START);
}

static void an_owner_that_boots_anew_is_not_followed_by_a_copy(void **state)
{
	APPLY(node_hello, .node = 1, .hypervisor = true, .boot_id = "a");
	APPLY(node_state, .node = 1, .state = DAEMON_RUN);
	migrate(vm, 2);
	node_sees(2, vm, OBSERVED_PAUSED);
	/* A daemon that starts anew is none. */
	APPLY(node_hello, .node = 1, .hypervisor = true, .boot_id = "a");
	assert_int_equal(vm->target, 2);
	APPLY(node_hello, .node = 1, .hypervisor = true, .boot_id = "b");
	assert_int_equal(vm->target, 0);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->node, 1);
	duties(VM_DUTY_RUN, VM_DUTY_NONE);
}

static void a_shutdown_whose_target_is_lost_finds_another(void **state)
{
	APPLY(vm_meta, .vm = vm->id, .given = 2, .method = MIGRATION_SHUTDOWN);
	migrate(vm, 0);
	uint32_t lost = vm->target;
	assert_true(lost > 1);
	fence(lost);
	seconds(1);
	assert_true(vm->target > 1 && vm->target != lost);
	see(vm, OBSERVED_SHUTOFF);
	assert_true(vm->node > 1 && vm->node != lost);
}

static void start_aborts_and_it_stays(void **state)
{
	migrate(vm, 2);
	uint64_t generation = vm->generation;
	assert_int_equal(want(vm, VM_START), 0);
	assert_true(vm->abort);
	assert_int_equal(vm->generation, generation);
	duties(VM_DUTY_SEND, VM_DUTY_RECEIVE);
	assert_int_equal(migration_failed(vm), 0);
	assert_false(vm->abort);
	assert_int_equal(vm->state, VM_START);
	seconds(5);
	duties(VM_DUTY_RUN, VM_DUTY_NONE);
}

static void an_abort_that_was_too_late_is_a_migration(void **state)
{
	migrate(vm, 2);
	want(vm, VM_START);
	assert_int_equal(migrated(vm), 0);
	assert_int_equal(vm->node, 2);
	assert_false(vm->abort);
}

/* Nobody would resume the copy there. */
static void a_target_whose_daemon_has_ended_is_not_gone_to(void **state)
{
	migrate(vm, 2);
	APPLY(node_state, .node = 2, .state = DAEMON_SHUTDOWN);
	seconds(1);
	assert_false(vm->abort);
	APPLY(node_state, .node = 2, .state = DAEMON_STOP);
	seconds(1);
	assert_true(vm->abort);
	migration_failed(vm);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm->state, VM_START);
	duties(VM_DUTY_RUN, VM_DUTY_NONE);
}

static void a_target_that_is_not_heard_is_not_gone_to(void **state)
{
	migrate(vm, 2);
	seconds(1);
	silence(MIGRATION_SILENT_MS / 1000 - 1);
	assert_false(vm->abort);
	silence(1);
	assert_true(vm->abort);
	migration_failed(vm);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm->state, VM_START);
	assert_string_equal(vm->failed_reason, "the target of its migration is not heard");
}

static void a_wish_that_waits_is_taken_back_at_once(void **state)
{
	see(vm, OBSERVED_PAUSED);
	migrate(vm, 2);
	assert_int_equal(vm->state, VM_MIGRATE);
	want(vm, VM_START);
	assert_int_equal(vm->state, VM_START);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(vm->target, 0);
}

static void who_may_be_on_no_other_node_is_told_so(void **state)
{
	struct command meta = {
	    .number = COMMAND_vm_meta, .vm_meta = {.vm = vm->id, .given = VM_META_LIMIT}};
	meta.vm_meta.limit.items = &(struct node_ref){vm->node};
	meta.vm_meta.limit.count = 1;
	assert_int_equal(apply(meta), 0);
	assert_int_equal(migrate(vm, 0), 0);
	assert_string_equal(vm->failed_reason, "no node that it may be on has room for it");
}

static void without_room_it_waits_and_says_so(void **state)
{
	for (uint32_t node = 2; node <= 4; node++) {
		char name[16];
		snprintf(name, sizeof(name), "big%u", node);
		struct command big = definition(name, node);
		big.vm_define.memory_mib = NODE_MIB - 1024;
		define(big);
	}
	assert_int_equal(migrate(vm, 2), -ENOMEM);
	assert_int_equal(migrate(vm, 0), 0);
	assert_int_equal(vm->target, 0);
	assert_string_equal(vm->failed_reason, "no node has room for it");
	struct vm *big = cluster_vm_named(&c, "big3");
	see(big, OBSERVED_SHUTOFF);
	assert_int_equal(APPLY(vm_undefine, .vm = big->id), 0);
	seconds(1);
	assert_int_equal(vm->target, 3);
}

static void so_many_at_once_and_the_most_important_first(void **state)
{
	struct vm *more[MIGRATIONS_AT_ONCE + 1];
	for (unsigned i = 0; i <= MIGRATIONS_AT_ONCE; i++) {
		char name[16];
		snprintf(name, sizeof(name), "vm%u", i);
		more[i] = running(name, 1);
		migrate(more[i], 2 + i % 3);
	}
	migrate(vm, 2);
	APPLY(vm_meta, .vm = more[MIGRATIONS_AT_ONCE]->id, .given = 8, .priority = 9);
	for (unsigned i = 0; i < MIGRATIONS_AT_ONCE; i++)
		assert_true(more[i]->target);
	assert_false(more[MIGRATIONS_AT_ONCE]->target);
	assert_string_equal(
	    more[MIGRATIONS_AT_ONCE]->failed_reason, "hv1 has 4 migrations under way");
	seconds(1);
	assert_false(vm->target);
	migrated(more[0]);
	seconds(1);
	assert_true(more[MIGRATIONS_AT_ONCE]->target);
	assert_false(vm->target);
	migrated(more[1]);
	seconds(1);
	assert_int_equal(vm->target, 2);
}

static void so_many_at_once_into_one_node(void **state)
{
	struct vm *more[MIGRATIONS_AT_ONCE];
	for (unsigned i = 0; i < MIGRATIONS_AT_ONCE; i++) {
		char name[16];
		snprintf(name, sizeof(name), "vm%u", i);
		more[i] = running(name, 3 + i % 2);
		migrate(more[i], 2);
		assert_int_equal(more[i]->target, 2);
	}
	migrate(vm, 2);
	assert_int_equal(vm->target, 0);
	assert_string_equal(vm->failed_reason, "hv2 has 4 migrations under way");
	migration_failed(more[0]);
	seconds(1);
	assert_true(vm->target || more[0]->target);
}

static void what_was_migrated_goes_home(void **state)
{
	assert_int_equal(APPLY(vm_migrate, .vm = vm->id, .why = MOVE_UNMIGRATE), -EINVAL);
	assert_string_equal(err.text, "web1 was not migrated: it is where it belongs");
	migrate(vm, 2);
	assert_int_equal(APPLY(vm_migrate, .vm = vm->id, .why = MOVE_UNMIGRATE), -EINVAL);
	assert_string_equal(
	    err.text, "web1 is being migrated, and still where it belongs: start ends that");
	migrated(vm);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(vm->why, MOVE_MIGRATE);
	/* On from there, and still it belongs where it came from. */
	migrate(vm, 3);
	migrated(vm);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(vm->home, 1);
	assert_int_equal(APPLY(vm_migrate, .vm = vm->id, .why = MOVE_UNMIGRATE), 0);
	assert_int_equal(vm->state, VM_UNMIGRATE);
	assert_int_equal(vm->target, 1);
	migrated(vm);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm->home, 0);
	assert_int_equal(vm->why, MOVE_NONE);
}

static void what_was_moved_belongs_there(void **state)
{
	migrate(vm, 2);
	migrated(vm);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(APPLY(vm_migrate, .vm = vm->id, .node = 3, .why = MOVE_MOVE), 0);
	migrated(vm);
	assert_int_equal(vm->node, 3);
	assert_int_equal(vm->home, 0);
}

static void who_is_moved_to_where_it_is_stays_there_for_good(void **state)
{
	migrate(vm, 2);
	migrated(vm);
	see(vm, OBSERVED_RUNNING);
	see(vm, OBSERVED_PAUSED);
	migrate(vm, 3);
	assert_int_equal(vm->state, VM_MIGRATE);
	assert_int_equal(APPLY(vm_migrate, .vm = vm->id, .node = 2, .why = MOVE_MOVE), 0);
	assert_int_equal(vm->state, VM_START);
	assert_int_equal(vm->home, 0);
	see(vm, OBSERVED_RUNNING);
	seconds(3);
	assert_int_equal(vm->target, 0);
	/* What is off and stays off does so as well. */
	want(vm, VM_STOP);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(APPLY(vm_migrate, .vm = vm->id, .node = 2, .why = MOVE_MOVE), 0);
	assert_int_equal(vm->state, VM_STOP);
}

static void what_is_off_is_moved_at_once(void **state)
{
	want(vm, VM_STOP);
	/* It is done as soon as it is off. */
	assert_int_equal(APPLY(vm_migrate, .vm = vm->id, .node = 3, .why = MOVE_MOVE), 0);
	assert_int_equal(vm->node, 1);
	assert_int_equal(vm->queued, REQUEST_MOVE);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->node, 3);
	assert_int_equal(vm->state, VM_STOP);
	assert_int_equal(vm->queued, REQUEST_NONE);
	assert_int_equal(migrate(vm, 2), -EINVAL);
}

static void no_node_that_a_vm_moves_to_leaves(void **state)
{
	migrate(vm, 2);
	assert_int_equal(APPLY(leave, .node = 2), -EBUSY);
	assert_string_equal(err.text, "web1 is being moved to hv2: ask again later");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, value_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_attempt_has_a_target_a_generation_and_room_on_both),
	    TEST(the_owner_changes_once_the_copy_is_whole),
	    TEST(only_the_owner_says_how_it_ended_and_only_of_this_attempt),
	    TEST(a_copy_that_was_lost_is_not_arrived_any_more),
	    TEST(a_failed_attempt_is_made_again_and_what_is_left_of_it_is_stale),
	    TEST(after_three_tries_it_is_shut_down_and_started_there),
	    TEST(what_may_only_be_moved_live_stays_with_the_reason),
	    TEST(a_method_of_shutdown_needs_no_tries),
	    TEST(what_is_off_while_it_should_run_is_moved_cold),
	    TEST(a_vm_that_is_paused_by_a_person_waits),
	    TEST(gone_here_and_whole_there_is_arrived),
	    TEST(whole_there_and_then_gone_here_is_arrived),
	    TEST(a_whole_copy_of_an_owner_that_runs_on_is_not_believed_later),
	    TEST(gone_here_and_there_is_started_afresh_here),
	    TEST(of_a_copy_that_nothing_is_known_of_one_waits_longer),
	    TEST(that_there_was_no_copy_before_says_nothing),
	    TEST(an_owner_that_is_back_was_not_off),
	    TEST(a_copy_under_an_older_generation_says_nothing),
	    TEST(what_was_lost_with_its_target_is_started_afresh_here),
	    TEST(an_attempt_whose_target_is_lost_fails_by_itself),
	    TEST(a_copy_that_was_lost_with_its_target_is_forgotten),
	    TEST(what_ended_well_at_a_target_that_is_off_is_started_afresh_here),
	    TEST(an_owner_that_is_proven_off_is_not_followed_by_a_copy),
	    TEST(an_owner_that_boots_anew_is_not_followed_by_a_copy),
	    TEST(a_shutdown_whose_target_is_lost_finds_another),
	    TEST(start_aborts_and_it_stays),
	    TEST(an_abort_that_was_too_late_is_a_migration),
	    TEST(a_target_whose_daemon_has_ended_is_not_gone_to),
	    TEST(a_target_that_is_not_heard_is_not_gone_to),
	    TEST(a_wish_that_waits_is_taken_back_at_once),
	    TEST(who_may_be_on_no_other_node_is_told_so),
	    TEST(without_room_it_waits_and_says_so),
	    TEST(so_many_at_once_and_the_most_important_first),
	    TEST(so_many_at_once_into_one_node),
	    TEST(what_was_migrated_goes_home),
	    TEST(what_was_moved_belongs_there),
	    TEST(who_is_moved_to_where_it_is_stays_there_for_good),
	    TEST(what_is_off_is_moved_at_once),
	    TEST(no_node_that_a_vm_moves_to_leaves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
