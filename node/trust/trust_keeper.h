/* The keeper of this node's certificates: does what trust.h says is due.
 *
 * It alone changes the files of identity/ while the daemon runs. What it writes is on the disk
 * before it counts, by a thread of the loop's pool; the loop never waits. It asks other members
 * for a certificate or a CA's key, answers those who ask, and proposes as leader. Whatever
 * fails is tried again, less and less often. */
#ifndef NODE_TRUST_TRUST_KEEPER_H
#define NODE_TRUST_TRUST_KEEPER_H

#include <uv.h>

#include "node/operation/context.h"
#include "node/member/standing.h"
#include "node/trust/trust.h"

struct keeper;

struct keeper_options {
	uv_loop_t *loop;
	const struct context *context;
	const char *directory; /* identity/ */
	struct identity_files *files; /* as loaded from there; the keeper changes them */
	int certificate_days; /* of what is signed here */
	struct standing (*standing)(void *data); /* of this node, now */
	/* Send to a member. */
	void (*send)(void *data, uint64_t to, const uint8_t *bytes, size_t size);
	/* The files are others: 0, or -errno with err and this node goes on with what it had. */
	int (*renewed)(void *data, struct err *err);
	void (*stirred)(void *data); /* the loop should turn */
	void *data;
};

struct keeper *keeper_new(const struct keeper_options *options);
void keeper_close(struct keeper *k); /* freed once the loop has run on */

/* Look and act; returns when it must be called again at the latest. */
uint64_t keeper_turn(struct keeper *k, uint64_t now_ms);

/* A frame that begins with one of trust_wire.h's marks. Any bytes. */
void keeper_received(struct keeper *k, uint64_t from, const uint8_t *bytes, size_t size);

/* What people should know; false: nothing. */
bool keeper_trouble(const struct keeper *k, char *text, size_t size);

/* Before the daemon opens its log: when the certificate has expired and a CA's key is here, sign
 * a new one. Blocks. 0: there is a good one now; else -errno with err. */
int keeper_revive(const char *directory, int days, struct err *err);

#endif
