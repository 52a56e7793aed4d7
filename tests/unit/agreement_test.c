/* Have the members the same value, and who is wrong if not? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/change.h"
#include "fsm/history.h"
#include "node/agent.h"
#include "node/member/health.h"

#define INDEX 40

static struct cluster c;
static struct agreement agreement;
static struct agent agent;
static uint32_t other;

static int begin(void **state)
{
	struct agent_options options = {.node = 1, .keepalive_interval_ms = 1000};
	cluster_init(&c);
	c.settings.schema = 1;
	agreement = (struct agreement){0};
	agent_init(&agent, &options);
	agent.hello_done = true;
	return 0;
}

static int end(void **state)
{
	agent_close(&agent);
	cluster_close(&c);
	return 0;
}

/* "ccw": nodes 1, 2 and 3: c coordinator, h hypervisor, w witness. */
static void nodes(const char *modes)
{
	for (uint32_t id = 1; modes[id - 1]; id++) {
		struct node *node = must_alloc(sizeof(*node));
		char mode = modes[id - 1];
		node->id = id;
		node->mode = mode == 'c'   ? NODE_COORDINATOR
			     : mode == 'w' ? NODE_WITNESS
					   : NODE_HYPERVISOR;
		node->daemon_state = DAEMON_RUN;
		snprintf(node->name, sizeof(node->name), "hv%u", id);
		change_insert(&c, &c.nodes, node);
	}
	change_settle(&c);
}

/* A digit for what each node has, in order; '.' is silent. The first is the leader. */
static enum agreement_verdict judge(const char *hashes)
{
	struct agreement_voice own = {1, INDEX, (uint64_t)hashes[0]};
	agreement = (struct agreement){0};
	for (uint32_t id = 2; hashes[id - 1]; id++) {
		struct agreement_voice voice = {id, INDEX, (uint64_t)hashes[id - 1]};
		if (hashes[id - 1] != '.')
			agreement_heard(&agreement, &voice);
	}
	return agreement_judge(&agreement, &c, &own, &other);
}

static void most_of_three_are_right(void **state)
{
	nodes("ccc");
	assert_int_equal(judge("777"), AGREEMENT_RIGHT);
	assert_int_equal(judge("77."), AGREEMENT_RIGHT);
	assert_int_equal(judge("778"), AGREEMENT_RIGHT);
	assert_int_equal(judge("788"), AGREEMENT_WRONG);
	assert_int_equal(judge("7.."), AGREEMENT_UNKNOWN);
}

static void one_voice_calls_nobody_wrong(void **state)
{
	nodes("ccc");
	assert_int_equal(judge("78."), AGREEMENT_SPLIT);
	assert_int_equal(other, 2);
	assert_int_equal(judge("789"), AGREEMENT_SPLIT);
}

static void whoever_spoke_last_is_not_who_most_agree_with(void **state)
{
	nodes("ccccc");
	assert_int_equal(judge("78889"), AGREEMENT_WRONG);
	assert_int_equal(judge("79888"), AGREEMENT_WRONG);
}

static void a_leader_alone_is_right(void **state)
{
	nodes("c");
	assert_int_equal(judge("7"), AGREEMENT_RIGHT);
}

static void of_two_nobody_is_right(void **state)
{
	nodes("cc");
	assert_int_equal(judge("77"), AGREEMENT_RIGHT);
	assert_int_equal(judge("78"), AGREEMENT_TIED);
	assert_int_equal(other, 2);
	assert_int_equal(judge("7."), AGREEMENT_UNKNOWN);
}

static void with_half_on_either_side_nobody_is_right(void **state)
{
	nodes("cccc");
	assert_int_equal(judge("7778"), AGREEMENT_RIGHT);
	assert_int_equal(judge("7788"), AGREEMENT_TIED);
	assert_int_equal(judge("7888"), AGREEMENT_WRONG);
	assert_int_equal(judge("7.88"), AGREEMENT_SPLIT);
	assert_int_equal(judge("77.."), AGREEMENT_UNKNOWN);
}

static void a_witness_has_a_voice_and_a_hypervisor_has_none(void **state)
{
	nodes("cwchhh");
	assert_int_equal(judge("788777"), AGREEMENT_WRONG);
	assert_int_equal(judge("77.888"), AGREEMENT_RIGHT);
}

static void what_was_said_of_another_entry_does_not_count(void **state)
{
	struct agreement_voice own = {1, INDEX + 1, '7'};
	nodes("ccc");
	judge("788");
	assert_int_equal(agreement_judge(&agreement, &c, &own, &other), AGREEMENT_UNKNOWN);
}

