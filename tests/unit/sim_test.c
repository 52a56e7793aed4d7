/* The simulator itself: what the other tests rely on when it says "held". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/memory.h"
#include "raft/message.h"
#include "tools/sim/chaos.h"
#include "tools/sim/guest.h"
#include "tools/sim/network.h"
#include "tools/sim/node.h"
#include "tools/sim/request.h"
#include "tools/sim/verify.h"

#define SEED  7
#define UP_MS 5000
#define UUID  "00000000-0000-4000-8000-000000000001"

static void play(uint64_t seed, enum chaos_trace trace, struct chaos_result *result)
{
	struct chaos_options options = {.seed = seed, .trace = trace};
	chaos_play(&options, result);
}

static void ignore(struct world *w, const struct sim_answer *answer)
{
}

static struct world *three_nodes(void)
{
	struct world_options options = {.seed = 1,
	    .nodes = 3,
	    .founders = 3,
	    .coordinators = 3,
	    .delay_ms_max = 3,
	    .patience_ms = 10000};
	struct world *w = must_alloc(sizeof(*w));
	world_init(w, &options);
	w->answered = ignore;
	world_run(w, UP_MS);
	assert_string_equal(w->failure, "");
	assert_int_equal(world_primary(w), 1);
	return w;
}

static void end(struct world *w)
{
	world_close(w);
	free(w);
}

static void the_same_seed_prints_the_same_bytes(void **state)
{
	struct chaos_result one, two;
	play(SEED, CHAOS_KEEP, &one);
	play(SEED, CHAOS_KEEP, &two);
	assert_string_equal(one.failure, "");
	assert_true(one.trace.size > 1000);
	assert_int_equal(one.trace.size, two.trace.size);
	assert_memory_equal(one.trace.data, two.trace.data, one.trace.size);
	buffer_close(&one.trace);
	buffer_close(&two.trace);
}

static void another_seed_plays_something_else(void **state)
{
	struct chaos_result one, two;
	play(SEED, CHAOS_KEEP, &one);
	play(SEED + 1, CHAOS_KEEP, &two);
	assert_true(one.trace.size != two.trace.size ||
		    memcmp(one.trace.data, two.trace.data, one.trace.size) != 0);
	buffer_close(&one.trace);
	buffer_close(&two.trace);
}

static void a_seed_is_work_not_an_empty_house(void **state)
{
	struct chaos_result result;
	play(SEED, CHAOS_QUIET, &result);
	assert_true(result.acknowledged > 100);
	assert_true(result.retried > 10);
	assert_true(result.takeovers > 3);
	assert_int_equal(result.trace.size, 0);
}

static void two_holders_of_the_address_are_seen(void **state)
{
	struct world *w = three_nodes();
	w->nodes[2]->guard.held = true;
	verify_holders(w);
	assert_string_equal(w->failure, "n1 and n2 hold the floating address at one instant");
	end(w);
}

/* Node 2 owns it in the value of all. */
static void define_vm(struct world *w)
{
	struct command command = {.number = COMMAND_vm_define,
	    .vm_define = {.name = "v", .uuid = UUID, .memory_mib = 1, .vcpus = 1, .node = 2}};
	request_propose(w->nodes[1], &command, ASK_NONE, 0);
	sim_node_settle(w->nodes[1]);
	world_run(w, w->now_ms + 1000);
	assert_string_equal(w->failure, "");
}

static void a_vm_on_two_nodes_is_seen(void **state)
{
	struct world *w = three_nodes();
	define_vm(w);
	guest_runs(w->nodes[2], sim_hypervisor_add(w->nodes[2], UUID), GUEST_BOOTS);
	assert_string_equal(w->failure, "");
	guest_runs(w->nodes[3], sim_hypervisor_add(w->nodes[3], UUID), GUEST_BOOTS);
	assert_string_equal(w->failure, "VM " UUID " runs on n2 and n3");
	end(w);
}

