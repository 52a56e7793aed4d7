/* Ceph in the value, and what a VM's owner says when a disk of it is locked. */
#include <errno.h>
#include <stdlib.h>

#include "fsm/ceph.h"
#include "fsm/snapshot.h"
#include "fsm/vm.h"
#include "tests/unit/value.h"

#define EPOCH 5
#define NODES 12

static void keepalive(uint32_t node, struct sighting *sightings, uint32_t count)
{
	struct keepalive k = {.node = node, .memory_total_mib = 8192, .sightings_known = true};
	k.sightings.items = sightings;
	k.sightings.count = count;
	APPLY(tick, .elapsed_ms = 1000, .keepalives = {&k, 1});
}

static void node_up(uint32_t node)
{
	assert_int_equal(APPLY(node_hello, .node = node, .hypervisor = true), 0);
	assert_int_equal(APPLY(node_state, .node = node, .state = DAEMON_RUN), 0);
	keepalive(node, NULL, 0);
}

/* The first of them is the primary. */
static int open_cluster(void **state)
{
	value_found();
	for (uint32_t id = 2; id <= NODES; id++)
		value_join(id, NODE_HYPERVISOR);
	for (uint32_t id = 1; id <= NODES; id++)
		node_up(id);
	assert_int_equal(APPLY(takeover, .node = 1, .epoch = EPOCH), 0);
	assert_int_equal(APPLY(primary, .node = 1, .epoch = EPOCH), 0);
	return 0;
}

#define REPORT(...) APPLY(ceph_report, .node = 1, .epoch = EPOCH, __VA_ARGS__)

static int report_osd(struct ceph_osd osd)
{
	return REPORT(.osds = {&osd, 1});
}

static int report_health(enum ceph_health health)
{
	struct ceph status = {.known = CEPH_STATUS, .health = health};
	return REPORT(.status = {&status, 1});
}

static void ceph_is_reported_by_the_primary_of_this_epoch_alone(void **state)
{
	struct ceph_osd osd = {.id = 3};
	assert_int_equal(APPLY(ceph_report, .node = 2, .epoch = EPOCH, .osds = {&osd, 1}), -ESTALE);
	assert_int_equal(
	    APPLY(ceph_report, .node = 1, .epoch = EPOCH - 1, .osds = {&osd, 1}), -ESTALE);
	assert_int_equal(c.osds.count, 0);
	assert_int_equal(report_osd(osd), 0);
	assert_int_equal(c.osds.count, 1);
	assert_non_null(ceph_osd_find(&c, 3));
}

static void what_was_not_given_is_absent(void **state)
{
	struct ceph_osd osd = {
	    .known = CEPH_OSD_DUMP, .up = true, .host = "hv1", .pgs = 7, .reweight_micro = 1};
	struct buffer text = {0};
	assert_int_equal(report_osd(osd), 0);
	const struct ceph_osd *mine = ceph_osd_find(&c, 0);
	assert_true(mine->up);
	assert_int_equal(mine->reweight_micro, 1);
	assert_string_equal(mine->host, "");
	assert_int_equal(mine->pgs, 0);
	record_print(ceph_osd_record(), mine, &text);
	buffer_append_u8(&text, 0);
	assert_string_equal(
	    text.data, "id=0 known=1 uuid=\"\" up=yes in=no reweight_micro=1 affinity_micro=0");
	buffer_close(&text);
}

static void what_is_not_given_any_more_goes(void **state)
{
	struct ceph_osd osd = {.known = CEPH_OSD_DUMP | CEPH_OSD_PERF, .commit_ms = 4};
	assert_int_equal(report_osd(osd), 0);
	assert_int_equal(ceph_osd_find(&c, 0)->commit_ms, 4);
	osd.known = CEPH_OSD_DUMP;
	assert_int_equal(report_osd(osd), 0);
	assert_int_equal(ceph_osd_find(&c, 0)->commit_ms, 0);
	assert_int_equal(ceph_osd_find(&c, 0)->known, CEPH_OSD_DUMP);
}

static void what_ceph_has_no_more_leaves_the_value(void **state)
{
	struct ceph_osd osds[] = {{.id = 0}, {.id = 4}, {.id = 9}};
	struct ceph_pool pools[] = {{.id = 1, .name = "vms"}, {.id = 2, .name = "images"}};
	struct ceph_id gone[] = {{4}, {7}}, pools_gone[] = {{1}};
	assert_int_equal(REPORT(.osds = {osds, 3}, .pools = {pools, 2}), 0);
	assert_int_equal(c.osds.count, 3);
	assert_int_equal(c.pools.count, 2);
	assert_int_equal(REPORT(.osds_gone = {gone, 2}, .pools_gone = {pools_gone, 1}), 0);
	assert_int_equal(c.osds.count, 2);
	assert_null(ceph_osd_find(&c, 4));
	assert_null(ceph_pool_find(&c, 1));
	assert_string_equal(ceph_pool_find(&c, 2)->name, "images");
}

