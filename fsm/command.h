/* Commands: what the log's operations say. One struct for each line of
 * command.def, a tag, and functions that go by the table.
 *
 * An operation, as it stands in the log, is
 *   varint client, varint sequence, varint number, the command's fields
 * client and sequence make it at-most-once (session.h); client 0 is the leader
 * speaking for the cluster and needs no mark. */
#ifndef FSM_COMMAND_H
#define FSM_COMMAND_H

#include "fsm/record.h"

#include "fsm/fields_struct.def"
#define COMMAND(number, name, ...)                                                                 \
	struct command_##name {                                                                    \
		__VA_ARGS__                                                                        \
	};
#include "fsm/command.def"

enum command_number {
	COMMAND_NONE,
#define COMMAND(number, name, ...) COMMAND_##name = number,
#include "fsm/command.def"
	COMMAND_NUMBER_END,
};

struct command {
	uint64_t client;
	uint64_t sequence;
	enum command_number number;
	union {
#define COMMAND(number, name, ...) struct command_##name name;
#include "fsm/command.def"
	};
};

/* The table of a command's fields; NULL for a number that there is not. */
const struct record *command_record(unsigned number);

void command_encode(const struct command *command, struct buffer *out);

/* 0; -EBADMSG: not an operation; -ENOTSUP: a number that this version does not know. All
 * bytes must be used up. On success command owns its lists and blobs. */
int command_decode(struct command *command, const uint8_t *bytes, size_t size);

void command_clear(struct command *command);

/* "takeover node=2 epoch=41" */
void command_print(const struct command *command, struct buffer *out);
/* "takeover node=hv2 epoch=41"; names as record_print_named(). */
void command_print_named(
    const struct command *command, const struct record_names *names, struct buffer *out);

#endif
