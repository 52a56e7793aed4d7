#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/buffer.h"
#include "storage/pool_rbd.h"
#include "storage/volume.h"

/* An image's lock is that of its header object, by this name: rbd's layout. */
#define LOCK_NAME  "rbd_lock"
#define HEADER_MAX (VOLUME_NAME_MAX + 16)
#define TAG_MAX	   256
/* Of each of the three lists of names, to begin with, and at most. */
#define NAMES_BYTES	4096u
#define NAMES_BYTES_MAX (1u << 20)
/* The client must be kept out until it has surely noticed, however long it hung. */
#define BLOCKLIST_S (24 * 3600)

struct image {
	struct pool *pool;
	rados_ioctx_t io;
	char header[HEADER_MAX];
};

/* "rbd_id.NAME" holds the id: its length in four bytes, least first, then its text. */
static int header_name(const char *bytes, int size, char header[HEADER_MAX])
{
	struct reader r = reader_of(bytes, (size_t)size);
	uint32_t length = reader_u32(&r);
	const uint8_t *id = reader_bytes(&r, length);
	if (!id || length == 0 || length > VOLUME_NAME_MAX || memchr(id, '\0', length))
		return -EBADMSG;
	snprintf(header, HEADER_MAX, "rbd_header.%.*s", (int)length, (const char *)id);
	return 0;
}

static int header_find(struct image *image, const char *name)
{
	const struct ceph_dl *dl = image->pool->dl;
	char object[HEADER_MAX], bytes[HEADER_MAX];
	snprintf(object, sizeof(object), "rbd_id.%s", name);
	int size = dl->rados_read(image->io, object, bytes, sizeof(bytes), 0);
	if (size >= 0)
		return header_name(bytes, size, image->header);
	if (size != -ENOENT)
		return size;
	/* Format 1 has no id: its header has the image's name. */
	snprintf(image->header, sizeof(image->header), "%s.rbd", name);
	return dl->rados_stat(image->io, image->header, NULL, NULL);
}

/* After this image_close(), unless it failed. */
static int image_open(struct image *image, struct pool *pool, const char *name, struct err *err)
{
	struct volume volume;
	*image = (struct image){.pool = pool};
	if (volume_parse(&volume, name))
		return err_set(err, -EINVAL, "'%.100s' is no volume: POOL/IMAGE is", name);
	int rc = pool_connect(pool, err);
	if (rc)
		return rc;
	rc = pool->dl->rados_ioctx_create(pool->cluster, volume.pool, &image->io);
	if (rc)
		return pool_failed(pool, rc, name, err);
	pool->dl->rados_ioctx_set_namespace(image->io, volume.space);
	rc = header_find(image, volume.image);
	if (!rc)
		return 0;
	pool->dl->rados_ioctx_destroy(image->io);
	return pool_failed(pool, rc, name, err);
}

static void image_close(struct image *image)
{
	image->pool->dl->rados_ioctx_destroy(image->io);
}

struct names { /* what the library fills: one text after the other, each with its NUL */
	char *bytes;
	size_t size;
	const char *at;
};

static int names_next(struct names *names, char *text, size_t capacity)
{
	size_t left = names->size - (size_t)(names->at - names->bytes);
	size_t length = strnlen(names->at, left);
	if (length == left)
		return -EBADMSG;
	if (length >= capacity)
		return -EOVERFLOW;
	memcpy(text, names->at, length + 1);
	names->at += length + 1;
	return 0;
}

static int locker_next(struct names lists[3], struct pool_locker *locker)
{
	int rc = names_next(&lists[0], locker->entity, sizeof(locker->entity));
	if (!rc)
		rc = names_next(&lists[1], locker->cookie, sizeof(locker->cookie));
	if (!rc)
		rc = names_next(&lists[2], locker->address, sizeof(locker->address));
	return rc;
}

