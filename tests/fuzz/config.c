/* Any bytes: problems that each say where they are, or a configuration that is
 * printed as a text that parses to itself. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(struct config *c, const void *text, size_t size, struct buffer *problems)
{
	return config_parse(c, "f", text, size, problems);
}

/* Every line of the problems is "f:LINE:COLUMN: what" or the count of the rest. */
static void judge_problems(const struct buffer *problems)
{
	const char *line = (const char *)problems->data, *end = line + problems->size;
	if (problems->size == 0 || end[-1] != '\n' || memchr(line, '\0', problems->size))
		abort();
	for (; line < end; line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1) {
		if (strncmp(line, "f:", 2) != 0)
			abort();
		if (line[2] == '0' || (line[2] > '9' && line[2] != ' '))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	struct buffer problems = {0}, once = {0}, twice = {0};
	int rc = parse(&config, data, size, &problems);
	if (rc == 0) {
		config_print(&config, &once);
		if (problems.size || parse(&config, once.data, once.size, &problems) != 0)
			abort();
		config_print(&config, &twice);
		if (once.size != twice.size || memcmp(once.data, twice.data, once.size) != 0)
			abort();
	} else {
		if (rc != -EINVAL)
			abort();
		judge_problems(&problems);
	}
	buffer_close(&problems);
	buffer_close(&once);
	buffer_close(&twice);
	return 0;
}
