#include "raft/peers.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raft/peers_core.h"

#define DIAL_LIMIT_MS	 3000
#define HANDSHAKE_MS	 5000
#define GUEST_LIMIT_MS	 10000
#define WELCOME_LIMIT_MS 5000
#define RETRY_MIN_MS	 100
#define RETRY_MAX_MS	 1000
#define QUEUE_MAX	 (32u << 20)
#define USER_TIMEOUT_MS	 2000
#define HELD_MAX	 (4u << 20)
#define ANEW_MS		 30000

static void living_gone(struct peers *p)
{
	if (--p->living > 0)
		return;
	void (*done)(void *data) = p->done;
	void *data = p->done_data;
	tls_context_free(p->tls);
	free(p);
	done(data);
}

/* --- Strangers --- */

static void stranger_tell(struct peers *p, const char *address, const char *why)
{
	char text[ERR_TEXT_MAX];
	uint64_t untold;
	if (p->state == PEERS_CLOSING || !strangers_tell(&p->strangers, uv_now(p->loop), &untold))
		return;
	if (untold > 0) {
		snprintf(text, sizeof(text), "%.400s (and %llu more that were not told)", why,
		    (unsigned long long)untold);
		why = text;
	}
	p->handlers.stranger(p->handlers.data, address, why);
}

/* --- Links --- */

static struct link *link_of(struct channel *c)
{
	return (struct link *)((char *)c - offsetof(struct link, channel));
}

static void unknown_remove(struct peers *p, const struct link *l)
{
	unsigned i = 0;
	while (i < p->n_unknown && p->unknown[i] != l)
		i++;
	if (i == p->n_unknown)
		return;
	p->n_unknown--;
	memmove(&p->unknown[i], &p->unknown[i + 1], (p->n_unknown - i) * sizeof(p->unknown[0]));
}

static void member_error(struct member *m, const char *why)
{
	snprintf(m->error, sizeof(m->error), "%.127s", why);
}

static void member_redial(struct member *m);

/* Take a link out of everything that refers to it. */
static void link_forget(struct link *l)
{
	struct peers *p = l->peers;
	struct member *m = l->member;
	unknown_remove(p, l);
	for (int i = 0; i < PEERS_GUESTS_MAX; i++)
		if (p->guests[i] == l)
			p->guests[i] = NULL;
	l->member = NULL;
	if (!m)
		return;
	m->bytes_in += l->channel.bytes_in;
	m->bytes_out += l->channel.bytes_out;
	if (m->in == l)
		m->in = NULL;
	if (m->out == l) {
		m->out = NULL;
		if (l->welcomed_ms)
			m->since_ms = uv_now(p->loop);
	}
}

void link_close(struct link *l, enum channel_farewell farewell)
{
	channel_close(&l->channel, farewell);
	link_forget(l);
}

/* Close a link whose other side is not whom we talk to. */
static void link_refuse(struct link *l, const char *why)
{
	struct peers *p = l->peers;
	struct member *dialled = l->kind == LINK_DIALLED ? l->member : NULL;
	/* Our last words of the handshake would make a member replace its good connection. */
	link_close(l, dialled && !l->welcomed_ms ? CHANNEL_SILENT : CHANNEL_SAY_DONE);
	if (dialled) {
		member_error(dialled, why);
		member_redial(dialled);
	}
	stranger_tell(p, l->address, why);
}

static void member_dead(struct member *m)
{
	struct peers *p = m->peers;
	if (m->life == MEMBER_SILENT || m->fate == MEMBER_LEAVES || p->state == PEERS_CLOSING)
		return;
	m->life = MEMBER_SILENT;
	p->handlers.lost(p->handlers.data, m->who.id);
}

/* --- Who is it? --- */

static void younger_tell(struct peers *p, const struct peers_member *who)
{
	if (p->state == PEERS_OPEN)
		p->handlers.younger(p->handlers.data, who);
}