static void a_report_that_is_in_no_order_is_refused(void **state)
{
	struct ceph_osd twice[] = {{.id = 4}, {.id = 4}}, osd = {.id = 4};
	struct ceph_id falling[] = {{7}, {4}}, gone[] = {{2}, {4}};
	struct ceph two[2] = {{0}};
	struct ceph_pool pools[] = {{.id = 2}, {.id = 1}};
	assert_int_equal(REPORT(.osds = {twice, 2}), -EINVAL);
	assert_int_equal(REPORT(.osds = {&osd, 1}, .pools = {pools, 2}), -EINVAL);
	assert_null(ceph_osd_find(&c, 4));
	assert_int_equal(REPORT(.osds_gone = {falling, 2}), -EINVAL);
	assert_int_equal(REPORT(.osds = {&osd, 1}, .osds_gone = {gone, 2}), -EINVAL);
	assert_int_equal(REPORT(.status = {two, 2}), -EINVAL);
}

static void there_are_only_so_many_osds(void **state)
{
	struct ceph_osd *osds = must_alloc((CEPH_OSDS_MAX + 1) * sizeof(*osds));
	struct ceph_id gone = {0};
	for (uint32_t i = 0; i <= CEPH_OSDS_MAX; i++)
		osds[i] = (struct ceph_osd){.id = i};
	assert_int_equal(REPORT(.osds = {osds, CEPH_OSDS_MAX + 1}), -ENOSPC);
	assert_int_equal(REPORT(.osds = {osds, CEPH_OSDS_MAX}), 0);
	assert_int_equal(REPORT(.osds = {osds + CEPH_OSDS_MAX, 1}), -ENOSPC);
	assert_int_equal(REPORT(.osds = {osds + CEPH_OSDS_MAX, 1}, .osds_gone = {&gone, 1}), 0);
	assert_int_equal(c.osds.count, CEPH_OSDS_MAX);
	free(osds);
}

static void it_is_known_since_when_the_health_is_as_it_is(void **state)
{
	assert_int_equal(report_health(CEPH_OK), 0);
	uint64_t since_ms = c.ceph.changed_ms;
	assert_int_equal(since_ms, c.settings.time_ms);
	APPLY(tick, .elapsed_ms = 1000);
	assert_int_equal(report_health(CEPH_OK), 0);
	assert_int_equal(c.ceph.changed_ms, since_ms);
	assert_int_equal(report_health(CEPH_WARNING), 0);
	assert_int_equal(c.ceph.changed_ms, since_ms + 1000);
}

static void ceph_is_in_the_snapshot(void **state)
{
	struct cluster other;
	struct buffer bytes = {0};
	struct ceph_osd osd = {.id = 2, .known = CEPH_OSD_IO, .read_ops = 11};
	cluster_init(&other);
	assert_int_equal(report_health(CEPH_ERROR), 0);
	assert_int_equal(report_osd(osd), 0);
	snapshot_encode(&c, &bytes);
	assert_int_equal(snapshot_decode(&other, bytes.data, bytes.size, &err), 0);
	assert_true(other.hash == c.hash);
	assert_int_equal(other.ceph.health, CEPH_ERROR);
	assert_int_equal(ceph_osd_find(&other, 2)->read_ops, 11);
	buffer_close(&bytes);
	cluster_close(&other);
}

/* What is zero in one replica and not in another would be two values with one meaning. */
static void a_value_with_what_was_never_given_is_refused(void **state)
{
	struct ceph_osd osd = {.id = 2};
	assert_int_equal(report_osd(osd), 0);
	struct ceph_osd *mine = (struct ceph_osd *)(uintptr_t)ceph_osd_find(&c, 2);
	mine->pgs = 3;
	assert_int_equal(check_rules(&c, &err), -EBADMSG);
	assert_string_equal(err.text, "a ceph_osd has what was never given");
}

/* VMs. */

static struct vm *define(uint32_t node)
{
	assert_true(APPLY(vm_define, .name = "web1", .memory_mib = 1024, .vcpus = 1, .node = node,
			.uuid = "00000000-0000-4000-8000-000000000001") > 0);
	assert_int_equal(APPLY(vm_state, .vm = 1, .state = VM_START), 0);
	return cluster_vm(&c, 1);
}

