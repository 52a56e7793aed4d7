#include "tools/founding.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/log_writer.h"
#include "tools/probe.h"

#define LOOK_MS 5000

void founding_of(struct founding *f, const struct config *config)
{
	*f = (struct founding){0};
	snprintf(f->data, sizeof(f->data), "%s",
	    config->system.configuration.directories.data_directory);
	snprintf(f->identity, sizeof(f->identity), "%s/identity", f->data);
	snprintf(f->log, sizeof(f->log), "%s/raft", f->data);
	snprintf(f->join_key, sizeof(f->join_key), "%s/join.key", f->data);
}

/* What is here. */

static int look(const struct founding *f, struct err *err)
{
	struct identity_files files;
	struct identity who;
	int result = identity_load(f->identity, &files, &who, err);
	/* It is written whole: somebody has lost a part of it, and the log is still good. */
	if (result == -ENOENT && access(f->identity, F_OK) == 0)
		return err_set(err, -EEXIST,
		    "%s is there, but a file of it is missing; nothing was changed", f->identity);
	if (result == -ENOENT || result == -ENOTDIR)
		return 0;
	if (result && result != -EKEYEXPIRED)
		return err_wrap(err, -EEXIST, "a node is here, but not well; nothing was changed");
	identity_files_close(&files);
	return err_set(err, -EEXIST,
	    "%s is node %" PRIu64 " (%s) of the cluster %s already; nothing was changed", f->data,
	    who.id, who.name, who.cluster);
}

static int look_aside(void *data, int out)
{
	struct err err;
	if (!look(data, &err))
		return 0;
	return write(out, err.text, strlen(err.text)) < 0 ? 2 : 1;
}

int founding_look(const struct founding *f, struct err *err)
{
	struct probe probe;
	struct buffer out = {0};
	int result = probe_start(&probe, look_aside, (void *)(uintptr_t)f);
	if (!result)
		result = probe_finish(&probe, probe_now_ms() + LOOK_MS, &out);
	if (result > 0)
		result = err_set(err, -EEXIST, "%.*s", (int)out.size, (const char *)out.data);
	else if (result == -ETIMEDOUT)
		err_set(err, result, "%s cannot be read within %d s: its disk hangs", f->data,
		    LOOK_MS / 1000);
	else if (result)
		err_set(err, result, "%s: %s", f->data, strerror(-result));
	buffer_close(&out);
	return result;
}

/* The directory. */

/* So that a directory is still there after a power cut. */
static void sync_parent(char *path, char *slash)
{
	*slash = '\0';
	int fd = open(*path ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

int founding_directory(struct founding *f, struct err *err)
{
	char path[sizeof(f->data)];
	snprintf(path, sizeof(path), "%s", f->data);
	for (char *end = path + 1;; end++) {
		char was = *end;
		if (was != '/' && was != '\0')
			continue;
		*end = '\0';
		mode_t mode = was ? 0755 : 0700;
		bool made = mkdir(path, mode) == 0;
		if (!made && errno != EEXIST)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
		/* The umask may have taken bits; somebody else may have made it wider. */
		if ((made || !was) && chmod(path, mode))
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
		f->directories_made += made;
		if (made)
			sync_parent(path, strrchr(path, '/'));
		*end = was;
		if (!was)
			return 0;
	}
}

void founding_directory_undo(struct founding *f)
{
	char path[sizeof(f->data)];
	snprintf(path, sizeof(path), "%s", f->data);
	for (; f->directories_made && !rmdir(path); f->directories_made--)
		*strrchr(path, '/') = '\0';
}

/* The log. */

/* A log without an identity is of nobody any more: kept aside. */
static int open_empty(struct founding *f, struct log_writer *w, struct err *err)
{
	int result = log_writer_open(w, f->log, err);
	const struct disk_state *state = &w->state;
	bool used = !result && (state->n || state->has_snapshot || state->term > 1);
	if (used)
		log_writer_close(w);
	else if (result != -EBADMSG)
		return result;
	result = wal_set_aside(f->log, f->aside, err);
	if (result)
		return result;
	f->log_set_aside = true;
	return log_writer_open(w, f->log, err);
}

/* The log of a new member: term 1, without which the daemon takes it for lost, and on the first
 * node one entry, which makes it the only voter. */
int founding_log(struct founding *f, const struct buffer *configuration, struct err *err)
{
	struct disk_entry entry = {
	    .term = 1,
	    .type = DISK_CHANGE,
	    .size = (uint32_t)configuration->size,
	    .data = configuration->data,
	};
	struct disk_request requests[] = {
	    {.type = DISK_VOTE, .vote = {.term = 1}},
	    {.type = DISK_APPEND, .append = {.index = 1, .entries = &entry, .n = 1}},
	};
	struct log_writer w;
	if (mkdir(f->log, 0700) && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", f->log, strerror(errno));
	int result = open_empty(f, &w, err);
	if (result)
		return result;
	result = log_writer_write(&w, requests, configuration->size ? 2 : 1);
	log_writer_close(&w);
	return result ? err_set(err, result, "%s: %s", f->log, strerror(-result)) : 0;
}

/* The plan. */

enum made_at { EVERYBODY, JOINING, COORDINATORS };

static bool made_at(enum made_at where, enum founding_role role)
{
	switch (where) {
	case EVERYBODY:
		break;
	case JOINING:
		return role != FOUNDING_FIRST;
	case COORDINATORS:
		return role != FOUNDING_OTHER;
	}
	return true;
}

json_t *founding_plan(const struct founding *f, enum founding_role role)
{
#define MADE(path, mode, where, what) {path, mode, where, what},
	static const struct {
		const char *path;
		unsigned mode;
		enum made_at where;
		const char *what;
	} all[] = {
#include "tools/founding.def"
	};
#undef MADE
	json_t *list = json_array();
	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (made_at(all[i].where, role))
			json_array_append_new(
			    list, json_pack("{s:o, s:o, s:s}", "path",
				      json_sprintf("%s%s", f->data, all[i].path), "mode",
				      json_sprintf("%04o", all[i].mode), "what", all[i].what));
	return list;
}
