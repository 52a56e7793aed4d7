/* What is wrong with the files of a data directory. Read in a process of its own: the disk may be
 * what hangs. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "fsm/cluster.h"
#include "node/operation/json.h"
#include "node/member/removal.h"
#include "raft/identity.h"
#include "raft/inspect.h"
#include "tools/probe.h"
#include "tools/raft/doctor.h"
#include "tools/replay.h"

#define READ_MS	       60000
#define ROOM_CRITICAL  64 /* MiB */
#define ROOM_LOW       1024
#define PROBLEMS_MAX   5 /* shown one by one */
#define RENEW_WITHIN_S (30 * 86400)
#define DAY_S	       86400
#define JOIN_ANEW                                                                                  \
	"pvc cluster member remove NODE on another one; move the directory away; join anew"

struct reading {
	const struct doctor *d;
	json_t *findings, *node, *checked;
	uint32_t id; /* 0: not known */
	unsigned problems; /* of verify */
};

__attribute__((format(printf, 5, 6))) static void say(struct reading *r, const char *severity,
    const char *about, const char *next, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	doctor_say(r->findings, severity, about, text, next);
}

static void looked_at(struct reading *r, const char *what)
{
	json_array_append_new(r->checked, json_string(what));
}

/* 0: there is a directory. */
static int read_directory(struct reading *r)
{
	const char *path = r->d->directory;
	struct stat st;
	if (stat(path, &st)) {
		say(r, "critical", "directory", "is this the right directory? pvcnoded --check",
		    "%.300s: %s", path, strerror(errno));
		return -errno;
	}
	if (!S_ISDIR(st.st_mode)) {
		say(r, "critical", "directory", "is this the right directory? pvcnoded --check",
		    "%.300s is no directory", path);
		return -ENOTDIR;
	}
	looked_at(r, "directory");
	return 0;
}

static void judge_mode(struct reading *r)
{
	const char *path = r->d->directory;
	char next[300];
	struct stat st;
	snprintf(next, sizeof(next), "chmod 700 %.256s", path);
	if (!stat(path, &st) && st.st_mode & 0077)
		say(r, "warning", "directory", next,
		    "%.300s has mode %04o: others can look into it", path,
		    (unsigned)st.st_mode & 07777);
}

static void read_room(struct reading *r)
{
	struct statvfs fs;
	if (statvfs(r->d->directory, &fs))
		return;
	looked_at(r, "room");
	uint64_t mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
	if (mib < ROOM_LOW)
		say(r, mib < ROOM_CRITICAL ? "critical" : "warning", "disk",
		    "make room: a node with a full disk can be no leader",
		    "%" PRIu64 " MiB are free on the file system of %.300s", mib, r->d->directory);
}

/* Who the node is. */

static void judge_validity(struct reading *r, const struct identity_files *files)
{
	struct identity_validity v;
	char until[32];
	struct tm then;
	if (identity_validity(
		(const char *)files->certificate.data, files->certificate.size, &v, NULL))
		return;
	time_t seconds = (time_t)v.until_s;
	gmtime_r(&seconds, &then);
	strftime(until, sizeof(until), "%Y-%m-%d", &then);
	json_object_set_new(r->node, "certificate_until", json_string(until));
	int64_t left_s = v.until_s - (int64_t)time(NULL);
	if (left_s < RENEW_WITHIN_S)
		say(r, "warning", "certificate", "keep pvcnoded running: it renews it by itself",
		    "this node's certificate is good until %s: %" PRId64 " days", until,
		    left_s / DAY_S);
}

/* 0: there is, or was, a node. */
static int read_identity(struct reading *r)
{
	struct identity_files files;
	struct identity who;
	struct err err;
	char path[DOCTOR_PATH_MAX + 32], key[DOCTOR_PATH_MAX + 32];
	snprintf(path, sizeof(path), "%s/identity", r->d->directory);
	snprintf(key, sizeof(key), "%s/join.key", r->d->directory);
	int result = identity_load(path, &files, &who, &err);
	bool joining = !access(key, F_OK);
	if (result == -ENOENT && access(path, F_OK)) {
		say(r, "critical", "identity",
		    joining ? "pvc cluster join TOKEN: the same again goes on where it was cut off"
			    : "pvc cluster bootstrap, or pvc cluster join TOKEN",
		    joining ? "a join was begun here and not finished"
			    : "this machine is of no cluster yet");
		return -ENOENT;
	}
	looked_at(r, "identity");
	if (result == -EKEYEXPIRED)
		say(r, "critical", "certificate",
		    "set the clock, if it is wrong: timedatectl; else start pvcnoded, which "
		    "renews it where a CA's key is, or " JOIN_ANEW,
		    "%.400s", err.text);
	else if (result) {
		say(r, "critical", "identity",
		    result == -EPERM ? "chmod 600 of that file"
				     : "put the file back from a backup, or " JOIN_ANEW,
		    "%.400s", err.text);
		return 0;
	}
	r->id = (uint32_t)who.id;
	json_object_set_new(r->node, "id", json_u64(who.id));
	json_object_set_new(r->node, "node", json_text(who.name));
	judge_validity(r, &files);
	identity_files_close(&files);
	return 0;
}

