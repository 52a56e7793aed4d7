/* A disk pool that only says so: a directory of small text files, so that all of it can be tried,
 * broken and mended without Ceph. What is not there is empty; a FIFO in the place of a file is a
 * daemon that hangs.
 *
 *   osds        a line each: ID HOST up|down in|out SIZE_KIB USED_KIB
 *   pools       a line each: ID NAME PGS REPLICAS
 *   locks/ANY   a lock each: VOLUME ENTITY ADDRESS COOKIE, the cookie up to the end of the line
 *   blocklist   a line for each address that unlock kept from writing, in that order */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "fsm/ceph.h"
#include "fsm/text.h"
#include "storage/ceph_view.h"
#include "storage/pool.h"

#define LINE_MAX_BYTES 1024

struct pool {
	char directory[PATH_MAX];
};

struct lock {
	char volume[256];
	struct pool_locker locker;
};

static int sim_fail(const struct pool *pool, int error, struct err *err)
{
	return err_set(err, -error, "%s: %s", pool->directory, strerror(error));
}

/* Its descriptor; it is made when it is not there. */
static int sim_directory_open(const struct pool *pool, struct err *err)
{
	if (mkdir(pool->directory, 0700) < 0 && errno != EEXIST)
		return sim_fail(pool, errno, err);
	int fd = open(pool->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : sim_fail(pool, errno, err);
}

static int sim_open(struct pool **out, const struct pool_options *options, struct err *err)
{
	const char *directory = options->config_file;
	if (*directory != '/' || strlen(directory) >= sizeof((*out)->directory))
		return err_set(err, -EINVAL,
		    "a simulated disk pool is a directory's whole path, not '%s'", directory);
	struct pool *pool = must_alloc(sizeof(*pool));
	snprintf(pool->directory, sizeof(pool->directory), "%s", directory);
	int fd = sim_directory_open(pool, err);
	if (fd < 0) {
		free(pool);
		return fd;
	}
	close(fd);
	*out = pool;
	return 0;
}

static void sim_close(struct pool *pool)
{
	free(pool);
}

/* Each line of a file, to read; -EINVAL names the first that read does not take. */
static int sim_lines(const struct pool *pool, const char *name, struct ceph_view *view,
    bool (*read)(char *line, struct ceph_view *view), struct err *err)
{
	int directory = sim_directory_open(pool, err);
	if (directory < 0)
		return directory;
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	int error = errno;
	close(directory);
	if (fd < 0)
		return error == ENOENT ? 0 : sim_fail(pool, error, err);
	FILE *file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return sim_fail(pool, ENOMEM, err);
	}
	char line[LINE_MAX_BYTES];
	int rc = 0;
	while (rc == 0 && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!read(line, view))
			rc = err_set(
			    err, -EINVAL, "%s/%s: what is '%s'?", pool->directory, name, line);
	}
	fclose(file);
	return rc;
}

static bool osd_line(char *line, struct ceph_view *view)
{
	struct ceph_osd o = {.known = CEPH_OSD_DUMP | CEPH_OSD_TREE | CEPH_OSD_DF | CEPH_OSD_IO,
	    .reweight_micro = 1000000,
	    .affinity_micro = 1000000};
	char up[8], in[8];
	if (sscanf(line, "%" SCNu32 " %63s %7s %7s %" SCNu64 " %" SCNu64, &o.id, o.host, up, in,
		&o.size_kib, &o.used_kib) != 6 ||
	    o.used_kib > o.size_kib)
		return false;
	o.up = strcmp(up, "up") == 0;
	o.in = strcmp(in, "in") == 0;
	text_clean(o.host, '?');
	snprintf(o.uuid, sizeof(o.uuid), "00000000-0000-4000-8000-%012" PRIu32, o.id);
	snprintf(o.device_class, sizeof(o.device_class), "sim");
	o.weight_micro = (uint64_t)((double)o.size_kib * 1e6 / (1 << 30)); /* a TiB is 1 */
	o.available_kib = o.size_kib - o.used_kib;
	o.utilization_micro =
	    o.size_kib > 0 ? (uint64_t)((double)o.used_kib * 1e8 / (double)o.size_kib) : 0;
	o.variance_micro = 1000000;
	struct ceph_osd *osd = ceph_view_osd(view, o.id);
	if (osd)
		*osd = o;
	return true;
}

static bool pool_line(char *line, struct ceph_view *view)
{
	struct ceph_pool p = {.known = CEPH_POOL_DUMP | CEPH_POOL_IO};
	if (sscanf(line, "%" SCNu32 " %63s %" SCNu32 " %" SCNu32, &p.id, p.name, &p.pgs,
		&p.replicas) != 4)
		return false;
	text_clean(p.name, '?');
	struct ceph_pool *pool = ceph_view_pool(view, p.id);
	if (pool)
		*pool = p;
	return true;
}

static int sim_read(struct pool *pool, struct ceph_view *view, struct err *err)
{
	*view = (struct ceph_view){0};
	int rc = sim_lines(pool, "osds", view, osd_line, err);
	if (rc == 0)
		rc = sim_lines(pool, "pools", view, pool_line, err);
	if (rc != 0)
		record_clear(ceph_view_record(), view);
	return rc;
}

