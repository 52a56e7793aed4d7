/* The checks of a machine by itself: its configuration, disk and clock. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "tools/probe.h"
#include "tools/survey_check.h"

#define PATH_SIZE      1024
#define ROOM_LEAST_MIB 64 /* a segment, the one after it, and the reserve */
#define ROOM_MIB       1024
#define WRITES	       64
#define WRITES_LEAST   3
#define WRITES_MS      2000 /* no more of them after that */
#define WRITE_BYTES    4096u
#define WRITE_SLOW_US  10000
#define YEAR_LEAST     2024
#define YEAR_MOST      2100

/* Configuration. */

static bool is_coordinator(const struct config *c)
{
	for (unsigned i = 0; i < c->cluster.coordinators_count; i++)
		if (!strcmp(c->cluster.coordinators[i], c->node))
			return true;
	return false;
}

static void judge_secret(const struct survey_report *report)
{
	const struct survey_subject *s = report->subject;
	char advice[SURVEY_TEXT_MAX];
	struct stat st;
	if (!config_secret_known(s->config->system.fencing.ipmi.pass) ||
	    stat(s->config_path, &st) || !(st.st_mode & 0077))
		return;
	snprintf(advice, sizeof(advice), "chmod 600 %.256s", s->config_path);
	survey_say(report, SURVEY_WARNING, advice,
	    "%.200s holds the IPMI password and has mode %04o", s->config_path,
	    (unsigned)st.st_mode & 07777);
}

void survey_configuration(const struct survey_report *report)
{
	const struct config *c = report->subject->config;
	unsigned voters = c->cluster.coordinators_count;
	const char *part = c->mode == MODE_WITNESS ? "a witness"
			   : is_coordinator(c)	   ? "a coordinator"
						   : "no coordinator";
	char advice[SURVEY_TEXT_MAX];
	if (!report->subject->token && (c->mode == MODE_WITNESS || !is_coordinator(c))) {
		snprintf(advice, sizeof(advice),
		    "begin with a coordinator, or add %s to pvc.cluster.coordinators", c->node);
		survey_say(report, SURVEY_FAILED, advice,
		    "the first node must be a coordinator, and %s is %s", c->node, part);
	} else {
		survey_say(report, SURVEY_OK, "", "%.200s: node %s, %s of the cluster %s",
		    report->subject->config_path, c->node, part, c->cluster.name);
	}
	if (voters > 1 && voters % 2 == 0)
		survey_say(report, SURVEY_WARNING,
		    "have an odd number of them, or add a witness (pvc.mode: witness)",
		    "%u coordinators: no more of them may fail than of %u", voters, voters - 1);
	judge_secret(report);
}

/* The data directory. */

static const char *data_directory(const struct survey_report *report)
{
	return report->subject->config->system.configuration.directories.data_directory;
}

/* What of the path is there. 0 or -errno. */
static int nearest_directory(const char *path, char found[PATH_SIZE], struct stat *st)
{
	snprintf(found, PATH_SIZE, "%s", path);
	while (stat(found, st)) {
		char *slash = strrchr(found, '/');
		if (errno != ENOENT || !slash)
			return -errno;
		slash[slash == found] = '\0';
	}
	return S_ISDIR(st->st_mode) ? 0 : -ENOTDIR;
}

/* Left by a bootstrap or join that was cut off, or by the file system. */
static bool is_known(const char *name)
{
	static const char *const known[] = {
	    ".", "..", "contacts", "identity.new", "join.key", "lost+found", "raft"};
	for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i], name))
			return true;
	return false;
}

static void judge_content(const struct survey_report *report, const char *path)
{
	char strange[200] = "";
	unsigned ours = 0;
	DIR *directory = opendir(path);
	const struct dirent *entry;
	if (!directory) {
		survey_say(report, SURVEY_FAILED, "", "%s: %s", path, strerror(errno));
		return;
	}
	while ((entry = readdir(directory))) {
		size_t used = strlen(strange);
		ours += is_known(entry->d_name) && entry->d_name[0] != '.' &&
			strcmp(entry->d_name, "lost+found") != 0;
		if (is_known(entry->d_name))
			continue;
		if (used + strlen(entry->d_name) + 3 < sizeof(strange))
			snprintf(strange + used, sizeof(strange) - used, "%s%s", used ? ", " : "",
			    entry->d_name);
	}
	closedir(directory);
	if (*strange)
		survey_say(report, SURVEY_WARNING,
		    "a directory of its own is better; these files are left alone",
		    "%s holds what is not pvc's: %s", path, strange);
	else if (ours)
		survey_say(report, SURVEY_OK, "",
		    "%s was begun and never finished: this goes on with it", path);
	else
		survey_say(report, SURVEY_OK, "", "%s is empty", path);
}

static void judge_file_system(const struct survey_report *report, const char *found)
{
	struct statfs fs;
	if (statfs(found, &fs))
		return;
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		survey_say(report, SURVEY_WARNING, "use a disk, but for demonstrations",
		    "%s is in memory: the node forgets all when the machine is restarted", found);
	else if (fs.f_type == NFS_SUPER_MAGIC || fs.f_type == (long)SMB2_SUPER_MAGIC)
		survey_say(report, SURVEY_WARNING, "use a disk of this machine",
		    "%s is on a network: when that fails, so does this node", found);
}

