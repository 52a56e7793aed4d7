#include "tools/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fsm/check.h"
#include "fsm/history.h"
#include "fsm/snapshot.h"
#include "raft/batch.h"
#include "raft/configuration.h"

/* As the replica applies it. */
static void apply(struct cluster *c, uint64_t index, const struct disk_entry *entry)
{
	const uint8_t *operation;
	size_t size;
	if (entry->type != DISK_COMMAND)
		return;
	struct batch_reader in = batch_read(entry->data, entry->size);
	while (batch_next(&in, &operation, &size))
		cluster_apply(c, index, operation, size, NULL);
}

/* The value to begin with: the snapshot's, or the empty one when the log begins with it. */
static int begin(
    struct replay *r, const struct inspect_status *status, uint64_t at, struct err *err)
{
	const struct disk_snapshot *snapshot = status->snapshot;
	bool from_nothing = !snapshot || at < snapshot->index;
	if (from_nothing && status->first != 1)
		return err_set(err, -ENOENT,
		    "the log begins with entry %" PRIu64 ": nothing leads to the value at %" PRIu64,
		    status->first, at);
	if (from_nothing)
		return 0;
	int result = snapshot_decode(&r->cluster, snapshot->data, snapshot->size, err);
	if (result)
		return result;
	r->index = snapshot->index;
	r->term = snapshot->term;
	return 0;
}

int replay_run(struct replay *r, const struct inspect *in, uint64_t at, struct err *err)
{
	struct inspect_status status;
	struct disk_entry entry;
	inspect_status(in, &status);
	/* Of a damaged log that ends before its snapshot, the snapshot is what is left. */
	uint64_t end = status.last;
	if (status.snapshot && status.snapshot->index > end)
		end = status.snapshot->index;
	if (at > end)
		return err_set(err, -ENOENT,
		    "there is no entry %" PRIu64 ": the last one is %" PRIu64, at, end);
	if (!at)
		at = end;
	*r = (struct replay){0};
	cluster_init(&r->cluster);
	int result = begin(r, &status, at, err);
	while (!result && r->index < at) {
		result = inspect_entry(in, r->index + 1, &entry);
		if (result) {
			err_set(err, result, "the entry %" PRIu64 " is missing", r->index + 1);
			break;
		}
		r->index++;
		r->term = entry.term;
		apply(&r->cluster, r->index, &entry);
	}
	if (result)
		replay_close(r);
	return result;
}

void replay_close(struct replay *r)
{
	cluster_close(&r->cluster);
}

/* The index that a tick in this entry tells a hash of; 0: none does. */
static uint64_t told(uint64_t index, const struct disk_entry *entry)
{
	const uint8_t *operation;
	size_t size;
	uint64_t hash_index = 0;
	if (entry->type != DISK_COMMAND)
		return 0;
	struct batch_reader in = batch_read(entry->data, entry->size);
	while (batch_next(&in, &operation, &size)) {
		struct command command;
		if (command_decode(&command, operation, size))
			continue;
		if (command.number == COMMAND_tick && command.tick.hash_index < index)
			hash_index = command.tick.hash_index;
		command_clear(&command);
	}
	return hash_index;
}

uint64_t replay_committed(const struct inspect *in)
{
	struct inspect_status status;
	struct disk_entry entry;
	inspect_status(in, &status);
	uint64_t committed = status.snapshot ? status.snapshot->index : 0;
	for (uint64_t i = status.last; i > committed && !inspect_entry(in, i, &entry); i--) {
		uint64_t index = told(i, &entry);
		if (index > committed)
			return index;
	}
	return committed;
}

/* Findings. */

struct verifier {
	const struct inspect *in;
	void (*found)(void *data, const struct inspect_finding *finding);
	void *data;
	uint64_t offset; /* of what is being told */
	unsigned problems;
};

static void say(struct verifier *v, const char *file, bool problem, const char *text)
{
	struct inspect_finding finding = {
	    .problem = problem, .file = file, .offset = v->offset, .text = text};
	v->found(v->data, &finding);
	v->problems += problem;
}

static void say_of_entry(struct verifier *v, uint64_t index, bool problem, const char *what)
{
	char file[INSPECT_NAME_MAX], text[200];
	if (inspect_where(v->in, index, file, &v->offset))
		snprintf(file, sizeof(file), "log");
	snprintf(text, sizeof(text), "entry %" PRIu64 ": %s", index, what);
	say(v, file, problem, text);
	v->offset = 0;
}

static void verify_operations(struct verifier *v, uint64_t index, const struct disk_entry *entry)
{
	const uint8_t *operation;
	size_t size;
	struct batch_reader in = batch_read(entry->data, entry->size);
	if (!batch_valid(entry->data, entry->size))
		say_of_entry(v, index, true, "not a batch of operations");
	while (batch_next(&in, &operation, &size)) {
		struct command command;
		int result = command_decode(&command, operation, size);
		if (result == -ENOTSUP)
			say_of_entry(v, index, false, "an operation of a newer version");
		else if (result)
			say_of_entry(v, index, true, "an operation that is none");
		else
			command_clear(&command);
	}
}

static void verify_entry(struct verifier *v, uint64_t index, const struct disk_entry *entry)
{
	struct configuration configuration;
	switch (entry->type) {
	case DISK_COMMAND:
		verify_operations(v, index, entry);
		return;
	case DISK_CHANGE:
		if (configuration_decode(entry->data, entry->size, &configuration))
			say_of_entry(v, index, true, "not a configuration");
		return;
	case DISK_BARRIER:
		return;
	}
}

static void verify_value(struct verifier *v, const struct inspect_status *status)
{
	struct replay r;
	struct err err;
	if (!status->last && !status->snapshot)
		return;
	if (replay_run(&r, v->in, 0, &err)) {
		say(v, "value", true, err.text);
		return;
	}
	uint64_t diverged = history_diverged_at(&r.cluster);
	if (diverged)
		say_of_entry(
		    v, diverged, true, "the value after it has another hash than the leader told");
	if (check_cluster(&r.cluster, &err))
		say(v, "value", true, err.text);
	replay_close(&r);
}

unsigned replay_verify(const struct inspect *in,
    void (*found)(void *data, const struct inspect_finding *finding), void *data)
{
	struct verifier v = {.in = in, .found = found, .data = data};
	struct inspect_status status;
	struct disk_entry entry;
	inspect_status(in, &status);
	const struct disk_snapshot *snapshot = status.snapshot;
	struct configuration configuration;
	if (snapshot && configuration_decode(
			    snapshot->configuration, snapshot->configuration_size, &configuration))
		say(&v, "snapshot", true, "its configuration is none");
	for (uint64_t i = status.first; i <= status.last && !inspect_entry(in, i, &entry); i++)
		verify_entry(&v, i, &entry);
	verify_value(&v, &status);
	return v.problems;
}
