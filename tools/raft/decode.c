/* pvc raft decode: an entry, a batch or an operation on standard input, told for people.
 *
 * What it is is found by trying, the strictest first: a batch has a padding and an operation
 * must be used up to its last byte, so that what fits is hardly anything else. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "node/operation/entry_json.h"
#include "node/operation/json.h"
#include "raft/batch.h"
#include "raft/configuration.h"
#include "raft/segment.h"
#include "tools/answer.h"
#include "tools/cli.h"
#include "tools/raft/decode.h"

#define INPUT_MAX (64u << 20)

static int digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hex digits with blanks, colons or an 0x before them. False: it is none. */
static bool read_hex(const struct buffer *text, struct buffer *bytes)
{
	int high = -1;
	size_t at = text->size > 2 && text->data[0] == '0' && (text->data[1] | 0x20) == 'x' ? 2 : 0;
	for (; at < text->size; at++) {
		uint8_t c = text->data[at];
		int low = digit(c);
		if (low < 0 && (!c || !strchr(" \t\r\n:", c)))
			return false;
		if (low < 0)
			continue;
		if (high >= 0)
			buffer_append_u8(bytes, (uint8_t)(high << 4 | low));
		high = high < 0 ? low : -1;
	}
	return high < 0 && bytes->size;
}

static json_t *batch_json(const uint8_t *bytes, size_t size)
{
	const uint8_t *operation;
	size_t length;
	json_t *list = json_array();
	struct batch_reader in = batch_read(bytes, size);
	while (batch_next(&in, &operation, &length))
		json_array_append_new(list, entry_operation(operation, length, ENTRY_WHOLE, NULL));
	return list;
}

/* Is this a batch, and at least one of its operations known? Bytes that happen to look like one
 * are common: an operation of an unknown number is told apart from rubbish by this alone. */
static bool is_batch(const uint8_t *bytes, size_t size)
{
	const uint8_t *operation;
	size_t length;
	struct command command;
	if (!size || !batch_valid(bytes, size))
		return false;
	struct batch_reader in = batch_read(bytes, size);
	while (batch_next(&in, &operation, &length)) {
		if (command_decode(&command, operation, length))
			continue;
		command_clear(&command);
		return true;
	}
	return false;
}

static bool is_operation(const uint8_t *bytes, size_t size)
{
	struct command command;
	if (command_decode(&command, bytes, size))
		return false;
	command_clear(&command);
	return true;
}

static json_t *members_json(const uint8_t *bytes, size_t size)
{
	struct configuration c;
	json_t *list = json_array();
	if (configuration_decode(bytes, size, &c))
		c.n = 0;
	for (unsigned i = 0; i < c.n; i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:o}", "command", "member", "text",
			      json_sprintf("member %llu=%s %s", (unsigned long long)c.members[i].id,
				  c.members[i].address,
				  state_name(member_role_names, c.members[i].role))));
	return list;
}

static json_t *told(const char *what, json_t *list)
{
	return json_pack(
	    "{s:s, s:s, s:o}", "schema", "raft-decode/1", "what", what, "operations", list);
}

/* An entry as it stands in a segment, with its header; NULL: it is none. */
static json_t *entry_json(const uint8_t *bytes, size_t size)
{
	struct configuration c;
	struct reader in = reader_of(bytes, size);
	uint64_t term = reader_u64(&in);
	uint32_t length = reader_u32(&in), type = reader_u32(&in);
	const uint8_t *data = reader_bytes(&in, length);
	json_t *json = NULL;
	if (!data || reader_left(&in) > 7 || size % 8 || !term)
		return NULL;
	if (type == DISK_COMMAND && batch_valid(data, length))
		json = told("command", batch_json(data, length));
	else if (type == DISK_CHANGE && !configuration_decode(data, length, &c))
		json = told("change", members_json(data, length));
	else if (type == DISK_BARRIER && length == 8)
		json = told("barrier", json_array());
	if (json)
		json_object_set_new(json, "term", json_u64(term));
	return json;
}

json_t *decode_bytes(const uint8_t *bytes, size_t size)
{
	struct configuration c;
	json_t *json = size >= SEGMENT_ENTRY_SIZE ? entry_json(bytes, size) : NULL;
	if (json)
		return json;
	if (is_operation(bytes, size))
		return told(
		    "operation", json_pack("[o]", entry_operation(bytes, size, ENTRY_WHOLE, NULL)));
	if (is_batch(bytes, size))
		return told("batch", batch_json(bytes, size));
	if (!configuration_decode(bytes, size, &c))
		return told("configuration", members_json(bytes, size));
	return NULL;
}

json_t *decode_text(const struct buffer *text)
{
	struct buffer bytes = {0};
	json_t *json = read_hex(text, &bytes) ? decode_bytes(bytes.data, bytes.size) : NULL;
	buffer_close(&bytes);
	return json ? json : decode_bytes(text->data, text->size);
}

static int read_input(struct buffer *text, struct err *err)
{
	char bytes[16384];
	size_t n;
	while ((n = fread(bytes, 1, sizeof(bytes), stdin))) {
		buffer_append(text, bytes, n);
		if (text->size > INPUT_MAX)
			return err_set(err, -EFBIG, "more than %u MiB", INPUT_MAX >> 20);
	}
	if (ferror(stdin))
		return err_set(err, -EIO, "standard input: %s", strerror(errno));
	return text->size ? 0 : err_set(err, -ENODATA, "nothing on standard input");
}

static void print(const json_t *json)
{
	size_t i;
	const json_t *operation, *term = json_object_get(json, "term");
	printf("%s", json_string_value(json_object_get(json, "what")));
	if (term)
		printf(" of term %" JSON_INTEGER_FORMAT, json_integer_value(term));
	putchar('\n');
	json_array_foreach(json_object_get(json, "operations"), i, operation)
	    printf("  %s\n", json_string_value(json_object_get(operation, "text")));
}

int raft_decode(const struct raft_call *call)
{
	struct buffer text = {0};
	struct err err;
	int result = read_input(&text, &err);
	json_t *json = result ? NULL : decode_text(&text);
	if (!result && !json)
		result = err_set(&err, -EBADMSG,
		    "%zu bytes that are no entry, batch, operation or configuration, in hex or "
		    "binary",
		    text.size);
	buffer_close(&text);
	if (result)
		return raft_fail(call, result, &err);
	if (call->json)
		answer_json(json, JSON_INDENT(2));
	else
		print(json);
	json_decref(json);
	return CLI_DONE;
}