static void dialled_opened(struct link *l)
{
	struct peers_member found;
	struct err err;
	if (who_was_dialled(l, &err) == 0) {
		/* The other side has yet to accept our certificate. */
		channel_frame_max(&l->channel, GREETING_MAX);
		channel_limit(&l->channel, WELCOME_LIMIT_MS);
		return;
	}
	/* A machine that has joined anew is where it was. */
	bool younger = who_is_younger(l, &found);
	snprintf(found.address, sizeof(found.address), "%s", l->member->who.address);
	link_refuse(l, err.text);
	if (younger)
		younger_tell(l->peers, &found);
}

static void guest_opened(struct link *l)
{
	struct peers *p = l->peers;
	int i = 0;
	while (i < PEERS_GUESTS_MAX && p->guests[i])
		i++;
	if (i == PEERS_GUESTS_MAX) {
		link_refuse(l, "too many want to join at once");
		return;
	}
	unknown_remove(p, l);
	l->kind = LINK_GUEST;
	l->guest = ++p->last_guest;
	p->guests[i] = l;
	channel_frame_max(&l->channel, GUEST_REQUEST_MAX);
	channel_limit(&l->channel, GUEST_LIMIT_MS);
}

static void greet(struct link *l, enum greeting greeting)
{
	struct buffer bytes = {0};
	greeting_encode(greeting, &bytes);
	channel_send(&l->channel, bytes.data, bytes.size);
	buffer_close(&bytes);
}

static void younger_opened(struct link *l)
{
	l->kind = LINK_YOUNGER;
	channel_frame_max(&l->channel, ENDPOINT_SIZE);
	greet(l, GREETING_WHERE);
}

/* It has to know, or it would ask for ever. */
static void removed_opened(struct link *l, const char *why)
{
	greet(l, GREETING_REMOVED);
	channel_flush(&l->channel);
	if (l->channel.state == CHANNEL_OPEN)
		link_refuse(l, why);
}

static void member_accept(struct member *m, struct link *l)
{
	unknown_remove(m->peers, l);
	l->kind = LINK_MEMBER;
	/* Who connects again has no use for the connection before. */
	if (m->in)
		link_close(m->in, CHANNEL_SAY_DONE);
	l->member = m;
	m->in = l;
	channel_frame_max(&l->channel, PEERS_FRAME_MAX);
	channel_limit(&l->channel, 0);
	greet(l, GREETING_WELCOME);
	m->life = MEMBER_ALIVE;
	/* It is there: what waits to be dialled need not wait longer. */
	if (!m->out)
		member_dial_now(m);
}

static void accepted_opened(struct link *l)
{
	struct peers_member who;
	struct member *m;
	struct err err;
	if (tls_purpose(l->channel.tls) == TLS_JOIN) {
		guest_opened(l);
		return;
	}
	int rv = who_has_dialled(l, &m, &err);
	if (rv == 0)
		member_accept(m, l);
	else if (rv == -EKEYREVOKED)
		removed_opened(l, err.text);
	else if (who_is_younger(l, &who))
		younger_opened(l);
	else
		link_refuse(l, err.text);
}

static void on_opened(struct channel *c)
{
	struct link *l = link_of(c);
	if (l->kind == LINK_DIALLED)
		dialled_opened(l);
	else
		accepted_opened(l);
}

/* --- What comes in --- */

static void welcomed(struct link *l)
{
	struct member *m = l->member;
	l->welcomed_ms = m->since_ms = uv_now(m->peers->loop);
	channel_frame_max(&l->channel, 0);
	channel_limit(&l->channel, 0);
	m->retry_ms = 0;
	m->error[0] = '\0';
	m->life = MEMBER_ALIVE;
	m->removed = false;
	held_release(m);
}

static void turned_away(struct link *l)
{
	struct member *m = l->member;
	link_close(l, CHANNEL_SAY_DONE);
	m->refused = m->removed = true;
	member_error(m, "it says that this node was removed");
	member_redial(m);
}

static void greeting_received(struct link *l, const uint8_t *bytes, size_t size)
{
	const char *address = l->peers->address;
	enum greeting greeting;
	if (l->welcomed_ms || greeting_decode(bytes, size, &greeting) < 0) {
		link_refuse(l, "it talks on a connection that is only ours to talk on");
		return;
	}
	switch (greeting) {
	case GREETING_WELCOME:
		welcomed(l);
		break;
	case GREETING_WHERE:
		channel_send(&l->channel, address, strlen(address));
		channel_flush(&l->channel);
		break;
	case GREETING_REMOVED:
		turned_away(l);
		break;
	}
}

