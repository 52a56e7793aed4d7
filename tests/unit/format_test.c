/* What is on the disks of others is laid out as format.def says, or has a number of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <string.h>

#include "fsm/command.h"
#include "fsm/hash.h"
#include "fsm/snapshot.h"

#define DEPTH 8 /* records within records */

static void describe_fields(const struct record *record, struct buffer *out)
{
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		buffer_print(out, " %s:%d:%u", f->name, (int)f->type, f->max);
		for (unsigned k = 0; f->names && f->names[k]; k++)
			buffer_print(out, "|%s", f->names[k]);
	}
}

/* A record and what its lists hold, by their order. */
static void describe(const struct record *record, struct buffer *out)
{
	const struct record *due[DEPTH] = {record};
	for (unsigned n = 1, at = 0; at < n; at++) {
		buffer_print(out, "%s", due[at]->name);
		describe_fields(due[at], out);
		buffer_print(out, "\n");
		for (uint32_t i = 0; i < due[at]->count; i++) {
			if (!due[at]->fields[i].element)
				continue;
			assert_in_range(n, 1, DEPTH - 1);
			due[n++] = due[at]->fields[i].element();
		}
	}
}

static uint64_t fingerprint(struct buffer *text)
{
	uint64_t hash = hash_bytes(0, text->data, text->size);
	buffer_close(text);
	return hash;
}

static uint64_t records_fingerprint(void)
{
	struct buffer text = {0};
#define RECORD(name, ...) describe(name##_record(), &text);
#include "fsm/record.def"
	return fingerprint(&text);
}

static uint64_t command_fingerprint(unsigned number)
{
	struct buffer text = {0};
	describe(command_record(number), &text);
	return fingerprint(&text);
}

static void a_snapshot_of_another_layout_has_another_format(void **state)
{
	uint64_t now = records_fingerprint();
	unsigned newest = 0;
	uint64_t written = 0;
#define SNAPSHOT(number, hash)                                                                     \
	assert_true(number > newest);                                                              \
	newest = number;                                                                           \
	written = hash;
#define COMMAND(number, hash)
#include "fsm/format.def"
	if (written != now)
		fail_msg("the records of record.def have changed: raise SNAPSHOT_FORMAT "
			 "(fsm/snapshot.h), and add SNAPSHOT(%u, 0x%016" PRIx64
			 ") to fsm/format.def",
		    newest + 1, now);
	if (newest != SNAPSHOT_FORMAT)
		fail_msg("raise SNAPSHOT_FORMAT (fsm/snapshot.h) to %u", newest);
}

static uint64_t command_written(unsigned number)
{
	switch (number) {
#define SNAPSHOT(number, hash)
#define COMMAND(number, hash)                                                                      \
	case number:                                                                               \
		return hash;
#include "fsm/format.def"
	default:
		return 0;
	}
}

/* Returns whether it is as it was. */
static bool command_look(unsigned number)
{
	uint64_t written = command_written(number);
	uint64_t now = command_record(number) ? command_fingerprint(number) : 0;
	if (now == written)
		return true;
	if (!now)
		print_error("command %u is gone: a number is never taken back\n", number);
	else if (!written)
		print_error("%s is new: its line is COMMAND(%u, 0x%016" PRIx64 ")\n",
		    command_record(number)->name, number, now);
	else
		print_error("%s has changed, and number %u is in others' logs: leave it as it was "
			    "and add a command (never released? COMMAND(%u, 0x%016" PRIx64 "))\n",
		    command_record(number)->name, number, number, now);
	return false;
}

static void a_command_number_keeps_its_meaning(void **state)
{
	unsigned differ = 0;
	for (unsigned number = 1; number < COMMAND_NUMBER_END; number++)
		differ += !command_look(number);
	if (differ)
		fail_msg("%u commands are not as fsm/format.def says", differ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_snapshot_of_another_layout_has_another_format),
	    cmocka_unit_test(a_command_number_keeps_its_meaning),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
