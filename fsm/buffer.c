#include "fsm/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *must_alloc(size_t size)
{
	void *memory = calloc(1, size ? size : 1);
	if (!memory)
		abort();
	return memory;
}

void *must_realloc(void *memory, size_t size)
{
	memory = realloc(memory, size ? size : 1);
	if (!memory)
		abort();
	return memory;
}

static uint8_t *buffer_reserve(struct buffer *b, size_t more)
{
	if (b->capacity - b->size < more) {
		size_t capacity = b->capacity ? b->capacity * 2 : 64;
		while (capacity - b->size < more)
			capacity *= 2;
		b->data = must_realloc(b->data, capacity);
		b->capacity = capacity;
	}
	return b->data + b->size;
}

void buffer_append(struct buffer *b, const void *bytes, size_t size)
{
	if (size == 0)
		return;
	memcpy(buffer_reserve(b, size), bytes, size);
	b->size += size;
}

void buffer_append_u8(struct buffer *b, uint8_t value)
{
	*buffer_reserve(b, 1) = value;
	b->size++;
}

void buffer_append_u32(struct buffer *b, uint32_t value)
{
	uint8_t bytes[4];
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	buffer_append(b, bytes, sizeof(bytes));
}

void buffer_append_u64(struct buffer *b, uint64_t value)
{
	buffer_append_u32(b, (uint32_t)value);
	buffer_append_u32(b, (uint32_t)(value >> 32));
}

void buffer_append_varint(struct buffer *b, uint64_t value)
{
	uint8_t *out = buffer_reserve(b, 10);
	size_t n = 0;
	while (value >= 0x80) {
		out[n++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	out[n++] = (uint8_t)value;
	b->size += n;
}

void buffer_print(struct buffer *b, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int need = vsnprintf(NULL, 0, format, args);
	if (need > 0) {
		char *out = (char *)buffer_reserve(b, (size_t)need + 1);
		vsnprintf(out, (size_t)need + 1, format, again);
		b->size += (size_t)need;
	}
	va_end(again);
	va_end(args);
}

void buffer_close(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){0};
}

const uint8_t *reader_bytes(struct reader *r, size_t size)
{
	if (r->failed || r->size - r->at < size) {
		r->failed = true;
		return NULL;
	}
	const uint8_t *bytes = r->data + r->at;
	r->at += size;
	return bytes;
}

uint8_t reader_u8(struct reader *r)
{
	const uint8_t *byte = reader_bytes(r, 1);
	return byte ? *byte : 0;
}

uint32_t reader_u32(struct reader *r)
{
	const uint8_t *bytes = reader_bytes(r, 4);
	if (!bytes)
		return 0;
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

uint64_t reader_u64(struct reader *r)
{
	uint64_t low = reader_u32(r);
	return low | (uint64_t)reader_u32(r) << 32;
}

uint64_t reader_varint(struct reader *r)
{
	uint64_t value = 0;
	for (int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = reader_u8(r);
		if (r->failed)
			return 0;
		bool too_wide = shift == 63 && byte > 1;
		bool not_shortest = byte == 0 && shift > 0;
		if (too_wide || not_shortest)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	r->failed = true;
	return 0;
}

size_t reader_left(const struct reader *r)
{
	return r->failed ? 0 : r->size - r->at;
}

void buffer_append_text(struct buffer *b, const char *text)
{
	size_t size = strlen(text);
	buffer_append_varint(b, size);
	buffer_append(b, text, size);
}

void reader_text(struct reader *r, char *text, size_t max)
{
	uint64_t size = reader_varint(r);
	const uint8_t *bytes = size < max ? reader_bytes(r, (size_t)size) : NULL;
	if (!bytes || memchr(bytes, '\0', (size_t)size)) {
		r->failed = true;
		return;
	}
	memcpy(text, bytes, (size_t)size);
	text[size] = '\0';
}
