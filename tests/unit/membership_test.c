/* Who is in the cluster and what as: the value's rules of joining, promotion and leaving. */
#include <errno.h>

#include "fsm/membership.h"
#include "fsm/primary.h"
#include "tests/unit/value.h"

#define HASH_SIZE 65

static void assert_refused(int result, int expected, const char *text)
{
	assert_int_equal(result, expected);
	assert_string_equal(err.text, text);
	assert_null(strchr(err.text, '\n'));
}

/* The secret's hash, all of one digit. */
static void token(char digit, const char *name, uint64_t valid_ms)
{
	struct command command = {.number = COMMAND_token, .token = {.valid_ms = valid_ms}};
	memset(command.token.hash, digit, HASH_SIZE - 1);
	snprintf(command.token.name, sizeof(command.token.name), "%s", name);
	assert_true(apply(command) > 0);
}

static int join_at(const char *address, const char *name, char digit, enum node_mode mode)
{
	struct command command = {
	    .number = COMMAND_join, .join = {.mode = mode, .hypervisor = true}};
	memset(command.join.hash, digit, HASH_SIZE - 1);
	snprintf(command.join.name, sizeof(command.join.name), "%s", name);
	snprintf(command.join.address, sizeof(command.join.address), "%s:7000", address);
	snprintf(command.join.incarnation, sizeof(command.join.incarnation), "disk of %s", name);
	return apply(command);
}

static int join(const char *name, char digit, enum node_mode mode)
{
	return join_at(name, name, digit, mode);
}

static void add(const char *name, enum node_mode mode)
{
	token('0', "", 60000);
	assert_true(join(name, '0', mode) > 0);
}

/* hv1 the primary and hv2, coordinators; hv3, a hypervisor; w4, a witness. */
static int begin(void **state)
{
	cluster_init(&c);
	assert_int_equal(APPLY(found, .name = "lab", .uuid = "u", .node = "hv1",
			     .address = "hv1:7000", .incarnation = "i1", .schema = 1),
	    1);
	add("hv2", NODE_COORDINATOR);
	add("hv3", NODE_HYPERVISOR);
	add("w4", NODE_WITNESS);
	assert_int_equal(APPLY(takeover, .node = 1, .epoch = 2), 0);
	assert_int_equal(APPLY(primary, .node = 1, .epoch = 2), 0);
	return 0;
}

static int end(void **state)
{
	cluster_close(&c);
	return 0;
}

static enum node_mode mode_of(uint32_t id)
{
	return cluster_node(&c, id)->mode;
}

static int run(uint32_t node)
{
	APPLY(node_hello, .node = node, .hypervisor = true);
	return APPLY(node_state, .node = node, .state = DAEMON_RUN);
}

static void keepalive(uint32_t node)
{
	struct keepalive k = {.node = node, .memory_total_mib = 4096, .sightings_known = true};
	struct command command = {.number = COMMAND_tick, .tick = {.elapsed_ms = 1000}};
	command.tick.keepalives.items = &k;
	command.tick.keepalives.count = 1;
	assert_int_equal(apply(command), 0);
}

static int define(const char *name, uint32_t node)
{
	struct command command = {.number = COMMAND_vm_define,
	    .vm_define = {.memory_mib = 1024, .vcpus = 1, .node = node}};
	snprintf(command.vm_define.name, sizeof(command.vm_define.name), "%s", name);
	snprintf(command.vm_define.uuid, sizeof(command.vm_define.uuid),
	    "00000000-0000-4000-8000-%012zx", strlen(name));
	return apply(command);
}

/* Tokens. */

static void a_token_that_has_expired_says_so(void **state)
{
	token('a', "", 1000);
	APPLY(tick, .elapsed_ms = 1000);
	assert_refused(join("hv5", 'a', NODE_HYPERVISOR), -ETIME,
	    "the join token has expired: make a new one with pvc cluster token");
}

static const char unknown[] =
    "the join token is not known: it was used, has expired, was altered, or is of another cluster";

