#include "node/control/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/control/control_socket.h"
#include "node/control/control_wire.h"
#include "node/operation/json.h"
#include "node/log/log.h"
#include "node/operation/operation.h"

#define READ_SIZE     65536
#define BUFFER_KEPT   65536 /* bytes of an empty buffer that are not given back */
#define PENDING_NONE  UINT32_MAX
#define PENDING_BEGIN 256u

struct watch {
	uint64_t request;
	uint64_t told; /* index */
};

struct connection {
	uv_pipe_t pipe;
	uv_write_t write;
	struct control *control;
	struct connection *previous, *next; /* of all */
	struct connection *next_dirty;
	uint64_t number; /* never used again, so that late answers find nobody */
	uid_t uid;
	struct buffer in; /* the beginning of a frame, or frames while paused */
	struct buffer out; /* collected in this turn */
	struct buffer sending; /* what the kernel did not take yet */
	unsigned in_flight;
	bool dirty, writing, paused, closing;
	bool ended; /* it says no more, and still listens */
	struct watch *watches;
	unsigned watches_count;
};

/* A request that a port has. */
struct pending {
	struct connection *at; /* NULL: gone, or the slot is free */
	uint64_t request; /* the client's */
	enum control_type type;
	uint32_t next_free;
};

struct control {
	uv_pipe_t listener;
	uv_prepare_t prepare; /* writes what a turn collected */
	uv_idle_t idle; /* keeps the loop from waiting before prepare has run */
	uv_loop_t *loop;
	const struct context *context;
	struct control_ports ports;
	char path[108];
	struct connection *connections, *dirty;
	unsigned connections_count, watches_count;
	uint64_t next_number;
	struct pending *pending;
	uint32_t pending_count, free_pending;
	bool armed, changed, closing;
	unsigned handles; /* open */
	unsigned asked; /* requests under way, of operations and of ports */
	char bytes[READ_SIZE]; /* of whoever is read from now */
};

/* A JSON request that is being carried out. */
struct asked {
	struct control *control;
	struct connection *at;
	uint64_t connection;
	json_int_t id;
};

static void connection_parse(struct connection *k);
static void connection_close(struct connection *k);

static void maybe_free(struct control *c)
{
	if (!c->closing || c->handles || c->asked)
		return;
	free(c->pending);
	free(c);
}

static void handle_closed(uv_handle_t *handle)
{
	struct control *c = handle->data;
	c->handles--;
	maybe_free(c);
}

static void idle(uv_idle_t *handle)
{
}

static void flush(uv_prepare_t *handle);

/* Have flush() run before the loop waits again, whatever part of its turn this is. */
static void arm(struct control *c)
{
	if (c->armed || c->closing)
		return;
	c->armed = true;
	uv_prepare_start(&c->prepare, flush);
	uv_idle_start(&c->idle, idle);
}

static size_t unsent(const struct connection *k)
{
	return k->out.size + k->sending.size;
}

static bool full(const struct connection *k)
{
	return k->in_flight >= CONTROL_IN_FLIGHT_MAX || unsent(k) > CONTROL_UNSENT_MAX;
}

static void dirty(struct connection *k)
{
	if (k->dirty || k->closing)
		return;
	k->dirty = true;
	k->next_dirty = k->control->dirty;
	k->control->dirty = k;
	arm(k->control);
}

static void send_answer(struct connection *k, const struct control_frame *frame)
{
	if (k->closing)
		return;
	control_answer_encode(frame, &k->out);
	dirty(k);
}

static void connection_closed(uv_handle_t *handle)
{
	struct connection *k = handle->data;
	struct control *c = k->control;
	buffer_close(&k->in);
	buffer_close(&k->out);
	buffer_close(&k->sending);
	free(k->watches);
	free(k);
	c->handles--;
	maybe_free(c);
}

