#include "raft/guest.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raft/frame.h"
#include "raft/tls.h"

#define REQUEST_MAGIC 0x314a5650u /* "PVJ1" */
#define ANSWER_MAGIC  0x31415650u /* "PVA1" */

/* --- Encoding --- */

void guest_request_encode(const struct guest_request *request, struct buffer *out)
{
	buffer_append_u32(out, REQUEST_MAGIC);
	buffer_append_u64(out, request->token);
	buffer_append(out, request->secret, sizeof(request->secret));
	buffer_append_u64(out, request->time_s);
	buffer_append_u32(out, request->wants);
	buffer_append_text(out, request->name);
	buffer_append_text(out, request->address);
	buffer_append_text(out, request->request);
}

int guest_request_decode(const uint8_t *bytes, size_t size, struct guest_request *request)
{
	struct endpoint endpoint;
	struct reader r = reader_of(bytes, size);
	*request = (struct guest_request){0};
	if (reader_u32(&r) != REQUEST_MAGIC)
		return -EBADMSG;
	request->token = reader_u64(&r);
	const uint8_t *secret = reader_bytes(&r, sizeof(request->secret));
	if (secret)
		memcpy(request->secret, secret, sizeof(request->secret));
	request->time_s = reader_u64(&r);
	request->wants = reader_u32(&r);
	reader_text(&r, request->name, sizeof(request->name));
	reader_text(&r, request->address, sizeof(request->address));
	reader_text(&r, request->request, sizeof(request->request));
	if (!r.failed && reader_left(&r) == 0 && request->name[0] &&
	    endpoint_parse(request->address, &endpoint, NULL) == 0)
		return 0;
	*request = (struct guest_request){0};
	return -EBADMSG;
}

void guest_answer_encode(const struct guest_answer *answer, struct buffer *out)
{
	buffer_append_u32(out, ANSWER_MAGIC);
	buffer_append_text(out, answer->refused);
	if (answer->refused[0])
		return;
	buffer_append_u64(out, answer->id);
	buffer_append_text(out, answer->cluster);
	buffer_append_text(out, answer->cluster_name);
	buffer_append_text(out, answer->ca_certificate);
	buffer_append_text(out, answer->certificate);
	buffer_append_text(out, answer->ca_key);
	buffer_append_varint(out, answer->n_members);
	for (uint32_t i = 0; i < answer->n_members; i++) {
		buffer_append_u64(out, answer->members[i].id);
		buffer_append_text(out, answer->members[i].address);
	}
}

static void members_read(struct reader *r, struct guest_answer *answer)
{
	uint64_t n = reader_varint(r);
	if (n > GUEST_MEMBERS_MAX) {
		r->failed = true;
		return;
	}
	answer->n_members = (uint32_t)n;
	for (uint64_t i = 0; i < n && !r->failed; i++) {
		answer->members[i].id = reader_u64(r);
		reader_text(r, answer->members[i].address, ENDPOINT_SIZE);
	}
}

static void admission_read(struct reader *r, struct guest_answer *answer)
{
	answer->id = reader_u64(r);
	reader_text(r, answer->cluster, sizeof(answer->cluster));
	reader_text(r, answer->cluster_name, sizeof(answer->cluster_name));
	reader_text(r, answer->ca_certificate, sizeof(answer->ca_certificate));
	reader_text(r, answer->certificate, sizeof(answer->certificate));
	reader_text(r, answer->ca_key, sizeof(answer->ca_key));
	members_read(r, answer);
}

int guest_answer_decode(const uint8_t *bytes, size_t size, struct guest_answer *answer)
{
	struct reader r = reader_of(bytes, size);
	memset(answer, 0, sizeof(*answer));
	if (reader_u32(&r) != ANSWER_MAGIC)
		return -EBADMSG;
	reader_text(&r, answer->refused, sizeof(answer->refused));
	if (!answer->refused[0])
		admission_read(&r, answer);
	if (!r.failed && reader_left(&r) == 0)
		return 0;
	explicit_bzero(answer, sizeof(*answer));
	return -EBADMSG;
}

