#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "raft/frame.h"
#include "raft/strangers.h"

static int collect(void *data, const uint8_t *bytes, size_t size)
{
	buffer_append_u32(data, (uint32_t)size);
	buffer_append(data, bytes, size);
	return 0;
}

static void frames_come_out_whole_however_they_are_cut(void **state)
{
	static const uint8_t content[40] = "forty bytes of which some are sent";
	struct buffer stream = {0};
	for (size_t size = 0; size < sizeof(content); size += 3)
		frame_append(&stream, content, size);
	for (size_t cut = 1; cut <= stream.size; cut++) {
		struct frames f = {.limit = sizeof(content)};
		struct buffer out = {0};
		for (size_t at = 0; at < stream.size; at += cut) {
			size_t size = stream.size - at < cut ? stream.size - at : cut;
			assert_int_equal(frames_feed(&f, stream.data + at, size, collect, &out), 0);
		}
		assert_int_equal(out.size, stream.size);
		assert_memory_equal(out.data, stream.data, stream.size);
		frames_close(&f);
		buffer_close(&out);
	}
	buffer_close(&stream);
}

static void a_length_over_the_limit_is_refused_before_a_byte_is_kept(void **state)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3};
	struct buffer out = {0};
	for (size_t cut = 1; cut < sizeof(huge); cut++) {
		struct frames f = {.limit = 100};
		int rv = frames_feed(&f, huge, cut, collect, &out);
		if (rv == 0)
			rv = frames_feed(&f, huge + cut, sizeof(huge) - cut, collect, &out);
		assert_int_equal(rv, -EMSGSIZE);
		assert_true(f.partial.capacity <= 64);
		frames_close(&f);
	}
	assert_int_equal(out.size, 0);
}

static void a_frame_may_be_as_large_as_the_limit_and_no_larger(void **state)
{
	static const uint8_t content[101];
	for (size_t size = 100; size <= 101; size++) {
		struct buffer wire = {0};
		frame_append(&wire, content, size);
		/* Whole, and in two pieces, the header cut or not. */
		for (size_t cut = 0; cut <= FRAME_HEADER_SIZE + 1; cut++) {
			struct frames f = {.limit = 100};
			struct buffer out = {0};
			int rv = frames_feed(&f, wire.data, cut, collect, &out);
			if (rv == 0)
				rv = frames_feed(
				    &f, wire.data + cut, wire.size - cut, collect, &out);
			assert_int_equal(rv, size > 100 ? -EMSGSIZE : 0);
			assert_int_equal(out.size > 0, size <= 100);
			frames_close(&f);
			buffer_close(&out);
		}
		buffer_close(&wire);
	}
}

static void memory_follows_what_arrived_not_what_was_announced(void **state)
{
	struct frames f = {.limit = 2u << 20};
	struct buffer out = {0};
	static uint8_t bytes[1000] = {0x00, 0x00, 0x20, 0x00}; /* 2 MiB are to come */
	assert_int_equal(frames_feed(&f, bytes, sizeof(bytes), collect, &out), 0);
	assert_true(f.partial.capacity <= 4096);
	frames_close(&f);
}

static int stop(void *data, const uint8_t *bytes, size_t size)
{
	++*(int *)data;
	return -ESHUTDOWN;
}

static void a_receiver_can_stop_the_stream(void **state)
{
	struct frames f = {.limit = 8};
	struct buffer stream = {0};
	int seen = 0;
	frame_append(&stream, "a", 1);
	frame_append(&stream, "b", 1);
	assert_int_equal(frames_feed(&f, stream.data, stream.size, stop, &seen), -ESHUTDOWN);
	assert_int_equal(seen, 1);
	frames_close(&f);
	buffer_close(&stream);
}

static void strangers_are_told_of_ten_times_then_every_five_seconds(void **state)
{
	struct strangers s = {.since_ms = 1000};
	uint64_t untold = 99;
	for (int i = 0; i < 10; i++) {
		assert_true(strangers_tell(&s, 2000, &untold));
		assert_int_equal(untold, 0);
	}
	for (int i = 0; i < 7; i++)
		assert_false(strangers_tell(&s, 2000, &untold));
	assert_true(strangers_tell(&s, 6000, &untold));
	assert_int_equal(untold, 7);
	assert_false(strangers_tell(&s, 6001, &untold));
	for (int i = 0; i < 10; i++)
		assert_true(strangers_tell(&s, 600000, &untold));
	assert_false(strangers_tell(&s, 600000, &untold));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_come_out_whole_however_they_are_cut),
	    cmocka_unit_test(a_length_over_the_limit_is_refused_before_a_byte_is_kept),
	    cmocka_unit_test(a_frame_may_be_as_large_as_the_limit_and_no_larger),
	    cmocka_unit_test(memory_follows_what_arrived_not_what_was_announced),
	    cmocka_unit_test(a_receiver_can_stop_the_stream),
	    cmocka_unit_test(strangers_are_told_of_ten_times_then_every_five_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