/* Of the certificate is who it is; only where it is, is its own word. */
static void younger_received(struct link *l, const uint8_t *bytes, size_t size)
{
	struct peers_member who;
	struct member *m;
	struct err err;
	bool younger = who_is_younger(l, &who);
	if (greeting_address(bytes, size, who.address) < 0) {
		link_refuse(l, "it does not say where it can be reached");
		return;
	}
	if (younger)
		younger_tell(l->peers, &who);
	if (who_has_dialled(l, &m, &err) < 0)
		link_refuse(l, err.text);
	else
		member_accept(m, l);
	channel_flush(&l->channel);
}

static void guest_received(struct link *l, const uint8_t *bytes, size_t size)
{
	struct peers *p = l->peers;
	struct guest_request request;
	if (guest_request_decode(bytes, size, &request) < 0) {
		link_refuse(l, "what it sent is not a request to join");
		return;
	}
	/* One request each: any further frame is over this limit. */
	channel_frame_max(&l->channel, 0);
	channel_limit(&l->channel, GUEST_LIMIT_MS);
	p->handlers.joined(p->handlers.data, l->guest, &request);
	explicit_bzero(&request, sizeof(request));
}

static void on_received(struct channel *c, const uint8_t *bytes, size_t size)
{
	struct link *l = link_of(c);
	struct peers *p = l->peers;
	switch (l->kind) {
	case LINK_DIALLED:
		greeting_received(l, bytes, size);
		break;
	case LINK_YOUNGER:
		younger_received(l, bytes, size);
		break;
	case LINK_MEMBER:
		p->handlers.received(p->handlers.data, l->member->who.id, bytes, size);
		break;
	case LINK_GUEST:
		guest_received(l, bytes, size);
		break;
	case LINK_UNKNOWN:
		assert(!"a frame before its sender was known");
	}
}

/* --- How it ends --- */

static void member_ended(struct link *l, enum channel_end end, const char *why)
{
	struct peers *p = l->peers;
	struct member *m = l->member;
	bool dialled = l->kind == LINK_DIALLED;
	bool stood = !dialled || l->welcomed_ms;
	link_forget(l);
	if (!stood && end == CHANNEL_DONE)
		why = "it does not take us for a member";
	if (dialled) {
		m->refused = !stood && end == CHANNEL_DONE;
		member_error(m, why);
		member_redial(m);
	}
	if (end == CHANNEL_INVALID)
		stranger_tell(p, l->address, why);
	if (end == CHANNEL_DEAD && stood)
		member_dead(m);
}

static void guest_ended(struct link *l, enum channel_end end, const char *why)
{
	bool asked = l->channel.frames.limit == 0;
	/* Before it joins somebody looks whether we are there. */
	bool told = end == CHANNEL_INVALID || (!asked && end != CHANNEL_DONE);
	link_forget(l);
	if (told)
		stranger_tell(l->peers, l->address, why);
}

static void on_ended(struct channel *c, enum channel_end end, const char *why)
{
	struct link *l = link_of(c);
	switch (l->kind) {
	case LINK_DIALLED:
	case LINK_MEMBER:
		member_ended(l, end, why);
		break;
	case LINK_GUEST:
		guest_ended(l, end, why);
		break;
	case LINK_UNKNOWN:
	case LINK_YOUNGER:
		link_forget(l);
		stranger_tell(l->peers, l->address, why);
		break;
	}
}

static void on_gone(struct channel *c)
{
	struct link *l = link_of(c);
	struct peers *p = l->peers;
	free(l);
	living_gone(p);
}

static const struct channel_handlers channel_handlers = {
    .opened = on_opened,
    .received = on_received,
    .ended = on_ended,
    .gone = on_gone,
};

