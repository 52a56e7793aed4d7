/* The cluster as a value: what each command does, and what it refuses. */
#include <errno.h>
#include <stdlib.h>

#include "fsm/hash.h"
#include "fsm/history.h"
#include "fsm/membership.h"
#include "fsm/memory.h"
#include "fsm/place.h"
#include "fsm/primary.h"
#include "fsm/session.h"
#include "fsm/snapshot.h"
#include "fsm/vm.h"
#include "tests/unit/value.h"

static void keepalive(uint32_t node, struct sighting *sightings, uint32_t count)
{
	struct keepalive k = {.node = node, .memory_total_mib = 4096, .sightings_known = true};
	k.sightings.items = sightings;
	k.sightings.count = count;
	struct command command = {.number = COMMAND_tick, .tick = {.elapsed_ms = 1000}};
	command.tick.keepalives.items = &k;
	command.tick.keepalives.count = 1;
	assert_int_equal(apply(command), 0);
}

static void node_up(uint32_t node)
{
	assert_int_equal(APPLY(node_hello, .node = node, .hypervisor = true), 0);
	assert_int_equal(APPLY(node_state, .node = node, .state = DAEMON_RUN), 0);
	keepalive(node, NULL, 0);
}

static int join(const char *name, const char *incarnation, const char *hash)
{
	struct command command = {.number = COMMAND_join, .join = {.mode = NODE_COORDINATOR}};
	snprintf(command.join.name, sizeof(command.join.name), "%s", name);
	snprintf(command.join.address, sizeof(command.join.address), "%s:7000", name);
	snprintf(command.join.incarnation, sizeof(command.join.incarnation), "%s", incarnation);
	snprintf(command.join.hash, sizeof(command.join.hash), "%s", hash);
	return apply(command);
}

#define HASH(digit)                                                                                \
	digit digit digit digit digit digit digit digit digit digit digit digit digit digit digit  \
	    digit
#define HASH_A HASH("aaaa")
#define HASH_B HASH("bbbb")

static int three_nodes(void **state)
{
	value_found();
	value_join(2, NODE_COORDINATOR);
	value_join(3, NODE_COORDINATOR);
	for (uint32_t i = 1; i <= 3; i++)
		node_up(i);
	return 0;
}

/* One for each name. */
static const char *uuid_of(const char *name)
{
	static char uuid[37];
	uint64_t hash = hash_bytes(0, name, strlen(name));
	snprintf(uuid, sizeof(uuid), "%08x-0000-4000-8000-00%010llx", (uint32_t)hash,
	    (unsigned long long)hash >> 32);
	return uuid;
}

static int define(const char *name, uint32_t node)
{
	struct command command = {
	    .number = COMMAND_vm_define,
	    .vm_define = {.memory_mib = 1024, .vcpus = 1, .node = node},
	};
	snprintf(command.vm_define.name, sizeof(command.vm_define.name), "%s", name);
	snprintf(command.vm_define.uuid, sizeof(command.vm_define.uuid), "%s", uuid_of(name));
	return apply(command);
}

/* What a node that knows the present generation says of its VM. */
static void see(struct vm *vm, enum vm_observed observed)
{
	struct sighting s = {.vm = vm->id, .generation = vm->generation, .observed = observed};
	keepalive(vm->node, &s, 1);
}

static void silence(unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++)
		assert_int_equal(APPLY(tick, .elapsed_ms = 1000), 0);
}

static void bytes_that_are_no_command_change_nothing(void **state)
{
	uint64_t hash = c.hash;
	const uint8_t junk[] = {0xff, 0xff, 0xff};
	assert_int_equal(cluster_apply(&c, c.index + 1, junk, sizeof(junk), &err), -EBADMSG);
	assert_int_equal(cluster_apply(&c, c.index + 1, junk, 0, &err), -EBADMSG);
	assert_true(c.hash == hash);
}