static void a_vm_that_runs_where_nobody_owns_it_is_seen(void **state)
{
	struct world *w = three_nodes();
	define_vm(w);
	guest_runs(w->nodes[3], sim_hypervisor_add(w->nodes[3], UUID), GUEST_BOOTS);
	assert_non_null(strstr(w->failure, "VM " UUID " runs on n3, and at index "));
	assert_non_null(strstr(w->failure, " node 2 owns it"));
	end(w);
}

static void a_guest_that_goes_back_to_an_older_memory_is_seen(void **state)
{
	struct world *w = three_nodes();
	define_vm(w);
	struct sim_vm *vm = sim_hypervisor_add(w->nodes[2], UUID);
	guest_runs(w->nodes[2], vm, GUEST_BOOTS);
	uint64_t age = vm->age;
	guest_stops(w->nodes[2], vm);
	guest_runs(w->nodes[2], vm, GUEST_GOES_ON);
	guest_stops(w->nodes[2], vm);
	assert_string_equal(w->failure, "");
	vm->age = age;
	guest_runs(w->nodes[2], vm, GUEST_GOES_ON);
	assert_non_null(strstr(w->failure, "goes on from an older memory on n2: it ran 1 times"));
	end(w);
}

static void a_promise_that_a_node_cannot_keep_is_seen(void **state)
{
	struct world *w = three_nodes();
	define_vm(w);
	guests_verify(w->nodes[1]);
	assert_string_equal(w->failure, "");
	struct vm *vm = w->nodes[1]->value.vms.items[0];
	vm->memory_mib = 8192 - MEMORY_RESERVED_MIB;
	guests_verify(w->nodes[1]);
	assert_string_equal(w->failure, "");
	vm->memory_mib++;
	guests_verify(w->nodes[1]);
	assert_non_null(strstr(w->failure, "7681 MiB are promised on node 2, which has 8192"));
	end(w);
}

static void a_seed_about_vms_moves_some_and_prints_the_same_bytes(void **state)
{
	struct chaos_options options = {.seed = SEED, .trace = CHAOS_KEEP, .vms = 40, .steps = 200};
	struct chaos_result one, two;
	chaos_play(&options, &one);
	chaos_play(&options, &two);
	assert_string_equal(one.failure, "");
	assert_true(one.migrations > 5);
	assert_true(one.arrivals > 0);
	assert_int_equal(one.trace.size, two.trace.size);
	assert_memory_equal(one.trace.data, two.trace.data, one.trace.size);
	buffer_close(&one.trace);
	buffer_close(&two.trace);
}

static void a_replica_that_differs_is_seen(void **state)
{
	struct world *w = three_nodes();
	cluster_node(&w->nodes[2]->value, 1)->schema_max = 99;
	world_run(w, UP_MS + 3000);
	assert_non_null(strstr(w->failure, "another state hash"));
	end(w);
}

static void an_acknowledgement_that_is_on_one_disk_is_seen(void **state)
{
	struct world *w = three_nodes();
	uint64_t index = w->nodes[1]->value.index;
	verify_acknowledged(w->nodes[1], index);
	assert_string_equal(w->failure, "");
	for (unsigned i = 2; i <= 3; i++) {
		sim_disk_close(&w->nodes[i]->disk);
		w->nodes[i]->disk = (struct sim_disk){.term = 1};
	}
	verify_acknowledged(w->nodes[1], index);
	assert_non_null(strstr(w->failure, "but is on the disks of 1 of 3 voters"));
	end(w);
}

/* As long as there is one it may start what it likes. */
static void a_start_without_a_leader_is_seen(void **state)
{
	struct world *w = three_nodes();
	for (unsigned i = 1; i <= 3; i++)
		verify_starts(w->nodes[i]);
	assert_string_equal(w->failure, "");
	network_cut(w, 3, true);
	world_run(w, w->now_ms + 10000);
	assert_string_equal(w->failure, "");
	verify_starts(w->nodes[3]);
	assert_non_null(strstr(w->failure, "n3 starts a VM, "));
	assert_non_null(strstr(w->failure, " ms after it heard a leader"));
	end(w);
}

