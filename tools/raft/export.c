/* pvc raft export: an archive for a bug report.
 *
 * It holds what this very program prints when it is asked the questions of export.def, so that
 * whoever reads it sees what the reporter would see. Everything goes through redact.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "node/config/config.h"
#include "node/operation/json.h"
#include "raft/replica.h"
#include "tools/cli.h"
#include "tools/client.h"
#include "tools/probe.h"
#include "tools/raft/command.h"
#include "tools/raft/redact.h"

#define ITEM_MS	    60000
#define TAR_MS	    120000
#define NOT_RUN	    126 /* an exit status that is none of ours */
#define LAST	    1000
#define WORDS_MAX   16
#define FILES_MAX   32
#define FOLDER	    "pvc-report"
#define PATH_SIZE   4096
#define TEXTS_BYTES 65536

enum item_when { ALWAYS, ASKED, READ_FROM_FILES };

static const struct item {
	const char *file;
	enum item_when when;
	const char *kind, *command;
} items[] = {
#define ITEM(file, when, kind, command) {file, when, kind, command},
#include "tools/raft/export.def"
#undef ITEM
};

struct file { /* of the report */
	const char *name;
	const char *kind;
	struct buffer text; /* ends with NUL, which is not counted */
};

struct report {
	const struct raft_call *call;
	struct config *config;
	bool configured, daemon;
	char data[PATH_SIZE], last[24];
	char directory[PATH_SIZE - 64]; /* a temporary one; "": none */
	struct file files[FILES_MAX];
	unsigned count;
	struct redact *redact;
};

/* A new file, to be filled. */
static struct buffer *add(struct report *r, const char *name, const char *kind)
{
	struct file *file = &r->files[r->count++];
	file->name = name;
	file->kind = kind;
	return &file->text;
}

/* What the program prints. */

struct question {
	const struct report *report;
	const struct item *item;
};

static const char *word_of(const struct report *r, const char *word)
{
	if (!strcmp(word, "@DATA"))
		return r->data;
	if (!strcmp(word, "@NODE"))
		return r->config->node;
	return strcmp(word, "@LAST") ? word : r->last;
}

static bool is_json(const char *file)
{
	const char *end = strrchr(file, '.');
	return end && !strcmp(end, ".json");
}

