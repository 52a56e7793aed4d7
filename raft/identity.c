#include "raft/identity.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define FILE_SIZE_MAX 65536

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

void identity_wipe(struct buffer *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->capacity);
	buffer_close(b);
}

void identity_files_close(struct identity_files *files)
{
	buffer_close(&files->ca_certificate);
	buffer_close(&files->certificate);
	identity_wipe(&files->ca_key);
	identity_wipe(&files->key);
}

/* --- PEM in and out --- */

static void bio_drain(BIO *bio, struct buffer *out)
{
	char *data;
	long size = BIO_get_mem_data(bio, &data);
	buffer_append(out, data, (size_t)size);
}

static BIO *bio_of(const void *bytes, size_t size)
{
	BIO *bio = size > 0 && size <= INT_MAX ? BIO_new_mem_buf(bytes, (int)size) : NULL;
	return bio;
}

/* A key with a pass phrase must not make a daemon ask for it on its terminal. */
static int no_pass_phrase(char *buffer, int size, int writing, void *data)
{
	return -1;
}

static X509 *certificate_parse(const char *pem, size_t size)
{
	BIO *bio = bio_of(pem, size);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL) : NULL;
	BIO_free(bio);
	return certificate;
}

static X509_REQ *request_parse(const char *pem, size_t size)
{
	BIO *bio = bio_of(pem, size);
	X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_pass_phrase, NULL) : NULL;
	BIO_free(bio);
	return request;
}

