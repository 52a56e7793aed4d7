/* Load for the daemon, through its control socket: facts of 256 bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/command.h"
#include "node/control/control_wire.h"
#include "raft/identity.h"
#include "tests/bench/load.h"
#include "tests/bench/stream.h"

/* A client may have SESSION_WINDOW operations under way; a connection is many. */
#define CLIENTS 16

struct connection {
	struct stream stream;
	uint64_t client; /* the first of CLIENTS */
	uint64_t asked;
	bool armed;
};

static void *pvc_open(const char *endpoint)
{
	struct connection *c = must_alloc(sizeof(*c));
	identity_random(&c->client, sizeof(c->client));
	c->client = (c->client | 1) << 4;
	if (stream_open(&c->stream, endpoint) == 0)
		return c;
	free(c);
	return NULL;
}

static void pvc_close(void *connection)
{
	struct connection *c = connection;
	stream_close(&c->stream);
	free(c);
}

static int pvc_put(void *connection, unsigned key, uint64_t tag)
{
	struct connection *c = connection;
	struct buffer operation = {0};
	struct command command = {
	    .client = c->client + c->asked % CLIENTS,
	    .sequence = 1 + c->asked / CLIENTS,
	    .number = COMMAND_fact,
	    .fact.value = {.data = (uint8_t *)(uintptr_t)load_value, .size = LOAD_VALUE_SIZE},
	};
	snprintf(command.fact.key, sizeof(command.fact.key), "key-%u", key);
	c->asked++;
	command_encode(&command, &operation);
	struct control_frame frame = {
	    .type = CONTROL_OPERATION,
	    .request = tag,
	    .data = operation.data,
	    .size = operation.size,
	};
	control_request_encode(&frame, &c->stream.out);
	buffer_close(&operation);
	return 0;
}

static int ask_read(void *connection, enum control_type type, uint64_t tag)
{
	struct connection *c = connection;
	struct control_frame frame = {.type = type, .request = tag};
	control_request_encode(&frame, &c->stream.out);
	return 0;
}

static int pvc_read(void *connection, unsigned key, uint64_t tag)
{
	return ask_read(connection, CONTROL_READ_BY_ROUND, tag);
}

static int pvc_lease(void *connection, unsigned key, uint64_t tag)
{
	return ask_read(connection, CONTROL_READ, tag);
}

static int pvc_watch(void *connection)
{
	return ask_read(connection, CONTROL_WATCH, 0);
}

/* The first word of a watch says where the value is: from then on it listens. */
static void watched(struct connection *c)
{
	if (c->armed)
		load_changed();
	else
		load_armed();
	c->armed = true;
}

static int take(struct connection *c, const uint8_t *payload, size_t size)
{
	struct control_frame frame;
	if (control_answer_decode(&frame, payload, size))
		return -1;
	if (frame.type == CONTROL_WATCH)
		watched(c);
	else
		load_answered(frame.request, frame.result >= 0);
	return 0;
}

static int pvc_turn(void *connection)
{
	struct connection *c = connection;
	struct stream *s = &c->stream;
	if (stream_receive(s) != 0)
		return -1;
	size_t used = 0;
	int64_t size;
	while ((size = control_frame_size(s->in.data + used, s->in.size - used)) > 0) {
		size_t payload = (size_t)size - CONTROL_HEADER_SIZE;
		if (take(c, s->in.data + used + CONTROL_HEADER_SIZE, payload))
			return -1;
		used += (size_t)size;
	}
	stream_used(s, used);
	return size < 0 ? -1 : stream_send(s);
}

static void pvc_interest(void *connection, int *fd, uint32_t *events)
{
	struct connection *c = connection;
	stream_interest(&c->stream, fd, events);
}

int main(int argc, char **argv)
{
	static const struct load_system pvc = {
	    .open = pvc_open,
	    .close = pvc_close,
	    .put = pvc_put,
	    .read = pvc_read,
	    .lease = pvc_lease,
	    .watch = pvc_watch,
	    .turn = pvc_turn,
	    .interest = pvc_interest,
	};
	return load_main(argc, argv, &pvc);
}
