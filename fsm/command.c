#include "fsm/command.h"

#include <errno.h>
#include <string.h>

#include "fsm/fields_table.def"
#define COMMAND(number, name, ...)                                                                 \
	static RECORD_TABLE(command_##name, command_##name##_record, __VA_ARGS__)
#include "fsm/command.def"

#define PREFIX_SIZE (sizeof("command_") - 1)

const struct record *command_record(unsigned number)
{
	switch (number) {
#define COMMAND(number, name, ...)                                                                 \
	case number:                                                                               \
		return command_##name##_record();
#include "fsm/command.def"
	default:
		return NULL;
	}
}

/* Every member of the union starts where the first one does. */
static void *command_fields(const struct command *command)
{
	return (void *)(uintptr_t)&command->tick;
}

void command_encode(const struct command *command, struct buffer *out)
{
	buffer_append_varint(out, command->client);
	buffer_append_varint(out, command->sequence);
	buffer_append_varint(out, command->number);
	record_encode(command_record(command->number), command_fields(command), out);
}

int command_decode(struct command *command, const uint8_t *bytes, size_t size)
{
	struct reader in = reader_of(bytes, size);
	memset(command, 0, sizeof(*command));
	command->client = reader_varint(&in);
	command->sequence = reader_varint(&in);
	uint64_t number = reader_varint(&in);
	if (in.failed)
		return -EBADMSG;
	const struct record *record =
	    number < COMMAND_NUMBER_END ? command_record((unsigned)number) : NULL;
	if (!record)
		return -ENOTSUP;
	command->number = (enum command_number)number;
	if (record_decode(record, &in, command_fields(command)))
		return -EBADMSG;
	if (reader_left(&in) == 0)
		return 0;
	command_clear(command);
	return -EBADMSG;
}

void command_clear(struct command *command)
{
	const struct record *record = command_record(command->number);
	if (record)
		record_clear(record, command_fields(command));
}

void command_print(const struct command *command, struct buffer *out)
{
	command_print_named(command, NULL, out);
}

void command_print_named(
    const struct command *command, const struct record_names *names, struct buffer *out)
{
	const struct record *record = command_record(command->number);
	buffer_print(out, "%s ", record->name + PREFIX_SIZE);
	record_print_named(record, command_fields(command), names, out);
}
