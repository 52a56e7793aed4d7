/* Small files of ours: whole or not there, and never a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/member/contacts.h"
#include "node/file.h"

static char home[64], path[96];

static int begin(void **state)
{
	snprintf(home, sizeof(home), "/tmp/pvc-file-XXXXXX");
	assert_non_null(mkdtemp(home));
	snprintf(path, sizeof(path), "%s/contacts", home);
	return 0;
}

static int end(void **state)
{
	unlink(path);
	/* Nothing else was left there. */
	return rmdir(home);
}

static void assert_holds(const char *text)
{
	struct buffer read = {0};
	assert_int_equal(file_read(path, 1000, &read), 0);
	assert_int_equal(read.size, strlen(text));
	assert_memory_equal(read.data, text, read.size);
	buffer_close(&read);
}

/* What is longer than this cannot be written: as on a full disk. */
static void limit_files(rlim_t bytes)
{
	struct rlimit limit;
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_file_is_made_once_and_replaced_whole(void **state)
{
	struct stat st;
	assert_int_equal(file_make(path, "one", 3), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_make(path, "two", 3), -EEXIST);
	assert_holds("one");
	assert_int_equal(file_replace(path, "three", 5), 0);
	assert_holds("three");
}

static void a_full_disk_leaves_what_was_there(void **state)
{
	static const char large[100000];
	signal(SIGXFSZ, SIG_IGN);
	limit_files(5000);
	assert_int_equal(file_make(path, large, sizeof(large)), -EFBIG);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(file_make(path, "one", 3), 0);
	assert_int_equal(file_replace(path, large, sizeof(large)), -EFBIG);
	limit_files(RLIM_INFINITY);
	assert_holds("one");
}

static void contacts_stay_whole_on_a_full_disk(void **state)
{
	struct peers_member one = {.id = 1, .address = "hv1:7000"};
	static struct contacts back;
	struct err err;
	assert_int_equal(contacts_save(home, &one, 1, &err), 0);
	signal(SIGXFSZ, SIG_IGN);
	limit_files(0);
	assert_int_not_equal(contacts_save(home, &one, 1, &err), 0);
	limit_files(RLIM_INFINITY);
	contacts_load(&back, home, 0);
	assert_int_equal(back.n, 1);
	assert_int_equal(back.items[0].id, 1);
	assert_string_equal(back.items[0].address, "hv1:7000");
}

static void a_pipe_is_not_read(void **state)
{
	struct buffer read = {0};
	static struct contacts none;
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(20);
	assert_int_equal(file_read(path, 1000, &read), -EINVAL);
	contacts_load(&none, home, 0);
	assert_int_equal(none.n, 0);
	alarm(0);
	assert_int_equal(file_read(home, 1000, &read), -EISDIR);
	assert_int_equal(read.size, 0);
}

static void what_is_too_large_is_not_read(void **state)
{
	struct buffer read = {0};
	assert_int_equal(file_make(path, "0123456789", 10), 0);
	assert_int_equal(file_read(path, 9, &read), -EFBIG);
	buffer_close(&read);
	assert_int_equal(file_read(path, 10, &read), 0);
	buffer_close(&read);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(a_file_is_made_once_and_replaced_whole),
	    TEST(a_full_disk_leaves_what_was_there),
	    TEST(contacts_stay_whole_on_a_full_disk),
	    TEST(a_pipe_is_not_read),
	    TEST(what_is_too_large_is_not_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
