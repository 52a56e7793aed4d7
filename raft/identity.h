/* Who a member is: the cluster's CA, the members' keys and certificates, and
 * the files that hold them. X.509 lives here and in tls.c, nowhere else.
 *
 * A node's certificate says who it is in one place, a URI in its subject
 * alternative names: pvc:CLUSTER-UUID/node/ID. The subject (CN the node's
 * name, O the cluster's uuid) is for people who look at it with other tools;
 * only the name is read from there.
 *
 * Keys are EC P-256. Everything in memory is PEM text in a struct buffer, so
 * that no other header needs a word of OpenSSL's. */
#ifndef RAFT_IDENTITY_H
#define RAFT_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"

#define IDENTITY_UUID_SIZE	  37 /* text and its NUL */
#define IDENTITY_HEX_SIZE	  65 /* SHA-256 in hex and its NUL */
#define IDENTITY_INCARNATION_SIZE 49
#define IDENTITY_NAME_SIZE	  64
#define IDENTITY_CA_DAYS	  3650
#define IDENTITY_NODE_DAYS	  365

struct identity { /* what a node's certificate says */
	uint64_t id;
	char cluster[IDENTITY_UUID_SIZE];
	char name[IDENTITY_NAME_SIZE];
};

/* The directory `identity/` of a data directory, as PEM. Owned: see identity_files_close().
 * While a rotation of the CA is under way there is more than one certificate in ca.crt, each as
 * good as the others, and more than one key in ca.key, in any order. */
struct identity_files {
	struct buffer ca_certificate; /* ca.crt */
	struct buffer ca_key; /* ca.key; empty: this node does not sign */
	struct buffer certificate; /* node.crt */
	struct buffer key; /* node.key */
};

enum identity_part { /* one of the files */
	IDENTITY_CA_CERTIFICATE,
	IDENTITY_CA_KEY,
	IDENTITY_CERTIFICATE,
	IDENTITY_KEY,
};

struct identity_validity { /* seconds since 1970 */
	int64_t from_s, until_s;
};

/* By which clock certificates are judged: that of the wall, unless it is known to be wrong, because
 * it says a time before there was an authority. Then it is as late as when our own certificate was
 * signed, so that a node whose clock lost its battery starts, and still refuses what had
 * expired by then. Nobody asks for more than "expired": see pem_chain_verify(). */
struct identity_clock {
	int64_t founded_s; /* from when on the oldest authority holds */
	int64_t signed_s; /* from when on our certificate does */
};

#define IDENTITY_AUTHORITIES_MAX 8
struct identity_authority { /* a CA of ca.crt */
	char fingerprint[IDENTITY_HEX_SIZE];
	struct identity_validity validity;
	bool key; /* ca.key has its key */
	bool signer; /* it signed node.crt */
};

/* Random numbers and digests. */
void identity_random(void *bytes, size_t size); /* aborts when the system has none */
void identity_uuid(char uuid[IDENTITY_UUID_SIZE]);
void identity_sha256(const void *bytes, size_t size, uint8_t digest[32]);
void identity_sha256_hex(const void *bytes, size_t size, char hex[IDENTITY_HEX_SIZE]);
/* 1 when the bytes are the same, else 0, in a time that depends on size alone. */
int identity_equal(const void *a, const void *b, size_t size);

/* Makers append PEM to their outputs. They return 0, or negative errno with err and
 * leave the outputs as they were. */
int identity_ca_make(
    const char *cluster, struct buffer *certificate, struct buffer *key, struct err *err);
int identity_key_make(struct buffer *key, struct err *err);
/* A request (CSR) for a certificate of this key. */
int identity_request_make(
    const struct buffer *key, const char *name, struct buffer *request, struct err *err);

