#include "raft/tls.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "raft/pem.h"

#define CHAIN_SIZE_MAX 16384 /* bytes of certificates that a stranger can make us read */

#define HOST_DIGITS   32 /* of a fingerprint, in the name that a guest asks for */
#define HOST_SIZE     (HOST_DIGITS + sizeof(".pvc"))
#define STAND_IN_DAYS 30

/* Who joins may know another CA than the one that our certificate is of, while one is taking the
 * other's place: it says which (SNI), and is shown one that we made for ourselves. */
struct stand_in {
	char host[HOST_SIZE];
	X509 *certificate, *ca;
};

struct tls_context {
	unsigned references;
	SSL_CTX *ssl;
	BIO_METHOD *bytes;
	char fingerprint[IDENTITY_HEX_SIZE]; /* "" unless pinned */
	struct identity_clock clock; /* of a member */
	EVP_PKEY *key; /* NULL when pinned */
	struct stand_in stand_ins[IDENTITY_AUTHORITIES_MAX];
	unsigned n_stand_ins;
};

struct tls {
	SSL *ssl;
	struct tls_context *context;
	const uint8_t *fed; /* the caller's */
	size_t fed_size;
	struct buffer wire;
};

/* As ALPN has them: a byte of length before each. */
static const unsigned char protocols[][13] = {
    [TLS_MEMBER] = "\x0cpvc-member/1",
    [TLS_JOIN] = "\x0apvc-join/1",
};

/* --- The bytes' way in and out of OpenSSL --- */

static int bytes_read(BIO *bio, char *out, int size)
{
	struct tls *tls = BIO_get_data(bio);
	size_t n = (size_t)size < tls->fed_size ? (size_t)size : tls->fed_size;
	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(out, tls->fed, n);
	tls->fed += n;
	tls->fed_size -= n;
	return (int)n;
}

static int bytes_write(BIO *bio, const char *bytes, int size)
{
	struct tls *tls = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	buffer_append(&tls->wire, bytes, (size_t)size);
	return size;
}

static long bytes_ctrl(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *bytes_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes");
	if (method) {
		BIO_meth_set_read(method, bytes_read);
		BIO_meth_set_write(method, bytes_write);
		BIO_meth_set_ctrl(method, bytes_ctrl);
	}
	return method;
}

/* --- Contexts --- */

static int fail(struct err *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *why = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	return err_set(err, -EPROTO, "%s: %s", what, why ? why : "failed");
}

