/* What a node does about VMs that move, die or come late: every duty with everything seen. */
#include "tests/unit/owned.h"

#define NONE (-1)

static struct standing blind = {.id = 1, .term = 5};

static unsigned plan_at(const struct standing *standing, uint64_t now_ms)
{
	struct plan_options options = {.node = 1, .shutdown_timeout_ms = 3000};
	local_note(&local, &c, 1, now_ms);
	plan_make(&plan, &c, standing, &options, &local, now_ms);
	return plan.count;
}

/* A look that is begun and done now shows vm so, and nothing else. */
static struct local_vm *see(enum vm_observed observed, struct hypervisor_job job)
{
	struct seen_vm seen = {.observed = observed, .job = job};
	memcpy(seen.uuid, vm->uuid, sizeof(seen.uuid));
	local_note(&local, &c, 1, 1000);
	local_saw(&local, local_look(&local), &seen, observed != OBSERVED_SHUTOFF);
	return local_find(&local, vm->uuid);
}

/* The one action that is planned, NONE, or -2: there are more. */
static int planned(const struct standing *standing, uint64_t now_ms)
{
	unsigned n = plan_at(standing, now_ms);
	return n == 0 ? NONE : n == 1 ? (int)plan.actions[0].type : -2;
}

/* The VM as this node remembers it after another one. */
static void forget(void)
{
	local_close(&local);
	local.known = true;
}

static void every_duty_meets_everything_that_can_be_seen(void **state)
{
	enum { OFF, CRASHED, RUNNING, PAUSED, TRANSIT, UNKNOWN, UNOBSERVABLE, SEEN };
	static const enum vm_observed seen[SEEN] = {OBSERVED_SHUTOFF, OBSERVED_CRASHED,
	    OBSERVED_RUNNING, OBSERVED_PAUSED, OBSERVED_TRANSIT, OBSERVED_UNKNOWN,
	    OBSERVED_UNOBSERVABLE};
	static const int table[][SEEN] = {
	    [VM_DUTY_NONE] = {NONE, NONE, ACTION_STOP, ACTION_STOP, ACTION_STOP, NONE, NONE},
	    [VM_DUTY_OFF] = {NONE, NONE, ACTION_STOP, ACTION_STOP, ACTION_STOP, NONE, NONE},
	    [VM_DUTY_SHUTDOWN] = {NONE, NONE, ACTION_SHUTDOWN, ACTION_SHUTDOWN, ACTION_SHUTDOWN,
		NONE, NONE},
	    [VM_DUTY_RUN] = {ACTION_START, ACTION_START, NONE, NONE, ACTION_RESUME, NONE, NONE},
	    [VM_DUTY_SEND] = {NONE, NONE, ACTION_MIGRATE, ACTION_MIGRATE, NONE, NONE, NONE},
	    [VM_DUTY_RECEIVE] = {NONE, NONE, NONE, NONE, NONE, NONE, NONE},
	};
	static const int while_job[][SEEN] = {
	    [VM_DUTY_NONE] = {NONE, NONE, ACTION_STOP, ACTION_STOP, ACTION_STOP, NONE, NONE},
	    [VM_DUTY_OFF] = {NONE, NONE, ACTION_STOP, ACTION_STOP, ACTION_STOP, NONE, NONE},
	    [VM_DUTY_SHUTDOWN] = {NONE, NONE, ACTION_SHUTDOWN, ACTION_SHUTDOWN, ACTION_SHUTDOWN,
		NONE, NONE},
	    [VM_DUTY_RUN] = {ACTION_START, ACTION_START, ACTION_ABORT, ACTION_ABORT, ACTION_ABORT,
		NONE, NONE},
	    [VM_DUTY_SEND] = {NONE, NONE, NONE, NONE, NONE, NONE, NONE},
	    [VM_DUTY_RECEIVE] = {NONE, NONE, NONE, NONE, NONE, NONE, NONE},
	};
	for (int duty = VM_DUTY_NONE; duty <= VM_DUTY_RECEIVE; duty++) {
		for (int s = 0; s < 2 * SEEN; s++) {
			bool job = s >= SEEN;
			int wanted = job ? while_job[duty][s % SEEN] : table[duty][s];
			forget();
			be((enum vm_duty)duty);
			/* The first look shows that it is there, the second that it still is. */
			see(seen[s % SEEN], job ? active : idle);
			see(seen[s % SEEN], job ? active : idle);
			int got = planned(&current, 2000);
			if (got != wanted)
				fail_msg("duty %d, seen %s%s: %d instead of %d", duty,
				    state_name(vm_observed_names, seen[s % SEEN]),
				    job ? " with a job" : "", got, wanted);
			forget();
			see(seen[s % SEEN], job ? active : idle);
			see(seen[s % SEEN], job ? active : idle);
			assert_int_equal(planned(&blind, 2000), NONE);
		}
	}
}