static EVP_PKEY *key_parse(const struct buffer *pem)
{
	BIO *bio = bio_of(pem->data, pem->size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
	BIO_free(bio);
	return key;
}

static int certificate_print(X509 *certificate, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int ok = bio && PEM_write_bio_X509(bio, certificate);
	if (ok)
		bio_drain(bio, out);
	BIO_free(bio);
	return ok;
}

static int key_print(EVP_PKEY *key, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	int ok = bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	if (ok)
		bio_drain(bio, out);
	BIO_free(bio);
	return ok;
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
static X509 *certificate_new(EVP_PKEY *key, int days)
{
	X509 *certificate = X509_new();
	int ok =
	    certificate && X509_set_version(certificate, X509_VERSION_3) &&
	    serial_set(certificate) &&
	    X509_time_adj_ex(X509_getm_notBefore(certificate), days < 0 ? days - 1 : -1, 0, NULL) &&
	    X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, NULL) &&
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
	X509 *ca = pair ? certificate_new(pair, IDENTITY_CA_DAYS) : NULL;
	int rv = 0;
	if (!ca || !ca_fill(ca, pair, cluster) || !key_print(pair, &key_text) ||
	    !certificate_print(ca, certificate))
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
	int rv = pair && key_print(pair, key) ? 0 : fail(err, "make a key");
	EVP_PKEY_free(pair);
	return rv;
}

static int request_print(X509_REQ *request, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int ok = bio && PEM_write_bio_X509_REQ(bio, request);
	if (ok)
		bio_drain(bio, out);
	BIO_free(bio);
	return ok;
}

int identity_request_make(
    const struct buffer *key, const char *name, struct buffer *request, struct err *err)
{
	EVP_PKEY *pair = key_parse(key);
	X509_REQ *r = X509_REQ_new();
	int ok = pair && r && name_add(X509_REQ_get_subject_name(r), "CN", name) &&
		 X509_REQ_set_pubkey(r, pair) && X509_REQ_sign(r, pair, EVP_sha256()) &&
		 request_print(r, request);
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

static int request_sign(const struct identity_signing *signing, X509_REQ *request,
    struct buffer *certificate, struct err *err)
{
	X509 *ca = certificate_parse(
	    (const char *)signing->ca_certificate->data, signing->ca_certificate->size);
	EVP_PKEY *ca_key = key_parse(signing->ca_key);
	int rv = signing_check(signing, ca, ca_key, err);
	if (rv == 0) {
		X509 *node = certificate_new(X509_REQ_get0_pubkey(request), signing->days);
		if (!node || !node_fill(node, signing, ca, ca_key) ||
		    !certificate_print(node, certificate))
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
	X509_REQ *r = request_parse(request, size);
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
	X509 *certificate = certificate_parse(pem, size);
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

int identity_fingerprint(const char *pem, size_t size, char hex[IDENTITY_HEX_SIZE], struct err *err)
{
	X509 *certificate = certificate_parse(pem, size);
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

int identity_incarnation(
    const char *pem, size_t size, char incarnation[IDENTITY_INCARNATION_SIZE], struct err *err)
{
	X509 *certificate = certificate_parse(pem, size);
	X509_REQ *request = certificate ? NULL : request_parse(pem, size);
	EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate)
			: request   ? X509_REQ_get0_pubkey(request)
				    : NULL;
	unsigned char *der = NULL;
	int length = key ? i2d_PUBKEY(key, &der) : -1;
	int rv = 0;
	if (length > 0) {
		uint8_t digest[32];
		identity_sha256(der, (size_t)length, digest);
		hex_print(digest, (IDENTITY_INCARNATION_SIZE - 1) / 2, incarnation);
	} else {
		rv = fail(err, "read a certificate or request");
	}
	OPENSSL_free(der);
	X509_REQ_free(request);
	X509_free(certificate);
	ERR_clear_error();
	return rv;
}

/* --- Checking a whole set --- */

static int chain_check(X509 *ca, X509 *node, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int rv = 0;
	if (!store || !context || !X509_STORE_add_cert(store, ca) ||
	    !X509_STORE_CTX_init(context, store, node, NULL))
		rv = fail(err, "check node.crt");
	else if (X509_verify_cert(context) != 1)
		rv = err_set(err, -EBADMSG, "node.crt is not valid for the CA in ca.crt: %s",
		    X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return rv;
}

static int ca_key_check(const struct identity_files *files, X509 *ca, struct err *err)
{
	if (files->ca_key.size == 0)
		return 0;
	EVP_PKEY *key = key_parse(&files->ca_key);
	int rv = 0;
	if (!key || X509_check_private_key(ca, key) != 1)
		rv = err_set(err, -EBADMSG, "ca.key is not the key of ca.crt");
	EVP_PKEY_free(key);
	return rv;
}

int identity_check(const struct identity_files *files, struct identity *identity, struct err *err)
{
	struct identity said;
	X509 *ca =
	    certificate_parse((const char *)files->ca_certificate.data, files->ca_certificate.size);
	X509 *node =
	    certificate_parse((const char *)files->certificate.data, files->certificate.size);
	EVP_PKEY *key = key_parse(&files->key);
	int rv;
	if (!ca || !node || !key)
		rv = err_set(err, -EBADMSG, "%s is not PEM of a %s",
		    !ca	    ? "ca.crt"
		    : !node ? "node.crt"
			    : "node.key",
		    !ca || !node ? "certificate" : "private key");
	else if (X509_check_private_key(node, key) != 1)
		rv = err_set(err, -EBADMSG, "node.key is not the key of node.crt");
	else if ((rv = chain_check(ca, node, err)) == 0 &&
		 (rv = certificate_read(node, &said, err)) == 0)
		rv = ca_key_check(files, ca, err);
	if (rv == 0 && identity)
		*identity = said;
	EVP_PKEY_free(key);
	X509_free(node);
	X509_free(ca);
	ERR_clear_error();
	return rv;
}

/* --- Files --- */

enum need { OPTIONAL, REQUIRED };

struct file {
	const char *name;
	mode_t forbidden; /* bits of its mode that must not be set */
	enum need need;
	struct buffer *content;
};
#define FILES 4

static void files_list(struct identity_files *files, struct file list[FILES])
{
	list[0] = (struct file){"ca.crt", 0022, REQUIRED, &files->ca_certificate};
	list[1] = (struct file){"ca.key", 0077, OPTIONAL, &files->ca_key};
	list[2] = (struct file){"node.crt", 0022, REQUIRED, &files->certificate};
	list[3] = (struct file){"node.key", 0077, REQUIRED, &files->key};
}

static int file_read_open(int fd, const struct file *f, const char *path, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > FILE_SIZE_MAX)
		return err_set(
		    err, -EBADMSG, "%s: not a file of 1 to %d bytes", path, FILE_SIZE_MAX);
	if (st.st_mode & f->forbidden)
		return err_set(err, -EPERM, "%s: mode is %04o, must be %s", path,
		    (unsigned)(st.st_mode & 07777), f->forbidden == 0077 ? "0600" : "0644");
	uint8_t *bytes = must_alloc((size_t)st.st_size);
	ssize_t n = read(fd, bytes, (size_t)st.st_size);
	if (n == st.st_size)
		buffer_append(f->content, bytes, (size_t)n);
	OPENSSL_cleanse(bytes, (size_t)st.st_size);
	free(bytes);
	return n == st.st_size ? 0 : err_set(err, -EIO, "%s: cannot be read whole", path);
}

static int file_read(const char *directory, const struct file *f, struct err *err)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", directory, f->name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT && f->need == OPTIONAL)
		return 0;
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	int rv = file_read_open(fd, f, path, err);
	close(fd);
	return rv;
}

int identity_load(
    const char *directory, struct identity_files *files, struct identity *identity, struct err *err)
{
	struct file list[FILES];
	*files = (struct identity_files){0};
	files_list(files, list);
	int rv = 0;
	for (int i = 0; i < FILES && rv == 0; i++)
		rv = file_read(directory, &list[i], err);
	if (rv == 0) {
		rv = identity_check(files, identity, err);
		if (rv < 0)
			err_wrap(err, rv, "%s", directory);
	}
	if (rv < 0)
		identity_files_close(files);
	return rv;
}

static int file_write(int dir, const struct file *f, struct err *err)
{
	mode_t mode = f->forbidden == 0077 ? 0600 : 0644;
	int fd = openat(dir, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", f->name, strerror(errno));
	int rv = 0;
	ssize_t n = write(fd, f->content->data, f->content->size);
	/* fchmod: the umask may have taken bits that must be there. */
	if (n != (ssize_t)f->content->size || fchmod(fd, mode) < 0 || fsync(fd) < 0)
		rv = err_set(err, n < 0 || errno ? -errno : -ENOSPC, "%s: cannot be written: %s",
		    f->name, strerror(errno ? errno : ENOSPC));
	close(fd);
	return rv;
}

static int files_write(const char *directory, struct file list[FILES], struct err *err)
{
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	int rv = 0;
	for (int i = 0; i < FILES && rv == 0; i++) {
		/* Left over from an attempt that was cut short; nobody has read it. */
		if (unlinkat(dir, list[i].name, 0) < 0 && errno != ENOENT)
			rv = err_set(err, -errno, "%s: %s", list[i].name, strerror(errno));
		errno = 0;
		if (rv == 0 && list[i].content->size > 0)
			rv = file_write(dir, &list[i], err);
	}
	if (rv == 0 && fsync(dir) < 0)
		rv = err_set(err, -errno, "%s", strerror(errno));
	close(dir);
	return rv;
}

static int parent_sync(const char *directory)
{
	char parent[PATH_MAX];
	snprintf(parent, sizeof(parent), "%s", directory);
	char *slash = strrchr(parent, '/');
	if (slash)
		*slash = '\0';
	int fd = open(!slash ? "." : parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rv = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return rv;
}

int identity_save(const char *directory, const struct identity_files *files, struct err *err)
{
	char new[PATH_MAX];
	struct file list[FILES];
	files_list((struct identity_files *)files, list);
	if (snprintf(new, sizeof(new), "%s.new", directory) >= (int)sizeof(new))
		return err_set(err, -ENAMETOOLONG, "%s: the name is too long", directory);
	if (access(directory, F_OK) == 0)
		return err_set(
		    err, -EEXIST, "%s: is there already, and is left as it is", directory);
	if (mkdir(new, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "%s: %s", new, strerror(errno));
	int rv = files_write(new, list, err);
	if (rv < 0)
		return err_wrap(err, rv, "%s", new);
	if (rename(new, directory) < 0)
		return err_set(err, -errno, "%s: %s", directory, strerror(errno));
	rv = parent_sync(directory);
	return rv < 0 ? err_set(err, rv, "%s: %s", directory, strerror(-rv)) : 0;
}
