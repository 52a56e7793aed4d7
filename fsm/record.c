#include "fsm/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/ceph.h"
#include "fsm/text.h"

#include "fsm/fields_table.def"
#define RECORD(name, ...) RECORD_TABLE(name, name##_record, __VA_ARGS__)
#include "fsm/record.def"

static void *member(const struct field *f, const void *object)
{
	return (char *)(uintptr_t)object + f->offset;
}

static void encode_list(const struct field *f, const struct list *list, struct buffer *out)
{
	const struct record *element = f->element();
	if (list->count > f->max)
		abort();
	buffer_append_varint(out, list->count);
	for (uint32_t i = 0; i < list->count; i++)
		record_encode(element, (char *)list->items + (size_t)i * element->size, out);
}

static void encode_bytes(const void *bytes, uint32_t size, struct buffer *out)
{
	buffer_append_varint(out, size);
	buffer_append(out, bytes, size);
}

static void encode_field(const struct field *f, const void *at, struct buffer *out)
{
	switch (f->type) {
	case FIELD_U32:
	case FIELD_STATE:
		buffer_append_varint(out, *(const uint32_t *)at);
		break;
	case FIELD_U64:
		buffer_append_varint(out, *(const uint64_t *)at);
		break;
	case FIELD_BOOL:
		buffer_append_varint(out, *(const bool *)at);
		break;
	case FIELD_TEXT:
		encode_bytes(at, (uint32_t)strnlen(at, f->max - 1), out);
		break;
	case FIELD_BLOB: {
		const struct blob *blob = at;
		if (blob->size > f->max)
			abort();
		encode_bytes(blob->data, blob->size, out);
		break;
	}
	case FIELD_LIST:
		encode_list(f, at, out);
		break;
	case FIELD_U32S:
		for (uint32_t i = 0; i < f->max; i++)
			buffer_append_varint(out, ((const uint32_t *)at)[i]);
		break;
	}
}

/* Records hold lists of records, at most three deep (tick, keepalive,
 * sighting); the depth is that of the .def files, never of the input. */
void record_encode(const struct record *record, const void *object, struct buffer *out)
{
	for (uint32_t i = 0; i < record->count; i++)
		encode_field(&record->fields[i], member(&record->fields[i], object), out);
}

static unsigned state_count(const char *const names[])
{
	unsigned n = 0;
	while (names[n])
		n++;
	return n;
}

static void decode_u32(struct reader *in, uint32_t *value, uint64_t limit)
{
	uint64_t wide = reader_varint(in);
	if (wide > limit)
		in->failed = true;
	else
		*value = (uint32_t)wide;
}

static void decode_text(const struct field *f, struct reader *in, char *text)
{
	uint64_t size = reader_varint(in);
	if (size >= f->max)
		in->failed = true;
	const uint8_t *bytes = in->failed ? NULL : reader_bytes(in, size);
	if (!bytes)
		return;
	if (memchr(bytes, 0, size))
		in->failed = true;
	else
		memcpy(text, bytes, size);
}

static void decode_blob(const struct field *f, struct reader *in, struct blob *blob)
{
	uint64_t size = reader_varint(in);
	if (size > f->max)
		in->failed = true;
	const uint8_t *bytes = in->failed ? NULL : reader_bytes(in, size);
	if (!bytes || size == 0)
		return;
	blob->data = must_alloc(size);
	memcpy(blob->data, bytes, size);
	blob->size = (uint32_t)size;
}

static void decode_list(const struct field *f, struct reader *in, struct list *list)
{
	const struct record *element = f->element();
	uint64_t count = reader_varint(in);
	/* An element takes a byte at least: no count can make us allocate more than a
	 * fixed multiple of what was sent. */
	if (count > f->max || count > reader_left(in)) {
		in->failed = true;
		return;
	}
	if (count == 0)
		return;
	list->items = must_alloc(count * element->size);
	for (; list->count < count; list->count++) {
		char *item = (char *)list->items + (size_t)list->count * element->size;
		if (record_decode(element, in, item))
			return;
	}
}

static void decode_field(const struct field *f, struct reader *in, void *at)
{
	uint32_t flag = 0;
	switch (f->type) {
	case FIELD_U32:
		decode_u32(in, at, UINT32_MAX);
		break;
	case FIELD_STATE:
		decode_u32(in, at, state_count(f->names) - 1);
		break;
	case FIELD_U64:
		*(uint64_t *)at = reader_varint(in);
		break;
	case FIELD_BOOL:
		decode_u32(in, &flag, 1);
		*(bool *)at = flag;
		break;
	case FIELD_TEXT:
		decode_text(f, in, at);
		break;
	case FIELD_BLOB:
		decode_blob(f, in, at);
		break;
	case FIELD_LIST:
		decode_list(f, in, at);
		break;
	case FIELD_U32S:
		for (uint32_t i = 0; i < f->max; i++)
			decode_u32(in, (uint32_t *)at + i, UINT32_MAX);
		break;
	}
}

int record_decode(const struct record *record, struct reader *in, void *object)
{
	memset(object, 0, record->size);
	for (uint32_t i = 0; i < record->count && !in->failed; i++)
		decode_field(&record->fields[i], in, member(&record->fields[i], object));
	if (!in->failed)
		return 0;
	record_clear(record, object);
	return -EBADMSG;
}