static void connection_close(struct connection *k)
{
	struct control *c = k->control;
	if (k->closing)
		return;
	k->closing = true;
	/* Answers still come for what it asked. */
	for (uint32_t i = 0; i < c->pending_count && k->in_flight; i++)
		if (c->pending[i].at == k)
			c->pending[i].at = NULL;
	if (k->previous)
		k->previous->next = k->next;
	else
		c->connections = k->next;
	if (k->next)
		k->next->previous = k->previous;
	for (struct connection **at = &c->dirty; *at; at = &(*at)->next_dirty) {
		if (*at != k)
			continue;
		*at = k->next_dirty;
		break;
	}
	c->connections_count--;
	c->watches_count -= k->watches_count;
	uv_close((uv_handle_t *)&k->pipe, connection_closed);
}

static void buffer_empty(struct buffer *b)
{
	b->size = 0;
	if (b->capacity > BUFFER_KEPT)
		buffer_close(b);
}

/* One that has said all is closed once it was told all. */
static void connection_settle(struct connection *k)
{
	if (k->ended && !k->closing && !k->in_flight && !k->watches_count && !unsent(k))
		connection_close(k);
}

static void written(uv_write_t *write, int status)
{
	struct connection *k = write->data;
	k->writing = false;
	buffer_empty(&k->sending);
	if (k->closing)
		return;
	if (status) {
		connection_close(k);
		return;
	}
	if (k->out.size)
		dirty(k);
	if (k->watches_count)
		control_changed(k->control);
	if (k->paused)
		connection_parse(k);
	connection_settle(k);
}

static void connection_flush(struct connection *k)
{
	if (k->writing || !k->out.size)
		return;
	uv_buf_t all = uv_buf_init((char *)k->out.data, (unsigned)k->out.size);
	int done = uv_try_write((uv_stream_t *)&k->pipe, &all, 1);
	if (done == UV_EAGAIN)
		done = 0;
	if (done < 0) {
		connection_close(k);
		return;
	}
	if ((size_t)done == k->out.size) {
		buffer_empty(&k->out);
		return;
	}
	struct buffer spare = k->sending;
	k->sending = k->out;
	k->out = spare;
	k->writing = true;
	uv_buf_t rest =
	    uv_buf_init((char *)k->sending.data + done, (unsigned)k->sending.size - done);
	if (uv_write(&k->write, (uv_stream_t *)&k->pipe, &rest, 1, written))
		connection_close(k);
}

static void tell_watches(struct control *c)
{
	uint64_t index = c->context->cluster->index;
	struct connection *next;
	for (struct connection *k = c->connections; k; k = next) {
		next = k->next;
		for (unsigned i = 0; i < k->watches_count && !k->closing; i++) {
			struct watch *w = &k->watches[i];
			struct control_frame frame = {.type = CONTROL_WATCH, .request = w->request};
			if (w->told >= index)
				continue;
			/* One that does not read is told later, of the newest alone. */
			if (unsent(k) > CONTROL_UNSENT_MAX)
				break;
			frame.index = w->told = index;
			send_answer(k, &frame);
		}
	}
}

static void flush(uv_prepare_t *handle)
{
	struct control *c = handle->data;
	bool resumed = false;
	if (c->changed)
		tell_watches(c);
	c->changed = false;
	while (c->dirty) {
		struct connection *k = c->dirty;
		c->dirty = k->next_dirty;
		k->dirty = false;
		connection_flush(k);
		connection_settle(k);
		if (!k->paused || k->closing)
			continue;
		connection_parse(k);
		resumed = true;
	}
	/* What was resumed may have given the ports work that others do in their part of the
	 * turn: the loop must go round once more before it waits. */
	if (resumed || c->changed)
		return;
	c->armed = false;
	uv_prepare_stop(&c->prepare);
	uv_idle_stop(&c->idle);
}

static uint32_t pending_take(struct control *c)
{
	if (c->free_pending == PENDING_NONE) {
		uint32_t count = c->pending_count ? c->pending_count * 2 : PENDING_BEGIN;
		if (count > CONTROL_PENDING_MAX)
			return PENDING_NONE;
		c->pending = must_realloc(c->pending, count * sizeof(*c->pending));
		for (uint32_t i = count; i-- > c->pending_count;) {
			c->pending[i].at = NULL;
			c->pending[i].next_free = c->free_pending;
			c->free_pending = i;
		}
		c->pending_count = count;
	}
	uint32_t taken = c->free_pending;
	c->free_pending = c->pending[taken].next_free;
	return taken;
}