struct identity_signing {
	const struct buffer *ca_certificate, *ca_key; /* of one authority */
	struct identity
	    identity; /* of whom; nothing but the public key is taken from the request */
	int days; /* from now; it also holds for the day before, for clocks that
				     are behind. Negative: expired already (for tests).
				     By a clock of before the authority: from that on */
};
/* Sign a request. -EBADMSG: it is no request, or not signed by the key in it; -EINVAL: a key of
 * another kind, or an identity that cannot be. */
int identity_sign(const struct identity_signing *signing, const char *request, size_t size,
    struct buffer *certificate, struct err *err);

int identity_validity(
    const char *pem, size_t size, struct identity_validity *validity, struct err *err);
/* SHA-256 in hex of the first certificate in this PEM (its DER form, as
 * `openssl x509 -fingerprint -sha256` has it, without the colons). */
int identity_fingerprint(
    const char *pem, size_t size, char hex[IDENTITY_HEX_SIZE], struct err *err);
/* Names a data directory for the cluster's value: the first 48 hex digits of the SHA-256 of the
 * public key in a certificate or request. It is known before an id is given, and stays when
 * the certificate is renewed. */
int identity_incarnation(
    const char *pem, size_t size, char incarnation[IDENTITY_INCARNATION_SIZE], struct err *err);
int identity_incarnation_der(
    const uint8_t *der, size_t size, char incarnation[IDENTITY_INCARNATION_SIZE], struct err *err);
/* What a node's certificate says. It must have been verified by whoever trusts it. */
int identity_read(const char *pem, size_t size, struct identity *identity, struct err *err);
int identity_read_der(const uint8_t *der, size_t size, struct identity *identity, struct err *err);

void identity_clock_set(struct identity_clock *clock, const struct identity_files *files);
/* Seconds since 1970 that count when the wall's clock says wall_s. */
int64_t identity_clock_now(const struct identity_clock *clock, int64_t wall_s);

/* Read and check DIRECTORY's files: modes, that the certificate is of this CA, of this key and
 * not expired, that the CA's key is the CA's. Returns 0, -ENOENT (nothing there), -EPERM
 * (a mode that lets others read a key), -EKEYEXPIRED or -EBADMSG; err says which file and what
 * to do. files is zero on failure, but for -EKEYEXPIRED: then all else is right, and files and
 * identity are as for 0. identity may be NULL. */
int identity_load(const char *directory, struct identity_files *files, struct identity *identity,
    struct err *err);
/* As above, without a check of what they hold. */
int identity_read_files(const char *directory, struct identity_files *files, struct err *err);
/* Check files that are not on disk yet. -EKEYEXPIRED as above. */
int identity_check(const struct identity_files *files, struct identity *identity, struct err *err);
/* Write them as DIRECTORY, which must not exist: all of it appears at once, and
 * is on the disk when this returns. -EEXIST: it is there, and was not touched. */
int identity_save(const char *directory, const struct identity_files *files, struct err *err);
/* Write one of the files of DIRECTORY anew, or remove it when it is empty. It is the old one or the
 * new one at each instant, and the new one is on the disk when this returns. Blocks. */
int identity_replace(const char *directory, const struct identity_files *files,
    enum identity_part part, struct err *err);

/* The authorities of ca.crt, in order: how many. */
unsigned identity_authorities(
    const struct identity_files *files, struct identity_authority list[IDENTITY_AUTHORITIES_MAX]);
/* Append one of them alone: its certificate and, where it is here, its key, which may be NULL.
 * -ENOENT: it is not in ca.crt. */
int identity_authority_get(const struct identity_files *files, const char *fingerprint,
    struct buffer *certificate, struct buffer *key);
/* Take one out of files, in memory: its certificate and its key. */
void identity_authority_drop(struct identity_files *files, const char *fingerprint);

void identity_files_copy(struct identity_files *to, const struct identity_files *from);
/* Wipes the keys from memory. */
void identity_files_close(struct identity_files *files);
/* Frees a buffer that held a secret, wiping it first. */
void identity_wipe(struct buffer *b);

#endif
