/* Load for etcd 3: gRPC is HTTP/2 (by nghttp2) with messages of Protocol Buffers that have
 * five bytes in front: a zero, and their length. The few fields we need are written by hand. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load.h"
#include "tests/bench/stream.h"

#define FRAME_SIZE  5
#define WINDOW_SIZE (1 << 30)

struct etcd {
	struct stream stream;
	nghttp2_session *session;
};

enum kind { UNARY, WATCH };

struct call { /* one HTTP/2 stream; freed when it closes */
	enum kind kind;
	uint64_t tag;
	int status; /* of gRPC; -1 unknown */
	struct buffer request; /* with its five bytes */
	size_t sent;
	struct buffer answers; /* of a watch: messages not yet whole */
	unsigned messages;
};

static void field(struct buffer *b, unsigned number, const void *bytes, size_t size)
{
	buffer_append_varint(b, number << 3 | 2);
	buffer_append_varint(b, size);
	buffer_append(b, bytes, size);
}

static void field_key(struct buffer *b, unsigned key)
{
	char name[32];
	int size = snprintf(name, sizeof(name), "/bench/%08u", key);
	field(b, 1, name, (size_t)size);
}

static struct call *call_new(enum kind kind, uint64_t tag, const struct buffer *message)
{
	struct call *call = must_alloc(sizeof(*call));
	*call = (struct call){.kind = kind, .tag = tag, .status = -1};
	size_t size = message->size;
	uint8_t frame[FRAME_SIZE] = {
	    0, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size};
	buffer_append(&call->request, frame, sizeof(frame));
	buffer_append(&call->request, message->data, size);
	return call;
}

static void call_free(struct call *call)
{
	buffer_close(&call->request);
	buffer_close(&call->answers);
	free(call);
}

static ssize_t body_read(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t size,
    uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct call *call = source->ptr;
	size_t left = call->request.size - call->sent;
	if (left == 0)
		return NGHTTP2_ERR_DEFERRED; /* a watch stays open for more requests */
	size = size < left ? size : left;
	memcpy(bytes, call->request.data + call->sent, size);
	call->sent += size;
	if (size == left && call->kind == UNARY)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)size;
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
	    NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static int call_submit(struct etcd *e, const char *method, struct call *call)
{
	nghttp2_nv headers[] = {header(":method", "POST"), header(":scheme", "http"),
	    header(":path", method), header(":authority", "etcd"),
	    header("content-type", "application/grpc"), header("te", "trailers")};
	nghttp2_data_provider body = {.source = {.ptr = call}, .read_callback = body_read};
	if (nghttp2_submit_request(e->session, NULL, headers, 6, &body, call) >= 0)
		return 0;
	call_free(call);
	return -1;
}

static int header_seen(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
	struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (call && name_size == 11 && memcmp(name, "grpc-status", 11) == 0)
		call->status = value_size == 1 && *value == '0' ? 0 : 1;
	return 0;
}

/* The first message of a watch says that it stands, each further one that something changed. */
static int data_seen(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
    size_t size, void *user)
{
	struct call *call = nghttp2_session_get_stream_user_data(session, id);
	if (!call || call->kind != WATCH)
		return 0;
	struct buffer *b = &call->answers;
	buffer_append(b, data, size);
	while (b->size >= FRAME_SIZE) {
		size_t whole = FRAME_SIZE + ((size_t)b->data[1] << 24 | b->data[2] << 16 |
						b->data[3] << 8 | b->data[4]);
		if (b->size < whole)
			break;
		b->size -= whole;
		memmove(b->data, b->data + whole, b->size);
		call->messages++ == 0 ? load_armed() : load_changed();
	}
	return 0;
}

static int stream_closed(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct call *call = nghttp2_session_get_stream_user_data(session, id);
	if (!call)
		return 0;
	if (call->kind == UNARY)
		load_answered(call->tag, call->status == 0);
	call_free(call);
	return 0;
}

static void *etcd_open(const char *endpoint)
{
	struct etcd *e = must_alloc(sizeof(*e));
	if (stream_open(&e->stream, endpoint) != 0) {
		free(e);
		return NULL;
	}
	nghttp2_session_callbacks *callbacks;
	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, header_seen);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_seen);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
	nghttp2_session_client_new(&e->session, callbacks, e);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE}, {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
	nghttp2_submit_settings(e->session, 0, settings, 2);
	nghttp2_session_set_local_window_size(e->session, 0, 0, WINDOW_SIZE);
	return e;
}

static void etcd_close(void *connection)
{
	struct etcd *e = connection;
	nghttp2_session_del(e->session); /* what was asked on it is not answered, nor freed */
	stream_close(&e->stream);
	free(e);
}

static int etcd_put(void *connection, unsigned key, uint64_t tag)
{
	struct buffer message = {0};
	field_key(&message, key);
	field(&message, 2, load_value, LOAD_VALUE_SIZE);
	struct call *call = call_new(UNARY, tag, &message);
	buffer_close(&message);
	return call_submit(connection, "/etcdserverpb.KV/Put", call);
}

static int etcd_read(void *connection, unsigned key, uint64_t tag)
{
	struct buffer message = {0};
	field_key(&message, key);
	struct call *call = call_new(UNARY, tag, &message);
	buffer_close(&message);
	return call_submit(connection, "/etcdserverpb.KV/Range", call);
}

static int etcd_watch(void *connection)
{
	struct buffer create = {0}, message = {0};
	field_key(&create, 0);
	field(&message, 1, create.data, create.size);
	struct call *call = call_new(WATCH, 0, &message);
	buffer_close(&create);
	buffer_close(&message);
	return call_submit(connection, "/etcdserverpb.Watch/Watch", call);
}

static int etcd_turn(void *connection)
{
	struct etcd *e = connection;
	int rv = stream_receive(&e->stream);
	if (nghttp2_session_mem_recv(e->session, e->stream.in.data, e->stream.in.size) < 0)
		return -1;
	stream_used(&e->stream, e->stream.in.size);
	const uint8_t *bytes;
	for (ssize_t size; (size = nghttp2_session_mem_send(e->session, &bytes)) > 0;)
		buffer_append(&e->stream.out, bytes, (size_t)size);
	return rv ? rv : stream_send(&e->stream);
}

static void etcd_interest(void *connection, int *fd, uint32_t *events)
{
	stream_interest(&((struct etcd *)connection)->stream, fd, events);
}

int main(int argc, char **argv)
{
	static const struct load_system etcd = {
	    .open = etcd_open,
	    .close = etcd_close,
	    .put = etcd_put,
	    .read = etcd_read,
	    .watch = etcd_watch,
	    .turn = etcd_turn,
	    .interest = etcd_interest,
	};
	return load_main(argc, argv, &etcd);
}
