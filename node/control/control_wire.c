#include "node/control/control_wire.h"

#include <errno.h>

int64_t control_frame_size(const uint8_t *bytes, size_t size)
{
	if (size < CONTROL_HEADER_SIZE)
		return 0;
	struct reader in = reader_of(bytes, CONTROL_HEADER_SIZE);
	uint32_t payload = reader_u32(&in);
	if (payload == 0 || payload > CONTROL_FRAME_MAX)
		return -EMSGSIZE;
	size_t whole = CONTROL_HEADER_SIZE + (size_t)payload;
	return size < whole ? 0 : (int64_t)whole;
}

static void rest(struct control_frame *frame, struct reader *in)
{
	frame->size = reader_left(in);
	frame->data = in->data + in->at;
}

int control_request_decode(struct control_frame *frame, const uint8_t *payload, size_t size)
{
	struct reader in = reader_of(payload, size);
	*frame = (struct control_frame){.type = reader_u8(&in)};
	switch (frame->type) {
	case CONTROL_JSON:
		frame->data = payload;
		frame->size = size;
		return 0;
	case CONTROL_OPERATION:
		frame->request = reader_varint(&in);
		rest(frame, &in);
		return in.failed ? -EBADMSG : 0;
	case CONTROL_WATCH:
		frame->request = reader_varint(&in);
		frame->index = reader_varint(&in);
		break;
	case CONTROL_READ:
	case CONTROL_READ_BY_ROUND:
		frame->request = reader_varint(&in);
		break;
	default:
		return -EBADMSG;
	}
	return in.failed || reader_left(&in) ? -EBADMSG : 0;
}

static uint64_t zigzag(int32_t value)
{
	uint32_t bits = (uint32_t)value;
	return (bits << 1) ^ (value < 0 ? UINT32_MAX : 0);
}

static int32_t zigzag_back(uint64_t value)
{
	uint32_t bits = (uint32_t)value;
	return (int32_t)((bits >> 1) ^ (bits & 1 ? UINT32_MAX : 0));
}

int control_answer_decode(struct control_frame *frame, const uint8_t *payload, size_t size)
{
	struct reader in = reader_of(payload, size);
	*frame = (struct control_frame){.type = reader_u8(&in)};
	uint64_t result = 0;
	switch (frame->type) {
	case CONTROL_JSON:
		frame->data = payload;
		frame->size = size;
		return 0;
	case CONTROL_OPERATION:
	case CONTROL_READ:
	case CONTROL_READ_BY_ROUND:
		frame->request = reader_varint(&in);
		result = reader_varint(&in);
		break;
	case CONTROL_WATCH:
		frame->request = reader_varint(&in);
		break;
	default:
		return -EBADMSG;
	}
	frame->index = reader_varint(&in);
	frame->result = zigzag_back(result);
	return in.failed || reader_left(&in) || result > UINT32_MAX ? -EBADMSG : 0;
}

static size_t frame_begin(struct buffer *out, enum control_type type)
{
	size_t at = out->size;
	buffer_append_u32(out, 0);
	if (type != CONTROL_JSON)
		buffer_append_u8(out, (uint8_t)type);
	return at;
}

static void frame_end(struct buffer *out, size_t at)
{
	uint32_t size = (uint32_t)(out->size - at - CONTROL_HEADER_SIZE);
	for (unsigned i = 0; i < CONTROL_HEADER_SIZE; i++)
		out->data[at + i] = (uint8_t)(size >> 8 * i);
}

void control_request_encode(const struct control_frame *frame, struct buffer *out)
{
	size_t at = frame_begin(out, frame->type);
	if (frame->type != CONTROL_JSON)
		buffer_append_varint(out, frame->request);
	if (frame->type == CONTROL_WATCH)
		buffer_append_varint(out, frame->index);
	if (frame->type == CONTROL_OPERATION || frame->type == CONTROL_JSON)
		buffer_append(out, frame->data, frame->size);
	frame_end(out, at);
}

void control_answer_encode(const struct control_frame *frame, struct buffer *out)
{
	size_t at = frame_begin(out, frame->type);
	if (frame->type == CONTROL_JSON) {
		buffer_append(out, frame->data, frame->size);
	} else {
		buffer_append_varint(out, frame->request);
		if (frame->type != CONTROL_WATCH)
			buffer_append_varint(out, zigzag(frame->result));
		buffer_append_varint(out, frame->index);
	}
	frame_end(out, at);
}
