/* Where a VM goes: each step alone, and at random that what is explained is what is decided. */
#include <errno.h>
#include <stdlib.h>

#include "fsm/place.h"
#include "tests/unit/room.h"

#define SEEDS 3000
#define MOST  8 /* nodes */

static struct memory memories[CLUSTER_NODES_MAX];

/* What the listener heard. */
static struct place_finding found[MOST];
static char reasons[MOST][256];
static unsigned heard;

static void listen(void *data, const struct place_finding *finding)
{
	assert_true(heard < MOST);
	snprintf(reasons[heard], sizeof(reasons[heard]), "%s", finding->reason);
	found[heard] = *finding;
	found[heard].reason = reasons[heard];
	heard++;
}

static uint32_t explain(const struct vm *vm)
{
	struct place_listener listener = {listen, NULL};
	heard = 0;
	memory_of_all(&c, memories);
	return place_explain(&c, vm, memories, &listener);
}

/* n1 has the VM, n2 is what a test makes of it, n3 is as good as any. */
static struct node *second;
static struct vm *web;

static int three_nodes(void **state)
{
	room_open();
	room_node(1, 4096);
	second = room_node(2, 8192);
	room_node(3, 4096);
	web = room_vm(1, 1, 1024);
	web->selector = SELECTOR_MEM;
	return 0;
}

static void a_vm_never_stays_where_it_is(void **state)
{
	assert_int_equal(explain(web), 2);
	assert_int_equal(heard, 3);
	assert_int_equal(found[0].step, PLACE_OTHER);
	assert_string_equal(found[0].reason, "n1 has vm1 already");
}

static void falls_at(enum place_step step, int result, const char *reason)
{
	struct err err;
	assert_int_equal(explain(web), 3);
	assert_int_equal(found[1].step, step);
	assert_string_equal(found[1].reason, reason);
	assert_int_equal(found[2].step, PLACE_BEST);
	assert_int_equal(place_check(&c, web, second, &err), result);
	assert_string_equal(err.text, reason);
}

static void it_goes_to_nodes_that_run_vms_alone(void **state)
{
	second->hypervisor = false;
	falls_at(PLACE_RUNS_VMS, -EINVAL, "n2 runs no VMs (enable_hypervisor is off there)");
}

static void it_goes_where_the_daemon_runs_alone(void **state)
{
	second->daemon_state = DAEMON_SHUTDOWN;
	falls_at(PLACE_RUN, -EHOSTDOWN, "n2 is shutdown, not run");
}

static void it_goes_to_nodes_that_are_ready_alone(void **state)
{
	second->domain_state = DOMAIN_FLUSH;
	falls_at(PLACE_READY, -EHOSTDOWN, "n2 is flush, not ready");
}

static void it_goes_to_nodes_that_were_heard_lately_alone(void **state)
{
	second->seen_ms -= PLACE_FRESH_MS;
	assert_int_equal(explain(web), 2);
	second->seen_ms--;
	falls_at(PLACE_CURRENT, -EHOSTDOWN, "n2 has not sent a keepalive lately");
}

static void it_goes_where_its_memory_can_be_promised_alone(void **state)
{
	struct vm *other = room_vm(2, 2, 8192 - MEMORY_RESERVED_MIB - 1024);
	assert_int_equal(explain(web), 2);
	other->memory_mib++;
	falls_at(PLACE_ROOM, -ENOMEM, "n2 can promise 1023 MiB more, vm1 needs 1024");
}

/* The first step at which it falls is the one that is told. */
static void the_steps_go_by_their_numbers(void **state)
{
	room_vm(2, 2, 8192);
	second->seen_ms = 0;
	second->domain_state = DOMAIN_FLUSH;
	assert_int_equal(explain(web), 3);
	assert_int_equal(found[1].step, PLACE_READY);
	second->hypervisor = false;
	assert_int_equal(explain(web), 3);
	assert_int_equal(found[1].step, PLACE_RUNS_VMS);
}

static void what_is_best_is_said_in_the_selector_s_words(void **state)
{
	static const char *const words[] = {
	    [SELECTOR_MEMFREE] = "8000 MiB free",
	    [SELECTOR_MEM] = "7680 MiB not allocated",
	    [SELECTOR_MEMPROV] = "512 MiB promised",
	    [SELECTOR_LOAD] = "load 1.25",
	    [SELECTOR_VCPUS] = "13 vCPUs not allocated",
	    [SELECTOR_VMS] = "1 VM placed there",
	};
	struct vm *other = room_vm(2, 2, 512);
	other->observed = OBSERVED_RUNNING;
	other->vcpus = 3;
	((struct keepalive *)second->last.items)->memory_free_mib = 8000;
	((struct keepalive *)second->last.items)->load_milli = 1250;
	for (unsigned i = 0; i <= SELECTOR_VMS; i++) {
		web->selector = i;
		explain(web);
		assert_string_equal(found[1].reason, words[i]);
	}
}