static void nothing_happens_before_the_cluster_is_founded(void **state)
{
	struct cluster empty;
	struct buffer bytes = {0};
	struct command command = {.number = COMMAND_maintenance, .maintenance = {.on = true}};
	cluster_init(&empty);
	command_encode(&command, &bytes);
	assert_int_equal(cluster_apply(&empty, 1, bytes.data, bytes.size, &err), -EUNATCH);
	buffer_close(&bytes);
	cluster_close(&empty);
}

static void a_cluster_is_founded_once(void **state)
{
	assert_int_equal(
	    APPLY(found, .name = "other", .uuid = "v", .node = "x", .schema = 1), -EEXIST);
}

static void a_token_lets_one_machine_in_once(void **state)
{
	assert_true(APPLY(token, .hash = HASH_B, .valid_ms = 60000) > 0);
	assert_int_equal(join("hv4", "i4", HASH_B), 4);
	assert_int_equal(join("hv5", "i5", HASH_B), -EPERM);
}

static void a_join_that_is_asked_again_answers_the_same(void **state)
{
	assert_true(APPLY(token, .hash = HASH_B, .valid_ms = 60000) > 0);
	assert_int_equal(join("hv4", "i4", HASH_B), 4);
	assert_int_equal(join("hv4", "i4", HASH_B), 4);
	assert_int_equal(c.nodes.count, 4);
}

static void a_removed_node_is_let_in_by_its_old_key_no_more(void **state)
{
	assert_int_equal(APPLY(leave, .node = 3, .judged = membership_mark(&c)), 0);
	assert_int_equal(join("hv3", "i3", HASH_A), -EPERM);
	assert_non_null(strstr(err.text, "token is not known"));
	/* With a new token it is another node. */
	assert_true(APPLY(token, .hash = HASH_B, .valid_ms = 60000) > 0);
	assert_int_equal(join("hv3", "i3", HASH_B), 4);
}

static void a_token_expires_by_cluster_time(void **state)
{
	assert_true(APPLY(token, .hash = HASH_B, .valid_ms = 2000) > 0);
	silence(2);
	assert_int_equal(join("hv4", "i4", HASH_B), -ETIME);
	assert_non_null(strstr(err.text, "expired"));
}

static void a_token_for_one_name_is_no_good_for_another(void **state)
{
	assert_true(APPLY(token, .name = "hv9", .hash = HASH_B, .valid_ms = 60000) > 0);
	assert_int_equal(join("hv4", "i4", HASH_B), -EPERM);
	assert_int_equal(join("hv9", "i9", HASH_B), 4);
}

static void a_name_that_is_taken_is_refused_and_the_token_stays(void **state)
{
	assert_true(APPLY(token, .hash = HASH_B, .valid_ms = 60000) > 0);
	assert_int_equal(join("hv2", "other-disk", HASH_B), -EEXIST);
	assert_int_equal(join("hv4", "i4", HASH_B), 4);
}

static void an_id_is_never_given_out_again(void **state)
{
	assert_int_equal(APPLY(leave, .node = 3, .judged = membership_mark(&c)), 0);
	assert_true(APPLY(token, .hash = HASH_B, .valid_ms = 60000) > 0);
	assert_int_equal(join("hv3", "i3b", HASH_B), 4);
}

static void a_takeover_needs_a_newer_epoch(void **state)
{
	assert_int_equal(APPLY(takeover, .node = 1, .epoch = 5), 0);
	assert_int_equal(APPLY(takeover, .node = 2, .epoch = 5), -ESTALE);
	assert_int_equal(APPLY(takeover, .node = 2, .epoch = 4), -ESTALE);
	assert_int_equal(c.primary.node, 1);
}

static void the_old_primary_relinquishes_and_the_new_one_waits_for_it(void **state)
{
	assert_int_equal(APPLY(takeover, .node = 1, .epoch = 5), 0);
	assert_true(primary_may_begin(&c, 1));
	assert_int_equal(APPLY(primary, .node = 1, .epoch = 5), 0);
	assert_int_equal(APPLY(takeover, .node = 2, .epoch = 6), 0);
	assert_int_equal(cluster_node(&c, 1)->coordinator_state, COORDINATOR_RELINQUISH);
	assert_false(primary_may_begin(&c, 2));
	assert_int_equal(APPLY(relinquished, .node = 1, .epoch = 6), 0);
	assert_int_equal(cluster_node(&c, 1)->coordinator_state, COORDINATOR_SECONDARY);
	assert_true(primary_may_begin(&c, 2));
}

