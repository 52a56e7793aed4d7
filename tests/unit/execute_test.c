/* A node that starts VMs with volumes in the disk pool: agent, workers and simulated ports. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fsm/change.h"
#include "node/vm/execute.h"
#include "node/worker/worker_main.h"
#include "raft/clock.h"
#include "tests/unit/executing.h"

static void what_this_machine_had_locked_is_freed_before_its_vm_starts(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	add_lock("a", "vms/web7", OWN);
	add_lock("b", "vms/another", OWN);
	node_begin();
	AWAIT(runs(vm) && vm->observed == OBSERVED_RUNNING);
	assert_false(is_there("pool/locks/a"));
	assert_true(is_there("pool/locks/b"));
	assert_string_equal(file_read("pool/blocklist"), OWN "\n");
	assert_int_equal(fails_told, 0);
}

static void a_volume_that_somebody_else_has_locked_fails_the_vm(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	add_lock("a", "vms/web7", OWN);
	add_lock("b", "vms/web7", OTHER);
	node_begin();
	AWAIT(vm->state == VM_FAIL);
	assert_string_equal(vm->failed_reason,
	    "volume vms/web7 is locked by 10.0.0.2 (client.4711), not by this node: if nobody uses "
	    "it, pvc vm flush-locks web7, then start it");
	AWAIT(vm->observed == OBSERVED_SHUTOFF && vm->observed_generation == vm->generation);
	assert_false(runs(vm));
	/* Not even its own: all of them or none. */
	assert_true(is_there("pool/locks/a") && is_there("pool/locks/b"));
	assert_false(is_there("pool/blocklist"));
	assert_int_equal(fails_told, 1);
	/* It was mended, and is asked for anew. */
	assert_int_equal(unlink(path_of("pool/locks/b")), 0);
	struct command start = {
	    .number = COMMAND_vm_state, .vm_state = {.vm = 7, .state = VM_START}};
	apply(&start);
	AWAIT(runs(vm) && vm->observed == OBSERVED_RUNNING);
}

static void what_is_to_be_typed_says_when_it_is_no_node(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	add_lock("a", "vms/web7", STRANGER);
	node_begin();
	AWAIT(vm->state == VM_FAIL);
	assert_non_null(strstr(vm->failed_reason, "pvc vm flush-locks web7 --force"));
}

static void what_a_node_that_is_proven_off_had_locked_is_freed(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	vm->proven_off[0] = 2;
	add_lock("a", "vms/web7", OTHER);
	node_begin();
	AWAIT(runs(vm));
	assert_string_equal(file_read("pool/blocklist"), OTHER "\n");
}

/* Its only client is the one that waits, in vain, until the FIFO is gone. */
static void pool_hang(const char *name)
{
	assert_int_equal(mkfifo(path_of(name), 0600), 0);
}

