/* pvc raft snapshot restore: the beginning of a log whose first value is a saved one.
 *
 * Two cases. The machine still has its identity/: it goes on as the node that it was, and so do
 * the others that are restored from the same file. Or all of that is lost: then --node says
 * which node of the value this machine is to be, it gets a certificate of a new authority, and
 * it is alone; what is left of the old cluster cannot speak to it.
 *
 * The term is the first of the generation (replica.h) after the file's, in the log as well as in
 * what was voted: members that were not restored may have entries of the same indexes, and must
 * never be taken for further on. It goes by the file alone, so that all who are restored from it
 * have the same. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/refound.h"
#include "fsm/snapshot.h"
#include "node/operation/json.h"
#include "raft/replica.h"
#include "raft/wal.h"
#include "tools/cli.h"
#include "tools/log_writer.h"
#include "tools/raft/image.h"
#include "tools/raft/source.h"

struct restore {
	const struct raft_call *call;
	const char *data, *file;
	char identity[SOURCE_PATH_MAX], log[SOURCE_PATH_MAX];
	struct image image;
	struct node *node; /* of the image's value: which this machine is */
	bool anew; /* it gets a new identity */
	struct identity_files files; /* the new one */
	struct configuration members;
	char aside[256]; /* "": nothing was set aside */
};

/* Who this machine is. */

static int take_identity(struct restore *r, const struct identity *who, struct err *err)
{
	const struct settings *s = &r->image.cluster.settings;
	const char *wanted = raft_text(r->call, "node");
	if (strcmp(who->cluster, s->uuid) != 0)
		return err_set(err, -EPERM,
		    "%.200s is of the cluster %s, the file of %s: move identity/ away, and say "
		    "--node",
		    r->identity, who->cluster, s->uuid);
	r->node = cluster_node(&r->image.cluster, (uint32_t)who->id);
	if (!r->node || strcmp(r->node->name, who->name) != 0)
		return err_set(err, -ENOENT,
		    "%.200s is of node %" PRIu64 " (%s), which the value in the file does not have",
		    r->identity, who->id, who->name);
	if (wanted && strcmp(wanted, who->name) != 0)
		return err_set(
		    err, -EINVAL, "%.200s is of %s, not of %.64s", r->identity, who->name, wanted);
	return 0;
}

/* The nodes of the value, for people. */
static void say_nodes(const struct cluster *c, struct err *err)
{
	cluster_each(c->nodes, struct node, node)
	{
		size_t used = strlen(err->text);
		snprintf(err->text + used, sizeof(err->text) - used, " %s", node->name);
	}
}

static int choose_node(struct restore *r, struct err *err)
{
	const char *name = raft_text(r->call, "node");
	r->anew = true;
	if (name)
		r->node = cluster_node_named(&r->image.cluster, name);
	if (r->node && r->node->mode == NODE_COORDINATOR)
		return 0;
	if (r->node)
		return err_set(err, -EINVAL, "%s is no coordinator: it cannot be alone", name);
	if (name)
		err_set(err, 0, "the value has no node %.64s; it has", name);
	else
		err_set(err, 0,
		    "%.200s is not there: say --node, which node this machine is to be, of",
		    r->identity);
	say_nodes(&r->image.cluster, err);
	return -ENOENT;
}

static int find_identity(struct restore *r, struct err *err)
{
	struct identity_files files;
	struct identity who;
	int result = identity_load(r->identity, &files, &who, err);
	if (result == -ENOENT && access(r->identity, F_OK))
		return choose_node(r, err);
	/* The daemon sees to one that has expired. */
	if (result && result != -EKEYEXPIRED)
		return result;
	identity_files_close(&files);
	return take_identity(r, &who, err);
}

static int make_identity(struct restore *r, struct err *err)
{
	struct identity_files *f = &r->files;
	struct buffer request = {0};
	struct identity_signing signing = {
	    .ca_certificate = &f->ca_certificate,
	    .ca_key = &f->ca_key,
	    .identity = {.id = r->node->id},
	    .days = IDENTITY_NODE_DAYS,
	};
	struct identity *who = &signing.identity;
	memcpy(who->cluster, r->image.cluster.settings.uuid, sizeof(who->cluster));
	memcpy(who->name, r->node->name, sizeof(who->name));
	int result = identity_ca_make(who->cluster, &f->ca_certificate, &f->ca_key, err);
	if (!result)
		result = identity_key_make(&f->key, err);
	if (!result)
		result = identity_request_make(&f->key, who->name, &request, err);
	if (!result)
		result = identity_sign(
		    &signing, (char *)request.data, request.size, &f->certificate, err);
	buffer_close(&request);
	return result;
}

