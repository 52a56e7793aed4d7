#include "node/vm/starting.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_LENGTH 1024
#define UUID_LETTERS	"0123456789abcdefABCDEF-"

static void starting_path(const char *directory, const char *uuid, char path[PATH_MAX_LENGTH])
{
	snprintf(path, PATH_MAX_LENGTH, "%s/starting/%s", directory, uuid);
}

int starting_note(const char *directory, const char *uuid)
{
	char path[PATH_MAX_LENGTH];
	/* It came through the log: nothing else may become a path. */
	if (!*uuid || uuid[strspn(uuid, UUID_LETTERS)])
		return -EINVAL;
	starting_path(directory, "", path);
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	starting_path(directory, uuid, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

void starting_clear(const char *directory, const char *uuid)
{
	char path[PATH_MAX_LENGTH];
	starting_path(directory, uuid, path);
	unlink(path);
}

void starting_each(const char *directory, void (*each)(void *data, const char *uuid), void *data)
{
	char path[PATH_MAX_LENGTH];
	starting_path(directory, "", path);
	DIR *dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *entry; (entry = readdir(dir));)
		if (*entry->d_name != '.')
			each(data, entry->d_name);
	closedir(dir);
}
