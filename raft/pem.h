/* PEM text to OpenSSL's objects and back, and how their chains are judged: for identity*.c and
 * tls.c alone.
 *
 * A key with a pass phrase is refused, never asked for on a terminal. What is
 * returned is the caller's to free. */
#ifndef RAFT_PEM_H
#define RAFT_PEM_H

#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "fsm/buffer.h"

/* The first one in the text; NULL: there is none. */
X509 *pem_certificate(const char *text, size_t size);
X509_REQ *pem_request(const char *text, size_t size);
EVP_PKEY *pem_key(const struct buffer *text);

/* All of them, in order: NULL when any cannot be read, or there are more than max. */
STACK_OF(X509) * pem_certificates(const struct buffer *text, int max);
/* As above; how many, or -EBADMSG. No text, no keys. */
int pem_keys(const struct buffer *text, EVP_PKEY *keys[], int max);

/* Append; 1 or 0 as OpenSSL has it. */
int pem_certificate_print(X509 *certificate, struct buffer *out);
int pem_request_print(X509_REQ *request, struct buffer *out);
int pem_key_print(EVP_PKEY *key, struct buffer *out);

/* X509_verify_cert() as of now_s; a certificate that is not valid yet is as good as any: that is
 * a matter of clocks, and no attack. */
int pem_chain_verify(X509_STORE_CTX *context, int64_t now_s);

#endif
