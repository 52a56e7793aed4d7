#include "node/trust/admission.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/config/config.h"
#include "node/log/log.h"
#include "node/trust/trust_sign.h"
#include "raft/token.h"

#define JOIN_TIMEOUT_MS 10000
/* A certificate also holds for the day before it was signed. */
#define CLOCKS_APART_S (12 * 3600)

static void add_addresses(const struct cluster *c, struct token *token)
{
	cluster_each(c->nodes, struct node, node)
	{
		/* Only a coordinator has the CA's key. */
		if (node->mode != NODE_COORDINATOR || token->n_addresses == TOKEN_ADDRESSES_MAX)
			continue;
		snprintf(
		    token->addresses[token->n_addresses++], ENDPOINT_SIZE, "%s", node->address);
	}
}

int admission_token(const struct admission *a, struct context_token *out, struct err *err)
{
	struct token token = {.id = a->context->cluster->settings.next_token};
	struct buffer text = {0};
	snprintf(token.cluster, sizeof(token.cluster), "%s", a->context->cluster->settings.uuid);
	trust_signer(a->context->cluster, a->files, token.fingerprint);
	identity_random(token.secret, sizeof(token.secret));
	identity_sha256_hex(token.secret, sizeof(token.secret), out->hash);
	add_addresses(a->context->cluster, &token);
	int result = token_encode(&token, &text, err);
	if (!result && text.size >= sizeof(out->text))
		result = err_set(err, -E2BIG, "the token would be longer than %zu characters",
		    sizeof(out->text) - 1);
	if (!result)
		snprintf(out->text, sizeof(out->text), "%.*s", (int)text.size, (char *)text.data);
	identity_wipe(&text);
	return result;
}

struct joining { /* a guest whose join is being decided */
	const struct admission *admission;
	uint64_t guest;
	struct guest_request request;
};

static void refuse(const struct joining *j, const char *why)
{
	struct guest_answer *answer = must_alloc(sizeof(*answer));
	snprintf(answer->refused, sizeof(answer->refused), "%s", why);
	peers_guest_answer(j->admission->peers, j->guest, answer);
	log_warning("%s may not join: %s", j->request.name, why);
	free(answer);
}

static void copy_pem(char out[GUEST_PEM_SIZE], const struct buffer *pem)
{
	snprintf(out, GUEST_PEM_SIZE, "%.*s", (int)pem->size, (const char *)pem->data);
}

static int sign(const struct joining *j, uint64_t id, struct buffer *certificate, struct err *err)
{
	const struct admission *a = j->admission;
	char fingerprint[IDENTITY_HEX_SIZE];
	struct trust_signing signing = {
	    .files = a->files,
	    .fingerprint = fingerprint,
	    .identity = {.id = id},
	    .days = a->context->config->raft.certificate_days,
	};
	trust_signer(a->context->cluster, a->files, fingerprint);
	snprintf(signing.identity.cluster, sizeof(signing.identity.cluster), "%s",
	    a->context->cluster->settings.uuid);
	snprintf(signing.identity.name, sizeof(signing.identity.name), "%s", j->request.name);
	return trust_sign(
	    &signing, j->request.request, strlen(j->request.request), certificate, err);
}

static void welcome(
    const struct joining *j, const struct node *node, const struct buffer *certificate)
{
	const struct cluster *c = j->admission->context->cluster;
	struct guest_answer *answer = must_alloc(sizeof(*answer));
	answer->id = node->id;
	snprintf(answer->cluster, sizeof(answer->cluster), "%s", c->settings.uuid);
	snprintf(answer->cluster_name, sizeof(answer->cluster_name), "%s", c->settings.name);
	copy_pem(answer->ca_certificate, &j->admission->files->ca_certificate);
	copy_pem(answer->certificate, certificate);
	if (node->mode == NODE_COORDINATOR)
		copy_pem(answer->ca_key, &j->admission->files->ca_key);
	cluster_each(c->nodes, struct node, other)
	{
		struct guest_member *member = &answer->members[answer->n_members];
		if (answer->n_members == GUEST_MEMBERS_MAX)
			break;
		answer->n_members++;
		member->id = other->id;
		snprintf(member->address, sizeof(member->address), "%s", other->address);
	}
	peers_guest_answer(j->admission->peers, j->guest, answer);
	explicit_bzero(answer, sizeof(*answer));
	free(answer);
	log_ok("%s has joined as node %u", node->name, node->id);
}

static void decided(void *data, int result, uint64_t index, const struct err *why)
{
	struct joining *j = data;
	struct buffer certificate = {0};
	struct err err = {{0}};
	const struct node *node =
	    result > 0 ? cluster_node(j->admission->context->cluster, (uint32_t)result) : NULL;
	if (result < 0)
		refuse(j, why->text);
	else if (!node || sign(j, node->id, &certificate, &err))
		refuse(j, node ? err.text : "it was removed at once");
	else
		welcome(j, node, &certificate);
	buffer_close(&certificate);
	explicit_bzero(j, sizeof(*j));
	free(j);
}

/* Whoever's clock is far off would get a certificate that is not valid there: then nothing is
 * done at all. Said, because "expired" a year later is harder to understand. */
static int clock_check(uint64_t guest_s, struct err *err)
{
	uint64_t own_s = (uint64_t)time(NULL);
	uint64_t apart_s = guest_s > own_s ? guest_s - own_s : own_s - guest_s;
	if (apart_s <= CLOCKS_APART_S)
		return 0;
	return err_set(err, -ETIME,
	    "your clock is %" PRIu64 " hours %s the cluster's: set it and join again",
	    apart_s / 3600, guest_s > own_s ? "ahead of" : "behind");
}

static enum node_mode mode_wanted(const struct guest_request *request)
{
	if (request->wants & GUEST_WITNESS)
		return NODE_WITNESS;
	return request->wants & GUEST_COORDINATOR ? NODE_COORDINATOR : NODE_HYPERVISOR;
}

void admission_joined(
    const struct admission *a, uint64_t guest, const struct guest_request *request)
{
	struct command command = {.number = COMMAND_join};
	struct command_join *join = &command.join;
	struct err err = {{0}};
	struct joining *j = must_alloc(sizeof(*j));
	*j = (struct joining){.admission = a, .guest = guest, .request = *request};
	snprintf(join->name, sizeof(join->name), "%s", request->name);
	snprintf(join->address, sizeof(join->address), "%s", request->address);
	identity_sha256_hex(request->secret, sizeof(request->secret), join->hash);
	join->mode = mode_wanted(request);
	join->hypervisor = request->wants & GUEST_HYPERVISOR;
	int result = clock_check(request->time_s, &err);
	if (!result)
		result = identity_incarnation(
		    request->request, strlen(request->request), join->incarnation, &err);
	/* Before the token is used up. */
	if (!result && !trust_signs(a->context->cluster, a->files))
		result = err_set(&err, -EPERM, "this node has no key of the cluster's CA");
	if (result)
		decided(j, result, 0, &err);
	else
		a->context->propose(a->context->data, &command, JOIN_TIMEOUT_MS, decided, j);
}
