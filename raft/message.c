#include "raft/message.h"

#include <errno.h>
#include <limits.h>

#include "raft/batch.h"
#include "raft/configuration.h"

enum { NO_TAIL, TAIL };

static bool has_tail(enum message_kind kind)
{
	switch (kind) {
#define FIELD(name)
#define MESSAGE(number, name, tail, fields)                                                        \
	case MESSAGE_##name:                                                                       \
		return tail == TAIL;
#include "raft/message.def"
#undef MESSAGE
#undef FIELD
	}
	return false;
}

const char *message_name(enum message_kind kind)
{
	switch (kind) {
#define FIELD(name)
#define MESSAGE(number, name, tail, fields)                                                        \
	case MESSAGE_##name:                                                                       \
		return #name;
#include "raft/message.def"
#undef MESSAGE
#undef FIELD
	}
	return "unknown";
}

/* Every kind is a struct of nothing but uint64_t: its fields can be walked as an array. */
static uint64_t *fields_of(struct message *m, unsigned *n)
{
	switch (m->kind) {
#define FIELD(name)
#define MESSAGE(number, name, tail, fields)                                                        \
	case MESSAGE_##name:                                                                       \
		*n = sizeof(m->name) / sizeof(uint64_t);                                           \
		return (uint64_t *)&m->name;
#include "raft/message.def"
#undef MESSAGE
#undef FIELD
	}
	*n = 0;
	return NULL;
}

void message_encode(const struct message *m, struct buffer *out)
{
	struct message copy = *m;
	unsigned n;
	const uint64_t *fields = fields_of(&copy, &n);
	buffer_append_u8(out, MESSAGE_VERSION);
	buffer_append_u8(out, (uint8_t)m->kind);
	for (unsigned i = 0; i < n; i++)
		buffer_append_varint(out, fields[i]);
	if (has_tail(m->kind))
		buffer_append(out, m->tail, m->tail_size);
}

void message_entry_add(struct buffer *tail, const struct disk_entry *entry)
{
	buffer_append_varint(tail, entry->term);
	buffer_append_u8(tail, (uint8_t)entry->type);
	buffer_append_varint(tail, entry->size);
	buffer_append(tail, entry->data, entry->size);
}

bool message_entry_next(struct reader *tail, struct disk_entry *entry)
{
	if (reader_left(tail) == 0)
		return false;
	entry->term = reader_varint(tail);
	entry->type = (enum disk_entry_type)reader_u8(tail);
	uint64_t size = reader_varint(tail);
	entry->data = reader_bytes(tail, size);
	entry->size = (uint32_t)size;
	return !tail->failed;
}

void message_answer_add(struct buffer *tail, const struct message_answer *answer)
{
	int64_t result = answer->result;
	buffer_append_varint(tail, answer->serial);
	buffer_append_varint(tail, answer->index);
	buffer_append_varint(tail, ((uint64_t)result << 1) ^ (uint64_t)(result >> 63));
}

bool message_answer_next(struct reader *tail, struct message_answer *answer)
{
	if (reader_left(tail) == 0)
		return false;
	answer->serial = reader_varint(tail);
	answer->index = reader_varint(tail);
	uint64_t zigzag = reader_varint(tail);
	if (zigzag > UINT_MAX)
		tail->failed = true;
	answer->result = (int)((int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1));
	return !tail->failed;
}

static bool number(uint64_t value)
{
	return value < MESSAGE_NUMBER_MAX;
}

static bool place(uint64_t index, uint64_t term)
{
	return number(index) && number(term) && (index == 0) == (term == 0);
}

bool message_entry_valid(const struct disk_entry *e)
{
	struct configuration scratch;
	switch (e->type) {
	case DISK_COMMAND:
		return batch_valid(e->data, e->size);
	case DISK_BARRIER:
		return e->size <= 64;
	case DISK_CHANGE:
		return configuration_decode(e->data, e->size, &scratch) == 0;
	}
	return false;
}

/* libraft asserts that terms never fall from one entry to the next, and that the leader's own
 * is the highest. */
