/* What a node says of VMs that move, die or come late. */
#include "tests/unit/owned.h"

static struct agent agent;

static int begin_agent(void **state)
{
	struct agent_options options = {
	    .node = 1, .keepalive_interval_ms = 1000, .lease_ms = 270, .hypervisor = true};
	begin(state);
	agent_init(&agent, &options);
	agent.hello_done = true;
	return 0;
}

static int end_agent(void **state)
{
	agent_close(&agent);
	return end(state);
}

static void agent_sees(enum vm_observed observed, struct hypervisor_job job)
{
	struct seen_vm seen = {.observed = observed, .job = job};
	memcpy(seen.uuid, vm->uuid, sizeof(seen.uuid));
	local_note(&agent.local, &c, 1, 1000);
	agent_saw_vms(&agent, agent_looks(&agent), &seen, 1);
}

static struct agent_turn agent_at(uint64_t now_ms)
{
	struct agent_turn t;
	struct holding none = {.addresses_gone = true, .services_gone = true};
	agent_turn(&agent, &c, &current, &none, now_ms, &t);
	return t;
}

static const struct command *told(const struct agent_turn *t, enum command_number number)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->commands[i].number == number)
			return &t->commands[i];
	return NULL;
}

static void how_a_migration_ended_is_told_until_the_value_knows(void **state)
{
	be(VM_DUTY_SEND);
	agent_sees(OBSERVED_RUNNING, idle);
	struct agent_turn t = agent_at(2000);
	assert_int_equal(t.action_count, 1);
	assert_int_equal(t.actions[0].type, ACTION_MIGRATE);
	struct action action = t.actions[0];
	agent_turn_close(&t);
	agent_action_done(&agent, &action, 0, "", 3000);
	for (uint64_t now_ms = 3000; now_ms < 9000; now_ms += 2000) {
		t = agent_at(now_ms);
		assert_int_equal(told(&t, COMMAND_vm_migrated)->vm_migrated.vm, 7);
		assert_int_equal(
		    told(&t, COMMAND_vm_migrated)->vm_migrated.generation, vm->generation);
		agent_turn_close(&t);
		t = agent_at(now_ms + 1999);
		assert_null(told(&t, COMMAND_vm_migrated));
		agent_turn_close(&t);
	}
	be(VM_DUTY_NONE);
	t = agent_at(20000);
	assert_null(told(&t, COMMAND_vm_migrated));
	agent_turn_close(&t);
}

static void that_a_migration_failed_is_told_with_the_reason(void **state)
{
	be(VM_DUTY_SEND);
	agent_sees(OBSERVED_RUNNING, idle);
	struct agent_turn t = agent_at(2000);
	struct action action = t.actions[0];
	agent_turn_close(&t);
	agent_action_done(&agent, &action, -EIO, "no route to host", 3000);
	t = agent_at(3000);
	assert_null(told(&t, COMMAND_vm_migrate_failed));
	assert_true(t.look);
	agent_turn_close(&t);
	agent_sees(OBSERVED_RUNNING, idle);
	t = agent_at(3001);
	assert_string_equal(
	    told(&t, COMMAND_vm_migrate_failed)->vm_migrate_failed.reason, "no route to host");
	agent_turn_close(&t);
}

/* What its node sees of it in that turn; UNKNOWN: nothing is said, neither at once nor later. */
static enum vm_observed said_of_it(uint64_t now_ms, bool failed)
{
	struct keepalive k;
	struct agent_turn t = agent_at(now_ms);
	const struct command *report = told(&t, COMMAND_vm_report);
	enum vm_observed observed = report ? report->vm_report.observed : OBSERVED_UNKNOWN;
	assert_int_equal(!!told(&t, COMMAND_vm_migrate_failed), failed);
	struct reader in = reader_of(t.keepalive.data + 1, t.keepalive.size - 1);
	assert_true(t.keepalive.size > 1);
	assert_int_equal(record_decode(keepalive_record(), &in, &k), 0);
	if (k.sightings.count)
		observed = k.sightings.items[0].observed;
	record_clear(keepalive_record(), &k);
	agent_turn_close(&t);
	return observed;
}

