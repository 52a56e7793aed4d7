#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "raft/endpoint.h"
#include "raft/guest.h"
#include "raft/token.h"

static const struct token example = {
    .cluster = "00112233-4455-6677-8899-aabbccddeeff",
    .fingerprint = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    .id = 3,
    .secret = "0123456789abcdef0123456789abcde",
    .n_addresses = 2,
    .addresses = {"10.0.0.1:7080", "[fd00::1]:7080"},
};

/* A format that others hold in their hands: it must not change by accident. */
static const char example_text[] =
    "pvc1."
    "ABEiM0RVZneImaq7zN3u_7p4Fr-PAc_qQUFA3l2uIiOwA2Gjlhd6nLQQ_2HyABWtAwAAAAAA"
    "AAAwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlAAINMTAuMC4wLjE6NzA4MA5bZmQw"
    "MDo6MV06NzA4MIWZ-qQ";

static void a_token_is_read_as_it_was_written(void **state)
{
	struct buffer text = {0};
	struct token read;
	struct err err;
	assert_int_equal(token_encode(&example, &text, &err), 0);
	buffer_append_u8(&text, '\0');
	assert_string_equal((char *)text.data, example_text);
	assert_int_equal(token_decode((char *)text.data, text.size - 1, &read, &err), 0);
	assert_memory_equal(&read, &example, sizeof(read));
	buffer_close(&text);
}

static void blanks_around_a_token_do_not_matter(void **state)
{
	struct token read;
	struct err err;
	char text[sizeof(example_text) + 8];
	int n = snprintf(text, sizeof(text), " \t%s\r\n", example_text);
	assert_int_equal(token_decode(text, (size_t)n, &read, &err), 0);
}

static void every_wrong_character_is_found(void **state)
{
	char text[sizeof(example_text)];
	struct token read, zero = {0};
	struct err err;
	size_t size = sizeof(example_text) - 1;
	for (size_t i = 0; i < size; i++) {
		memcpy(text, example_text, sizeof(text));
		text[i] = text[i] == 'x' ? 'y' : 'x';
		assert_true(token_decode(text, size, &read, &err) < 0);
		assert_memory_equal(&read, &zero, sizeof(read));
	}
}

static void every_cut_token_is_called_damaged(void **state)
{
	struct token read;
	struct err err;
	for (size_t size = 5; size < sizeof(example_text) - 1; size++) {
		assert_int_equal(token_decode(example_text, size, &read, &err), -EBADMSG);
		assert_non_null(strstr(err.text, "damaged"));
	}
}

static void what_is_no_token_is_told_from_a_newer_one(void **state)
{
	struct token read;
	struct err err;
	assert_int_equal(token_decode("", 0, &read, &err), -EINVAL);
	assert_int_equal(token_decode("hello", 5, &read, &err), -EINVAL);
	assert_non_null(strstr(err.text, "pvc1."));
	assert_int_equal(token_decode("pvc2.AAAA", 9, &read, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.text, "version 2"));
}

static void a_token_that_cannot_be_is_not_written(void **state)
{
	struct buffer text = {0};
	struct err err;
	struct token t = example;
	t.n_addresses = 0;
	assert_int_equal(token_encode(&t, &text, &err), -EINVAL);
	t = example;
	snprintf(t.addresses[1], sizeof(t.addresses[1]), "nowhere");
	assert_int_equal(token_encode(&t, &text, &err), -EINVAL);
	t = example;
	t.cluster[3] = 'g';
	assert_int_equal(token_encode(&t, &text, &err), -EINVAL);
	t = example;
	t.fingerprint[10] = '\0';
	assert_int_equal(token_encode(&t, &text, &err), -EINVAL);
	assert_int_equal(text.size, 0);
	buffer_close(&text);
}

static void endpoint_gives(const char *text, const char *host, const char *port)
{
	struct endpoint e;
	struct err err = {""};
	assert_int_equal(endpoint_parse(text, &e, &err), 0);
	assert_string_equal(e.host, host);
	assert_string_equal(e.port, port);
}

