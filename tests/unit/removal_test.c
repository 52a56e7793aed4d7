/* When a node finds that it was removed from the cluster, and when it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fsm/change.h"
#include "node/removal.h"

static struct cluster c;
static struct removal_watch watch;
static struct removal_view view;

/* Nodes 1 and 2 of three that were given out; this was node 3, and is a stand-by. */
static int begin(void **state)
{
	cluster_init(&c);
	c.settings.schema = 1;
	c.settings.next_node = 4;
	for (uint32_t id = 1; id <= 2; id++) {
		struct node *node = must_alloc(sizeof(*node));
		node->id = id;
		change_insert(&c, &c.nodes, node);
	}
	watch = (struct removal_watch){0};
	view = (struct removal_view){.cluster = &c, .id = 3, .current = true, .connected = 2};
	return 0;
}

static int end(void **state)
{
	cluster_close(&c);
	return 0;
}

static void a_node_of_the_value_goes_on(void **state)
{
	view.id = 2;
	assert_int_equal(removal_judge(&watch, &view, 1000), REMOVAL_NONE);
	view.current = false;
	view.connected = 0;
	assert_int_equal(removal_judge(&watch, &view, 100000), REMOVAL_NONE);
}

static void a_newcomer_whose_value_is_behind_is_not_taken_for_removed(void **state)
{
	c.settings.next_node = 3;
	assert_int_equal(removal_judge(&watch, &view, 1000), REMOVAL_NONE);
	c.settings.schema = 0;
	c.settings.next_node = 0;
	assert_int_equal(removal_judge(&watch, &view, 1000), REMOVAL_NONE);
}

static void a_stand_by_that_was_removed_ends_at_once(void **state)
{
	assert_int_equal(removal_judge(&watch, &view, 1000), REMOVAL_DONE);
}

static void a_voter_that_was_removed_votes_while_it_is_asked(void **state)
{
	view.votes = true;
	assert_int_equal(removal_judge(&watch, &view, 1000), REMOVAL_VOTES);
	assert_int_equal(removal_judge(&watch, &view, 90000), REMOVAL_VOTES);
	view.current = false;
	assert_int_equal(removal_judge(&watch, &view, 90000 + REMOVAL_ALONE_MS - 1), REMOVAL_VOTES);
	view.current = true;
	assert_int_equal(removal_judge(&watch, &view, 94000), REMOVAL_VOTES);
	view.current = false;
	assert_int_equal(removal_judge(&watch, &view, 94001), REMOVAL_VOTES);
	assert_int_equal(removal_judge(&watch, &view, 94000 + REMOVAL_ALONE_MS), REMOVAL_DONE);
}

static void who_is_refused_by_all_that_it_reaches_says_so_and_goes_on(void **state)
{
	view = (struct removal_view){.cluster = &c, .id = 2, .refusing = 1};
	assert_int_equal(removal_judge(&watch, &view, 1000), REMOVAL_NONE);
	assert_int_equal(removal_judge(&watch, &view, 1000 + REMOVAL_REFUSED_MS - 1), REMOVAL_NONE);
	assert_int_equal(removal_judge(&watch, &view, 1000 + REMOVAL_REFUSED_MS), REMOVAL_REFUSED);
	view.connected = 1;
	assert_int_equal(removal_judge(&watch, &view, 50000), REMOVAL_NONE);
	view.connected = 0;
	assert_int_equal(removal_judge(&watch, &view, 50001), REMOVAL_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_node_of_the_value_goes_on),
	    TEST(a_newcomer_whose_value_is_behind_is_not_taken_for_removed),
	    TEST(a_stand_by_that_was_removed_ends_at_once),
	    TEST(a_voter_that_was_removed_votes_while_it_is_asked),
	    TEST(who_is_refused_by_all_that_it_reaches_says_so_and_goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
