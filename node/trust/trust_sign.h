/* Signing by one of the CAs that this node has the key of. */
#ifndef NODE_TRUST_TRUST_SIGN_H
#define NODE_TRUST_TRUST_SIGN_H

#include "fsm/cluster.h"
#include "raft/identity.h"

struct trust_signing {
	const struct identity_files *files; /* with the CA and its key */
	const char *fingerprint; /* of the CA */
	struct identity identity; /* of whom */
	int days;
};

/* Append a certificate for the key in a request. -ENOKEY: the CA's key is not here. */
int trust_sign(const struct trust_signing *s, const char *request, size_t size,
    struct buffer *certificate, struct err *err);

/* A request for the certificate that these files have, and whose it is. */
int trust_request(const struct identity_files *files, struct identity *identity,
    struct buffer *request, struct err *err);

/* The CA that signs: the active one; before the log knows of any, that of our own certificate.
 * "" when there is none. */
void trust_signer(const struct cluster *c, const struct identity_files *files,
    char fingerprint[IDENTITY_HEX_SIZE]);

/* Whether its key is here. */
bool trust_signs(const struct cluster *c, const struct identity_files *files);

#endif