static void what_was_seen_before_it_was_wanted_does_not_count(void **state)
{
	see(OBSERVED_SHUTOFF, idle);
	vm->generation++;
	assert_int_equal(planned(&current, 2000), NONE);
	assert_true(local.look_wanted);
	assert_int_equal(local_observed(&local, vm->uuid, 2000), OBSERVED_UNKNOWN);
	/* Nor what a look shows that was begun before. */
	uint64_t look = local_look(&local);
	vm->generation++;
	local_note(&local, &c, 1, 2000);
	local_saw(&local, look, NULL, 0);
	assert_int_equal(planned(&current, 2001), NONE);
	local_saw(&local, local_look(&local), NULL, 0);
	assert_int_equal(planned(&current, 2002), ACTION_START);
}

/* The look was begun before the VM was stopped, and answered after it. */
static void a_look_that_was_overtaken_by_an_action_does_not_count(void **state)
{
	struct seen_vm seen = {.observed = OBSERVED_RUNNING};
	be(VM_DUTY_OFF);
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 2000), ACTION_STOP);
	memcpy(seen.uuid, vm->uuid, sizeof(seen.uuid));
	uint64_t look = local_look(&local);
	plan_done(&local, &plan.actions[0], 0, "", 2100);
	local_saw(&local, look, &seen, 1);
	assert_int_equal(local_observed(&local, vm->uuid, 2101), OBSERVED_SHUTOFF);
	assert_int_equal(planned(&current, 2101), NONE);
}

static void whether_a_start_made_it_run_shows_the_next_look(void **state)
{
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, 2000), ACTION_START);
	plan_done(&local, &plan.actions[0], 0, "", 2100);
	assert_int_equal(local_observed(&local, vm->uuid, 2101), OBSERVED_UNKNOWN);
	assert_int_equal(planned(&current, 2101), NONE);
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(local_observed(&local, vm->uuid, 2102), OBSERVED_RUNNING);
}

/* The source. */

static void a_source_waits_until_the_target_has_seen_that_nothing_is_there(void **state)
{
	be(VM_DUTY_SEND);
	vm->target_observed = OBSERVED_UNKNOWN;
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 2000), NONE);
	vm->target_observed = OBSERVED_SHUTOFF;
	assert_int_equal(planned(&current, 2001), ACTION_MIGRATE);
	assert_int_equal(plan.actions[0].target, 2);
	assert_int_equal(planned(&current, 2002), NONE);
	assert_int_equal(local_observed(&local, vm->uuid, 2002), OBSERVED_RUNNING);
}

static enum plan_sent sent_at(uint64_t now_ms, const char *wanted)
{
	char reason[200] = "";
	enum plan_sent sent = plan_sent(&local, vm, now_ms, reason);
	assert_string_equal(reason, wanted);
	return sent;
}