static void what_an_old_epoch_says_is_refused(void **state)
{
	assert_int_equal(APPLY(takeover, .node = 1, .epoch = 5), 0);
	assert_int_equal(APPLY(takeover, .node = 2, .epoch = 6), 0);
	assert_int_equal(APPLY(primary, .node = 1, .epoch = 5), -ESTALE);
	assert_int_equal(APPLY(relinquished, .node = 1, .epoch = 5), -ESTALE);
	assert_int_equal(APPLY(primary_step, .node = 1, .epoch = 5, .step = "late"), -ESTALE);
}

static void three_takeovers_in_a_row_leave_both_old_ones_to_let_go(void **state)
{
	APPLY(takeover, .node = 1, .epoch = 5);
	APPLY(takeover, .node = 2, .epoch = 6);
	APPLY(takeover, .node = 3, .epoch = 7);
	assert_int_equal(APPLY(relinquished, .node = 2, .epoch = 7), 0);
	assert_false(primary_may_begin(&c, 3));
	assert_int_equal(APPLY(relinquished, .node = 1, .epoch = 7), 0);
	assert_true(primary_may_begin(&c, 3));
}

static void nobody_can_wish_for_a_primary_that_is_silent(void **state)
{
	APPLY(takeover, .node = 1, .epoch = 5);
	silence(4);
	assert_int_equal(APPLY(primary_want, .node = 2), 0);
	silence(11);
	assert_int_equal(APPLY(primary_want, .node = 2), -EHOSTDOWN);
	assert_int_equal(c.primary.wanted, 0);
}

static void a_wish_for_a_primary_ends_when_it_is_not_fulfilled(void **state)
{
	APPLY(takeover, .node = 1, .epoch = 5);
	assert_int_equal(APPLY(primary_want, .node = 2), 0);
	assert_int_equal(c.primary.wanted, 2);
	silence(11);
	assert_int_equal(c.primary.wanted, 0);
}

static void a_vm_is_placed_where_there_is_room(void **state)
{
	for (int i = 1; i <= 9; i++) {
		char name[8];
		snprintf(name, sizeof(name), "vm%d", i);
		assert_int_equal(define(name, 0), i);
	}
	/* Three nodes of 4096 MiB with 512 kept back take three VMs of 1024 each. */
	for (uint32_t i = 1; i <= 3; i++) {
		struct memory m;
		memory_of(&c, cluster_node(&c, i), &m);
		assert_int_equal(m.vms, 3);
		assert_int_equal(m.provisioned_mib, 3072);
		assert_int_equal(m.allocated_mib, 0);
	}
	int waiting = define("vm10", 0);
	assert_int_equal(cluster_vm(&c, (uint32_t)waiting)->node, 0);
	assert_int_equal(define("vm11", 1), -ENOMEM);
}

static void only_running_vms_count_as_allocated(void **state)
{
	struct memory m;
	struct vm *vm = cluster_vm(&c, (uint32_t)define("web", 2));
	see(vm, OBSERVED_RUNNING);
	memory_of(&c, cluster_node(&c, 2), &m);
	assert_int_equal(m.allocated_mib, 1024);
	see(vm, OBSERVED_SHUTOFF);
	memory_of(&c, cluster_node(&c, 2), &m);
	assert_int_equal(m.allocated_mib, 0);
	assert_int_equal(m.provisioned_mib, 1024);
}

static void names_and_uuids_are_unique(void **state)
{
	assert_true(define("web", 0) > 0);
	assert_int_equal(define("web", 0), -EEXIST);
}