static void it_goes_to_those_that_it_is_limited_to_alone(void **state)
{
	struct node_ref *nodes = must_alloc(2 * sizeof(*nodes));
	nodes[0].node = 1;
	nodes[1].node = 3;
	web->limit.items = nodes;
	web->limit.count = 2;
	falls_at(PLACE_LIMIT, -EINVAL, "vm1 is limited to other nodes than n2");
	nodes[1].node = 2;
	assert_int_equal(explain(web), 2);
	assert_int_equal(found[2].step, PLACE_LIMIT);
	web->limit.count = 1;
	assert_int_equal(explain(web), 0);
}

/* n2 gets ready again: what a flush moved away from it comes first. */
static void it_comes_home_before_its_node_is_ready(void **state)
{
	second->domain_state = DOMAIN_UNFLUSH;
	falls_at(PLACE_READY, -EHOSTDOWN, "n2 is unflush, not ready");
	web->home = 2;
	assert_int_equal(explain(web), 2);
	second->domain_state = DOMAIN_FLUSH;
	falls_at(PLACE_READY, -EHOSTDOWN, "n2 is flush, not ready");
}

static void what_moves_is_promised_on_both_ends(void **state)
{
	struct vm *moves = room_vm(2, 2, 4096);
	struct memory m[3];
	moves->observed = OBSERVED_RUNNING;
	moves->target = 3;
	for (uint32_t i = 0; i < 3; i++)
		memory_of(&c, c.nodes.items[i], &m[i]);
	assert_int_equal(m[1].provisioned_mib, 4096);
	assert_int_equal(m[2].provisioned_mib, 4096);
	assert_int_equal(m[1].vms_running, 1);
	assert_int_equal(m[2].vms_running, 0);
	/* Who else is placed meanwhile reckons with it. */
	assert_int_equal(m[2].allocated_mib, 4096);
	assert_int_equal(explain(web), 2);
	assert_string_equal(found[2].reason, "n3 can promise 0 MiB more, vm1 needs 1024");
	((struct node *)c.nodes.items[2])->daemon_state = DAEMON_FENCED;
	memory_of(&c, c.nodes.items[2], &m[2]);
	assert_int_equal(m[2].provisioned_mib, 0);
}

static void too_much_is_promised_only_of_what_is_known(void **state)
{
	struct memory m = {.total_mib = 4096, .provisioned_mib = 4096 - MEMORY_RESERVED_MIB};
	assert_int_equal(memory_overprovisioned(&m), 0);
	m.provisioned_mib += 100;
	assert_int_equal(memory_overprovisioned(&m), 100);
	m.total_mib = 0; /* it was never heard */
	assert_int_equal(memory_overprovisioned(&m), 0);
}

/* At random. */

static uint32_t seed, chance_state;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)chance_state * below >> 32);
}

#define ASSERT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("seed %u: " #condition, seed);                                    \
	} while (0)

static void some_cluster(void)
{
	uint32_t nodes = 1 + chance(MOST), vms = 1 + chance(24);
	room_open();
	for (uint32_t id = 1; id <= nodes; id++) {
		struct node *node = room_node(id, 1024 * (1 + chance(16)));
		struct keepalive *k = node->last.items;
		k->load_milli = chance(4) * 500;
		k->memory_free_mib = chance(8) * 1024;
		node->hypervisor = chance(8);
		if (!chance(6))
			node->daemon_state = chance(DAEMON_FENCED + 1);
		if (!chance(6))
			node->domain_state = chance(DOMAIN_FENCE_FLUSH + 1);
		node->seen_ms -= chance(4) ? 0 : chance(2 * PLACE_FRESH_MS);
	}
	for (uint32_t id = 1; id <= vms; id++) {
		struct vm *vm = room_vm(id, chance(nodes + 1), 256 * (1 + chance(12)));
		vm->selector = chance(SELECTOR_VMS + 1);
		vm->observed = chance(OBSERVED_UNOBSERVABLE + 1);
		vm->vcpus = 1 + chance(4);
		if (!chance(4))
			vm->target = chance(nodes + 1);
		if (vm->target == vm->node)
			vm->target = 0;
		if (!chance(6))
			vm->home = chance(nodes + 1);
		vm->limit.count = chance(4) ? 0 : 1 + chance(3);
		struct node_ref *refs = must_alloc(4 * sizeof(*refs));
		for (unsigned i = 0; i < vm->limit.count; i++)
			refs[i].node = 1 + chance(nodes);
		vm->limit.items = refs;
	}
}

