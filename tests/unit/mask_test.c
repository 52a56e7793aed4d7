/* Passwords in XML are shown by no reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "node/operation/json.h"
#include "node/operation/mask.h"

static void expect(const char *text, const char *expected)
{
	struct buffer out = {0};
	/* Of its own size, so that reading beyond its end is found. */
	size_t size = strlen(text);
	uint8_t *bytes = must_alloc(size);
	memcpy(bytes, text, size);
	mask_passwords(bytes, size, &out);
	buffer_append_u8(&out, 0);
	assert_string_equal((const char *)out.data, expected);
	buffer_close(&out);
	free(bytes);
}

static void what_stands_behind_a_password_is_masked(void **state)
{
	expect("<graphics type='vnc' passwd='geheim' port='1'/>",
	    "<graphics type='vnc' passwd='***' port='1'/>");
	expect("<graphics passwd=\"it's\"/><graphics passwd='\"'/>",
	    "<graphics passwd=\"***\"/><graphics passwd='***'/>");
	expect("<a passwd\n = \t'geheim'/>", "<a passwd\n = \t'***'/>");
	expect("<a Password='geheim' keypasswd='auch'/>", "<a Password='***' keypasswd='***'/>");
	expect("<!-- passwd='geheim' -->", "<!-- passwd='***' -->");
	expect("<a passwd=''/>", "<a passwd='***'/>");
	expect("<a passwd='geheim", "<a passwd='***");
	expect("passwd='a'passwd='b'", "passwd='***'passwd='***'");
}

static void what_is_handed_to_qemu_as_it_stands_is_masked(void **state)
{
	expect("<qemu:arg value='secret,data=geheim'/>", "<qemu:arg value='***'/>");
	expect("<q:env\nname='VNC' value = \"geheim\"/>", "<q:env\nname='VNC' value = \"***\"/>");
	expect("<arg value='a'/><feature value='b'/>", "<arg value='a'/><feature value='b'/>");
	expect("<qemu:args value='a'/>value='b'", "<qemu:args value='a'/>value='b'");
	expect("value='a'", "value='a'");
}

static void everything_else_stays_as_it_is(void **state)
{
	expect("", "");
	expect("<a passwdValidTo='2030' port='1'/>", "<a passwdValidTo='2030' port='1'/>");
	expect("passwd=", "passwd=");
	expect("='x'", "='x'");
	expect("<passwd>x</passwd> = y", "<passwd>x</passwd> = y");
}

static void a_record_and_a_command_show_none(void **state)
{
	static const char xml[] = "<graphics passwd='geheim'/>";
	struct vm vm = {.xml = {(uint8_t *)(uintptr_t)xml, sizeof(xml) - 1}};
	struct command command = {.number = COMMAND_vm_define, .vm_define.xml = vm.xml};
	/* Not UTF-8: as hexadecimal digits, which anybody can read. */
	static const uint8_t odd[] = "passwd='geheim'\xff", hex[] = "7061737377643d272a2a2a27ff";
	struct fact fact = {.key = "k", .value = {(uint8_t *)(uintptr_t)odd, sizeof(odd) - 1}};
	json_t *all = json_pack("[o, o, o]", json_record(vm_record(), &vm), json_command(&command),
	    json_record(fact_record(), &fact));
	char *text = json_dumps(all, JSON_COMPACT);
	assert_null(strstr(text, "geheim"));
	assert_null(strstr(text, "67656865696d"));
	assert_non_null(strstr(text, "passwd='***'"));
	assert_non_null(strstr(text, (const char *)hex));
	free(text);
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_stands_behind_a_password_is_masked),
	    cmocka_unit_test(what_is_handed_to_qemu_as_it_stands_is_masked),
	    cmocka_unit_test(everything_else_stays_as_it_is),
	    cmocka_unit_test(a_record_and_a_command_show_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
