/* The connection to Ceph, with a librados that does and answers what a test says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/buffer.h"
#include "fsm/ceph.h"
#include "storage/pool_rbd.h"

#define CONFIG_FILE "/dev/null" /* one that can be read */
#define CLUSTER	    ((rados_t)&fake)

/* What the library was asked and what it answers. */
static struct {
	struct buffer calls; /* a line each */
	unsigned open; /* clusters made and not shut down */
	unsigned buffers; /* given out and not given back */
	int connect; /* what it returns */
	const char *failing; /* the command that */
	int failure; /* is answered with this */
	const char *garbled; /* the command that is answered with nonsense */
} fake;

static struct pool *pool;
static struct ceph_view view;
static struct err err;

static int fake_create(rados_t *cluster, const char *id)
{
	assert_string_equal(id, "admin");
	fake.open++;
	*cluster = CLUSTER;
	return 0;
}

static int fake_read_file(rados_t cluster, const char *path)
{
	buffer_print(&fake.calls, "read %s\n", path);
	return 0;
}

static int fake_set(rados_t cluster, const char *option, const char *value)
{
	buffer_print(&fake.calls, "%s=%s\n", option, value);
	return 0;
}

static int fake_connect(rados_t cluster)
{
	buffer_print(&fake.calls, "connect\n");
	return fake.connect;
}

static void fake_shutdown(rados_t cluster)
{
	assert_ptr_equal(cluster, CLUSTER);
	assert_in_range(fake.open, 1, 1);
	fake.open--;
	buffer_print(&fake.calls, "shutdown\n");
}

static void fake_free(char *bytes)
{
	/* As the library's own, it may be given nothing. */
	fake.buffers -= bytes != NULL;
	free(bytes);
}

static char *answer_of(const char *words)
{
	static const struct {
		const char *words, *answer;
	} answers[] = {
	    {"status", "{\"health\": {\"status\": \"HEALTH_OK\"}, \"osdmap\": {}, \"pgmap\": {}}"},
	    {"osd dump", "{\"pools\": [], \"osds\": ["
			 "{\"osd\": 4, \"weight\": 1, \"primary_affinity\": 1}]}"},
	    {"osd tree", "{\"nodes\": [{\"type\": \"osd\", \"id\": 4, \"crush_weight\": 1}]}"},
	    {"df", "{\"stats\": {\"total_bytes\": 1024, \"total_used_raw_bytes\": 0, "
		   "\"total_avail_bytes\": 1024}, \"pools\": []}"},
	    {"osd df", "{\"nodes\": [{\"id\": 4, \"kb\": 1, \"kb_used\": 1, \"kb_avail\": 0, "
		       "\"utilization\": 1, \"var\": 1, \"pgs\": 1}]}"},
	    {"osd perf", "{\"osd_perf_infos\": [{\"id\": 4, \"perf_stats\": "
			 "{\"commit_latency_ms\": 1, \"apply_latency_ms\": 1}}]}"},
	    {"osd pool stats", "[]"},
	    {"osd status", "{\"OSDs\": []}"},
	};
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (strcmp(words, answers[i].words) == 0)
			return strdup(answers[i].answer);
	fail_msg("nobody knows '%s'", words);
	return NULL;
}

static int fake_command(rados_t cluster, const char **commands, size_t n, const char *in,
    size_t in_size, char **out, size_t *out_size, char **said, size_t *said_size)
{
	char words[32];
	assert_int_equal(n, 1);
	assert_int_equal(
	    sscanf(commands[0], "{\"prefix\": \"%31[^\"]\", \"format\": \"json\"}", words), 1);
	buffer_print(&fake.calls, "%s\n", words);
	*out = NULL;
	*said = NULL;
	if (fake.failing && strcmp(words, fake.failing) == 0) {
		*said = strdup("no");
		fake.buffers++;
		return fake.failure;
	}
	*out = fake.garbled && strcmp(words, fake.garbled) == 0 ? strdup("{") : answer_of(words);
	*out_size = strlen(*out);
	fake.buffers++;
	return 0;
}

