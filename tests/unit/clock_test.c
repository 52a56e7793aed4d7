/* A wall clock that is wrong keeps no node from starting, and lets no expired certificate in. */
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "node/trust/credentials.h"
#include "tests/unit/members.h"

#define DAY_S  INT64_C(86400)
#define YEAR_S (365 * DAY_S)

static int64_t off_s; /* how far the wall clock is off */

/* The library's, as OpenSSL calls it too. */
time_t time(time_t *out)
{
	struct timespec now;
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
	now.tv_sec += off_s;
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

static int run(const char *command)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void to_1970(void)
{
	off_s = 0;
	off_s = DAY_S - time(NULL);
}

static int clock_right(void **state)
{
	off_s = 0;
	return loop_open(state);
}

static int clock_right_again(void **state)
{
	off_s = 0;
	return loop_close(state);
}

static void a_clock_of_before_the_ca_counts_as_the_time_of_our_certificate(void **state)
{
	const struct identity_clock clock = {.founded_s = 1000, .signed_s = 5000};
	assert_int_equal(identity_clock_now(&clock, 999), 5000);
	assert_int_equal(identity_clock_now(&clock, 1000), 1000);
	assert_int_equal(identity_clock_now(&clock, 6000), 6000);
}

static void files_are_good_whatever_the_clock_says_but_expired(void **state)
{
	struct identity identity;
	struct identity_files files = authority_admit(&authority, 3, authority.cluster, 30);
	struct err err = {""};
	to_1970();
	assert_int_equal(identity_check(&files, NULL, &err), 0);
	off_s = -10 * DAY_S;
	assert_int_equal(identity_check(&files, NULL, &err), 0);
	off_s = YEAR_S;
	assert_int_equal(identity_check(&files, &identity, &err), -EKEYEXPIRED);
	assert_int_equal(identity.id, 3);
	identity_files_close(&files);
}

static void members_meet_with_every_clock_in_1970(void **state)
{
	struct member nodes[2];
	node_open(&nodes[0], 1);
	node_open(&nodes[1], 2);
	to_1970();
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void a_certificate_of_the_future_is_accepted(void **state)
{
	struct member nodes[2];
	node_open(&nodes[0], 1);
	off_s = YEAR_S;
	node_open(&nodes[1], 2);
	off_s = 0;
	introduce(nodes, 2);
	WAIT_FOR(all_connected(nodes, 2));
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void an_expired_certificate_is_refused_with_the_clock_in_1970(void **state)
{
	struct member node;
	struct caller c;
	node_open(&node, 1);
	to_1970();
	caller_connect(&c, &node);
	off_s = 0;
	struct tls_context *context = context_of(&authority, 2, -5);
	to_1970();
	caller_shake(&c, context, TLS_MEMBER);
	WAIT_FOR(!caller_turn(&c) && node.strangers > 0);
	assert_non_null(strstr(node.stranger, "certificate has expired"));
	caller_close(&c);
	node_close(&node);
}

static void a_node_whose_certificate_has_expired_is_up_and_refused(void **state)
{
	struct member nodes[2];
	node_open(&nodes[0], 1);
	node_open_at(&nodes[1], &loop, &(struct place){.id = 2, .days = -5});
	introduce(nodes, 2);
	WAIT_FOR(nodes[0].strangers > 0);
	assert_non_null(strstr(nodes[0].stranger, "certificate has expired"));
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void what_is_signed_in_1970_holds_from_the_ca_on(void **state)
{
	struct identity_validity ca, v;
	struct err err = {""};
	to_1970();
	struct identity_files files = authority_admit(&authority, 3, authority.cluster, 30);
	assert_int_equal(identity_validity((char *)authority.certificate.data,
			     authority.certificate.size, &ca, &err),
	    0);
	assert_int_equal(
	    identity_validity((char *)files.certificate.data, files.certificate.size, &v, &err), 0);
	assert_int_equal(v.from_s, ca.from_s);
	assert_int_equal(v.until_s, ca.from_s + 31 * DAY_S);
	identity_files_close(&files);
}

/* What a daemon starts with, in a directory with or without the CA's key. */
static void start_with_expired(const struct buffer *ca_key, int64_t *until_s)
{
	static struct config config = {.node = "node3", .raft.certificate_days = 100};
	char data[] = "/tmp/pvc-clock-XXXXXX", path[CREDENTIALS_PATH_MAX], command[64];
	struct identity_files expired, files;
	struct identity identity;
	struct identity_validity v;
	struct err err = {""};
	assert_non_null(mkdtemp(data));
	snprintf(config.system.configuration.directories.data_directory, 512, "%s", data);
	expired = authority_admit(&authority, 3, authority.cluster, -5);
	buffer_append(&expired.ca_key, ca_key->data, ca_key->size);
	credentials_directory(&config, path);
	assert_int_equal(identity_save(path, &expired, &err), 0);
	assert_int_equal(credentials_load(&config, &files, &identity, &err), 0);
	assert_int_equal(identity.id, 3);
	assert_int_equal(
	    identity_validity((char *)files.certificate.data, files.certificate.size, &v, &err), 0);
	*until_s = v.until_s;
	identity_files_close(&files);
	identity_files_close(&expired);
	snprintf(command, sizeof(command), "/bin/rm -r %s", data);
	assert_int_equal(run(command), 0);
}

static void a_daemon_whose_certificate_has_expired_starts(void **state)
{
	const struct buffer no_key = {0};
	int64_t until_s;
	start_with_expired(&no_key, &until_s);
	assert_true(until_s < time(NULL));
	start_with_expired(&authority.key, &until_s);
	assert_true(until_s > time(NULL) + 99 * DAY_S);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, clock_right, clock_right_again)
	const struct CMUnitTest tests[] = {
	    TEST(a_clock_of_before_the_ca_counts_as_the_time_of_our_certificate),
	    TEST(files_are_good_whatever_the_clock_says_but_expired),
	    TEST(members_meet_with_every_clock_in_1970),
	    TEST(a_certificate_of_the_future_is_accepted),
	    TEST(an_expired_certificate_is_refused_with_the_clock_in_1970),
	    TEST(a_node_whose_certificate_has_expired_is_up_and_refused),
	    TEST(what_is_signed_in_1970_holds_from_the_ca_on),
	    TEST(a_daemon_whose_certificate_has_expired_starts),
	};
	return cmocka_run_group_tests(tests, authority_setup, authority_teardown);
}
