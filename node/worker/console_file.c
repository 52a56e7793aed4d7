#include "node/worker/console_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/worker/console_text.h"

/* virtlogd keeps three old ones, if nobody told it otherwise. */
#define PARTS_MAX   4
#define OFFSET_BITS 43

/* One file. What is older comes first in a console's text, and last here. */
struct part {
	int fd; /* -1: there is none */
	uint64_t size;
	uint64_t identity;
	uint64_t changed_ms;
};

struct console {
	struct part parts[PARTS_MAX];
	uint64_t total; /* bytes in all of them */
};

/* What tells one file from another in a mark: never 0. */
static uint64_t identity_of(const struct stat *s)
{
	uint64_t mixed = ((uint64_t)s->st_ino ^ (uint64_t)s->st_dev << 32) * 0x9e3779b97f4a7c15u;
	mixed >>= 64 - (63 - OFFSET_BITS);
	return mixed ? mixed : 1;
}

/* 0, -ENOENT, or why it cannot be read. */
static int part_open(struct part *p, const char *path, struct err *err)
{
	struct stat s;
	p->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (p->fd < 0 && errno == ENXIO)
		return err_set(err, -EINVAL, "%s is no regular file", path);
	if (p->fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (fstat(p->fd, &s))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(s.st_mode))
		return err_set(err, -EINVAL, "%s is no regular file", path);
	p->size = (uint64_t)s.st_size & ((UINT64_C(1) << OFFSET_BITS) - 1);
	p->identity = identity_of(&s);
	p->changed_ms = (uint64_t)s.st_mtim.tv_sec * 1000 + (uint64_t)s.st_mtim.tv_nsec / 1000000;
	return 0;
}

static void console_close(struct console *c)
{
	for (unsigned i = 0; i < PARTS_MAX; i++)
		if (c->parts[i].fd >= 0)
			close(c->parts[i].fd);
}

/* Those that are older are read if they can be. */
static int console_open(struct console *c, const char *path, struct err *err)
{
	char older[CONSOLE_PATH_MAX + 4];
	*c = (struct console){0};
	for (unsigned i = 0; i < PARTS_MAX; i++)
		c->parts[i].fd = -1;
	int result = part_open(&c->parts[0], path, err);
	for (unsigned i = 1; i < PARTS_MAX && (!result || result == -ENOENT); i++) {
		struct part *p = &c->parts[i];
		snprintf(older, sizeof(older), "%s.%u", path, i - 1);
		if (!part_open(p, older, NULL))
			continue;
		if (p->fd >= 0)
			close(p->fd);
		*p = (struct part){.fd = -1};
	}
	for (unsigned i = 0; i < PARTS_MAX; i++)
		c->total += c->parts[i].size;
	return result;
}

/* Where part i begins in the whole text. */
static uint64_t part_begin(const struct console *c, unsigned i)
{
	uint64_t at = 0;
	for (unsigned k = PARTS_MAX - 1; k > i; k--)
		at += c->parts[k].size;
	return at;
}

/* Where one who follows goes on; false: nothing is known of that mark. */
static bool mark_find(const struct console *c, uint64_t mark, uint64_t *at)
{
	uint64_t identity = mark >> OFFSET_BITS;
	uint64_t offset = mark & ((UINT64_C(1) << OFFSET_BITS) - 1);
	for (unsigned i = 0; identity && i < PARTS_MAX; i++) {
		const struct part *p = &c->parts[i];
		if (p->fd < 0 || p->identity != identity)
			continue;
		/* One that was cut short has new things in it from its beginning on. */
		*at = part_begin(c, i) + (offset <= p->size ? offset : 0);
		return true;
	}
	return false;
}

static uint64_t mark_make(const struct console *c, uint64_t at)
{
	for (unsigned i = PARTS_MAX; i-- > 0;) {
		const struct part *p = &c->parts[i];
		uint64_t begin = part_begin(c, i);
		bool newest = i == 0 || c->parts[0].fd < 0;
		bool within = at - begin < p->size || (newest && at - begin == p->size);
		if (p->fd >= 0 && at >= begin && within)
			return p->identity << OFFSET_BITS | (at - begin);
	}
	return 0;
}

static size_t part_read(const struct part *p, uint64_t at, uint8_t *bytes, size_t size)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = pread(p->fd, bytes + done, size - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

/* Bytes from at to the end, as many as fit. What was cut off meanwhile reads as nothing. */
static size_t console_bytes(const struct console *c, uint64_t at, uint8_t bytes[CONSOLE_BYTES_MAX])
{
	size_t size = 0;
	for (unsigned i = PARTS_MAX; i-- > 0;) {
		const struct part *p = &c->parts[i];
		uint64_t begin = part_begin(c, i), next = at + size;
		if (p->fd < 0 || next < begin || next - begin >= p->size)
			continue;
		uint64_t left = p->size - (next - begin);
		size_t most = CONSOLE_BYTES_MAX - size;
		if (left < most)
			most = (size_t)left;
		size_t got = part_read(p, next - begin, bytes + size, most);
		size += got;
		if (got < most)
			break;
	}
	return size;
}

static bool quiet(const struct console *c)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	/* While there is no file somebody is just about to make it. */
	return c->parts[0].fd >= 0 && c->parts[0].changed_ms + CONSOLE_QUIET_MS <= now_ms;
}

/* Where the last lines begin: those that are in the last bytes, without what is left of one that
 * begins before them. */
static uint64_t last_lines(const struct console *c, unsigned lines_max, uint8_t *bytes)
{
	uint64_t at = c->total > CONSOLE_BYTES_MAX ? c->total - CONSOLE_BYTES_MAX : 0;
	size_t size = console_bytes(c, at, bytes);
	const uint8_t *end = at ? memchr(bytes, '\n', size) : NULL;
	size_t skip = end ? (size_t)(end - bytes) + 1 : 0;
	return at + skip + console_tail(bytes + skip, size - skip, lines_max);
}

static void sight_take(const struct console *c, const struct console_query *query, uint64_t at,
    uint8_t *bytes, struct console_sight *sight)
{
	size_t size = console_bytes(c, at, bytes);
	struct reader r = reader_of(bytes, size);
	bool all = at + size >= c->total;
	bool whole = all && (query->from == CONSOLE_LAST || quiet(c));
	enum console_end end = whole ? CONSOLE_END_WHOLE : CONSOLE_END_OPEN;
	size_t used = console_lines(&r, end, &sight->lines);
	sight->mark = mark_make(c, at + used);
	sight->more = used && !all;
}

int console_read(const struct console_query *query, struct console_sight *sight, struct err *err)
{
	struct console c;
	uint64_t at;
	*sight = (struct console_sight){.mark = query->mark};
	int result = console_open(&c, query->path, err);
	bool follows = query->from == CONSOLE_FOLLOW;
	if (follows && result == -ENOENT)
		result = 0;
	if (!result && c.total) {
		uint8_t *bytes = must_alloc(CONSOLE_BYTES_MAX);
		if (!follows || !mark_find(&c, query->mark, &at))
			at = last_lines(&c, query->lines_max, bytes);
		sight_take(&c, query, at, bytes, sight);
		free(bytes);
	}
	console_close(&c);
	return result;
}

void console_sight_close(struct console_sight *sight)
{
	buffer_close(&sight->lines);
}
