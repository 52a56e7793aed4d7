/* One node asks another: what is answered, what is refused, what never comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/forward.h"

struct wire { /* what one side sent, not yet delivered */
	struct buffer bytes;
	uint64_t to;
};

static struct cluster value;
static struct context contexts[3];
static struct forward *sides[3];
static struct wire wires[3];
static uint64_t clock_ms;
static int status;
static unsigned answers;
static json_t *answer;
static char why[ERR_TEXT_MAX];

static uint64_t now(void *data)
{
	return clock_ms;
}

static struct replica *no_replica(void *data)
{
	return NULL;
}

static const char *no_trouble(void *data)
{
	return "";
}

static void keep(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	struct wire *wire = data;
	wire->to = to;
	wire->bytes.size = 0;
	buffer_append(&wire->bytes, bytes, size);
}

/* Bring what `from` sent to whom it was meant for. */
static void deliver(unsigned from)
{
	struct buffer bytes = wires[from].bytes;
	wires[from].bytes = (struct buffer){0};
	forward_received(sides[wires[from].to], from, bytes.data, bytes.size);
	buffer_close(&bytes);
}

static void done(void *data, int result, json_t *json, const struct err *err)
{
	answers++;
	status = result;
	json_decref(answer);
	answer = json;
	if (result < 0)
		memcpy(why, err->text, sizeof(why));
}

static int open_sides(void **state)
{
	clock_ms = 1000;
	answers = 0;
	status = 0;
	cluster_init(&value);
	for (unsigned i = 1; i <= 2; i++) {
		contexts[i] = (struct context){.id = i,
		    .cluster = &value,
		    .now_ms = now,
		    .replica = no_replica,
		    .trouble = no_trouble};
		struct forward_options options = {
		    .context = &contexts[i], .send = keep, .data = &wires[i]};
		sides[i] = forward_new(&options);
	}
	return 0;
}

static int close_sides(void **state)
{
	for (unsigned i = 1; i <= 2; i++) {
		forward_free(sides[i]);
		buffer_close(&wires[i].bytes);
	}
	json_decref(answer);
	answer = NULL;
	cluster_close(&value);
	return 0;
}

static void ask(const char *name)
{
	struct operation_call call = {
	    .operation = operation_named(name), .arguments = json_object()};
	forward_ask(sides[1], 2, &call, done, NULL);
	json_decref(call.arguments);
}

static void what_may_be_read_is_answered(void **state)
{
	ask("vm list");
	deliver(1);
	deliver(2);
	assert_int_equal(answers, 1);
	assert_int_equal(status, 0);
	assert_true(json_is_array(answer));
}

static void what_changes_something_is_refused(void **state)
{
	ask("maintenance off");
	deliver(1);
	deliver(2);
	assert_int_equal(status, -EPERM);
}

/* It has no log here to change: that it was tried is enough. */
static void what_members_may_ask_of_each_other_is_tried(void **state)
{
	struct operation_call call = {.operation = operation_named("raft transfer")};
	assert_true(call.operation->access != ACCESS_READ);
	call.arguments = json_pack("{s:s}", "node", "hv2");
	forward_ask(sides[1], 2, &call, done, NULL);
	json_decref(call.arguments);
	deliver(1);
	deliver(2);
	assert_int_equal(status, -EIO);
}

static void a_question_may_have_a_deadline_of_its_own(void **state)
{
	struct operation_call call = {.operation = operation_named("vm list"), .answer_ms = 700};
	call.arguments = json_object();
	forward_ask(sides[1], 2, &call, done, NULL);
	json_decref(call.arguments);
	assert_int_equal(forward_turn(sides[1], clock_ms), clock_ms + 700);
	forward_turn(sides[1], clock_ms + 699);
	assert_int_equal(answers, 0);
	forward_turn(sides[1], clock_ms + 700);
	assert_int_equal(status, -ETIMEDOUT);
}

static void an_answer_that_does_not_come_is_given_up(void **state)
{
	ask("vm list");
	assert_int_equal(forward_turn(sides[1], clock_ms), clock_ms + FORWARD_TIMEOUT_MS);
	forward_turn(sides[1], clock_ms + FORWARD_TIMEOUT_MS);
	assert_int_equal(status, -ETIMEDOUT);
	/* One that comes after all is for nobody. */
	deliver(1);
	deliver(2);
	assert_int_equal(answers, 1);
}

static void only_the_node_that_was_asked_can_answer(void **state)
{
	ask("vm list");
	deliver(1);
	forward_received(sides[1], 3, wires[2].bytes.data, wires[2].bytes.size);
	assert_int_equal(answers, 0);
	deliver(2);
	assert_int_equal(answers, 1);
}

static void too_many_questions_are_refused_at_once(void **state)
{
	for (unsigned i = 0; i < FORWARD_UNDER_WAY_MAX; i++)
		ask("vm list");
	assert_int_equal(answers, 0);
	ask("vm list");
	assert_int_equal(answers, 1);
	assert_int_equal(status, -EAGAIN);
}

static void add_large_fact(unsigned number)
{
	struct fact *fact = must_alloc(sizeof(*fact));
	snprintf(fact->key, sizeof(fact->key), "%u", number);
	fact->value.size = BLOB_MAX;
	fact->value.data = must_alloc(BLOB_MAX);
	memset(fact->value.data, 'x', BLOB_MAX);
	table_insert(&value.facts, fact);
}

static void an_answer_that_no_frame_holds_is_said_to_be_too_large(void **state)
{
	for (unsigned i = 0; i < FORWARD_MESSAGE_MAX / BLOB_MAX; i++)
		add_large_fact(i);
	ask("fact list");
	deliver(1);
	assert_true(wires[2].bytes.size <= FORWARD_MESSAGE_MAX);
	deliver(2);
	assert_int_equal(status, -EMSGSIZE);
}

static void any_bytes_are_survived(void **state)
{
	ask("vm list");
	struct buffer good = {0};
	buffer_append(&good, wires[1].bytes.data, wires[1].bytes.size);
	for (size_t size = 0; size <= good.size; size++)
		forward_received(sides[2], 1, good.data, size);
	for (size_t at = 0; at < good.size; at++) {
		good.data[at] ^= 0x15;
		forward_received(sides[2], 1, good.data, good.size);
		forward_received(sides[1], 2, good.data, good.size);
		good.data[at] ^= 0x15;
	}
	buffer_close(&good);
	assert_true(answers <= 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_sides, close_sides)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_may_be_read_is_answered),
	    TEST(what_changes_something_is_refused),
	    TEST(what_members_may_ask_of_each_other_is_tried),
	    TEST(a_question_may_have_a_deadline_of_its_own),
	    TEST(an_answer_that_does_not_come_is_given_up),
	    TEST(only_the_node_that_was_asked_can_answer),
	    TEST(too_many_questions_are_refused_at_once),
	    TEST(an_answer_that_no_frame_holds_is_said_to_be_too_large),
	    TEST(any_bytes_are_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
