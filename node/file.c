#include "node/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096

int file_pour(int fd, const void *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = write(fd, (const uint8_t *)bytes + at, size - at);
		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
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
static int name_new(const char *draft, const char *path)
{
	if (!link(draft, path))
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP)
		return -errno;
	if (!access(path, F_OK))
		return -EEXIST;
	return rename(draft, path) ? -errno : 0;
}

static int name_over(const char *draft, const char *path)
{
	return rename(draft, path) ? -errno : 0;
}

/* Under another name first. */
static int write_whole(const char *path, const void *bytes, size_t size,
    int (*name)(const char *draft, const char *path))
{
	char draft[PATH_SIZE];
	if (snprintf(draft, sizeof(draft), "%s.new", path) >= (int)sizeof(draft))
		return -ENAMETOOLONG;
	/* What an earlier process was killed over: always of the same name, so nothing gathers. */
	unlink(draft);
	int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int result = file_pour(fd, bytes, size);
	if (!result && fsync(fd))
		result = -errno;
	close(fd);
	if (!result)
		result = name(draft, path);
	unlink(draft);
	return result ? result : sync_parent(path);
}

int file_make(const char *path, const void *bytes, size_t size)
{
	return write_whole(path, bytes, size, name_new);
}

int file_replace(const char *path, const void *bytes, size_t size)
{
	return write_whole(path, bytes, size, name_over);
}

static int read_all(int fd, size_t size_max, struct buffer *out)
{
	uint8_t bytes[16384];
	struct stat st;
	ssize_t n;
	size_t read_bytes = 0;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	while ((n = read(fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		read_bytes += (size_t)n;
		if (read_bytes > size_max)
			return -EFBIG;
		buffer_append(out, bytes, (size_t)n);
	}
	return 0;
}

int file_read(const char *path, size_t size_max, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int result = read_all(fd, size_max, out);
	close(fd);
	return result;
}
