/* Commands: what is encoded decodes to the same, everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/command.h"

static void a_command_prints_as_people_read_it(void **state)
{
	struct command command = {.number = COMMAND_takeover, .takeover = {.node = 2, .epoch = 41}};
	struct buffer out = {0};
	command_print(&command, &out);
	buffer_append_u8(&out, 0);
	assert_string_equal((char *)out.data, "takeover node=2 epoch=41");
	buffer_close(&out);
}

static void a_secret_is_never_printed(void **state)
{
	struct command command = {
	    .number = COMMAND_token, .token = {.name = "hv2", .hash = "abcdef"}};
	struct buffer out = {0};
	command_print(&command, &out);
	buffer_append_u8(&out, 0);
	assert_null(strstr((char *)out.data, "abcdef"));
	assert_non_null(strstr((char *)out.data, "hash=***"));
	buffer_close(&out);
}

static void a_tick_with_lists_comes_back_the_same(void **state)
{
	struct sighting sightings[] = {{.vm = 7, .generation = 9, .observed = OBSERVED_RUNNING}};
	struct keepalive keepalive = {.node = 3, .memory_total_mib = 4096, .sightings_known = true};
	keepalive.sightings.items = sightings;
	keepalive.sightings.count = 1;
	struct command command = {.number = COMMAND_tick, .client = 5, .sequence = 6};
	command.tick.elapsed_ms = 1000;
	command.tick.keepalives.items = &keepalive;
	command.tick.keepalives.count = 1;
	struct buffer out = {0}, again = {0};
	command_encode(&command, &out);
	struct command back;
	assert_int_equal(command_decode(&back, out.data, out.size), 0);
	assert_int_equal(back.tick.keepalives.items[0].sightings.items[0].generation, 9);
	command_encode(&back, &again);
	assert_int_equal(again.size, out.size);
	assert_memory_equal(again.data, out.data, out.size);
	command_clear(&back);
	buffer_close(&out);
	buffer_close(&again);
}

static void every_cut_of_a_command_is_refused(void **state)
{
	struct command command = {.number = COMMAND_vm_define};
	snprintf(command.vm_define.name, sizeof(command.vm_define.name), "web1");
	command.vm_define.xml = (struct blob){.data = (uint8_t *)"<domain/>", .size = 9};
	struct buffer out = {0};
	command_encode(&command, &out);
	for (size_t size = 0; size < out.size; size++) {
		struct command back;
		assert_int_not_equal(command_decode(&back, out.data, size), 0);
	}
	buffer_append_u8(&out, 0);
	struct command back;
	assert_int_equal(command_decode(&back, out.data, out.size), -EBADMSG);
	buffer_close(&out);
}

static void a_number_that_there_is_not_is_told_from_garbage(void **state)
{
	const uint8_t newer[] = {0, 0, 0xff, 0x7f};
	const uint8_t padded[] = {0x80, 0x00, 0, 1};
	struct command back;
	assert_int_equal(command_decode(&back, newer, sizeof(newer)), -ENOTSUP);
	assert_int_equal(command_decode(&back, padded, sizeof(padded)), -EBADMSG);
}

/* Any bytes are refused or are the encoding of what they decode to. */
static void random_bytes_decode_to_themselves_or_not_at_all(void **state)
{
	unsigned decoded = 0;
	srandom(1);
	for (unsigned round = 0; round < 200000; round++) {
		uint8_t bytes[24];
		size_t size = (size_t)random() % sizeof(bytes);
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(random() % 3 ? random() % 24 : random());
		struct command back;
		if (command_decode(&back, bytes, size))
			continue;
		decoded++;
		struct buffer out = {0};
		command_encode(&back, &out);
		assert_int_equal(out.size, size);
		assert_memory_equal(out.data, bytes, size);
		buffer_close(&out);
		command_clear(&back);
	}
	assert_true(decoded > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_command_prints_as_people_read_it),
	    cmocka_unit_test(a_secret_is_never_printed),
	    cmocka_unit_test(a_tick_with_lists_comes_back_the_same),
	    cmocka_unit_test(every_cut_of_a_command_is_refused),
	    cmocka_unit_test(a_number_that_there_is_not_is_told_from_garbage),
	    cmocka_unit_test(random_bytes_decode_to_themselves_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