static void a_token_that_was_used_lets_nobody_else_in(void **state)
{
	token('a', "", 60000);
	assert_int_equal(join("hv5", 'a', NODE_HYPERVISOR), 5);
	assert_refused(join("hv6", 'a', NODE_HYPERVISOR), -EPERM, unknown);
}

static void two_nodes_have_no_address_in_common(void **state)
{
	token('a', "", 60000);
	assert_refused(join_at("hv3", "hv5", 'a', NODE_COORDINATOR), -EEXIST,
	    "hv3 is at hv3:7000 already: give this machine another address, or, if that one is "
	    "lost, run pvc cluster member remove hv3");
	assert_int_equal(join_at("hv5", "hv5", 'a', NODE_COORDINATOR), 5);
	/* Asked again: it is its own. */
	assert_int_equal(join_at("hv5", "hv5", 'a', NODE_COORDINATOR), 5);
}

static void a_token_for_another_node_says_for_which(void **state)
{
	token('a', "hv9", 60000);
	assert_refused(
	    join("hv5", 'a', NODE_HYPERVISOR), -EPERM, "the join token is for node hv9, not hv5");
	assert_int_equal(join("hv9", 'a', NODE_HYPERVISOR), 5);
}

static void a_token_that_was_altered_or_is_of_another_cluster_is_not_known(void **state)
{
	token('a', "", 60000);
	assert_refused(join("hv5", 'b', NODE_HYPERVISOR), -EPERM, unknown);
	assert_int_equal(c.tokens.count, 1);
}

/* What a node is. */

static void a_witness_runs_no_vm_and_is_never_the_primary(void **state)
{
	assert_int_equal(run(4), 0);
	keepalive(4);
	assert_false(cluster_node(&c, 4)->hypervisor);
	assert_refused(
	    define("web1", 4), -EINVAL, "w4 runs no VMs (enable_hypervisor is off there)");
	assert_int_equal(APPLY(takeover, .node = 4, .epoch = 3), -EINVAL);
	assert_refused(
	    APPLY(primary_want, .node = 4), -EINVAL, "w4 is no coordinator but a witness");
	assert_int_equal(c.primary.node, 1);
}

static void a_hypervisor_becomes_a_coordinator_and_one_again(void **state)
{
	assert_int_equal(
	    APPLY(node_mode, .node = 3, .mode = NODE_COORDINATOR, .judged = membership_mark(&c)),
	    0);
	assert_int_equal(mode_of(3), NODE_COORDINATOR);
	assert_int_equal(cluster_node(&c, 3)->coordinator_state, COORDINATOR_SECONDARY);
	assert_int_equal(
	    APPLY(node_mode, .node = 3, .mode = NODE_COORDINATOR, .judged = membership_mark(&c)),
	    0);
	assert_int_equal(
	    APPLY(node_mode, .node = 3, .mode = NODE_HYPERVISOR, .judged = membership_mark(&c)), 0);
	assert_int_equal(mode_of(3), NODE_HYPERVISOR);
	assert_int_equal(cluster_node(&c, 3)->coordinator_state, COORDINATOR_CLIENT);
	assert_int_equal(APPLY(takeover, .node = 3, .epoch = 3), -EINVAL);
}

static void a_witness_stays_one_and_nothing_becomes_one(void **state)
{
	static const char text[] =
	    "w4: what joined as a witness stays one, and nothing else becomes one";
	assert_refused(
	    APPLY(node_mode, .node = 4, .mode = NODE_COORDINATOR, .judged = membership_mark(&c)),
	    -EINVAL, text);
	assert_int_equal(
	    APPLY(node_mode, .node = 3, .mode = NODE_WITNESS, .judged = membership_mark(&c)),
	    -EINVAL);
	assert_int_equal(
	    APPLY(node_mode, .node = 9, .mode = NODE_COORDINATOR, .judged = membership_mark(&c)),
	    -ENOENT);
}

static void the_primary_keeps_its_part(void **state)
{
	static const char text[] = "hv1 is the primary: first pvc node secondary hv1";
	assert_refused(
	    APPLY(node_mode, .node = 1, .mode = NODE_HYPERVISOR, .judged = membership_mark(&c)),
	    -EBUSY, text);
	assert_refused(APPLY(leave, .node = 1, .judged = membership_mark(&c)), -EBUSY, text);
	assert_refused(
	    APPLY(replace, .node = 1, .successor = 3, .judged = membership_mark(&c)), -EBUSY, text);
}