void control_answered(struct control *c, uint64_t request, int result, uint64_t index)
{
	struct pending *p = &c->pending[request];
	struct control_frame frame = {
	    .type = p->type, .request = p->request, .result = result, .index = index};
	struct connection *k = p->at;
	p->at = NULL;
	p->next_free = c->free_pending;
	c->free_pending = (uint32_t)request;
	c->asked--;
	if (k) {
		k->in_flight--;
		send_answer(k, &frame);
	}
	maybe_free(c);
}

static void give_to_port(struct connection *k, const struct control_frame *frame)
{
	struct control *c = k->control;
	uint32_t slot = pending_take(c);
	if (slot == PENDING_NONE) {
		struct control_frame answer = *frame;
		answer.result = -EAGAIN;
		send_answer(k, &answer);
		return;
	}
	struct pending *p = &c->pending[slot];
	p->at = k;
	p->request = frame->request;
	p->type = frame->type;
	k->in_flight++;
	c->asked++;
	if (frame->type == CONTROL_OPERATION)
		c->ports.propose(c->ports.data, slot, frame->data, frame->size);
	else if (frame->type == CONTROL_READ)
		c->ports.read(c->ports.data, slot);
	else
		c->ports.read_by_round(c->ports.data, slot);
}

static void watch_add(struct connection *k, const struct control_frame *frame)
{
	if (k->watches_count == CONTROL_WATCHES_MAX) {
		connection_close(k);
		return;
	}
	k->watches = must_realloc(k->watches, (k->watches_count + 1) * sizeof(*k->watches));
	k->watches[k->watches_count++] =
	    (struct watch){.request = frame->request, .told = frame->index};
	k->control->watches_count++;
	control_changed(k->control);
}

static void send_json(struct connection *k, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT | JSON_SHORT);
	struct control_frame frame = {.type = CONTROL_JSON};
	json_decref(answer);
	if (!text)
		abort();
	frame.data = (const uint8_t *)text;
	frame.size = strlen(text);
	send_answer(k, &frame);
	free(text);
}

static json_t *error_json(json_int_t id, int status, const char *message)
{
	const char *code = strerrorname_np(-status);
	return json_pack("{s:I, s:b, s:{s:s, s:o, s:s}}", "id", id, "ok", 0, "error", "code",
	    code ? code : "EIO", "message", json_text(message), "hint", operation_hint(status));
}

/* Takes the reference to result. */
static void answer_json(
    struct connection *k, json_int_t id, int status, json_t *result, const struct err *err)
{
	if (status) {
		send_json(k, error_json(id, status, err ? err->text : strerror(-status)));
		return;
	}
	json_t *answer = json_pack("{s:I, s:b, s:o?}", "id", id, "ok", 1, "result", result);
	char *text = json_dumps(answer, JSON_COMPACT | JSON_SHORT);
	size_t size = text ? strlen(text) : 0;
	json_decref(answer);
	struct control_frame frame = {.type = CONTROL_JSON, .data = (uint8_t *)text, .size = size};
	if (size && size <= CONTROL_FRAME_MAX)
		send_answer(k, &frame);
	else
		send_json(k, error_json(id, -EMSGSIZE, "the answer is too large: ask for less"));
	free(text);
}

static void operation_answered(void *data, int status, json_t *result, const struct err *err)
{
	struct asked *a = data;
	struct control *c = a->control;
	bool there = false;
	/* An operation may take seconds: its client may be gone. */
	for (struct connection *k = c->connections; k && !there; k = k->next)
		there = k->number == a->connection;
	if (there) {
		a->at->in_flight--;
		answer_json(a->at, a->id, status, result, err);
	} else {
		json_decref(result);
	}
	free(a);
	c->asked--;
	maybe_free(c);
}

static json_t *progress_json(const struct operation_progress *progress)
{
	static const char *const states[] = {"pending", "done", "failed"};
	json_t *json = json_pack(
	    "{s:s, s:o}", "state", states[progress->state], "text", json_text(progress->text));
	if (progress->movement.vm)
		json_object_set_new(
		    json, "movement", json_record(movement_record(), &progress->movement));
	return json;
}

