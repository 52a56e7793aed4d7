/* Joining: the blocking client in a thread, a member on the loop. */
#include "tests/unit/members.h"

struct join { /* the blocking client, in a thread of its own */
	struct token token;
	struct buffer key;
	struct guest_request request;
	struct guest_answer answer;
	struct err err;
	uv_thread_t thread;
	int result;
	int done;
	unsigned timeout_ms;
};

static void join_run(void *data)
{
	struct join *j = data;
	j->result = guest_join(&j->token, &j->request, j->timeout_ms, &j->answer, &j->err);
	__atomic_store_n(&j->done, 1, __ATOMIC_RELEASE);
}

static bool join_done(struct join *j)
{
	return __atomic_load_n(&j->done, __ATOMIC_ACQUIRE);
}

static struct join *join_new(uint16_t port)
{
	struct join *j = must_alloc(sizeof(*j));
	struct buffer request = {0};
	j->timeout_ms = DEADLINE_MS;
	snprintf(j->token.cluster, sizeof(j->token.cluster), "%s", authority.cluster);
	snprintf(j->token.fingerprint, sizeof(j->token.fingerprint), "%s", authority.fingerprint);
	j->token.id = 5;
	identity_random(j->token.secret, sizeof(j->token.secret));
	/* Nobody listens at the first. */
	j->token.n_addresses = 2;
	snprintf(j->token.addresses[0], ENDPOINT_SIZE, "127.0.0.1:1");
	snprintf(j->token.addresses[1], ENDPOINT_SIZE, "127.0.0.1:%u", port);
	snprintf(j->request.name, sizeof(j->request.name), "node2");
	snprintf(j->request.address, sizeof(j->request.address), "10.0.0.2:7080");
	j->request.wants = GUEST_COORDINATOR;
	authority_check(identity_key_make(&j->key, &j->err), &j->err);
	authority_check(identity_request_make(&j->key, "node2", &request, &j->err), &j->err);
	memcpy(j->request.request, request.data, request.size);
	buffer_close(&request);
	return j;
}

static void join_start(struct join *j)
{
	assert_int_equal(uv_thread_create(&j->thread, join_run, j), 0);
}

static void join_finish(struct join *j)
{
	uv_thread_join(&j->thread);
	buffer_close(&j->key);
	free(j);
}

static void pem_copy(char pem[GUEST_PEM_SIZE], const struct buffer *b)
{
	assert_true(b->size < GUEST_PEM_SIZE);
	memcpy(pem, b->data, b->size);
}

/* What the daemon will do once the log has said yes. */
static void admit(struct member *n, const struct guest_request *request)
{
	struct guest_answer *answer = must_alloc(sizeof(*answer));
	struct buffer certificate = {0};
	struct err err;
	struct identity_signing signing = {&authority.certificate, &authority.key, {.id = 2}, 365};
	snprintf(signing.identity.cluster, IDENTITY_UUID_SIZE, "%s", authority.cluster);
	snprintf(signing.identity.name, IDENTITY_NAME_SIZE, "%s", request->name);
	authority_check(
	    identity_sign(&signing, request->request, strlen(request->request), &certificate, &err),
	    &err);
	answer->id = 2;
	snprintf(answer->cluster, sizeof(answer->cluster), "%s", authority.cluster);
	snprintf(answer->cluster_name, sizeof(answer->cluster_name), "hall");
	pem_copy(answer->ca_certificate, &authority.certificate);
	pem_copy(answer->ca_key, &authority.key);
	pem_copy(answer->certificate, &certificate);
	answer->n_members = 1;
	answer->members[0].id = 1;
	assert_int_equal(peers_guest_answer(n->peers, n->guest, answer), 0);
	buffer_close(&certificate);
	free(answer);
}

static void who_has_the_secret_joins_and_can_open_its_peers(void **state)
{
	struct member node;
	struct identity identity;
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	join_start(j);
	WAIT_FOR(node.joined == 1);
	assert_memory_equal(node.request.secret, j->token.secret, sizeof(j->token.secret));
	assert_int_equal(node.request.token, 5);
	assert_int_equal(node.request.wants, GUEST_COORDINATOR);
	turns_for(50); /* the log takes its time */
	admit(&node, &node.request);
	WAIT_FOR(join_done(j));
	if (j->result != 0)
		fail_msg("%d: %s", j->result, j->err.text);
	assert_int_equal(j->answer.id, 2);
	assert_string_equal(j->answer.cluster_name, "hall");
	assert_int_equal(j->answer.n_members, 1);
	struct identity_files files = {0};
	buffer_append(
	    &files.ca_certificate, j->answer.ca_certificate, strlen(j->answer.ca_certificate));
	buffer_append(&files.ca_key, j->answer.ca_key, strlen(j->answer.ca_key));
	buffer_append(&files.certificate, j->answer.certificate, strlen(j->answer.certificate));
	buffer_append(&files.key, j->key.data, j->key.size);
	assert_int_equal(identity_check(&files, &identity, &j->err), 0);
	assert_int_equal(identity.id, 2);
	identity_files_close(&files);
	join_finish(j);
	WAIT_FOR(peers_guest_answer(node.peers, node.guest, &(struct guest_answer){0}) == -ENOENT);
	assert_int_equal(node.strangers, 0);
	node_close(&node);
}