void survey_directory(const struct survey_report *report)
{
	const char *path = data_directory(report);
	char found[PATH_SIZE];
	struct stat st;
	int result = nearest_directory(path, found, &st);
	if (result) {
		survey_say(report, SURVEY_FAILED, "make it a directory, or set data_directory",
		    "%s: %s", found, strerror(-result));
		return;
	}
	if (access(found, W_OK | X_OK)) {
		survey_say(report, SURVEY_FAILED, geteuid() ? "do this as root" : "",
		    "%s cannot be written: %s", found, strerror(errno));
		return;
	}
	if (strcmp(found, path) != 0)
		survey_say(report, SURVEY_OK, "", "%s is not there yet", path);
	else
		judge_content(report, path);
	judge_file_system(report, found);
}

void survey_room(const struct survey_report *report)
{
	char found[PATH_SIZE];
	struct stat st;
	struct statfs fs;
	if (nearest_directory(data_directory(report), found, &st) || statfs(found, &fs))
		return;
	uint64_t mib = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >> 20;
	if (mib < ROOM_LEAST_MIB)
		survey_say(report, SURVEY_FAILED, "make room, or set data_directory",
		    "%" PRIu64 " MiB are free on the file system of %s, %d are needed", mib, found,
		    ROOM_LEAST_MIB);
	else if (mib < ROOM_MIB)
		survey_say(report, SURVEY_WARNING, "a node with a full disk is no coordinator",
		    "only %" PRIu64 " MiB are free on the file system of %s", mib, found);
	else
		survey_say(report, SURVEY_OK, "",
		    "%" PRIu64 " GiB are free on the file system of %s", mib >> 10, found);
}

/* How long a durable write takes. */

/* A file that nobody sees, and that is gone however this process ends. */
static int scratch_open(const char *directory)
{
	char name[PATH_SIZE + 16];
	int fd = open(directory, O_TMPFILE | O_RDWR | O_DSYNC | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	snprintf(name, sizeof(name), "%s/.pvc-XXXXXX", directory);
	fd = mkostemp(name, O_DSYNC | O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* As the log does: in place, over zeros that were written before. Returns how many were timed,
 * or -errno. */
static int writes_time(int fd, uint64_t took_us[WRITES])
{
	static const char zeros[WRITES * WRITE_BYTES];
	static char bytes[WRITE_BYTES];
	uint64_t begun_us = now_us();
	int n = 0;
	if (pwrite(fd, zeros, sizeof(zeros), 0) != (ssize_t)sizeof(zeros))
		return errno ? -errno : -ENOSPC;
	memset(bytes, 'p', sizeof(bytes));
	while (n < WRITES && (n < WRITES_LEAST || now_us() < begun_us + WRITES_MS * 1000)) {
		uint64_t before_us = now_us();
		if (pwrite(fd, bytes, sizeof(bytes), n * (off_t)WRITE_BYTES) < 0)
			return -errno;
		took_us[n++] = now_us() - before_us;
	}
	qsort(took_us, (size_t)n, sizeof(*took_us), by_size);
	return n;
}

void survey_writes(const struct survey_report *report)
{
	char found[PATH_SIZE];
	uint64_t took_us[WRITES];
	struct stat st;
	if (nearest_directory(data_directory(report), found, &st))
		return;
	int fd = scratch_open(found);
	int n = fd < 0 ? -errno : writes_time(fd, took_us);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		survey_say(
		    report, SURVEY_WARNING, "", "cannot be timed in %s: %s", found, strerror(-n));
		return;
	}
	uint64_t median_us = took_us[n / 2];
	bool slow = median_us > WRITE_SLOW_US;
	survey_say(report, slow ? SURVEY_WARNING : SURVEY_OK,
	    slow ? "every change waits for one: use a faster disk, or one with a power-safe cache"
		 : "",
	    "4 KiB take %" PRIu64 ".%02" PRIu64 " ms in %s (median of %d)", median_us / 1000,
	    median_us % 1000 / 10, found, n);
}

/* The clock. */

void survey_clock(const struct survey_report *report)
{
	struct timex state = {0};
	char text[40] = "";
	struct tm now;
	time_t seconds = time(NULL);
	gmtime_r(&seconds, &now);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &now);
	int year = now.tm_year + 1900;
	if (year < YEAR_LEAST || year > YEAR_MOST) {
		survey_say(report, SURVEY_FAILED, "set it: certificates hold from now on",
		    "says %s", text);
		return;
	}
	int answer = adjtimex(&state);
	if (answer < 0)
		survey_say(report, SURVEY_WARNING, "", "%s; the kernel does not tell more: %s",
		    text, strerror(errno));
	else if (answer == TIME_ERROR || state.status & STA_UNSYNC)
		survey_say(report, SURVEY_WARNING,
		    "run chrony or systemd-timesyncd: certificates and log lines need the time",
		    "%s; nothing keeps it right", text);
	else
		survey_say(report, SURVEY_OK, "", "%s, kept right", text);
}
