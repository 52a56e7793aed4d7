/* Host failures to tolerate: what is foretold of a loss is what a recovery then does. */
#include <errno.h>
#include <stdlib.h>

#include "fsm/place.h"
#include "fsm/tolerance.h"
#include "fsm/vm.h"
#include "fsm/vm_change.h"
#include "tests/unit/room.h"

#define SEEDS 2000
#define NODES 6
#define VMS   24

static struct vm *runs(uint32_t id, uint32_t node, uint64_t memory_mib)
{
	struct vm *vm = room_vm(id, node, memory_mib);
	vm->state = VM_START;
	vm->observed = OBSERVED_RUNNING;
	return vm;
}

/* Each can promise 4096 MiB. */
static int three_nodes(void **state)
{
	room_open();
	for (uint32_t id = 1; id <= 3; id++)
		room_node(id, 4096 + MEMORY_RESERVED_MIB);
	return 0;
}

/* "": any one node may be lost. */
static void is_said(const char *text)
{
	struct tolerance t;
	char said[TOLERANCE_TEXT_MAX] = "";
	tolerance_open(&c, &t);
	const struct tolerance_loss *worst = tolerance_worst(&t);
	if (worst)
		tolerance_text(&c, worst, said);
	assert_string_equal(said, text);
	tolerance_close(&t);
}

static void a_cluster_without_vms_may_lose_any_node(void **state)
{
	is_said("");
}

static void what_fits_elsewhere_is_tolerated(void **state)
{
	runs(1, 1, 4096);
	is_said("");
	runs(2, 2, 4096);
	is_said(""); /* n3 has room for either of them */
}

static void what_fits_nowhere_else_is_not(void **state)
{
	runs(1, 1, 4096);
	runs(2, 2, 4096);
	runs(3, 3, 512);
	is_said("without n1 vm1 (4096 MiB) has no room");
}

static void the_worst_loss_is_told_with_all_that_has_no_room(void **state)
{
	runs(1, 1, 3072);
	runs(2, 2, 3072);
	runs(3, 3, 2048);
	runs(4, 3, 2048);
	is_said("without n3 vm3, vm4 (4096 MiB) have no room");
}

static void no_line_grows_with_the_vms(void **state)
{
	room_vm(8, 1, 4096);
	room_vm(9, 2, 4096);
	for (uint32_t id = 10; id < 18; id++)
		runs(id, 3, 512);
	is_said("without n3 vm10, vm11, vm12, vm13, vm14 and 3 more (4096 MiB) have no room");
}

static void who_waits_already_has_no_room_as_it_is(void **state)
{
	runs(1, 0, 8192)->observed = OBSERVED_UNKNOWN;
	is_said("vm1 (8192 MiB) has no room even now");
}

static void who_waits_gets_the_room_that_there_is_before_anything_is_lost(void **state)
{
	runs(1, 1, 4096);
	room_vm(2, 2, 4096);
	is_said("");
	runs(3, 0, 512)->observed = OBSERVED_UNKNOWN;
	is_said("without n1 vm1 (4096 MiB) has no room");
}

static void the_worst_is_the_most_memory_not_the_most_vms(void **state)
{
	runs(1, 1, 1024);
	runs(2, 1, 1024);
	runs(3, 2, 4096);
	room_vm(4, 3, 4096);
	is_said("without n2 vm3 (4096 MiB) has no room");
}

static void a_vm_that_is_off_needs_no_other_node_but_takes_room(void **state)
{
	struct vm *off = room_vm(1, 1, 4096), *other = room_vm(2, 2, 4096);
	room_vm(3, 3, 1024);
	is_said("");
	off->state = VM_START;
	is_said("without n1 vm1 (4096 MiB) has no room");
	off->state = VM_SHUTDOWN;
	is_said("");
	off->state = VM_START;
	other->memory_mib = 1;
	other->node = 3;
	is_said("");
}

static void nodes_that_take_nobody_do_not_count(void **state)
{
	runs(1, 1, 1024);
	is_said("");
	struct node *second = c.nodes.items[1], *third = c.nodes.items[2];
	second->domain_state = DOMAIN_FLUSH;
	is_said("");
	third->seen_ms -= PLACE_FRESH_MS + 1;
	is_said("without n1 vm1 (1024 MiB) has no room");
}

static void the_most_important_gets_the_room_that_is_left(void **state)
{
	struct vm *first = runs(1, 1, 2048), *other = runs(2, 1, 2048);
	room_vm(3, 2, 4096);
	room_vm(4, 3, 2048);
	is_said("without n1 vm2 (2048 MiB) has no room");
	other->priority = 1;
	is_said("without n1 vm1 (2048 MiB) has no room");
	first->memory_mib = 1024;
	first->priority = 1;
	is_said("without n1 vm1 (1024 MiB) has no room"); /* the largest first */
}

