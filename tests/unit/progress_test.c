/* The line that whoever waits sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "tests/unit/parsed.h"
#include "tools/progress.h"

static const char movement_text[] =
    "{'percent': 43, 'left_mib': 120, 'rate_mib_s': 110, 'downtime_ms': 300}";

/* What three looks print: a text, the same with figures, and another one; then the end. */
static void assert_line(bool terminal, const char *wanted)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct progress_line line = {.out = out, .terminal = terminal, .begun_ms = 1000};
	json_t *movement = parsed(movement_text);
	progress_show(&line, "web1: migrate", NULL, 1000);
	progress_show(&line, "web1: migrate", movement, 3500);
	progress_show(&line, "web1: start", NULL, 4000);
	progress_end(&line);
	fclose(out);
	assert_string_equal(text, wanted);
	free(text);
	json_decref(movement);
}

static void on_a_terminal_it_changes_in_its_place(void **state)
{
	assert_line(true,
	    "\r\033[Kweb1: migrate (0 s)"
	    "\r\033[Kweb1: migrate [########------------]  43 %, 120 MiB left, 110 MiB/s, down "
	    "300 ms (2 s)"
	    "\r\033[Kweb1: start (3 s)\r\033[K");
}

static void elsewhere_each_text_is_a_line(void **state)
{
	assert_line(false, "web1: migrate\nweb1: start\n");
}

static void a_bar_is_never_longer_than_it_is(void **state)
{
	char text[PROGRESS_BAR_MAX];
	json_t *movement = parsed("{'percent': 250}");
	progress_bar(movement, text);
	assert_string_equal(text, "[####################] 100 %, 0 MiB left, 0 MiB/s, down 0 ms");
	json_decref(movement);
	movement = parsed("{}");
	progress_bar(movement, text);
	assert_string_equal(text, "[--------------------]   0 %, 0 MiB left, 0 MiB/s, down 0 ms");
	json_decref(movement);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(on_a_terminal_it_changes_in_its_place),
	    cmocka_unit_test(elsewhere_each_text_is_a_line),
	    cmocka_unit_test(a_bar_is_never_longer_than_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
