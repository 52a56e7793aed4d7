/* Load for ZooKeeper, by its own client library without threads. A read is linearizable
 * there when a sync goes before it; both travel in order on one session. */
#include <zookeeper/zookeeper.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include "tests/bench/load.h"

#define SESSION_MS	  30000
#define PACKETS_PER_STEP  32
#define CONNECT_TRIES	  1000
#define CREATES_IN_FLIGHT 256

static unsigned created;

static void nothing_seen(zhandle_t *z, int type, int state, const char *path, void *context)
{
}

static void key_path(char path[32], unsigned key)
{
	snprintf(path, 32, "/bench/%08u", key);
}

static uint64_t tag_of(const void *data)
{
	return (uint64_t)(uintptr_t)data;
}

/* Let the library read, write and ping; wait at most that long for something to read. It takes
 * one packet at a time. */
static void zk_step(zhandle_t *z, int wait_ms)
{
	int fd = -1, interest = 0;
	struct timeval within;
	zookeeper_interest(z, &fd, &interest, &within);
	for (unsigned i = 0; i < PACKETS_PER_STEP; i++) {
		struct pollfd p = {.fd = fd,
		    .events = (short)((interest & ZOOKEEPER_READ ? POLLIN : 0) |
				      (interest & ZOOKEEPER_WRITE ? POLLOUT : 0))};
		bool ready = poll(&p, 1, i ? 0 : wait_ms) > 0;
		int events = (p.revents & (POLLIN | POLLHUP | POLLERR) ? ZOOKEEPER_READ : 0) |
			     (p.revents & POLLOUT ? ZOOKEEPER_WRITE : 0);
		if ((i && !ready) || zookeeper_process(z, events) != ZOK)
			break;
		interest &= ~ZOOKEEPER_WRITE;
	}
}

static void *zk_open(const char *endpoint)
{
	zoo_set_debug_level(0); /* it reports each attempt to reconnect */
	zhandle_t *z = zookeeper_init(endpoint, nothing_seen, SESSION_MS, NULL, NULL, 0);
	for (int i = 0; i < CONNECT_TRIES && zoo_state(z) != ZOO_CONNECTED_STATE; i++)
		zk_step(z, 10);
	if (zoo_state(z) == ZOO_CONNECTED_STATE)
		return z;
	zookeeper_close(z);
	return NULL;
}

static void zk_close(void *connection)
{
	zookeeper_close(connection);
}

static void create_done(int rc, const char *path, const void *data)
{
	created++;
}

/* The keys must exist before they can be set. */
static int zk_prepare(void *connection)
{
	char path[32];
	created = 0;
	zoo_acreate(connection, "/bench", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, create_done, NULL);
	for (unsigned asked = 0; created < LOAD_KEYS + 1;) {
		for (; asked < LOAD_KEYS && asked - created < CREATES_IN_FLIGHT; asked++) {
			key_path(path, asked);
			zoo_acreate(connection, path, (const char *)load_value, LOAD_VALUE_SIZE,
			    &ZOO_OPEN_ACL_UNSAFE, 0, create_done, NULL);
		}
		zk_step(connection, 10);
	}
	return 0;
}

static void put_done(int rc, const struct Stat *stat, const void *data)
{
	load_answered(tag_of(data), rc == ZOK);
}

static int zk_put(void *connection, unsigned key, uint64_t tag)
{
	char path[32];
	key_path(path, key);
	return zoo_aset(connection, path, (const char *)load_value, LOAD_VALUE_SIZE, -1, put_done,
	    (void *)(uintptr_t)tag);
}

static void sync_done(int rc, const char *path, const void *data)
{
}

static void read_done(
    int rc, const char *value, int size, const struct Stat *stat, const void *data)
{
	load_answered(tag_of(data), rc == ZOK);
}

static int zk_read(void *connection, unsigned key, uint64_t tag)
{
	char path[32];
	key_path(path, key);
	zoo_async(connection, path, sync_done, NULL);
	return zoo_aget(connection, path, 0, read_done, (void *)(uintptr_t)tag);
}

static void change_seen(zhandle_t *z, int type, int state, const char *path, void *context)
{
	if (type == ZOO_CHANGED_EVENT)
		load_changed();
}

static void watch_done(int rc, const struct Stat *stat, const void *data)
{
	if (rc == ZOK)
		load_armed();
}

static int zk_watch(void *connection)
{
	char path[32];
	key_path(path, 0);
	return zoo_awexists(connection, path, change_seen, NULL, watch_done, NULL);
}

/* The library reconnects by itself: only a session can be lost. */
static int zk_turn(void *connection)
{
	zk_step(connection, 0);
	return is_unrecoverable(connection) == ZOK ? 0 : -1;
}

static void zk_interest(void *connection, int *fd, uint32_t *events)
{
	int interest = 0;
	struct timeval within;
	*fd = -1;
	zookeeper_interest(connection, fd, &interest, &within);
	*events =
	    (interest & ZOOKEEPER_READ ? EPOLLIN : 0) | (interest & ZOOKEEPER_WRITE ? EPOLLOUT : 0);
}

int main(int argc, char **argv)
{
	static const struct load_system zk = {
	    .open = zk_open,
	    .close = zk_close,
	    .prepare = zk_prepare,
	    .put = zk_put,
	    .read = zk_read,
	    .watch = zk_watch,
	    .watch_fires_once = true,
	    .turn = zk_turn,
	    .interest = zk_interest,
	};
	return load_main(argc, argv, &zk);
}
