#include "node/worker/console_wire.h"

#include <errno.h>

void console_query_encode(struct buffer *b, const struct console_query *query)
{
	buffer_append_u8(b, (uint8_t)query->from);
	buffer_append_u64(b, query->mark);
	buffer_append_u32(b, query->lines_max);
	buffer_append_text(b, query->path);
}

int console_query_decode(struct reader *r, struct console_query *query)
{
	*query = (struct console_query){0};
	uint8_t from = reader_u8(r);
	query->from = from == CONSOLE_FOLLOW ? CONSOLE_FOLLOW : CONSOLE_LAST;
	query->mark = reader_u64(r);
	query->lines_max = reader_u32(r);
	reader_text(r, query->path, sizeof(query->path));
	bool right = !r->failed && !reader_left(r) && from == query->from && *query->path;
	return right ? 0 : -EPROTO;
}

void console_sight_encode(struct buffer *b, const struct console_sight *sight)
{
	buffer_append_u64(b, sight->mark);
	buffer_append_u8(b, sight->more);
	buffer_append(b, sight->lines.data, sight->lines.size);
}

int console_sight_decode(struct reader *r, struct console_sight *sight)
{
	*sight = (struct console_sight){.mark = reader_u64(r)};
	uint8_t more = reader_u8(r);
	size_t size = reader_left(r);
	if (r->failed || more > 1 || sight->mark > INT64_MAX)
		return -EPROTO;
	sight->more = more;
	buffer_append(&sight->lines, reader_bytes(r, size), size);
	return 0;
}
