#include "tools/raft/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PART ".part"
#define TAIL "20260101T000000Z.tar" /* what follows the prefix: a date, and that */

struct archive {
	char parent[BACKUP_PATH_MAX / 4], base[256]; /* of the directory */
	char place[BACKUP_PATH_MAX / 4];
	char prefix[512]; /* of the name: base.mark.node. */
	char name[600];
};

/* A path without links, in two parts. */
static int split(const char *directory, struct archive *a, struct err *err)
{
	char *whole = realpath(directory, NULL);
	if (!whole)
		return err_set(err, -errno, "%s: %s", directory, strerror(errno));
	char *slash = strrchr(whole, '/');
	int result = 0;
	if (!slash[1] || strlen(whole) >= sizeof(a->parent) || strlen(slash) > sizeof(a->base))
		result = err_set(err, -EINVAL, "%s: no archive can be made of this", directory);
	if (!result) {
		snprintf(a->base, sizeof(a->base), "%s", slash + 1);
		*slash = '\0';
		snprintf(a->parent, sizeof(a->parent), "%s", *whole ? whole : "/");
	}
	free(whole);
	return result;
}

/* One that is whole. What was cut off on the way is no archive of anything: it is removed. */
static bool find_whole(struct archive *a)
{
	size_t prefix = strlen(a->prefix), whole = prefix + strlen(TAIL);
	bool found = false;
	DIR *dir = opendir(a->place);
	const struct dirent *at;
	while (dir && (at = readdir(dir))) {
		size_t size = strlen(at->d_name);
		/* A node's name can begin like another's, so the length must be right, too. */
		if (strncmp(at->d_name, a->prefix, prefix) != 0 || size < whole ||
		    strncmp(at->d_name + whole - strlen(".tar"), ".tar", strlen(".tar")) != 0)
			continue;
		if (!strcmp(at->d_name + whole, PART))
			unlinkat(dirfd(dir), at->d_name, 0);
		if (size != whole || whole >= sizeof(a->name))
			continue;
		memcpy(a->name, at->d_name, size + 1);
		found = true;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* tar --WHAT, with the archive as its standard output or input. */
static int run_tar(const char *what, const struct archive *a, int fd, struct err *err)
{
	char reserve[300], spare[300];
	snprintf(reserve, sizeof(reserve), "--exclude=%s/raft/reserve", a->base);
	snprintf(spare, sizeof(spare), "--exclude=%s/raft/spare", a->base);
	const char *const words[] = {
	    "tar", what, "--file=-", "--directory", a->parent, reserve, spare, "--", a->base, NULL};
	const char *path = getenv("PATH");
	char environment[BACKUP_PATH_MAX];
	snprintf(environment, sizeof(environment), "PATH=%s",
	    path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
	char *const env[] = {environment, "LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(
	    &actions, fd, strcmp(what, "--create") ? STDIN_FILENO : STDOUT_FILENO);
	int result = -posix_spawnp(&pid, "tar", &actions, NULL, (char *const *)words, env);
	posix_spawn_file_actions_destroy(&actions);
	if (result)
		return err_set(err, result, "tar cannot be run: %s", strerror(-result));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, -errno, "tar: %s", strerror(errno));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return err_set(err, -EIO, "tar %s failed; nothing was changed", what);
}

static int fill(const struct archive *a, int fd, struct err *err)
{
	int result = run_tar("--create", a, fd, err);
	if (!result && (fsync(fd) || lseek(fd, 0, SEEK_SET) < 0))
		result = err_set(err, -errno, "%s: %s", a->name, strerror(errno));
	return result ? result : run_tar("--compare", a, fd, err);
}

static int name_it(const struct archive *a, int dir, const char *part, struct err *err)
{
	/* Unlike a rename, a link never replaces anything. */
	if (linkat(dir, part, dir, a->name, 0) || unlinkat(dir, part, 0) || fsync(dir))
		return err_set(err, -errno, "%s/%s: %s", a->place, a->name, strerror(errno));
	return 0;
}

static int make(const struct archive *a, struct err *err)
{
	char part[640];
	snprintf(part, sizeof(part), "%s" PART, a->name);
	int dir = open(a->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, -errno, "%s: %s", a->place, strerror(errno));
	int fd = openat(dir, part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), result;
	if (fd < 0) {
		result = err_set(err, -errno, "%s/%s: %s", a->place, part, strerror(errno));
	} else {
		result = fill(a, fd, err);
		close(fd);
		if (!result)
			result = name_it(a, dir, part, err);
		if (result)
			unlinkat(dir, part, 0);
	}
	close(dir);
	return result;
}

int backup_make(const struct backup *backup, char path[BACKUP_PATH_MAX], struct err *err)
{
	struct archive a;
	char date[32];
	time_t now = time(NULL);
	struct tm utc;
	int result = split(backup->directory, &a, err);
	if (result)
		return result;
	snprintf(a.place, sizeof(a.place), "%s", backup->place ? backup->place : a.parent);
	snprintf(a.prefix, sizeof(a.prefix), "%s.%.64s.%.64s.", a.base, backup->mark, backup->node);
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
	if (!find_whole(&a)) {
		snprintf(a.name, sizeof(a.name), "%s%s.tar", a.prefix, date);
		result = make(&a, err);
	}
	snprintf(path, BACKUP_PATH_MAX, "%s/%s", a.place, a.name);
	return result ? err_wrap(err, result, "backup of %s", backup->directory) : 0;
}