/* Who votes. */

static int add_voter(struct restore *r, const char *name, struct err *err)
{
	const struct node *node = cluster_node_named(&r->image.cluster, name);
	if (!node) {
		err_set(err, 0, "the value has no node %.64s; it has", name);
		say_nodes(&r->image.cluster, err);
		return -ENOENT;
	}
	if (node->mode == NODE_HYPERVISOR)
		return err_set(err, -EINVAL, "%s is a hypervisor: it has no vote", name);
	if (configuration_set(&r->members, node->id, node->address, MEMBER_VOTER))
		return err_set(err, -EINVAL, "%s at %s cannot be a member", name, node->address);
	return 0;
}

static int choose_members(struct restore *r, struct err *err)
{
	char name[64];
	const char *list = raft_text(r->call, "members");
	if (!list && !r->anew)
		r->members = r->image.configuration;
	if (!list && !r->anew)
		return 0;
	if (!list)
		list = r->node->name;
	if (r->anew && strcmp(list, r->node->name) != 0)
		return err_set(err, -EINVAL, "with a new identity %s is alone: leave --members out",
		    r->node->name);
	while (*list) {
		size_t size = strcspn(list, ",");
		snprintf(name, sizeof(name), "%.*s", (int)size, list);
		int result = add_voter(r, name, err);
		if (result)
			return result;
		list += size + (list[size] == ',');
	}
	return 0;
}

/* Room for it. */

static int look_at_log(struct restore *r, struct err *err)
{
	struct inspect *in;
	struct inspect_status s;
	if (access(r->log, F_OK))
		return 0;
	int result = inspect_open(&in, r->log, err);
	if (result)
		return result;
	inspect_status(in, &s);
	inspect_close(in);
	if (s.in_use)
		return err_set(err, -EBUSY, "%.300s is in use: stop its node", r->log);
	if (!s.last && !s.problems && s.term < 2)
		return 0;
	if (!json_is_true(json_object_get(r->call->arguments, "aside")))
		return err_set(err, -EEXIST,
		    "%.300s has a log, up to entry %" PRIu64 ": --aside keeps it in there as "
		    "corrupt-N, and nobody reads it any more",
		    r->log, s.last);
	return wal_set_aside(r->log, r->aside, err);
}

static int make_directory(const char *path, struct err *err)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_set(err, -errno, "%.300s: %s", path, strerror(errno));
	return 0;
}

/* Writing. */

static int write_log(struct restore *r, const struct disk_snapshot *snapshot, struct err *err)
{
	struct disk_request requests[] = {
	    {.type = DISK_VOTE, .vote = {.term = snapshot->term}},
	    {.type = DISK_SNAPSHOT,
		.snapshot = {.snapshot = *snapshot,
		    .installed = true,
		    .keep_from = snapshot->index + 1}},
	};
	struct log_writer w;
	int result = log_writer_open(&w, r->log, err);
	if (result)
		return result;
	result = log_writer_write(&w, requests, sizeof(requests) / sizeof(*requests));
	log_writer_close(&w);
	return result ? err_set(err, result, "%.300s: %s", r->log, strerror(-result)) : 0;
}

static int write_value(struct restore *r, struct err *err)
{
	struct buffer value = {0}, members = {0};
	struct disk_snapshot s = r->image.file.snapshot;
	snapshot_encode(&r->image.cluster, &value);
	configuration_encode(&r->members, &members);
	s.term = (s.term / REPLICA_GENERATION + 1) * REPLICA_GENERATION;
	s.configuration_index = s.index;
	s.configuration = members.data;
	s.configuration_size = members.size;
	s.data = value.data;
	s.size = value.size;
	int result = write_log(r, &s, err);
	buffer_close(&value);
	buffer_close(&members);
	return result;
}