static int protocol_choose(SSL *ssl, const unsigned char **out, unsigned char *out_size,
    const unsigned char *in, unsigned in_size, void *data)
{
	for (int p = TLS_MEMBER; p <= TLS_JOIN; p++) {
		unsigned size = protocols[p][0] + 1u;
		if (in_size == size && memcmp(in, protocols[p], size) == 0) {
			*out = in + 1;
			*out_size = in[0];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int certificate_print(X509 *certificate, char fingerprint[IDENTITY_HEX_SIZE])
{
	unsigned char *der = NULL;
	int size = i2d_X509(certificate, &der);
	if (size <= 0)
		return -EPROTO;
	identity_sha256_hex(der, (size_t)size, fingerprint);
	OPENSSL_free(der);
	return 0;
}

static X509 *pinned_find(X509_STORE_CTX *store, const char *fingerprint)
{
	STACK_OF(X509) *shown = X509_STORE_CTX_get0_untrusted(store);
	for (int i = 0; i < sk_X509_num(shown); i++) {
		X509 *certificate = sk_X509_value(shown, i);
		char hex[IDENTITY_HEX_SIZE];
		if (certificate_print(certificate, hex) == 0 && strcmp(hex, fingerprint) == 0)
			return certificate;
	}
	return NULL;
}

/* Trust nothing but the pinned CA, and then verify as always. */
static int pinned_verify(X509_STORE_CTX *store, void *data)
{
	const struct tls_context *context = data;
	X509 *ca = pinned_find(store, context->fingerprint);
	STACK_OF(X509) *trusted = ca ? sk_X509_new_null() : NULL;
	if (!trusted || !sk_X509_push(trusted, ca)) {
		sk_X509_free(trusted);
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
		return 0;
	}
	X509_STORE_CTX_set0_trusted_stack(store, trusted);
	int ok = X509_verify_cert(store);
	sk_X509_free(trusted);
	return ok;
}

static int member_verify(X509_STORE_CTX *store, void *data)
{
	const struct tls_context *context = data;
	return pem_chain_verify(store, identity_clock_now(&context->clock, (int64_t)time(NULL)));
}

static int context_rules(SSL_CTX *ssl)
{
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_alpn_select_cb(ssl, protocol_choose, NULL);
	SSL_CTX_set_max_cert_list(ssl, CHAIN_SIZE_MAX);
	/* Connections last for weeks: resumption would only be one more way in. */
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	return SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) &&
	       SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) &&
	       SSL_CTX_set_num_tickets(ssl, 0) &&
	       SSL_CTX_set_ciphersuites(ssl,
		   "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
}

static struct tls_context *context_new(struct err *err)
{
	struct tls_context *context = must_alloc(sizeof(*context));
	context->references = 1;
	context->bytes = bytes_method();
	context->ssl = SSL_CTX_new(TLS_method());
	if (context->bytes && context->ssl && context_rules(context->ssl))
		return context;
	fail(err, "set up TLS");
	tls_context_free(context);
	return NULL;
}

static void host_print(const char *fingerprint, char host[HOST_SIZE])
{
	snprintf(host, HOST_SIZE, "%.*s.pvc", HOST_DIGITS, fingerprint);
}

static int host_choose(SSL *ssl, int *alert, void *data)
{
	const struct tls_context *context = data;
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	for (unsigned i = 0; host && i < context->n_stand_ins; i++) {
		const struct stand_in *s = &context->stand_ins[i];
		if (strcmp(host, s->host) != 0)
			continue;
		STACK_OF(X509) *chain = sk_X509_new_null();
		int ok = chain && sk_X509_push(chain, s->ca) &&
			 SSL_use_cert_and_key(ssl, s->certificate, context->key, chain, 1);
		sk_X509_free(chain);
		return ok ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	return SSL_TLSEXT_ERR_OK;
}

/* A certificate of our own by an authority whose key we have. */
static int stand_in_make(struct stand_in *s, const struct identity_files *files,
    const char *fingerprint, struct err *err)
{
	struct buffer ca = {0}, key = {0}, request = {0}, certificate = {0};
	struct identity_signing signing = {
	    .ca_certificate = &ca, .ca_key = &key, .days = STAND_IN_DAYS};
	const struct buffer *own = &files->certificate;
	int rv = identity_authority_get(files, fingerprint, &ca, &key);
	if (rv == 0)
		rv = identity_read((const char *)own->data, own->size, &signing.identity, err);
	if (rv == 0)
		rv = identity_request_make(&files->key, signing.identity.name, &request, err);
	if (rv == 0)
		rv = identity_sign(
		    &signing, (const char *)request.data, request.size, &certificate, err);
	host_print(fingerprint, s->host);
	s->certificate = pem_certificate((const char *)certificate.data, certificate.size);
	s->ca = pem_certificate((const char *)ca.data, ca.size);
	identity_wipe(&key);
	buffer_close(&ca);
	buffer_close(&request);
	buffer_close(&certificate);
	return s->certificate && s->ca ? 0 : err_wrap(err, -EPROTO, "set up TLS for guests");
}

/* Trust every authority; the one that signed our own certificate goes along with it, for those who
 * only know its fingerprint. */
static int authorities_set(
    struct tls_context *context, const struct identity_files *files, struct err *err)
{
	struct identity_authority list[IDENTITY_AUTHORITIES_MAX];
	unsigned n = identity_authorities(files, list);
	int ok = n > 0, rv = 0;
	for (unsigned i = 0; i < n && ok; i++) {
		struct buffer pem = {0};
		identity_authority_get(files, list[i].fingerprint, &pem, NULL);
		X509 *ca = pem_certificate((const char *)pem.data, pem.size);
		ok = ca && X509_STORE_add_cert(SSL_CTX_get_cert_store(context->ssl), ca) &&
		     (!list[i].signer || SSL_CTX_add1_chain_cert(context->ssl, ca));
		X509_free(ca);
		buffer_close(&pem);
	}
	for (unsigned i = 0; i < n && ok && rv == 0; i++)
		if (list[i].key && !list[i].signer)
			rv = stand_in_make(&context->stand_ins[context->n_stand_ins++], files,
			    list[i].fingerprint, err);
	return ok ? rv : fail(err, "set up TLS with the cluster's CA");
}

struct tls_context *tls_context_new(const struct identity_files *files, struct err *err)
{
	struct tls_context *context = context_new(err);
	if (!context)
		return NULL;
	X509 *own = pem_certificate((const char *)files->certificate.data, files->certificate.size);
	SSL_CTX *ssl = context->ssl;
	context->key = pem_key(&files->key);
	int rv = 0;
	if (!own || !context->key || !SSL_CTX_use_certificate(ssl, own) ||
	    !SSL_CTX_use_PrivateKey(ssl, context->key) || !SSL_CTX_check_private_key(ssl))
		rv = fail(err, "set up TLS with our certificate");
	else
		rv = authorities_set(context, files, err);
	identity_clock_set(&context->clock, files);
	SSL_CTX_set_cert_verify_callback(ssl, member_verify, context);
	SSL_CTX_set_tlsext_servername_callback(ssl, host_choose);
	SSL_CTX_set_tlsext_servername_arg(ssl, context);
	X509_free(own);
	if (rv == 0)
		return context;
	tls_context_free(context);
	return NULL;
}

struct tls_context *tls_context_new_pinned(
    const char fingerprint[IDENTITY_HEX_SIZE], struct err *err)
{
	struct tls_context *context = context_new(err);
	if (!context)
		return NULL;
	memcpy(context->fingerprint, fingerprint, IDENTITY_HEX_SIZE);
	SSL_CTX_set_cert_verify_callback(context->ssl, pinned_verify, context);
	return context;
}

void tls_context_free(struct tls_context *context)
{
	if (!context || --context->references > 0)
		return;
	for (unsigned i = 0; i < context->n_stand_ins; i++) {
		X509_free(context->stand_ins[i].certificate);
		X509_free(context->stand_ins[i].ca);
	}
	EVP_PKEY_free(context->key);
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->bytes);
	free(context);
}

/* --- Connections --- */

struct tls *tls_new(struct tls_context *context, enum tls_side side, enum tls_purpose purpose)
{
	struct tls *tls = must_alloc(sizeof(*tls));
	BIO *bio = BIO_new(context->bytes);
	tls->ssl = SSL_new(context->ssl);
	/* Out of memory: the same answer as must_alloc's. */
	if (!tls->ssl || !bio)
		abort();
	tls->context = context;
	context->references++;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	if (side == TLS_ACCEPT) {
		SSL_set_accept_state(tls->ssl);
		return tls;
	}
	char host[HOST_SIZE];
	host_print(context->fingerprint, host);
	if (context->fingerprint[0] && !SSL_set_tlsext_host_name(tls->ssl, host))
		abort();
	const unsigned char *protocol = protocols[purpose];
	if (SSL_set_alpn_protos(tls->ssl, protocol, protocol[0] + 1u) != 0)
		abort();
	SSL_set_connect_state(tls->ssl);
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	tls_context_free(tls->context);
	buffer_close(&tls->wire);
	free(tls);
}

void tls_feed(struct tls *tls, const uint8_t *bytes, size_t size)
{
	tls->fed = bytes;
	tls->fed_size = size;
}

struct buffer *tls_wire(struct tls *tls)
{
	return &tls->wire;
}

int tls_handshake(struct tls *tls, struct err *err)
{
	ERR_clear_error();
	int rv = SSL_do_handshake(tls->ssl);
	if (rv == 1)
		return 1;
	if (SSL_get_error(tls->ssl, rv) == SSL_ERROR_WANT_READ)
		return 0;
	long verdict = SSL_get_verify_result(tls->ssl);
	if (verdict == X509_V_OK)
		return fail(err, "TLS handshake");
	ERR_clear_error();
	bool untimely =
	    verdict == X509_V_ERR_CERT_NOT_YET_VALID || verdict == X509_V_ERR_CERT_HAS_EXPIRED;
	return err_set(err, untimely ? -EKEYEXPIRED : -EPROTO, "its certificate is refused: %s",
	    X509_verify_cert_error_string(verdict));
}

enum tls_purpose tls_purpose(const struct tls *tls)
{
	const unsigned char *protocol;
	unsigned size;
	SSL_get0_alpn_selected(tls->ssl, &protocol, &size);
	const unsigned char *join = protocols[TLS_JOIN];
	return size == join[0] && memcmp(protocol, join + 1, size) == 0 ? TLS_JOIN : TLS_MEMBER;
}

/* The other side's certificate; its size, or -errno. */
static int peer_der(const struct tls *tls, unsigned char **der, struct err *err)
{
	X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
	if (!certificate)
		return err_set(err, -ENOENT, "it shows no certificate");
	int size = i2d_X509(certificate, der);
	return size > 0 ? size : fail(err, "read its certificate");
}

int tls_peer(const struct tls *tls, struct identity *identity, struct err *err)
{
	unsigned char *der = NULL;
	int size = peer_der(tls, &der, err);
	int rv = size < 0 ? size : identity_read_der(der, (size_t)size, identity, err);
	OPENSSL_free(der);
	return rv;
}

int tls_peer_key(
    const struct tls *tls, char incarnation[IDENTITY_INCARNATION_SIZE], struct err *err)
{
	unsigned char *der = NULL;
	int size = peer_der(tls, &der, err);
	int rv = size < 0 ? size : identity_incarnation_der(der, (size_t)size, incarnation, err);
	OPENSSL_free(der);
	return rv;
}

int tls_authority(const struct tls *tls, char fingerprint[IDENTITY_HEX_SIZE])
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(tls->ssl);
	int n = sk_X509_num(chain);
	return n > 0 ? certificate_print(sk_X509_value(chain, n - 1), fingerprint) : -ENOENT;
}

int tls_read(struct tls *tls, void *out, size_t size, struct err *err)
{
	ERR_clear_error();
	int n = SSL_read(tls->ssl, out, size < INT_MAX ? (int)size : INT_MAX);
	if (n > 0)
		return n;
	switch (SSL_get_error(tls->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -ESHUTDOWN;
	default:
		return fail(err, "TLS");
	}
}

int tls_write(struct tls *tls, const void *bytes, size_t size)
{
	size_t written;
	ERR_clear_error();
	if (SSL_write_ex(tls->ssl, bytes, size, &written) == 1)
		return 0;
	return fail(NULL, "TLS");
}

void tls_finish(struct tls *tls)
{
	ERR_clear_error();
	if (SSL_is_init_finished(tls->ssl))
		SSL_shutdown(tls->ssl);
	ERR_clear_error();
}
