#include "raft/pem.h"

#include <errno.h>
#include <limits.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

static void bio_drain(BIO *bio, struct buffer *out)
{
	char *data;
	long size = BIO_get_mem_data(bio, &data);
	buffer_append(out, data, (size_t)size);
}

static BIO *bio_of(const void *bytes, size_t size)
{
	return size > 0 && size <= INT_MAX ? BIO_new_mem_buf(bytes, (int)size) : NULL;
}

static int no_pass_phrase(char *buffer, int size, int writing, void *data)
{
	return -1;
}

X509 *pem_certificate(const char *text, size_t size)
{
	BIO *bio = bio_of(text, size);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL) : NULL;
	BIO_free(bio);
	return certificate;
}

X509_REQ *pem_request(const char *text, size_t size)
{
	BIO *bio = bio_of(text, size);
	X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_pass_phrase, NULL) : NULL;
	BIO_free(bio);
	return request;
}

EVP_PKEY *pem_key(const struct buffer *text)
{
	BIO *bio = bio_of(text->data, text->size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
	BIO_free(bio);
	return key;
}

/* Whether reading stopped because there is nothing left. */
static int at_end(void)
{
	unsigned long code = ERR_peek_last_error();
	ERR_clear_error();
	return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

STACK_OF(X509) * pem_certificates(const struct buffer *text, int max)
{
	BIO *bio = bio_of(text->data, text->size);
	STACK_OF(X509) *list = sk_X509_new_null();
	X509 *one = NULL;
	int ok = bio && list;
	ERR_clear_error();
	while (ok && (one = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL))) {
		ok = sk_X509_num(list) < max && sk_X509_push(list, one);
		if (!ok)
			X509_free(one);
	}
	ok = ok && at_end() && sk_X509_num(list) > 0;
	BIO_free(bio);
	if (ok)
		return list;
	sk_X509_pop_free(list, X509_free);
	return NULL;
}

/* The next block of the text, if it is a key. Returns 0 when there is no block any more, or
 * it cannot be read. */
static int key_next(BIO *bio, EVP_PKEY **key)
{
	char *name, *header;
	unsigned char *bytes;
	long size;
	if (!PEM_read_bio(bio, &name, &header, &bytes, &size))
		return 0;
	const unsigned char *at = bytes;
	*key = d2i_AutoPrivateKey(NULL, &at, size);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_clear_free(bytes, (size_t)size);
	return 1;
}

int pem_keys(const struct buffer *text, EVP_PKEY *keys[], int max)
{
	BIO *bio = bio_of(text->data, text->size);
	EVP_PKEY *one = NULL;
	int n = 0, ok = 1;
	ERR_clear_error();
	while (bio && ok && key_next(bio, &one)) {
		ok = one && n < max;
		if (ok)
			keys[n++] = one;
		else
			EVP_PKEY_free(one);
	}
	ok = ok && (!bio || at_end());
	BIO_free(bio);
	if (ok)
		return n;
	while (n > 0)
		EVP_PKEY_free(keys[--n]);
	return -EBADMSG;
}

int pem_certificate_print(X509 *certificate, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int ok = bio && PEM_write_bio_X509(bio, certificate);
	if (ok)
		bio_drain(bio, out);
	BIO_free(bio);
	return ok;
}

int pem_request_print(X509_REQ *request, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int ok = bio && PEM_write_bio_X509_REQ(bio, request);
	if (ok)
		bio_drain(bio, out);
	BIO_free(bio);
	return ok;
}

int pem_key_print(EVP_PKEY *key, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	int ok = bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	if (ok)
		bio_drain(bio, out);
	BIO_free(bio);
	return ok;
}

static int chain_look(int ok, X509_STORE_CTX *context)
{
	if (ok || X509_STORE_CTX_get_error(context) != X509_V_ERR_CERT_NOT_YET_VALID)
		return ok;
	X509_STORE_CTX_set_error(context, X509_V_OK);
	return 1;
}

int pem_chain_verify(X509_STORE_CTX *context, int64_t now_s)
{
	X509_STORE_CTX_set_time(context, 0, (time_t)now_s);
	X509_STORE_CTX_set_verify_cb(context, chain_look);
	return X509_verify_cert(context);
}
