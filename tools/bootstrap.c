/* pvc cluster bootstrap, pvc cluster join: from a bare machine to a member.
 *
 * Each makes the data directory and, last of all and at once, its identity/: as
 * long as that is missing nothing has happened, and the command can be repeated.
 * Where it is there, nothing is touched. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/config.h"
#include "node/contacts.h"
#include "raft/guest.h"
#include "raft/replica.h"
#include "raft/token.h"
#include "raft/wal.h"
#include "tools/applet.h"

#define JOIN_TIMEOUT_MS 30000

struct bootstrap {
	const char *config_path;
	bool plan;
	const char *token;
	struct config config;
	char data[512], identity[600], log[600], join_key[600];
	struct err err;
};

static int fail(const struct bootstrap *b, const char *command)
{
	fprintf(stderr, "pvc cluster %s: %s\n", command, b->err.text);
	return 1;
}

static const char bootstrap_usage[] =
    "usage: pvc cluster bootstrap [--config FILE] [--plan]\n"
    "Make this machine the first node of a new cluster: data directory, certificate\n"
    "authority, certificate and log. --plan says what would be done and does nothing.\n";
static const char join_usage[] =
    "usage: pvc cluster join TOKEN [--config FILE]\n"
    "Make this machine a node of the cluster that gave the token (pvc cluster token).\n";

static int usage(FILE *out, const char *command, int code)
{
	fputs(!strcmp(command, "bootstrap") ? bootstrap_usage : join_usage, out);
	return code;
}

/* -1: go on; else the exit status. */
static int parse(struct bootstrap *b, const char *command, int argc, char **argv)
{
	bool join = !strcmp(command, "join");
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return usage(stdout, command, 0);
		if ((!strcmp(argv[i], "--config") || !strcmp(argv[i], "-c")) && argv[i + 1])
			b->config_path = argv[++i];
		else if (!join && !strcmp(argv[i], "--plan"))
			b->plan = true;
		else if (join && argv[i][0] != '-' && !b->token)
			b->token = argv[i];
		else
			return usage(stderr, command, 2);
	}
	if (join && !b->token)
		return usage(stderr, command, 2);
	struct buffer problems = {0};
	if (config_load(&b->config, config_path(b->config_path), &problems)) {
		fprintf(stderr, "%.*s", (int)problems.size, (char *)problems.data);
		buffer_close(&problems);
		return 2;
	}
	const char *data = b->config.system.configuration.directories.data_directory;
	snprintf(b->data, sizeof(b->data), "%s", data);
	snprintf(b->identity, sizeof(b->identity), "%s/identity", b->data);
	snprintf(b->log, sizeof(b->log), "%s/raft", b->data);
	snprintf(b->join_key, sizeof(b->join_key), "%s/join.key", b->data);
	return -1;
}

static bool is_coordinator(const struct config *c)
{
	for (unsigned i = 0; i < c->cluster.coordinators_count; i++)
		if (!strcmp(c->cluster.coordinators[i], c->node))
			return true;
	return false;
}

