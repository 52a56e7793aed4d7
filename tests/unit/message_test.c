/* Messages between members, as bytes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "raft/batch.h"
#include "raft/configuration.h"
#include "raft/message.h"

static struct message entries(uint64_t term, const struct disk_entry *e, unsigned n)
{
	static struct buffer tail;
	struct message m = {.kind = MESSAGE_append};
	tail.size = 0;
	for (unsigned i = 0; i < n; i++)
		message_entry_add(&tail, &e[i]);
	m.append = (struct message_append){
	    .term = term, .prev_index = 9, .prev_term = 2, .commit = 9, .count = n};
	m.tail = tail.data;
	m.tail_size = tail.size;
	return m;
}

static int judge(const struct message *m)
{
	struct buffer bytes = {0};
	struct message back;
	message_encode(m, &bytes);
	int code = message_decode(bytes.data, bytes.size, &back);
	if (code == 0) {
		struct buffer again = {0};
		message_encode(&back, &again);
		assert_int_equal(bytes.size, again.size);
		assert_memory_equal(bytes.data, again.data, bytes.size);
		buffer_close(&again);
	}
	for (size_t cut = 0; cut < bytes.size; cut++) {
		uint8_t *part = malloc(cut ? cut : 1); /* so that a read behind it shows */
		memcpy(part, bytes.data, cut);
		if (code == 0 && m->kind != MESSAGE_chunk)
			assert_int_equal(message_decode(part, cut, &back), -EBADMSG);
		free(part);
	}
	buffer_close(&bytes);
	return code;
}

static void every_kind_comes_back_as_it_was(void **state)
{
	static const struct message plain[] = {
	    {.kind = MESSAGE_vote_request, .vote_request = {7, 100, 3, VOTE_PRE}},
	    {.kind = MESSAGE_vote, .vote = {7, VOTE_GRANTED}},
	    {.kind = MESSAGE_append, .append = {7, 100, 3, 99, 0}},
	    {.kind = MESSAGE_appended, .appended = {7, 0, 1u << 30}},
	    {.kind = MESSAGE_timeout_now, .timeout_now = {7, 100, 3}},
	    {.kind = MESSAGE_ping, .ping = {7, 1, UINT64_MAX}},
	    {.kind = MESSAGE_pong, .pong = {7, 1, 0, 300, 500, 20}},
	    {.kind = MESSAGE_read, .read = {UINT64_MAX, READ_BY_ROUND}},
	    {.kind = MESSAGE_read_ok, .read_ok = {UINT64_MAX, 8}},
	    {.kind = MESSAGE_chunk_ok, .chunk_ok = {7, 100, 65536}},
	    {.kind = MESSAGE_committed, .committed = {7, 100, 3}},
	};
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		assert_int_equal(judge(&plain[i]), 0);
	struct message chunk = {.kind = MESSAGE_chunk,
	    .chunk = {7, 100, 3, 50, 8, 16, 1, 4},
	    .tail = (const uint8_t *)"0123456789ab",
	    .tail_size = 12};
	assert_int_equal(judge(&chunk), 0);
	chunk.chunk.size = 15;
	assert_int_equal(judge(&chunk), -EBADMSG);
}

static void an_unknown_version_or_kind_is_refused(void **state)
{
	struct message m;
	assert_int_equal(message_decode((const uint8_t *)"\2\6\1\1\1", 5, &m), -EBADMSG);
	assert_int_equal(message_decode((const uint8_t *)"\1\17\1\1\1", 5, &m), -EBADMSG);
	assert_int_equal(message_decode((const uint8_t *)"\1\6\1\1\1", 5, &m), 0);
	assert_string_equal(message_name(m.kind), "ping");
	assert_int_equal(message_decode((const uint8_t *)"\1\6\1\1\1\1", 6, &m), -EBADMSG);
	assert_int_equal(message_decode((const uint8_t *)"\1\6\0\1\1", 5, &m), -EBADMSG);
	assert_int_equal(message_decode(NULL, 0, &m), -EBADMSG);
}

