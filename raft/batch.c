#include "raft/batch.h"

void batch_add(struct batch *b, const uint8_t *operation, size_t size)
{
	buffer_append_varint(&b->operations, size);
	buffer_append(&b->operations, operation, size);
	b->n++;
}

void batch_encode(const struct batch *b, struct buffer *out)
{
	size_t start = out->size;
	buffer_append_varint(out, b->n);
	buffer_append(out, b->operations.data, b->operations.size);
	while ((out->size - start) % 8)
		buffer_append_u8(out, 0);
}

void batch_close(struct batch *b)
{
	buffer_close(&b->operations);
	b->n = 0;
}

struct batch_reader batch_read(const uint8_t *bytes, size_t size)
{
	struct batch_reader r = {.in = reader_of(bytes, size)};
	r.left = reader_varint(&r.in);
	return r;
}

bool batch_next(struct batch_reader *r, const uint8_t **operation, size_t *size)
{
	if (r->left == 0 || r->in.failed)
		return false;
	r->left--;
	*size = reader_varint(&r->in);
	*operation = reader_bytes(&r->in, *size);
	return !r->in.failed;
}

bool batch_valid(const uint8_t *bytes, size_t size)
{
	struct batch_reader r = batch_read(bytes, size);
	const uint8_t *operation;
	size_t length;
	while (batch_next(&r, &operation, &length))
		;
	if (r.in.failed || size % 8 || reader_left(&r.in) >= 8)
		return false;
	while (reader_left(&r.in))
		if (reader_u8(&r.in) != 0)
			return false;
	return true;
}