static struct link *link_start(struct peers *p, enum link_kind kind, int fd)
{
	struct link *l = must_alloc(sizeof(*l));
	struct channel_options options = {
	    .loop = p->loop,
	    .handlers = &channel_handlers,
	    .scratch = &p->scratch,
	    .tls = p->tls,
	    .side = kind == LINK_DIALLED ? TLS_DIAL : TLS_ACCEPT,
	    .queue_max = p->queue_max,
	    .limit_ms = kind == LINK_DIALLED ? DIAL_LIMIT_MS : p->handshake_ms,
	    .user_timeout_ms = p->user_timeout_ms,
	};
	if (channel_start(&l->channel, &options, fd) < 0) {
		free(l);
		return NULL;
	}
	l->peers = p;
	l->kind = kind;
	l->generation = p->generation;
	p->living++;
	return l;
}

/* --- Dialling --- */

static void member_dial_address(struct member *m, const struct endpoint_address *address)
{
	int fd = endpoint_connect(address);
	struct link *l = fd >= 0 ? link_start(m->peers, LINK_DIALLED, fd) : NULL;
	if (!l) {
		member_error(m, strerror(fd < 0 ? -fd : EIO));
		member_redial(m);
		return;
	}
	endpoint_print(address, l->address);
	l->member = m;
	m->out = l;
}

static void member_gone(uv_handle_t *timer)
{
	struct member *m = timer->data;
	struct peers *p = m->peers;
	free(m);
	living_gone(p);
}

static void on_resolved(uv_getaddrinfo_t *query, int status, struct addrinfo *found)
{
	struct member *m = query->data;
	bool outdated = m->resolver == MEMBER_OUTDATED;
	m->resolver = MEMBER_IDLE;
	struct endpoint_address address;
	if (m->fate == MEMBER_LEAVES) {
		uv_close((uv_handle_t *)&m->timer, member_gone);
	} else if (outdated || status < 0 || endpoint_choose(found, m->attempt, &address) < 0) {
		member_error(m, outdated ? "its address changed" : uv_strerror(status));
		member_redial(m);
	} else {
		member_dial_address(m, &address);
	}
	uv_freeaddrinfo(found);
}

static void member_resolve(struct member *m, const struct endpoint *endpoint)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	m->query.data = m;
	int rv = uv_getaddrinfo(
	    m->peers->loop, &m->query, on_resolved, endpoint->host, endpoint->port, &hints);
	if (rv == 0) {
		m->resolver = MEMBER_RESOLVING;
		return;
	}
	member_error(m, uv_strerror(rv));
	member_redial(m);
}

static void member_dial(struct member *m)
{
	struct endpoint endpoint;
	struct endpoint_address address;
	struct err err;
	m->attempt++;
	if (m->out || m->resolver != MEMBER_IDLE)
		return;
	if (endpoint_parse(m->who.address, &endpoint, &err) < 0)
		member_error(m, err.text);
	else if (endpoint_numeric(&endpoint, &address) == 0)
		member_dial_address(m, &address);
	else
		member_resolve(m, &endpoint);
}

static void on_dial(uv_timer_t *timer)
{
	member_dial(timer->data);
}

void member_dial_now(struct member *m)
{
	uv_timer_start(&m->timer, on_dial, 0, 0);
}

/* 100 ms, then twice as long each time up to 1 s, a quarter more or less so that members which
 * lost each other at one instant do not come back at one instant. */
static void member_redial(struct member *m)
{
	struct peers *p = m->peers;
	if (p->state == PEERS_CLOSING || m->fate == MEMBER_LEAVES)
		return;
	held_end(m);
	unsigned wait_ms = m->retry_ms * 2;
	wait_ms = wait_ms < RETRY_MIN_MS ? RETRY_MIN_MS : wait_ms;
	m->retry_ms = wait_ms > RETRY_MAX_MS ? RETRY_MAX_MS : wait_ms;
	unsigned quarter = m->retry_ms / 4;
	uint32_t random;
	identity_random(&random, sizeof(random));
	uv_timer_start(&m->timer, on_dial, m->retry_ms - quarter + random % (2 * quarter), 0);
}

/* --- Accepting --- */

