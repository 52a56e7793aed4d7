/* Join tokens: one line of text that lets a machine into a cluster.
 *
 *   pvc1.BASE64URL
 *
 * of: uuid of the cluster (16 bytes), SHA-256 of its CA's certificate (32), the token's
 * number (8, little endian), its secret (32), the number of addresses (1) and each as a length (1)
 * and text; last, the first 4 bytes of the SHA-256 of all that, so that a token that was not
 * copied whole is told from one that is wrong. Whoever has a token can join: it is a secret. */
#ifndef RAFT_TOKEN_H
#define RAFT_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"
#include "raft/endpoint.h"
#include "raft/identity.h"

#define TOKEN_ADDRESSES_MAX 8
#define TOKEN_SECRET_SIZE   32
#define TOKEN_TEXT_MAX	    2048

struct token {
	char cluster[IDENTITY_UUID_SIZE];
	char fingerprint[IDENTITY_HEX_SIZE]; /* of the CA's certificate */
	uint64_t id; /* which token, for those who made it */
	uint8_t secret[TOKEN_SECRET_SIZE];
	unsigned n_addresses; /* of members to ask, at least one */
	char addresses[TOKEN_ADDRESSES_MAX][ENDPOINT_SIZE];
};

/* Append the text, without NUL or newline. Returns 0, or -EINVAL with err for a
 * token that cannot be written. */
int token_encode(const struct token *token, struct buffer *out, struct err *err);

/* Read any bytes; blanks and newlines around the token are skipped. Returns 0; -EINVAL:
 * not a token; -EPROTONOSUPPORT: of a later version; -EBADMSG: damaged. err says which. */
int token_decode(const char *text, size_t size, struct token *token, struct err *err);

#endif
