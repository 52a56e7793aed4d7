/* Letting machines in: who may, and what becomes of the token of who is turned away. A real guest
 * on loopback asks a real member; the log is a double that says yes. */
#include <time.h>

#include "tests/unit/members.h"

#include "node/trust/admission.h"
#include "node/config/config.h"

struct hall { /* a member, and the log it asks */
	struct peers *peers;
	struct identity_files files;
	struct cluster cluster;
	struct config config;
	struct context context;
	struct admission admission;
	unsigned proposals, closed;
	int refuse; /* not 0: what the log says */
};

struct caller_thread { /* the blocking client */
	struct token token;
	struct guest_request request;
	struct guest_answer answer;
	struct err err;
	uv_thread_t thread;
	int result, done;
};

static void apply(struct cluster *c, struct command *command)
{
	struct buffer bytes = {0};
	struct err err = {""};
	command_encode(command, &bytes);
	authority_check(cluster_apply(c, c->index + 1, bytes.data, bytes.size, &err), &err);
	buffer_close(&bytes);
}

static void propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data)
{
	struct hall *h = data;
	struct err err = {""};
	struct buffer bytes = {0};
	struct cluster *c = &h->cluster;
	h->proposals++;
	command_encode(command, &bytes);
	int result = h->refuse ? err_set(&err, h->refuse, "no such token")
			       : cluster_apply(c, c->index + 1, bytes.data, bytes.size, &err);
	buffer_close(&bytes);
	done(done_data, result, c->index, &err);
}

static void joined(void *data, uint64_t guest, const struct guest_request *request)
{
	admission_joined(&((struct hall *)data)->admission, guest, request);
}

static void received(void *data, uint64_t from, const uint8_t *bytes, size_t size)
{
}

static void lost(void *data, uint64_t member)
{
}

static void stranger(void *data, const char *address, const char *why)
{
	fail_msg("a stranger: %s", why);
}

static void found(struct cluster *c)
{
	struct command command = {.number = COMMAND_found, .found = {.schema = 1}};
	cluster_init(c);
	snprintf(command.found.name, sizeof(command.found.name), "hall");
	snprintf(command.found.uuid, sizeof(command.found.uuid), "%s", authority.cluster);
	snprintf(command.found.node, sizeof(command.found.node), "node1");
	snprintf(command.found.address, sizeof(command.found.address), "127.0.0.1:1");
	apply(c, &command);
}

static void hall_open(struct hall *h)
{
	struct err err = {""};
	*h = (struct hall){.files = authority_admit(&authority, 1, authority.cluster, 30)};
	buffer_append(&h->files.ca_key, authority.key.data, authority.key.size);
	h->config.raft.certificate_days = 30;
	found(&h->cluster);
	struct peers_options options = {
	    .loop = &loop,
	    .files = &h->files,
	    .listen_address = "127.0.0.1",
	    .user_timeout_ms = 500,
	    .handshake_ms = 5000,
	    .handlers = {h, received, lost, stranger, joined, NULL},
	};
	authority_check(peers_open(&h->peers, &options, &err), &err);
	h->context = (struct context){
	    .data = h, .id = 1, .cluster = &h->cluster, .config = &h->config, .propose = propose};
	h->admission =
	    (struct admission){.context = &h->context, .files = &h->files, .peers = h->peers};
}

static void hall_closed(void *data)
{
	((struct hall *)data)->closed++;
}

static void hall_close(struct hall *h)
{
	peers_close(h->peers, hall_closed, h);
	WAIT_FOR(h->closed);
	identity_files_close(&h->files);
	cluster_close(&h->cluster);
}

/* A token as a member makes it, and as the log is told of it. */
static void token_of(struct hall *h, struct token *token)
{
	struct context_token text;
	struct command command = {.number = COMMAND_token, .token = {.valid_ms = 60000}};
	struct err err = {""};
	authority_check(admission_token(&h->admission, &text, &err), &err);
	authority_check(token_decode(text.text, strlen(text.text), token, &err), &err);
	snprintf(command.token.hash, sizeof(command.token.hash), "%s", text.hash);
	apply(&h->cluster, &command);
	token->n_addresses = 1;
	snprintf(token->addresses[0], ENDPOINT_SIZE, "127.0.0.1:%u", peers_port(h->peers));
}

static void call_run(void *data)
{
	struct caller_thread *c = data;
	c->result = guest_join(&c->token, &c->request, DEADLINE_MS, &c->answer, &c->err);
	__atomic_store_n(&c->done, 1, __ATOMIC_RELEASE);
}