static void entries_that_libraft_would_choke_on_are_refused(void **state)
{
	static const uint8_t batch[8] = {1, 2, 'h', 'i'};
	static const uint8_t ragged[9] = {1, 2, 'h', 'i'};
	struct disk_entry good[2] = {{2, DISK_COMMAND, 8, batch}, {3, DISK_BARRIER, 8, batch}};
	struct disk_entry bad = good[0];
	struct message m = entries(3, good, 2);
	assert_int_equal(judge(&m), 0);
	m = entries(2, good, 2); /* a term above the leader's */
	assert_int_equal(judge(&m), -EBADMSG);
	bad.term = 1; /* below the one before */
	m = entries(3, &bad, 1);
	assert_int_equal(judge(&m), -EBADMSG);
	bad = (struct disk_entry){2, (enum disk_entry_type)4, 8, batch};
	m = entries(3, &bad, 1);
	assert_int_equal(judge(&m), -EBADMSG);
	bad = (struct disk_entry){2, DISK_COMMAND, 9, ragged};
	m = entries(3, &bad, 1);
	assert_int_equal(judge(&m), -EBADMSG);
	bad = (struct disk_entry){2, DISK_CHANGE, 8, batch};
	m = entries(3, &bad, 1);
	assert_int_equal(judge(&m), -EBADMSG);
	m = entries(3, good, 2);
	m.append.count = 3;
	assert_int_equal(judge(&m), -EBADMSG);
	m = entries(3, good, 0);
	m.append.prev_term = 0;
	assert_int_equal(judge(&m), -EBADMSG);
	m = entries(3, good, 1); /* the first entry of all is a configuration */
	m.append.prev_index = m.append.prev_term = 0;
	assert_int_equal(judge(&m), -EBADMSG);
}

static void a_configuration_decodes_whole_or_not_at_all(void **state)
{
	struct configuration c = {0}, back;
	struct buffer bytes = {0};
	assert_int_equal(configuration_set(&c, 1, "10.0.0.1:7000", MEMBER_VOTER), 0);
	assert_int_equal(configuration_set(&c, 2, "10.0.0.2:7000", MEMBER_STANDBY), 0);
	assert_int_equal(configuration_set(&c, 3, "10.0.0.2:7000", MEMBER_STANDBY), -EINVAL);
	assert_int_equal(configuration_set(&c, 1, "10.0.0.1:7000", MEMBER_STANDBY), -EINVAL);
	assert_int_equal(configuration_remove(&c, 1), -EINVAL);
	configuration_encode(&c, &bytes);
	assert_int_equal(configuration_decode(bytes.data, bytes.size, &back), 0);
	assert_int_equal(back.n, 2);
	assert_string_equal(configuration_find(&back, 2)->address, "10.0.0.2:7000");
	for (size_t cut = 0; cut < bytes.size; cut++)
		assert_int_equal(configuration_decode(bytes.data, cut, &back), -EBADMSG);
	for (size_t i = 0; i < bytes.size; i++)
		for (unsigned value = 0; value < 256; value++) {
			uint8_t kept = bytes.data[i];
			bytes.data[i] = (uint8_t)value;
			configuration_decode(bytes.data, bytes.size, &back); /* only must return */
			bytes.data[i] = kept;
		}
	assert_int_equal(configuration_remove(&c, 2), 0);
	assert_int_equal(c.n, 1);
	buffer_close(&bytes);
}

static void operations_come_out_of_a_batch_as_they_went_in(void **state)
{
	struct batch batch = {0};
	struct buffer bytes = {0};
	const uint8_t *operation;
	size_t size;
	batch_add(&batch, (const uint8_t *)"", 0);
	batch_add(&batch, (const uint8_t *)"abc", 3);
	batch_encode(&batch, &bytes);
	assert_int_equal(bytes.size % 8, 0);
	assert_true(batch_valid(bytes.data, bytes.size));
	struct batch_reader in = batch_read(bytes.data, bytes.size);
	assert_true(batch_next(&in, &operation, &size));
	assert_int_equal(size, 0);
	assert_true(batch_next(&in, &operation, &size));
	assert_memory_equal(operation, "abc", 3);
	assert_false(batch_next(&in, &operation, &size));
	bytes.data[bytes.size - 1] = 1;
	assert_false(batch_valid(bytes.data, bytes.size));
	buffer_close(&bytes);
	batch_close(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_kind_comes_back_as_it_was),
	    cmocka_unit_test(an_unknown_version_or_kind_is_refused),
	    cmocka_unit_test(entries_that_libraft_would_choke_on_are_refused),
	    cmocka_unit_test(a_configuration_decodes_whole_or_not_at_all),
	    cmocka_unit_test(operations_come_out_of_a_batch_as_they_went_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