/* Ask with lists of that size. The number of lockers; -ERANGE: they do not fit. */
static ssize_t names_fetch(struct image *image, struct names lists[3], size_t size)
{
	char tag[TAG_MAX];
	size_t tag_size = sizeof(tag);
	int exclusive;
	for (unsigned i = 0; i < 3; i++) {
		free(lists[i].bytes);
		lists[i] = (struct names){.bytes = must_alloc(size), .size = size};
		lists[i].at = lists[i].bytes;
	}
	return image->pool->dl->rados_list_lockers(image->io, image->header, LOCK_NAME, &exclusive,
	    tag, &tag_size, lists[0].bytes, &lists[0].size, lists[1].bytes, &lists[1].size,
	    lists[2].bytes, &lists[2].size);
}

static int lockers_read(struct image *image, struct pool_locker **lockers, unsigned *n)
{
	struct names lists[3] = {{0}};
	size_t size = NAMES_BYTES;
	ssize_t count = names_fetch(image, lists, size);
	while (count == -ERANGE && size < NAMES_BYTES_MAX)
		count = names_fetch(image, lists, size *= 2);
	int rc = count < 0 ? (int)count : 0;
	struct pool_locker *list = count > 0 ? must_alloc((size_t)count * sizeof(*list)) : NULL;
	/* The library says in size how much it has written. */
	for (ssize_t i = 0; !rc && i < count; i++)
		rc = locker_next(lists, &list[i]);
	for (unsigned i = 0; i < 3; i++)
		free(lists[i].bytes);
	/* Nobody has ever locked it. */
	if (rc == -ENOENT)
		rc = 0;
	if (rc) {
		free(list);
		return rc;
	}
	*lockers = list;
	*n = count > 0 ? (unsigned)count : 0;
	return 0;
}

/* The OSDs say who has a lock also when no monitor answers a connection that knows them already:
 * a QEMU, which does not, would then hang and hold up all that its libvirt is asked. */
static int monitors_ask(struct pool *pool, struct err *err)
{
	char *answer;
	size_t size;
	int rc = pool_command(pool, "fsid", &answer, &size, err);
	if (!rc)
		pool->dl->rados_buffer_free(answer);
	return rc;
}

int pool_rbd_lockers(struct pool *pool, const char *volume, struct pool_locker **lockers,
    unsigned *n, struct err *err)
{
	struct image image;
	*lockers = NULL;
	*n = 0;
	int rc = monitors_ask(pool, err);
	if (!rc)
		rc = image_open(&image, pool, volume, err);
	if (rc)
		return rc;
	rc = lockers_read(&image, lockers, n);
	image_close(&image);
	if (rc == -EOVERFLOW)
		return err_set(
		    err, rc, "%s: the names of its lock are too long: rbd lock rm", volume);
	return rc ? pool_failed(pool, rc, volume, err) : 0;
}

/* First the client is kept from writing, also with what is on its way: one that only hangs would
 * write over the data of whoever gets the lock next. */
static int lock_take_away(struct image *image, const struct pool_locker *locker,
    char clients[VOLUME_CLIENTS_MAX][VOLUME_CLIENT_MAX], unsigned n)
{
	const struct ceph_dl *dl = image->pool->dl;
	int rc = 0;
	for (unsigned i = 0; !rc && i < n; i++)
		rc = dl->rados_blocklist_add(image->pool->cluster, clients[i], BLOCKLIST_S);
	if (rc)
		return rc;
	rc = dl->rados_break_lock(
	    image->io, image->header, LOCK_NAME, locker->entity, locker->cookie);
	return rc == -ENOENT ? 0 : rc;
}

int pool_rbd_unlock(
    struct pool *pool, const char *volume, const struct pool_locker *locker, struct err *err)
{
	char clients[VOLUME_CLIENTS_MAX][VOLUME_CLIENT_MAX];
	struct image image;
	unsigned n = lock_clients(locker->address, clients);
	if (!n)
		return err_set(err, -EINVAL, "the address %s of %s is not that of one client alone",
		    locker->address, locker->entity);
	int rc = image_open(&image, pool, volume, err);
	if (rc)
		return rc;
	rc = lock_take_away(&image, locker, clients, n);
	image_close(&image);
	return rc ? pool_failed(pool, rc, volume, err) : 0;
}
