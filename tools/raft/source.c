#include "tools/raft/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/operation/json.h"
#include "tools/client.h"
#include "tools/replay.h"

static bool is_directory(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* What the daemon answers to `raft status`, or -EHOSTDOWN. */
static int ask(const char *socket, struct client_answer *answer, struct err *err)
{
	struct client *client;
	struct operation_call call;
	if (client_open(&client, socket, err))
		return -EHOSTDOWN;
	int result = operation_read("raft status", NULL, &call, err);
	if (!result) {
		result = client_ask(client, &call, answer, err) ? -EHOSTDOWN : 0;
		operation_call_close(&call);
	}
	client_close(client);
	return result;
}

static int daemon_directory(
    const char *socket, char path[SOURCE_PATH_MAX], uint64_t *commit_index, struct err *err)
{
	struct client_answer answer;
	int result = ask(socket, &answer, err);
	if (result)
		return result;
	const char *its = json_string_value(json_object_get(answer.result, "data_directory"));
	if (*answer.code)
		result = err_set(err, -EIO, "%s", answer.message);
	else if (!its || strlen(its) >= SOURCE_PATH_MAX)
		result = err_set(
		    err, -ENOENT, "the daemon does not name its data directory: give --data DIR");
	else
		memcpy(path, its, strlen(its) + 1);
	*commit_index =
	    (uint64_t)json_integer_value(json_object_get(answer.result, "commit_index"));
	client_answer_close(&answer);
	return result;
}

int source_open(struct source *s, const struct raft_call *call, struct err *err)
{
	char path[SOURCE_PATH_MAX];
	const char *data = raft_text(call, "data");
	if (data)
		return source_open_at(s, data, err);
	uint64_t commit_index;
	int result = daemon_directory(call->socket, path, &commit_index, err);
	if (result == -EHOSTDOWN) {
		size_t used = strlen(err->text);
		snprintf(err->text + used, sizeof(err->text) - used,
		    "\n     its files can be read: --data DIR");
	}
	if (!result)
		result = source_open_at(s, path, err);
	if (!result)
		s->commit_index = commit_index;
	return result;
}

int source_open_at(struct source *s, const char *directory, struct err *err)
{
	struct inspect_status status;
	char aside[SOURCE_PATH_MAX];
	*s = (struct source){.in = NULL};
	if (strlen(directory) > SOURCE_PATH_MAX - 64)
		return err_set(err, -ENAMETOOLONG, "the path of the directory is too long");
	snprintf(s->log, sizeof(s->log), "%s/raft", directory);
	bool whole = is_directory(s->log);
	if (!whole)
		memcpy(s->log, directory, strlen(directory) + 1);
	snprintf(s->certificate, sizeof(s->certificate), "%.4000s/%sidentity/node.crt", directory,
	    whole ? "" : "../");
	int result = inspect_open(&s->in, s->log, err);
	if (result)
		return result;
	inspect_status(s->in, &status);
	if (status.version || status.last || status.problems)
		return 0;
	source_close(s);
	snprintf(aside, sizeof(aside), "%.4000s/corrupt-1", s->log);
	if (is_directory(aside))
		return err_set(err, -ENOENT, "%.400s holds no log: it was set aside, see %.400s",
		    s->log, aside);
	return err_set(err, -ENOENT,
	    "%.400s holds no log: is it a node's data directory, such as /var/lib/pvc?", s->log);
}

int source_again(struct source *s, struct err *err)
{
	struct inspect *in;
	int result = inspect_open(&in, s->log, err);
	if (result)
		return result;
	inspect_close(s->in);
	s->in = in;
	return 0;
}

void source_close(struct source *s)
{
	inspect_close(s->in);
	s->in = NULL;
}

void source_warn(const struct source *s, const struct raft_call *call)
{
	struct inspect_status status;
	inspect_status(s->in, &status);
	if (status.problems)
		fprintf(stderr,
		    "pvc %s: %.400s is damaged: entry %" PRIu64
		    " is the last that can be read; pvc raft verify says where\n",
		    call->command->operation.name, s->log, status.last);
}

uint64_t source_committed(const struct source *s)
{
	struct inspect_status status;
	uint64_t proved = replay_committed(s->in);
	inspect_status(s->in, &status);
	/* Others may have committed what is not on this disk yet. */
	uint64_t told = s->commit_index < status.last ? s->commit_index : status.last;
	return told > proved ? told : proved;
}

uint64_t source_configuration(const struct source *s, uint64_t index, struct configuration *c)
{
	struct inspect_status status;
	struct disk_entry entry;
	c->n = 0;
	inspect_status(s->in, &status);
	for (uint64_t i = index; i && !inspect_entry(s->in, i, &entry); i--)
		if (entry.type == DISK_CHANGE && !configuration_decode(entry.data, entry.size, c))
			return i;
	const struct disk_snapshot *d = status.snapshot;
	if (d && !configuration_decode(d->configuration, d->configuration_size, c))
		return d->configuration_index;
	c->n = 0;
	return 0;
}

int source_identity(const struct source *s, struct identity *who, struct err *err)
{
	char pem[16384];
	int fd = open(s->certificate, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, -errno, "%.400s: %s: it says whose directory this is",
		    s->certificate, strerror(errno));
	ssize_t size = read(fd, pem, sizeof(pem));
	close(fd);
	int result = identity_read(pem, size > 0 ? (size_t)size : 0, who, err);
	return result ? err_wrap(err, result, "%.400s", s->certificate) : 0;
}
