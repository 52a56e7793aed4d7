/* What may be in a name, and what reaches a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "fsm/text.h"

static void a_character_is_as_long_as_it_is_written(void **state)
{
	assert_int_equal(text_character("a"), 1);
	assert_int_equal(text_character("\xc3\xbc"), 2);
	assert_int_equal(text_character("\xe2\x82\xac"), 3);
	assert_int_equal(text_character("\xf0\x9f\x8c\x8d"), 4);
	assert_int_equal(text_character("\xc2\xa0"), 2);
	assert_int_equal(text_character(""), 0);
}

static void what_hides_or_is_no_utf8_may_not_be_shown(void **state)
{
	static const char *const bad[] = {"\x1b", "\x7f", "\n", "\xc2\x80", "\xc2\x9b",
	    "\xc2\x9f", /* U+0080, CSI, U+009F */
	    "\xe2\x80\xa8", "\xe2\x80\xaa", "\xe2\x80\xae", /* U+2028, U+202A, U+202E */
	    "\xe2\x81\xa6", "\xe2\x81\xa9", "\xef\xbb\xbf", /* U+2066, U+2069, U+FEFF */
	    "\x80", "\xc0\x9b", "\xe0\x80\x9b", "\xf0\x80\x80\x9b", /* more bytes than needed */
	    "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x8c"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[16];
		snprintf(text, sizeof(text), "a%sb", bad[i]);
		if (text_is_plain(text) || text_is_vm_name(text) || text_is_node_name(text))
			fail_msg("the bad text %zu passes", i);
		text_clean(text, '?');
		assert_string_equal(text, "a?b");
	}
}

static void names_are_no_paths(void **state)
{
	assert_true(text_is_vm_name("B\xc3\xbcro 1.alt"));
	assert_true(text_is_vm_name("..."));
	assert_false(text_is_vm_name(""));
	assert_false(text_is_vm_name("."));
	assert_false(text_is_vm_name(".."));
	assert_false(text_is_vm_name("../../etc"));
	assert_true(text_is_node_name("hv1.example-2_b"));
	assert_false(text_is_node_name("-f"));
	assert_false(text_is_node_name(""));
	assert_false(text_is_node_name("hv 1"));
	assert_false(text_is_node_name("hv\xc3\xbc"));
}

static void a_uuid_has_one_form(void **state)
{
	assert_true(text_is_uuid("22222222-0000-4000-8000-0000000000de"));
	assert_false(text_is_uuid("22222222-0000-4000-8000-0000000000DE"));
	assert_false(text_is_uuid("22222222-0000-4000-8000-0000000000d"));
	assert_false(text_is_uuid("22222222-0000-4000-8000-0000000000dee"));
	assert_false(text_is_uuid("2222222200004000800000000000000de---"));
	assert_false(text_is_uuid("../../../../../../../../../../../../"));
	assert_false(text_is_uuid(""));
}

static void what_is_plain_stays_as_it_is(void **state)
{
	char text[] = "B\xc3\xbcro \xe2\x82\xac\x1b[31m\xc2\x9b"
		      "1";
	text_clean(text, '?');
	assert_string_equal(text, "B\xc3\xbcro \xe2\x82\xac?[31m?1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_character_is_as_long_as_it_is_written),
	    cmocka_unit_test(what_hides_or_is_no_utf8_may_not_be_shown),
	    cmocka_unit_test(names_are_no_paths),
	    cmocka_unit_test(a_uuid_has_one_form),
	    cmocka_unit_test(what_is_plain_stays_as_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
