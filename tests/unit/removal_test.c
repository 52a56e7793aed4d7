/* When a node finds that it was removed from the cluster, and when it ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "fsm/change.h"
#include "node/member/removal.h"

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
	view = (struct removal_view){.cluster = &c, .id = 3, .current = true};
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

static void who_is_refused_and_hears_no_leader_asks_itself_why_and_goes_on(void **state)
{
	/* Others that were removed may be connected: that proves nothing. */
	view = (struct removal_view){.cluster = &c, .id = 2, .refusing = 1};
	assert_int_equal(removal_judge(&watch, &view, 1000), REMOVAL_NONE);
	assert_int_equal(removal_judge(&watch, &view, 1000 + REMOVAL_REFUSED_MS - 1), REMOVAL_NONE);
	assert_int_equal(removal_judge(&watch, &view, 1000 + REMOVAL_REFUSED_MS), REMOVAL_REFUSED);
	view.current = true;
	assert_int_equal(removal_judge(&watch, &view, 50000), REMOVAL_NONE);
	view.current = false;
	assert_int_equal(removal_judge(&watch, &view, 50001), REMOVAL_NONE);
}

static void who_is_told_ends_unless_it_hears_a_leader(void **state)
{
	view = (struct removal_view){.cluster = &c, .id = 2, .refusing = 1, .teller = 1};
	view.current = true;
	assert_int_equal(removal_judge(&watch, &view, 1000), REMOVAL_TOLD);
	assert_int_equal(removal_judge(&watch, &view, 90000), REMOVAL_TOLD);
	view.current = false;
	assert_int_equal(removal_judge(&watch, &view, 90000 + REMOVAL_ALONE_MS - 1), REMOVAL_TOLD);
	assert_int_equal(removal_judge(&watch, &view, 90000 + REMOVAL_ALONE_MS), REMOVAL_DONE);
	assert_int_equal(watch.teller, 1);
	/* It was taken for a member again. */
	view.teller = view.refusing = 0;
	assert_int_equal(removal_judge(&watch, &view, 95000), REMOVAL_NONE);
	assert_int_equal(watch.teller, 0);
}

static void to_be_refused_for_long_does_not_shorten_the_time_once_told(void **state)
{
	view = (struct removal_view){.cluster = &c, .id = 2, .refusing = 1};
	removal_judge(&watch, &view, 1000);
	assert_int_equal(removal_judge(&watch, &view, 90000), REMOVAL_REFUSED);
	view.teller = 1;
	assert_int_equal(removal_judge(&watch, &view, 90001), REMOVAL_TOLD);
	assert_int_equal(removal_judge(&watch, &view, 90001 + REMOVAL_ALONE_MS), REMOVAL_DONE);
}

static void how_it_was_found_out_is_there_to_be_read_afterwards(void **state)
{
	char directory[] = "/tmp/removal-XXXXXX", note[REMOVAL_NOTE_MAX];
	assert_non_null(mkdtemp(directory));
	assert_int_equal(removal_note_read(directory, note), -ENOENT);
	watch.teller = 7;
	assert_int_equal(removal_note_write(&watch, directory, NULL), 0);
	assert_int_equal(removal_note_read(directory, note), 0);
	assert_string_equal(note, "node 7 said so");
	removal_note_remove(directory);
	assert_int_equal(removal_note_read(directory, note), -ENOENT);
	assert_int_equal(rmdir(directory), 0);
	assert_true(removal_note_write(&watch, directory, NULL) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_node_of_the_value_goes_on),
	    TEST(a_newcomer_whose_value_is_behind_is_not_taken_for_removed),
	    TEST(a_stand_by_that_was_removed_ends_at_once),
	    TEST(a_voter_that_was_removed_votes_while_it_is_asked),
	    TEST(who_is_refused_and_hears_no_leader_asks_itself_why_and_goes_on),
	    TEST(who_is_told_ends_unless_it_hears_a_leader),
	    TEST(to_be_refused_for_long_does_not_shorten_the_time_once_told),
	    TEST(how_it_was_found_out_is_there_to_be_read_afterwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
