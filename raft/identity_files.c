#include "raft/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "raft/pem.h"

#define FILE_SIZE_MAX 65536

/* ca.crt and ca.key, read: the authorities that are trusted, and their keys. */
struct set {
	STACK_OF(X509) * certificates;
	EVP_PKEY *keys[IDENTITY_AUTHORITIES_MAX]; /* in the order of ca.key */
	int n_keys;
	X509 *node;
};

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

void identity_files_copy(struct identity_files *to, const struct identity_files *from)
{
	*to = (struct identity_files){0};
	buffer_append(&to->ca_certificate, from->ca_certificate.data, from->ca_certificate.size);
	buffer_append(&to->ca_key, from->ca_key.data, from->ca_key.size);
	buffer_append(&to->certificate, from->certificate.data, from->certificate.size);
	buffer_append(&to->key, from->key.data, from->key.size);
}

/* --- Authorities --- */

static void set_close(struct set *set)
{
	sk_X509_pop_free(set->certificates, X509_free);
	for (int i = 0; i < set->n_keys; i++)
		EVP_PKEY_free(set->keys[i]);
	X509_free(set->node);
	ERR_clear_error();
}

/* To be closed in each case. */
static int set_open(struct set *set, const struct identity_files *files, struct err *err)
{
	*set = (struct set){0};
	set->certificates = pem_certificates(&files->ca_certificate, IDENTITY_AUTHORITIES_MAX);
	set->node = pem_certificate((const char *)files->certificate.data, files->certificate.size);
	int n = pem_keys(&files->ca_key, set->keys, IDENTITY_AUTHORITIES_MAX);
	set->n_keys = n > 0 ? n : 0;
	if (!set->certificates)
		return err_set(err, -EBADMSG, "ca.crt is not PEM of a certificate");
	if (n < 0)
		return err_set(err, -EBADMSG, "ca.key is not PEM of a private key");
	return 0;
}

static EVP_PKEY *set_key_of(const struct set *set, X509 *ca)
{
	for (int i = 0; i < set->n_keys; i++)
		if (X509_check_private_key(ca, set->keys[i]) == 1)
			return set->keys[i];
	return NULL;
}

static X509 *set_certificate_of(const struct set *set, EVP_PKEY *key)
{
	for (int i = 0; i < sk_X509_num(set->certificates); i++)
		if (X509_check_private_key(sk_X509_value(set->certificates, i), key) == 1)
			return sk_X509_value(set->certificates, i);
	return NULL;
}

static int authority_read(const struct set *set, X509 *ca, struct identity_authority *a)
{
	struct buffer pem = {0};
	EVP_PKEY *key = X509_get0_pubkey(ca);
	int ok = pem_certificate_print(ca, &pem);
	*a = (struct identity_authority){
	    .key = set_key_of(set, ca),
	    .signer = set->node && key && X509_verify(set->node, key) == 1,
	};
	const char *text = (const char *)pem.data;
	ok = ok && identity_fingerprint(text, pem.size, a->fingerprint, NULL) == 0 &&
	     identity_validity(text, pem.size, &a->validity, NULL) == 0;
	buffer_close(&pem);
	return ok;
}

unsigned identity_authorities(
    const struct identity_files *files, struct identity_authority list[IDENTITY_AUTHORITIES_MAX])
{
	struct set set;
	unsigned n = 0;
	if (set_open(&set, files, NULL) == 0)
		for (int i = 0; i < sk_X509_num(set.certificates); i++)
			n += (unsigned)authority_read(
			    &set, sk_X509_value(set.certificates, i), &list[n]);
	set_close(&set);
	return n;
}

static bool is_authority(X509 *ca, const char *fingerprint)
{
	struct identity_authority a;
	struct set none = {0};
	return authority_read(&none, ca, &a) && strcmp(a.fingerprint, fingerprint) == 0;
}

int identity_authority_get(const struct identity_files *files, const char *fingerprint,
    struct buffer *certificate, struct buffer *key)
{
	struct set set;
	int rv = -ENOENT;
	set_open(&set, files, NULL);
	for (int i = 0; i < sk_X509_num(set.certificates) && rv; i++) {
		X509 *ca = sk_X509_value(set.certificates, i);
		if (!is_authority(ca, fingerprint))
			continue;
		EVP_PKEY *own = set_key_of(&set, ca);
		rv = pem_certificate_print(ca, certificate) ? 0 : -EBADMSG;
		if (key && own && !rv)
			rv = pem_key_print(own, key) ? 0 : -EBADMSG;
	}
	set_close(&set);
	return rv;
}

void identity_authority_drop(struct identity_files *files, const char *fingerprint)
{
	struct set set;
	struct buffer certificates = {0}, keys = {0};
	set_open(&set, files, NULL);
	for (int i = 0; i < sk_X509_num(set.certificates); i++) {
		X509 *ca = sk_X509_value(set.certificates, i);
		if (!is_authority(ca, fingerprint))
			pem_certificate_print(ca, &certificates);
	}
	for (int i = 0; i < set.n_keys; i++) {
		X509 *ca = set_certificate_of(&set, set.keys[i]);
		if (ca && !is_authority(ca, fingerprint))
			pem_key_print(set.keys[i], &keys);
	}
	set_close(&set);
	buffer_close(&files->ca_certificate);
	identity_wipe(&files->ca_key);
	files->ca_certificate = certificates;
	files->ca_key = keys;
}

/* --- Time --- */

void identity_clock_set(struct identity_clock *clock, const struct identity_files *files)
{
	struct identity_authority list[IDENTITY_AUTHORITIES_MAX];
	struct identity_validity own = {0};
	const struct buffer *pem = &files->certificate;
	unsigned n = identity_authorities(files, list);
	*clock = (struct identity_clock){.founded_s = n ? list[0].validity.from_s : 0};
	for (unsigned i = 1; i < n; i++)
		if (list[i].validity.from_s < clock->founded_s)
			clock->founded_s = list[i].validity.from_s;
	if (identity_validity((const char *)pem->data, pem->size, &own, NULL) == 0)
		clock->signed_s = own.from_s;
}

