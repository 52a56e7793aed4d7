/* Load for raft_bare, which has no watches. */
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load.h"
#include "tests/bench/raft_bare.h"
#include "tests/bench/stream.h"

static void *raft_open(const char *endpoint)
{
	struct stream *s = must_alloc(sizeof(*s));
	if (stream_open(s, endpoint) == 0)
		return s;
	free(s);
	return NULL;
}

static void raft_close_stream(void *connection)
{
	stream_close(connection);
	free(connection);
}

static int raft_put(void *connection, unsigned key, uint64_t tag)
{
	struct stream *s = connection;
	struct bare_request request = {tag, BARE_PUT, key};
	buffer_append(&s->out, &request, sizeof(request));
	buffer_append(&s->out, load_value, LOAD_VALUE_SIZE);
	return 0;
}

static int raft_read(void *connection, unsigned key, uint64_t tag)
{
	struct stream *s = connection;
	struct bare_request request = {tag, BARE_READ, key};
	buffer_append(&s->out, &request, sizeof(request));
	return 0;
}

static size_t answer_take(const uint8_t *data, size_t size)
{
	struct bare_answer answer;
	if (size < sizeof(answer))
		return 0;
	memcpy(&answer, data, sizeof(answer));
	bool has_value = answer.op == BARE_READ && answer.ok;
	size_t whole = sizeof(answer) + (has_value ? LOAD_VALUE_SIZE : 0);
	if (size < whole)
		return 0;
	load_answered(answer.tag, answer.ok);
	return whole;
}

static int raft_turn(void *connection)
{
	struct stream *s = connection;
	if (stream_receive(s) != 0)
		return -1;
	size_t used = 0, taken;
	while ((taken = answer_take(s->in.data + used, s->in.size - used)) != 0)
		used += taken;
	stream_used(s, used);
	return stream_send(s);
}

static void raft_interest(void *connection, int *fd, uint32_t *events)
{
	stream_interest(connection, fd, events);
}

int main(int argc, char **argv)
{
	static const struct load_system raft = {
	    .open = raft_open,
	    .close = raft_close_stream,
	    .put = raft_put,
	    .read = raft_read,
	    .turn = raft_turn,
	    .interest = raft_interest,
	};
	return load_main(argc, argv, &raft);
}
