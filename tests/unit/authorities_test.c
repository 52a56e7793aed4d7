/* Several CAs in one directory: what is trusted, who signs, and files that are replaced. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/authority.h"

static struct issuer old, new;
static struct identity_files files; /* of node 2, by the old one; both are trusted */
static struct err err;

static void append(struct buffer *to, const struct buffer *from)
{
	buffer_append(to, from->data, from->size);
}

static int setup(void **state)
{
	authority_open(&old);
	authority_open(&new);
	files = authority_admit(&old, 2, old.cluster, 30);
	append(&files.ca_key, &old.key);
	append(&files.ca_certificate, &new.certificate);
	append(&files.ca_key, &new.key);
	return 0;
}

static int teardown(void **state)
{
	identity_files_close(&files);
	authority_close(&old);
	authority_close(&new);
	return 0;
}

static void every_authority_of_the_file_is_told(void **state)
{
	struct identity_authority list[IDENTITY_AUTHORITIES_MAX];
	assert_int_equal(identity_check(&files, NULL, &err), 0);
	assert_int_equal(identity_authorities(&files, list), 2);
	assert_string_equal(list[0].fingerprint, old.fingerprint);
	assert_string_equal(list[1].fingerprint, new.fingerprint);
	assert_true(list[0].signer && !list[1].signer);
	assert_true(list[0].key && list[1].key);
	files.ca_key.size = 0;
	append(&files.ca_key, &new.key);
	assert_int_equal(identity_authorities(&files, list), 2);
	assert_true(!list[0].key && list[1].key);
}

static void one_of_them_can_be_taken_out_with_its_key(void **state)
{
	struct buffer certificate = {0}, key = {0};
	assert_int_equal(identity_authority_get(&files, new.fingerprint, &certificate, &key), 0);
	assert_int_equal(certificate.size, new.certificate.size);
	assert_memory_equal(certificate.data, new.certificate.data, certificate.size);
	assert_memory_equal(key.data, new.key.data, new.key.size);
	assert_int_equal(identity_authority_get(&files, "0123", &certificate, NULL), -ENOENT);
	identity_authority_drop(&files, new.fingerprint);
	assert_int_equal(files.ca_certificate.size, old.certificate.size);
	assert_int_equal(files.ca_key.size, old.key.size);
	assert_int_equal(identity_check(&files, NULL, &err), 0);
	/* Without the one that signed its certificate a node is nobody. */
	identity_authority_drop(&files, old.fingerprint);
	assert_int_equal(identity_check(&files, NULL, &err), -EBADMSG);
	buffer_close(&certificate);
	buffer_close(&key);
}

static void a_key_of_no_authority_and_garbage_behind_one_are_refused(void **state)
{
	struct issuer other;
	authority_open(&other);
	append(&files.ca_key, &other.key);
	assert_int_equal(identity_check(&files, NULL, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "ca.key is not the key of ca.crt"));
	files.ca_key.size = old.key.size;
	static const char garbage[] =
	    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	buffer_append(&files.ca_certificate, garbage, sizeof(garbage) - 1);
	assert_int_equal(identity_check(&files, NULL, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "ca.crt is not PEM"));
	authority_close(&other);
}

static void too_many_authorities_are_refused(void **state)
{
	for (int i = 0; i < IDENTITY_AUTHORITIES_MAX - 2; i++)
		append(&files.ca_certificate, &new.certificate);
	assert_int_equal(identity_check(&files, NULL, &err), 0);
	append(&files.ca_certificate, &new.certificate);
	assert_int_equal(identity_check(&files, NULL, &err), -EBADMSG);
}

static void a_validity_is_read_as_it_was_signed(void **state)
{
	struct identity_validity v;
	int64_t now_s = time(NULL), day_s = 86400;
	assert_int_equal(
	    identity_validity((char *)files.certificate.data, files.certificate.size, &v, &err), 0);
	assert_in_range(v.from_s, now_s - day_s - 60, now_s - day_s);
	assert_in_range(v.until_s, now_s + 30 * day_s - 60, now_s + 30 * day_s);
	assert_int_equal(identity_validity("no", 2, &v, &err), -EBADMSG);
}

static void a_file_is_replaced_whole_and_with_its_mode(void **state)
{
	char home[] = "/tmp/pvc-replace-XXXXXX", directory[64], path[96];
	struct identity_files read;
	struct stat st;
	assert_non_null(mkdtemp(home));
	snprintf(directory, sizeof(directory), "%s/identity", home);
	assert_int_equal(identity_save(directory, &files, &err), 0);
	identity_authority_drop(&files, new.fingerprint);
	assert_int_equal(identity_replace(directory, &files, IDENTITY_CA_KEY, &err), 0);
	/* Half way: the key is gone, its certificate is still trusted. */
	assert_int_equal(identity_load(directory, &read, NULL, &err), 0);
	assert_int_equal(read.ca_key.size, old.key.size);
	assert_true(read.ca_certificate.size > files.ca_certificate.size);
	identity_files_close(&read);
	assert_int_equal(identity_replace(directory, &files, IDENTITY_CA_CERTIFICATE, &err), 0);
	assert_int_equal(identity_load(directory, &read, NULL, &err), 0);
	assert_int_equal(read.ca_certificate.size, files.ca_certificate.size);
	identity_files_close(&read);
	snprintf(path, sizeof(path), "%s/ca.key", directory);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Nothing to write: it goes. */
	files.ca_key.size = 0;
	assert_int_equal(identity_replace(directory, &files, IDENTITY_CA_KEY, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/ca.key.new", directory);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(identity_replace("/nowhere", &files, IDENTITY_CERTIFICATE, &err), -ENOENT);
	for (int i = 0; i < 4; i++) {
		static const char *const names[] = {"ca.crt", "node.crt", "node.key", "."};
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(rmdir(home), 0);
}

#define WITH_TWO(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_TWO(every_authority_of_the_file_is_told),
	    WITH_TWO(one_of_them_can_be_taken_out_with_its_key),
	    WITH_TWO(a_key_of_no_authority_and_garbage_behind_one_are_refused),
	    WITH_TWO(too_many_authorities_are_refused),
	    WITH_TWO(a_validity_is_read_as_it_was_signed),
	    WITH_TWO(a_file_is_replaced_whole_and_with_its_mode),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
