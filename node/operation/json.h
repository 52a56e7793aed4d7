/* Records of the value and commands of the log as JSON, by the table that they
 * are written down in (fsm/record.h).
 *
 * A state is its name; a blob is text, or {"hex": "..."} when it is no UTF-8; an
 * integer above 2^63 - 1, which JSON readers cannot hold, is a text of digits;
 * secrets are null, and passwords in a blob *** (mask.h). */
#ifndef NODE_OPERATION_JSON_H
#define NODE_OPERATION_JSON_H

#include <jansson.h>

#include "fsm/command.h"
#include "fsm/err.h"

/* For json_dumps() and its like: 0.6 and not 0.59999999999999998. */
#define JSON_SHORT JSON_REAL_PRECISION(9)

/* A new reference, like all json_t that functions of ours return. */
json_t *json_record(const struct record *record, const void *object);

/* {"command": "takeover", "node": 2, "epoch": 41} */
json_t *json_command(const struct command *command);

/* The way back into object, which is overwritten. Fields that are not named are
 * zero. Returns 0, or -EINVAL with err naming the field, and then object is all zeros;
 * on success it owns its lists and blobs (record_clear). */
int json_record_read(
    const struct record *record, const json_t *json, void *object, struct err *err);

/* bytes as a JSON string, or {"hex": "..."}. */
json_t *json_bytes(const uint8_t *bytes, size_t size);
json_t *json_u64(uint64_t value);

/* Text that nobody promised to be UTF-8: what is not is shown as '?'. */
json_t *json_text(const char *text);

/* Text of many lines as a list of them, without their newlines. */
json_t *json_lines(const struct buffer *text);

#endif