static void who_has_a_wrong_secret_is_told_so(void **state)
{
	struct member node;
	struct guest_answer *no = must_alloc(sizeof(*no));
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	join_start(j);
	WAIT_FOR(node.joined == 1);
	snprintf(no->refused, sizeof(no->refused), "no such token");
	assert_int_equal(peers_guest_answer(node.peers, node.guest, no), 0);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EACCES);
	assert_string_equal(j->err.text, "no such token");
	join_finish(j);
	free(no);
	node_close(&node);
}

/* A token of before a rotation, at a node whose certificate is of the new CA already. */
static struct join *join_with_an_old_token(
    struct member *node, const struct issuer *new, struct identity_files *files)
{
	struct err err;
	node_open(node, 1);
	*files = authority_admit(new, 1, authority.cluster, 30);
	buffer_append(
	    &files->ca_certificate, authority.certificate.data, authority.certificate.size);
	buffer_append(&files->ca_key, authority.key.data, authority.key.size);
	buffer_append(&files->ca_key, new->key.data, new->key.size);
	authority_check(peers_identity(node->peers, files, &err), &err);
	return join_new(peers_port(node->peers));
}

static void a_token_is_good_as_long_as_its_ca_is_trusted(void **state)
{
	struct member node;
	struct issuer new;
	struct identity_files files;
	authority_open(&new);
	struct join *j = join_with_an_old_token(&node, &new, &files);
	join_start(j);
	WAIT_FOR(node.joined == 1);
	struct guest_answer *answer = must_alloc(sizeof(*answer));
	snprintf(answer->cluster, sizeof(answer->cluster), "%s", authority.cluster);
	answer->id = 1;
	pem_copy(answer->ca_certificate, &files.ca_certificate);
	pem_copy(answer->certificate, &files.certificate);
	assert_int_equal(peers_guest_answer(node.peers, node.guest, answer), 0);
	WAIT_FOR(join_done(j));
	if (j->result != 0)
		fail_msg("%d: %s", j->result, j->err.text);
	free(answer);
	join_finish(j);
	identity_files_close(&files);
	authority_close(&new);
	node_close(&node);
}

static void a_token_whose_ca_is_trusted_no_more_is_told_so_in_one_line(void **state)
{
	struct member node;
	struct issuer new;
	struct identity_files files;
	struct err err;
	authority_open(&new);
	struct join *j = join_with_an_old_token(&node, &new, &files);
	identity_authority_drop(&files, authority.fingerprint);
	assert_int_equal(peers_identity(node.peers, &files, &err), 0);
	join_start(j);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EPROTO);
	assert_non_null(strstr(j->err.text, "or its CA is another since: make a new token"));
	assert_int_equal(node.joined, 0);
	join_finish(j);
	identity_files_close(&files);
	authority_close(&new);
	node_close(&node);
}

static void a_secret_is_not_told_to_another_cluster(void **state)
{
	struct member node;
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	j->token.fingerprint[0] = j->token.fingerprint[0] == '0' ? '1' : '0';
	join_start(j);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EPROTO);
	assert_non_null(strstr(j->err.text, "not the cluster of this token"));
	WAIT_FOR(node.strangers == 1);
	assert_int_equal(node.joined, 0);
	join_finish(j);
	node_close(&node);
}

static void a_secret_is_not_told_to_a_cluster_of_another_name(void **state)
{
	struct member node;
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	identity_uuid(j->token.cluster);
	join_start(j);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EPROTO);
	assert_int_equal(node.joined, 0);
	join_finish(j);
	node_close(&node);
}

/* Seen from a server that would take anything: its handshake does not even end, so there were
 * no keys to send a secret under. */