static struct action agent_sends(void)
{
	be(VM_DUTY_SEND);
	agent_sees(OBSERVED_RUNNING, idle);
	struct agent_turn t = agent_at(2000);
	assert_int_equal(t.actions[0].type, ACTION_MIGRATE);
	struct action action = t.actions[0];
	agent_turn_close(&t);
	vm->target_observed = OBSERVED_PAUSED;
	return action;
}

/* Else the value, where its copy is whole, would take the one for the other: it ran on. */
static void who_died_after_its_migration_failed_is_not_said_to_be_off(void **state)
{
	struct action action = agent_sends();
	agent_sees(OBSERVED_SHUTOFF, idle);
	assert_int_equal(said_of_it(4000, false), OBSERVED_UNKNOWN);
	agent_action_done(&agent, &action, -EIO, "no route to host", 5000);
	agent_sees(OBSERVED_SHUTOFF, idle);
	assert_int_equal(said_of_it(6000, true), OBSERVED_UNKNOWN);
}

/* Cut off from the others it can tell nobody in time. */
static void who_ran_on_after_its_migration_and_then_died_has_not_arrived(void **state)
{
	struct standing leader = current;
	struct action action = agent_sends();
	agent_action_done(&agent, &action, -EPIPE, "the worker died", 3000);
	current = (struct standing){.id = 1, .term = 5};
	agent_sees(OBSERVED_RUNNING, idle);
	struct agent_turn t = agent_at(4000);
	agent_turn_close(&t);
	current = leader;
	agent_sees(OBSERVED_CRASHED, idle);
	assert_int_equal(said_of_it(6000, true), OBSERVED_UNKNOWN);
}

/* Out of touch it would never see how that ends. */
static void who_is_to_end_waits_for_its_actions_and_not_for_what_moves(void **state)
{
	be(VM_DUTY_RECEIVE);
	agent_sees(OBSERVED_TRANSIT, idle);
	struct agent_turn t = agent_at(2000);
	agent_turn_close(&t);
	assert_true(local_find(&agent.local, vm->uuid)->moving);
	assert_false(agent_busy(&agent));
	be(VM_DUTY_OFF);
	agent_sees(OBSERVED_RUNNING, idle);
	t = agent_at(2001);
	assert_int_equal(t.actions[0].type, ACTION_STOP);
	agent_turn_close(&t);
	assert_true(agent_busy(&agent));
}

/* How the call of an earlier daemon ended nobody knows: the value decides. */
static void who_is_gone_without_a_word_is_said_to_be_off(void **state)
{
	struct action action = agent_sends();
	agent_action_done(&agent, &action, -EPIPE, "the worker died", 3000);
	agent_sees(OBSERVED_SHUTOFF, idle);
	assert_int_equal(said_of_it(6000, false), OBSERVED_SHUTOFF);
}

static enum vm_observed reported(uint64_t now_ms)
{
	struct agent_turn t = agent_at(now_ms);
	const struct command *report = told(&t, COMMAND_vm_report);
	enum vm_observed observed = report ? report->vm_report.observed : OBSERVED_UNKNOWN;
	agent_turn_close(&t);
	return observed;
}

static void a_target_says_that_nothing_is_there_and_only_then_what_comes(void **state)
{
	be(VM_DUTY_RECEIVE);
	vm->target_observed = OBSERVED_UNKNOWN;
	agent_sees(OBSERVED_PAUSED, idle);
	agent_sees(OBSERVED_PAUSED, idle);
	struct agent_turn t = agent_at(2000);
	assert_null(told(&t, COMMAND_vm_report));
	assert_int_equal(t.actions[0].type, ACTION_STOP);
	struct action action = t.actions[0];
	agent_turn_close(&t);
	agent_action_done(&agent, &action, 0, "", 2100);
	assert_int_equal(reported(2101), OBSERVED_SHUTOFF);
	vm->target_observed = OBSERVED_SHUTOFF;
	agent_sees(OBSERVED_TRANSIT, idle);
	assert_int_equal(reported(2200), OBSERVED_TRANSIT);
	vm->target_observed = OBSERVED_TRANSIT;
	agent_sees(OBSERVED_PAUSED, idle);
	assert_int_equal(reported(2300), OBSERVED_PAUSED);
}

