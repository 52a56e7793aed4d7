/* Any frame of a member that is not raft's: what a daemon would do with it, by its first byte.
 * Questions and answers between nodes, about certificates too, and keepalives. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/agent.h"
#include "node/control/forward.h"
#include "node/trust/trust_keeper.h"
#include "node/trust/trust_wire.h"
#include "tests/unit/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct member {
	struct stage stage;
	uv_loop_t loop;
	struct identity_files files;
	struct keeper *keeper;
	unsigned sent;
};

static void send_frame(void *data, uint64_t to, const uint8_t *bytes, size_t size)
{
	struct member *m = data;
	m->sent++;
}

static struct standing standing(void *data)
{
	return (struct standing){.id = 1, .current = true, .leader_id = 1};
}

static int renewed(void *data, struct err *err)
{
	return 0;
}

static void stirred(void *data)
{
}

static void files_make(struct identity_files *files)
{
	struct buffer request = {0};
	struct identity_signing signing = {.ca_certificate = &files->ca_certificate,
	    .ca_key = &files->ca_key,
	    .identity = {.id = 1, .cluster = "9a7d0f6e-4f5b-4b1c-8a64-0d9f3d1e2c3b", .name = "hv1"},
	    .days = 30};
	int failed =
	    identity_ca_make(
		signing.identity.cluster, &files->ca_certificate, &files->ca_key, NULL) ||
	    identity_key_make(&files->key, NULL) ||
	    identity_request_make(&files->key, "hv1", &request, NULL) ||
	    identity_sign(&signing, (char *)request.data, request.size, &files->certificate, NULL);
	assert(!failed);
	buffer_close(&request);
}

static void authority_tell(struct member *m)
{
	struct command command = {.number = COMMAND_authority_made};
	identity_fingerprint((char *)m->files.ca_certificate.data, m->files.ca_certificate.size,
	    command.authority_made.fingerprint, NULL);
	snprintf(command.authority_made.certificate, sizeof(command.authority_made.certificate),
	    "%.*s", (int)m->files.ca_certificate.size, (char *)m->files.ca_certificate.data);
	stage_apply(&m->stage, &command, NULL);
}

static struct member *member_open(void)
{
	static struct member m;
	stage_open(&m.stage);
	stage_node(&m.stage, 2, "hv2");
	uv_loop_init(&m.loop);
	files_make(&m.files);
	authority_tell(&m);
	struct keeper_options options = {
	    .loop = &m.loop,
	    .context = &m.stage.context,
	    .directory = "/nowhere",
	    .files = &m.files,
	    .certificate_days = 30,
	    .standing = standing,
	    .send = send_frame,
	    .renewed = renewed,
	    .stirred = stirred,
	    .data = &m,
	};
	m.keeper = keeper_new(&options);
	return &m;
}

static void forget(void *data, int status, json_t *result, const struct err *err)
{
	json_decref(result);
}

/* With a question to node 2 under way, number 1. */
static void forward_try(struct member *m, const uint8_t *data, size_t size)
{
	struct forward_options options = {
	    .context = &m->stage.context, .send = send_frame, .data = m};
	struct forward *f = forward_new(&options);
	struct operation_call call = {
	    .operation = operation_named("vm list"), .arguments = json_object()};
	forward_ask(f, 2, &call, forget, NULL);
	forward_received(f, 2, data, size);
	forward_free(f);
	json_decref(call.arguments);
}

static void trust_try(struct member *m, const uint8_t *data, size_t size)
{
	static struct trust_ask ask;
	static struct trust_answer answer;
	struct buffer again = {0};
	if (trust_ask_decode(data, size, &ask) == 0)
		trust_ask_encode(&ask, &again);
	else if (trust_answer_decode(data, size, &answer) == 0)
		trust_answer_encode(&answer, &again);
	if (again.size && (again.size != size || memcmp(again.data, data, size) != 0))
		abort();
	unsigned before = m->sent;
	keeper_received(m->keeper, 2, data, size);
	/* A question has one answer, and nothing else has any. */
	if (m->sent != before + (again.size && data[0] == TRUST_ASK_MARK))
		abort();
	buffer_close(&again);
}

static void keepalive_try(const uint8_t *data, size_t size)
{
	struct agent agent;
	struct agent_options options = {.node = 1};
	agent_init(&agent, &options);
	for (uint32_t from = 1; from <= 3; from++) {
		agent_heard(&agent, from, data, size);
		agent_heard(&agent, from, data, size);
	}
	agent_close(&agent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct member *m;
	if (!m)
		m = member_open();
	if (size == 0)
		return 0;
	if (data[0] == FORWARD_ASK_MARK || data[0] == FORWARD_ANSWER_MARK)
		forward_try(m, data, size);
	else if (agent_hears(data[0]))
		keepalive_try(data, size);
	else
		trust_try(m, data, size);
	return 0;
}