static bool pool_asked(const char *name, int *fd)
{
	*fd = open(path_of(name), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return *fd >= 0;
}

static void a_pool_that_hangs_holds_up_no_other_vm_and_no_look(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	int fd;
	pool_hang("pool/locks/hung");
	node_begin();
	AWAIT(pool_asked("pool/locks/hung", &fd));
	assert_true(local_find(&agent.local, vm->uuid)->busy);
	struct vm *local = add_vm(8, "");
	AWAIT(runs(local) && local->observed == OBSERVED_RUNNING);
	uint64_t seen_ms = clock_ms();
	AWAIT(agent.collectors[0].age_ms > seen_ms);
	assert_string_equal(agent.collectors[0].name, "hypervisor");
	assert_int_equal(local_observed(&agent.local, vm->uuid, clock_ms()), OBSERVED_UNKNOWN);
	assert_false(runs(vm));
	unlink(path_of("pool/locks/hung"));
	close(fd);
	AWAIT(runs(vm));
}

/* More of them than can be asked for at a time, and than the plan has room for. */
static void however_many_wait_for_the_pool_another_vm_starts(void **state)
{
	for (uint32_t id = 1; id <= 5 * LOCKS_UNDER_WAY_MAX; id++) {
		char volume[32];
		snprintf(volume, sizeof(volume), "vms/web%u", id);
		add_vm(id, volume);
	}
	struct vm *vm = add_vm(5000, "");
	pool_hang("pool/locks/hung");
	node_begin();
	uint64_t begin_ms = clock_ms();
	AWAIT(runs(vm));
	assert_in_range(clock_ms() - begin_ms, 0, 5000);
}

static void a_vm_that_changed_while_its_volumes_were_freed_does_not_start(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	int fd;
	pool_hang("pool/locks/hung");
	node_begin();
	AWAIT(pool_asked("pool/locks/hung", &fd));
	struct command stop = {.number = COMMAND_vm_state, .vm_state = {.vm = 7, .state = VM_STOP}};
	apply(&stop);
	unlink(path_of("pool/locks/hung"));
	close(fd);
	AWAIT(!local_find(&agent.local, vm->uuid)->busy);
	AWAIT(vm->observed == OBSERVED_SHUTOFF && vm->observed_generation == vm->generation);
	assert_false(runs(vm));
}

/* It may have been given to another node by then. */
static void a_node_that_lost_touch_while_it_waited_does_not_start(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	int fd;
	pool_hang("pool/locks/hung");
	node_begin();
	AWAIT(pool_asked("pool/locks/hung", &fd));
	standing.current = false;
	unlink(path_of("pool/locks/hung"));
	close(fd);
	AWAIT(!local_find(&agent.local, vm->uuid)->busy);
	uint64_t seen_ms = clock_ms();
	AWAIT(agent.collectors[0].age_ms > seen_ms);
	assert_false(runs(vm));
	standing.current = true;
	AWAIT(runs(vm));
}

static void a_pool_that_cannot_be_asked_is_a_start_that_failed(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	text_set(config.system.configuration.storage.ceph_config_file, 9, "nowhere");
	node_begin();
	AWAIT(*vm->failed_reason);
	assert_non_null(strstr(vm->failed_reason, "the disk pool: "));
	assert_int_equal(vm->state, VM_START);
	assert_int_equal(vm->observed, OBSERVED_SHUTOFF);
	assert_false(plan_doubts(&agent.local, vm->uuid, clock_ms()));
	AWAIT(local_find(&agent.local, vm->uuid)->failures > 1);
	assert_false(runs(vm));
}

/* Somebody started it by hand, or the look was old. */
static void what_turns_out_to_run_here_keeps_its_lock(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	char path[64];
	add_lock("a", "vms/web7", OWN);
	node_begin();
	beat_end();
	agent_saw_vms(&agent, agent_looks(&agent), NULL, 0);
	snprintf(path, sizeof(path), "vms/%s", vm->uuid);
	assert_true(mkdir(path_of("vms"), 0700) == 0 || errno == EEXIST);
	file_write(path, (const char *)vm->xml.data);
	struct action action = {.type = ACTION_START, .vm = 7, .generation = vm->generation};
	memcpy(action.uuid, vm->uuid, sizeof(action.uuid));
	for (unsigned i = 0; i < 2; i++) {
		local_add(&agent.local, vm->uuid)->busy = true;
		execute_begin(execute, &action);
		AWAIT(!local_find(&agent.local, vm->uuid)->busy);
		assert_true(is_there("pool/locks/a"));
		assert_false(is_there("pool/blocklist"));
		assert_false(plan_is_released(&agent.local, &action, clock_ms()));
		/* One that waits for somebody to go on has its disk all the same. */
		assert_int_equal(chmod(path_of(path), 0700), 0);
	}
}

static void without_an_answer_of_the_hypervisor_nothing_is_freed(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	add_lock("a", "vms/web7", OWN);
	text_set(config.hypervisor.uri, sizeof(config.hypervisor.uri), "nowhere");
	node_begin();
	beat_end();
	local_note(&agent.local, &c, 1, clock_ms());
	agent_saw_vms(&agent, agent_looks(&agent), NULL, 0);
	turn();
	AWAIT(local_find(&agent.local, vm->uuid)->failures);
	assert_true(is_there("pool/locks/a"));
	assert_false(is_there("pool/blocklist"));
}

static void what_may_still_come_up_keeps_its_lock(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	add_lock("a", "vms/web7", OWN);
	node_begin();
	plan_doubt(&agent.local, vm->uuid, clock_ms());
	struct vm *local = add_vm(8, "");
	AWAIT(runs(local));
	uint64_t seen_ms = clock_ms();
	AWAIT(agent.collectors[0].age_ms > seen_ms);
	assert_false(local_find(&agent.local, vm->uuid)->busy);
	assert_true(is_there("pool/locks/a"));
	local_find(&agent.local, vm->uuid)->doubt_until_ms = 0;
	local_find(&agent.local, vm->uuid)->retry_ms = 0;
	AWAIT(runs(vm));
	assert_false(is_there("pool/locks/a"));
}

/* Mode of its file in the simulated hypervisor's directory: executable is paused. */
static mode_t mode_of(const char *directory_name, const struct vm *vm)
{
	struct stat stat_of = {0};
	char path[64];
	snprintf(path, sizeof(path), "%s/%s", directory_name, vm->uuid);
	return stat(path_of(path), &stat_of) ? 0 : stat_of.st_mode & 0777;
}

static void a_start_that_hangs_hides_nothing_and_holds_up_nobody(void **state)
{
	struct vm *vm = add_vm(7, "");
	char file[64];
	snprintf(file, sizeof(file), "vms/%s.new", vm->uuid);
	assert_int_equal(mkdir(path_of("vms"), 0700), 0);
	pool_hang(file);
	node_begin();
	AWAIT(local_find(&agent.local, vm->uuid) && local_find(&agent.local, vm->uuid)->busy);
	struct vm *other = add_vm(8, "");
	AWAIT(runs(other) && other->observed == OBSERVED_RUNNING);
	uint64_t seen_ms = clock_ms();
	AWAIT(agent.collectors[0].age_ms > seen_ms);
	struct command stop = {.number = COMMAND_vm_state, .vm_state = {.vm = 8, .state = VM_STOP}};
	apply(&stop);
	AWAIT(!runs(other) && other->observed == OBSERVED_SHUTOFF);
	assert_true(local_find(&agent.local, vm->uuid)->busy);
	assert_int_equal(unlink(path_of(file)), 0);
}

static void a_vm_is_sent_to_where_the_target_says_and_stays_paused_there(void **state)
{
	struct vm *vm = add_vm(7, "");
	struct node *target = cluster_node(&c, 2);
	snprintf(target->migration_uri, sizeof(target->migration_uri), "%s", path_of("vms2"));
	assert_int_equal(mkdir(path_of("vms2"), 0700), 0);
	node_begin();
	AWAIT(runs(vm) && vm->observed == OBSERVED_RUNNING);
	vm->state = VM_MIGRATE;
	vm->target = 2;
	vm->generation++;
	vm->target_observed = OBSERVED_SHUTOFF;
	on_changed(NULL);
	AWAIT(vm->node == 2);
	assert_true(vm->arrived && vm->state == VM_START);
	assert_false(runs(vm));
	assert_true(mode_of("vms2", vm) & S_IXUSR);
}

static void a_target_without_an_address_is_said_to_have_none(void **state)
{
	struct vm *vm = add_vm(7, "");
	node_begin();
	AWAIT(runs(vm) && vm->observed == OBSERVED_RUNNING);
	vm->state = VM_MIGRATE;
	vm->target = 2;
	vm->generation++;
	vm->target_observed = OBSERVED_SHUTOFF;
	on_changed(NULL);
	AWAIT(!vm->target);
	assert_string_equal(
	    vm->failed_reason, "the target says no address at which its hypervisor takes VMs");
	assert_true(runs(vm));
}

static void who_arrives_is_resumed_and_a_leftover_is_replaced(void **state)
{
	struct vm *vm = add_vm(7, ""), *other = add_vm(8, "");
	struct vm *both[] = {vm, other};
	vm->arrived = true;
	assert_int_equal(mkdir(path_of("vms"), 0700), 0);
	for (unsigned i = 0; i < 2; i++) {
		char path[64];
		snprintf(path, sizeof(path), "vms/%s", both[i]->uuid);
		FILE *file = fopen(path_of(path), "w");
		fwrite(both[i]->xml.data, 1, both[i]->xml.size, file);
		fputs(i ? "<!-- left over -->" : "<!-- arrived -->", file);
		assert_int_equal(fclose(file), 0);
		assert_int_equal(chmod(path_of(path), 0700), 0);
	}
	node_begin();
	AWAIT(vm->observed == OBSERVED_RUNNING && other->observed == OBSERVED_RUNNING);
	assert_false(vm->arrived);
	for (unsigned i = 0; i < 2; i++) {
		char path[64];
		snprintf(path, sizeof(path), "vms/%s", both[i]->uuid);
		assert_false(mode_of("vms", both[i]) & S_IXUSR);
		assert_int_equal(strstr(file_read(path), "<!--") == NULL, i);
	}
}

/* What wakes a VM is known to the next daemon before the hypervisor is told. */
static void who_arrives_is_not_resumed_before_that_is_noted(void **state)
{
	struct vm *vm = add_vm(7, "");
	char path[64];
	vm->arrived = true;
	assert_int_equal(mkdir(path_of("vms"), 0700), 0);
	snprintf(path, sizeof(path), "vms/%s", vm->uuid);
	FILE *file = fopen(path_of(path), "w");
	fwrite(vm->xml.data, 1, vm->xml.size, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path_of(path), 0700), 0);
	file = fopen(path_of("run/starting"), "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	node_begin();
	AWAIT(local_find(&agent.local, vm->uuid) && *local_find(&agent.local, vm->uuid)->reason);
	assert_true(mode_of("vms", vm) & S_IXUSR);
	assert_int_equal(unlink(path_of("run/starting")), 0);
	AWAIT(vm->observed == OBSERVED_RUNNING);
	assert_false(mode_of("vms", vm) & S_IXUSR);
}

/* The hypervisor has been told, and nobody is there any more to hear what came of it. */
static void a_start_that_the_end_of_the_daemon_cut_off_is_known_to_the_next_one(void **state)
{
	struct vm *vm = add_vm(7, "");
	char note[64], file[64];
	bool closed = false;
	snprintf(note, sizeof(note), "run/starting/%s", vm->uuid);
	assert_int_equal(mkdir(path_of("vms"), 0700), 0);
	/* To write it waits for somebody who reads. */
	snprintf(file, sizeof(file), "vms/%s.new", vm->uuid);
	pool_hang(file);
	node_begin();
	AWAIT(local_find(&agent.local, vm->uuid) && local_find(&agent.local, vm->uuid)->busy);
	assert_true(is_there(note));
	beat_end();
	execute_close(execute, on_closed, &closed);
	AWAIT(closed);
	bool noted = is_there(note), doubted = plan_doubts(&agent.local, vm->uuid, clock_ms());
	assert_int_equal(unlink(path_of(file)), 0);
	agent_close(&agent);
	agent_begin();
	node_begin();
	assert_true(noted && doubted);
	assert_true(plan_doubts(&agent.local, vm->uuid, clock_ms()));
	local_find(&agent.local, vm->uuid)->doubt_until_ms = 0;
	local_find(&agent.local, vm->uuid)->retry_ms = 0;
	AWAIT(runs(vm) && vm->observed == OBSERVED_RUNNING);
	assert_false(is_there(note));
}

/* Its lock is of this machine, too, and it is not stale at all. */
static void a_volume_of_a_vm_that_runs_here_is_not_taken_from_it(void **state)
{
	struct vm *first = add_vm(7, "vms/both");
	node_begin();
	AWAIT(runs(first));
	add_lock("a", "vms/both", OWN);
	struct vm *second = add_vm(8, "vms/both");
	AWAIT(second->state == VM_FAIL);
	assert_string_equal(second->failed_reason,
	    "volume vms/both is also one of web7, which runs here: only one can have it");
	assert_true(is_there("pool/locks/a"));
	assert_false(is_there("pool/blocklist"));
	assert_false(runs(second));
}

static void of_two_vms_with_one_volume_one_starts(void **state)
{
	struct vm *vms[2] = {add_vm(7, "vms/both"), add_vm(8, "vms/both")};
	add_vm(6, "vms/both")->state = VM_STOP;
	node_begin();
	AWAIT(runs(vms[0]) && vms[1]->state == VM_FAIL);
	assert_int_equal(vms[0]->state, VM_START);
}

static void a_node_without_a_part_in_the_pool_frees_nothing(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	add_lock("a", "vms/web7", OTHER);
	config.functions.enable_storage = false;
	node_begin();
	AWAIT(runs(vm));
	assert_true(is_there("pool/locks/a"));
}

/* A cold start: more than can be asked for at a time. */
static void a_hundred_vms_with_stale_locks_all_start(void **state)
{
	struct vm *vms[100];
	for (uint32_t i = 0; i < 100; i++) {
		char volume[32], name[32];
		snprintf(volume, sizeof(volume), "vms/web%u", i + 1);
		snprintf(name, sizeof(name), "%u", i);
		vms[i] = add_vm(i + 1, volume);
		add_lock(name, volume, OWN);
	}
	node_begin();
	for (uint32_t i = 0; i < 100; i++) {
		char name[32];
		snprintf(name, sizeof(name), "pool/locks/%u", i);
		AWAIT(runs(vms[i]));
		assert_false(is_there(name));
		assert_int_equal(local_find(&agent.local, vms[i]->uuid)->failures, 0);
	}
	assert_int_equal(fails_told, 0);
}

/* Flushing. */

struct outcome {
	bool answered;
	int status;
	bool refused;
	unsigned count;
};

static void on_flushed(void *data, const struct locks_outcome *outcome)
{
	struct outcome *o = data;
	*o = (struct outcome){.answered = true, .status = outcome->status};
	assert_true(outcome->status == 0 || *outcome->err->text);
	if (outcome->status)
		return;
	o->refused = outcome->result->refused;
	o->count = outcome->result->count;
}

static void flush(const struct vm *vm, enum release_extent extent, struct outcome *o)
{
	*o = (struct outcome){.answered = false};
	execute_flush(execute,
	    &(struct execute_flush){.vm = vm, .extent = extent, .done = on_flushed, .data = o});
}

static void a_person_frees_what_nodes_have_locked_and_by_force_everything(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	struct outcome o;
	vm->state = VM_STOP;
	add_lock("a", "vms/web7", OWN);
	add_lock("b", "vms/web7", OTHER);
	add_lock("c", "vms/web7", STRANGER);
	node_begin();
	flush(vm, RELEASE_STALE, &o);
	AWAIT(o.answered);
	assert_true(o.status == 0 && o.refused && o.count == 1);
	assert_true(is_there("pool/locks/a"));
	assert_int_equal(unlink(path_of("pool/locks/c")), 0);
	flush(vm, RELEASE_STALE, &o);
	AWAIT(o.answered);
	assert_true(o.status == 0 && !o.refused && o.count == 2);
	assert_false(is_there("pool/locks/a") || is_there("pool/locks/b"));
	add_lock("c", "vms/web7", STRANGER);
	flush(vm, RELEASE_ALL, &o);
	AWAIT(o.answered);
	assert_true(o.status == 0 && !o.refused && o.count == 1);
	assert_false(is_there("pool/locks/c"));
	assert_non_null(strstr(file_read("pool/blocklist"), STRANGER "\n"));
}

static void what_runs_here_is_not_flushed(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	struct outcome o;
	node_begin();
	AWAIT(runs(vm));
	add_lock("a", "vms/web7", OWN);
	flush(vm, RELEASE_ALL, &o);
	AWAIT(o.answered);
	assert_int_equal(o.status, -EBUSY);
	plan_doubt(&agent.local, vm->uuid, clock_ms());
	flush(vm, RELEASE_ALL, &o);
	assert_true(o.answered && o.status == -EBUSY);
	assert_true(is_there("pool/locks/a"));
}

static void a_volume_of_a_vm_that_is_not_off_anywhere_is_not_flushed(void **state)
{
	struct vm *vm = add_vm(7, "vms/both"), *other = add_vm(8, "vms/both");
	struct outcome o;
	vm->state = VM_STOP;
	other->node = 2;
	add_lock("a", "vms/both", OTHER);
	node_begin();
	flush(vm, RELEASE_ALL, &o);
	assert_true(o.answered && o.status == -EBUSY);
	other->state = VM_STOP;
	other->observed = OBSERVED_SHUTOFF;
	other->observed_generation = other->generation;
	assert_true(is_there("pool/locks/a"));
	flush(vm, RELEASE_STALE, &o);
	AWAIT(o.answered);
	assert_int_equal(o.status, 0);
	assert_false(is_there("pool/locks/a"));
}

/* Whoever types it may lose patience, and start the VM elsewhere: its lock is no stale one then. */
static void what_was_given_away_while_the_hypervisor_hung_is_not_flushed(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7"), *other = add_vm(8, "vms/web7");
	struct outcome o;
	int fd;
	vm->state = other->state = VM_STOP;
	other->observed = OBSERVED_SHUTOFF;
	other->observed_generation = other->generation;
	add_lock("a", "vms/web7", OTHER);
	node_begin();
	for (unsigned i = 0; i < 2; i++) {
		assert_true(mkdir(path_of("vms"), 0700) == 0 || errno == EEXIST);
		pool_hang(HUNG_VM);
		flush(vm, RELEASE_STALE, &o);
		AWAIT(pool_asked(HUNG_VM, &fd));
		if (i) {
			vm->node = 2;
			vm->generation++;
		} else {
			other->node = 2;
			other->state = VM_START;
		}
		unlink(path_of(HUNG_VM));
		close(fd);
		AWAIT(o.answered);
		assert_int_equal(o.status, i ? -ESTALE : -EBUSY);
		assert_true(is_there("pool/locks/a"));
		other->state = VM_STOP;
	}
	assert_false(is_there("pool/blocklist"));
}

static void whoever_waits_is_told_when_the_daemon_ends(void **state)
{
	struct vm *vm = add_vm(7, "vms/web7");
	static struct outcome o;
	int fd;
	vm->state = VM_STOP;
	pool_hang("pool/locks/hung");
	node_begin();
	flush(vm, RELEASE_STALE, &o);
	AWAIT(pool_asked("pool/locks/hung", &fd));
	assert_false(o.answered);
	bool closed = false;
	beat_end();
	execute_close(execute, on_closed, &closed);
	/* At once: what would be told later may be gone by then. */
	assert_true(o.answered);
	assert_int_equal(o.status, -ECANCELED);
	AWAIT(closed);
	close(fd);
	node_begin();
	flush(vm, RELEASE_STALE, &o); /* not even begun */
}

struct judged {
	bool answered;
	int status;
	struct err err;
};

static void on_judged(void *data, int status, const struct err *err)
{
	struct judged *j = data;
	j->answered = true;
	j->status = status;
	if (status)
		j->err = *err;
}

static void xml_is_shown_to_the_hypervisor_by_a_worker_of_its_own(void **state)
{
	struct judged good = {0}, bad = {0};
	node_begin();
	execute_validate(execute, "<domain/>", on_judged, &bad);
	execute_validate(execute,
	    "<domain><name>a</name><uuid>22222222-0000-4000-8000-000000000001</uuid>"
	    "<memory>1024</memory></domain>",
	    on_judged, &good);
	AWAIT(bad.answered && good.answered);
	assert_int_equal(good.status, 0);
	assert_int_equal(bad.status, -EINVAL);
	assert_string_equal(bad.err.text, "line 1: no <name>");
}

static void nobody_goes_on_when_the_daemon_ends(void **state)
{
	struct judged cut = {0}, late_one = {0};
	bool closed = false;
	node_begin();
	execute_validate(execute, "<domain/>", on_judged, &cut);
	beat_end();
	execute_close(execute, on_closed, &closed);
	execute_validate(execute, "<domain/>", on_judged, &late_one);
	assert_int_equal(late_one.status, -ESHUTDOWN);
	AWAIT(closed);
	assert_true(cut.answered);
	assert_int_equal(cut.status, -ESHUTDOWN);
	node_begin();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return worker_main(argc - 1, argv + 1);
	if (!mkdtemp(directory) || rmdir(directory))
		return 1;
	/* A FIFO whose reader was killed. */
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&loop);
	uv_timer_init(&loop, &alarm_timer);
	uv_timer_init(&loop, &beat);
	const struct CMUnitTest tests[] = {
	    TEST(what_this_machine_had_locked_is_freed_before_its_vm_starts),
	    TEST(a_volume_that_somebody_else_has_locked_fails_the_vm),
	    TEST(what_is_to_be_typed_says_when_it_is_no_node),
	    TEST(what_a_node_that_is_proven_off_had_locked_is_freed),
	    TEST(a_pool_that_hangs_holds_up_no_other_vm_and_no_look),
	    TEST(however_many_wait_for_the_pool_another_vm_starts),
	    TEST(a_vm_that_changed_while_its_volumes_were_freed_does_not_start),
	    TEST(a_node_that_lost_touch_while_it_waited_does_not_start),
	    TEST(a_pool_that_cannot_be_asked_is_a_start_that_failed),
	    TEST(what_turns_out_to_run_here_keeps_its_lock),
	    TEST(without_an_answer_of_the_hypervisor_nothing_is_freed),
	    TEST(what_may_still_come_up_keeps_its_lock),
	    TEST(a_start_that_hangs_hides_nothing_and_holds_up_nobody),
	    TEST(a_vm_is_sent_to_where_the_target_says_and_stays_paused_there),
	    TEST(a_target_without_an_address_is_said_to_have_none),
	    TEST(who_arrives_is_resumed_and_a_leftover_is_replaced),
	    TEST(who_arrives_is_not_resumed_before_that_is_noted),
	    TEST(a_start_that_the_end_of_the_daemon_cut_off_is_known_to_the_next_one),
	    TEST(a_volume_of_a_vm_that_runs_here_is_not_taken_from_it),
	    TEST(of_two_vms_with_one_volume_one_starts),
	    TEST(a_volume_of_a_vm_that_is_not_off_anywhere_is_not_flushed),
	    TEST(a_node_without_a_part_in_the_pool_frees_nothing),
	    TEST(a_hundred_vms_with_stale_locks_all_start),
	    TEST(a_person_frees_what_nodes_have_locked_and_by_force_everything),
	    TEST(what_runs_here_is_not_flushed),
	    TEST(what_was_given_away_while_the_hypervisor_hung_is_not_flushed),
	    TEST(whoever_waits_is_told_when_the_daemon_ends),
	    TEST(xml_is_shown_to_the_hypervisor_by_a_worker_of_its_own),
	    TEST(nobody_goes_on_when_the_daemon_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