static void an_endpoint_is_a_host_and_a_port(void **state)
{
	static const char *const wrong[] = {
	    "",
	    ":",
	    "host",
	    ":80",
	    "host:",
	    "host:0",
	    "host:65536",
	    "host:-1",
	    "host:8x",
	    "host:999999999999",
	    "::1:80",
	    "[::1]",
	    "[]:80",
	    "a b:80",
	    "[[::1]]:80",
	    "host:+5",
	};
	struct endpoint e;
	struct err err;
	endpoint_gives("10.0.0.1:7080", "10.0.0.1", "7080");
	endpoint_gives("[::1]:1", "::1", "1");
	endpoint_gives("node1.example:65535", "node1.example", "65535");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(endpoint_parse(wrong[i], &e, &err), -EINVAL);
}

static void only_numbers_are_known_without_asking(void **state)
{
	struct endpoint e;
	struct endpoint_address a;
	char text[ENDPOINT_SIZE];
	assert_int_equal(endpoint_parse("[fe80::1]:7080", &e, NULL), 0);
	assert_int_equal(endpoint_numeric(&e, &a), 0);
	endpoint_print(&a, text);
	assert_string_equal(text, "[fe80::1]:7080");
	assert_int_equal(endpoint_parse("10.1.2.3:7080", &e, NULL), 0);
	assert_int_equal(endpoint_numeric(&e, &a), 0);
	endpoint_print(&a, text);
	assert_string_equal(text, "10.1.2.3:7080");
	assert_int_equal(endpoint_parse("localhost:7080", &e, NULL), 0);
	assert_int_equal(endpoint_numeric(&e, &a), -ENOENT);
}

static void a_request_to_join_is_read_as_it_was_written(void **state)
{
	struct guest_request read, request = {
				       .token = 9,
				       .secret = "s",
				       .time_s = 1763800000,
				       .wants = GUEST_COORDINATOR | GUEST_HYPERVISOR,
				       .name = "node2",
				       .address = "10.0.0.2:7080",
				       .request = "PEM",
				   };
	struct buffer bytes = {0};
	guest_request_encode(&request, &bytes);
	assert_int_equal(guest_request_decode(bytes.data, bytes.size, &read), 0);
	assert_memory_equal(&read, &request, sizeof(read));
	for (size_t size = 0; size < bytes.size; size++)
		assert_int_equal(guest_request_decode(bytes.data, size, &read), -EBADMSG);
	buffer_append_u8(&bytes, 0);
	assert_int_equal(guest_request_decode(bytes.data, bytes.size, &read), -EBADMSG);
	buffer_close(&bytes);
}

static void an_answer_is_read_as_it_was_written(void **state)
{
	static struct guest_answer read,
	    answer = {
		.id = 4,
		.cluster_name = "hall",
		.ca_certificate = "A",
		.certificate = "B",
		.ca_key = "C",
		.n_members = 2,
		.members = {{1, "10.0.0.1:7080"}, {2, "10.0.0.2:7080"}},
	    };
	struct buffer bytes = {0};
	guest_answer_encode(&answer, &bytes);
	assert_int_equal(guest_answer_decode(bytes.data, bytes.size, &read), 0);
	assert_memory_equal(&read, &answer, sizeof(read));
	for (size_t size = 0; size < bytes.size; size++)
		assert_int_equal(guest_answer_decode(bytes.data, size, &read), -EBADMSG);
	bytes.size = 0;
	snprintf(answer.refused, sizeof(answer.refused), "no such token");
	guest_answer_encode(&answer, &bytes);
	assert_int_equal(guest_answer_decode(bytes.data, bytes.size, &read), 0);
	assert_string_equal(read.refused, "no such token");
	assert_int_equal(read.id, 0);
	buffer_close(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_token_is_read_as_it_was_written),
	    cmocka_unit_test(blanks_around_a_token_do_not_matter),
	    cmocka_unit_test(every_wrong_character_is_found),
	    cmocka_unit_test(every_cut_token_is_called_damaged),
	    cmocka_unit_test(what_is_no_token_is_told_from_a_newer_one),
	    cmocka_unit_test(a_token_that_cannot_be_is_not_written),
	    cmocka_unit_test(an_endpoint_is_a_host_and_a_port),
	    cmocka_unit_test(only_numbers_are_known_without_asking),
	    cmocka_unit_test(a_request_to_join_is_read_as_it_was_written),
	    cmocka_unit_test(an_answer_is_read_as_it_was_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
