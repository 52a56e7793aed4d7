#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/authority.h"

static char home[64], directory[96];

static int home_make(void **state)
{
	snprintf(home, sizeof(home), "/tmp/pvc-identity-XXXXXX");
	assert_non_null(mkdtemp(home));
	snprintf(directory, sizeof(directory), "%s/identity", home);
	return 0;
}

static void files_remove(const char *where)
{
	static const char *const names[] = {"ca.crt", "ca.key", "node.crt", "node.key"};
	char path[160];
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", where, names[i]);
		unlink(path);
	}
	rmdir(where);
}

static int home_remove(void **state)
{
	char new[128];
	snprintf(new, sizeof(new), "%s.new", directory);
	files_remove(directory);
	files_remove(new);
	return rmdir(home);
}

static const char *path_of(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void what_was_saved_is_loaded_and_says_who_it_is(void **state)
{
	struct issuer a;
	struct err err;
	struct identity identity;
	struct identity_files read;
	authority_open(&a);
	struct identity_files files = authority_admit(&a, 7, a.cluster, 365);
	buffer_append(&files.ca_key, a.key.data, a.key.size);
	assert_int_equal(identity_save(directory, &files, &err), 0);
	assert_int_equal(identity_load(directory, &read, &identity, &err), 0);
	assert_int_equal(identity.id, 7);
	assert_string_equal(identity.cluster, a.cluster);
	assert_string_equal(identity.name, "node7");
	assert_int_equal(read.ca_key.size, a.key.size);
	struct stat st;
	assert_int_equal(stat(path_of("node.key"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(path_of("node.crt"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	identity_files_close(&read);
	identity_files_close(&files);
	authority_close(&a);
}

static void saving_twice_destroys_nothing(void **state)
{
	struct issuer a, b;
	struct err err;
	struct identity identity;
	struct identity_files read;
	authority_open(&a);
	authority_open(&b);
	struct identity_files first = authority_admit(&a, 1, a.cluster, 365);
	struct identity_files second = authority_admit(&b, 2, b.cluster, 365);
	assert_int_equal(identity_save(directory, &first, &err), 0);
	assert_int_equal(identity_save(directory, &second, &err), -EEXIST);
	assert_non_null(strstr(err.text, "left as it is"));
	assert_int_equal(identity_load(directory, &read, &identity, &err), 0);
	assert_int_equal(identity.id, 1);
	identity_files_close(&read);
	identity_files_close(&first);
	identity_files_close(&second);
	authority_close(&a);
	authority_close(&b);
}

static void a_key_that_others_can_read_is_refused_by_name(void **state)
{
	struct issuer a;
	struct err err;
	struct identity_files read;
	char expected[256];
	authority_open(&a);
	struct identity_files files = authority_admit(&a, 1, a.cluster, 365);
	assert_int_equal(identity_save(directory, &files, &err), 0);
	assert_int_equal(chmod(path_of("node.key"), 0644), 0);
	assert_int_equal(identity_load(directory, &read, NULL, &err), -EPERM);
	snprintf(expected, sizeof(expected), "%s: mode is 0644, must be 0600", path_of("node.key"));
	assert_string_equal(err.text, expected);
	assert_null(read.key.data);
	identity_files_close(&files);
	authority_close(&a);
}

static void a_missing_or_empty_file_is_named(void **state)
{
	struct issuer a;
	struct err err;
	struct identity_files read;
	assert_int_equal(identity_load(directory, &read, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.text, "ca.crt"));
	authority_open(&a);
	struct identity_files files = authority_admit(&a, 1, a.cluster, 365);
	assert_int_equal(identity_save(directory, &files, &err), 0);
	assert_int_equal(truncate(path_of("node.crt"), 0), 0);
	assert_int_equal(identity_load(directory, &read, NULL, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "node.crt"));
	identity_files_close(&files);
	authority_close(&a);
}

static void check_says(struct identity_files *files, const char *what)
{
	struct err err = {""};
	/* One that has expired can be helped: it is told from the others. */
	bool expired = strcmp(what, "expired") == 0;
	assert_int_equal(identity_check(files, NULL, &err), expired ? -EKEYEXPIRED : -EBADMSG);
	if (!strstr(err.text, what))
		fail_msg("'%s' does not say '%s'", err.text, what);
	identity_files_close(files);
}

static void files_that_do_not_fit_each_other_are_refused(void **state)
{
	struct issuer a, b;
	authority_open(&a);
	authority_open(&b);
	struct identity_files own = authority_admit(&a, 1, a.cluster, 365);
	struct identity_files mixed = authority_admit(&b, 2, b.cluster, 365);

	mixed.ca_certificate.size = 0;
	buffer_append(&mixed.ca_certificate, a.certificate.data, a.certificate.size);
	check_says(&mixed, "not valid for the CA");

	mixed = authority_admit(&a, 2, a.cluster, 365);
	mixed.key.size = 0;
	buffer_append(&mixed.key, own.key.data, own.key.size);
	check_says(&mixed, "node.key is not the key of node.crt");

	mixed = authority_admit(&a, 2, a.cluster, 365);
	buffer_append(&mixed.ca_key, b.key.data, b.key.size);
	check_says(&mixed, "ca.key is not the key of ca.crt");

	mixed = authority_admit(&a, 2, a.cluster, -2);
	check_says(&mixed, "expired");

	mixed = authority_admit(&a, 2, a.cluster, 365);
	mixed.certificate.size = 0;
	buffer_append(&mixed.certificate, "garbage", 7);
	check_says(&mixed, "node.crt is not PEM");

	identity_files_close(&own);
	authority_close(&a);
	authority_close(&b);
}

static void a_ca_is_no_node(void **state)
{
	struct issuer a;
	struct identity identity;
	struct err err;
	authority_open(&a);
	assert_int_equal(
	    identity_read((char *)a.certificate.data, a.certificate.size, &identity, &err),
	    -EBADMSG);
	authority_close(&a);
}

static void what_is_no_request_is_not_signed(void **state)
{
	struct issuer a;
	struct err err;
	struct buffer key = {0}, request = {0}, out = {0};
	authority_open(&a);
	struct identity_signing signing = {&a.certificate, &a.key, {.id = 1, .name = "n"}, 365};
	snprintf(signing.identity.cluster, sizeof(signing.identity.cluster), "%s", a.cluster);
	assert_int_equal(identity_sign(&signing, "x", 1, &out, &err), -EBADMSG);
	assert_int_equal(identity_sign(&signing, "", 0, &out, &err), -EBADMSG);
	assert_int_equal(identity_key_make(&key, &err), 0);
	assert_int_equal(identity_request_make(&key, "n", &request, &err), 0);
	/* A request whose signature no longer fits. */
	char *text = (char *)request.data + request.size - 60;
	*text = *text == 'A' ? 'B' : 'A';
	assert_true(identity_sign(&signing, (char *)request.data, request.size, &out, &err) < 0);
	*text = 'A';
	request.size = 0;
	assert_int_equal(identity_request_make(&key, "n", &request, &err), 0);
	signing.identity.id = 0;
	assert_int_equal(
	    identity_sign(&signing, (char *)request.data, request.size, &out, &err), -EINVAL);
	assert_int_equal(out.size, 0);
	buffer_close(&key);
	buffer_close(&request);
	authority_close(&a);
}

static void another_kind_of_key_is_not_signed(void **state)
{
	/* openssl req -new -newkey rsa:1024 -subj /CN=n */
	static const char rsa[] =
	    "-----BEGIN CERTIFICATE REQUEST-----\n"
	    "MIIBSzCBtQIBADAMMQowCAYDVQQDDAFuMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCB\n"
	    "iQKBgQCeHTn3RSPkyLxnp5KoOC9ny0JFtvXMzsJcg832WYDbxvnn0YquBN8m/L/Y\n"
	    "YTX/z8doj8uGURxm3Gp7GJEvy9LTrqh9vpcjlzrO29C9a8CyGoYUwZ+uAnw8UZHq\n"
	    "JbEuQSwk8AAGWKGsFwtlsZ0WP1kIv4yxWBXBWy8UB64Zj/l69wIDAQABoAAwDQYJ\n"
	    "KoZIhvcNAQELBQADgYEAKk0lBc27cjYDafMYF5u5kZiHpVr5f9ry9LOIdKvF36Ug\n"
	    "1gGS0xZJaMdobmPPoDk9eVl9AVr0CO0A5E1rpEHf6zwImLkjHe4oDB+kjnL4elvA\n"
	    "OBAlnkJO1xIHiegUP7JpuyGTHR15VbnT6ZZr4cPflOJ7/57ut7eKDrZnS/J7kSg=\n"
	    "-----END CERTIFICATE REQUEST-----\n";
	struct issuer a;
	struct err err;
	struct buffer out = {0};
	authority_open(&a);
	struct identity_signing signing = {&a.certificate, &a.key, {.id = 1, .name = "n"}, 365};
	snprintf(signing.identity.cluster, sizeof(signing.identity.cluster), "%s", a.cluster);
	assert_int_equal(identity_sign(&signing, rsa, sizeof(rsa) - 1, &out, &err), -EINVAL);
	assert_non_null(strstr(err.text, "P-256"));
	authority_close(&a);
}

static void the_incarnation_is_of_the_key_and_outlives_the_certificate(void **state)
{
	struct issuer a;
	struct err err;
	struct buffer request = {0}, again = {0};
	char of_request[IDENTITY_INCARNATION_SIZE], of_certificate[IDENTITY_INCARNATION_SIZE];
	authority_open(&a);
	struct identity_files files = authority_admit(&a, 3, a.cluster, 365);
	struct identity_signing signing = {&a.certificate, &a.key, {.id = 3, .name = "n"}, 30};
	snprintf(signing.identity.cluster, sizeof(signing.identity.cluster), "%s", a.cluster);
	assert_int_equal(identity_request_make(&files.key, "n", &request, &err), 0);
	assert_int_equal(
	    identity_sign(&signing, (char *)request.data, request.size, &again, &err), 0);
	assert_int_equal(
	    identity_incarnation((char *)request.data, request.size, of_request, &err), 0);
	assert_int_equal(identity_incarnation((char *)files.certificate.data,
			     files.certificate.size, of_certificate, &err),
	    0);
	assert_string_equal(of_request, of_certificate);
	assert_int_equal(strlen(of_request), IDENTITY_INCARNATION_SIZE - 1);
	assert_int_equal(
	    identity_incarnation((char *)again.data, again.size, of_certificate, &err), 0);
	assert_string_equal(of_request, of_certificate);
	assert_int_equal(identity_incarnation("x", 1, of_request, &err), -EBADMSG);
	buffer_close(&request);
	buffer_close(&again);
	identity_files_close(&files);
	authority_close(&a);
}

static void digests_and_uuids_are_what_they_should_be(void **state)
{
	char hex[IDENTITY_HEX_SIZE], a[IDENTITY_UUID_SIZE], b[IDENTITY_UUID_SIZE];
	identity_sha256_hex("abc", 3, hex); /* FIPS 180-2, B.1 */
	assert_string_equal(
	    hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	identity_uuid(a);
	identity_uuid(b);
	assert_int_equal(strlen(a), 36);
	assert_int_equal(a[14], '4');
	assert_string_not_equal(a, b);
	assert_true(identity_equal("abc", "abc", 3));
	assert_false(identity_equal("abc", "abd", 3));
}

/* Independent of our own reading: Debian's openssl must agree. */
static void openssl_verifies_what_we_made(void **state)
{
	struct issuer a;
	struct err err;
	char command[512], line[256], wanted[128];
	authority_open(&a);
	struct identity_files files = authority_admit(&a, 12, a.cluster, 365);
	assert_int_equal(identity_save(directory, &files, &err), 0);
	int out[2];
	assert_int_equal(pipe(out), 0);
	snprintf(command, sizeof(command),
	    "cd %s && openssl verify -x509_strict -purpose sslserver -CAfile ca.crt node.crt && "
	    "openssl x509 -in node.crt -noout -ext subjectAltName | tail -n 1",
	    directory);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		execlp("sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(out[1]);
	FILE *said = fdopen(out[0], "r");
	assert_non_null(fgets(line, sizeof(line), said));
	assert_string_equal(line, "node.crt: OK\n");
	assert_non_null(fgets(line, sizeof(line), said));
	snprintf(wanted, sizeof(wanted), "URI:pvc:%s/node/12\n", a.cluster);
	assert_non_null(strstr(line, wanted));
	fclose(said);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	identity_files_close(&files);
	authority_close(&a);
}

#define IN_HOME(test) cmocka_unit_test_setup_teardown(test, home_make, home_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_HOME(what_was_saved_is_loaded_and_says_who_it_is),
	    IN_HOME(saving_twice_destroys_nothing),
	    IN_HOME(a_key_that_others_can_read_is_refused_by_name),
	    IN_HOME(a_missing_or_empty_file_is_named),
	    IN_HOME(openssl_verifies_what_we_made),
	    cmocka_unit_test(files_that_do_not_fit_each_other_are_refused),
	    cmocka_unit_test(a_ca_is_no_node),
	    cmocka_unit_test(what_is_no_request_is_not_signed),
	    cmocka_unit_test(another_kind_of_key_is_not_signed),
	    cmocka_unit_test(the_incarnation_is_of_the_key_and_outlives_the_certificate),
	    cmocka_unit_test(digests_and_uuids_are_what_they_should_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