/* The identity comes last: without it nothing has happened. */
static int write_all(struct restore *r, struct err *err)
{
	char incarnation[IDENTITY_INCARNATION_SIZE];
	int result = r->anew ? make_identity(r, err) : 0;
	if (!result && r->anew)
		result = identity_incarnation(
		    (char *)r->files.certificate.data, r->files.certificate.size, incarnation, err);
	if (!result && r->anew)
		cluster_refound(&r->image.cluster, r->node, incarnation);
	if (!result)
		result = make_directory(r->data, err);
	if (!result)
		result = look_at_log(r, err);
	if (!result)
		result = make_directory(r->log, err);
	if (!result)
		result = write_value(r, err);
	if (!result && r->anew)
		result = identity_save(r->identity, &r->files, err);
	return result;
}

/* What comes next. */

static const char *member_name(const struct restore *r, uint64_t id)
{
	const struct node *node = cluster_node(&r->image.cluster, (uint32_t)id);
	return node ? node->name : "?";
}

static void say_next_alone(const struct restore *r)
{
	puts("It is alone, with a certificate of a new authority.");
	if (r->image.cluster.nodes.count == 1)
		return;
	puts("For each other node of the value:");
	cluster_each(r->image.cluster.nodes, struct node, node)
	{
		if (node == r->node)
			continue;
		printf("  %s: make sure that it is off; pvc node fenced %s --by-hand; once its VMs "
		       "are elsewhere, pvc cluster member remove %s\n",
		    node->name, node->name, node->name);
	}
	puts("  then pvc cluster token, and there, with an empty data directory, pvc cluster join");
}

static json_t *told_json(const struct restore *r)
{
	json_t *voters = json_array();
	for (unsigned i = 0; i < r->members.n; i++)
		if (r->members.members[i].role == MEMBER_VOTER)
			json_array_append_new(
			    voters, json_string(member_name(r, r->members.members[i].id)));
	return json_pack("{s:s, s:s, s:o, s:s, s:i, s:o, s:b, s:o}", "schema",
	    "raft-snapshot-restore/1", "cluster", r->image.cluster.settings.name, "index",
	    json_u64(r->image.file.snapshot.index), "node", r->node->name, "id", (int)r->node->id,
	    "voters", voters, "new_identity", (int)r->anew, "aside",
	    *r->aside ? json_string(r->aside) : json_null());
}

static void say_next(const struct restore *r)
{
	unsigned voters = configuration_voters(&r->members);
	printf("Restored: entry %" PRIu64 " of the cluster %s, as node %s.\n",
	    r->image.file.snapshot.index, r->image.cluster.settings.name, r->node->name);
	if (*r->aside)
		printf("The log that was there is in %s/%s.\n", r->log, r->aside);
	printf("Voters:");
	for (unsigned i = 0; i < r->members.n; i++)
		if (r->members.members[i].role == MEMBER_VOTER)
			printf(" %s", member_name(r, r->members.members[i].id));
	puts(".\nNext:\n  systemctl start pvcnoded");
	if (r->anew)
		say_next_alone(r);
	else if (r->image.cluster.nodes.count > 1)
		printf(
		    "  restore every other node from the same file with the same --members; start "
		    "none with its old log.\n  The cluster goes on when %u of the voters are "
		    "back.\n",
		    voters / 2 + 1);
}

static int prepare(struct restore *r, struct err *err)
{
	r->data = raft_text(r->call, "data");
	r->file = raft_text(r->call, "file");
	if (strlen(r->data) > SOURCE_PATH_MAX - 64)
		return err_set(err, -ENAMETOOLONG, "the path of the directory is too long");
	snprintf(r->identity, sizeof(r->identity), "%s/identity", r->data);
	snprintf(r->log, sizeof(r->log), "%s/raft", r->data);
	int result = find_identity(r, err);
	return result ? result : choose_members(r, err);
}

int raft_snapshot_restore(const struct raft_call *call)
{
	struct restore r = {.call = call};
	struct err err;
	if (!raft_text(call, "data")) {
		err_set(&err, 0, "say where with --data DIR");
		raft_fail(call, -EINVAL, &err);
		return CLI_USAGE;
	}
	umask(0077);
	int result = image_read(&r.image, raft_text(call, "file"), &err);
	if (result)
		return raft_fail(call, result, &err);
	result = prepare(&r, &err);
	if (!result)
		result = write_all(&r, &err);
	if (!result && call->json)
		raft_show(call, "", told_json(&r));
	else if (!result)
		say_next(&r);
	identity_files_close(&r.files);
	image_close(&r.image);
	return result ? raft_fail(call, result, &err) : CLI_DONE;
}
