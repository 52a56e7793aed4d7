#include "node/worker/hypervisor_client.h"

#include <assert.h>
#include <stdlib.h>

struct hypervisor_client {
	struct worker *worker;
	void (*closed)(void *data);
	void *closed_data;
};

struct pending_list {
	void (*done)(void *data, const struct hypervisor_listing *listing);
	void *data;
};

struct pending_order {
	void (*done)(void *data, int status, const struct err *err);
	void *data;
};

struct hypervisor_client *hypervisor_client_new(const struct hypervisor_client_options *options)
{
	struct hypervisor_client *c = must_alloc(sizeof(*c));
	struct buffer argument = {0};
	buffer_print(&argument, "%s:%s", options->driver, options->uri);
	buffer_append_u8(&argument, 0);
	c->worker = worker_new(&(struct worker_options){
	    .loop = options->loop,
	    .role = "hypervisor",
	    .argument = (const char *)argument.data,
	    .told = options->told,
	    .data = options->data,
	});
	buffer_close(&argument);
	return c;
}

/* Ask the worker; on failure pending is freed and done is not called. */
static int client_ask(
    struct hypervisor_client *c, const struct hypervisor_call *call, struct worker_request *request)
{
	struct buffer bytes = {0};
	hypervisor_call_encode(&bytes, call);
	request->what = hypervisor_op_name(call->op);
	request->bytes = bytes.data;
	request->size = bytes.size;
	int rc = worker_request(c->worker, request);
	buffer_close(&bytes);
	if (rc != 0)
		free(request->data);
	return rc;
}

static void on_listed(void *data, const struct worker_answer *answer)
{
	struct pending_list *pending = data;
	struct hypervisor_vm *vms = NULL;
	struct err err = {""};
	struct hypervisor_listing listing = {.status = answer->status, .err = &err};
	if (listing.status == 0) {
		struct reader r = reader_of(answer->bytes, answer->size);
		listing.status = hypervisor_vms_decode(&r, &vms, &listing.n);
		listing.vms = vms;
		if (listing.status != 0)
			err_set(&err, 0, "the hypervisor's worker sent a list that is none");
	} else {
		err_set(&err, 0, "%s", answer->text);
	}
	pending->done(pending->data, &listing);
	free(vms);
	free(pending);
}

int hypervisor_list(struct hypervisor_client *c, unsigned deadline_ms,
    void (*done)(void *data, const struct hypervisor_listing *listing), void *data)
{
	struct pending_list *pending = must_alloc(sizeof(*pending));
	*pending = (struct pending_list){.done = done, .data = data};
	struct worker_request request = {
	    .deadline_ms = deadline_ms, .done = on_listed, .data = pending};
	return client_ask(c, &(struct hypervisor_call){.op = HYPERVISOR_list}, &request);
}

static void on_ordered(void *data, const struct worker_answer *answer)
{
	struct pending_order *pending = data;
	struct err err;
	err_set(&err, 0, "%s", answer->text);
	pending->done(pending->data, answer->status, &err);
	free(pending);
}

int hypervisor_order(struct hypervisor_client *c, const struct hypervisor_order *order)
{
	assert(order->op != HYPERVISOR_list && order->op < HYPERVISOR_OPS);
	struct pending_order *pending = must_alloc(sizeof(*pending));
	*pending = (struct pending_order){.done = order->done, .data = order->data};
	struct worker_request request = {
	    .deadline_ms = order->deadline_ms, .done = on_ordered, .data = pending};
	/* The call only borrows the texts. */
	struct hypervisor_call call = {
	    .op = order->op, .uuid = (char *)order->uuid, .xml = (char *)order->xml};
	const struct hypervisor_migration *migration = order->migration;
	if (migration) {
		call.uuid = (char *)migration->uuid;
		call.uri = (char *)migration->uri;
		call.downtime_ms_max = migration->downtime_ms_max;
		call.rate_mib_max = migration->rate_mib_max;
		call.tls = migration->tls;
	}
	return client_ask(c, &call, &request);
}

struct worker_status hypervisor_client_status(const struct hypervisor_client *c)
{
	return worker_status(c->worker);
}

static void on_worker_closed(void *data)
{
	struct hypervisor_client *c = data;
	if (c->closed)
		c->closed(c->closed_data);
	free(c);
}

void hypervisor_client_close(struct hypervisor_client *c, void (*closed)(void *data), void *data)
{
	c->closed = closed;
	c->closed_data = data;
	worker_close(c->worker, on_worker_closed, c);
}
