#include "node/operation/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/operation/mask.h"

json_t *json_u64(uint64_t value)
{
	char digits[24];
	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(digits, sizeof(digits), "%" PRIu64, value);
	return json_string(digits);
}

json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	if (json)
		return json;
	size_t size = strlen(text);
	char *shown = must_alloc(size + 1);
	for (size_t i = 0; i < size; i++)
		shown[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	shown[size] = 0;
	json = json_string(shown);
	free(shown);
	return json;
}

json_t *json_bytes(const uint8_t *bytes, size_t size)
{
	json_t *text =
	    size && !memchr(bytes, 0, size) ? json_stringn((const char *)bytes, size) : NULL;
	if (text || !size)
		return text ? text : json_string("");
	char *hex = must_alloc(2 * size + 1);
	for (size_t i = 0; i < size; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	json_t *json = json_pack("{s:s#}", "hex", hex, (int)(2 * size));
	free(hex);
	return json;
}

static json_t *blob_to_json(const struct blob *blob)
{
	struct buffer shown = {0};
	mask_passwords(blob->data, blob->size, &shown);
	json_t *json = json_bytes(shown.data, shown.size);
	buffer_close(&shown);
	return json;
}

static json_t *list_to_json(const struct field *f, const struct list *list)
{
	const struct record *element = f->element();
	json_t *json = json_array();
	for (uint32_t i = 0; i < list->count; i++)
		json_array_append_new(
		    json, json_record(element, (char *)list->items + (size_t)i * element->size));
	return json;
}

static json_t *numbers_to_json(const struct field *f, const uint32_t *numbers)
{
	json_t *json = json_array();
	for (uint32_t i = 0; i < f->max; i++)
		json_array_append_new(json, json_integer(numbers[i]));
	return json;
}

static json_t *field_to_json(const struct field *f, const void *at)
{
	if (f->secret)
		return json_null();
	switch (f->type) {
	case FIELD_U32:
		return json_integer(*(const uint32_t *)at);
	case FIELD_U64:
		return json_u64(*(const uint64_t *)at);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)at);
	case FIELD_STATE:
		return json_string(state_name(f->names, *(const uint32_t *)at));
	case FIELD_TEXT:
		return json_text(at);
	case FIELD_BLOB:
		return blob_to_json(at);
	case FIELD_LIST:
		return list_to_json(f, at);
	case FIELD_U32S:
		return numbers_to_json(f, at);
	}
	return json_null();
}

static void fields_to_json(const struct record *record, const void *object, json_t *json)
{
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		if (record_has(record, object, f))
			json_object_set_new(
			    json, f->name, field_to_json(f, (const char *)object + f->offset));
	}
}

json_t *json_record(const struct record *record, const void *object)
{
	json_t *json = json_object();
	fields_to_json(record, object, json);
	return json;
}

json_t *json_command(const struct command *command)
{
	const struct record *record = command_record(command->number);
	json_t *json = json_object();
	json_object_set_new(json, "command", json_string(record->name + strlen("command_")));
	/* Every member of the union starts where the first one does. */
	fields_to_json(record, &command->tick, json);
	return json;
}

static int number_read(const json_t *json, uint64_t limit, uint64_t *value)
{
	if (json_is_integer(json)) {
		if (json_integer_value(json) < 0 || (uint64_t)json_integer_value(json) > limit)
			return -EINVAL;
		*value = (uint64_t)json_integer_value(json);
		return 0;
	}
	const char *digits = json_string_value(json);
	if (!digits || !*digits || strlen(digits) > 20 || digits[strspn(digits, "0123456789")])
		return -EINVAL;
	errno = 0;
	*value = strtoull(digits, NULL, 10);
	return errno || *value > limit ? -EINVAL : 0;
}

static int u32_read(const json_t *json, uint32_t *value)
{
	uint64_t wide;
	if (number_read(json, UINT32_MAX, &wide))
		return -EINVAL;
	*value = (uint32_t)wide;
	return 0;
}

