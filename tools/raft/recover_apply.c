/* pvc raft recover apply: carry out a plan in one survivor's directory, after a backup. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/member/contacts.h"
#include "node/operation/json.h"
#include "raft/wal.h"
#include "tools/cli.h"
#include "tools/raft/backup.h"
#include "tools/raft/plan_file.h"
#include "tools/raft/source.h"

struct applying {
	const char *data;
	struct source source;
	struct identity who;
	json_t *plan;
	struct recover_step step;
	struct configuration members;
	int fd, lock_fd;
	char backup[BACKUP_PATH_MAX]; /* "": none was needed */
	enum recover_progress found;
};

static int check_id(const struct raft_call *call, const json_t *plan, struct err *err)
{
	const char *its = json_string_value(json_object_get(plan, "id"));
	if (!strcmp(raft_text(call, "id"), its))
		return 0;
	return err_set(err, -EINVAL, "the plan in %s is %s, not %s: look at it again",
	    raft_text(call, "plan"), its, raft_text(call, "id"));
}

static int check_cluster(struct applying *a, struct err *err)
{
	const char *cluster = json_string_value(json_object_get(a->plan, "cluster"));
	if (cluster && !strcmp(a->who.cluster, cluster))
		return 0;
	return err_set(err, -EINVAL, "%s is of the cluster %s, the plan of %s", a->data,
	    a->who.cluster, cluster ? cluster : "none");
}

static int look(struct applying *a, struct err *err)
{
	int result = source_again(&a->source, err);
	if (!result)
		result = recover_look(a->source.in, &a->step, err);
	if (result < 0)
		return err_wrap(err, result, "%s", a->data);
	a->found = (enum recover_progress)result;
	return 0;
}

/* Members that are gone are not to be asked at the next start. */
static int save_contacts(struct applying *a, struct err *err)
{
	struct peers_member contacts[PEERS_MEMBERS_MAX];
	char path[SOURCE_PATH_MAX + 16];
	unsigned n = 0;
	snprintf(path, sizeof(path), "%s/contacts", a->data);
	if (access(path, F_OK))
		return 0;
	for (unsigned i = 0; i < a->members.n && n < PEERS_MEMBERS_MAX; i++) {
		contacts[n].id = a->members.members[i].id;
		snprintf(contacts[n].address, sizeof(contacts[n].address), "%s",
		    a->members.members[i].address);
		n++;
	}
	return contacts_save(a->data, contacts, n, err);
}

/* With the lock. */
static int carry_out(struct applying *a, const char *place, struct err *err)
{
	char mark[64];
	int result = look(a, err);
	if (result || a->found != RECOVER_DUE)
		return result;
	snprintf(
	    mark, sizeof(mark), "recover-%s", json_string_value(json_object_get(a->plan, "id")));
	struct backup backup = {
	    .directory = a->data, .place = place, .mark = mark, .node = a->who.name};
	result = backup_make(&backup, a->backup, err);
	if (!result)
		result = save_contacts(a, err);
	if (!result)
		result = recover_apply(a->fd, &a->step, err);
	if (result)
		return result;
	enum recover_progress found = a->found;
	result = look(a, err);
	if (!result && a->found != RECOVER_DONE)
		result = err_set(err, -EIO, "%s is not as it should be; its backup is %.300s",
		    a->data, a->backup);
	a->found = found;
	return result;
}

static int apply(struct applying *a, const struct raft_call *call, struct err *err)
{
	int result = plan_read(raft_text(call, "plan"), &a->plan, err);
	if (!result)
		result = check_id(call, a->plan, err);
	if (!result)
		result = source_open_at(&a->source, a->data, err);
	if (!result)
		result = source_identity(&a->source, &a->who, err);
	if (!result)
		result = check_cluster(a, err);
	if (!result)
		result = plan_step(a->plan, a->who.id, &a->step, &a->members, err);
	if (!result && !configuration_find(&a->members, a->who.id))
		result = err_set(
		    err, -EINVAL, "%s is left out by the plan: let it join anew", a->who.name);
	if (!result)
		result = wal_lock(a->source.log, &a->fd, &a->lock_fd, err);
	if (result == -EBUSY)
		err_set(err, result,
		    "%s: its daemon is running: stop it first (systemctl stop pvcnoded)", a->data);
	return result ? result : carry_out(a, raft_text(call, "backup"), err);
}

static void show(const struct applying *a, const struct raft_call *call)
{
	static const char *const done[] = {
	    "applied", "applied already", "applied already, and run"};
	const char *node = a->who.name;
	bool leads = a->step.id == a->step.chosen;
	if (call->json) {
		raft_show(call, "",
		    json_pack("{s:s, s:o, s:s, s:o}", "schema", "raft-recover-apply/1", "node",
			json_text(node), "result", done[a->found], "backup",
			*a->backup ? json_text(a->backup) : json_null()));
		return;
	}
	if (*a->backup)
		printf("What was there before is in %s\n", a->backup);
	if (a->found == RECOVER_PAST)
		printf("%s: the plan was applied here, and its daemon has run since: nothing to "
		       "do.\n",
		    node);
	else if (a->found == RECOVER_DONE)
		printf("%s: the plan was applied here already: nothing to do.\n", node);
	else
		printf("%s: done. It %s.\n", node,
		    leads ? "leads when its daemon is started: systemctl start pvcnoded"
			  : "follows when its daemon is started, once the other one leads");
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

int raft_recover_apply(const struct raft_call *call)
{
	static const char *const needed[] = {"plan", "id", "data"};
	struct err err = {{0}};
	struct applying a = {.data = raft_text(call, "data"), .fd = -1, .lock_fd = -1};
	for (unsigned i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!raft_text(call, needed[i])) {
			err_set(&err, -EINVAL, "--%s is missing", needed[i]);
			raft_fail(call, -EINVAL, &err);
			return CLI_USAGE;
		}
	int result = apply(&a, call, &err);
	if (!result)
		show(&a, call);
	close_fd(a.lock_fd);
	close_fd(a.fd);
	if (a.source.in)
		source_close(&a.source);
	json_decref(a.plan);
	return result ? raft_fail(call, result, &err) : CLI_DONE;
}