/* What nobody may get, however the steps are written down. */
static bool allowed(const struct vm *vm, const struct node *node, uint64_t promised_mib)
{
	bool limited = vm->limit.count, named = false;
	bool comes_home = node->domain_state == DOMAIN_UNFLUSH && vm->home == node->id;
	for (unsigned i = 0; i < vm->limit.count; i++)
		named |= vm->limit.items[i].node == node->id;
	return node->hypervisor && node->daemon_state == DAEMON_RUN && (named || !limited) &&
	       (node->domain_state == DOMAIN_READY || comes_home) &&
	       c.settings.time_ms - node->seen_ms <= PLACE_FRESH_MS &&
	       promised_mib + vm->memory_mib + MEMORY_RESERVED_MIB <=
		   ((struct keepalive *)node->last.items)->memory_total_mib;
}

static uint64_t promised_mib(const struct node *node)
{
	uint64_t mib = 0;
	cluster_each(c.vms, struct vm, vm) mib +=
	    vm->node == node->id || vm->target == node->id ? vm->memory_mib : 0;
	return mib;
}

static void check_one(const struct vm *vm)
{
	uint32_t chosen = explain(vm);
	int64_t best = INT64_MIN, its = INT64_MIN;
	ASSERT(heard == c.nodes.count);
	ASSERT(place_choose(&c, vm, memories) == chosen);
	for (unsigned i = 0; i < heard; i++) {
		const struct node *node = c.nodes.items[i];
		bool room = allowed(vm, node, promised_mib(node));
		ASSERT(found[i].node == node && *found[i].reason);
		ASSERT((found[i].step == PLACE_BEST) == (room && node->id != vm->node));
		ASSERT((place_check(&c, vm, node, NULL) == 0) == room);
		if (found[i].step != PLACE_BEST)
			continue;
		best = found[i].score > best ? found[i].score : best;
		its = node->id == chosen ? found[i].score : its;
	}
	ASSERT(its == best);
}

static void what_is_explained_is_what_is_decided(void **state)
{
	unsigned placed = 0, waiting = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		chance_state = seed;
		some_cluster();
		cluster_each(c.vms, struct vm, vm)
		{
			check_one(vm);
			memory_of_all(&c, memories);
			*(place_choose(&c, vm, memories) ? &placed : &waiting) += 1;
		}
		room_close(NULL);
	}
	assert_true(placed > 1000 && waiting > 1000);
}

/* VMs come, go and change as they are counted out and in again; the sums are as if counted anew. */
static void who_leaves_and_enters_is_counted_once(void **state)
{
	struct memory anew[CLUSTER_NODES_MAX];
	for (seed = 1; seed <= SEEDS; seed++) {
		chance_state = seed;
		some_cluster();
		memory_of_all(&c, memories);
		for (unsigned i = 0; i < 10; i++) {
			struct vm *vm = c.vms.items[chance(c.vms.count)];
			memory_leave(&c, vm, memories);
			vm->node = chance(c.nodes.count + 1);
			vm->target = chance(c.nodes.count + 1);
			vm->target *= vm->target != vm->node;
			vm->observed = chance(OBSERVED_TRANSIT + 1);
			memory_enter(&c, vm, memories);
		}
		memory_of_all(&c, anew);
		ASSERT(!memcmp(anew, memories, c.nodes.count * sizeof(*anew)));
		room_close(NULL);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, three_nodes, room_close)
	const struct CMUnitTest tests[] = {
	    TEST(a_vm_never_stays_where_it_is),
	    TEST(it_goes_to_nodes_that_run_vms_alone),
	    TEST(it_goes_where_the_daemon_runs_alone),
	    TEST(it_goes_to_nodes_that_are_ready_alone),
	    TEST(it_goes_to_nodes_that_were_heard_lately_alone),
	    TEST(it_goes_where_its_memory_can_be_promised_alone),
	    TEST(the_steps_go_by_their_numbers),
	    TEST(what_is_best_is_said_in_the_selector_s_words),
	    TEST(it_goes_to_those_that_it_is_limited_to_alone),
	    TEST(it_comes_home_before_its_node_is_ready),
	    TEST(what_moves_is_promised_on_both_ends),
	    TEST(too_much_is_promised_only_of_what_is_known),
	    cmocka_unit_test(what_is_explained_is_what_is_decided),
	    cmocka_unit_test(who_leaves_and_enters_is_counted_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
