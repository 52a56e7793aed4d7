#include "node/control/forward.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/operation/json.h"

struct waiting {
	uint64_t number; /* 0: free */
	uint64_t node;
	uint64_t deadline_ms;
	operation_done done;
	void *data;
};

struct forward {
	struct forward_options options;
	uint64_t number;
	struct waiting waiting[FORWARD_UNDER_WAY_MAX];
};

/* What another node asked, until it is answered. */
struct asked {
	struct forward *forward;
	uint64_t from, number;
};

struct forward *forward_new(const struct forward_options *options)
{
	struct forward *f = must_alloc(sizeof(*f));
	f->options = *options;
	return f;
}

/* Whoever waits at number i is answered that nothing came. */
static void give_up(struct forward *f, unsigned i, const char *why)
{
	struct waiting w = f->waiting[i];
	struct err err;
	f->waiting[i] = (struct waiting){0};
	err_set(&err, -ETIMEDOUT, "%s", why);
	w.done(w.data, -ETIMEDOUT, NULL, &err);
}

void forward_free(struct forward *f)
{
	for (unsigned i = 0; i < FORWARD_UNDER_WAY_MAX; i++)
		if (f->waiting[i].number)
			give_up(f, i, "this node is stopping");
	free(f);
}

/* 0, or -EMSGSIZE when it is too large for a frame and was not sent. */
static int send_json(struct forward *f, uint64_t to, uint8_t mark, uint64_t number, json_t *json)
{
	struct buffer bytes = {0};
	char *text = json_dumps(json, JSON_COMPACT | JSON_SHORT);
	if (!text)
		abort();
	buffer_append_u8(&bytes, mark);
	buffer_append_u64(&bytes, number);
	buffer_append(&bytes, text, strlen(text));
	bool fits = bytes.size <= FORWARD_MESSAGE_MAX;
	if (fits)
		f->options.send(f->options.data, to, bytes.data, bytes.size);
	free(text);
	buffer_close(&bytes);
	return fits ? 0 : -EMSGSIZE;
}

static struct waiting *waiting_free(struct forward *f)
{
	for (unsigned i = 0; i < FORWARD_UNDER_WAY_MAX; i++)
		if (!f->waiting[i].number)
			return &f->waiting[i];
	return NULL;
}

void forward_ask(struct forward *f, uint32_t node, const struct operation_call *call,
    operation_done done, void *data)
{
	struct err err;
	struct waiting *w = waiting_free(f);
	if (!w) {
		err_set(&err, -EAGAIN, "too many nodes are being asked: try again");
		done(data, -EAGAIN, NULL, &err);
		return;
	}
	uint64_t now_ms = f->options.context->now_ms(f->options.context->data);
	*w = (struct waiting){.number = ++f->number,
	    .node = node,
	    .deadline_ms = now_ms + (call->answer_ms ? call->answer_ms : FORWARD_TIMEOUT_MS),
	    .done = done,
	    .data = data};
	json_t *json =
	    json_pack("{s:s, s:O*}", "op", call->operation->name, "args", call->arguments);
	send_json(f, node, FORWARD_ASK_MARK, w->number, json);
	json_decref(json);
}

/* The other side. */

static int send_answer(const struct asked *a, json_t *json)
{
	int result = send_json(a->forward, a->from, FORWARD_ANSWER_MARK, a->number, json);
	json_decref(json);
	return result;
}

static json_t *refusal(int status, const char *message)
{
	return json_pack("{s:i, s:o}", "status", status, "message", json_text(message));
}

static void answered(void *data, int status, json_t *result, const struct err *err)
{
	struct asked *a = data;
	json_t *json = status < 0 ? refusal(status, err->text)
				  : json_pack("{s:i, s:o}", "status", 0, "result",
					result ? result : json_null());
	if (send_answer(a, json))
		send_answer(a, refusal(-EMSGSIZE, "the answer is too large: ask for less"));
	free(a);
}

static void answer(struct forward *f, uint64_t from, uint64_t number, json_t *json)
{
	struct operation_call call = {0};
	struct err err = {{0}};
	struct asked *a = must_alloc(sizeof(*a));
	*a = (struct asked){.forward = f, .from = from, .number = number};
	const char *name = json_string_value(json_object_get(json, "op"));
	int result = operation_read(name ? name : "", json_object_get(json, "args"), &call, &err);
	if (!result && call.operation->access != ACCESS_READ && !call.operation->members)
		result = err_set(&err, -EPERM, "only what may be read is answered to other nodes");
	snprintf(call.caller, sizeof(call.caller), "node %" PRIu64, from);
	if (result)
		answered(a, result, NULL, &err);
	else
		operation_run(f->options.context, &call, answered, a);
	operation_call_close(&call);
}

static void take_answer(struct forward *f, uint64_t from, uint64_t number, json_t *json)
{
	for (unsigned i = 0; i < FORWARD_UNDER_WAY_MAX; i++) {
		struct waiting w = f->waiting[i];
		if (!w.number || w.number != number || w.node != from)
			continue;
		f->waiting[i] = (struct waiting){0};
		int status = (int)json_integer_value(json_object_get(json, "status"));
		const char *message = json_string_value(json_object_get(json, "message"));
		json_t *result = json_object_get(json, "result");
		struct err err = {{0}};
		if (status < 0 || !result)
			status = err_set(&err, status < 0 ? status : -EPROTO, "%s",
			    message ? message : "the other node's answer makes no sense");
		w.done(w.data, status, status < 0 ? NULL : json_incref(result), &err);
		return;
	}
}

void forward_received(struct forward *f, uint64_t from, const uint8_t *bytes, size_t size)
{
	struct reader in = reader_of(bytes, size);
	uint8_t mark = reader_u8(&in);
	uint64_t number = reader_u64(&in);
	size_t left = reader_left(&in);
	if (in.failed)
		return;
	json_t *json = json_loadb((const char *)bytes + in.at, left, 0, NULL);
	if (json_is_object(json) && mark == FORWARD_ASK_MARK)
		answer(f, from, number, json);
	else if (json_is_object(json))
		take_answer(f, from, number, json);
	json_decref(json);
}

uint64_t forward_turn(struct forward *f, uint64_t now_ms)
{
	uint64_t next_ms = UINT64_MAX;
	for (unsigned i = 0; i < FORWARD_UNDER_WAY_MAX; i++) {
		const struct waiting *w = &f->waiting[i];
		if (w->number && now_ms >= w->deadline_ms)
			give_up(f, i, "the node did not answer in time");
		else if (w->number && w->deadline_ms < next_ms)
			next_ms = w->deadline_ms;
	}
	return next_ms;
}