static void on_accepted(struct listener *listener, int fd, const struct endpoint_address *from)
{
	struct peers *p = listener->data;
	/* Whoever is slowest to say who it is makes room: refusing the newest instead would
	 * let silent strangers keep members out. */
	if (p->n_unknown == PEERS_HALF_OPEN_MAX)
		link_refuse(p->unknown[0], "too many connections that do not say who they are");
	if (p->state == PEERS_CLOSING) {
		close(fd);
		return;
	}
	struct link *l = link_start(p, LINK_UNKNOWN, fd);
	if (!l)
		return;
	endpoint_print(from, l->address);
	p->unknown[p->n_unknown++] = l;
}

/* --- Members --- */

static void member_new(struct peers *p, const struct peers_member *who)
{
	struct member *m = must_alloc(sizeof(*m));
	m->peers = p;
	m->who = *who;
	m->since_ms = uv_now(p->loop);
	member_error(m, "not dialled yet");
	uv_timer_init(p->loop, &m->timer);
	m->timer.data = m;
	p->living++;
	unsigned i = p->n_members++;
	for (; i > 0 && p->members[i - 1]->who.id > who->id; i--)
		p->members[i] = p->members[i - 1];
	p->members[i] = m;
	member_dial_now(m);
}

static void member_leave(struct member *m, enum channel_farewell farewell)
{
	m->fate = MEMBER_LEAVES;
	held_end(m);
	if (m->out)
		link_close(m->out, farewell);
	if (m->in)
		link_close(m->in, farewell);
	uv_timer_stop(&m->timer);
	if (m->resolver == MEMBER_IDLE)
		uv_close((uv_handle_t *)&m->timer, member_gone);
	else
		uv_cancel((uv_req_t *)&m->query); /* on_resolved comes in any case */
}

static const struct peers_member *listed(
    const struct peers_member *members, unsigned n, uint64_t id)
{
	for (unsigned i = 0; i < n; i++)
		if (members[i].id == id)
			return &members[i];
	return NULL;
}

static void member_move(struct member *m, const struct peers_member *who)
{
	bool same = strcmp(m->who.address, who->address) == 0;
	bool known = strcmp(m->who.name, who->name) == 0 &&
		     strcmp(m->who.incarnation, who->incarnation) == 0;
	m->who = *who;
	if (!known && m->in && !who_stays(m->in, m))
		link_close(m->in, CHANNEL_SAY_DONE);
	if (same && (known || !m->out || !m->out->welcomed_ms || who_stays(m->out, m)))
		return;
	if (m->out)
		link_close(m->out, CHANNEL_SAY_DONE);
	if (m->resolver == MEMBER_RESOLVING)
		m->resolver = MEMBER_OUTDATED;
	m->retry_ms = 0;
	member_dial_now(m);
}

void peers_members(struct peers *p, const struct peers_member *members, unsigned n)
{
	unsigned kept = 0;
	assert(p->state == PEERS_OPEN);
	for (unsigned i = 0; i < p->n_members; i++) {
		struct member *m = p->members[i];
		if (listed(members, n, m->who.id))
			p->members[kept++] = m;
		else
			member_leave(m, CHANNEL_SAY_DONE);
	}
	p->n_members = kept;
	for (unsigned i = 0; i < n; i++) {
		struct member *m = peers_find(p, members[i].id);
		if (m)
			member_move(m, &members[i]);
		else if (members[i].id != p->identity.id && p->n_members < PEERS_MEMBERS_MAX)
			member_new(p, &members[i]);
	}
}

/* --- Sending --- */

static void on_awake(uv_idle_t *idle)
{
}

void peers_send(struct peers *p, uint64_t to, const void *bytes, size_t size)
{
	struct member *m = peers_find(p, to);
	assert(size <= PEERS_FRAME_MAX);
	if (!m)
		return;
	if (m->dialling == MEMBER_ANEW && m->held.size + size <= HELD_MAX) {
		frame_append(&m->held, bytes, size);
		return;
	}
	if (!m->out || !m->out->welcomed_ms || channel_send(&m->out->channel, bytes, size) < 0) {
		m->dropped++;
		return;
	}
	if (p->queues == QUEUES_EMPTY)
		uv_idle_start(&p->awake, on_awake);
	p->queues = QUEUES_FILLED;
}