static void answer_progress(struct connection *k, json_int_t id, const struct operation_call *call)
{
	struct operation_progress progress;
	struct err err;
	int status = operation_progress(k->control->context, call, &progress);
	if (status)
		err_set(&err, status, "%s: there is nothing to wait for", call->operation->name);
	answer_json(k, id, status, status ? NULL : progress_json(&progress), &err);
}

static void run_json(struct connection *k, const json_t *request)
{
	struct control *c = k->control;
	struct operation_call call;
	struct err err;
	json_int_t id = json_integer_value(json_object_get(request, "id"));
	const char *name = json_string_value(json_object_get(request, "op"));
	if (!name) {
		send_json(k, error_json(id, -EINVAL, "the request names no operation (op)"));
		return;
	}
	int status = operation_read(name, json_object_get(request, "args"), &call, &err);
	if (status) {
		answer_json(k, id, status, NULL, &err);
		return;
	}
	snprintf(call.caller, sizeof(call.caller), "uid %u", (unsigned)k->uid);
	if (json_is_true(json_object_get(request, "progress"))) {
		answer_progress(k, id, &call);
	} else {
		struct asked *a = must_alloc(sizeof(*a));
		*a = (struct asked){.control = c, .at = k, .connection = k->number, .id = id};
		c->asked++;
		k->in_flight++;
		operation_run(c->context, &call, operation_answered, a);
	}
	operation_call_close(&call);
}

static void take_json(struct connection *k, const struct control_frame *frame)
{
	json_error_t where;
	json_t *request =
	    json_loadb((const char *)frame->data, frame->size, JSON_REJECT_DUPLICATES, &where);
	if (request)
		run_json(k, request);
	else
		send_json(k, error_json(0, -EBADMSG, "the request is not JSON"));
	json_decref(request);
}

static void take_frame(struct connection *k, const uint8_t *payload, size_t size)
{
	struct control_frame frame;
	if (control_request_decode(&frame, payload, size)) {
		log_warning("control: closed a client of uid %u that sent something else",
		    (unsigned)k->uid);
		connection_close(k);
		return;
	}
	if (frame.type == CONTROL_JSON)
		take_json(k, &frame);
	else if (frame.type == CONTROL_WATCH)
		watch_add(k, &frame);
	else
		give_to_port(k, &frame);
}

/* Whole frames of bytes, until there is none or the connection is full. Returns how many bytes
 * were used. */
static size_t take_frames(struct connection *k, const uint8_t *bytes, size_t size)
{
	size_t at = 0;
	while (at < size && !k->closing && !full(k)) {
		int64_t whole = control_frame_size(bytes + at, size - at);
		if (whole < 0)
			connection_close(k);
		if (whole <= 0)
			break;
		take_frame(
		    k, bytes + at + CONTROL_HEADER_SIZE, (size_t)whole - CONTROL_HEADER_SIZE);
		at += (size_t)whole;
	}
	return at;
}

static void reading_set(struct connection *k);

/* What is left in the connection's own buffer. */
static void connection_parse(struct connection *k)
{
	size_t used = take_frames(k, k->in.data, k->in.size);
	if (k->closing)
		return;
	if (used == k->in.size) {
		buffer_empty(&k->in);
	} else if (used) {
		memmove(k->in.data, k->in.data + used, k->in.size - used);
		k->in.size -= used;
	}
	reading_set(k);
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct connection *k = handle->data;
	*buf = uv_buf_init(k->control->bytes, READ_SIZE);
}

/* Whether who has sent the end of what it says has only shut that way down. */
static bool still_listens(struct connection *k)
{
	struct pollfd p = {0};
	return !uv_fileno((uv_handle_t *)&k->pipe, &p.fd) && poll(&p, 1, 0) == 0;
}

