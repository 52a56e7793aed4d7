/* pvc cluster join: a node of a cluster that is there.
 *
 * The key is made and kept before anybody is asked: the cluster knows a machine by it, so that a
 * join whose answer was lost is, asked again, the same join. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/member/contacts.h"
#include "node/operation/json.h"
#include "raft/guest.h"
#include "tools/applet.h"
#include "tools/newcomer.h"

#define JOIN_TIMEOUT_MS 30000

struct joining {
	struct newcomer *n;
	struct buffer key, request;
	bool key_made; /* by us, not by a join that was cut off */
	struct guest_request ask;
	struct guest_answer answer;
};

/* The key. */

/* What an earlier join left, if anything. */
static void read_key(const char *path, struct buffer *key)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	if (n > 0)
		buffer_append(key, text, (size_t)n);
	if (fd >= 0)
		close(fd);
	explicit_bzero(text, sizeof(text));
}

static int write_key(const char *path, const struct buffer *key, struct err *err)
{
	int result = 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t n = fd >= 0 ? write(fd, key->data, key->size) : -1;
	if (n < 0 || fsync(fd))
		result = -errno;
	else if ((size_t)n < key->size)
		result = -ENOSPC;
	if (fd >= 0)
		close(fd);
	return result ? err_set(err, result, "%s: %s", path, strerror(-result)) : 0;
}

/* The key of a join that was cut off is taken again, so that asking twice is asking once;
 * unless it was cut off while it wrote it. */
static int take_key(struct joining *j)
{
	struct newcomer *n = j->n;
	const char *path = n->founding.join_key;
	read_key(path, &j->key);
	if (j->key.size && !identity_request_make(&j->key, n->config.node, &j->request, &n->err))
		return 0;
	identity_wipe(&j->key);
	j->key_made = true;
	int result = identity_key_make(&j->key, &n->err);
	if (!result)
		result = identity_request_make(&j->key, n->config.node, &j->request, &n->err);
	return result ? result : write_key(path, &j->key, &n->err);
}

/* Asking. */

static void make_request(struct joining *j)
{
	const struct newcomer *n = j->n;
	struct guest_request *ask = &j->ask;
	snprintf(ask->name, sizeof(ask->name), "%.63s", n->config.node);
	snprintf(ask->address, sizeof(ask->address), "%.127s", n->peer);
	snprintf(ask->request, sizeof(ask->request), "%.*s", (int)j->request.size,
	    (char *)j->request.data);
	ask->wants = n->config.mode == MODE_WITNESS ? GUEST_WITNESS : 0;
	ask->wants |= (newcomer_is_coordinator(n) ? GUEST_COORDINATOR : 0) |
		      (n->config.functions.enable_hypervisor ? GUEST_HYPERVISOR : 0);
}

/* Of who was not let in nothing stays; of who cannot know, all, to ask again. */
static void undo(struct joining *j, int result)
{
	bool not_admitted = result == -EACCES || result == -EPROTO || result == -EHOSTUNREACH ||
			    result == -EKEYEXPIRED;
	if (not_admitted && j->key_made)
		unlink(j->n->founding.join_key);
	if (not_admitted)
		founding_directory_undo(&j->n->founding);
}

static int ask(struct joining *j)
{
	struct newcomer *n = j->n;
	int result = founding_directory(&n->founding, &n->err);
	if (!result)
		result = take_key(j);
	if (result)
		return result;
	make_request(j);
	result = guest_join(&n->token, &j->ask, JOIN_TIMEOUT_MS, &j->answer, &n->err);
	if (result == -EPIPE)
		err_wrap(
		    &n->err, result, "asked, but not answered: join again with the same token");
	undo(j, result);
	return result;
}

/* Being a member. */

static void append_text(struct buffer *out, const char *text)
{
	buffer_append(out, text, strlen(text));
}

static int save_contacts(const struct joining *j)
{
	struct peers_member members[PEERS_MEMBERS_MAX];
	const struct guest_answer *answer = &j->answer;
	unsigned n = 0;
	for (; n < answer->n_members && n < PEERS_MEMBERS_MAX; n++) {
		members[n].id = answer->members[n].id;
		snprintf(members[n].address, sizeof(members[n].address), "%s",
		    answer->members[n].address);
	}
	return contacts_save(j->n->founding.data, members, n, &j->n->err);
}

static int save(struct joining *j)
{
	struct newcomer *n = j->n;
	struct identity_files files = {0};
	struct buffer none = {0};
	append_text(&files.ca_certificate, j->answer.ca_certificate);
	append_text(&files.ca_key, j->answer.ca_key);
	append_text(&files.certificate, j->answer.certificate);
	buffer_append(&files.key, j->key.data, j->key.size);
	int result = identity_check(&files, NULL, &n->err);
	if (!result)
		result = save_contacts(j);
	if (!result)
		result = founding_log(&n->founding, &none, &n->err);
	if (!result)
		result = identity_save(n->founding.identity, &files, &n->err);
	if (!result)
		unlink(n->founding.join_key);
	identity_files_close(&files);
	return result;
}

/* Telling. */

static void headline_joined(const struct joining *j, char text[512])
{
	const struct newcomer *n = j->n;
	const struct guest_answer *a = &j->answer;
	int used =
	    snprintf(text, 512, "Joined the cluster %s (%s): %s is node %" PRIu64 ", at %.200s.",
		a->cluster_name, a->cluster, n->config.node, a->id, n->peer);
	if (strcmp(a->cluster_name, n->config.cluster.name) != 0)
		snprintf(text + used, 512 - (size_t)used,
		    "\nNote: the configuration calls that cluster %s.", n->config.cluster.name);
}

static void say_joined(struct joining *j)
{
	json_t *said = j->n->said;
	json_object_set_new(json_object_get(said, "node"), "id", json_u64(j->answer.id));
	json_object_set_new(
	    json_object_get(said, "cluster"), "name", json_text(j->answer.cluster_name));
}

static int run(struct joining *j)
{
	struct newcomer *n = j->n;
	char headline[512] = "";
	int result = n->plan ? 0 : ask(j);
	if (!result && !n->plan)
		result = save(j);
	json_object_set_new(json_object_get(n->said, "cluster"), "id", json_text(n->token.cluster));
	if (!strcmp(n->config_path, CONFIG_PATH))
		newcomer_next(n, "systemctl enable --now pvcnoded");
	else
		newcomer_next(n, "pvcnoded -c %s", n->config_path);
	if (!result && n->plan) {
		snprintf(headline, sizeof(headline),
		    "It would ask the cluster %s to let in %s, at %.256s.", n->token.cluster,
		    n->config.node, n->peer);
	} else if (!result) {
		say_joined(j);
		headline_joined(j, headline);
	}
	return newcomer_end(n, result, headline);
}

int applet_cluster_join(int argc, char **argv)
{
	struct newcomer *n = must_alloc(sizeof(*n));
	struct joining *j = must_alloc(sizeof(*j));
	n->kind = NEWCOMER_JOIN;
	j->n = n;
	int status = newcomer_begin(n, argc, argv);
	if (status < 0)
		status = run(j);
	identity_wipe(&j->key);
	buffer_close(&j->request);
	explicit_bzero(j, sizeof(*j));
	explicit_bzero(&n->token, sizeof(n->token));
	free(j);
	free(n);
	return status;
}
