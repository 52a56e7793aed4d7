#include "tools/client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "node/control/control_wire.h"

#define READ_SIZE 65536

struct client {
	int fd;
	char path[128];
	uint64_t next_id;
	struct buffer in;
	size_t used; /* of in: frames that were taken */
	bool watching, changed;
};

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int unreachable(const char *path, int status, struct err *err)
{
	const char *hint = status == -EACCES ? "root and the group pvc may" : "is it running?";
	return err_set(
	    err, status, "cannot reach pvcnoded at %s: %s: %s", path, strerror(-status), hint);
}

static int lost(const struct client *client, int status, struct err *err)
{
	return err_set(err, status, "lost pvcnoded at %s: %s", client->path, strerror(-status));
}

int client_open(struct client **client, const char *path, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return unreachable(path, -ENAMETOOLONG, err);
	memcpy(address.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int status = -errno;
		if (fd >= 0)
			close(fd);
		return unreachable(path, status, err);
	}
	struct client *c = must_alloc(sizeof(*c));
	c->fd = fd;
	snprintf(c->path, sizeof(c->path), "%s", path);
	*client = c;
	return 0;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	close(client->fd);
	buffer_close(&client->in);
	free(client);
}

void client_answer_close(struct client_answer *answer)
{
	json_decref(answer->result);
	*answer = (struct client_answer){0};
}

static int send_all(struct client *c, const struct buffer *bytes, struct err *err)
{
	for (size_t at = 0; at < bytes->size;) {
		ssize_t n = send(c->fd, bytes->data + at, bytes->size - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		/* It may have said why before it closed: that is read first. */
		if (n < 0 && errno != EPIPE && errno != ECONNRESET)
			return lost(c, -errno, err);
		if (n < 0)
			return 0;
		at += (size_t)n;
	}
	return 0;
}

/* Read what there is, waiting for it until the deadline. 0, -ETIMEDOUT or -errno. */
static int receive(struct client *c, uint64_t deadline_ms)
{
	uint8_t bytes[READ_SIZE];
	uint64_t now = now_ms();
	struct pollfd fd = {.fd = c->fd, .events = POLLIN};
	int left = deadline_ms > now ? (int)(deadline_ms - now) : 0;
	int ready = poll(&fd, 1, left);
	if (ready < 0)
		return errno == EINTR ? 0 : -errno;
	if (!ready)
		return -ETIMEDOUT;
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	buffer_append(&c->in, bytes, (size_t)n);
	return 0;
}

/* The next frame that is there in full: 1, 0 for none yet, or -EBADMSG. It lasts until the next
 * receive(). */
static int next_frame(struct client *c, struct control_frame *frame)
{
	if (c->used) {
		memmove(c->in.data, c->in.data + c->used, c->in.size - c->used);
		c->in.size -= c->used;
		c->used = 0;
	}
	int64_t whole = control_frame_size(c->in.data, c->in.size);
	if (whole <= 0)
		return whole ? -EBADMSG : 0;
	c->used = (size_t)whole;
	int result = control_answer_decode(
	    frame, c->in.data + CONTROL_HEADER_SIZE, (size_t)whole - CONTROL_HEADER_SIZE);
	return result ? result : 1;
}

static void text_of(const json_t *object, const char *name, char *text, size_t size)
{
	const char *value = json_string_value(json_object_get(object, name));
	snprintf(text, size, "%s", value ? value : "");
}

/* 1: it is the answer to id (or to nobody: why the connection ends). */
static int take_answer(const struct control_frame *frame, uint64_t id, struct client_answer *answer)
{
	json_t *json = json_loadb((const char *)frame->data, frame->size, 0, NULL);
	if (!json)
		return -EBADMSG;
	json_int_t its = json_integer_value(json_object_get(json, "id"));
	const json_t *error = json_object_get(json, "error");
	bool ours = (uint64_t)its == id || (its == 0 && error);
	if (ours && error) {
		text_of(error, "code", answer->code, sizeof(answer->code));
		text_of(error, "message", answer->message, sizeof(answer->message));
		text_of(error, "hint", answer->hint, sizeof(answer->hint));
	} else if (ours) {
		answer->result = json_incref(json_object_get(json, "result"));
	}
	json_decref(json);
	return ours;
}

static int await(struct client *c, uint64_t id, struct client_answer *answer, struct err *err)
{
	uint64_t deadline_ms = now_ms() + CLIENT_TIMEOUT_MS;
	for (;;) {
		struct control_frame frame;
		int result = next_frame(c, &frame);
		if (result == 1 && frame.type == CONTROL_WATCH)
			c->changed = true;
		else if (result == 1 && frame.type == CONTROL_JSON)
			result = take_answer(&frame, id, answer) == 1 ? 2 : 1;
		else if (result == 0)
			result = receive(c, deadline_ms);
		if (result == 2)
			return 0;
		if (result < 0)
			return lost(c, result, err);
	}
}

static int ask(struct client *c, const struct operation_call *call, json_t *request,
    struct client_answer *answer, struct err *err)
{
	struct buffer bytes = {0};
	*answer = (struct client_answer){0};
	json_object_set_new(request, "op", json_string(call->operation->name));
	json_object_set(request, "args", call->arguments);
	uint64_t id = ++c->next_id;
	json_object_set_new(request, "id", json_integer((json_int_t)id));
	char *text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	struct control_frame frame = {.type = CONTROL_JSON};
	frame.data = (const uint8_t *)text;
	frame.size = text ? strlen(text) : 0;
	control_request_encode(&frame, &bytes);
	free(text);
	int result = send_all(c, &bytes, err);
	buffer_close(&bytes);
	return result ? result : await(c, id, answer, err);
}

int client_ask(struct client *client, const struct operation_call *call,
    struct client_answer *answer, struct err *err)
{
	return ask(client, call, json_object(), answer, err);
}

int client_ask_progress(struct client *client, const struct operation_call *call,
    struct client_answer *answer, struct err *err)
{
	client->changed = false;
	return ask(client, call, json_pack("{s:b}", "progress", 1), answer, err);
}

static int watch(struct client *c, struct err *err)
{
	struct buffer bytes = {0};
	struct control_frame frame = {.type = CONTROL_WATCH, .request = 1};
	control_request_encode(&frame, &bytes);
	int result = send_all(c, &bytes, err);
	buffer_close(&bytes);
	c->watching = true;
	return result;
}

int client_wait(struct client *client, unsigned timeout_ms, struct err *err)
{
	uint64_t deadline_ms = now_ms() + timeout_ms;
	int result = client->watching ? 0 : watch(client, err);
	if (result)
		return result;
	while (!client->changed) {
		struct control_frame frame;
		result = next_frame(client, &frame);
		if (result == 1)
			client->changed = frame.type == CONTROL_WATCH;
		else if (result == 0)
			result = receive(client, deadline_ms);
		if (result == -ETIMEDOUT)
			return 0;
		if (result < 0)
			return lost(client, result, err);
	}
	return 0;
}
