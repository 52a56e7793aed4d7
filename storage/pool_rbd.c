#include "storage/pool_rbd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "storage/ceph_answer.h"

#define CLIENT "admin"

static char *text_copy(const char *text)
{
	size_t size = strlen(text) + 1;
	return memcpy(must_alloc(size), text, size);
}

static int rbd_open(struct pool **out, const struct pool_options *options, struct err *err)
{
	const struct ceph_dl *dl = ceph_dl_open(err);
	if (!dl)
		return -ENOSYS;
	struct pool *pool = must_alloc(sizeof(*pool));
	*pool = (struct pool){
	    .dl = dl,
	    .config_file = text_copy(options->config_file),
	    .keyring = text_copy(options->keyring),
	    .timeout_s = options->timeout_s,
	};
	*out = pool;
	return 0;
}

static void pool_disconnect(struct pool *pool)
{
	if (pool->cluster)
		pool->dl->rados_shutdown(pool->cluster);
	pool->cluster = NULL;
}

static void rbd_close(struct pool *pool)
{
	pool_disconnect(pool);
	free(pool->config_file);
	free(pool->keyring);
	free(pool);
}

/* librados's own words for a file that is missing do not say which. */
static int file_check(const char *path, struct err *err)
{
	if (access(path, R_OK) == 0)
		return 0;
	return err_set(err, -errno, "%s: %s", path, strerror(errno));
}

static int options_set(const struct pool *pool, rados_t cluster, struct err *err)
{
	char timeout[16];
	snprintf(timeout, sizeof(timeout), "%u", pool->timeout_s);
	const struct {
		const char *name, *value;
	} options[] = {
	    {"client_mount_timeout", timeout},
	    {"rados_mon_op_timeout", timeout},
	    {"rados_osd_op_timeout", timeout},
	    /* What goes wrong comes back as an error. */
	    {"log_file", ""},
	    {"log_to_stderr", "false"},
	    {"err_to_stderr", "false"},
	    {"admin_socket", ""},
	    {"keyring", pool->keyring},
	};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (options[i].value == pool->keyring && !*pool->keyring)
			continue;
		int rc = pool->dl->rados_conf_set(cluster, options[i].name, options[i].value);
		if (rc < 0)
			return err_set(err, rc, "librados refuses %s=%s: %s", options[i].name,
			    options[i].value, strerror(-rc));
	}
	return 0;
}

static int cluster_configure(const struct pool *pool, rados_t cluster, struct err *err)
{
	int rc = pool->dl->rados_conf_read_file(cluster, pool->config_file);
	if (rc < 0)
		return err_set(err, rc, "%s: %s", pool->config_file,
		    rc == -EINVAL ? "no configuration of Ceph" : strerror(-rc));
	return options_set(pool, cluster, err);
}

static int connect_explain(const struct pool *pool, int rc, struct err *err)
{
	switch (rc) {
	case -ETIMEDOUT:
		return err_set(err, rc, "no monitor of %s answers within %u s", pool->config_file,
		    pool->timeout_s);
	case -ENOENT:
		return err_set(err, rc, "client." CLIENT " has no keyring where %s looks for it",
		    pool->config_file);
	case -EACCES:
	case -EPERM:
		return err_set(err, rc,
		    "the monitors do not let client." CLIENT " in: wrong or no key in %s",
		    *pool->keyring ? pool->keyring : "its keyring");
	default:
		return err_set(err, rc, "connect by %s: %s", pool->config_file, strerror(-rc));
	}
}

int pool_connect(struct pool *pool, struct err *err)
{
	if (pool->cluster)
		return 0;
	int rc = file_check(pool->config_file, err);
	if (rc == 0 && *pool->keyring)
		rc = file_check(pool->keyring, err);
	if (rc != 0)
		return rc;
	rados_t cluster;
	rc = pool->dl->rados_create(&cluster, CLIENT);
	if (rc < 0)
		return err_set(err, rc, "rados_create: %s", strerror(-rc));
	rc = cluster_configure(pool, cluster, err);
	if (rc == 0) {
		rc = pool->dl->rados_connect(cluster);
		if (rc < 0)
			connect_explain(pool, rc, err);
	}
	if (rc == 0) {
		pool->cluster = cluster;
		return 0;
	}
	/* A command on a handle that did not connect would wait for ever. */
	pool->dl->rados_shutdown(cluster);
	return rc;
}

int pool_failed(struct pool *pool, int rc, const char *what, struct err *err)
{
	if (rc == -ETIMEDOUT || rc == -ESHUTDOWN)
		pool_disconnect(pool);
	if (rc == -ETIMEDOUT)
		return err_set(err, rc, "%s: no answer within %u s", what, pool->timeout_s);
	return err_set(err, rc, "%s: %s", what, strerror(-rc));
}

int pool_command(struct pool *pool, const char *words, char **answer, size_t *size, struct err *err)
{
	int rc = pool_connect(pool, err);
	if (rc != 0)
		return rc;
	char json[128], *said;
	size_t said_size;
	snprintf(json, sizeof(json), "{\"prefix\": \"%s\", \"format\": \"json\"}", words);
	const char *command[] = {json};
	rc = pool->dl->rados_mon_command(
	    pool->cluster, command, 1, NULL, 0, answer, size, &said, &said_size);
	pool->dl->rados_buffer_free(said);
	if (rc == 0)
		return 0;
	pool->dl->rados_buffer_free(*answer);
	/* Of a command of the manager's it may be a positive errno. */
	return pool_failed(pool, rc > 0 ? -rc : rc, words, err);
}

/* One command, added to view. */
static int command_read(
    struct pool *pool, enum ceph_command command, struct ceph_view *view, struct err *err)
{
	char *answer;
	size_t size;
	int rc = pool_command(pool, ceph_command_words(command), &answer, &size, err);
	if (rc != 0)
		return rc;
	rc = ceph_answer_read(command, answer, size, view, err);
	pool->dl->rados_buffer_free(answer);
	return rc;
}

/* All that server has to say. */
static int server_ask(
    struct pool *pool, enum ceph_server server, struct ceph_view *view, struct err *err)
{
	unsigned given = 0;
	int first = 0;
	*view = (struct ceph_view){0};
	for (enum ceph_command command = 0; command < CEPH_COMMANDS; command++) {
		if (ceph_command_server(command) != server)
			continue;
		struct err why;
		int rc = command_read(pool, command, view, &why);
		given += rc == 0;
		if (rc != 0 && first == 0)
			first = err_set(err, rc, "%s", why.text);
		/* Whoever is stuck in one is stuck in all of them. */
		if (rc != 0 && (rc == -ETIMEDOUT || !pool->cluster))
			break;
	}
	return given > 0 ? 0 : first;
}

static int rbd_look(struct pool *pool, struct ceph_view *view, struct err *err)
{
	return server_ask(pool, CEPH_MONITORS, view, err);
}

static int rbd_measure(struct pool *pool, struct ceph_view *view, struct err *err)
{
	return server_ask(pool, CEPH_MANAGER, view, err);
}

const struct pool_port pool_rbd = {
    .name = "rbd",
    .open = rbd_open,
    .close = rbd_close,
    .look = rbd_look,
    .measure = rbd_measure,
    .lockers = pool_rbd_lockers,
    .unlock = pool_rbd_unlock,
};
