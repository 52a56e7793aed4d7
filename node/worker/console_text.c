#include "node/worker/console_text.h"

#include <string.h>

#include "fsm/text.h"

#define ESCAPE	  0x1b
#define BELL	  0x07
#define TAB_WIDTH 8u

/* How long the line is that begins there, with its end; 0: that has not come yet. */
static size_t line_size(const uint8_t *bytes, size_t size)
{
	size_t most = size <= CONSOLE_LINE_MAX ? size : CONSOLE_LINE_MAX + 1;
	const uint8_t *end = memchr(bytes, '\n', most);
	if (end)
		return (size_t)(end - bytes) + 1;
	return most > CONSOLE_LINE_MAX ? CONSOLE_LINE_MAX : 0;
}

/* How long the sequence is that begins with an escape (ECMA-48). A string, such as a title, goes on
 * to a bell or to the next escape; others have parameters and then one last byte. */
static size_t escape_size(const uint8_t *bytes, size_t size)
{
	uint8_t kind = size > 1 ? bytes[1] : 0;
	bool string = kind == ']' || kind == 'P' || kind == '^' || kind == '_';
	size_t at = kind == '[' || string ? 2 : 1;
	for (; at < size; at++) {
		bool last = bytes[at] >= (kind == '[' ? 0x40 : 0x30) && bytes[at] <= 0x7e;
		if (string && bytes[at] == ESCAPE)
			return at;
		if (string ? bytes[at] == BELL : last)
			return at + 1;
	}
	return size;
}

static void append_tab(struct buffer *line)
{
	do
		buffer_append_u8(line, ' ');
	while (line->size % TAB_WIDTH);
}

/* A carriage return in the middle begins the line anew, on a terminal; here both can be read. */
static void append_clean(struct buffer *line, const uint8_t *bytes, size_t size)
{
	while (size && (bytes[size - 1] == '\n' || bytes[size - 1] == '\r'))
		size--;
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == ESCAPE)
			i += escape_size(bytes + i, size - i) - 1;
		else if (bytes[i] == '\t')
			append_tab(line);
		else if (bytes[i] == '\r')
			buffer_append_u8(line, ' ');
		else if (bytes[i] >= ' ' && bytes[i] != 0x7f)
			buffer_append_u8(line, bytes[i]);
	}
	buffer_append_u8(line, '\0');
	text_clean((char *)line->data, '?');
}

static void append_line(struct buffer *out, const uint8_t *bytes, size_t size)
{
	struct buffer line = {0};
	append_clean(&line, bytes, size);
	buffer_append(out, line.data, strlen((const char *)line.data));
	buffer_append_u8(out, '\n');
	buffer_close(&line);
}

size_t console_lines(const struct reader *bytes, enum console_end end, struct buffer *out)
{
	const uint8_t *data = bytes->data;
	size_t at = 0;
	while (at < bytes->size) {
		size_t size = line_size(data + at, bytes->size - at);
		if (!size && end == CONSOLE_END_WHOLE)
			size = bytes->size - at;
		if (!size)
			break;
		append_line(out, data + at, size);
		at += size;
	}
	return at;
}

/* Forward, because a line that is cut is several lines. */
size_t console_tail(const uint8_t *bytes, size_t size, unsigned lines_max)
{
	size_t lines = 0, at = 0;
	for (size_t i = 0; i < size; lines++) {
		size_t one = line_size(bytes + i, size - i);
		i += one ? one : size - i;
	}
	for (; lines > lines_max; lines--)
		at += line_size(bytes + at, size - at);
	return at;
}