static bool append_valid(const struct message *m)
{
	struct reader tail = reader_of(m->tail, m->tail_size);
	uint64_t term = m->append.prev_term ? m->append.prev_term : 1, count = 0;
	struct disk_entry e;
	while (message_entry_next(&tail, &e)) {
		if (e.term < term || !message_entry_valid(&e))
			return false;
		/* Every log begins with the configuration it was bootstrapped with. */
		if (m->append.prev_index + ++count == 1 && e.type != DISK_CHANGE)
			return false;
		term = e.term;
	}
	return !tail.failed && count == m->append.count && term <= m->append.term &&
	       place(m->append.prev_index, m->append.prev_term) && number(m->append.commit);
}

static bool proposed_valid(const struct message *m)
{
	struct reader tail = reader_of(m->tail, m->tail_size);
	struct message_answer answer;
	uint64_t count = 0;
	while (message_answer_next(&tail, &answer))
		count++;
	return !tail.failed && count == m->proposed.count;
}

static bool chunk_valid(const struct message *m)
{
	const struct message_chunk *c = &m->chunk;
	return c->index > 0 && place(c->index, c->index_term) && c->index_term <= c->term &&
	       c->configuration_index > 0 && c->configuration_index <= c->index &&
	       c->size <= REPLICA_SNAPSHOT_MAX && c->configuration_size <= c->size &&
	       c->offset <= c->size && m->tail_size <= c->size - c->offset;
}

static bool term_valid(uint64_t term)
{
	return term > 0 && number(term);
}

static bool valid(const struct message *m)
{
	switch (m->kind) {
	case MESSAGE_vote_request:
		return term_valid(m->vote_request.term) &&
		       place(m->vote_request.last_index, m->vote_request.last_term) &&
		       (m->vote_request.flags & ~(uint64_t)(VOTE_PRE | VOTE_DISRUPT)) == 0;
	case MESSAGE_vote:
		return term_valid(m->vote.term) &&
		       (m->vote.flags & ~(uint64_t)(VOTE_PRE | VOTE_GRANTED)) == 0;
	case MESSAGE_append:
		return term_valid(m->append.term) && append_valid(m);
	case MESSAGE_appended:
		return term_valid(m->appended.term) && number(m->appended.rejected) &&
		       number(m->appended.last_index);
	case MESSAGE_timeout_now:
		return term_valid(m->timeout_now.term) &&
		       place(m->timeout_now.last_index, m->timeout_now.last_term);
	case MESSAGE_ping:
		return term_valid(m->ping.term);
	case MESSAGE_pong:
		return term_valid(m->pong.term);
	case MESSAGE_propose:
		return batch_valid(m->tail, m->tail_size) && number(m->propose.serial);
	case MESSAGE_proposed:
		return proposed_valid(m);
	case MESSAGE_read:
		return (m->read.flags & ~(uint64_t)READ_BY_ROUND) == 0;
	case MESSAGE_read_ok:
		return number(m->read_ok.index);
	case MESSAGE_chunk:
		return term_valid(m->chunk.term) && chunk_valid(m);
	case MESSAGE_chunk_ok:
		return term_valid(m->chunk_ok.term) && number(m->chunk_ok.index);
	case MESSAGE_committed:
		return term_valid(m->committed.term) && m->committed.index > 0 &&
		       place(m->committed.index, m->committed.index_term) &&
		       m->committed.index_term <= m->committed.term;
	}
	return false;
}

int message_decode(const uint8_t *bytes, size_t size, struct message *m)
{
	struct reader in = reader_of(bytes, size);
	unsigned n;
	uint8_t version = reader_u8(&in);
	m->kind = (enum message_kind)reader_u8(&in);
	if (in.failed || version != MESSAGE_VERSION)
		return -EBADMSG;
	uint64_t *fields = fields_of(m, &n);
	for (unsigned i = 0; i < n; i++)
		fields[i] = reader_varint(&in);
	if (in.failed || n == 0)
		return -EBADMSG;
	m->tail_size = reader_left(&in);
	m->tail = reader_bytes(&in, m->tail_size);
	if (m->tail_size > 0 && !has_tail(m->kind))
		return -EBADMSG;
	return valid(m) ? 0 : -EBADMSG;
}