static void status_sum(struct ceph_view *view)
{
	struct ceph *c = ceph_view_status(view);
	c->known = CEPH_STATUS | CEPH_DF;
	snprintf(c->fsid, sizeof(c->fsid), "00000000-0000-4000-8000-000000000000");
	c->osds = view->osds.count;
	for (uint32_t i = 0; i < view->osds.count; i++) {
		const struct ceph_osd *osd = &view->osds.items[i];
		c->osds_up += osd->up;
		c->osds_in += osd->in;
		c->size_kib += osd->size_kib;
		c->used_kib += osd->used_kib;
		c->available_kib += osd->available_kib;
	}
	for (uint32_t i = 0; i < view->pools.count; i++)
		c->pgs += view->pools.items[i].pgs;
	if (c->pgs > 0)
		snprintf(
		    c->pgs_message, sizeof(c->pgs_message), "%" PRIu32 " active+clean", c->pgs);
	c->monitors = c->monitors_in_quorum = 1;
	c->manager = true;
	c->health = CEPH_OK;
	if (c->osds_up < c->osds) {
		c->health = CEPH_WARNING;
		snprintf(c->health_message, sizeof(c->health_message), "%" PRIu32 " osds down",
		    c->osds - c->osds_up);
	}
}

/* Keep of each record what the bits of these are for. */
static void view_keep(struct ceph_view *view, uint32_t of_osds, uint32_t of_pools)
{
	for (uint32_t i = 0; i < view->osds.count; i++) {
		view->osds.items[i].known &= of_osds;
		record_trim(ceph_osd_record(), &view->osds.items[i]);
	}
	for (uint32_t i = 0; i < view->pools.count; i++) {
		view->pools.items[i].known &= of_pools;
		record_trim(ceph_pool_record(), &view->pools.items[i]);
	}
}

static int sim_look(struct pool *pool, struct ceph_view *view, struct err *err)
{
	int rc = sim_read(pool, view, err);
	if (rc != 0)
		return rc;
	view->listed = true;
	status_sum(view);
	view_keep(view, CEPH_OSD_DUMP | CEPH_OSD_TREE, CEPH_POOL_DUMP);
	return 0;
}

static int sim_measure(struct pool *pool, struct ceph_view *view, struct err *err)
{
	int rc = sim_read(pool, view, err);
	if (rc == 0)
		view_keep(view, CEPH_OSD_DF | CEPH_OSD_IO, CEPH_POOL_IO);
	return rc;
}

/* The lock in one file of locks/; false: gone meanwhile, or it is none. */
static bool lock_read(int directory, const char *name, struct lock *lock)
{
	char text[LINE_MAX_BYTES];
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t size = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (size <= 0)
		return false;
	text[size] = '\0';
	return sscanf(text, "%255s %63s %127s %127[^\n]", lock->volume, lock->locker.entity,
		   lock->locker.address, lock->locker.cookie) == 4;
}

/* The directory of the locks; NULL with *rc 0: there are none. */
static DIR *locks_open(const struct pool *pool, int *rc, struct err *err)
{
	int directory = sim_directory_open(pool, err);
	*rc = directory < 0 ? directory : 0;
	if (directory < 0)
		return NULL;
	int fd = openat(directory, "locks", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = errno;
	close(directory);
	DIR *locks = fd >= 0 ? fdopendir(fd) : NULL;
	if (fd < 0 && error != ENOENT)
		*rc = sim_fail(pool, error, err);
	if (fd >= 0 && !locks)
		close(fd);
	return locks;
}

static int sim_lockers(struct pool *pool, const char *volume, struct pool_locker **lockers,
    unsigned *n, struct err *err)
{
	struct buffer found = {0};
	struct lock lock;
	int rc;
	DIR *locks = locks_open(pool, &rc, err);
	for (struct dirent *e = locks ? readdir(locks) : NULL; e; e = readdir(locks))
		if (lock_read(dirfd(locks), e->d_name, &lock) && strcmp(lock.volume, volume) == 0)
			buffer_append(&found, &lock.locker, sizeof(lock.locker));
	if (locks)
		closedir(locks);
	*n = (unsigned)(found.size / sizeof(lock.locker));
	*lockers = (struct pool_locker *)found.data;
	return rc;
}

static int blocklist_add(const struct pool *pool, const char *address, struct err *err)
{
	int directory = sim_directory_open(pool, err);
	if (directory < 0)
		return directory;
	int fd = openat(directory, "blocklist", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int error = fd < 0 ? errno : dprintf(fd, "%s\n", address) < 0 ? EIO : 0;
	if (fd >= 0)
		close(fd);
	close(directory);
	return error == 0 ? 0 : sim_fail(pool, error, err);
}

static int sim_unlock(
    struct pool *pool, const char *volume, const struct pool_locker *locker, struct err *err)
{
	struct lock lock;
	int rc = blocklist_add(pool, locker->address, err);
	DIR *locks = rc == 0 ? locks_open(pool, &rc, err) : NULL;
	if (!locks)
		return rc;
	for (struct dirent *e = readdir(locks); e && rc == 0; e = readdir(locks)) {
		if (lock_read(dirfd(locks), e->d_name, &lock) && strcmp(lock.volume, volume) == 0 &&
		    strcmp(lock.locker.entity, locker->entity) == 0 &&
		    strcmp(lock.locker.cookie, locker->cookie) == 0 &&
		    unlinkat(dirfd(locks), e->d_name, 0) < 0 && errno != ENOENT)
			rc = sim_fail(pool, errno, err);
	}
	closedir(locks);
	return rc;
}

const struct pool_port pool_sim = {
    .name = "sim",
    .open = sim_open,
    .close = sim_close,
    .look = sim_look,
    .measure = sim_measure,
    .lockers = sim_lockers,
    .unlock = sim_unlock,
};