static void a_start_by_what_is_not_applied_yet_is_seen(void **state)
{
	struct world *w = three_nodes();
	struct sim_node *n = w->nodes[2];
	struct replica_status status;
	replica_status(n->replica, &status);
	struct message m = {.kind = MESSAGE_append,
	    .append = {.term = status.term,
		.prev_index = status.last,
		.prev_term = status.term,
		.commit = status.last + 5}};
	struct buffer bytes = {0};
	message_encode(&m, &bytes);
	replica_receive(
	    n->replica, n->world->nodes[1]->raft_id, bytes.data, bytes.size, sim_node_clock(n));
	buffer_close(&bytes);
	verify_starts(n);
	assert_non_null(strstr(w->failure, "n2 starts a VM by index "));
	end(w);
}

static void a_storm_of_messages_is_seen(void **state)
{
	struct world *w = three_nodes();
	uint64_t now_ms = w->now_ms;
	struct command command = {.number = COMMAND_fact, .fact = {.key = "k"}};
	for (unsigned i = 0; i < 200000; i++)
		network_send(w, 1, 2, (const uint8_t *)"", 1);
	request_propose(w->nodes[1], &command, ASK_NONE, 0);
	world_run(w, now_ms + 1000);
	assert_non_null(strstr(w->failure, "a storm"));
	end(w);
}

static void what_was_under_way_at_a_crash_is_there_whole_in_part_or_not_at_all(void **state)
{
	unsigned whole = 0, part = 0, nothing = 0;
	struct disk_entry entries[3] = {{1, DISK_COMMAND, 1, (const uint8_t *)"a"},
	    {1, DISK_COMMAND, 1, (const uint8_t *)"b"}, {1, DISK_COMMAND, 1, (const uint8_t *)"c"}};
	struct world *w = three_nodes();
	sim_node_power(w->nodes[3], false);
	struct sim_disk *disk = &w->nodes[3]->disk;
	uint64_t last = sim_disk_last(disk);
	struct disk_request request = {
	    .type = DISK_APPEND, .append = {.index = last + 1, .entries = entries, .n = 3}};
	for (unsigned i = 0; i < 100; i++) {
		struct disk_request cut = {.type = DISK_APPEND, .append = {.index = last + 1}};
		sim_disk_submit(w, 3, &request);
		sim_disk_crash(w, disk);
		uint64_t more = sim_disk_last(disk) - last;
		assert_true(more <= 3);
		whole += more == 3;
		part += more == 1 || more == 2;
		nothing += more == 0;
		sim_disk_submit(w, 3, &cut);
		world_run(w, w->now_ms + 10);
		assert_int_equal(sim_disk_last(disk), last);
	}
	assert_true(whole > 5 && part > 5 && nothing > 5);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_same_seed_prints_the_same_bytes),
	    cmocka_unit_test(another_seed_plays_something_else),
	    cmocka_unit_test(a_seed_is_work_not_an_empty_house),
	    cmocka_unit_test(two_holders_of_the_address_are_seen),
	    cmocka_unit_test(a_vm_on_two_nodes_is_seen),
	    cmocka_unit_test(a_vm_that_runs_where_nobody_owns_it_is_seen),
	    cmocka_unit_test(a_guest_that_goes_back_to_an_older_memory_is_seen),
	    cmocka_unit_test(a_promise_that_a_node_cannot_keep_is_seen),
	    cmocka_unit_test(a_seed_about_vms_moves_some_and_prints_the_same_bytes),
	    cmocka_unit_test(a_replica_that_differs_is_seen),
	    cmocka_unit_test(an_acknowledgement_that_is_on_one_disk_is_seen),
	    cmocka_unit_test(a_start_without_a_leader_is_seen),
	    cmocka_unit_test(a_start_by_what_is_not_applied_yet_is_seen),
	    cmocka_unit_test(a_storm_of_messages_is_seen),
	    cmocka_unit_test(what_was_under_way_at_a_crash_is_there_whole_in_part_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
