#include "node/trust/trust_wire.h"

#include <errno.h>
#include <string.h>

void trust_ask_encode(const struct trust_ask *ask, struct buffer *out)
{
	buffer_append_u8(out, TRUST_ASK_MARK);
	buffer_append_u64(out, ask->number);
	buffer_append_u8(out, (uint8_t)ask->question);
	buffer_append_u32(out, ask->authority);
	buffer_append_text(out, ask->text);
}

int trust_ask_decode(const uint8_t *bytes, size_t size, struct trust_ask *ask)
{
	struct reader r = reader_of(bytes, size);
	*ask = (struct trust_ask){0};
	uint8_t mark = reader_u8(&r);
	ask->number = reader_u64(&r);
	uint8_t question = reader_u8(&r);
	ask->authority = reader_u32(&r);
	reader_text(&r, ask->text, sizeof(ask->text));
	bool known = question == TRUST_ASK_CERTIFICATE || question == TRUST_ASK_KEY;
	if (!r.failed && reader_left(&r) == 0 && mark == TRUST_ASK_MARK && known) {
		ask->question = (enum trust_question)question;
		return 0;
	}
	*ask = (struct trust_ask){0};
	return -EBADMSG;
}

void trust_answer_encode(const struct trust_answer *answer, struct buffer *out)
{
	buffer_append_u8(out, TRUST_ANSWER_MARK);
	buffer_append_u64(out, answer->number);
	buffer_append_text(out, answer->refused);
	buffer_append_text(out, answer->text);
}

int trust_answer_decode(const uint8_t *bytes, size_t size, struct trust_answer *answer)
{
	struct reader r = reader_of(bytes, size);
	*answer = (struct trust_answer){0};
	uint8_t mark = reader_u8(&r);
	answer->number = reader_u64(&r);
	reader_text(&r, answer->refused, sizeof(answer->refused));
	reader_text(&r, answer->text, sizeof(answer->text));
	if (!r.failed && reader_left(&r) == 0 && mark == TRUST_ANSWER_MARK)
		return 0;
	explicit_bzero(answer, sizeof(*answer));
	return -EBADMSG;
}