/* The log. */

static void found(void *data, const struct inspect_finding *f)
{
	struct reading *r = data;
	if (!f->problem || r->problems++ >= PROBLEMS_MAX)
		return;
	say(r, "critical", "log", "the daemon sets such a log aside; then " JOIN_ANEW,
	    "%s at %" PRIu64 ": %s", f->file, f->offset, f->text);
}

/* Its value may say so, or its daemon was told, and has ended. */
static void judge_removal(struct reading *r, const struct inspect *in)
{
	char note[REMOVAL_NOTE_MAX];
	struct replay replay;
	bool told = !removal_note_read(r->d->directory, note), removed = false;
	if (!replay_run(&replay, in, 0, NULL)) {
		removed = removal_of(&replay.cluster, r->id);
		replay_close(&replay);
	}
	if (removed || told)
		say(r, "critical", DOCTOR_REMOVAL, DOCTOR_REMOVED_NEXT,
		    "this node was removed from the cluster: %s",
		    removed ? "its own value says so" : note);
}

static void judge_files(struct reading *r, const struct inspect *in)
{
	struct inspect_status s;
	inspect_status(in, &s);
	if (!s.version && !s.last && !s.problems) {
		say(r, "critical", "log", JOIN_ANEW,
		    "the log is gone, and this node's vote with it: under this id it must never "
		    "come back");
		return;
	}
	inspect_verify(in, found, r);
	replay_verify(in, found, r);
	if (r->problems > PROBLEMS_MAX)
		say(r, "critical", "log", "pvc raft verify shows all",
		    "%u more problems like these", r->problems - PROBLEMS_MAX);
	if (!r->d->daemon && s.in_use)
		say(r, "critical", "daemon", "pvc -s SOCKET, or systemctl restart pvcnoded",
		    "a daemon has this directory open, but was not asked or does not answer");
}

static void read_log(struct reading *r)
{
	char path[DOCTOR_PATH_MAX + 32];
	struct inspect *in;
	struct err err;
	snprintf(path, sizeof(path), "%s/raft", r->d->directory);
	int result = inspect_open(&in, path, &err);
	if (result) {
		bool gone = result == -ENOENT;
		say(r, "critical", "log", gone ? JOIN_ANEW : "do this as root", "%.400s", err.text);
		return;
	}
	looked_at(r, "log");
	judge_files(r, in);
	judge_removal(r, in);
	inspect_close(in);
}

/* Logs that were set aside, for they were damaged or nobody's. */
static void read_aside(struct reading *r)
{
	char path[DOCTOR_PATH_MAX + 32];
	snprintf(path, sizeof(path), "%s/raft", r->d->directory);
	DIR *directory = opendir(path);
	const struct dirent *entry;
	while (directory && (entry = readdir(directory)))
		if (!strncmp(entry->d_name, "corrupt-", 8))
			say(r, "warning", "log",
			    "remove it when nobody wants to look at it any more",
			    "an older log was set aside: %.200s/%s", path, entry->d_name);
	if (directory)
		closedir(directory);
}

/* In the child: {"findings", "node", "checked"} to out. */
static int read_all(void *data, int out)
{
	struct reading r = {
	    .d = data,
	    .findings = json_array(),
	    .node = json_object(),
	    .checked = json_array(),
	};
	if (!read_directory(&r) && !read_identity(&r)) {
		judge_mode(&r);
		read_room(&r);
		read_log(&r);
		read_aside(&r);
	}
	json_t *all = json_pack(
	    "{s:o, s:o, s:o}", "findings", r.findings, "node", r.node, "checked", r.checked);
	int result = json_dumpfd(all, out, JSON_COMPACT);
	json_decref(all);
	return result ? 1 : 0;
}

void doctor_read(struct doctor *d)
{
	struct probe probe;
	struct buffer out = {0};
	fflush(NULL);
	int result = probe_start(&probe, read_all, d);
	if (!result)
		result = probe_finish(&probe, probe_now_ms() + READ_MS, &out);
	json_t *all = result ? NULL : json_loadb((char *)out.data, out.size, 0, NULL);
	buffer_close(&out);
	if (all) {
		json_array_extend(d->findings, json_object_get(all, "findings"));
		json_array_extend(d->checked, json_object_get(all, "checked"));
		json_object_update(d->node, json_object_get(all, "node"));
	} else {
		doctor_say(d->findings, "critical", "disk",
		    result == -ETIMEDOUT ? "the data directory cannot be read: its disk hangs"
					 : "reading the data directory crashed",
		    "dmesg | tail; is the disk well?");
	}
	json_decref(all);
}
