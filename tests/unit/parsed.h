/* JSON as it is read best within C. Only tests/unit/ includes it. */
#ifndef TESTS_UNIT_PARSED_H
#define TESTS_UNIT_PARSED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>

/* JSON, with ' for the quotes. */
static inline json_t *parsed(const char *text)
{
	char quoted[4096];
	json_error_t where;
	snprintf(quoted, sizeof(quoted), "%s", text);
	for (char *at = quoted; *at; at++)
		if (*at == '\'')
			*at = '"';
	json_t *json = json_loads(quoted, 0, &where);
	if (!json)
		fail_msg("%s", where.text);
	return json;
}

#endif