static void no_vm_is_named_as_another_s_uuid(void **state)
{
	assert_true(define("web", 0) > 0);
	assert_int_equal(define(uuid_of("web"), 0), -EEXIST);
	assert_true(define(uuid_of("db"), 0) > 0);
	assert_int_equal(define("db", 0), -EEXIST);
}

static void objects_are_found_after_others_are_gone(void **state)
{
	for (uint32_t i = 1; i <= 9; i++) {
		char name[8];
		snprintf(name, sizeof(name), "vm%u", i);
		assert_int_equal(define(name, 0), i);
	}
	const uint32_t gone[] = {4, 1, 9, 2};
	for (unsigned i = 0; i < sizeof(gone) / sizeof(*gone); i++) {
		see(cluster_vm(&c, gone[i]), OBSERVED_SHUTOFF);
		assert_int_equal(APPLY(vm_undefine, .vm = gone[i]), 0);
	}
	for (uint32_t i = 0; i <= 10; i++) {
		bool there = i == 3 || (i >= 5 && i <= 8);
		assert_int_equal(cluster_vm(&c, i) != NULL, there);
		assert_true(!there || cluster_vm(&c, i)->id == i);
	}
}

static void the_memory_of_all_nodes_is_that_of_each(void **state)
{
	struct memory all[CLUSTER_NODES_MAX], m;
	see(cluster_vm(&c, (uint32_t)define("web", 2)), OBSERVED_RUNNING);
	define("db", 3);
	APPLY(node_state, .node = 3, .state = DAEMON_STOP);
	silence(10);
	assert_int_equal(APPLY(node_fenced, .node = 3, .by_hand = true), 0);
	memory_of_all(&c, all);
	for (uint32_t i = 0; i < 3; i++) {
		memory_of(&c, cluster_node(&c, i + 1), &m);
		assert_memory_equal(&all[i], &m, sizeof(m));
	}
	assert_int_equal(all[1].allocated_mib, 1024);
	assert_int_equal(all[2].total_mib, 0);
}

static void a_report_of_an_older_generation_is_stale(void **state)
{
	struct vm *vm = cluster_vm(&c, (uint32_t)define("web", 1));
	uint64_t old = vm->generation;
	assert_int_equal(APPLY(vm_state, .vm = vm->id, .state = VM_START), 0);
	assert_int_equal(APPLY(vm_report, .node = 1, .vm = vm->id, .generation = old,
			     .observed = OBSERVED_SHUTOFF),
	    -ESTALE);
	assert_int_equal(APPLY(vm_report, .node = 2, .vm = vm->id, .generation = vm->generation,
			     .observed = OBSERVED_RUNNING),
	    -ESTALE);
}

static void off_counts_only_from_who_knows_that_it_must_not_start(void **state)
{
	struct vm *vm = cluster_vm(&c, (uint32_t)define("web", 1));
	see(vm, OBSERVED_SHUTOFF);
	assert_true(vm_is_off(&c, vm));
	APPLY(vm_state, .vm = vm->id, .state = VM_START);
	see(vm, OBSERVED_SHUTOFF);
	assert_false(vm_is_off(&c, vm));
	struct sighting before = {vm->id, vm->generation, OBSERVED_SHUTOFF};
	APPLY(vm_state, .vm = vm->id, .state = VM_STOP);
	keepalive(1, &before, 1);
	assert_false(vm_is_off(&c, vm));
	assert_int_equal(APPLY(vm_place, .vm = vm->id, .node = 2), -EBUSY);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(APPLY(vm_place, .vm = vm->id, .node = 2), 0);
	assert_int_equal(vm->last_node, 1);
}

static void a_vm_that_runs_is_neither_undefined_nor_moved(void **state)
{
	struct vm *vm = cluster_vm(&c, (uint32_t)define("web", 1));
	APPLY(vm_state, .vm = vm->id, .state = VM_START);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(APPLY(vm_undefine, .vm = vm->id), -EBUSY);
	assert_int_equal(APPLY(vm_place, .vm = vm->id, .node = 2), -EBUSY);
	APPLY(vm_state, .vm = vm->id, .state = VM_STOP);
	assert_int_equal(APPLY(vm_undefine, .vm = vm->id), -EBUSY);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(APPLY(vm_undefine, .vm = vm->id), 0);
	assert_int_equal(c.vms.count, 0);
}