static void a_target_that_is_never_ready_fails_the_attempt(void **state)
{
	be(VM_DUTY_SEND);
	vm->target_observed = OBSERVED_UNKNOWN;
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(sent_at(1000 + PLAN_TARGET_MS - 1, ""), PLAN_SENT_GOING);
	assert_int_equal(sent_at(1000 + PLAN_TARGET_MS, "the target was not ready for it in time"),
	    PLAN_SENT_FAILED);
}

static struct action begin_to_send(void)
{
	be(VM_DUTY_SEND);
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 2000), ACTION_MIGRATE);
	return plan.actions[0];
}

static void it_is_sent_once_for_each_generation(void **state)
{
	struct action action = begin_to_send();
	plan_done(&local, &action, -EIO, "no route", 3000);
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 3001), NONE);
	vm->generation += 2;
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 3002), ACTION_MIGRATE);
}

static void a_call_that_ended_well_is_told_whatever_is_seen(void **state)
{
	struct action action = begin_to_send();
	assert_int_equal(sent_at(2500, ""), PLAN_SENT_GOING);
	plan_done(&local, &action, 0, "", 3000);
	local_lost(&local);
	assert_int_equal(sent_at(3000, ""), PLAN_SENT_ARRIVED);
	vm->generation++;
	assert_int_equal(sent_at(3001, ""), PLAN_SENT_GOING);
}

static void a_call_that_failed_is_told_once_a_look_shows_that_nothing_goes_on(void **state)
{
	struct action action = begin_to_send();
	plan_done(&local, &action, -EPIPE, "the worker died", 3000);
	assert_int_equal(sent_at(3000, ""), PLAN_SENT_GOING);
	see(OBSERVED_RUNNING, active);
	assert_int_equal(sent_at(3001, ""), PLAN_SENT_GOING);
	see(OBSERVED_TRANSIT, active);
	assert_int_equal(sent_at(3002, ""), PLAN_SENT_GOING);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(sent_at(3003, ""), PLAN_SENT_GOING);
	assert_int_equal(planned(&current, 3003), NONE);
	see(OBSERVED_TRANSIT, idle);
	assert_int_equal(sent_at(3004, "the worker died"), PLAN_SENT_FAILED);
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(sent_at(3005, "the worker died"), PLAN_SENT_FAILED);
}

/* Undefined and defined again it has the same UUID, and its generations begin anew. */
static void of_the_vm_that_had_its_uuid_before_nothing_is_remembered(void **state)
{
	struct action action = begin_to_send();
	plan_done(&local, &action, 0, "", 3000);
	assert_int_equal(sent_at(3000, ""), PLAN_SENT_ARRIVED);
	vm->id++;
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(sent_at(3001, ""), PLAN_SENT_GOING);
	assert_int_equal(planned(&current, 3002), ACTION_MIGRATE);
	plan_done(&local, &plan.actions[0], -EIO, "no route", 3003);
	/* What still ends of the other's is not its own. */
	be(VM_DUTY_RUN);
	see(OBSERVED_SHUTOFF, idle);
	local_find(&local, vm->uuid)->ran = false;
	action = (struct action){.type = ACTION_START, .vm = 7, .generation = vm->generation};
	memcpy(action.uuid, vm->uuid, sizeof(action.uuid));
	plan_done(&local, &action, -ENOMEM, "no memory", 4000);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, 5000), ACTION_START);
	plan_done(&local, &plan.actions[0], -EIO, "no disk", 5000);
	action.type = ACTION_RESUME;
	plan_done(&local, &action, -ETIMEDOUT, "killed", 6000);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(local_observed(&local, vm->uuid, 60000), OBSERVED_UNKNOWN);
}

static void what_is_received_is_not_stopped_by_a_value_that_may_be_old(void **state)
{
	be(VM_DUTY_RECEIVE);
	vm->target_observed = OBSERVED_UNKNOWN;
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&blind, 2000), NONE);
	assert_int_equal(planned(&current, 2001), ACTION_STOP);
}