static void who_takes_the_role_over_keeps_its_part_too(void **state)
{
	static const char text[] = "hv2 is the primary: first pvc node secondary hv2";
	assert_int_equal(APPLY(takeover, .node = 2, .epoch = 3), 0);
	assert_refused(APPLY(leave, .node = 2, .judged = membership_mark(&c)), -EBUSY, text);
	assert_refused(
	    APPLY(node_mode, .node = 2, .mode = NODE_HYPERVISOR, .judged = membership_mark(&c)),
	    -EBUSY, text);
}

static void the_only_coordinator_stays_one(void **state)
{
	assert_int_equal(APPLY(takeover, .node = 2, .epoch = 3), 0);
	assert_int_equal(APPLY(primary, .node = 2, .epoch = 3), 0);
	assert_int_equal(APPLY(leave, .node = 1, .judged = membership_mark(&c)), 0);
	assert_refused(
	    APPLY(node_mode, .node = 2, .mode = NODE_HYPERVISOR, .judged = membership_mark(&c)),
	    -EBUSY, "hv2 is the only coordinator: first pvc cluster member promote NODE");
}

/* Its successor would begin while it still holds an address. */
static void who_has_not_let_go_of_the_role_does_not_vanish(void **state)
{
	static const char text[] =
	    "hv1 has not let go of the primary's role yet: ask again when hv2 "
	    "is the primary";
	assert_int_equal(APPLY(takeover, .node = 2, .epoch = 3), 0);
	assert_refused(APPLY(leave, .node = 1, .judged = membership_mark(&c)), -EBUSY, text);
	assert_refused(
	    APPLY(node_mode, .node = 1, .mode = NODE_HYPERVISOR, .judged = membership_mark(&c)),
	    -EBUSY, text);
	assert_refused(
	    APPLY(replace, .node = 1, .successor = 3, .judged = membership_mark(&c)), -EBUSY, text);
	assert_false(primary_may_begin(&c, 2));
	assert_int_equal(APPLY(primary, .node = 2, .epoch = 3), 0);
	assert_int_equal(APPLY(leave, .node = 1, .judged = membership_mark(&c)), 0);
}

static void who_owns_a_vm_does_not_leave(void **state)
{
	assert_int_equal(run(3), 0);
	keepalive(3);
	assert_int_equal(define("web1", 3), 1);
	assert_refused(APPLY(leave, .node = 3, .judged = membership_mark(&c)), -EBUSY,
	    "hv3 still owns the VM web1: first pvc vm move web1 NODE");
	assert_int_equal(APPLY(node_state, .node = 3, .state = DAEMON_STOP), 0);
	assert_refused(APPLY(leave, .node = 3, .judged = membership_mark(&c)), -EBUSY,
	    "hv3 still owns the VM web1: first pvc vm move web1 NODE, or, if the machine is off, "
	    "pvc node fenced hv3 --by-hand");
	assert_int_equal(APPLY(vm_report, .node = 3, .vm = 1, .observed = OBSERVED_SHUTOFF,
			     .generation = cluster_vm(&c, 1)->generation),
	    0);
	assert_int_equal(APPLY(vm_undefine, .vm = 1), 0);
	assert_int_equal(APPLY(leave, .node = 3, .judged = membership_mark(&c)), 0);
}

static void one_takes_the_place_of_another_in_one_step(void **state)
{
	assert_int_equal(
	    APPLY(replace, .node = 2, .successor = 3, .judged = membership_mark(&c)), 0);
	assert_null(cluster_node(&c, 2));
	assert_int_equal(mode_of(3), NODE_COORDINATOR);
	assert_int_equal(cluster_node(&c, 3)->coordinator_state, COORDINATOR_SECONDARY);
}

