/* What members ask each other about certificates, as frames on their connections.
 *
 * A question has a number, which its answer repeats. Whose question it is says the
 * connection, never the frame. Decoding takes any bytes: 0 or -EBADMSG, and then the
 * struct is all zero. Texts end in NUL. */
#ifndef NODE_TRUST_TRUST_WIRE_H
#define NODE_TRUST_TRUST_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"

/* The first bytes; raft's own frames and forward.h's have others. */
#define TRUST_ASK_MARK	  0x54
#define TRUST_ANSWER_MARK 0x74

#define TRUST_PEM_SIZE 4096
#define TRUST_WHY_SIZE 256

enum trust_question {
	TRUST_ASK_CERTIFICATE = 1, /* text: a request for a certificate (CSR) */
	TRUST_ASK_KEY = 2, /* of a CA; no text */
};

struct trust_ask {
	uint64_t number;
	enum trust_question question;
	uint32_t authority;
	char text[TRUST_PEM_SIZE];
};

struct trust_answer {
	uint64_t number;
	char refused[TRUST_WHY_SIZE]; /* why; "": text is what was asked for */
	char text[TRUST_PEM_SIZE]; /* PEM */
};

void trust_ask_encode(const struct trust_ask *ask, struct buffer *out);
int trust_ask_decode(const uint8_t *bytes, size_t size, struct trust_ask *ask);
void trust_answer_encode(const struct trust_answer *answer, struct buffer *out);
int trust_answer_decode(const uint8_t *bytes, size_t size, struct trust_answer *answer);

#endif
