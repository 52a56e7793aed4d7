#include "raft/metadata.h"

#include <errno.h>
#include <string.h>

#include "fsm/buffer.h"
#include "raft/checksum.h"

#define METADATA_MAGIC	0x65746f7674667270ull /* "prftvote" */
#define METADATA_FORMAT 1

void metadata_encode(const struct metadata *m, uint8_t out[METADATA_SIZE])
{
	struct buffer b = {0};
	buffer_append_u64(&b, METADATA_MAGIC);
	buffer_append_u32(&b, METADATA_FORMAT);
	buffer_append_u32(&b, 0);
	buffer_append_u64(&b, m->version);
	buffer_append_u64(&b, m->term);
	buffer_append_u64(&b, m->vote);
	buffer_append_u32(&b, m->promise_ms);
	buffer_append_u32(&b, checksum(0, b.data, b.size));
	memcpy(out, b.data, METADATA_SIZE);
	buffer_close(&b);
}

int metadata_decode(const uint8_t *bytes, size_t size, struct metadata *m, struct err *err)
{
	if (size != METADATA_SIZE)
		return err_set(err, -EBADMSG, "%zu bytes instead of %d", size, METADATA_SIZE);
	struct reader r = reader_of(bytes, size);
	uint64_t magic = reader_u64(&r);
	uint32_t format = reader_u32(&r);
	reader_u32(&r);
	*m = (struct metadata){0};
	m->version = reader_u64(&r);
	m->term = reader_u64(&r);
	m->vote = reader_u64(&r);
	m->promise_ms = reader_u32(&r);
	if (magic != METADATA_MAGIC)
		return err_set(err, -EBADMSG, "not a metadata file");
	if (reader_u32(&r) != checksum(0, bytes, METADATA_SIZE - 4))
		return err_set(err, -EBADMSG, "checksum does not match");
	if (format != METADATA_FORMAT)
		return err_set(err, -EBADMSG, "format %u is not known", format);
	return 0;
}
