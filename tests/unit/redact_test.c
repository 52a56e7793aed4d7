/* What is taken out of a report, and what stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tools/raft/redact.h"

static void expect(struct redact *r, const char *text, const char *expected)
{
	struct buffer out = {0};
	redact_text(r, text, &out);
	assert_string_equal((const char *)out.data, expected);
	buffer_close(&out);
}

static void secrets_go_always(void **state)
{
	struct redact *r = redact_new(REDACT_SECRETS);
	redact_secret(r, "Passw0rd");
	redact_secret(r, "abc");
	expect(r, "pass: Passw0rd, xPassw0rdy", "pass: ***, x***y");
	expect(
	    r, "abc is too short to be told from words", "abc is too short to be told from words");
	expect(r, "join pvc1.AbCdEfGhIjKlMnOpQrStUvWxYz_-0123 now", "join pvc1.*** now");
	expect(r, "version pvc1.2", "version pvc1.2");
	expect(r, "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\nnext",
	    "(private key)\nnext");
	expect(r, "\"-----BEGIN EC PRIVATE KEY-----\\nMIGH\\n-----END EC PRIVATE KEY-----\\n\"",
	    "\"(private key)\\n\"");
	expect(r, "-----BEGIN PRIVATE KEY-----\nMIGH and it was cut", "(private key)");
	expect(r, "-----BEGIN CERTIFICATE-----\nMIIB", "-----BEGIN CERTIFICATE-----\nMIIB");
	expect(r, "<graphics type='vnc' passwd='geheim' port='1'/>",
	    "<graphics type='vnc' passwd='***' port='1'/>");
	expect(r, "\"<graphics passwd=\\\"geheim\\\" port=\\\"1\\\"/>\"",
	    "\"<graphics passwd=\\\"***\\\" port=\\\"1\\\"/>\"");
	redact_free(r);
}

static void without_being_asked_names_stay(void **state)
{
	struct redact *r = redact_new(REDACT_SECRETS);
	redact_name(r, "node", "hv1");
	redact_learn(r, "vm", "{\"name\": \"web1\"}");
	expect(r, "hv1 runs web1 at 10.0.0.1", "hv1 runs web1 at 10.0.0.1");
	redact_free(r);
}

static void a_name_is_the_same_placeholder_everywhere(void **state)
{
	struct redact *r = redact_new(REDACT_NAMES);
	redact_name(r, "node", "hv1");
	redact_name(r, "domain", "example.org");
	redact_learn(r, "node", "[{\"name\": \"hv2\", \"id\": 2}, {\"name\": \"hv1\"}]");
	redact_learn(r, "vm", "[{\"name\": \"web1\", \"node\": \"hv2\", \"cluster\": \"home\"}]");
	expect(r, "hv1, HV2 and hv3", "node-1, node-2 and hv3");
	expect(r, "hv1.example.org:7000 www.example.org", "node-1.domain-1:7000 www.domain-1");
	expect(r, "name=\"web1\" web10 /home/web1", "name=\"vm-1\" web10 /cluster-1/vm-1");
	/* A letter behind a backslash is not of the word. */
	expect(r, "\"line\\nhv1\"", "\"line\\nnode-1\"");
	redact_free(r);
}

static void addresses_are_known_by_their_looks(void **state)
{
	struct redact *r = redact_new(REDACT_NAMES);
	expect(r, "10.0.0.1:7000 and 10.0.0.2/24, 10.0.0.1",
	    "address-1:7000 and address-2/24, "
	    "address-1");
	expect(r, "[fd00::1]:7000", "[address-3]:7000");
	expect(r, "52:54:00:12:34:56", "mac-1");
	expect(r, "pvc:0b1f7b53-5a4e-4e0c-9d55-5f0f6b7c2a10/node/1", "pvc:uuid-1/node/1");
	expect(r, "11:35:02.935110 version 0.22.1", "11:35:02.935110 version 0.22.1");
	redact_free(r);
}

static void keys_of_json_stay(void **state)
{
	struct redact *r = redact_new(REDACT_NAMES);
	redact_name(r, "vm", "node");
	expect(r, "{\"node\": \"node\"}", "{\"node\": \"vm-1\"}");
	redact_free(r);
}

static void xml_and_facts_go(void **state)
{
	struct redact *r = redact_new(REDACT_NAMES);
	expect(r, "\"xml\": \"<domain><name>\\\"web1\\\"</name></domain>\", \"x\"",
	    "\"xml\": \"(XML)\", \"x\"");
	expect(r, "\"text\": \"fact key=\\\"a\\\" value=\\\"b\\\"\", 1",
	    "\"text\": \"fact key=***\", 1");
	expect(r, "\"key\": \"a\", \"value\": \"b\"", "\"key\": \"***\", \"value\": \"***\"");
	expect(r, "a < b", "a < b");
	redact_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(secrets_go_always),
	    cmocka_unit_test(without_being_asked_names_stay),
	    cmocka_unit_test(a_name_is_the_same_placeholder_everywhere),
	    cmocka_unit_test(addresses_are_known_by_their_looks),
	    cmocka_unit_test(keys_of_json_stay),
	    cmocka_unit_test(xml_and_facts_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