static void a_shutdown_that_came_about_is_a_stop(void **state)
{
	struct vm *vm = cluster_vm(&c, (uint32_t)define("web", 1));
	APPLY(vm_state, .vm = vm->id, .state = VM_START);
	see(vm, OBSERVED_RUNNING);
	APPLY(vm_state, .vm = vm->id, .state = VM_SHUTDOWN);
	see(vm, OBSERVED_RUNNING);
	assert_int_equal(vm->state, VM_SHUTDOWN);
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(vm->state, VM_STOP);
	assert_true(vm_is_off(&c, vm));
}

static void a_disabled_vm_is_not_started(void **state)
{
	struct vm *vm = cluster_vm(&c, (uint32_t)define("web", 1));
	see(vm, OBSERVED_SHUTOFF);
	assert_int_equal(APPLY(vm_state, .vm = vm->id, .state = VM_DISABLE), 0);
	assert_int_equal(APPLY(vm_state, .vm = vm->id, .state = VM_START), -EPERM);
}

static void a_node_that_was_just_heard_is_not_off(void **state)
{
	assert_int_equal(APPLY(node_fenced, .node = 2, .by_hand = true), -EBUSY);
	silence(3);
	assert_int_equal(APPLY(node_fenced, .node = 2, .by_hand = true), 0);
}

static void what_a_fenced_node_ran_gets_a_new_owner_and_generation(void **state)
{
	struct vm *runs = cluster_vm(&c, (uint32_t)define("web", 2));
	APPLY(vm_state, .vm = runs->id, .state = VM_START);
	see(runs, OBSERVED_RUNNING);
	struct vm *off = cluster_vm(&c, (uint32_t)define("spare", 2));
	uint64_t generation = runs->generation;
	silence(3);
	keepalive(1, NULL, 0);
	assert_int_equal(APPLY(node_fenced, .node = 2, .by_hand = true), 0);
	assert_true(runs->node == 1 || runs->node == 3);
	assert_int_equal(runs->last_node, 2);
	assert_true(runs->generation > generation);
	assert_int_equal(off->node, 2);
	struct memory m;
	memory_of(&c, cluster_node(&c, 2), &m);
	assert_int_equal(m.provisioned_mib, 0);
}

static void what_a_fenced_node_was_to_shut_down_is_stopped(void **state)
{
	struct vm *vm = cluster_vm(&c, (uint32_t)define("web", 2));
	APPLY(vm_state, .vm = vm->id, .state = VM_START);
	see(vm, OBSERVED_RUNNING);
	APPLY(vm_state, .vm = vm->id, .state = VM_SHUTDOWN);
	silence(3);
	keepalive(1, NULL, 0);
	assert_int_equal(APPLY(node_fenced, .node = 2, .by_hand = true), 0);
	assert_int_equal(vm->state, VM_STOP);
	assert_int_equal(vm->node, 2);
}

static void who_waits_for_a_place_says_why(void **state)
{
	struct command command = {
	    .number = COMMAND_vm_define, .vm_define = {.memory_mib = 1u << 20, .vcpus = 1}};
	snprintf(command.vm_define.name, sizeof(command.vm_define.name), "huge");
	snprintf(command.vm_define.uuid, sizeof(command.vm_define.uuid), "%s", uuid_of("huge"));
	int id = apply(command);
	assert_string_equal(cluster_vm(&c, id)->failed_reason, "no node has room for it");
	assert_int_equal(APPLY(vm_state, .vm = id, .state = VM_START), 0);
	assert_string_equal(cluster_vm(&c, id)->failed_reason, "no node has room for it");
	silence(1);
	assert_string_equal(cluster_vm(&c, id)->failed_reason, "no node has room for it");
}