/* Its hypervisor had let it go on before it died: the copy is older than its disks. */
static void who_died_after_its_migration_failed_has_not_arrived(void **state)
{
	struct action action = begin_to_send();
	plan_done(&local, &action, -EIO, "no route", 3000);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(sent_at(3001, "no route"), PLAN_SENT_FAILED);
}

static void what_an_earlier_daemon_sends_is_waited_for_and_not_sent_again(void **state)
{
	be(VM_DUTY_SEND);
	vm->target_observed = OBSERVED_TRANSIT;
	see(OBSERVED_RUNNING, active);
	assert_int_equal(planned(&current, 2000), NONE);
	assert_int_equal(sent_at(2000, ""), PLAN_SENT_GOING);
	vm->target_observed = OBSERVED_SHUTOFF;
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 2001), NONE);
	assert_int_equal(sent_at(2001, "the daemon that sent it has ended"), PLAN_SENT_FAILED);
}

/* A QEMU that is busy with the end of its migration: it may have arrived already. */
static void who_cannot_say_whether_it_goes_on_does_not_say_that_it_failed(void **state)
{
	const struct hypervisor_job unclear = {.unknown = true};
	be(VM_DUTY_SEND);
	see(OBSERVED_RUNNING, active);
	assert_int_equal(planned(&current, 2000), NONE);
	see(OBSERVED_TRANSIT, unclear);
	assert_int_equal(planned(&current, 2001), NONE);
	assert_int_equal(sent_at(2001, ""), PLAN_SENT_GOING);
	assert_int_equal(sent_at(2000 + PLAN_UNCLEAR_MS, ""), PLAN_SENT_GOING);
	assert_int_equal(
	    sent_at(2001 + PLAN_UNCLEAR_MS, "the daemon that sent it has ended"), PLAN_SENT_FAILED);
	be(VM_DUTY_SEND);
	see(OBSERVED_RUNNING, unclear);
	assert_int_equal(planned(&current, 2002), NONE);
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 2003), ACTION_MIGRATE);
}

static void a_copy_that_an_earlier_daemon_left_there_fails_the_attempt(void **state)
{
	be(VM_DUTY_SEND);
	vm->target_observed = OBSERVED_PAUSED;
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 2000), NONE);
	assert_int_equal(sent_at(2000, "the daemon that sent it has ended"), PLAN_SENT_FAILED);
}

static void who_gives_up_aborts_until_nothing_goes_on(void **state)
{
	struct action action = begin_to_send();
	vm->abort = true;
	/* Also where the hypervisor cannot be asked. */
	local_find(&local, vm->uuid)->fresh = false;
	assert_int_equal(planned(&current, 2100), ACTION_ABORT);
	plan_done(&local, &plan.actions[0], 0, "", 2200);
	see(OBSERVED_RUNNING, active);
	assert_int_equal(planned(&current, 2300), NONE);
	assert_int_equal(planned(&current, 4200), ACTION_ABORT);
	plan_done(&local, &plan.actions[0], 0, "", 4300);
	plan_done(&local, &action, -ECANCELED, "aborted", 4300);
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 9000), NONE);
	assert_int_equal(sent_at(9000, "aborted"), PLAN_SENT_FAILED);
}

static void what_is_given_up_before_it_began_is_not_begun(void **state)
{
	be(VM_DUTY_SEND);
	vm->abort = true;
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 2000), NONE);
	assert_int_equal(sent_at(2000, "given up"), PLAN_SENT_FAILED);
}

static void who_lost_it_stops_it_even_while_it_is_sent(void **state)
{
	begin_to_send();
	be(VM_DUTY_NONE);
	see(OBSERVED_RUNNING, active);
	assert_int_equal(planned(&blind, 2100), ACTION_STOP);
}

