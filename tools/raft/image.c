#include "tools/raft/image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fsm/snapshot.h"
#include "node/file.h"

#define FILE_MAX   ((size_t)1 << 30)
#define SEAL_MAGIC "prftseal"
#define SEAL_SIZE  40 /* the magic and the digest */

/* Where the snapshot file ends: at the seal, if there is one, which must be right. */
static int check_seal(struct image *image, size_t *end, struct err *err)
{
	const struct buffer *b = &image->bytes;
	uint8_t digest[32];
	*end = b->size;
	if (b->size < SEAL_SIZE || memcmp(b->data + b->size - SEAL_SIZE, SEAL_MAGIC, 8) != 0)
		return 0;
	*end = b->size - SEAL_SIZE;
	identity_sha256(b->data, *end, digest);
	if (memcmp(digest, b->data + *end + 8, sizeof(digest)) != 0)
		return err_set(err, -EBADMSG,
		    "%zu: the SHA-256 of the file is not the one that it was saved with", *end);
	identity_sha256_hex(b->data, *end, image->sha256);
	return 0;
}

static int decode(struct image *image, struct err *err)
{
	size_t end;
	uint64_t offset;
	int result = check_seal(image, &end, err);
	if (result)
		return result;
	result =
	    snapshot_file_decode(image->bytes.data, end, &image->file, &image->data, &offset, err);
	if (result)
		return err_wrap(err, result, "%" PRIu64, offset);
	const struct disk_snapshot *s = &image->file.snapshot;
	if (configuration_decode(s->configuration, s->configuration_size, &image->configuration))
		return err_set(
		    err, -EBADMSG, "%d: the configuration is none", SNAPSHOT_HEADER_SIZE);
	result = snapshot_decode(&image->cluster, s->data, s->size, err);
	if (!result && (!s->index || !s->term || image->cluster.index > s->index))
		result = err_set(err, -EBADMSG, "0: an index or a term that cannot be");
	return result;
}

int image_decode(struct image *image, struct buffer *bytes, struct err *err)
{
	*image = (struct image){.bytes = *bytes};
	*bytes = (struct buffer){0};
	cluster_init(&image->cluster);
	int result = decode(image, err);
	if (result)
		image_close(image);
	return result;
}

int image_read(struct image *image, const char *path, struct err *err)
{
	struct buffer bytes = {0};
	int result = file_read(path, FILE_MAX, &bytes);
	if (result) {
		buffer_close(&bytes);
		return err_set(err, result, "%.300s: %s", path, strerror(-result));
	}
	result = image_decode(image, &bytes, err);
	return result ? err_wrap(err, result, "%.200s", path) : 0;
}

void image_close(struct image *image)
{
	buffer_close(&image->bytes);
	buffer_close(&image->data);
	cluster_close(&image->cluster);
}

int image_write(const char *path, const struct disk_snapshot *snapshot,
    char sha256[IDENTITY_HEX_SIZE], struct err *err)
{
	struct snapshot_file file = {
	    .snapshot = *snapshot, .keep_from = snapshot->index + 1, .sequence = 1};
	struct buffer bytes = {0};
	uint8_t digest[32];
	snapshot_file_encode(&file, &bytes);
	identity_sha256(bytes.data, bytes.size, digest);
	identity_sha256_hex(bytes.data, bytes.size, sha256);
	buffer_append(&bytes, SEAL_MAGIC, 8);
	buffer_append(&bytes, digest, sizeof(digest));
	int result = strcmp(path, "-") != 0 ? file_make(path, bytes.data, bytes.size)
					    : file_pour(STDOUT_FILENO, bytes.data, bytes.size);
	buffer_close(&bytes);
	return result ? err_set(err, result, "%.300s: %s", path, strerror(-result)) : 0;
}
