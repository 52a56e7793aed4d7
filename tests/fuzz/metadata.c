/* Any bytes as a metadata file: refused with a reason, or the same bytes when encoded again but
 * for what nobody reads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/buffer.h"
#include "raft/checksum.h"
#include "raft/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int right)
{
	if (!right)
		abort();
}

static void look(const uint8_t *data, size_t size)
{
	struct metadata m, again;
	struct err err = {""};
	uint8_t bytes[METADATA_SIZE];
	int result = metadata_decode(data, size, &m, &err);
	if (result) {
		check(result == -EBADMSG && *err.text);
		return;
	}
	metadata_encode(&m, bytes);
	check(metadata_decode(bytes, sizeof(bytes), &again, NULL) == 0);
	check(again.version == m.version && again.term == m.term && again.vote == m.vote);
	check(memcmp(bytes, data, 12) == 0 && memcmp(bytes + 16, data + 16, 24) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer mended = {0};
	look(data, size);
	if (size < METADATA_SIZE)
		return 0;
	/* Let the checksum be right, so that the rest is reached. */
	buffer_append(&mended, data, METADATA_SIZE - 4);
	buffer_append_u32(&mended, checksum(0, data, METADATA_SIZE - 4));
	look(mended.data, mended.size);
	buffer_close(&mended);
	return 0;
}
