#include "node/worker/console_client.h"

#include <errno.h>
#include <stdlib.h>

#include "node/log/log.h"
#include "node/worker/console_wire.h"
#include "node/worker/worker.h"

struct console_client {
	uv_loop_t *loop;
	struct worker *worker; /* NULL: nobody reads */
	uv_timer_t idle;
	struct reading *readings; /* under way */
	unsigned parts; /* on closing: what is not closed yet */
};

struct reading {
	struct console_client *client;
	struct reading *next;
	console_done done; /* NULL: it was told that nothing comes */
	void *data;
};

static void told(void *data, enum worker_event event, const char *text)
{
	if (event == WORKER_KILLED || event == WORKER_FAILED)
		log_warning("%s", text);
}

struct console_client *console_client_new(uv_loop_t *loop)
{
	struct console_client *c = must_alloc(sizeof(*c));
	c->loop = loop;
	uv_timer_init(loop, &c->idle);
	c->idle.data = c;
	return c;
}

static void worker_closed(void *data)
{
}

static void leave(uv_timer_t *timer)
{
	struct console_client *c = timer->data;
	worker_close(c->worker, worker_closed, NULL);
	c->worker = NULL;
}

static void reading_end(
    struct reading *r, int status, const struct console_sight *sight, const struct err *err)
{
	console_done done = r->done;
	r->done = NULL;
	if (done)
		done(r->data, status, sight, err);
}

static void reading_forget(struct reading *reading)
{
	struct console_client *c = reading->client;
	struct reading **at = &c->readings;
	while (*at != reading)
		at = &(*at)->next;
	*at = reading->next;
	free(reading);
	if (!c->readings && c->worker)
		uv_timer_start(&c->idle, leave, CONSOLE_IDLE_MS, 0);
}

static void answered(void *data, const struct worker_answer *answer)
{
	struct reading *reading = data;
	struct console_sight sight = {.mark = 0};
	struct err err = {""};
	int status = answer->status;
	struct reader r = reader_of(answer->bytes, answer->size);
	if (!status)
		status = console_sight_decode(&r, &sight);
	if (status)
		err_set(&err, 0, "%s", answer->status ? answer->text : "an answer that is none");
	reading_end(reading, status, status ? NULL : &sight, &err);
	console_sight_close(&sight);
	reading_forget(reading);
}

int console_ask(
    struct console_client *c, const struct console_query *query, console_done done, void *data)
{
	struct buffer bytes = {0};
	if (!c->worker)
		c->worker = worker_new(
		    &(struct worker_options){.loop = c->loop, .role = "console", .told = told});
	struct reading *reading = must_alloc(sizeof(*reading));
	*reading = (struct reading){.client = c, .next = c->readings, .done = done, .data = data};
	console_query_encode(&bytes, query);
	int result = worker_request(c->worker, &(struct worker_request){.what = "read",
						   .bytes = bytes.data,
						   .size = bytes.size,
						   .deadline_ms = CONSOLE_DEADLINE_MS,
						   .done = answered,
						   .data = reading});
	buffer_close(&bytes);
	if (result) {
		free(reading);
		return result;
	}
	c->readings = reading;
	uv_timer_stop(&c->idle);
	return 0;
}

static void part_closed(struct console_client *c)
{
	if (--c->parts == 0)
		free(c);
}

static void idle_closed(uv_handle_t *handle)
{
	part_closed(handle->data);
}

static void last_worker_closed(void *data)
{
	part_closed(data);
}

void console_client_close(struct console_client *c)
{
	struct err err;
	err_set(&err, 0, "this node is stopping");
	c->parts = 1 + (c->worker != NULL);
	uv_close((uv_handle_t *)&c->idle, idle_closed);
	for (struct reading *r = c->readings; r; r = r->next)
		reading_end(r, -ECANCELED, NULL, &err);
	struct worker *worker = c->worker;
	c->worker = NULL;
	if (worker)
		worker_close(worker, last_worker_closed, c);
}