/* In a child: its output goes to out. JSON has its errors in it (answer.h), and nothing else. */
static int ask(void *data, int out)
{
	const struct question *q = data;
	char text[256], *rest = NULL;
	char *argv[WORDS_MAX + 1] = {"pvc"};
	unsigned n = 1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	snprintf(text, sizeof(text), "%s", q->item->command);
	for (char *word = strtok_r(text, " ", &rest); word && n < WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		argv[n++] = (char *)(uintptr_t)word_of(q->report, word);
	setenv("PVC_SOCKET", q->report->call->socket, 1);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(is_json(q->item->file) ? null : out, STDERR_FILENO);
	execv("/proc/self/exe", argv);
	return NOT_RUN;
}

/* In the place of what it would have printed. */
static void say_failed(const struct item *item, int result, struct buffer *text)
{
	const char *why = result == -ETIMEDOUT ? "no answer in time"
			  : result == -EFBIG   ? "it prints too much: ask for less with --last"
					       : "it did not end well";
	if (!is_json(item->file)) {
		buffer_print(text, "pvc %s: %s\n", item->command, why);
		return;
	}
	text->size = 0;
	buffer_print(text,
	    "{\"schema\": \"error/1\", \"error\": {\"code\": \"%s\", \"message\": "
	    "\"pvc %s: %s\"}}\n",
	    result < 0 ? strerrorname_np(-result) : "ENOEXEC", item->command, why);
}

static void collect_item(struct report *r, const struct item *item)
{
	struct question q = {.report = r, .item = item};
	struct probe probe;
	struct buffer *text = add(r, item->file, item->kind);
	int result = probe_start(&probe, ask, &q);
	if (!result)
		result = probe_finish(&probe, probe_now_ms() + ITEM_MS, text);
	if (result < 0 || result == NOT_RUN)
		say_failed(item, result, text);
}

/* What is said of the machine. */

static void collect_file(const char *path, struct buffer *text)
{
	char bytes[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	while (fd >= 0 && text->size < TEXTS_BYTES && (n = read(fd, bytes, sizeof(bytes))) > 0)
		buffer_append(text, bytes, (size_t)n);
	if (fd >= 0)
		close(fd);
}

static void collect_system(struct report *r)
{
	struct buffer *text = add(r, "system.txt", "name");
	struct utsname u;
	uname(&u);
	buffer_print(text, "pvc %s, libraft %s\n%s %s %s %s\n\n", PVC_VERSION,
	    replica_library_version(), u.sysname, u.release, u.version, u.machine);
	collect_file("/etc/os-release", text);
	buffer_print(text, "\n");
	collect_file("/proc/loadavg", text);
	collect_file("/proc/meminfo", text);
}

static void collect_readme(struct report *r)
{
	buffer_print(add(r, "README.txt", "name"),
	    "A report of pvc raft export%s.\n\n"
	    "The daemon %s. What begins with files- is read from the data directory.\n"
	    "Passwords, keys and join tokens are left out, always.\n",
	    json_is_true(json_object_get(r->call->arguments, "redact"))
		? " --redact: names, addresses, UUIDs, facts and XML are replaced"
		: "",
	    r->daemon ? "answers" : "does not answer");
}

static void collect_config(struct report *r)
{
	struct buffer *text = add(r, "config.yaml", "name");
	if (r->configured)
		config_print(r->config, text);
	else
		buffer_print(text, "(cannot be read: pvcnoded --check says why)\n");
}

static void collect(struct report *r)
{
	collect_readme(r);
	collect_config(r);
	collect_system(r);
	for (unsigned i = 0; i < sizeof(items) / sizeof(*items); i++)
		if (items[i].when == ALWAYS || (items[i].when == ASKED ? r->daemon : *r->data))
			collect_item(r, &items[i]);
	for (unsigned i = 0; i < r->count; i++) {
		buffer_append_u8(&r->files[i].text, 0);
		r->files[i].text.size--;
	}
}

/* Redaction. */

static void know_networks(struct redact *redact, const struct config_networks *networks)
{
	redact_name(redact, "domain", networks->upstream.domain);
	redact_name(redact, "domain", networks->cluster.domain);
	redact_name(redact, "domain", networks->storage.domain);
}

static void know_config(struct redact *redact, const struct config *c)
{
	for (unsigned i = 0; i < c->cluster.coordinators_count; i++)
		redact_name(redact, "node", c->cluster.coordinators[i]);
	redact_name(redact, "node", c->node);
	redact_name(redact, "cluster", c->cluster.name);
	redact_name(redact, "host", c->raft.address);
	redact_name(redact, "host", c->system.fencing.ipmi.host);
	redact_name(redact, "user", c->system.fencing.ipmi.user);
	know_networks(redact, &c->cluster.networks);
	if (config_secret_known(c->system.fencing.ipmi.pass))
		redact_secret(redact, c->system.fencing.ipmi.pass);
}

static void know(struct report *r)
{
	struct utsname u;
	bool names = json_is_true(json_object_get(r->call->arguments, "redact"));
	r->redact = redact_new(names ? REDACT_NAMES : REDACT_SECRETS);
	if (r->configured)
		know_config(r->redact, r->config);
	uname(&u);
	redact_name(r->redact, "host", u.nodename);
	for (unsigned i = 0; i < r->count; i++)
		redact_learn(r->redact, r->files[i].kind, (const char *)r->files[i].text.data);
}

/* The archive. */

static int write_file(const struct report *r, const struct file *file, struct err *err)
{
	char path[PATH_SIZE];
	struct buffer text = {0};
	snprintf(path, sizeof(path), "%s/" FOLDER "/%s", r->directory, file->name);
	redact_text(r->redact, (const char *)file->text.data, &text);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ssize_t n = fd < 0 ? -1 : write(fd, text.data, text.size);
	int result = n < 0 ? -errno : (size_t)n < text.size ? -ENOSPC : 0;
	if (fd >= 0)
		close(fd);
	buffer_close(&text);
	return result ? err_set(err, result, "%.400s: %s", path, strerror(-result)) : 0;
}

static int write_files(struct report *r, struct err *err)
{
	const char *parent = getenv("TMPDIR");
	char folder[PATH_SIZE];
	int result = 0;
	snprintf(r->directory, sizeof(r->directory), "%.3900s/pvc-export-XXXXXX",
	    parent && *parent ? parent : "/tmp");
	if (!mkdtemp(r->directory)) {
		result = err_set(err, -errno, "%.400s: %s", r->directory, strerror(errno));
		*r->directory = '\0';
		return result;
	}
	snprintf(folder, sizeof(folder), "%s/" FOLDER, r->directory);
	if (mkdir(folder, 0755))
		return err_set(err, -errno, "%.400s: %s", folder, strerror(errno));
	for (unsigned i = 0; i < r->count && !result; i++)
		result = write_file(r, &r->files[i], err);
	return result;
}

static void remove_files(const struct report *r)
{
	char path[PATH_SIZE];
	if (!*r->directory)
		return;
	for (unsigned i = 0; i < r->count; i++) {
		snprintf(path, sizeof(path), "%s/" FOLDER "/%s", r->directory, r->files[i].name);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/" FOLDER, r->directory);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/" FOLDER ".tar.gz", r->directory);
	unlink(path);
	rmdir(r->directory);
}

static int tar(void *data, int out)
{
	const struct report *r = data;
	char archive[PATH_SIZE];
	snprintf(archive, sizeof(archive), "%s/" FOLDER ".tar.gz", r->directory);
	char *const argv[] = {"tar", "--owner=0", "--group=0", "--numeric-owner", "-C",
	    (char *)(uintptr_t)r->directory, "-czf", archive, FOLDER, NULL};
	struct buffer said = {0};
	int result = probe_program(argv, NULL, &said);
	if (result && write(out, said.data, said.size) < 0)
		return 1;
	return result == -ENOENT ? 127 : result ? 1 : 0;
}

static int make_archive(struct report *r, struct err *err)
{
	struct probe probe;
	struct buffer said = {0};
	int result = probe_start(&probe, tar, r);
	if (!result)
		result = probe_finish(&probe, probe_now_ms() + TAR_MS, &said);
	if (result == 127)
		result = err_set(err, -ENOENT, "tar is not installed");
	else if (result)
		result = err_set(err, -EIO, "tar failed: %.*s",
		    (int)(said.size < 200 ? said.size : 200), (const char *)said.data);
	buffer_close(&said);
	return result;
}

static int copy(int from, int to)
{
	struct stat st;
	off_t at = 0;
	if (fstat(from, &st))
		return -errno;
	while (at < st.st_size)
		if (sendfile(to, from, &at, (size_t)(st.st_size - at)) <= 0)
			return errno ? -errno : -EIO;
	return 0;
}

/* To the file that was named, which must not be there, or standard output. */
static int hand_over(const struct report *r, struct err *err)
{
	const char *name = raft_text(r->call, "file");
	char archive[PATH_SIZE];
	bool piped = !strcmp(name, "-");
	snprintf(archive, sizeof(archive), "%s/" FOLDER ".tar.gz", r->directory);
	int from = open(archive, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return err_set(err, -errno, "%.400s: %s", archive, strerror(errno));
	int to = piped ? STDOUT_FILENO : open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int result = to < 0 ? -errno : copy(from, to);
	close(from);
	if (to >= 0 && !piped)
		close(to);
	return result ? err_set(err, result, "%.400s: %s", name, strerror(-result)) : 0;
}

static void tell(const struct report *r)
{
	const char *file = raft_text(r->call, "file");
	if (!r->call->json) {
		fprintf(
		    stderr, "%s holds %u files: look at them before you send it\n", file, r->count);
		return;
	}
	json_t *names = json_array();
	for (unsigned i = 0; i < r->count; i++)
		json_array_append_new(names, json_text(r->files[i].name));
	raft_show(r->call, "",
	    json_pack("{s:s, s:o, s:o}", "schema", "raft-export/1", "file", json_text(file),
		"files", names));
}

static void prepare(struct report *r)
{
	const struct raft_call *call = r->call;
	const char *data = raft_text(call, "data"), *last = "last";
	struct buffer problems = {0};
	struct client *client;
	struct err err;
	r->configured = !config_load(r->config, config_path(raft_text(call, "config")), &problems);
	buffer_close(&problems);
	if (!data && r->configured)
		data = r->config->system.configuration.directories.data_directory;
	snprintf(r->data, sizeof(r->data), "%s", data ? data : "");
	snprintf(r->last, sizeof(r->last), "%" PRIu64,
	    raft_number(call, last) ? raft_number(call, last) : LAST);
	r->daemon = !raft_text(call, "data") && !client_open(&client, call->socket, &err);
	if (r->daemon)
		client_close(client);
}

int raft_export(const struct raft_call *call)
{
	struct report *r = must_alloc(sizeof(*r));
	struct err err;
	r->call = call;
	r->config = must_alloc(sizeof(*r->config));
	fflush(NULL);
	prepare(r);
	collect(r);
	know(r);
	int result = write_files(r, &err);
	if (!result)
		result = make_archive(r, &err);
	if (!result)
		result = hand_over(r, &err);
	remove_files(r);
	if (!result && strcmp(raft_text(call, "file"), "-") != 0)
		tell(r);
	for (unsigned i = 0; i < r->count; i++)
		buffer_close(&r->files[i].text);
	redact_free(r->redact);
	explicit_bzero(r->config, sizeof(*r->config));
	free(r->config);
	free(r);
	return result ? raft_fail(call, result, &err) : CLI_DONE;
}
