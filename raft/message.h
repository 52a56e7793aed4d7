/* What members say to each other, as bytes.
 *
 * Decoding believes nothing: a frame is either of this version and wholly well formed,
 * or refused. Whether it makes sense here and now is judged where it is used. A frame that
 * decodes is the only encoding of its message. */
#ifndef RAFT_MESSAGE_H
#define RAFT_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "raft/disk.h"

#define MESSAGE_VERSION	   1
#define MESSAGE_NUMBER_MAX (UINT64_C(1) << 62) /* of a term or index */

enum message_kind {
#define FIELD(name)
#define MESSAGE(number, name, tail, fields) MESSAGE_##name = number,
#include "raft/message.def"
#undef MESSAGE
#undef FIELD
};

#define FIELD(name) uint64_t name;
#define MESSAGE(number, name, tail, fields)                                                        \
	struct message_##name {                                                                    \
		fields                                                                             \
	};
#include "raft/message.def"
#undef MESSAGE
#undef FIELD

enum { VOTE_GRANTED = 1, VOTE_PRE = 2, VOTE_DISRUPT = 4 };
enum { READ_BY_ROUND = 1 };

struct message {
	enum message_kind kind;
	union {
#define FIELD(name)
#define MESSAGE(number, name, tail, fields) struct message_##name name;
#include "raft/message.def"
#undef MESSAGE
#undef FIELD
	};
	const uint8_t *tail; /* somebody else's: after decoding, the frame's */
	size_t tail_size;
};

void message_encode(const struct message *m, struct buffer *out);
/* Returns 0, or -EBADMSG. */
int message_decode(const uint8_t *bytes, size_t size, struct message *m);
const char *message_name(enum message_kind kind);

/* The tail of append. */
bool message_entry_valid(const struct disk_entry *entry);
void message_entry_add(struct buffer *tail, const struct disk_entry *entry);
/* The next of a decoded append's entries; false after the last. entry points into the tail. */
bool message_entry_next(struct reader *tail, struct disk_entry *entry);

/* The tail of proposed. */
struct message_answer {
	uint64_t serial;
	uint64_t index;
	int result;
};
void message_answer_add(struct buffer *tail, const struct message_answer *answer);
bool message_answer_next(struct reader *tail, struct message_answer *answer);

#endif