/* As pvcnoded.yaml explains them. */
static void memory_is_free_by_what_the_host_says_or_by_what_runs(void **state)
{
	struct keepalive k[] = {
	    {.node = 1, .memory_total_mib = 8192, .memory_free_mib = 1000},
	    {.node = 2, .memory_total_mib = 4096, .memory_free_mib = 3000},
	};
	struct command tick = {.number = COMMAND_tick, .tick = {.elapsed_ms = 1000}};
	tick.tick.keepalives.items = k;
	tick.tick.keepalives.count = 2;
	assert_int_equal(apply(tick), 0);
	struct vm vm = {.memory_mib = 512, .selector = SELECTOR_MEMFREE};
	struct memory memories[CLUSTER_NODES_MAX];
	memory_of_all(&c, memories);
	assert_int_equal(place_choose(&c, &vm, memories), 2);
	vm.selector = SELECTOR_MEM;
	assert_int_equal(place_choose(&c, &vm, memories), 1);
}

/* Whatever a selector goes by, VMs that do not run yet must not all go to the first node. */
static void who_is_as_good_by_the_selector_and_has_less_gets_the_vm(void **state)
{
	struct vm vm = {.memory_mib = 512, .selector = SELECTOR_MEM};
	struct memory memories[CLUSTER_NODES_MAX];
	define("one", 1);
	define("three", 3);
	memory_of_all(&c, memories);
	assert_int_equal(place_choose(&c, &vm, memories), 2);
	/* As much memory, in more VMs. */
	memories[1].provisioned_mib = memories[0].provisioned_mib;
	memories[1].vms = memories[0].vms = 2;
	assert_int_equal(place_choose(&c, &vm, memories), 3);
	memories[2].vms = 2;
	assert_int_equal(place_choose(&c, &vm, memories), 1);
	/* First of all it is the selector that counts. */
	memories[2].provisioned_mib += 1024;
	memories[0].total_mib = memories[1].total_mib -= 1;
	assert_int_equal(place_choose(&c, &vm, memories), 3);
}

static void a_vm_without_room_waits_and_is_looked_at_at_every_tick(void **state)
{
	struct vm *vm = cluster_vm(&c, (uint32_t)define("web", 2));
	APPLY(vm_state, .vm = vm->id, .state = VM_START);
	see(vm, OBSERVED_RUNNING);
	APPLY(node_state, .node = 1, .state = DAEMON_STOP);
	APPLY(node_state, .node = 3, .state = DAEMON_STOP);
	silence(3);
	assert_int_equal(APPLY(node_fenced, .node = 2, .by_hand = true), 0);
	assert_int_equal(vm->node, 0);
	node_up(3);
	assert_int_equal(vm->node, 3);
}

static void those_that_wait_together_are_not_promised_the_same_room(void **state)
{
	uint32_t vms[4];
	for (unsigned i = 0; i < 4; i++) {
		char name[8];
		snprintf(name, sizeof(name), "vm%u", i);
		vms[i] = (uint32_t)define(name, i < 3 ? 1 : 2);
		APPLY(vm_state, .vm = vms[i], .state = VM_START);
	}
	for (uint32_t node = 1; node <= 3; node++)
		APPLY(node_state, .node = node, .state = DAEMON_STOP);
	silence(10);
	assert_int_equal(APPLY(node_fenced, .node = 1, .by_hand = true), 0);
	assert_int_equal(APPLY(node_fenced, .node = 2, .by_hand = true), 0);
	node_up(3); /* which has room for three of the four */
	unsigned placed = 0;
	for (unsigned i = 0; i < 4; i++)
		placed += cluster_vm(&c, vms[i])->node == 3;
	assert_int_equal(placed, 3);
}