static int make_directory(struct bootstrap *b, const char *path)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_set(&b->err, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

/* What is here already? 0: nothing; 1: a member; else -errno. */
static int look(struct bootstrap *b)
{
	struct identity_files files;
	struct identity who;
	int result = identity_load(b->identity, &files, &who, &b->err);
	/* It is written whole: somebody has lost a part of it, and the log is still good. */
	if (result == -ENOENT && access(b->identity, F_OK) == 0)
		return err_set(&b->err, -EEXIST,
		    "%s is there, but a file of it is missing; nothing was changed", b->identity);
	if (result == -ENOENT)
		return 0;
	if (result)
		return result;
	identity_files_close(&files);
	err_set(&b->err, -EEXIST,
	    "%s is node %" PRIu64 " (%s) of the cluster %s already; nothing was changed", b->data,
	    who.id, who.name, who.cluster);
	return 1;
}

/* The log of a new member: term 1, without which the daemon takes it for lost, and on the first
 * node one entry, which makes it the only voter. */

struct founding {
	int woken; /* an eventfd: the writer has finished something */
	unsigned left;
	int status;
};

static void ready(void *data)
{
	struct founding *f = data;
	eventfd_write(f->woken, 1);
}

static void done(void *data, uint64_t ticket, int status)
{
	struct founding *f = data;
	f->left--;
	if (status)
		f->status = status;
}

static void write_founding(struct wal *wal, struct founding *f, const struct buffer *configuration)
{
	struct disk disk = wal_disk(wal);
	struct disk_entry entry = {
	    .term = 1,
	    .type = DISK_CHANGE,
	    .size = (uint32_t)configuration->size,
	    .data = configuration->data,
	};
	struct disk_request vote = {.type = DISK_VOTE, .ticket = 1, .vote = {.term = 1}};
	struct disk_request append = {
	    .type = DISK_APPEND,
	    .ticket = 2,
	    .append = {.index = 1, .entries = &entry, .n = 1},
	};
	f->left = configuration->size ? 2 : 1;
	disk.submit(disk.data, &vote);
	if (configuration->size)
		disk.submit(disk.data, &append);
	while (f->left) {
		eventfd_t count;
		eventfd_read(f->woken, &count);
		wal_collect(wal, done, f);
	}
}

/* A log without an identity is of nobody any more: kept aside. */
static int open_empty_log(struct bootstrap *b, const struct wal_options *options, struct wal **wal)
{
	struct disk_state state;
	char aside[256];
	int result = wal_open(wal, options, &state, &b->err);
	if (result || !(state.n || state.has_snapshot || state.term > 1))
		return result;
	wal_close(*wal);
	result = wal_set_aside(b->log, aside, &b->err);
	if (result)
		return result;
	printf("A log that was there was kept in %s/%s.\n", b->log, aside);
	return wal_open(wal, options, &state, &b->err);
}

/* configuration: the first entry's; empty on a node that joins. */
static int found_log(struct bootstrap *b, const struct buffer *configuration)
{
	struct founding f = {.woken = eventfd(0, EFD_CLOEXEC)};
	struct wal_options options = {.directory = b->log, .ready = ready, .data = &f};
	struct wal *wal;
	int result = make_directory(b, b->log);
	if (!result)
		result = open_empty_log(b, &options, &wal);
	if (!result) {
		wal_forget_state(wal);
		write_founding(wal, &f, configuration);
		wal_close(wal);
		if (f.status)
			result = err_set(&b->err, f.status, "%s: %s", b->log, strerror(-f.status));
	}
	close(f.woken);
	return result;
}

static int make_first_identity(struct bootstrap *b, struct identity_files *files, char cluster[])
{
	struct buffer request = {0};
	identity_uuid(cluster);
	int result = identity_ca_make(cluster, &files->ca_certificate, &files->ca_key, &b->err);
	if (!result)
		result = identity_key_make(&files->key, &b->err);
	if (!result)
		result = identity_request_make(&files->key, b->config.node, &request, &b->err);
	if (!result) {
		struct identity_signing signing = {
		    .ca_certificate = &files->ca_certificate,
		    .ca_key = &files->ca_key,
		    .identity = {.id = 1},
		    .days = IDENTITY_NODE_DAYS,
		};
		snprintf(signing.identity.cluster, sizeof(signing.identity.cluster), "%s", cluster);
		snprintf(
		    signing.identity.name, sizeof(signing.identity.name), "%.63s", b->config.node);
		result = identity_sign(
		    &signing, (char *)request.data, request.size, &files->certificate, &b->err);
	}
	buffer_close(&request);
	return result;
}

static const char plan_text[] =
    "This would make the data directory, the cluster's certificate authority, this node's\n"
    "certificate and a log with this node as its only voter. Nothing was done.";

static int bootstrap(struct bootstrap *b)
{
	char cluster[IDENTITY_UUID_SIZE], address[CONFIG_PEER_MAX];
	struct identity_files files = {0};
	struct buffer configuration = {0};
	config_peer(&b->config, address);
	if (!is_coordinator(&b->config))
		return err_set(&b->err, -EINVAL,
		    "the first node must be a coordinator: add %s to pvc.cluster.coordinators",
		    b->config.node);
	printf("Cluster %s, first node %s at %s, data in %s\n", b->config.cluster.name,
	    b->config.node, address, b->data);
	if (b->plan) {
		puts(plan_text);
		return 0;
	}
	int result = replica_first_entry(1, address, &configuration);
	if (result)
		return err_set(&b->err, result, "%s cannot be a member's address", address);
	result = make_directory(b, b->data);
	if (!result)
		result = make_first_identity(b, &files, cluster);
	if (!result)
		result = found_log(b, &configuration);
	if (!result)
		result = identity_save(b->identity, &files, &b->err);
	buffer_close(&configuration);
	identity_files_close(&files);
	if (!result)
		printf(
		    "Done: cluster %s. Next:\n  systemctl start pvcnoded     (or: pvcnoded -c %s)\n"
		    "  pvc cluster token            for each further node\n",
		    cluster, config_path(b->config_path));
	return result;
}

int applet_cluster_bootstrap(int argc, char **argv)
{
	struct bootstrap *b = must_alloc(sizeof(*b));
	int code = parse(b, "bootstrap", argc, argv);
	if (code < 0) {
		umask(0077);
		code = look(b) || bootstrap(b) ? fail(b, "bootstrap") : 0;
	}
	free(b);
	return code;
}

/* Joining. */

/* What an earlier join left, if anything. */
static void read_key(const struct bootstrap *b, struct buffer *key)
{
	char text[4096];
	int fd = open(b->join_key, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	if (n > 0)
		buffer_append(key, text, (size_t)n);
	if (fd >= 0)
		close(fd);
	explicit_bzero(text, sizeof(text));
}

static int write_key(struct bootstrap *b, const struct buffer *key)
{
	int result = 0;
	int fd = open(b->join_key, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = fd >= 0 ? write(fd, key->data, key->size) : -1;
	if (n < 0 || fsync(fd))
		result = -errno;
	else if ((size_t)n < key->size)
		result = -ENOSPC;
	if (fd >= 0)
		close(fd);
	return result ? err_set(&b->err, result, "%s: %s", b->join_key, strerror(-result)) : 0;
}

/* The key of a join that was cut off is taken again, so that asking twice is asking once;
 * unless it was cut off while it wrote it. */
static int join_key(struct bootstrap *b, struct buffer *key, struct buffer *request)
{
	read_key(b, key);
	if (key->size && !identity_request_make(key, b->config.node, request, &b->err))
		return 0;
	identity_wipe(key);
	int result = identity_key_make(key, &b->err);
	if (!result)
		result = identity_request_make(key, b->config.node, request, &b->err);
	return result ? result : write_key(b, key);
}

static void append_text(struct buffer *out, const char *text)
{
	buffer_append(out, text, strlen(text));
}

static int save_membership(
    struct bootstrap *b, const struct guest_answer *answer, const struct buffer *key)
{
	struct identity_files files = {0};
	struct peers_member members[PEERS_MEMBERS_MAX];
	struct buffer none = {0};
	unsigned n = 0;
	append_text(&files.ca_certificate, answer->ca_certificate);
	append_text(&files.ca_key, answer->ca_key);
	append_text(&files.certificate, answer->certificate);
	buffer_append(&files.key, key->data, key->size);
	for (; n < answer->n_members && n < PEERS_MEMBERS_MAX; n++) {
		members[n].id = answer->members[n].id;
		snprintf(members[n].address, sizeof(members[n].address), "%s",
		    answer->members[n].address);
	}
	int result = contacts_save(b->data, members, n, &b->err);
	if (!result)
		result = found_log(b, &none);
	if (!result)
		result = identity_save(b->identity, &files, &b->err);
	if (!result)
		unlink(b->join_key);
	identity_files_close(&files);
	return result;
}

static int join(struct bootstrap *b)
{
	struct token token;
	struct buffer key = {0}, request = {0};
	struct guest_request *ask = must_alloc(sizeof(*ask));
	struct guest_answer *answer = must_alloc(sizeof(*answer));
	char address[CONFIG_PEER_MAX];
	int result = token_decode(b->token, strlen(b->token), &token, &b->err);
	if (!result)
		result = make_directory(b, b->data);
	if (!result)
		result = join_key(b, &key, &request);
	if (!result) {
		config_peer(&b->config, address);
		snprintf(ask->name, sizeof(ask->name), "%.63s", b->config.node);
		snprintf(ask->address, sizeof(ask->address), "%.127s", address);
		snprintf(ask->request, sizeof(ask->request), "%.*s", (int)request.size,
		    (char *)request.data);
		ask->wants = (is_coordinator(&b->config) ? GUEST_COORDINATOR : 0) |
			     (b->config.functions.enable_hypervisor ? GUEST_HYPERVISOR : 0);
		result = guest_join(&token, ask, JOIN_TIMEOUT_MS, answer, &b->err);
	}
	if (!result && strcmp(answer->cluster_name, b->config.cluster.name) != 0)
		printf("Note: the cluster is called %s, the configuration says %s.\n",
		    answer->cluster_name, b->config.cluster.name);
	if (!result)
		result = save_membership(b, answer, &key);
	if (!result)
		printf("Joined the cluster %s as node %" PRIu64 " (%s). Next:\n"
		       "  systemctl start pvcnoded     (or: pvcnoded -c %s)\n",
		    answer->cluster_name, answer->id, b->config.node, config_path(b->config_path));
	identity_wipe(&key);
	buffer_close(&request);
	explicit_bzero(ask, sizeof(*ask));
	explicit_bzero(answer, sizeof(*answer));
	free(ask);
	free(answer);
	return result;
}

int applet_cluster_join(int argc, char **argv)
{
	struct bootstrap *b = must_alloc(sizeof(*b));
	int code = parse(b, "join", argc, argv);
	if (code < 0) {
		umask(0077);
		code = look(b) || join(b) ? fail(b, "join") : 0;
	}
	free(b);
	return code;
}