static const struct ceph_dl library = {
    .rados_create = fake_create,
    .rados_conf_read_file = fake_read_file,
    .rados_conf_set = fake_set,
    .rados_connect = fake_connect,
    .rados_shutdown = fake_shutdown,
    .rados_mon_command = fake_command,
    .rados_buffer_free = fake_free,
};

static void pool_begin(const char *config_file, const char *keyring)
{
	pool = must_alloc(sizeof(*pool));
	*pool = (struct pool){.dl = &library,
	    .config_file = strdup(config_file),
	    .keyring = strdup(keyring),
	    .timeout_s = 2};
}

static int setup(void **state)
{
	memset(&fake, 0, sizeof(fake));
	pool_begin(CONFIG_FILE, "");
	return 0;
}

static void view_drop(void)
{
	record_clear(ceph_view_record(), &view);
}

static int teardown(void **state)
{
	view_drop();
	pool_rbd.close(pool);
	assert_int_equal(fake.open, 0);
	assert_int_equal(fake.buffers, 0);
	buffer_close(&fake.calls);
	return 0;
}

/* All that it was asked since the last time. */
static void expect_calls(const char *wanted)
{
	buffer_append_u8(&fake.calls, 0);
	assert_string_equal((const char *)fake.calls.data, wanted);
	fake.calls.size = 0;
}

static void time_limits_are_set_before_the_connect_and_it_is_kept(void **state)
{
	memset(&view, 0x5a, sizeof(view)); /* whatever was there is not the caller's to clear */
	assert_int_equal(pool_rbd.look(pool, &view, &err), 0);
	expect_calls("read " CONFIG_FILE "\n"
		     "client_mount_timeout=2\n"
		     "rados_mon_op_timeout=2\n"
		     "rados_osd_op_timeout=2\n"
		     "log_file=\n"
		     "log_to_stderr=false\n"
		     "err_to_stderr=false\n"
		     "admin_socket=\n"
		     "connect\n"
		     "status\nosd dump\nosd tree\ndf\n");
	view_drop();
	assert_int_equal(pool_rbd.measure(pool, &view, &err), 0);
	expect_calls("osd df\nosd perf\nosd pool stats\nosd status\n");
	assert_int_equal(view.osds.items[0].known, CEPH_OSD_DF | CEPH_OSD_PERF);
}

static void a_keyring_that_is_named_is_used(void **state)
{
	pool_rbd.close(pool);
	pool_begin(CONFIG_FILE, "/dev/zero");
	assert_int_equal(pool_connect(pool, &err), 0);
	buffer_append_u8(&fake.calls, 0);
	assert_non_null(strstr((const char *)fake.calls.data, "\nkeyring=/dev/zero\n"));
}

static void a_file_that_is_missing_is_named(void **state)
{
	pool_rbd.close(pool);
	pool_begin("/nonexistent/ceph.conf", "");
	assert_int_equal(pool_rbd.look(pool, &view, &err), -ENOENT);
	assert_string_equal(err.text, "/nonexistent/ceph.conf: No such file or directory");
	pool_rbd.close(pool);
	pool_begin(CONFIG_FILE, "/nonexistent/keyring");
	assert_int_equal(pool_rbd.look(pool, &view, &err), -ENOENT);
	assert_string_equal(err.text, "/nonexistent/keyring: No such file or directory");
	assert_int_equal(fake.open, 0);
}