int64_t identity_clock_now(const struct identity_clock *clock, int64_t wall_s)
{
	return wall_s < clock->founded_s && wall_s < clock->signed_s ? clock->signed_s : wall_s;
}

/* --- Checking a whole set --- */

static int chain_refused(int why, struct err *err)
{
	return err_set(err, why == X509_V_ERR_CERT_HAS_EXPIRED ? -EKEYEXPIRED : -EBADMSG,
	    "node.crt is not valid for the CA in ca.crt: %s", X509_verify_cert_error_string(why));
}

static int chain_check(const struct set *set, int64_t now_s, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int rv = 0, ok = store && context;
	for (int i = 0; ok && i < sk_X509_num(set->certificates); i++)
		ok = X509_STORE_add_cert(store, sk_X509_value(set->certificates, i));
	if (!ok || !X509_STORE_CTX_init(context, store, set->node, NULL))
		rv = err_set(err, -EBADMSG, "check node.crt: out of memory");
	else if (pem_chain_verify(context, now_s) != 1)
		rv = chain_refused(X509_STORE_CTX_get_error(context), err);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return rv;
}

static int ca_keys_check(const struct set *set, struct err *err)
{
	for (int i = 0; i < set->n_keys; i++)
		if (!set_certificate_of(set, set->keys[i]))
			return err_set(err, -EBADMSG, "ca.key is not the key of ca.crt");
	return 0;
}

static int set_check(const struct set *set, const struct identity_files *files, struct err *err)
{
	EVP_PKEY *key = pem_key(&files->key);
	int rv = 0;
	if (!set->node)
		rv = err_set(err, -EBADMSG, "node.crt is not PEM of a certificate");
	else if (!key)
		rv = err_set(err, -EBADMSG, "node.key is not PEM of a private key");
	else if (X509_check_private_key(set->node, key) != 1)
		rv = err_set(err, -EBADMSG, "node.key is not the key of node.crt");
	EVP_PKEY_free(key);
	if (rv == 0)
		rv = ca_keys_check(set, err);
	struct identity_clock clock;
	identity_clock_set(&clock, files);
	/* Last: nothing else may be wrong where that is the answer. */
	return rv ? rv : chain_check(set, identity_clock_now(&clock, (int64_t)time(NULL)), err);
}

int identity_check(const struct identity_files *files, struct identity *identity, struct err *err)
{
	struct set set;
	struct identity said;
	int rv = set_open(&set, files, err);
	if (rv == 0)
		rv = set_check(&set, files, err);
	set_close(&set);
	if (rv && rv != -EKEYEXPIRED)
		return rv;
	int read = identity_read(
	    (const char *)files->certificate.data, files->certificate.size, &said, rv ? NULL : err);
	if (!read && identity)
		*identity = said;
	return read ? read : rv;
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
	list[IDENTITY_CA_CERTIFICATE] =
	    (struct file){"ca.crt", 0022, REQUIRED, &files->ca_certificate};
	list[IDENTITY_CA_KEY] = (struct file){"ca.key", 0077, OPTIONAL, &files->ca_key};
	list[IDENTITY_CERTIFICATE] = (struct file){"node.crt", 0022, REQUIRED, &files->certificate};
	list[IDENTITY_KEY] = (struct file){"node.key", 0077, REQUIRED, &files->key};
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
	/* A pipe is no file of ours, and not to be waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT && f->need == OPTIONAL)
		return 0;
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	int rv = file_read_open(fd, f, path, err);
	close(fd);
	return rv;
}

int identity_read_files(const char *directory, struct identity_files *files, struct err *err)
{
	struct file list[FILES];
	*files = (struct identity_files){0};
	files_list(files, list);
	int rv = 0;
	for (int i = 0; i < FILES && rv == 0; i++)
		rv = file_read(directory, &list[i], err);
	if (rv < 0)
		identity_files_close(files);
	return rv;
}

int identity_load(
    const char *directory, struct identity_files *files, struct identity *identity, struct err *err)
{
	int rv = identity_read_files(directory, files, err);
	if (rv < 0)
		return rv;
	rv = identity_check(files, identity, err);
	if (rv < 0)
		err_wrap(err, rv, "%s", directory);
	if (rv < 0 && rv != -EKEYEXPIRED)
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

int identity_replace(const char *directory, const struct identity_files *files,
    enum identity_part part, struct err *err)
{
	struct file list[FILES], new;
	char temporary[32];
	files_list((struct identity_files *)files, list);
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, -errno, "%s: %s", directory, strerror(errno));
	int rv = 0;
	new = list[part];
	snprintf(temporary, sizeof(temporary), "%s.new", list[part].name);
	new.name = temporary;
	unlinkat(dir, temporary, 0);
	errno = 0;
	if (new.content->size > 0)
		rv = file_write(dir, &new, err);
	if (rv == 0 && new.content->size > 0 && renameat(dir, temporary, dir, list[part].name) < 0)
		rv = err_set(err, -errno, "%s: %s", list[part].name, strerror(errno));
	if (new.content->size == 0 && unlinkat(dir, list[part].name, 0) < 0 && errno != ENOENT)
		rv = err_set(err, -errno, "%s: %s", list[part].name, strerror(errno));
	if (rv == 0 && fsync(dir) < 0)
		rv = err_set(err, -errno, "%s", strerror(errno));
	close(dir);
	return rv < 0 ? err_wrap(err, rv, "%s", directory) : 0;
}