/* Of node2. */
static void request_of(struct guest_request *ask, unsigned wants)
{
	struct buffer key = {0}, request = {0};
	struct err err = {""};
	*ask = (struct guest_request){.wants = wants};
	snprintf(ask->name, sizeof(ask->name), "node2");
	snprintf(ask->address, sizeof(ask->address), "10.0.0.2:7080");
	authority_check(identity_key_make(&key, &err), &err);
	authority_check(identity_request_make(&key, "node2", &request, &err), &err);
	snprintf(
	    ask->request, sizeof(ask->request), "%.*s", (int)request.size, (char *)request.data);
	buffer_close(&request);
	identity_wipe(&key);
}

/* Ask with that token, and be answered. */
static struct caller_thread *call(const struct token *token, unsigned wants)
{
	struct caller_thread *c = must_alloc(sizeof(*c));
	c->token = *token;
	request_of(&c->request, wants);
	assert_int_equal(uv_thread_create(&c->thread, call_run, c), 0);
	WAIT_FOR(__atomic_load_n(&c->done, __ATOMIC_ACQUIRE));
	uv_thread_join(&c->thread);
	return c;
}

static void assert_let_in(const struct hall *h, const struct caller_thread *c)
{
	struct identity who;
	struct err err;
	if (c->result)
		fail_msg("%s", c->err.text);
	assert_string_equal(c->answer.cluster_name, "hall");
	assert_int_equal(
	    identity_read(c->answer.certificate, strlen(c->answer.certificate), &who, &err), 0);
	assert_int_equal(who.id, c->answer.id);
	assert_string_equal(who.name, "node2");
	assert_non_null(cluster_node(&h->cluster, (uint32_t)who.id));
}

static void the_cas_key_goes_to_coordinators_alone(void **state)
{
	static const struct {
		unsigned wants;
		enum node_mode mode;
	} cases[] = {{GUEST_COORDINATOR, NODE_COORDINATOR}, {GUEST_HYPERVISOR, NODE_HYPERVISOR},
	    {GUEST_WITNESS | GUEST_COORDINATOR, NODE_WITNESS}};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct hall h;
		struct token token;
		hall_open(&h);
		token_of(&h, &token);
		struct caller_thread *c = call(&token, cases[i].wants);
		assert_let_in(&h, c);
		assert_int_equal(cluster_node(&h.cluster, 2)->mode, cases[i].mode);
		assert_int_equal(*c->answer.ca_key != 0, cases[i].mode == NODE_COORDINATOR);
		free(c);
		hall_close(&h);
	}
}

static void where_the_cas_key_is_missing_a_token_is_not_used_up(void **state)
{
	struct hall h;
	struct token token;
	hall_open(&h);
	token_of(&h, &token);
	h.files.ca_key.size = 0;
	struct caller_thread *c = call(&token, GUEST_COORDINATOR);
	assert_int_equal(c->result, -EACCES);
	assert_string_equal(c->err.text, "this node has no key of the cluster's CA");
	assert_int_equal(h.proposals, 0);
	assert_int_equal(h.cluster.nodes.count, 1);
	free(c);
	/* It has it again. */
	h.files.ca_key.size = authority.key.size;
	c = call(&token, GUEST_COORDINATOR);
	assert_let_in(&h, c);
	free(c);
	hall_close(&h);
}

/* What it gets would not be valid there. */
static void whose_clock_is_far_off_is_turned_away_and_nothing_is_done(void **state)
{
	struct hall h;
	struct guest_request request;
	static const int64_t hours[] = {-24, -13, 13, 1000000};
	hall_open(&h);
	request_of(&request, GUEST_HYPERVISOR);
	for (unsigned i = 0; i < sizeof(hours) / sizeof(*hours); i++) {
		request.time_s = (uint64_t)(time(NULL) + hours[i] * 3600);
		admission_joined(&h.admission, 99, &request);
		assert_int_equal(h.proposals, 0);
	}
	request.time_s = (uint64_t)time(NULL) + 11 * 3600;
	admission_joined(&h.admission, 99, &request);
	assert_int_equal(h.proposals, 1);
	hall_close(&h);
}

static void whom_the_log_refuses_hears_its_words(void **state)
{
	struct hall h;
	struct token token;
	hall_open(&h);
	token_of(&h, &token);
	h.refuse = -ENOENT;
	struct caller_thread *c = call(&token, GUEST_HYPERVISOR);
	assert_int_equal(c->result, -EACCES);
	assert_string_equal(c->err.text, "no such token");
	assert_int_equal(h.proposals, 1);
	free(c);
	hall_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_LOOP(the_cas_key_goes_to_coordinators_alone),
	    ON_LOOP(where_the_cas_key_is_missing_a_token_is_not_used_up),
	    ON_LOOP(whose_clock_is_far_off_is_turned_away_and_nothing_is_done),
	    ON_LOOP(whom_the_log_refuses_hears_its_words),
	};
	return cmocka_run_group_tests(tests, authority_setup, authority_teardown);
}
