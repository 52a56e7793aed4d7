/* Any bytes as a saved snapshot: refused with a reason, or a value that is sound. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/check.h"
#include "tests/fuzz/mend.h"
#include "tools/raft/image.h"

#define SEAL_SIZE 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int right)
{
	if (!right)
		abort();
}

static void look(const uint8_t *data, size_t size)
{
	struct image image;
	struct buffer bytes = {0};
	struct err err = {""};
	buffer_append(&bytes, data, size);
	int result = image_decode(&image, &bytes, &err);
	check(bytes.data == NULL);
	if (result) {
		check(*err.text != 0);
		return;
	}
	check(check_cluster(&image.cluster, &err) == 0);
	check(image.configuration.n > 0 && image.file.snapshot.index > 0);
	image_close(&image);
}

/* Let checksums, the size of the body and a seal be right, so that the rest is reached. */
static void mend(uint8_t *bytes, size_t size)
{
	uint8_t digest[32];
	bool sealed = size >= SNAPSHOT_HEADER_SIZE + SEAL_SIZE &&
		      !memcmp(bytes + size - SEAL_SIZE, "prftseal", 8);
	size_t end = sealed ? size - SEAL_SIZE : size;
	if (end < SNAPSHOT_HEADER_SIZE)
		return;
	mend_snapshot(bytes, end);
	identity_sha256(bytes, end, digest);
	if (sealed)
		memcpy(bytes + end + 8, digest, sizeof(digest));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return mend_and_look(data, size, mend, look);
}
