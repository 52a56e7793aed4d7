#include "node/worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "fsm/err.h"
#include "node/log/log.h"

#define CHILD_FD   3 /* of the socket, in the child */
#define CHUNK_SIZE 65536u /* read at a time */
#define CLOSE_MS   1000u /* a closing worker's patience, before and after the kill */
#define NEVER	   UINT64_MAX

enum worker_state {
	WORKER_RESTING, /* no child; one is started at restart_at_ms */
	WORKER_RUNNING,
	WORKER_DYING, /* killed, or its socket has ended; not reaped yet */
	WORKER_LEAVING, /* worker_close: its socket is closed, it is expected to exit */
	WORKER_EXPELLED, /* worker_close: killed */
	WORKER_CLOSED,
};

/* One life of the child. It outlives its worker's interest in it: libuv gives
 * the handles back later. */
struct child {
	uv_process_t process;
	uv_pipe_t pipe;
	struct worker *worker; /* NULL: nobody is interested any more */
	unsigned handles; /* that libuv still has */
	struct buffer received;
	char chunk[CHUNK_SIZE];
};

struct request {
	struct request *next;
	const char *what;
	struct buffer frame;
	unsigned deadline_ms;
	uint64_t expires_at_ms; /* from its arrival while it waits, from its turn afterwards */
	uint64_t asked_at_ms;
	uint64_t began_at_ms; /* 0: it waits */
	bool overdue; /* past its deadline; the socket gets one last look */
	void (*done)(void *data, const struct worker_answer *answer);
	void *data;
};

struct sending {
	uv_write_t write;
	struct buffer frame;
};

struct worker {
	struct worker_options options;
	char *role;
	char *name; /* in what is said of it */
	char *argument;
	enum worker_state state;
	struct child *child; /* NULL while resting */
	struct request *current; /* at work; owned */
	struct request *first; /* waiting; owned */
	struct request **last; /* where the next one is hung */
	uv_timer_t timer; /* the next thing that is due */
	uint64_t restart_at_ms; /* RESTING */
	uint64_t close_at_ms; /* LEAVING, EXPELLED */
	uint64_t answered_at_ms; /* NEVER: not yet */
	unsigned backoff_ms;
	struct worker_status count;
	struct err trouble; /* why there is no child; "" when there is */
	void (*closed)(void *data);
	void *closed_data;
};

static void worker_turn(struct worker *w);

static uint64_t worker_now(const struct worker *w)
{
	return uv_now(w->options.loop);
}

static void worker_tell(struct worker *w, enum worker_event event, const char *text)
{
	if (w->options.told)
		w->options.told(w->options.data, event, text);
}