/* It is placed anew as all others are, and what was promised to it there is free again. */
static void what_moves_needs_the_room_only_once(void **state)
{
	struct vm *moves = runs(1, 1, 4096);
	room_vm(2, 2, 4096);
	moves->target = 3;
	moves->state = VM_MIGRATE;
	is_said("");
	moves->limit.items = must_alloc(sizeof(struct node_ref));
	moves->limit.items[0].node = 2;
	moves->limit.count = 1;
	is_said("without n1 vm1 (4096 MiB) has no room");
}

static void who_is_limited_to_one_node_goes_down_with_it(void **state)
{
	struct err err;
	struct vm *bound = room_vm(1, 1, 512);
	bound->limit.items = must_alloc(sizeof(struct node_ref));
	bound->limit.items[0].node = 1;
	bound->limit.count = 1;
	assert_int_equal(tolerance_check_start(&c, bound, &err), 0);
	bound->state = VM_START;
	is_said("");
	/* It waits for that node alone: that is no wish. */
	bound->node = 0;
	((struct node *)c.nodes.items[0])->daemon_state = DAEMON_DEAD;
	is_said("vm1 (512 MiB) has no room even now");
}

static void a_start_that_ends_it_is_refused_and_one_that_does_not_is_not(void **state)
{
	struct err err = {""};
	runs(1, 1, 4096);
	struct vm *small = room_vm(2, 2, 512), *big = room_vm(3, 2, 3584);
	room_vm(4, 3, 1024);
	assert_int_equal(tolerance_check_start(&c, small, &err), 0);
	assert_int_equal(tolerance_check_start(&c, big, &err), -ENOMEM);
	assert_string_equal(err.text, "without n2 vm3 (3584 MiB) has no room");
	/* Neither has changed anything. */
	assert_int_equal(small->state, VM_STOP);
	assert_int_equal(big->state, VM_STOP);
}

static void a_start_is_not_blamed_for_what_was_so_before_it(void **state)
{
	struct err err;
	runs(1, 1, 4096);
	room_vm(2, 2, 2048);
	room_vm(3, 3, 2048);
	struct vm *fits = room_vm(4, 3, 512);
	is_said("without n1 vm1 (4096 MiB) has no room");
	assert_int_equal(tolerance_check_start(&c, fits, &err), 0);
	struct vm *worse = room_vm(5, 1, 3072);
	assert_int_equal(tolerance_check_start(&c, worse, &err), -ENOMEM);
}

/* Its node is gone: where it would start is judged, not where it was. */
static void a_start_is_judged_where_it_would_be_placed(void **state)
{
	struct err err;
	struct vm *vm = room_vm(1, 1, 1024);
	((struct node *)c.nodes.items[0])->daemon_state = DAEMON_FENCED;
	assert_int_equal(tolerance_check_start(&c, vm, &err), 0);
	room_vm(2, 3, 4096);
	assert_int_equal(tolerance_check_start(&c, vm, &err), -ENOMEM);
	assert_string_equal(err.text, "without n2 vm1 (1024 MiB) has no room");
	room_vm(3, 2, 4096);
	assert_int_equal(tolerance_check_start(&c, vm, &err), 0); /* waits, and takes nobody's */
}

static void a_new_vm_takes_the_room_of_others(void **state)
{
	struct err err;
	struct vm new = {.name = "new", .node = 3, .memory_mib = 2048};
	runs(1, 1, 4096);
	room_vm(2, 2, 1024);
	assert_int_equal(tolerance_check(&c, &new, &err), -ENOMEM);
	assert_string_equal(err.text, "without n1 vm1 (4096 MiB) has no room");
	new.node = 2;
	assert_int_equal(tolerance_check(&c, &new, &err), 0);
}

static void where_there_is_one_node_there_is_nothing_to_lose(void **state)
{
	struct err err;
	struct vm *vm = room_vm(1, 1, 1024);
	for (unsigned i = 1; i <= 2; i++)
		((struct node *)c.nodes.items[i])->hypervisor = false;
	assert_int_equal(tolerance_check_start(&c, vm, &err), 0);
	vm->state = VM_START;
	is_said("without n1 vm1 (1024 MiB) has no room");
}

/* At random. */

static uint32_t seed, chance_state;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)chance_state * below >> 32);
}

static void some_cluster(void)
{
	chance_state = seed;
	uint32_t nodes = 2 + chance(NODES - 1), vms = 1 + chance(VMS);
	room_open();
	for (uint32_t id = 1; id <= nodes; id++) {
		struct node *node = room_node(id, 2048 * (1 + chance(8)));
		if (!chance(12))
			node->domain_state = DOMAIN_FLUSHED;
		if (!chance(12))
			node->seen_ms -= 2 * PLACE_FRESH_MS;
	}
	for (uint32_t id = 1; id <= vms; id++) {
		struct vm *vm = room_vm(id, 1 + chance(nodes), 256 * (1 + chance(8)));
		vm->selector = chance(SELECTOR_VMS + 1);
		vm->state = chance(4) ? VM_START : chance(VM_FAIL + 1);
		vm->observed = vm->state == VM_START ? OBSERVED_RUNNING : OBSERVED_SHUTOFF;
		vm->observed_generation = 1;
		vm->priority = chance(3);
		if (vm->state == VM_START && !chance(4)) {
			vm->state = VM_MIGRATE;
			vm->target = 1 + vm->node % nodes;
		}
		if (!chance(6)) {
			struct node_ref *limit = must_alloc(2 * sizeof(*limit));
			limit[0].node = 1 + chance(nodes);
			limit[1].node = vm->target;
			vm->limit.items = limit;
			vm->limit.count = vm->target ? 2 : 1;
		}
	}
}