static void who_left_long_ago_makes_room(void **state)
{
	nodes("ccc");
	for (uint32_t id = 1; id <= 2 * CLUSTER_NODES_MAX; id++)
		agreement_heard(&agreement, &(struct agreement_voice){1000 + id, id, '7'});
	agreement_heard(&agreement, &(struct agreement_voice){2, INDEX * 100, '7'});
	struct agreement_voice own = {1, INDEX * 100, '7'};
	assert_int_equal(agreement_judge(&agreement, &c, &own, &other), AGREEMENT_RIGHT);
}

/* The agent. */

static const struct standing leads = {
    .id = 1, .leader = true, .current = true, .term = 6, .leader_id = 1};

/* An entry at index in which there was a tick. */
static void tick_at(uint64_t index)
{
	struct command command = {.number = COMMAND_tick};
	struct buffer bytes = {0};
	command_encode(&command, &bytes);
	cluster_apply(&c, index, bytes.data, bytes.size, NULL);
	buffer_close(&bytes);
}

static struct agent_turn turn_at(const struct standing *standing, uint64_t now_ms)
{
	struct agent_turn turn;
	struct holding holding = {0};
	agent_turn(&agent, &c, standing, &holding, now_ms, &turn);
	return turn;
}

static bool ticked(const struct agent_turn *turn, struct command_tick *tick)
{
	for (unsigned i = 0; i < turn->count; i++) {
		if (turn->commands[i].number != COMMAND_tick)
			continue;
		*tick = turn->commands[i].tick;
		return true;
	}
	return false;
}

static void sends(uint8_t mark, uint32_t from, uint64_t index, uint64_t hash)
{
	struct buffer bytes = {0};
	buffer_append_u8(&bytes, mark);
	buffer_append_u64(&bytes, index);
	buffer_append_u64(&bytes, hash);
	agent_heard(&agent, from, bytes.data, bytes.size);
	buffer_close(&bytes);
}

static void says(uint32_t from, uint64_t index, uint64_t hash)
{
	sends(AGENT_HASH_MARK, from, index, hash);
}

static void a_follower_tells_the_hash_after_each_tick_once(void **state)
{
	struct standing follows = {.id = 1, .current = true, .term = 6, .leader_id = 2};
	nodes("ccc");
	tick_at(INDEX);
	struct agent_turn t = turn_at(&follows, 10000);
	struct reader in = reader_of(t.hash.data, t.hash.size);
	assert_int_equal(reader_u8(&in), AGENT_HASH_MARK);
	assert_int_equal(reader_u64(&in), INDEX);
	assert_true(reader_u64(&in) == c.hash);
	assert_false(in.failed);
	assert_int_equal(reader_left(&in), 0);
	agent_turn_close(&t);
	t = turn_at(&follows, 10001);
	assert_int_equal(t.hash.size, 0);
	agent_turn_close(&t);
	tick_at(INDEX + 1);
	t = turn_at(&follows, 10002);
	assert_true(t.hash.size > 0);
	agent_turn_close(&t);
}

static void a_tick_tells_only_what_most_have(void **state)
{
	struct command_tick tick = {0};
	nodes("ccc");
	tick_at(INDEX);
	struct agent_turn t = turn_at(&leads, 10000);
	assert_true(ticked(&t, &tick));
	assert_true(tick.hash == 0 && tick.hash_index == c.index);
	agent_turn_close(&t);
	says(3, INDEX, c.hash);
	tick_at(INDEX + 1);
	says(2, INDEX + 1, c.hash);
	t = turn_at(&leads, 11000);
	assert_true(ticked(&t, &tick));
	assert_true(tick.hash == c.hash && tick.hash_index == INDEX + 1);
	agent_turn_close(&t);
}

static void a_leader_that_most_are_against_is_the_one_that_is_wrong(void **state)
{
	struct command_tick tick = {0};
	nodes("ccc");
	tick_at(INDEX);
	says(2, INDEX, c.hash + 1);
	says(3, INDEX, c.hash + 1);
	struct agent_turn t = turn_at(&leads, 10000);
	assert_false(ticked(&t, &tick));
	agent_turn_close(&t);
	assert_int_equal(history_diverged_at(&c), INDEX);
	t = turn_at(&leads, 10001);
	assert_int_equal(t.count, 0);
	assert_false(t.hold);
	agent_turn_close(&t);
}

static const struct collector *replica_collector(void)
{
	for (unsigned i = 0; i < agent.collector_count; i++)
		if (!strcmp(agent.collectors[i].name, HEALTH_REPLICA))
			return &agent.collectors[i];
	return NULL;
}