static void on_timer(uv_timer_t *timer)
{
	worker_turn(timer->data);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t worker_due(const struct worker *w)
{
	if (w->state >= WORKER_LEAVING)
		return w->close_at_ms;
	uint64_t due = w->state == WORKER_RESTING ? w->restart_at_ms : NEVER;
	if (w->current)
		due = earlier(due, w->current->expires_at_ms);
	for (const struct request *r = w->first; r; r = r->next)
		due = earlier(due, r->expires_at_ms);
	if (w->first && !w->current && w->state == WORKER_RUNNING)
		due = 0;
	return due;
}

static void worker_arm(struct worker *w)
{
	uint64_t now = worker_now(w), due = worker_due(w);
	if (w->state == WORKER_CLOSED)
		return;
	if (due == NEVER)
		uv_timer_stop(&w->timer);
	else
		uv_timer_start(&w->timer, on_timer, due > now ? due - now : 0, 0);
}

static void debug_finish(
    const struct worker *w, const struct request *r, const struct worker_answer *answer)
{
	char place[32];
	uint64_t now = worker_now(w), began = r->began_at_ms ? r->began_at_ms : now;
	snprintf(place, sizeof(place), "%.20s worker", w->name);
	log_debug(place, "%s: %s, waited %" PRIu64 " ms, took %" PRIu64 " ms", r->what,
	    answer->status ? answer->text : "done", began - r->asked_at_ms, now - began);
}

static void request_finish(
    const struct worker *w, struct request *r, const struct worker_answer *answer)
{
	debug_finish(w, r, answer);
	r->done(r->data, answer);
	buffer_close(&r->frame);
	free(r);
}

static void current_finish(struct worker *w, const struct worker_answer *answer)
{
	struct request *r = w->current;
	w->current = NULL;
	request_finish(w, r, answer);
}

static struct request *queue_take(struct worker *w)
{
	struct request *r = w->first;
	if (!r)
		return NULL;
	w->first = r->next;
	if (!w->first)
		w->last = &w->first;
	r->next = NULL;
	w->count.waiting--;
	return r;
}

/* The child: handles */

static void on_child_closed(uv_handle_t *handle)
{
	struct child *c = handle->data;
	if (--c->handles > 0)
		return;
	buffer_close(&c->received);
	free(c);
}

static void child_drop_pipe(struct child *c)
{
	if (!uv_is_closing((uv_handle_t *)&c->pipe))
		uv_close((uv_handle_t *)&c->pipe, on_child_closed);
}

static void child_drop(struct child *c)
{
	c->worker = NULL;
	child_drop_pipe(c);
	if (!uv_is_closing((uv_handle_t *)&c->process))
		uv_close((uv_handle_t *)&c->process, on_child_closed);
}

static void worker_kill(struct worker *w)
{
	child_drop_pipe(w->child);
	uv_process_kill(&w->child->process, SIGKILL);
	w->state = WORKER_DYING;
}

/* The child: answers */

static bool answer_decode(
    const uint8_t *bytes, size_t size, struct worker_answer *answer, struct err *err)
{
	struct reader r = reader_of(bytes, size);
	uint32_t code = reader_u32(&r);
	uint64_t text_size = reader_varint(&r);
	if (text_size >= sizeof(err->text))
		return false;
	const uint8_t *text = reader_bytes(&r, text_size);
	if (r.failed || code > 4095)
		return false;
	memcpy(err->text, text, text_size);
	err->text[text_size] = '\0';
	*answer = (struct worker_answer){
	    .status = -(int)code, .text = err->text, .size = reader_left(&r)};
	answer->bytes = reader_bytes(&r, answer->size);
	return true;
}

static void worker_distrust(struct worker *w)
{
	struct err err;
	err_set(&err, 0, "the %s worker (pid %d) sent something that is no answer and was killed",
	    w->name, w->child->process.pid);
	w->count.kills++;
	worker_kill(w);
	worker_tell(w, WORKER_KILLED, err.text);
	if (w->current)
		current_finish(w, &(struct worker_answer){.status = -EPROTO, .text = err.text});
}

/* One whole frame is there and nothing else. */
static void worker_accept(struct worker *w, const uint8_t *bytes, size_t size)
{
	struct worker_answer answer;
	struct err err;
	if (!w->current || !answer_decode(bytes, size, &answer, &err)) {
		worker_distrust(w);
		return;
	}
	w->answered_at_ms = worker_now(w);
	w->count.answer_took_ms = (unsigned)(w->answered_at_ms - w->current->began_at_ms);
	w->backoff_ms = WORKER_BACKOFF_MIN;
	current_finish(w, &answer);
}

static void child_received(struct child *c)
{
	struct worker *w = c->worker;
	struct reader r = reader_of(c->received.data, c->received.size);
	if (c->received.size < 4)
		return;
	size_t size = reader_u32(&r), have = c->received.size - 4;
	if (size > WORKER_FRAME_MAX || have > size) {
		worker_distrust(w);
		return;
	}
	if (have < size)
		return;
	struct buffer frame = c->received;
	c->received = (struct buffer){0};
	worker_accept(w, frame.data + 4, size);
	buffer_close(&frame);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	struct child *c = handle->data;
	*out = uv_buf_init(c->chunk, sizeof(c->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
	struct child *c = stream->data;
	struct worker *w = c->worker;
	if (!w || w->state != WORKER_RUNNING || n == 0)
		return;
	if (n < 0) {
		/* Most often it is already a zombie, and on_exit knows how it ended. */
		worker_kill(w);
	} else {
		buffer_append(&c->received, bytes->base, (size_t)n);
		child_received(c);
	}
	worker_turn(w);
}

/* The child: beginning and end */

static void worker_rest(struct worker *w)
{
	w->state = WORKER_RESTING;
	w->restart_at_ms = worker_now(w) + w->backoff_ms;
	w->backoff_ms =
	    w->backoff_ms * 2 > WORKER_BACKOFF_MAX ? WORKER_BACKOFF_MAX : w->backoff_ms * 2;
}

static void exit_describe(const struct worker *w, int64_t status, int number, struct err *err)
{
	int pid = w->child->process.pid;
	if (number != 0)
		err_set(err, 0, "the %s worker (pid %d) died of signal %d", w->name, pid, number);
	else
		err_set(err, 0, "the %s worker (pid %d) exited with status %d", w->name, pid,
		    (int)status);
}

static void worker_finish_closing(struct worker *w);

static void on_exit_child(uv_process_t *process, int64_t status, int number)
{
	struct child *c = process->data;
	struct worker *w = c->worker;
	if (!w)
		return;
	if (w->state == WORKER_LEAVING || w->state == WORKER_EXPELLED) {
		worker_finish_closing(w);
		return;
	}
	struct err err;
	exit_describe(w, status, number, &err);
	w->count.exits++;
	w->trouble = err;
	child_drop(c);
	w->child = NULL;
	worker_rest(w);
	worker_tell(w, WORKER_EXITED, err.text);
	if (w->current)
		current_finish(w, &(struct worker_answer){.status = -EPIPE, .text = err.text});
	worker_turn(w);
}

static int child_spawn(struct child *c, struct worker *w, int fd)
{
	char fd_text[16], parent_text[16];
	snprintf(fd_text, sizeof(fd_text), "%d", CHILD_FD);
	snprintf(parent_text, sizeof(parent_text), "%d", (int)getpid());
	char *args[] = {"pvc", "worker", w->role, fd_text, parent_text, w->argument, NULL};
	uv_stdio_container_t stdio[CHILD_FD + 1] = {
	    {.flags = UV_IGNORE},
	    {.flags = UV_IGNORE},
	    {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
	    {.flags = UV_INHERIT_FD, .data.fd = fd},
	};
	uv_process_options_t options = {
	    .exit_cb = on_exit_child,
	    .file = "/proc/self/exe",
	    .args = args,
	    .stdio = stdio,
	    .stdio_count = CHILD_FD + 1,
	};
	int rc = uv_spawn(w->options.loop, &c->process, &options);
	c->process.data = c;
	return rc;
}

static struct child *child_new(struct worker *w, int *error)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		*error = -errno;
		return NULL;
	}
	struct child *c = must_alloc(sizeof(*c));
	c->worker = w;
	c->handles = 2;
	uv_pipe_init(w->options.loop, &c->pipe, 0);
	c->pipe.data = c;
	*error = child_spawn(c, w, ends[1]);
	close(ends[1]);
	if (*error == 0)
		*error = uv_pipe_open(&c->pipe, ends[0]);
	else
		close(ends[0]);
	if (*error == 0)
		*error = uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
	if (*error != 0) {
		/* A process handle that was never started can be closed as well. */
		child_drop(c);
		return NULL;
	}
	return c;
}

static void worker_start(struct worker *w)
{
	struct err err;
	int error;
	w->child = child_new(w, &error);
	if (!w->child) {
		err_set(
		    &err, 0, "the %s worker cannot be started: %s", w->name, uv_strerror(error));
		w->trouble = err;
		worker_rest(w);
		worker_tell(w, WORKER_FAILED, err.text);
		return;
	}
	w->state = WORKER_RUNNING;
	w->count.starts++;
	w->trouble.text[0] = '\0';
	err_set(&err, 0, "the %s worker has pid %d", w->name, w->child->process.pid);
	worker_tell(w, WORKER_STARTED, err.text);
}

/* Deadlines and turns */

static void current_expire(struct worker *w)
{
	/* When this process itself was held up, the answer may be there and not yet read. */
	if (!w->current->overdue) {
		w->current->overdue = true;
		w->current->expires_at_ms = worker_now(w) + 1;
		return;
	}
	struct err err;
	int pid = w->child ? w->child->process.pid : 0;
	if (w->state == WORKER_RUNNING) {
		err_set(&err, 0,
		    "the %s worker (pid %d) did not answer within %u ms and was killed", w->name,
		    pid, w->current->deadline_ms);
		w->count.kills++;
		worker_kill(w);
		worker_tell(w, WORKER_KILLED, err.text);
	} else {
		err_set(&err, 0, "the %s worker (pid %d) hangs in the kernel", w->name, pid);
	}
	current_finish(w, &(struct worker_answer){.status = -ETIMEDOUT, .text = err.text});
}

static void waiting_expire(struct worker *w, struct request *r)
{
	struct err err;
	if (w->trouble.text[0] != '\0')
		err_set(&err, 0, "no answer within %u ms: %s", r->deadline_ms, w->trouble.text);
	else
		err_set(&err, 0, "waited %u ms behind another request to the %s worker",
		    r->deadline_ms, w->name);
	request_finish(w, r, &(struct worker_answer){.status = -ETIMEDOUT, .text = err.text});
}

/* Takes the first request whose time is over out of the queue; NULL: none. */
static struct request *queue_take_expired(struct worker *w)
{
	uint64_t now = worker_now(w);
	for (struct request **at = &w->first; *at; at = &(*at)->next) {
		struct request *r = *at;
		if (r->expires_at_ms > now)
			continue;
		*at = r->next;
		if (!*at)
			w->last = at;
		w->count.waiting--;
		return r;
	}
	return NULL;
}

static void on_written(uv_write_t *write, int status)
{
	/* A failure shows as the end of the child as well. */
	struct sending *s = write->data;
	buffer_close(&s->frame);
	free(s);
}

static void worker_send_next(struct worker *w)
{
	struct request *r = queue_take(w);
	r->began_at_ms = worker_now(w);
	r->expires_at_ms = r->began_at_ms + r->deadline_ms;
	w->current = r;

	struct sending *s = must_alloc(sizeof(*s));
	s->frame = r->frame;
	s->write.data = s;
	r->frame = (struct buffer){0};
	uv_buf_t bytes = uv_buf_init((char *)s->frame.data, (unsigned)s->frame.size);
	if (uv_write(&s->write, (uv_stream_t *)&w->child->pipe, &bytes, 1, on_written) != 0)
		on_written(&s->write, 0);
}

static void worker_step_closing(struct worker *w)
{
	if (w->state == WORKER_LEAVING && worker_now(w) >= w->close_at_ms) {
		uv_process_kill(&w->child->process, SIGKILL);
		w->state = WORKER_EXPELLED;
		w->close_at_ms = worker_now(w) + CLOSE_MS;
	} else if (w->state == WORKER_EXPELLED && worker_now(w) >= w->close_at_ms) {
		worker_finish_closing(w);
	}
	worker_arm(w);
}

/* Do what is due. Callbacks run from here may queue requests or close w. */
static void worker_turn(struct worker *w)
{
	if (w->state >= WORKER_LEAVING) {
		worker_step_closing(w);
		return;
	}
	struct request *expired;
	if (w->current && w->current->expires_at_ms <= worker_now(w))
		current_expire(w);
	while ((expired = queue_take_expired(w)))
		waiting_expire(w, expired);
	if (w->state == WORKER_RESTING && w->restart_at_ms <= worker_now(w))
		worker_start(w);
	if (w->state == WORKER_RUNNING && !w->current && w->first)
		worker_send_next(w);
	worker_arm(w);
}

static char *text_copy(const char *text)
{
	size_t size = strlen(text) + 1;
	return memcpy(must_alloc(size), text, size);
}

struct worker *worker_new(const struct worker_options *options)
{
	struct worker *w = must_alloc(sizeof(*w));
	w->options = *options;
	w->role = text_copy(options->role);
	w->name = text_copy(options->name ? options->name : options->role);
	w->argument = text_copy(options->argument ? options->argument : "");
	w->last = &w->first;
	w->backoff_ms = WORKER_BACKOFF_MIN;
	w->answered_at_ms = NEVER;
	uv_timer_init(options->loop, &w->timer);
	w->timer.data = w;
	worker_start(w);
	worker_arm(w);
	return w;
}

int worker_request(struct worker *w, const struct worker_request *request)
{
	if (w->state >= WORKER_LEAVING)
		return -ECANCELED;
	if (request->size > WORKER_FRAME_MAX)
		return -EMSGSIZE;
	if (w->count.waiting >= WORKER_QUEUE_MAX)
		return -EAGAIN;
	/* The loop's idea of now may be as old as its last poll. */
	uv_update_time(w->options.loop);
	struct request *r = must_alloc(sizeof(*r));
	*r = (struct request){
	    .what = request->what ? request->what : "a request",
	    .asked_at_ms = worker_now(w),
	    .deadline_ms = request->deadline_ms,
	    .expires_at_ms = worker_now(w) + request->deadline_ms,
	    .done = request->done,
	    .data = request->data,
	};
	buffer_append_u32(&r->frame, (uint32_t)request->size);
	buffer_append(&r->frame, request->bytes, request->size);
	*w->last = r;
	w->last = &r->next;
	w->count.waiting++;
	worker_arm(w);
	return 0;
}

struct worker_status worker_status(const struct worker *w)
{
	struct worker_status s = w->count;
	uint64_t now = worker_now(w);
	s.pid = w->child ? w->child->process.pid : 0;
	s.busy_ms = w->current ? now - w->current->began_at_ms + 1 : 0;
	s.answer_age_ms = w->answered_at_ms == NEVER ? NEVER : now - w->answered_at_ms;
	return s;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct worker *w = handle->data;
	const struct worker_answer canceled = {.status = -ECANCELED, .text = "shutting down"};
	/* The child may have done it. */
	const struct worker_answer cut_off = {
	    .status = -EPIPE, .text = "cut off: this process is shutting down"};
	struct request *r;
	if (w->current)
		current_finish(w, &cut_off);
	while ((r = queue_take(w)))
		request_finish(w, r, &canceled);
	if (w->closed)
		w->closed(w->closed_data);
	free(w->role);
	free(w->name);
	free(w->argument);
	free(w);
}

static void worker_finish_closing(struct worker *w)
{
	w->state = WORKER_CLOSED;
	if (w->child)
		child_drop(w->child);
	w->child = NULL;
	uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

void worker_close(struct worker *w, void (*closed)(void *data), void *data)
{
	assert(w->state < WORKER_LEAVING);
	w->closed = closed;
	w->closed_data = data;
	if (!w->child) {
		worker_finish_closing(w);
		return;
	}
	w->close_at_ms = worker_now(w) + CLOSE_MS;
	w->state = w->state == WORKER_DYING ? WORKER_EXPELLED : WORKER_LEAVING;
	child_drop_pipe(w->child);
	worker_arm(w);
}