static void what_is_still_sent_is_not_started(void **state)
{
	struct action action = begin_to_send();
	be(VM_DUTY_RUN);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, 2100), NONE);
	plan_done(&local, &action, -EIO, "it ended", 2200);
	see(OBSERVED_SHUTOFF, idle);
	/* It had run, and nobody here has ended it. */
	assert_int_equal(planned(&current, 2300), NONE);
	assert_int_equal(planned(&current, 2300 + 2000), ACTION_START);
}

static void a_call_of_which_nothing_is_seen_is_stuck_after_a_while(void **state)
{
	begin_to_send();
	const struct local_vm *known = see(OBSERVED_RUNNING, active);
	assert_int_equal(planned(&current, 50000), NONE);
	known = see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 60000), NONE);
	assert_false(plan_is_stuck(known, 50000 + PLAN_STUCK_MS - 1));
	assert_true(plan_is_stuck(known, 50000 + PLAN_STUCK_MS));
}

/* The target. */

static void what_is_left_over_at_a_target_is_stopped_before_anything_comes(void **state)
{
	be(VM_DUTY_RECEIVE);
	vm->target_observed = OBSERVED_UNKNOWN;
	see(OBSERVED_PAUSED, idle);
	see(OBSERVED_PAUSED, idle);
	assert_int_equal(planned(&current, 2000), ACTION_STOP);
}

static void who_arrived_is_resumed_at_once(void **state)
{
	be(VM_DUTY_RECEIVE);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, 2000), NONE);
	be(VM_DUTY_RUN);
	vm->arrived = true;
	vm->observed = OBSERVED_UNKNOWN;
	/* Nothing was seen of it yet, and nothing is waited for. */
	assert_int_equal(planned(&blind, 2001), NONE);
	assert_int_equal(planned(&current, 2001), ACTION_RESUME);
	plan_done(&local, &plan.actions[0], 0, "", 2002);
	assert_int_equal(local_observed(&local, vm->uuid, 2002), OBSERVED_RUNNING);
	assert_int_equal(planned(&current, 2003), NONE);
}

static void who_arrived_and_is_gone_is_started_afresh(void **state)
{
	be(VM_DUTY_RUN);
	vm->arrived = true;
	assert_int_equal(planned(&current, 2000), ACTION_RESUME);
	plan_done(&local, &plan.actions[0], -ENOENT, "it is not here", 2001);
	assert_int_equal(planned(&current, 2002), NONE);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, 2500), ACTION_START);
}

static void who_arrived_is_resumed_soon_again_when_that_failed(void **state)
{
	be(VM_DUTY_RUN);
	vm->arrived = true;
	for (uint64_t now_ms = 2000; now_ms < 4000; now_ms += 300) {
		see(OBSERVED_PAUSED, idle);
		assert_int_equal(planned(&current, now_ms), ACTION_RESUME);
		plan_done(&local, &plan.actions[0], -EBUSY, "not yet", now_ms);
	}
}

/* Carried out late it would wake the next copy that comes here. */
static void after_a_resume_that_was_cut_off_it_is_not_said_to_be_off(void **state)
{
	be(VM_DUTY_RUN);
	vm->arrived = true;
	assert_int_equal(planned(&current, 2000), ACTION_RESUME);
	plan_done(&local, &plan.actions[0], -ETIMEDOUT, "killed", 3000);
	be(VM_DUTY_RECEIVE);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(local_observed(&local, vm->uuid, 60000), OBSERVED_UNKNOWN);
	assert_int_equal(local_observed(&local, vm->uuid, 63000), OBSERVED_SHUTOFF);
}

static void a_copy_that_is_left_over_is_stopped_and_the_vm_started(void **state)
{
	static const enum vm_observed copies[] = {OBSERVED_PAUSED, OBSERVED_TRANSIT};
	for (unsigned i = 0; i < 2; i++) {
		forget();
		be(VM_DUTY_RUN);
		vm->observed = OBSERVED_UNKNOWN;
		see(copies[i], idle);
		assert_int_equal(planned(&current, 2000), ACTION_STOP);
		plan_done(&local, &plan.actions[0], 0, "", 2001);
		assert_int_equal(planned(&current, 2002), ACTION_START);
	}
}