/* Else it would pass for one that a person paused. */
static void a_copy_that_its_new_owner_finds_is_not_spoken_of(void **state)
{
	static const enum vm_observed copies[] = {OBSERVED_PAUSED, OBSERVED_TRANSIT};
	vm->observed = OBSERVED_UNKNOWN;
	for (unsigned i = 0; i < 4; i++) {
		agent_sees(copies[i % 2], idle);
		/* To stop it failed, and waits. */
		struct local_vm *known = local_find(&agent.local, vm->uuid);
		known->acted_generation = vm->generation;
		known->retry_ms = 100000;
		vm->arrived = i >= 2;
		assert_int_equal(
		    reported(2000 + i * 3000), vm->arrived ? copies[i % 2] : OBSERVED_UNKNOWN);
	}
}

static struct keepalive keepalive_at(uint64_t now_ms)
{
	struct keepalive k;
	struct agent_turn t = agent_at(now_ms);
	struct reader in = reader_of(t.keepalive.data + 1, t.keepalive.size - 1);
	assert_true(t.keepalive.size > 1);
	assert_int_equal(record_decode(keepalive_record(), &in, &k), 0);
	agent_turn_close(&t);
	return k;
}

static void a_keepalive_says_how_far_a_migration_is_and_which_bridges_there_are(void **state)
{
	be(VM_DUTY_SEND);
	snprintf(agent.host.bridges[0].name, sizeof(agent.host.bridges[0].name), "br0");
	agent.host.bridge_count = 1;
	agent_sees(OBSERVED_RUNNING, active);
	struct agent_turn t = agent_at(2000);
	agent_turn_close(&t);
	struct keepalive k = keepalive_at(3000);
	assert_int_equal(k.movements.count, 1);
	assert_int_equal(k.movements.items[0].vm, 7);
	assert_int_equal(k.movements.items[0].percent, 40);
	assert_string_equal(k.bridges.items[0].name, "br0");
	assert_int_equal(k.sightings.count, 1);
	assert_int_equal(k.sightings.items[0].observed, OBSERVED_RUNNING);
	record_clear(keepalive_record(), &k);
	/* That nothing is known is no news. */
	vm->generation++;
	k = keepalive_at(5000);
	assert_int_equal(k.sightings.count, 0);
	record_clear(keepalive_record(), &k);
}

static void a_hypervisor_that_does_not_answer_loses_sight_only_of_what_was_seen(void **state)
{
	vm->observed = OBSERVED_UNKNOWN;
	agent_saw_nothing(&agent);
	assert_int_equal(reported(2000), OBSERVED_UNKNOWN);
	vm->observed = OBSERVED_RUNNING;
	vm->observed_generation = vm->generation;
	assert_int_equal(reported(5000), OBSERVED_UNOBSERVABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_agent, end_agent)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(how_a_migration_ended_is_told_until_the_value_knows),
	    TEST(that_a_migration_failed_is_told_with_the_reason),
	    TEST(who_died_after_its_migration_failed_is_not_said_to_be_off),
	    TEST(who_ran_on_after_its_migration_and_then_died_has_not_arrived),
	    TEST(who_is_gone_without_a_word_is_said_to_be_off),
	    TEST(who_is_to_end_waits_for_its_actions_and_not_for_what_moves),
	    TEST(a_target_says_that_nothing_is_there_and_only_then_what_comes),
	    TEST(a_copy_that_its_new_owner_finds_is_not_spoken_of),
	    TEST(a_keepalive_says_how_far_a_migration_is_and_which_bridges_there_are),
	    TEST(a_hypervisor_that_does_not_answer_loses_sight_only_of_what_was_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