static void received(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
	struct connection *k = stream->data;
	if (size == UV_EOF && still_listens(k)) {
		k->ended = true;
		uv_read_stop(stream);
		connection_settle(k);
		return;
	}
	if (size < 0) {
		connection_close(k);
		return;
	}
	const uint8_t *bytes = (const uint8_t *)buf->base;
	if (k->in.size) {
		buffer_append(&k->in, bytes, (size_t)size);
		connection_parse(k);
		return;
	}
	/* Nearly always whole frames come: they are taken from where they were read to. */
	size_t used = take_frames(k, bytes, (size_t)size);
	if (k->closing)
		return;
	buffer_append(&k->in, bytes + used, (size_t)size - used);
	reading_set(k);
}

/* Read from a client only while its answers can be kept. */
static void reading_set(struct connection *k)
{
	bool pause = full(k);
	if (pause == k->paused || k->ended)
		return;
	k->paused = pause;
	if (pause)
		uv_read_stop((uv_stream_t *)&k->pipe);
	else if (uv_read_start((uv_stream_t *)&k->pipe, lend, received))
		connection_close(k);
}

/* Told why, as far as that is possible at once, and closed. */
static void turn_away(struct connection *k, int status, const char *why)
{
	send_json(k, error_json(0, status, why));
	connection_flush(k);
	connection_close(k);
}

static void connection_begin(struct connection *k)
{
	struct control *c = k->control;
	struct control_peer peer;
	int fd;
	int result = uv_fileno((uv_handle_t *)&k->pipe, &fd);
	if (!result)
		result = control_socket_peer(fd, &peer);
	if (result) {
		connection_close(k);
		return;
	}
	k->uid = peer.uid;
	if (!peer.allowed)
		turn_away(k, -EACCES, "only root and group pvc may ask");
	else if (c->connections_count > CONTROL_CONNECTIONS_MAX)
		turn_away(k, -EUSERS, "too many clients are connected");
	else if (uv_read_start((uv_stream_t *)&k->pipe, lend, received))
		connection_close(k);
}

static void connected(uv_stream_t *listener, int status)
{
	struct control *c = listener->data;
	if (status)
		return;
	struct connection *k = must_alloc(sizeof(*k));
	k->control = c;
	k->number = ++c->next_number;
	uv_pipe_init(c->loop, &k->pipe, 0);
	k->pipe.data = k->write.data = k;
	k->next = c->connections;
	if (k->next)
		k->next->previous = k;
	c->connections = k;
	c->connections_count++;
	c->handles++;
	if (uv_accept(listener, (uv_stream_t *)&k->pipe))
		connection_close(k);
	else
		connection_begin(k);
}

static void init_handles(struct control *c)
{
	uv_pipe_init(c->loop, &c->listener, 0);
	uv_prepare_init(c->loop, &c->prepare);
	uv_idle_init(c->loop, &c->idle);
	c->listener.data = c->prepare.data = c->idle.data = c;
	c->handles = 3;
}

static void close_handles(struct control *c)
{
	c->closing = true;
	uv_close((uv_handle_t *)&c->listener, handle_closed);
	uv_close((uv_handle_t *)&c->prepare, handle_closed);
	uv_close((uv_handle_t *)&c->idle, handle_closed);
}

int control_open(struct control **control, const struct control_options *options, struct err *err)
{
	int fd = control_socket_listen(options->path, err);
	if (fd < 0)
		return fd;
	struct control *c = must_alloc(sizeof(*c));
	c->loop = options->loop;
	c->context = options->context;
	c->ports = options->ports;
	c->free_pending = PENDING_NONE;
	snprintf(c->path, sizeof(c->path), "%s", options->path);
	init_handles(c);
	int result = uv_pipe_open(&c->listener, fd);
	if (!result)
		result = uv_listen((uv_stream_t *)&c->listener, 512, connected);
	if (result) {
		unlink(c->path);
		close_handles(c);
		return err_set(err, result, "%s: %s", options->path, uv_strerror(result));
	}
	*control = c;
	return 0;
}

void control_close(struct control *c)
{
	unlink(c->path);
	while (c->connections)
		connection_close(c->connections);
	close_handles(c);
}

void control_changed(struct control *c)
{
	if (!c->watches_count)
		return;
	c->changed = true;
	arm(c);
}

unsigned control_connections(const struct control *c)
{
	return c->connections_count;
}
