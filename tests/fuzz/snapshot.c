/* Any bytes: no snapshot, or one that is written as it was read and is sound. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/check.h"
#include "fsm/snapshot.h"

#define HASH_AT 20 /* behind the magic, the format and the index */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int decode(const uint8_t *bytes, size_t size, struct err *err)
{
	struct cluster c;
	struct buffer again = {0};
	cluster_init(&c);
	uint64_t empty = c.hash;
	int result = snapshot_decode(&c, bytes, size, err);
	if (result && (!*err->text || c.hash != empty))
		abort();
	if (!result) {
		snapshot_encode(&c, &again);
		if (again.size != size || memcmp(again.data, bytes, size) != 0)
			abort();
		if (check_cluster(&c, err))
			abort();
		buffer_close(&again);
	}
	cluster_close(&c);
	return result;
}

/* The hash keeps a fuzzer out: let it have what the refusal asks for. */
static void decode_inside(const uint8_t *data, size_t size, const struct err *refusal)
{
	uint64_t hash;
	struct buffer bytes = {0}, number = {0};
	struct err err = {""};
	if (sscanf(refusal->text, "snapshot: its hash is %" SCNx64, &hash) != 1)
		return;
	buffer_append(&bytes, data, size);
	buffer_append_u64(&number, hash);
	memcpy(bytes.data + HASH_AT, number.data, number.size);
	decode(bytes.data, bytes.size, &err);
	buffer_close(&bytes);
	buffer_close(&number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {""};
	if (decode(data, size, &err))
		decode_inside(data, size, &err);
	return 0;
}