static int text_read(const struct field *f, const json_t *json, char *text)
{
	size_t size = json_string_length(json);
	if (!json_is_string(json) || size >= f->max || strlen(json_string_value(json)) != size)
		return -EINVAL;
	memcpy(text, json_string_value(json), size);
	return 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_read(const struct field *f, const json_t *json, struct blob *blob)
{
	size_t digits = json_string_length(json);
	const char *hex = json_string_value(json);
	if (!hex || digits % 2 || digits / 2 > f->max || digits == 0)
		return -EINVAL;
	blob->data = must_alloc(digits / 2);
	blob->size = (uint32_t)(digits / 2);
	for (size_t i = 0; i < digits / 2; i++) {
		int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		blob->data[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int blob_read(const struct field *f, const json_t *json, struct blob *blob)
{
	if (json_is_object(json))
		return hex_read(f, json_object_get(json, "hex"), blob);
	size_t size = json_string_length(json);
	if (!json_is_string(json) || size > f->max)
		return -EINVAL;
	if (!size)
		return 0;
	blob->data = must_alloc(size);
	blob->size = (uint32_t)size;
	memcpy(blob->data, json_string_value(json), size);
	return 0;
}

static int list_read(const struct field *f, const json_t *json, struct list *list, struct err *err)
{
	const struct record *element = f->element();
	if (!json_is_array(json) || json_array_size(json) > f->max)
		return err_set(err, -EINVAL, "not a list of at most %" PRIu32, f->max);
	if (!json_array_size(json))
		return 0;
	list->items = must_alloc(json_array_size(json) * element->size);
	for (; list->count < json_array_size(json); list->count++) {
		char *item = (char *)list->items + (size_t)list->count * element->size;
		int result =
		    json_record_read(element, json_array_get(json, list->count), item, err);
		if (result)
			return err_wrap(err, result, "[%" PRIu32 "]", list->count);
	}
	return 0;
}

static int numbers_read(const struct field *f, const json_t *json, uint32_t *numbers)
{
	if (!json_is_array(json) || json_array_size(json) != f->max)
		return -EINVAL;
	for (uint32_t i = 0; i < f->max; i++)
		if (u32_read(json_array_get(json, i), &numbers[i]))
			return -EINVAL;
	return 0;
}

static int state_read(const struct field *f, const json_t *json, uint32_t *state)
{
	int value = json_is_string(json) ? state_value(f->names, json_string_value(json)) : -1;
	if (value < 0)
		return -EINVAL;
	*state = (uint32_t)value;
	return 0;
}

static int field_read(const struct field *f, const json_t *json, void *at, struct err *err)
{
	err_set(err, 0, "a value that it cannot have");
	switch (f->type) {
	case FIELD_U32:
		return u32_read(json, at);
	case FIELD_U64:
		return number_read(json, UINT64_MAX, at);
	case FIELD_BOOL:
		*(bool *)at = json_is_true(json);
		return json_is_boolean(json) ? 0 : -EINVAL;
	case FIELD_STATE:
		return state_read(f, json, at);
	case FIELD_TEXT:
		return text_read(f, json, at);
	case FIELD_BLOB:
		return blob_read(f, json, at);
	case FIELD_LIST:
		return list_read(f, json, at, err);
	case FIELD_U32S:
		return numbers_read(f, json, at);
	}
	return -EINVAL;
}

static int fields_read(
    const struct record *record, const json_t *json, void *object, struct err *err)
{
	size_t known = 0;
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		const json_t *value = json_object_get(json, f->name);
		known += value != NULL;
		if (!value || (f->secret && json_is_null(value)))
			continue;
		int result = field_read(f, value, (char *)object + f->offset, err);
		if (result)
			return err_wrap(err, result, "%s", f->name);
	}
	if (known != json_object_size(json))
		return err_set(err, -EINVAL, "%s: a field that there is not", record->name);
	return 0;
}

int json_record_read(const struct record *record, const json_t *json, void *object, struct err *err)
{
	memset(object, 0, record->size);
	if (!json_is_object(json))
		return err_set(err, -EINVAL, "%s: not an object", record->name);
	int result = fields_read(record, json, object, err);
	if (result)
		record_clear(record, object);
	return result;
}

json_t *json_lines(const struct buffer *text)
{
	json_t *list = json_array();
	const char *at = (const char *)text->data;
	size_t left = text->size;
	while (left > 0) {
		const char *end = memchr(at, '\n', left);
		size_t size = end ? (size_t)(end - at) : left;
		json_t *line = json_stringn(at, size);
		json_array_append_new(list, line ? line : json_string("(not UTF-8)"));
		size += end != NULL;
		at += size;
		left -= size;
	}
	return list;
}