static void what_failed_to_connect_is_never_used(void **state)
{
	fake.connect = -ETIMEDOUT;
	assert_int_equal(pool_rbd.look(pool, &view, &err), -ETIMEDOUT);
	assert_string_equal(err.text, "no monitor of " CONFIG_FILE " answers within 2 s");
	assert_int_equal(fake.open, 0);
	fake.connect = -EACCES;
	assert_int_equal(pool_rbd.look(pool, &view, &err), -EACCES);
	assert_non_null(strstr(err.text, "do not let client.admin in"));
	buffer_append_u8(&fake.calls, 0);
	assert_null(strstr((const char *)fake.calls.data, "status"));
	fake.connect = 0;
	assert_int_equal(pool_rbd.look(pool, &view, &err), 0);
}

static void a_monitor_that_does_not_answer_costs_the_connection(void **state)
{
	assert_int_equal(pool_connect(pool, &err), 0);
	fake.calls.size = 0;
	fake.failing = "status";
	fake.failure = -ETIMEDOUT;
	assert_int_equal(pool_rbd.look(pool, &view, &err), -ETIMEDOUT);
	assert_string_equal(err.text, "status: no answer within 2 s");
	expect_calls("status\nshutdown\n");
	fake.failing = NULL;
	assert_int_equal(pool_rbd.look(pool, &view, &err), 0);
	buffer_append_u8(&fake.calls, 0);
	assert_non_null(strstr((const char *)fake.calls.data, "\nconnect\nstatus\n"));
}

static void after_one_time_out_the_manager_is_asked_no_more(void **state)
{
	assert_int_equal(pool_connect(pool, &err), 0);
	fake.calls.size = 0;
	fake.failing = "osd perf";
	fake.failure = -ETIMEDOUT;
	assert_int_equal(pool_rbd.measure(pool, &view, &err), 0);
	expect_calls("osd df\nosd perf\nshutdown\n");
	assert_int_equal(view.osds.count, 1);
	assert_int_equal(view.osds.items[0].known, CEPH_OSD_DF);
}

static void a_positive_error_is_one_as_well(void **state)
{
	fake.failing = "osd df";
	fake.failure = ETIMEDOUT;
	assert_int_equal(pool_rbd.measure(pool, &view, &err), -ETIMEDOUT);
	assert_int_equal(view.osds.count, 0);
	assert_int_equal(fake.open, 0);
}

static void a_command_that_is_refused_spoils_no_other(void **state)
{
	fake.failing = "osd dump";
	fake.failure = -EINVAL;
	assert_int_equal(pool_rbd.look(pool, &view, &err), 0);
	assert_int_equal(view.status.items->known, CEPH_STATUS | CEPH_DF);
	assert_int_equal(view.osds.items[0].known, CEPH_OSD_TREE);
	assert_int_equal(fake.open, 1);
	view_drop();
	fake.failing = NULL;
	fake.garbled = "status";
	assert_int_equal(pool_rbd.look(pool, &view, &err), 0);
	assert_int_equal(view.status.items->known, CEPH_DF);
}

static void who_is_on_the_blocklist_connects_anew(void **state)
{
	assert_int_equal(pool_connect(pool, &err), 0);
	assert_int_equal(pool_failed(pool, -EIO, "vms/web1", &err), -EIO);
	assert_string_equal(err.text, "vms/web1: Input/output error");
	assert_int_equal(fake.open, 1);
	assert_int_equal(pool_failed(pool, -ESHUTDOWN, "vms/web1", &err), -ESHUTDOWN);
	assert_int_equal(fake.open, 0);
	assert_int_equal(pool_connect(pool, &err), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(time_limits_are_set_before_the_connect_and_it_is_kept),
	    TEST(a_keyring_that_is_named_is_used),
	    TEST(a_file_that_is_missing_is_named),
	    TEST(what_failed_to_connect_is_never_used),
	    TEST(a_monitor_that_does_not_answer_costs_the_connection),
	    TEST(after_one_time_out_the_manager_is_asked_no_more),
	    TEST(a_positive_error_is_one_as_well),
	    TEST(a_command_that_is_refused_spoils_no_other),
	    TEST(who_is_on_the_blocklist_connects_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