static void a_client_s_operation_is_applied_once(void **state)
{
	struct command command = {
	    .number = COMMAND_token, .client = 77, .sequence = 1, .token = {.valid_ms = 1000}};
	snprintf(command.token.hash, sizeof(command.token.hash), "%s", HASH_B);
	int first = apply(command);
	assert_true(first > 0);
	assert_int_equal(apply(command), first);
	assert_int_equal(c.tokens.count, 1);
	command.sequence = 3;
	assert_int_equal(apply(command), first + 1);
	/* 2 comes after 3 and was not applied yet. */
	command.sequence = 2;
	assert_int_equal(apply(command), first + 2);
	/* The oldest that is remembered, and one that is not any more. */
	command.sequence = 2 + SESSION_WINDOW;
	assert_int_equal(apply(command), first + 3);
	command.sequence = 3;
	assert_int_equal(apply(command), first + 1);
	command.sequence = 3 + SESSION_WINDOW;
	assert_int_equal(apply(command), first + 4);
	command.sequence = 3;
	assert_int_equal(apply(command), -ESTALE);
}

static void a_refusal_is_repeated_as_it_was(void **state)
{
	struct command command = {
	    .number = COMMAND_vm_undefine, .client = 78, .sequence = 1, .vm_undefine = {.vm = 1}};
	assert_int_equal(apply(command), -ENOENT);
	define("web", 0);
	assert_int_equal(apply(command), -ENOENT);
}

static void a_snapshot_gives_back_the_very_value(void **state)
{
	struct buffer first = {0}, second = {0};
	struct cluster other;
	define("web", 2);
	APPLY(takeover, .node = 1, .epoch = 5);
	snapshot_encode(&c, &first);
	cluster_init(&other);
	assert_int_equal(snapshot_decode(&other, first.data, first.size, &err), 0);
	snapshot_encode(&other, &second);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
	assert_true(other.hash == c.hash);
	cluster_close(&other);
	buffer_close(&first);
	buffer_close(&second);
}

/* Its hash is a sum and does not know of an order. */
static void a_snapshot_in_another_order_is_refused(void **state)
{
	struct buffer bytes = {0};
	struct cluster other;
	APPLY(fact, .key = "k1", .value = {(uint8_t *)"v", 1});
	APPLY(fact, .key = "k2", .value = {(uint8_t *)"v", 1});
	snapshot_encode(&c, &bytes);
	uint8_t *first = memmem(bytes.data, bytes.size, "k1", 2);
	uint8_t *second = memmem(bytes.data, bytes.size, "k2", 2);
	assert_true(first && second);
	first[1] = '2';
	second[1] = '1';
	cluster_init(&other);
	assert_int_equal(snapshot_decode(&other, bytes.data, bytes.size, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "a bad fact"));
	cluster_close(&other);
	buffer_close(&bytes);
}

static void a_damaged_snapshot_is_refused_and_the_value_stays(void **state)
{
	struct buffer good = {0};
	define("web", 2);
	snapshot_encode(&c, &good);
	uint64_t hash = c.hash;
	for (size_t at = 0; at < good.size; at++) {
		/* The index in the head is not the value's: it is told by the log. */
		if (at >= 12 && at < 20)
			continue;
		good.data[at] ^= 0x10;
		assert_int_not_equal(snapshot_decode(&c, good.data, good.size, &err), 0);
		assert_int_not_equal(snapshot_decode(&c, good.data, at, &err), 0);
		good.data[at] ^= 0x10;
	}
	assert_true(c.hash == hash);
	buffer_close(&good);
}

static void a_replica_that_differs_finds_it_out(void **state)
{
	uint64_t index = c.index;
	assert_int_equal(APPLY(tick, .hash_index = index, .hash = c.hash), 0);
	assert_int_equal(history_diverged_at(&c), 0);
	index = c.index;
	assert_int_equal(APPLY(tick, .hash_index = index, .hash = c.hash + 1), 0);
	assert_int_equal(history_diverged_at(&c), index);
}

static void maintenance_ends_by_itself(void **state)
{
	APPLY(maintenance, .on = true, .valid_ms = 2000);
	assert_true(c.settings.maintenance);
	silence(3);
	assert_false(c.settings.maintenance);
}

static void a_leader_that_slept_for_a_day_does_not_let_a_day_pass(void **state)
{
	uint64_t before = c.settings.time_ms;
	APPLY(tick, .elapsed_ms = 86400000);
	assert_true(c.settings.time_ms - before <= 60000);
}