/* --- The client --- */

struct call { /* one connection to one member */
	const struct token *token;
	const char *address;
	struct tls *tls;
	int fd;
	int64_t deadline_ms;
	enum { NOTHING_SENT, REQUEST_SENT } progress;
	struct frames frames;
	struct guest_answer *answer;
	uint8_t bytes[16384];
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int socket_wait(const struct call *c, short events, struct err *err)
{
	for (;;) {
		int64_t left = c->deadline_ms - now_ms();
		struct pollfd p = {.fd = c->fd, .events = events};
		int rv = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (rv > 0)
			return 0;
		if (rv == 0)
			return err_set(err, -ETIMEDOUT, "%s: no answer in time", c->address);
		if (errno != EINTR)
			return err_set(err, -errno, "%s: %s", c->address, strerror(errno));
	}
}

static int connect_finish(struct call *c, struct err *err)
{
	int rv = socket_wait(c, POLLOUT, err), error = 0;
	socklen_t size = sizeof(error);
	if (rv < 0)
		return rv;
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return error ? err_set(err, -error, "%s: %s", c->address, strerror(error)) : 0;
}

static int wire_send(struct call *c, struct err *err)
{
	struct buffer *wire = tls_wire(c->tls);
	size_t at = 0;
	while (at < wire->size) {
		ssize_t n = send(c->fd, wire->data + at, wire->size - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			int rv = socket_wait(c, POLLOUT, err);
			if (rv < 0)
				return rv;
		} else if (n < 0) {
			return err_set(err, -errno, "%s: %s", c->address, strerror(errno));
		} else {
			at += (size_t)n;
		}
	}
	wire->size = 0;
	return 0;
}

/* Wait for bytes and feed them to TLS. */
static int wire_receive(struct call *c, struct err *err)
{
	int rv = socket_wait(c, POLLIN, err);
	if (rv < 0)
		return rv;
	ssize_t n = recv(c->fd, c->bytes, sizeof(c->bytes), 0);
	if (n < 0 && errno != EAGAIN)
		return err_set(err, -errno, "%s: %s", c->address, strerror(errno));
	if (n == 0)
		return err_set(err, -EPIPE, "%s: closed the connection", c->address);
	tls_feed(c->tls, c->bytes, n > 0 ? (size_t)n : 0);
	return 0;
}

static void clock_print(char text[32])
{
	struct tm now;
	time_t seconds = time(NULL);
	gmtime_r(&seconds, &now);
	strftime(text, 32, "%Y-%m-%d %H:%M UTC", &now);
}

/* Afterwards the other side is a node of the cluster that the token names. */
static int handshake(struct call *c, struct err *err)
{
	struct identity peer;
	int rv;
	while ((rv = tls_handshake(c->tls, err)) == 0) {
		if ((rv = wire_send(c, err)) < 0 || (rv = wire_receive(c, err)) < 0)
			return rv;
	}
	if (rv == -EKEYEXPIRED) {
		char now[32];
		wire_send(c, NULL);
		clock_print(now);
		struct err why = err ? *err : (struct err){0};
		return err_set(err, rv, "%s: %.200s; set the clock, if it is not %s now",
		    c->address, why.text, now);
	}
	if (rv < 0 || (rv = tls_peer(c->tls, &peer, err)) < 0) {
		wire_send(c, NULL);
		return err_wrap(err, -EPROTO,
		    "%s: not the cluster of this token, or its CA is another since: make a new "
		    "token",
		    c->address);
	}
	if (strcmp(peer.cluster, c->token->cluster) != 0)
		return err_set(err, -EPROTO, "%s: is of cluster %s, the token of %s", c->address,
		    peer.cluster, c->token->cluster);
	return 0;
}

static int request_send(struct call *c, const struct guest_request *request, struct err *err)
{
	struct buffer body = {0}, frame = {0};
	guest_request_encode(request, &body);
	frame_append(&frame, body.data, body.size);
	int rv = tls_write(c->tls, frame.data, frame.size);
	identity_wipe(&body);
	identity_wipe(&frame);
	if (rv < 0)
		return err_set(err, rv, "%s: TLS failed", c->address);
	c->progress = REQUEST_SENT;
	return wire_send(c, err);
}

static int answer_frame(void *data, const uint8_t *bytes, size_t size)
{
	struct call *c = data;
	return guest_answer_decode(bytes, size, c->answer) == 0 ? 1 : -EBADMSG;
}

static int answer_receive(struct call *c, struct err *err)
{
	uint8_t plain[16384];
	for (;;) {
		int n = tls_read(c->tls, plain, sizeof(plain), err);
		if (n < 0)
			return err_set(err, -EPIPE, "%s: closed without an answer", c->address);
		int rv = n > 0 ? frames_feed(&c->frames, plain, (size_t)n, answer_frame, c)
			       : wire_receive(c, err);
		explicit_bzero(plain, (size_t)n);
		if (rv > 0)
			return 0;
		if (n > 0 && rv < 0)
			return err_set(err, -EBADMSG, "%s: the answer does not decode", c->address);
		if (rv < 0)
			return rv;
	}
}

/* Is the CA that the token names among those that the answer brings? */
static bool answer_trusted(const struct guest_answer *a, const char *fingerprint)
{
	struct identity_authority list[IDENTITY_AUTHORITIES_MAX];
	struct identity_files files = {0};
	bool found = false;
	buffer_append(&files.ca_certificate, a->ca_certificate, strlen(a->ca_certificate));
	unsigned n = identity_authorities(&files, list);
	for (unsigned i = 0; i < n; i++)
		found |= strcmp(list[i].fingerprint, fingerprint) == 0;
	identity_files_close(&files);
	return found;
}

static int answer_check(const struct call *c, struct err *err)
{
	const struct guest_answer *a = c->answer;
	struct identity own;
	if (a->refused[0])
		return err_set(err, -EACCES, "%s", a->refused);
	int rv = identity_read(a->certificate, strlen(a->certificate), &own, err);
	if (rv < 0)
		return err_wrap(err, rv, "%s", c->address);
	if (!answer_trusted(a, c->token->fingerprint) ||
	    strcmp(own.cluster, c->token->cluster) != 0 || own.id != a->id ||
	    strcmp(a->cluster, c->token->cluster) != 0)
		return err_set(err, -EBADMSG, "%s: the answer contradicts itself", c->address);
	return 0;
}

static int converse(struct call *c, const struct guest_request *request, struct err *err)
{
	int rv = connect_finish(c, err);
	if (rv == 0)
		rv = handshake(c, err);
	if (rv == 0)
		rv = request_send(c, request, err);
	if (rv == 0)
		rv = answer_receive(c, err);
	if (rv == 0)
		return answer_check(c, err);
	/* Once the request is out, not hearing an answer proves nothing. */
	return c->progress == REQUEST_SENT && rv != -EBADMSG ? -EPIPE : rv;
}

static int call_address(struct call *c, struct tls_context *context,
    const struct endpoint_address *address, const struct guest_request *request, struct err *err)
{
	c->fd = endpoint_connect(address);
	if (c->fd < 0)
		return err_set(err, c->fd, "%s: %s", c->address, strerror(-c->fd));
	c->tls = tls_new(context, TLS_DIAL, TLS_JOIN);
	c->frames = (struct frames){.limit = GUEST_ANSWER_MAX};
	int rv = converse(c, request, err);
	tls_free(c->tls);
	identity_wipe(&c->frames.partial);
	close(c->fd);
	return rv;
}

/* Whether another address may be asked after this one ended so. */
static bool goes_on(const struct call *c, int rv)
{
	return rv < 0 && c->progress == NOTHING_SENT && now_ms() < c->deadline_ms;
}

static int call_endpoint(struct call *c, struct tls_context *context,
    const struct guest_request *request, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	struct endpoint endpoint;
	int rv = endpoint_parse(c->address, &endpoint, err);
	if (rv < 0)
		return rv;
	rv = getaddrinfo(endpoint.host, endpoint.port, &hints, &found);
	if (rv != 0)
		return err_set(err, -EHOSTUNREACH, "%s: %s", c->address, gai_strerror(rv));
	rv = -EHOSTUNREACH;
	for (struct addrinfo *a = found; a && goes_on(c, rv); a = a->ai_next) {
		struct endpoint_address address = {.size = a->ai_addrlen};
		memcpy(&address.storage, a->ai_addr, a->ai_addrlen);
		rv = call_address(c, context, &address, request, err);
	}
	freeaddrinfo(found);
	return rv;
}

static int call_all(const struct token *token, const struct guest_request *request,
    struct tls_context *context, struct call *c, struct err *err)
{
	int64_t left_ms = c->deadline_ms - now_ms(), end_ms = c->deadline_ms;
	int rv = err_set(err, -EHOSTUNREACH, "the token has no address");
	for (unsigned i = 0; i < token->n_addresses; i++) {
		struct err before = err ? *err : (struct err){0};
		/* One that is silent must leave time for the others. */
		c->deadline_ms =
		    end_ms - left_ms * (token->n_addresses - 1 - i) / token->n_addresses;
		c->address = token->addresses[i];
		int last = rv;
		rv = call_endpoint(c, context, request, err);
		if (rv == 0 || c->progress == REQUEST_SENT)
			return rv;
		if (i > 0)
			err_wrap(err, rv, "%s", before.text);
		if (last == -EPROTO || last == -EKEYEXPIRED)
			rv = last;
	}
	return rv == -EPROTO || rv == -EKEYEXPIRED ? rv : -EHOSTUNREACH;
}

int guest_join(const struct token *token, struct guest_request *request, unsigned timeout_ms,
    struct guest_answer *answer, struct err *err)
{
	struct tls_context *context = tls_context_new_pinned(token->fingerprint, err);
	if (!context)
		return -EPROTO;
	struct call *c = must_alloc(sizeof(*c));
	*c = (struct call){
	    .token = token,
	    .answer = answer,
	    .deadline_ms = now_ms() + timeout_ms,
	};
	request->token = token->id;
	request->time_s = (uint64_t)time(NULL);
	memcpy(request->secret, token->secret, sizeof(request->secret));
	memset(answer, 0, sizeof(*answer));
	int rv = call_all(token, request, context, c, err);
	explicit_bzero(c->bytes, sizeof(c->bytes));
	free(c);
	tls_context_free(context);
	return rv;
}

/* Until the other side has closed it, too, or the deadline. */
static void leave(struct call *c)
{
	tls_finish(c->tls);
	if (wire_send(c, NULL) < 0)
		return;
	shutdown(c->fd, SHUT_WR);
	while (wire_receive(c, NULL) == 0)
		;
}

int guest_visit(const struct token *token, int fd, unsigned timeout_ms, struct err *err)
{
	struct tls_context *context = tls_context_new_pinned(token->fingerprint, err);
	if (!context)
		return -EPROTO;
	struct call *c = must_alloc(sizeof(*c));
	*c = (struct call){
	    .token = token,
	    .address = "a member",
	    .tls = tls_new(context, TLS_DIAL, TLS_JOIN),
	    .fd = fd,
	    .deadline_ms = now_ms() + timeout_ms,
	};
	int rv = handshake(c, err);
	if (rv == 0)
		leave(c);
	tls_free(c->tls);
	free(c);
	tls_context_free(context);
	return rv;
}