/* What stands in transit may be a start that an earlier daemon began. */
static void a_copy_is_not_stopped_while_a_start_is_in_doubt(void **state)
{
	be(VM_DUTY_RUN);
	vm->observed = OBSERVED_UNKNOWN;
	plan_doubt(&local, vm->uuid, 1000);
	see(OBSERVED_TRANSIT, idle);
	assert_int_equal(planned(&current, 2000), NONE);
}

static void who_went_on_standing_after_a_migration_that_failed_is_resumed(void **state)
{
	be(VM_DUTY_RUN);
	vm->observed = OBSERVED_UNOBSERVABLE;
	see(OBSERVED_TRANSIT, idle);
	assert_int_equal(planned(&current, 2000), ACTION_RESUME);
}

/* Deaths. */

static void a_vm_that_dies_is_started_later_and_later_and_then_fails(void **state)
{
	uint64_t now_ms = 10000, waited_ms = 500;
	for (unsigned i = 1; i < PLAN_DEATHS_MAX; i++) {
		see(OBSERVED_RUNNING, idle);
		assert_int_equal(planned(&current, now_ms), NONE);
		see(OBSERVED_CRASHED, idle);
		assert_int_equal(planned(&current, now_ms), NONE);
		waited_ms *= 2;
		assert_int_equal(planned(&current, now_ms + waited_ms - 1), NONE);
		now_ms += waited_ms;
		assert_int_equal(planned(&current, now_ms), ACTION_START);
		plan_done(&local, &plan.actions[0], 0, "", now_ms);
	}
	/* Even when it was never seen in between. */
	const struct local_vm *known = see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, now_ms), NONE);
	assert_int_equal(known->refused_state, VM_FAIL);
	assert_string_equal(known->reason, "died 5 times in 10 minutes, last: shutoff");
	assert_int_equal(planned(&current, now_ms + 3600000), NONE);
	/* Somebody has mended it. */
	vm->generation += 2;
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, now_ms + 1), ACTION_START);
}

static void who_dies_seldom_is_started_for_ever(void **state)
{
	for (uint64_t now_ms = 10000; now_ms < 20 * PLAN_DEATHS_MS; now_ms += PLAN_DEATHS_MS / 3) {
		see(OBSERVED_RUNNING, idle);
		assert_int_equal(planned(&current, now_ms), NONE);
		see(OBSERVED_CRASHED, idle);
		assert_int_equal(planned(&current, now_ms), NONE);
		assert_int_equal(planned(&current, now_ms + 8000), ACTION_START);
		plan_done(&local, &plan.actions[0], 0, "", now_ms + 8000);
	}
}

static void what_is_shut_down_does_not_die(void **state)
{
	see(OBSERVED_RUNNING, idle);
	assert_int_equal(planned(&current, 2000), NONE);
	be(VM_DUTY_SHUTDOWN);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, 2001), NONE);
	be(VM_DUTY_RUN);
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, 2002), ACTION_START);
}

static void a_host_without_memory_stops_the_vm(void **state)
{
	see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(planned(&current, 2000), ACTION_START);
	plan_done(&local, &plan.actions[0], -ENOMEM, "cannot set up guest memory", 2001);
	const struct local_vm *known = see(OBSERVED_SHUTOFF, idle);
	assert_int_equal(known->refused_generation, vm->generation);
	assert_int_equal(known->refused_state, VM_STOP);
	assert_int_equal(planned(&current, 200000), NONE);
}

