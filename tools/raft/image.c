#include "tools/raft/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/snapshot.h"

#define FILE_MAX   (1ll << 30)
#define PATH_SIZE  4096
#define SEAL_MAGIC "prftseal"
#define SEAL_SIZE  40 /* the magic and the digest */

static int read_all(int fd, struct buffer *out)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (st.st_size > FILE_MAX)
		return -EFBIG;
	out->capacity = (size_t)st.st_size;
	out->data = must_alloc(out->capacity + 1);
	while (out->size < out->capacity) {
		ssize_t n = read(fd, out->data + out->size, out->capacity - out->size);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		out->size += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

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
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int result = fd < 0 ? -errno : read_all(fd, &bytes);
	if (fd >= 0)
		close(fd);
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

static int write_all(int fd, const struct buffer *b)
{
	for (size_t at = 0; at < b->size;) {
		ssize_t n = write(fd, b->data + at, b->size - at);
		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) ? -errno : 0;
}

static int sync_parent(const char *path)
{
	char parent[PATH_SIZE];
	snprintf(parent, sizeof(parent), "%s", path);
	int fd = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int result = fsync(fd) ? -errno : 0;
	close(fd);
	return result;
}

/* A link, unlike a rename, replaces nothing; not every file system has them. */
static int name_it(const char *draft, const char *path)
{
	if (!link(draft, path))
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP)
		return -errno;
	if (!access(path, F_OK))
		return -EEXIST;
	return rename(draft, path) ? -errno : 0;
}

/* Under another name first. */
static int write_file(const char *path, const struct buffer *bytes)
{
	char draft[PATH_SIZE];
	if (snprintf(draft, sizeof(draft), "%s.%d", path, (int)getpid()) >= (int)sizeof(draft))
		return -ENAMETOOLONG;
	int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int result = write_all(fd, bytes);
	close(fd);
	if (!result)
		result = name_it(draft, path);
	unlink(draft);
	return result ? result : sync_parent(path);
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
	int result = write_file(path, &bytes);
	buffer_close(&bytes);
	return result ? err_set(err, result, "%.300s: %s", path, strerror(-result)) : 0;
}
