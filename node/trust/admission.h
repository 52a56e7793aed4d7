/* Letting machines in: tokens are made here, and whoever comes with one gets an
 * id from the log and a certificate from the cluster's CA. */
#ifndef NODE_TRUST_ADMISSION_H
#define NODE_TRUST_ADMISSION_H

#include "node/operation/context.h"
#include "raft/peers.h"

struct admission {
	const struct context *context;
	const struct identity_files *files; /* with the CA's key, or this node lets nobody in */
	struct peers *peers;
};

/* Make a secret and the token that carries it; proposing its hash is the caller's. */
int admission_token(const struct admission *a, struct context_token *token, struct err *err);

/* Somebody wants to join; is answered once the log has decided. */
void admission_joined(
    const struct admission *a, uint64_t guest, const struct guest_request *request);

#endif
