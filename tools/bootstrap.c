/* pvc cluster bootstrap: the first node of a new cluster. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/operation/json.h"
#include "raft/replica.h"
#include "tools/applet.h"
#include "tools/client.h"
#include "tools/newcomer.h"

#define FIRST_ID 1

static int make_identity(struct newcomer *n, struct identity_files *files, char cluster[])
{
	struct buffer request = {0};
	identity_uuid(cluster);
	int result = identity_ca_make(cluster, &files->ca_certificate, &files->ca_key, &n->err);
	if (!result)
		result = identity_key_make(&files->key, &n->err);
	if (!result)
		result = identity_request_make(&files->key, n->config.node, &request, &n->err);
	if (!result) {
		struct identity_signing signing = {
		    .ca_certificate = &files->ca_certificate,
		    .ca_key = &files->ca_key,
		    .identity = {.id = FIRST_ID},
		    .days = (int)n->config.raft.certificate_days,
		};
		snprintf(signing.identity.cluster, sizeof(signing.identity.cluster), "%s", cluster);
		snprintf(
		    signing.identity.name, sizeof(signing.identity.name), "%.63s", n->config.node);
		result = identity_sign(
		    &signing, (char *)request.data, request.size, &files->certificate, &n->err);
	}
	buffer_close(&request);
	return result;
}

static int make_all(struct newcomer *n, const struct buffer *configuration, char cluster[])
{
	struct identity_files files = {0};
	int result = founding_directory(&n->founding, &n->err);
	if (!result)
		result = make_identity(n, &files, cluster);
	if (!result)
		result = founding_log(&n->founding, configuration, &n->err);
	if (!result)
		result = identity_save(n->founding.identity, &files, &n->err);
	identity_files_close(&files);
	return result;
}

/* How the daemon that will run here is spoken to. */
static void print_client(const struct config *config, char *text, size_t size)
{
	char socket[128];
	snprintf(socket, sizeof(socket), "%s/pvcnoded.sock",
	    config->system.configuration.directories.dynamic_directory);
	bool usual = !strcmp(socket, CLIENT_SOCKET);
	snprintf(text, size, "pvc%s%s", usual ? "" : " -s ", usual ? "" : socket);
}

/* How to start the daemon and let the other coordinators in. */
static void say_next(struct newcomer *n)
{
	const struct config_cluster *c = &n->config.cluster;
	char client[160];
	print_client(&n->config, client, sizeof(client));
	if (!strcmp(n->config_path, CONFIG_PATH))
		newcomer_next(n, "systemctl enable --now pvcnoded");
	else
		newcomer_next(n, "pvcnoded -c %s", n->config_path);
	for (unsigned i = 0; i < c->coordinators_count; i++)
		if (strcmp(c->coordinators[i], n->config.node) != 0)
			newcomer_next(n, "%s cluster token --node %s", client, c->coordinators[i]);
	if (c->coordinators_count > 1)
		newcomer_next(n, "pvc cluster join TOKEN    (on each of those)");
	else
		newcomer_next(n, "%s cluster token    (for each further node)", client);
}

static int run(struct newcomer *n)
{
	char cluster[IDENTITY_UUID_SIZE] = "", headline[512];
	struct buffer configuration = {0};
	int result = replica_first_entry(FIRST_ID, n->peer, &configuration);
	if (result)
		err_set(&n->err, result, "%s cannot be a member's address", n->peer);
	else if (!n->plan)
		result = make_all(n, &configuration, cluster);
	buffer_close(&configuration);
	json_object_set_new(json_object_get(n->said, "node"), "id", json_integer(FIRST_ID));
	if (!result && !n->plan)
		json_object_set_new(json_object_get(n->said, "cluster"), "id", json_text(cluster));
	json_object_set_new(n->said, "members",
	    json_pack("[{s:i, s:o, s:s}]", "id", FIRST_ID, "address", json_text(n->peer), "role",
		"voter"));
	say_next(n);
	if (result)
		*headline = '\0';
	else if (n->plan)
		snprintf(headline, sizeof(headline),
		    "It would be the cluster %s, with an id that is made then. Its log begins "
		    "with one voter:\nnode %d, %s, at %.256s.",
		    n->config.cluster.name, FIRST_ID, n->config.node, n->peer);
	else
		snprintf(headline, sizeof(headline),
		    "Made the cluster %s (%s): %s is node %d, at %.256s.", n->config.cluster.name,
		    cluster, n->config.node, FIRST_ID, n->peer);
	return newcomer_end(n, result, headline);
}

int applet_cluster_bootstrap(int argc, char **argv)
{
	struct newcomer *n = must_alloc(sizeof(*n));
	n->kind = NEWCOMER_BOOTSTRAP;
	int status = newcomer_begin(n, argc, argv);
	if (status < 0)
		status = run(n);
	free(n);
	return status;
}