static int give_up(const struct vm *vm, uint32_t node, uint64_t generation)
{
	return APPLY(vm_fail, .node = node, .vm = vm->id, .generation = generation,
	    .reason = "locked", .state = VM_FAIL);
}

static void a_vm_that_its_owner_cannot_start_fails_until_somebody_starts_it(void **state)
{
	struct vm *vm = define(2);
	uint64_t generation = vm->generation;
	assert_int_equal(give_up(vm, 2, generation), 0);
	assert_int_equal(vm->state, VM_FAIL);
	assert_string_equal(vm->failed_reason, "locked");
	assert_true(vm->generation > generation);
	assert_int_equal(APPLY(vm_state, .vm = vm->id, .state = VM_START), 0);
	assert_int_equal(vm->state, VM_START);
	assert_string_equal(vm->failed_reason, "");
}

static void only_the_present_owner_says_that_a_vm_has_failed(void **state)
{
	struct vm *vm = define(2);
	assert_int_equal(give_up(vm, 3, vm->generation), -ESTALE);
	assert_int_equal(give_up(vm, 2, vm->generation - 1), -ESTALE);
	assert_int_equal(vm->state, VM_START);
	assert_int_equal(APPLY(vm_state, .vm = vm->id, .state = VM_STOP), 0);
	assert_int_equal(give_up(vm, 2, vm->generation), -EINVAL);
	assert_int_equal(vm->state, VM_STOP);
}

/* All others were heard meanwhile. */
static void prove_off(uint32_t node)
{
	for (unsigned i = 0; i < 4; i++)
		for (uint32_t other = 1; other <= NODES; other++)
			if (other != node && cluster_node(&c, other)->daemon_state == DAEMON_RUN)
				keepalive(other, NULL, 0);
	assert_int_equal(APPLY(node_fenced, .node = node, .by_hand = true), 0);
}

static void see_running(struct vm *vm)
{
	struct sighting s = {
	    .vm = vm->id, .generation = vm->generation, .observed = OBSERVED_RUNNING};
	keepalive(vm->node, &s, 1);
}

static void who_had_a_vm_and_is_proven_off_is_known_until_it_runs(void **state)
{
	struct vm *vm = define(2);
	see_running(vm);
	assert_int_equal(vm->proven_off[0], 0);
	prove_off(2);
	assert_int_equal(vm->proven_off[0], 2);
	uint32_t second = vm->node;
	assert_int_not_equal(second, 2);
	prove_off(second);
	assert_int_equal(vm->proven_off[0], 2);
	assert_int_equal(vm->proven_off[1], second);
	assert_int_equal(vm->proven_off[2], 0);
	assert_int_not_equal(vm->node, 0);
	see_running(vm);
	assert_int_equal(vm->proven_off[0], 0);
	assert_int_equal(vm->proven_off[1], 0);
}

static void of_many_that_were_proven_off_the_oldest_are_forgotten(void **state)
{
	struct vm *vm = define(2);
	uint32_t off[NODES];
	unsigned n = 0;
	for (; n < PROVEN_OFF_MAX + 2; n++) {
		off[n] = vm->node;
		prove_off(vm->node);
		assert_int_equal(
		    vm->proven_off[n < PROVEN_OFF_MAX ? n : PROVEN_OFF_MAX - 1], off[n]);
	}
	for (unsigned i = 0; i < PROVEN_OFF_MAX; i++)
		assert_int_equal(vm->proven_off[i], off[i + 2]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_cluster, value_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(ceph_is_reported_by_the_primary_of_this_epoch_alone),
	    TEST(what_was_not_given_is_absent),
	    TEST(what_is_not_given_any_more_goes),
	    TEST(what_ceph_has_no_more_leaves_the_value),
	    TEST(a_report_that_is_in_no_order_is_refused),
	    TEST(there_are_only_so_many_osds),
	    TEST(it_is_known_since_when_the_health_is_as_it_is),
	    TEST(ceph_is_in_the_snapshot),
	    TEST(a_value_with_what_was_never_given_is_refused),
	    TEST(a_vm_that_its_owner_cannot_start_fails_until_somebody_starts_it),
	    TEST(only_the_present_owner_says_that_a_vm_has_failed),
	    TEST(who_had_a_vm_and_is_proven_off_is_known_until_it_runs),
	    TEST(of_many_that_were_proven_off_the_oldest_are_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