#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("seed %u: " #condition, seed);                                    \
	} while (0)

/* Which VMs have no room without node, by their bits. */
static uint64_t foretold(uint32_t node)
{
	struct tolerance t;
	uint64_t bits = 0, mib = 0;
	tolerance_open(&c, &t);
	for (uint32_t i = 0; i < t.count; i++) {
		const struct tolerance_loss *loss = &t.losses[i];
		ASSERT(loss->count && (!i || loss->node > loss[-1].node));
		for (uint32_t k = 0; k < loss->count && loss->node == node; k++) {
			bits |= 1ull << loss->vms[k]->id;
			mib += loss->vms[k]->memory_mib;
		}
		ASSERT(loss->node != node || loss->memory_mib == mib);
	}
	tolerance_close(&t);
	return bits;
}

static uint64_t comes_about(uint32_t node)
{
	struct node *lost = cluster_node(&c, node);
	uint64_t bits = 0;
	lost->daemon_state = DAEMON_FENCED;
	vm_recover(&c, lost);
	cluster_each(c.vms, struct vm, vm)
	{
		bool bound = vm->limit.count == 1 && vm->limit.items[0].node == node;
		bits |= vm->node || bound ? 0 : 1ull << vm->id;
	}
	return bits;
}

static void what_is_foretold_of_a_loss_comes_about(void **state)
{
	unsigned well = 0, ill = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		for (uint32_t node = 1, nodes = 1; node <= nodes; node++) {
			some_cluster();
			nodes = c.nodes.count;
			uint64_t told = foretold(node);
			ASSERT(told == comes_about(node));
			*(told ? &ill : &well) += 1;
			room_close(NULL);
		}
	}
	if (!(well > 1000 && ill > 500))
		fail_msg("%u tolerated, %u not", well, ill);
}

static uint64_t foretold_mib(uint32_t node)
{
	uint64_t bits = foretold(node), mib = 0;
	cluster_each(c.vms, struct vm, vm) mib += bits >> vm->id & 1 ? vm->memory_mib : 0;
	return mib;
}

/* A start is refused when, and only when, it is the worse for some loss. */
static void what_a_check_says_of_a_start_is_so_after_it(void **state)
{
	unsigned refused = 0, allowed = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		uint64_t before[NODES + 1] = {0};
		some_cluster();
		struct vm *vm = c.vms.items[chance(c.vms.count)];
		if (vm->state == VM_START) {
			room_close(NULL);
			continue;
		}
		int result = tolerance_check_start(&c, vm, NULL);
		for (uint32_t node = 1; node <= c.nodes.count; node++)
			before[node] = foretold_mib(node);
		vm_change_start(&c, vm);
		bool worse = false;
		for (uint32_t node = 1; node <= c.nodes.count; node++)
			worse |= foretold_mib(node) > before[node];
		ASSERT(worse == (result != 0));
		*(result ? &refused : &allowed) += 1;
		room_close(NULL);
	}
	if (!(refused > 50 && allowed > 50))
		fail_msg("%u refused, %u allowed", refused, allowed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, three_nodes, room_close)
	const struct CMUnitTest tests[] = {
	    TEST(a_cluster_without_vms_may_lose_any_node),
	    TEST(what_fits_elsewhere_is_tolerated),
	    TEST(what_fits_nowhere_else_is_not),
	    TEST(the_worst_loss_is_told_with_all_that_has_no_room),
	    TEST(no_line_grows_with_the_vms),
	    TEST(who_waits_already_has_no_room_as_it_is),
	    TEST(who_waits_gets_the_room_that_there_is_before_anything_is_lost),
	    TEST(the_worst_is_the_most_memory_not_the_most_vms),
	    TEST(a_vm_that_is_off_needs_no_other_node_but_takes_room),
	    TEST(nodes_that_take_nobody_do_not_count),
	    TEST(the_most_important_gets_the_room_that_is_left),
	    TEST(what_moves_needs_the_room_only_once),
	    TEST(who_is_limited_to_one_node_goes_down_with_it),
	    TEST(a_start_that_ends_it_is_refused_and_one_that_does_not_is_not),
	    TEST(a_start_is_not_blamed_for_what_was_so_before_it),
	    TEST(a_start_is_judged_where_it_would_be_placed),
	    TEST(a_new_vm_takes_the_room_of_others),
	    TEST(where_there_is_one_node_there_is_nothing_to_lose),
	    cmocka_unit_test(what_is_foretold_of_a_loss_comes_about),
	    cmocka_unit_test(what_a_check_says_of_a_start_is_so_after_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