static void not_everybody_takes_the_place_of_everybody(void **state)
{
	assert_refused(APPLY(replace, .node = 2, .successor = 2, .judged = membership_mark(&c)),
	    -EINVAL, "hv2 cannot take its own place");
	assert_refused(APPLY(replace, .node = 2, .successor = 4, .judged = membership_mark(&c)),
	    -EINVAL, "w4 is a witness and cannot be a coordinator");
	assert_refused(APPLY(replace, .node = 4, .successor = 3, .judged = membership_mark(&c)),
	    -EINVAL, "w4 is no coordinator but a witness: pvc cluster member remove w4");
	assert_refused(APPLY(replace, .node = 2, .successor = 9, .judged = membership_mark(&c)),
	    -ENOENT, "there is no node 9");
	assert_refused(APPLY(replace, .node = 8, .successor = 3, .judged = membership_mark(&c)),
	    -ENOENT, "there is no node 8");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void assert_stale(int result)
{
	assert_refused(result, -ESTALE,
	    "the coordinators or witnesses have changed meanwhile: look at pvc cluster member list "
	    "and ask again");
}

/* Two of four that may vote, each judged while there were four. */
static void a_change_that_was_judged_on_other_members_is_refused(void **state)
{
	uint64_t four = membership_mark(&c);
	add("hv5", NODE_COORDINATOR);
	uint64_t five = membership_mark(&c);
	assert_true(five != four);
	assert_stale(APPLY(leave, .node = 2, .judged = four));
	assert_stale(APPLY(leave, .node = 2));
	assert_int_equal(APPLY(leave, .node = 2, .judged = five), 0);
	assert_stale(APPLY(leave, .node = 4, .judged = five));
	assert_stale(APPLY(node_mode, .node = 5, .mode = NODE_HYPERVISOR, .judged = five));
	assert_stale(APPLY(replace, .node = 5, .successor = 3, .judged = five));
	assert_int_equal(mode_of(5), NODE_COORDINATOR);
}

static void a_witness_that_comes_or_goes_changes_the_judgement(void **state)
{
	uint64_t one = membership_mark(&c);
	add("w5", NODE_WITNESS);
	assert_stale(APPLY(leave, .node = 2, .judged = one));
	assert_int_equal(APPLY(leave, .node = 5, .judged = membership_mark(&c)), 0);
	assert_true(membership_mark(&c) == one);
}

static void a_daemon_that_starts_again_is_no_longer_what_it_was(void **state)
{
	run(2);
	assert_int_equal(cluster_node(&c, 2)->daemon_state, DAEMON_RUN);
	APPLY(node_hello, .node = 2);
	assert_int_equal(cluster_node(&c, 2)->daemon_state, DAEMON_INIT);
}

static void a_node_that_never_votes_changes_no_judgement(void **state)
{
	uint64_t mark = membership_mark(&c);
	add("hv5", NODE_HYPERVISOR);
	assert_int_equal(run(3), 0);
	assert_true(membership_mark(&c) == mark);
	assert_int_equal(APPLY(leave, .node = 5, .judged = mark), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_token_that_has_expired_says_so),
	    TEST(a_token_that_was_used_lets_nobody_else_in),
	    TEST(two_nodes_have_no_address_in_common),
	    TEST(a_token_for_another_node_says_for_which),
	    TEST(a_token_that_was_altered_or_is_of_another_cluster_is_not_known),
	    TEST(a_witness_runs_no_vm_and_is_never_the_primary),
	    TEST(a_hypervisor_becomes_a_coordinator_and_one_again),
	    TEST(a_witness_stays_one_and_nothing_becomes_one),
	    TEST(the_primary_keeps_its_part),
	    TEST(who_takes_the_role_over_keeps_its_part_too),
	    TEST(the_only_coordinator_stays_one),
	    TEST(who_has_not_let_go_of_the_role_does_not_vanish),
	    TEST(who_owns_a_vm_does_not_leave),
	    TEST(one_takes_the_place_of_another_in_one_step),
	    TEST(not_everybody_takes_the_place_of_everybody),
	    TEST(a_change_that_was_judged_on_other_members_is_refused),
	    TEST(a_witness_that_comes_or_goes_changes_the_judgement),
	    TEST(a_node_that_never_votes_changes_no_judgement),
	    TEST(a_daemon_that_starts_again_is_no_longer_what_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