static void the_most_important_start_first_and_few_at_a_time(void **state)
{
	vm->priority = 10;
	for (uint32_t id = 20; id < 30; id++)
		add_vm(id)->priority = id == 25 ? 20 : id == 28 ? 10 : 0;
	see(OBSERVED_SHUTOFF, idle);
	static const uint32_t order[] = {25, 7, 28, 20, 21, 22};
	for (unsigned i = 0; i < 6; i += PLAN_STARTS_MAX) {
		assert_int_equal(plan_at(&current, 2000), PLAN_STARTS_MAX);
		struct action begun[PLAN_STARTS_MAX];
		memcpy(begun, plan.actions, sizeof(begun));
		assert_int_equal(begun[0].vm, order[i]);
		assert_int_equal(begun[1].vm, order[i + 1]);
		assert_int_equal(plan_at(&current, 2000), 0);
		for (unsigned k = 0; k < PLAN_STARTS_MAX; k++)
			plan_done(&local, &begun[k], 0, "", 2001);
	}
}

static void a_node_that_leaves_starts_nothing_and_lets_arrive_what_is_on_its_way(void **state)
{
	struct plan_options options = {.node = 1, .shutdown_timeout_ms = 3000, .leaving = true};
	see(OBSERVED_SHUTOFF, idle);
	plan_make(&plan, &c, &current, &options, &local, 2000);
	assert_int_equal(plan.count, 0);
	be(VM_DUTY_RUN);
	vm->arrived = true;
	local_note(&local, &c, 1, 2001);
	plan_make(&plan, &c, &current, &options, &local, 2001);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.actions[0].type, ACTION_RESUME);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_duty_meets_everything_that_can_be_seen),
	    TEST(what_was_seen_before_it_was_wanted_does_not_count),
	    TEST(a_look_that_was_overtaken_by_an_action_does_not_count),
	    TEST(whether_a_start_made_it_run_shows_the_next_look),
	    TEST(a_source_waits_until_the_target_has_seen_that_nothing_is_there),
	    TEST(a_target_that_is_never_ready_fails_the_attempt),
	    TEST(it_is_sent_once_for_each_generation),
	    TEST(a_call_that_ended_well_is_told_whatever_is_seen),
	    TEST(a_call_that_failed_is_told_once_a_look_shows_that_nothing_goes_on),
	    TEST(of_the_vm_that_had_its_uuid_before_nothing_is_remembered),
	    TEST(what_is_received_is_not_stopped_by_a_value_that_may_be_old),
	    TEST(who_died_after_its_migration_failed_has_not_arrived),
	    TEST(what_an_earlier_daemon_sends_is_waited_for_and_not_sent_again),
	    TEST(who_cannot_say_whether_it_goes_on_does_not_say_that_it_failed),
	    TEST(a_copy_that_an_earlier_daemon_left_there_fails_the_attempt),
	    TEST(who_gives_up_aborts_until_nothing_goes_on),
	    TEST(what_is_given_up_before_it_began_is_not_begun),
	    TEST(who_lost_it_stops_it_even_while_it_is_sent),
	    TEST(what_is_still_sent_is_not_started),
	    TEST(a_call_of_which_nothing_is_seen_is_stuck_after_a_while),
	    TEST(what_is_left_over_at_a_target_is_stopped_before_anything_comes),
	    TEST(who_arrived_is_resumed_at_once),
	    TEST(who_arrived_and_is_gone_is_started_afresh),
	    TEST(who_arrived_is_resumed_soon_again_when_that_failed),
	    TEST(after_a_resume_that_was_cut_off_it_is_not_said_to_be_off),
	    TEST(a_copy_that_is_left_over_is_stopped_and_the_vm_started),
	    TEST(a_copy_is_not_stopped_while_a_start_is_in_doubt),
	    TEST(who_went_on_standing_after_a_migration_that_failed_is_resumed),
	    TEST(a_vm_that_dies_is_started_later_and_later_and_then_fails),
	    TEST(who_dies_seldom_is_started_for_ever),
	    TEST(what_is_shut_down_does_not_die),
	    TEST(a_host_without_memory_stops_the_vm),
	    TEST(the_most_important_start_first_and_few_at_a_time),
	    TEST(a_node_that_leaves_starts_nothing_and_lets_arrive_what_is_on_its_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