static size_t field_size(const struct field *f)
{
	switch (f->type) {
	case FIELD_U32:
	case FIELD_STATE:
		return sizeof(uint32_t);
	case FIELD_U64:
		return sizeof(uint64_t);
	case FIELD_BOOL:
		return sizeof(bool);
	case FIELD_TEXT:
		return f->max;
	case FIELD_BLOB:
		return sizeof(struct blob);
	case FIELD_LIST:
		return sizeof(struct list);
	case FIELD_U32S:
		return f->max * sizeof(uint32_t);
	}
	return 0;
}

static void clear_list(const struct field *f, struct list *list)
{
	const struct record *element = f->element();
	for (uint32_t i = 0; i < list->count; i++)
		record_clear(element, (char *)list->items + (size_t)i * element->size);
	free(list->items);
}

void record_clear(const struct record *record, void *object)
{
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		void *at = member(f, object);
		if (f->type == FIELD_BLOB)
			free(((struct blob *)at)->data);
		else if (f->type == FIELD_LIST)
			clear_list(f, at);
		memset(at, 0, field_size(f));
	}
}

uint32_t *record_known(const struct record *record, void *object)
{
	for (uint32_t i = 0; i < record->count; i++)
		if (!strcmp(record->fields[i].name, "known"))
			return member(&record->fields[i], object);
	return NULL;
}

bool record_has(const struct record *record, const void *object, const struct field *field)
{
	return !field->group || *record_known(record, (void *)(uintptr_t)object) & field->group;
}

void record_trim(const struct record *record, void *object)
{
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		if (!record_has(record, object, f))
			memset(member(f, object), 0, field_size(f));
	}
}

void record_merge(const struct record *record, void *object, const void *from)
{
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		if (f->group && record_has(record, from, f))
			memcpy(member(f, object), member(f, from), field_size(f));
	}
	*record_known(record, object) |= *record_known(record, (void *)(uintptr_t)from);
}

bool record_same(const struct record *record, const void *a, const void *b)
{
	struct buffer one = {0}, other = {0};
	record_encode(record, a, &one);
	record_encode(record, b, &other);
	bool same = one.size == other.size && !memcmp(one.data, other.data, one.size);
	buffer_close(&one);
	buffer_close(&other);
	return same;
}

static void print_text(const char *text, struct buffer *out)
{
	bool quote = !*text || strpbrk(text, " =\"\\") || !text_is_plain(text);
	if (!quote) {
		buffer_print(out, "%s", text);
		return;
	}
	buffer_append_u8(out, '"');
	while (*text) {
		size_t size = text_character(text);
		if (*text == '"' || *text == '\\')
			buffer_append_u8(out, '\\');
		if (size)
			buffer_append(out, text, size);
		else
			buffer_print(out, "\\x%02x", (unsigned char)*text);
		text += size ? size : 1;
	}
	buffer_append_u8(out, '"');
}

static void print_list(const struct field *f, const struct list *list,
    const struct record_names *names, struct buffer *out)
{
	const struct record *element = f->element();
	buffer_print(out, "[");
	for (uint32_t i = 0; i < list->count; i++) {
		buffer_print(out, i ? "; " : "");
		record_print_named(
		    element, (char *)list->items + (size_t)i * element->size, names, out);
	}
	buffer_print(out, "]");
}

static void print_numbers(const struct field *f, const uint32_t *numbers, struct buffer *out)
{
	buffer_print(out, "[");
	for (uint32_t i = 0; i < f->max; i++)
		buffer_print(out, "%s%" PRIu32, i ? " " : "", numbers[i]);
	buffer_print(out, "]");
}

static void print_id(
    const struct field *f, uint32_t id, const struct record_names *names, struct buffer *out)
{
	const char *name = names && id ? names->name(names->data, f->name, id) : NULL;
	if (name)
		print_text(name, out);
	else
		buffer_print(out, "%" PRIu32, id);
}

static void print_field(
    const struct field *f, const void *at, const struct record_names *names, struct buffer *out)
{
	buffer_print(out, "%s=", f->name);
	switch (f->secret ? FIELD_TEXT : f->type) {
	case FIELD_U32:
		print_id(f, *(const uint32_t *)at, names, out);
		break;
	case FIELD_U64:
		buffer_print(out, "%" PRIu64, *(const uint64_t *)at);
		break;
	case FIELD_BOOL:
		buffer_print(out, "%s", *(const bool *)at ? "yes" : "no");
		break;
	case FIELD_STATE:
		buffer_print(out, "%s", state_name(f->names, *(const uint32_t *)at));
		break;
	case FIELD_TEXT:
		print_text(f->secret ? "***" : at, out);
		break;
	case FIELD_BLOB:
		buffer_print(out, "<%" PRIu32 " bytes>", ((const struct blob *)at)->size);
		break;
	case FIELD_LIST:
		print_list(f, at, names, out);
		break;
	case FIELD_U32S:
		print_numbers(f, at, out);
		break;
	}
}

void record_print(const struct record *record, const void *object, struct buffer *out)
{
	record_print_named(record, object, NULL, out);
}

void record_print_named(const struct record *record, const void *object,
    const struct record_names *names, struct buffer *out)
{
	for (uint32_t i = 0; i < record->count; i++) {
		const struct field *f = &record->fields[i];
		if (!record_has(record, object, f))
			continue;
		if (i)
			buffer_append_u8(out, ' ');
		print_field(f, member(f, object), names, out);
	}
}
