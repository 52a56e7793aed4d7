#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/worker/domain.h"
#include "node/worker/effective.h"

#define HEAD                                                                                       \
	"<domain type='qemu'><name>web1</name><uuid>22222222-0000-4000-8000-0000000000d1</uuid>"   \
	"<memory unit='MiB'>512</memory>"
#define LOG "<log file='/var/log/libvirt/web1.log' append='on'/>"

static struct err err;
static struct buffer out;

static int effective(const char *xml)
{
	struct blob blob = {.data = (uint8_t *)xml, .size = (uint32_t)strlen(xml)};
	err.text[0] = '\0';
	int rc = domain_effective(&blob, "/var/log/libvirt", &out, &err);
	buffer_append_u8(&out, 0);
	return rc;
}

static void assert_effective(const char *xml, const char *wanted)
{
	struct domain d;
	assert_int_equal(effective(xml), 0);
	assert_string_equal((char *)out.data, wanted);
	assert_int_equal(domain_read((char *)out.data, out.size - 1, &d, &err), 0);
}

static void the_first_serial_console_gets_a_log_and_no_other_byte_changes(void **state)
{
	assert_effective(HEAD "\n <devices>\n  <disk><serial>x</serial></disk>"
			      "<serial type='pty'>\n   <target port='0'/> </serial >"
			      "<serial type='tcp'/></devices><!-- end -->\n</domain>\n",
	    HEAD "\n <devices>\n  <disk><serial>x</serial></disk>"
		 "<serial type='pty'>\n   <target port='0'/> " LOG "</serial >"
		 "<serial type='tcp'/></devices><!-- end -->\n</domain>\n");
	assert_effective(HEAD "<devices><serial type='pty' /></devices></domain>",
	    HEAD "<devices><serial type='pty' >" LOG "</serial></devices></domain>");
}

static void a_vm_without_a_serial_console_gets_one(void **state)
{
	assert_effective(HEAD "<serial/><devices><console type='pty'/></devices></domain>",
	    HEAD "<serial/><devices><console type='pty'/><serial type='pty'>" LOG
		 "</serial></devices></domain>");
	assert_effective(HEAD "<devices/></domain>",
	    HEAD "<devices><serial type='pty'>" LOG "</serial></devices></domain>");
	assert_effective(HEAD "</domain>",
	    HEAD "<devices><serial type='pty'>" LOG "</serial></devices></domain>");
}

static void a_log_that_the_user_set_stays(void **state)
{
	static const char *const cases[] = {
	    HEAD "<devices><serial type='pty'><log file='/x'/></serial></devices></domain>",
	    HEAD
	    "<devices><serial type='tcp'/><serial><log file='/x'/></serial></devices></domain>",
	    HEAD "<devices><console type='pty'><log file='/x'/></console></devices></domain>",
	    HEAD "<devices><serial type='file'><source path='/x'/></serial></devices></domain>",
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_effective(cases[i], cases[i]);
}

static void what_is_made_is_not_made_again(void **state)
{
	char once[1024];
	assert_int_equal(effective(HEAD "<devices/></domain>"), 0);
	snprintf(once, sizeof(once), "%s", (char *)out.data);
	assert_effective(once, once);
}

static void a_name_is_written_so_that_every_encoding_has_it(void **state)
{
	const char *xml = "<?xml version='1.0' encoding='ISO-8859-1'?><domain>"
			  "<name>a'&amp;\xe9&#x20ac;&#x1f600;</name>"
			  "<uuid>22222222-0000-4000-8000-0000000000d1</uuid>"
			  "<memory>1</memory><devices/></domain>";
	assert_int_equal(effective(xml), 0);
	assert_non_null(strstr(
	    (char *)out.data, "file='/var/log/libvirt/a&#x27;&#x26;&#xe9;&#x20ac;&#x1f600;.log'"));
}

static void what_cannot_be_read_is_refused_and_utf_16_is_left_alone(void **state)
{
	assert_int_equal(effective(HEAD "<devices>"), -EINVAL);
	assert_memory_equal(err.text, "line ", 5);
	static const char text[] = "<domain><name>a</name>"
				   "<uuid>22222222-0000-4000-8000-0000000000d1</uuid>"
				   "<memory>1</memory></domain>";
	uint8_t wide[2 * sizeof(text)] = {0xff, 0xfe};
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		wide[2 + 2 * i] = (uint8_t)text[i];
	struct blob blob = {.data = wide, .size = sizeof(wide)};
	assert_int_equal(domain_effective(&blob, "/var/log/libvirt", &out, &err), 0);
	assert_int_equal(out.size, sizeof(wide));
	assert_memory_equal(out.data, wide, sizeof(wide));
}

static int teardown(void **state)
{
	buffer_close(&out);
	return 0;
}

static const char *console(const char *xml)
{
	static char file[CONSOLE_FILE_MAX];
	struct blob blob = {.data = (uint8_t *)xml, .size = (uint32_t)strlen(xml)};
	int rc = domain_console(&blob, "/var/log/libvirt", file, &err);
	return rc == -ENODATA ? "none" : rc ? err.text : file;
}

static void the_console_is_where_the_user_or_we_had_it_written(void **state)
{
	assert_string_equal(console(HEAD "</domain>"), "/var/log/libvirt/web1.log");
	assert_string_equal(console(HEAD "<devices><disk><source path='/x'/><log file='/y'/></disk>"
					 "<serial type='pty'/></devices></domain>"),
	    "/var/log/libvirt/web1.log");
	assert_string_equal(console(HEAD "<devices><serial type='pty'><log append='on' "
					 "file='/srv/a&amp;b'/></serial></devices></domain>"),
	    "/srv/a&b");
	assert_string_equal(console(HEAD "<devices><serial type='file'><source path='/srv/c'/>"
					 "</serial></devices></domain>"),
	    "/srv/c");
	assert_string_equal(console(HEAD "<devices><serial type='pty'><log/></serial></devices>"
					 "</domain>"),
	    "none");
	assert_string_equal(console(HEAD "<devices><serial type='pty'><log file='up/../x'/>"
					 "</serial></devices></domain>"),
	    "none");
	assert_non_null(strstr(console("<domain>"), "line 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_serial_console_gets_a_log_and_no_other_byte_changes),
	    cmocka_unit_test(a_vm_without_a_serial_console_gets_one),
	    cmocka_unit_test(a_log_that_the_user_set_stays),
	    cmocka_unit_test(the_console_is_where_the_user_or_we_had_it_written),
	    cmocka_unit_test(what_is_made_is_not_made_again),
	    cmocka_unit_test(a_name_is_written_so_that_every_encoding_has_it),
	    cmocka_unit_test(what_cannot_be_read_is_refused_and_utf_16_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