void peers_flush(struct peers *p)
{
	if (p->queues == QUEUES_EMPTY)
		return;
	p->queues = QUEUES_EMPTY;
	uv_idle_stop(&p->awake);
	/* From the end, and never past it: a connection may break here, lost() be called
	 * and members change. */
	for (unsigned i = p->n_members; i > 0; i--) {
		struct link *out = i <= p->n_members ? p->members[i - 1]->out : NULL;
		if (out && channel_queued(&out->channel) > 0)
			channel_flush(&out->channel);
	}
}

static void on_flusher(uv_prepare_t *prepare)
{
	peers_flush(prepare->data);
}

int peers_guest_answer(struct peers *p, uint64_t guest, const struct guest_answer *answer)
{
	for (int i = 0; i < PEERS_GUESTS_MAX; i++) {
		struct link *l = p->guests[i];
		if (!l || l->guest != guest)
			continue;
		struct buffer bytes = {0};
		guest_answer_encode(answer, &bytes);
		int rv = channel_send(&l->channel, bytes.data, bytes.size);
		channel_flush(&l->channel);
		identity_wipe(&bytes);
		return rv;
	}
	return -ENOENT;
}

/* --- Opening and closing --- */

static void on_listener_gone(struct listener *listener)
{
	living_gone(listener->data);
}

static int listen_on(struct peers *p, const struct peers_options *options, struct err *err)
{
	struct endpoint at;
	snprintf(at.host, sizeof(at.host), "%s", options->listen_address);
	snprintf(at.port, sizeof(at.port), "%u", (unsigned)options->port);
	p->listener = (struct listener){
	    .data = p,
	    .accepted = on_accepted,
	    .gone = on_listener_gone,
	};
	return listener_open(&p->listener, p->loop, &at, err);
}

int peers_open(struct peers **peers, const struct peers_options *options, struct err *err)
{
	struct peers *p = must_alloc(sizeof(*p));
	p->loop = options->loop;
	p->handlers = options->handlers;
	p->queue_max = options->queue_max ? options->queue_max : QUEUE_MAX;
	p->user_timeout_ms = options->user_timeout_ms ? options->user_timeout_ms : USER_TIMEOUT_MS;
	p->handshake_ms = options->handshake_ms ? options->handshake_ms : HANDSHAKE_MS;
	p->anew_ms = options->anew_ms ? options->anew_ms : ANEW_MS;
	p->strangers.since_ms = uv_now(p->loop);
	int rv = identity_check(options->files, &p->identity, err);
	if (rv == -EKEYEXPIRED)
		rv = 0;
	if (rv == 0 && !(p->tls = tls_context_new(options->files, err)))
		rv = -EPROTO;
	if (rv == 0)
		rv = listen_on(p, options, err);
	if (rv < 0) {
		tls_context_free(p->tls);
		free(p);
		return rv;
	}
	snprintf(p->address, sizeof(p->address), "%s", options->address ? options->address : "");
	p->flusher.data = p->awake.data = p->refresher.data = p;
	p->n_trusted = identity_authorities(options->files, p->trusted);
	uv_timer_init(p->loop, &p->refresher);
	uv_prepare_init(p->loop, &p->flusher);
	uv_idle_init(p->loop, &p->awake);
	uv_prepare_start(&p->flusher, on_flusher);
	p->living = 4;
	*peers = p;
	return 0;
}

static void handle_gone(uv_handle_t *handle)
{
	living_gone(handle->data);
}

void peers_close(struct peers *p, void (*done)(void *data), void *data)
{
	assert(p->state == PEERS_OPEN);
	p->state = PEERS_CLOSING;
	peers_flush(p);
	p->done = done;
	p->done_data = data;
	while (p->n_members > 0)
		member_leave(p->members[--p->n_members], CHANNEL_SILENT);
	while (p->n_unknown > 0)
		link_close(p->unknown[0], CHANNEL_SILENT);
	for (int i = 0; i < PEERS_GUESTS_MAX; i++)
		if (p->guests[i])
			link_close(p->guests[i], CHANNEL_SILENT);
	listener_close(&p->listener);
	uv_close((uv_handle_t *)&p->flusher, handle_gone);
	uv_close((uv_handle_t *)&p->awake, handle_gone);
	uv_close((uv_handle_t *)&p->refresher, handle_gone);
}
