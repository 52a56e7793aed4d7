#include "raft/snapshot_file.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>

#include "raft/checksum.h"

#define SNAPSHOT_MAGIC	0x70616e7374667270ull /* "prftsnap" */
#define SNAPSHOT_FORMAT 1
#define CHUNK_MAX	(1u << 20) /* bytes of data in one chunk */
#define DATA_MAX	(1ull << 30) /* more is no value of ours */

static void chunk_encode(const uint8_t *data, uint32_t size, struct buffer *out)
{
	int bound = LZ4_compressBound((int)size);
	char *packed = must_alloc((size_t)bound);
	int n = LZ4_compress_default((const char *)data, packed, (int)size, bound);
	buffer_append_u32(out, size);
	/* Stored as it is when that is no longer: then both sizes are the same. */
	if (n > 0 && (uint32_t)n < size) {
		buffer_append_u32(out, (uint32_t)n);
		buffer_append(out, packed, (size_t)n);
	} else {
		buffer_append_u32(out, size);
		buffer_append(out, data, size);
	}
	free(packed);
}

bool snapshot_body_next(
    struct snapshot_body *body, const struct disk_snapshot *s, struct buffer *out)
{
	size_t begin = out->size;
	if (body->size == 0)
		buffer_append(out, s->configuration, s->configuration_size);
	if (body->taken < s->size) {
		size_t left = s->size - body->taken;
		uint32_t size = left < CHUNK_MAX ? (uint32_t)left : CHUNK_MAX;
		chunk_encode(s->data + body->taken, size, out);
		body->taken += size;
		body->chunks++;
	}
	/* A value of nothing has no bytes, and then there is no buffer. */
	if (out->size > begin)
		body->sum = checksum(body->sum, out->data + begin, out->size - begin);
	body->size += out->size - begin;
	return body->taken < s->size;
}

void snapshot_header_encode(
    const struct snapshot_file *file, const struct snapshot_body *body, struct buffer *out)
{
	const struct disk_snapshot *s = &file->snapshot;
	size_t begin = out->size;
	buffer_append_u64(out, SNAPSHOT_MAGIC);
	buffer_append_u32(out, SNAPSHOT_FORMAT);
	buffer_append_u32(out, body->chunks);
	buffer_append_u64(out, s->index);
	buffer_append_u64(out, s->term);
	buffer_append_u64(out, s->configuration_index);
	buffer_append_u64(out, file->keep_from);
	buffer_append_u64(out, file->sequence);
	buffer_append_u64(out, s->configuration_size);
	buffer_append_u64(out, s->size);
	buffer_append_u64(out, body->size);
	buffer_append_u32(out, body->sum);
	buffer_append_u32(out, checksum(0, out->data + begin, out->size - begin));
}

void snapshot_file_encode(const struct snapshot_file *file, struct buffer *out)
{
	struct snapshot_body body = {0};
	struct buffer bytes = {0};
	while (snapshot_body_next(&body, &file->snapshot, &bytes))
		;
	snapshot_header_encode(file, &body, out);
	buffer_append(out, bytes.data, bytes.size);
	buffer_close(&bytes);
}

struct header {
	uint32_t chunks;
	uint64_t data_size, body_size;
	uint32_t body_sum;
};

static int header_decode(const uint8_t *bytes, size_t size, struct snapshot_file *file,
    struct header *h, struct err *err)
{
	struct reader r = reader_of(bytes, size);
	uint64_t magic = reader_u64(&r);
	uint32_t format = reader_u32(&r);
	struct disk_snapshot *s = &file->snapshot;
	h->chunks = reader_u32(&r);
	s->index = reader_u64(&r);
	s->term = reader_u64(&r);
	s->configuration_index = reader_u64(&r);
	file->keep_from = reader_u64(&r);
	file->sequence = reader_u64(&r);
	s->configuration_size = reader_u64(&r);
	h->data_size = reader_u64(&r);
	h->body_size = reader_u64(&r);
	h->body_sum = reader_u32(&r);
	uint32_t sum = reader_u32(&r);
	if (r.failed)
		return err_set(err, -EBADMSG, "too short for a header");
	if (magic != SNAPSHOT_MAGIC)
		return err_set(err, -EBADMSG, "not a snapshot");
	if (sum != checksum(0, bytes, SNAPSHOT_HEADER_SIZE - 4))
		return err_set(err, -EBADMSG, "checksum of the header does not match");
	if (format != SNAPSHOT_FORMAT)
		return err_set(err, -EBADMSG, "format %u is not known", format);
	if (h->data_size > DATA_MAX)
		return err_set(err, -EBADMSG, "%llu bytes of data: no snapshot is that large",
		    (unsigned long long)h->data_size);
	if (h->body_size != size - SNAPSHOT_HEADER_SIZE)
		return err_set(err, -EBADMSG, "%zu bytes follow the header instead of %llu",
		    size - SNAPSHOT_HEADER_SIZE, (unsigned long long)h->body_size);
	return 0;
}

/* most: bytes of data that may still come. */
static int chunk_decode(struct reader *r, uint64_t most, struct buffer *data, struct err *err)
{
	uint32_t size = reader_u32(r);
	uint32_t packed_size = reader_u32(r);
	const uint8_t *packed = reader_bytes(r, packed_size);
	if (!packed || size == 0 || size > CHUNK_MAX || packed_size > size || size > most)
		return err_set(err, -EBADMSG, "a chunk of impossible size");
	if (packed_size == size) {
		buffer_append(data, packed, size);
		return 0;
	}
	char *plain = must_alloc(size);
	int n = LZ4_decompress_safe((const char *)packed, plain, (int)packed_size, (int)size);
	if (n >= 0)
		buffer_append(data, plain, (size_t)n);
	free(plain);
	if (n != (int)size)
		return err_set(err, -EBADMSG, "a chunk does not decompress");
	return 0;
}

int snapshot_file_decode(const uint8_t *bytes, size_t size, struct snapshot_file *file,
    struct buffer *data, uint64_t *offset, struct err *err)
{
	struct header h;
	*offset = 0;
	*file = (struct snapshot_file){0};
	int result = header_decode(bytes, size, file, &h, err);
	if (result < 0)
		return result;
	*offset = SNAPSHOT_HEADER_SIZE;
	struct reader r = reader_of(bytes, size);
	reader_bytes(&r, SNAPSHOT_HEADER_SIZE);
	if (h.body_sum != checksum(0, bytes + SNAPSHOT_HEADER_SIZE, size - SNAPSHOT_HEADER_SIZE))
		return err_set(err, -EBADMSG, "checksum of the data does not match");
	struct disk_snapshot *s = &file->snapshot;
	s->configuration = reader_bytes(&r, s->configuration_size);
	for (uint32_t i = 0; i < h.chunks && !r.failed; i++) {
		*offset = r.at;
		result = chunk_decode(&r, h.data_size - data->size, data, err);
		if (result < 0)
			return result;
	}
	*offset = r.failed ? SNAPSHOT_HEADER_SIZE : r.at;
	if (r.failed || reader_left(&r) != 0 || data->size != h.data_size)
		return err_set(err, -EBADMSG, "sizes contradict each other");
	s->data = data->data;
	s->size = data->size;
	return 0;
}
