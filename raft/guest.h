/* Joining a cluster: what a machine that is no member yet asks, what it is
 * answered, and the blocking client that does so.
 *
 * It happens on the members' port, over TLS with the purpose TLS_JOIN: one frame
 * with the request, one with the answer. The client sends its secret only to
 * somebody whose certificate is of the CA that the token names. */
#ifndef RAFT_GUEST_H
#define RAFT_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"
#include "raft/endpoint.h"
#include "raft/identity.h"
#include "raft/token.h"

#define GUEST_PEM_SIZE	  4096
#define GUEST_MEMBERS_MAX 128
#define GUEST_REQUEST_MAX 16384 /* bytes of the frame */
#define GUEST_ANSWER_MAX  65536
#define GUEST_NAME_SIZE	  64

enum guest_wants { /* bits; others are ignored */
	GUEST_COORDINATOR = 1,
	GUEST_HYPERVISOR = 2,
	GUEST_WITNESS = 4, /* and neither of the others */
};

struct guest_request {
	uint64_t token;
	uint8_t secret[TOKEN_SECRET_SIZE];
	uint64_t time_s; /* its wall clock: what is signed for it must be valid there */
	uint32_t wants;
	char name[GUEST_NAME_SIZE]; /* of the node */
	char address[ENDPOINT_SIZE]; /* where it will listen for members */
	char request[GUEST_PEM_SIZE]; /* for a certificate (CSR), PEM */
};

struct guest_member {
	uint64_t id;
	char address[ENDPOINT_SIZE];
};

struct guest_answer { /* large: keep it on the heap */
	char refused[256]; /* why; "" when admitted, and only then the rest means something */
	uint64_t id;
	char cluster[IDENTITY_UUID_SIZE];
	char cluster_name[GUEST_NAME_SIZE];
	char ca_certificate[GUEST_PEM_SIZE]; /* all that are trusted, as in ca.crt */
	char certificate[GUEST_PEM_SIZE];
	char ca_key[GUEST_PEM_SIZE]; /* theirs; "" unless a coordinator */
	uint32_t n_members;
	struct guest_member members[GUEST_MEMBERS_MAX];
};

/* Append the encoding. Decoding takes any bytes: 0 or -EBADMSG, and then the
 * struct is all zero. Texts always end in NUL. */
void guest_request_encode(const struct guest_request *request, struct buffer *out);
int guest_request_decode(const uint8_t *bytes, size_t size, struct guest_request *request);
void guest_answer_encode(const struct guest_answer *answer, struct buffer *out);
int guest_answer_decode(const uint8_t *bytes, size_t size, struct guest_answer *answer);

/* Ask the token's addresses, one after another until one can be reached, to be let in. Blocks
 * for at most timeout_ms in all. request->token and secret are taken from the token, time_s from
 * the clock. Returns 0 with an answer that was checked (its CA is the token's); -EACCES: refused,
 * err says why; -EHOSTUNREACH: none could be reached; -EPROTO: who answered is not of this cluster,
 * and nothing was told to them; -EKEYEXPIRED: the same, but our clock may be what is wrong;
 * -EBADMSG: the answer makes no sense; -EPIPE: the request was sent, not answered, and may have
 * been done: ask again with the same key. */
int guest_join(const struct token *token, struct guest_request *request, unsigned timeout_ms,
    struct guest_answer *answer, struct err *err);

/* Greet whoever listens at the other end of fd, a socket that is connected, and take leave: a
 * member takes it for a visit, and not for a stranger. Blocks for at most timeout_ms. Returns 0,
 * or as guest_join() does who it is not; fd stays the caller's. */
int guest_visit(const struct token *token, int fd, unsigned timeout_ms, struct err *err);

#endif
