#include "raft/identity.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "raft/pem.h"

#define DAY_S 86400

static int fail(struct err *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *why = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	return err_set(err, -EBADMSG, "%s: %s", what, why ? why : "failed");
}

void identity_random(void *bytes, size_t size)
{
	assert(size <= INT_MAX);
	if (RAND_bytes(bytes, (int)size) != 1)
		abort();
}

void identity_uuid(char uuid[IDENTITY_UUID_SIZE])
{
	uint8_t b[16];
	identity_random(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(uuid, IDENTITY_UUID_SIZE,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
	    b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
	    b[15]);
}

void identity_sha256(const void *bytes, size_t size, uint8_t digest[32])
{
	if (EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

static void hex_print(const uint8_t *bytes, size_t n, char *hex)
{
	for (size_t i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

void identity_sha256_hex(const void *bytes, size_t size, char hex[IDENTITY_HEX_SIZE])
{
	uint8_t digest[32];
	identity_sha256(bytes, size, digest);
	hex_print(digest, sizeof(digest), hex);
}

int identity_equal(const void *a, const void *b, size_t size)
{
	return CRYPTO_memcmp(a, b, size) == 0;
}

/* --- Certificates --- */

static int name_add(X509_NAME *name, const char *field, const char *value)
{
	return X509_NAME_add_entry_by_txt(
	    name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
}

static int extension_add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	int ok = extension && X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return ok;
}

static int serial_set(X509 *certificate)
{
	uint8_t bytes[16];
	identity_random(bytes, sizeof(bytes));
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and of one length */
	BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	int ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return ok;
}

/* Everything that a CA's and a node's certificate have in common. */
static X509 *certificate_new(EVP_PKEY *key, int days, time_t now_s)
{
	X509 *certificate = X509_new();
	int ok = certificate && X509_set_version(certificate, X509_VERSION_3) &&
		 serial_set(certificate) &&
		 X509_time_adj_ex(
		     X509_getm_notBefore(certificate), days < 0 ? days - 1 : -1, 0, &now_s) &&
		 X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, &now_s) &&
		 X509_set_pubkey(certificate, key);
	if (ok)
		return certificate;
	X509_free(certificate);
	return NULL;
}

static bool uuid_valid(const char *uuid)
{
	for (int i = 0; i < IDENTITY_UUID_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? uuid[i] != '-' : !uuid[i] || !strchr("0123456789abcdef", uuid[i]))
			return false;
	}
	return uuid[IDENTITY_UUID_SIZE - 1] == '\0';
}

static int ca_fill(X509 *ca, EVP_PKEY *key, const char *cluster)
{
	char name[64];
	snprintf(name, sizeof(name), "pvc cluster %s", cluster);
	X509_NAME *subject = X509_get_subject_name(ca);
	return name_add(subject, "O", cluster) && name_add(subject, "CN", name) &&
	       X509_set_issuer_name(ca, subject) &&
	       extension_add(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       extension_add(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	       extension_add(ca, ca, NID_subject_key_identifier, "hash") &&
	       X509_sign(ca, key, EVP_sha256());
}

int identity_ca_make(
    const char *cluster, struct buffer *certificate, struct buffer *key, struct err *err)
{
	if (!uuid_valid(cluster))
		return err_set(err, -EINVAL, "'%s' is not a uuid", cluster);
	struct buffer key_text = {0};
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *ca = pair ? certificate_new(pair, IDENTITY_CA_DAYS, time(NULL)) : NULL;
	int rv = 0;
	if (!ca || !ca_fill(ca, pair, cluster) || !pem_key_print(pair, &key_text) ||
	    !pem_certificate_print(ca, certificate))
		rv = fail(err, "make the cluster's CA");
	else
		buffer_append(key, key_text.data, key_text.size);
	identity_wipe(&key_text);
	X509_free(ca);
	EVP_PKEY_free(pair);
	return rv;
}

int identity_key_make(struct buffer *key, struct err *err)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	int rv = pair && pem_key_print(pair, key) ? 0 : fail(err, "make a key");
	EVP_PKEY_free(pair);
	return rv;
}

int identity_request_make(
    const struct buffer *key, const char *name, struct buffer *request, struct err *err)
{
	EVP_PKEY *pair = pem_key(key);
	X509_REQ *r = X509_REQ_new();
	int ok = pair && r && name_add(X509_REQ_get_subject_name(r), "CN", name) &&
		 X509_REQ_set_pubkey(r, pair) && X509_REQ_sign(r, pair, EVP_sha256()) &&
		 pem_request_print(r, request);
	int rv = ok ? 0 : fail(err, "make a certificate request");
	X509_REQ_free(r);
	EVP_PKEY_free(pair);
	return rv;
}

static bool key_is_p256(const EVP_PKEY *key)
{
	char group[32] = "";
	return key && EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) &&
	       strcmp(group, "prime256v1") == 0;
}

static int node_fill(X509 *node, const struct identity_signing *signing, X509 *ca, EVP_PKEY *key)
{
	const struct identity *who = &signing->identity;
	char uri[96];
	snprintf(uri, sizeof(uri), "URI:pvc:%s/node/%" PRIu64, who->cluster, who->id);
	X509_NAME *subject = X509_get_subject_name(node);
	return name_add(subject, "O", who->cluster) && name_add(subject, "CN", who->name) &&
	       X509_set_issuer_name(node, X509_get_subject_name(ca)) &&
	       extension_add(node, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	       extension_add(node, ca, NID_key_usage, "critical,digitalSignature") &&
	       extension_add(node, ca, NID_ext_key_usage, "serverAuth,clientAuth") &&
	       extension_add(node, ca, NID_subject_key_identifier, "hash") &&
	       extension_add(node, ca, NID_authority_key_identifier, "keyid:always") &&
	       extension_add(node, ca, NID_subject_alt_name, uri) &&
	       X509_sign(node, key, EVP_sha256());
}

static int signing_check(
    const struct identity_signing *signing, X509 *ca, EVP_PKEY *ca_key, struct err *err)
{
	const struct identity *who = &signing->identity;
	if (!uuid_valid(who->cluster) || who->id == 0 || who->name[0] == '\0')
		return err_set(err, -EINVAL, "a certificate needs a cluster, an id and a name");
	if (!ca || !ca_key)
		return fail(err, "read the cluster's CA");
	if (X509_check_private_key(ca, ca_key) != 1)
		return fail(err, "the CA's key is not of the CA's certificate");
	return 0;
}

static int time_parse(const ASN1_TIME *time, int64_t *seconds)
{
	struct tm parts;
	if (!ASN1_TIME_to_tm(time, &parts))
		return 0;
	*seconds = timegm(&parts);
	return 1;
}

/* Now, but not before the authority was made: then the clock is wrong. */
static time_t signing_time(X509 *ca)
{
	int64_t from_s = 0, now_s = time(NULL);
	time_parse(X509_get0_notBefore(ca), &from_s);
	return now_s < from_s ? from_s + DAY_S : now_s;
}

static int request_sign(const struct identity_signing *signing, X509_REQ *request,
    struct buffer *certificate, struct err *err)
{
	X509 *ca = pem_certificate(
	    (const char *)signing->ca_certificate->data, signing->ca_certificate->size);
	EVP_PKEY *ca_key = pem_key(signing->ca_key);
	int rv = signing_check(signing, ca, ca_key, err);
	if (rv == 0) {
		X509 *node =
		    certificate_new(X509_REQ_get0_pubkey(request), signing->days, signing_time(ca));
		if (!node || !node_fill(node, signing, ca, ca_key) ||
		    !pem_certificate_print(node, certificate))
			rv = fail(err, "sign a certificate");
		X509_free(node);
	}
	EVP_PKEY_free(ca_key);
	X509_free(ca);
	return rv;
}

int identity_sign(const struct identity_signing *signing, const char *request, size_t size,
    struct buffer *certificate, struct err *err)
{
	X509_REQ *r = pem_request(request, size);
	int rv;
	if (!r)
		rv = fail(err, "read the certificate request");
	else if (!key_is_p256(X509_REQ_get0_pubkey(r)))
		rv = err_set(err, -EINVAL, "the certificate request's key is not EC P-256");
	else if (X509_REQ_verify(r, X509_REQ_get0_pubkey(r)) != 1)
		rv = fail(err, "the certificate request is not signed by its own key");
	else
		rv = request_sign(signing, r, certificate, err);
	X509_REQ_free(r);
	ERR_clear_error();
	return rv;
}

/* --- What a certificate says --- */

static int uri_parse(const char *uri, size_t size, struct identity *identity)
{
	static const char node[] = "/node/";
	const size_t uuid_end = 4 + IDENTITY_UUID_SIZE - 1, id_at = uuid_end + sizeof(node) - 1;
	if (size <= id_at || size > id_at + 20 || memcmp(uri, "pvc:", 4) != 0 ||
	    memcmp(uri + uuid_end, node, sizeof(node) - 1) != 0)
		return -EBADMSG;
	memcpy(identity->cluster, uri + 4, IDENTITY_UUID_SIZE - 1);
	identity->cluster[IDENTITY_UUID_SIZE - 1] = '\0';
	if (!uuid_valid(identity->cluster) || uri[id_at] == '0')
		return -EBADMSG;
	uint64_t id = 0;
	for (size_t i = id_at; i < size; i++) {
		if (uri[i] < '0' || uri[i] > '9' || __builtin_mul_overflow(id, 10, &id) ||
		    __builtin_add_overflow(id, (uint64_t)(uri[i] - '0'), &id))
			return -EBADMSG;
	}
	identity->id = id;
	return 0;
}

static int names_parse(const GENERAL_NAMES *names, struct identity *identity)
{
	if (sk_GENERAL_NAME_num(names) != 1)
		return -EBADMSG;
	const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 0);
	if (name->type != GEN_URI)
		return -EBADMSG;
	const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
	return uri_parse(
	    (const char *)ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri), identity);
}

static int common_name_parse(X509 *certificate, char name[IDENTITY_NAME_SIZE])
{
	int n = X509_NAME_get_text_by_NID(
	    X509_get_subject_name(certificate), NID_commonName, name, IDENTITY_NAME_SIZE);
	return n > 0 && strlen(name) == (size_t)n ? 0 : -EBADMSG;
}

static int certificate_read(X509 *certificate, struct identity *identity, struct err *err)
{
	*identity = (struct identity){0};
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	int rv = names ? names_parse(names, identity) : -EBADMSG;
	GENERAL_NAMES_free(names);
	if (rv == 0)
		rv = common_name_parse(certificate, identity->name);
	ERR_clear_error();
	return rv == 0 ? 0 : err_set(err, rv, "the certificate is not of a node of a cluster");
}

int identity_read(const char *pem, size_t size, struct identity *identity, struct err *err)
{
	X509 *certificate = pem_certificate(pem, size);
	if (!certificate)
		return fail(err, "read a certificate");
	int rv = certificate_read(certificate, identity, err);
	X509_free(certificate);
	return rv;
}

int identity_read_der(const uint8_t *der, size_t size, struct identity *identity, struct err *err)
{
	X509 *certificate = d2i_X509(NULL, &der, (long)size);
	if (!certificate)
		return fail(err, "read a certificate");
	int rv = certificate_read(certificate, identity, err);
	X509_free(certificate);
	return rv;
}

int identity_validity(
    const char *pem, size_t size, struct identity_validity *validity, struct err *err)
{
	X509 *certificate = pem_certificate(pem, size);
	int ok = certificate && time_parse(X509_get0_notBefore(certificate), &validity->from_s) &&
		 time_parse(X509_get0_notAfter(certificate), &validity->until_s);
	X509_free(certificate);
	return ok ? 0 : fail(err, "read a certificate's validity");
}

int identity_fingerprint(const char *pem, size_t size, char hex[IDENTITY_HEX_SIZE], struct err *err)
{
	X509 *certificate = pem_certificate(pem, size);
	uint8_t digest[32];
	unsigned n = sizeof(digest);
	if (!certificate || !X509_digest(certificate, EVP_sha256(), digest, &n)) {
		X509_free(certificate);
		return fail(err, "read a certificate");
	}
	X509_free(certificate);
	hex_print(digest, sizeof(digest), hex);
	return 0;
}

/* NULL: no key. */
static bool key_incarnation(const EVP_PKEY *key, char incarnation[IDENTITY_INCARNATION_SIZE])
{
	unsigned char *der = NULL;
	uint8_t digest[32];
	int length = key ? i2d_PUBKEY(key, &der) : -1;
	if (length > 0) {
		identity_sha256(der, (size_t)length, digest);
		hex_print(digest, (IDENTITY_INCARNATION_SIZE - 1) / 2, incarnation);
	}
	OPENSSL_free(der);
	return length > 0;
}

int identity_incarnation_der(
    const uint8_t *der, size_t size, char incarnation[IDENTITY_INCARNATION_SIZE], struct err *err)
{
	X509 *certificate = d2i_X509(NULL, &der, (long)size);
	bool known = certificate && key_incarnation(X509_get0_pubkey(certificate), incarnation);
	X509_free(certificate);
	return known ? 0 : fail(err, "read a certificate's key");
}

int identity_incarnation(
    const char *pem, size_t size, char incarnation[IDENTITY_INCARNATION_SIZE], struct err *err)
{
	X509 *certificate = pem_certificate(pem, size);
	X509_REQ *request = certificate ? NULL : pem_request(pem, size);
	EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate)
			: request   ? X509_REQ_get0_pubkey(request)
				    : NULL;
	int rv = 0;
	if (!key_incarnation(key, incarnation))
		rv = fail(err, "read a certificate or request");
	X509_REQ_free(request);
	X509_free(certificate);
	ERR_clear_error();
	return rv;
}