static void facts_and_xml_together_are_bounded(void **state)
{
	uint8_t *megabyte = must_alloc(1u << 20);
	struct command command = {.number = COMMAND_fact};
	int result = 0;
	unsigned stored = 0;
	command.fact.value = (struct blob){megabyte, 1u << 20};
	for (; !result && stored < 1000; stored += !result) {
		snprintf(command.fact.key, sizeof(command.fact.key), "key-%u", stored);
		struct buffer bytes = {0};
		command_encode(&command, &bytes);
		result = cluster_apply(&c, c.index + 1, bytes.data, bytes.size, &err);
		buffer_close(&bytes);
	}
	assert_int_equal(result, -ENOSPC);
	assert_int_equal(stored, 128);
	/* What makes room is taken, and what takes none as well. */
	assert_int_equal(APPLY(fact, .key = "key-0"), 0);
	snprintf(command.fact.key, sizeof(command.fact.key), "key-1");
	assert_int_equal(apply(command), 0);
	free(megabyte);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, three_nodes, value_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(bytes_that_are_no_command_change_nothing),
	    TEST(nothing_happens_before_the_cluster_is_founded),
	    TEST(a_cluster_is_founded_once),
	    TEST(a_token_lets_one_machine_in_once),
	    TEST(a_join_that_is_asked_again_answers_the_same),
	    TEST(a_removed_node_is_let_in_by_its_old_key_no_more),
	    TEST(a_token_expires_by_cluster_time),
	    TEST(a_token_for_one_name_is_no_good_for_another),
	    TEST(a_name_that_is_taken_is_refused_and_the_token_stays),
	    TEST(an_id_is_never_given_out_again),
	    TEST(a_takeover_needs_a_newer_epoch),
	    TEST(the_old_primary_relinquishes_and_the_new_one_waits_for_it),
	    TEST(what_an_old_epoch_says_is_refused),
	    TEST(three_takeovers_in_a_row_leave_both_old_ones_to_let_go),
	    TEST(nobody_can_wish_for_a_primary_that_is_silent),
	    TEST(a_wish_for_a_primary_ends_when_it_is_not_fulfilled),
	    TEST(a_vm_is_placed_where_there_is_room),
	    TEST(only_running_vms_count_as_allocated),
	    TEST(names_and_uuids_are_unique),
	    TEST(no_vm_is_named_as_another_s_uuid),
	    TEST(objects_are_found_after_others_are_gone),
	    TEST(the_memory_of_all_nodes_is_that_of_each),
	    TEST(a_report_of_an_older_generation_is_stale),
	    TEST(off_counts_only_from_who_knows_that_it_must_not_start),
	    TEST(a_vm_that_runs_is_neither_undefined_nor_moved),
	    TEST(a_shutdown_that_came_about_is_a_stop),
	    TEST(a_disabled_vm_is_not_started),
	    TEST(a_node_that_was_just_heard_is_not_off),
	    TEST(what_a_fenced_node_ran_gets_a_new_owner_and_generation),
	    TEST(what_a_fenced_node_was_to_shut_down_is_stopped),
	    TEST(who_waits_for_a_place_says_why),
	    TEST(who_is_as_good_by_the_selector_and_has_less_gets_the_vm),
	    TEST(memory_is_free_by_what_the_host_says_or_by_what_runs),
	    TEST(a_vm_without_room_waits_and_is_looked_at_at_every_tick),
	    TEST(those_that_wait_together_are_not_promised_the_same_room),
	    TEST(a_client_s_operation_is_applied_once),
	    TEST(a_refusal_is_repeated_as_it_was),
	    TEST(a_snapshot_gives_back_the_very_value),
	    TEST(a_snapshot_in_another_order_is_refused),
	    TEST(a_damaged_snapshot_is_refused_and_the_value_stays),
	    TEST(a_replica_that_differs_finds_it_out),
	    TEST(maintenance_ends_by_itself),
	    TEST(facts_and_xml_together_are_bounded),
	    TEST(a_leader_that_slept_for_a_day_does_not_let_a_day_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