static void a_liar_that_shows_the_right_ca_beside_its_own_certificate_gets_nothing(void **state)
{
	struct issuer other;
	struct endpoint at;
	struct endpoint_address address;
	struct err err;
	authority_open(&other);
	snprintf(other.cluster, sizeof(other.cluster), "%s", authority.cluster);
	struct caller c = {.context = context_of(&other, 1, 30)};
	snprintf(at.host, sizeof(at.host), "127.0.0.1");
	snprintf(at.port, sizeof(at.port), "0");
	assert_int_equal(endpoint_numeric(&at, &address), 0);
	int listener = endpoint_listen(&address);
	assert_true(listener >= 0);
	struct join *j = join_new(endpoint_port(listener));
	join_start(j);
	WAIT_FOR((c.fd = accept(listener, NULL, NULL)) >= 0);
	c.tls = tls_new(c.context, TLS_ACCEPT, TLS_JOIN);
	WAIT_FOR(!caller_turn(&c));
	assert_int_equal(c.plain, 0);
	assert_int_not_equal(tls_handshake(c.tls, &err), 1);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EPROTO);
	join_finish(j);
	close(listener);
	caller_close(&c);
	authority_close(&other);
}

static void an_unanswered_request_is_not_called_undone(void **state)
{
	struct member node;
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	join_start(j);
	WAIT_FOR(node.joined == 1);
	node_close(&node);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EPIPE);
	join_finish(j);
}

static void a_guest_that_vanished_cannot_be_answered(void **state)
{
	struct member node;
	struct guest_answer *no = must_alloc(sizeof(*no));
	node_open(&node, 1);
	struct join *j = join_new(peers_port(node.peers));
	j->timeout_ms = 200;
	join_start(j);
	WAIT_FOR(join_done(j));
	WAIT_FOR(node.joined == 1);
	assert_int_equal(j->result, -EPIPE);
	WAIT_FOR(peers_guest_answer(node.peers, node.guest, no) == -ENOENT);
	assert_int_equal(peers_guest_answer(node.peers, 12345, no), -ENOENT);
	join_finish(j);
	free(no);
	node_close(&node);
}

static void nobody_at_home_is_said_with_every_address(void **state)
{
	struct join *j = join_new(2);
	join_start(j);
	WAIT_FOR(join_done(j));
	assert_int_equal(j->result, -EHOSTUNREACH);
	assert_non_null(strstr(j->err.text, "127.0.0.1:1: "));
	assert_non_null(strstr(j->err.text, "127.0.0.1:2: "));
	join_finish(j);
}

struct visit { /* blocking, in a thread */
	struct token token;
	int fd, result, done;
	struct err err;
};

static void visit_run(void *data)
{
	struct visit *v = data;
	v->result = guest_visit(&v->token, v->fd, DEADLINE_MS, &v->err);
	__atomic_store_n(&v->done, 1, __ATOMIC_RELEASE);
}

static void visit_make(struct visit *v, const struct member *n)
{
	struct caller c;
	uv_thread_t thread;
	caller_connect(&c, n);
	v->fd = c.fd;
	snprintf(v->token.cluster, sizeof(v->token.cluster), "%s", authority.cluster);
	assert_int_equal(uv_thread_create(&thread, visit_run, v), 0);
	WAIT_FOR(__atomic_load_n(&v->done, __ATOMIC_ACQUIRE));
	uv_thread_join(&thread);
	close(v->fd);
	turns_for(20);
}

static void who_only_looks_whether_somebody_is_there_is_no_stranger(void **state)
{
	struct member node;
	struct visit visit = {0}, other = {0};
	node_open(&node, 1);
	snprintf(visit.token.fingerprint, IDENTITY_HEX_SIZE, "%s", authority.fingerprint);
	visit_make(&visit, &node);
	assert_int_equal(visit.result, 0);
	assert_int_equal(node.strangers + node.joined, 0);
	/* Whose token is another cluster's is one. */
	memset(other.token.fingerprint, '0', IDENTITY_HEX_SIZE - 1);
	visit_make(&other, &node);
	assert_int_equal(other.result, -EPROTO);
	assert_int_equal(node.strangers, 1);
	node_close(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_LOOP(who_has_the_secret_joins_and_can_open_its_peers),
	    ON_LOOP(who_has_a_wrong_secret_is_told_so),
	    ON_LOOP(a_token_is_good_as_long_as_its_ca_is_trusted),
	    ON_LOOP(a_token_whose_ca_is_trusted_no_more_is_told_so_in_one_line),
	    ON_LOOP(a_secret_is_not_told_to_another_cluster),
	    ON_LOOP(a_secret_is_not_told_to_a_cluster_of_another_name),
	    ON_LOOP(a_liar_that_shows_the_right_ca_beside_its_own_certificate_gets_nothing),
	    ON_LOOP(an_unanswered_request_is_not_called_undone),
	    ON_LOOP(a_guest_that_vanished_cannot_be_answered),
	    ON_LOOP(nobody_at_home_is_said_with_every_address),
	    ON_LOOP(who_only_looks_whether_somebody_is_there_is_no_stranger),
	};
	return cmocka_run_group_tests(tests, authority_setup, authority_teardown);
}
