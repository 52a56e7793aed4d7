/* How many clients are remembered, and which one is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fsm/check.h"
#include "fsm/session.h"

static struct cluster c;

static void apply(struct command command)
{
	struct buffer bytes = {0};
	command_encode(&command, &bytes);
	cluster_apply(&c, c.index + 1, bytes.data, bytes.size, NULL);
	buffer_close(&bytes);
}

static void ask_as(uint64_t client, uint64_t sequence)
{
	apply((struct command){.number = COMMAND_probe, .client = client, .sequence = sequence});
}

static bool remembers(uint64_t client)
{
	return table_find(&c.sessions, &client) != NULL;
}

static void the_client_that_asked_longest_ago_makes_room(void **state)
{
	struct err err = {""};
	cluster_init(&c);
	apply((struct command){.number = COMMAND_found,
	    .found = {.name = "prod", .uuid = "u", .node = "hv1", .schema = 1}});
	ask_as(2, 1);
	ask_as(1, 1);
	apply((struct command){.number = COMMAND_tick, .tick = {.elapsed_ms = 1000}});
	for (uint64_t client = 3; client <= SESSIONS_MAX; client++)
		ask_as(client, 1);
	ask_as(1, 2);
	assert_int_equal(c.sessions.count, SESSIONS_MAX);
	assert_true(remembers(2));
	ask_as(SESSIONS_MAX + 1, 1);
	assert_int_equal(c.sessions.count, SESSIONS_MAX);
	assert_false(remembers(2));
	assert_true(remembers(1) && remembers(3) && remembers(SESSIONS_MAX + 1));
	if (check_cluster(&c, &err))
		fail_msg("%s", err.text);
	cluster_close(&c);
}

/* Of a client that is far ahead of what it asked first. */
static void what_came_late_is_done_and_not_taken_for_what_was_done(void **state)
{
	cluster_init(&c);
	apply((struct command){.number = COMMAND_found,
	    .found = {.name = "prod", .uuid = "u", .node = "hv1", .schema = 1}});
	ask_as(9, 1);
	ask_as(9, 2);
	ask_as(9, 2 + SESSION_WINDOW);
	struct command fact = {.number = COMMAND_fact,
	    .client = 9,
	    .sequence = 1 + SESSION_WINDOW,
	    .fact = {.key = "k", .value = {.data = (uint8_t *)"v", .size = 1}}};
	apply(fact);
	assert_non_null(cluster_fact(&c, "k"));
	cluster_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_client_that_asked_longest_ago_makes_room),
	    cmocka_unit_test(what_came_late_is_done_and_not_taken_for_what_was_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
