/* The log of a new node: its first entry, and what becomes of one that was there. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "raft/replica.h"
#include "raft/wal.h"
#include "tools/founding.h"

static char home[64];
static struct buffer first, none;

static int begin(void **state)
{
	snprintf(home, sizeof(home), "/tmp/founding-test-XXXXXX");
	first = none = (struct buffer){0};
	return mkdtemp(home) && !replica_first_entry(1, "hv1:7480", &first) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int end(void **state)
{
	buffer_close(&first);
	return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct founding found(const struct buffer *configuration)
{
	struct founding f = {0};
	struct err err = {""};
	snprintf(f.log, sizeof(f.log), "%s/raft", home);
	if (founding_log(&f, configuration, &err))
		fail_msg("%s", err.text);
	return f;
}

/* How many entries are in a log, whose term and vote are of a member that never voted. */
static unsigned entries_in(const char *directory)
{
	struct wal *wal;
	struct disk_state state;
	struct err err = {""};
	struct wal_options options = {.directory = directory};
	if (wal_open(&wal, &options, &state, &err))
		fail_msg("%s", err.text);
	unsigned n = state.n;
	assert_int_equal(state.term, 1);
	assert_int_equal(state.vote, 0);
	wal_close(wal);
	return n;
}

static unsigned entries_aside(const struct founding *f)
{
	char path[sizeof(f->log) + sizeof(f->aside) + 1];
	snprintf(path, sizeof(path), "%s/%s", f->log, f->aside);
	return entries_in(path);
}

static void a_first_node_has_one_entry_and_one_that_joins_none(void **state)
{
	struct founding f = found(&none);
	assert_false(f.log_set_aside);
	assert_int_equal(entries_in(f.log), 0);
	/* A join that is tried again finds nothing that would be lost. */
	f = found(&none);
	assert_false(f.log_set_aside);
	f = found(&first);
	assert_false(f.log_set_aside);
	assert_int_equal(entries_in(f.log), 1);
}

static void a_log_of_nobody_is_kept_aside_and_not_gone_on_with(void **state)
{
	found(&first);
	struct founding f = found(&first);
	assert_true(f.log_set_aside);
	assert_string_equal(f.aside, "corrupt-1");
	assert_int_equal(entries_in(f.log), 1);
	assert_int_equal(entries_aside(&f), 1);
	f = found(&none);
	assert_true(f.log_set_aside);
	assert_string_equal(f.aside, "corrupt-2");
	assert_int_equal(entries_in(f.log), 0);
	assert_int_equal(entries_aside(&f), 1);
}

static void a_damaged_log_of_nobody_is_kept_aside_too(void **state)
{
	struct founding f = found(&first);
	char path[sizeof(f.log) + 32];
	for (unsigned slot = 1; slot <= 2; slot++) {
		snprintf(path, sizeof(path), "%s/metadata-%u", f.log, slot);
		assert_int_equal(truncate(path, 10), 0);
	}
	f = found(&none);
	assert_true(f.log_set_aside);
	assert_int_equal(entries_in(f.log), 0);
	snprintf(path, sizeof(path), "%s/corrupt-1/metadata-1", f.log);
	assert_int_equal(access(path, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_first_node_has_one_entry_and_one_that_joins_none),
	    TEST(a_log_of_nobody_is_kept_aside_and_not_gone_on_with),
	    TEST(a_damaged_log_of_nobody_is_kept_aside_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