static void people_are_told_of_two_values_until_there_is_one(void **state)
{
	nodes("ccc");
	tick_at(INDEX);
	says(2, INDEX, c.hash + 1);
	struct agent_turn t = turn_at(&leads, 10000);
	agent_turn_close(&t);
	assert_int_equal(history_diverged_at(&c), 0);
	assert_non_null(replica_collector());
	assert_int_equal(replica_collector()->state, COLLECTOR_STUCK);
	assert_string_equal(replica_collector()->message,
	    "the value of hv2 is another, and too few members answer to say whose is right");
	says(3, INDEX, c.hash);
	t = turn_at(&leads, 11000);
	agent_turn_close(&t);
	assert_int_equal(replica_collector()->state, COLLECTOR_OK);
}

/* Its hash is not for the log: there it would be held against everybody for ever. */
static void of_two_the_leader_gives_its_word(void **state)
{
	struct command_tick tick = {0};
	nodes("cc");
	tick_at(INDEX);
	says(2, INDEX, c.hash + 1);
	struct agent_turn t = turn_at(&leads, 10000);
	assert_true(ticked(&t, &tick));
	assert_true(tick.hash == 0);
	assert_int_equal(t.hash_to, 2);
	struct reader in = reader_of(t.hash.data, t.hash.size);
	assert_int_equal(reader_u8(&in), AGENT_WORD_MARK);
	assert_int_equal(reader_u64(&in), INDEX);
	assert_true(reader_u64(&in) == c.hash);
	agent_turn_close(&t);
	assert_int_equal(history_diverged_at(&c), 0);
}

static void a_follower_stops_at_its_leaders_word_and_nobody_elses(void **state)
{
	struct standing follows = {.id = 1, .current = true, .term = 6, .leader_id = 2};
	nodes("cc");
	tick_at(INDEX);
	sends(AGENT_WORD_MARK, 3, INDEX, c.hash + 1);
	struct agent_turn t = turn_at(&follows, 10000);
	agent_turn_close(&t);
	sends(AGENT_WORD_MARK, 2, INDEX, c.hash);
	t = turn_at(&follows, 10001);
	agent_turn_close(&t);
	sends(AGENT_WORD_MARK, 2, INDEX + 7, c.hash + 1);
	t = turn_at(&follows, 10002);
	agent_turn_close(&t);
	assert_int_equal(history_diverged_at(&c), 0);
	sends(AGENT_WORD_MARK, 2, INDEX, c.hash + 1);
	t = turn_at(&follows, 10003);
	agent_turn_close(&t);
	assert_int_equal(history_diverged_at(&c), INDEX);
}

/* Under load there are more entries between two ticks than whose hashes are all kept. */
static void a_tick_of_long_ago_is_still_compared(void **state)
{
	nodes("ccc");
	tick_at(INDEX);
	uint64_t hash = c.hash;
	for (uint64_t index = INDEX + 1; index < INDEX + 5000; index++) {
		c.index = index;
		history_note(&c);
	}
	history_compare(&c, INDEX, hash);
	assert_int_equal(history_diverged_at(&c), 0);
	history_compare(&c, INDEX, hash + 1);
	assert_int_equal(history_diverged_at(&c), INDEX);
}

static void nobody_speaks_in_anothers_name(void **state)
{
	struct keepalive keepalive = {.node = 2};
	struct buffer bytes = {0};
	buffer_append_u8(&bytes, AGENT_KEEPALIVE_MARK);
	record_encode(keepalive_record(), &keepalive, &bytes);
	agent_heard(&agent, 3, bytes.data, bytes.size);
	assert_int_equal(agent.heard_count, 0);
	agent_heard(&agent, 2, bytes.data, bytes.size);
	assert_int_equal(agent.heard_count, 1);
	buffer_close(&bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(most_of_three_are_right),
	    TEST(one_voice_calls_nobody_wrong),
	    TEST(whoever_spoke_last_is_not_who_most_agree_with),
	    TEST(a_leader_alone_is_right),
	    TEST(of_two_nobody_is_right),
	    TEST(with_half_on_either_side_nobody_is_right),
	    TEST(a_witness_has_a_voice_and_a_hypervisor_has_none),
	    TEST(what_was_said_of_another_entry_does_not_count),
	    TEST(who_left_long_ago_makes_room),
	    TEST(a_follower_tells_the_hash_after_each_tick_once),
	    TEST(a_tick_tells_only_what_most_have),
	    TEST(a_leader_that_most_are_against_is_the_one_that_is_wrong),
	    TEST(people_are_told_of_two_values_until_there_is_one),
	    TEST(of_two_the_leader_gives_its_word),
	    TEST(a_follower_stops_at_its_leaders_word_and_nobody_elses),
	    TEST(a_tick_of_long_ago_is_still_compared),
	    TEST(nobody_speaks_in_anothers_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
