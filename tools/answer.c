#include "tools/answer.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Of the process: it answers once. */
static struct {
	bool printed;
	json_t *error;
} answer;

void answer_json(const json_t *json, size_t flags)
{
	answer.printed = true;
	json_dumpf(json, stdout, flags);
	fputc('\n', stdout);
	fflush(stdout);
}

void answer_refused(const char *code, const char *message, const char *hint)
{
	if (answer.error)
		return;
	answer.error = json_pack("{s:s, s:s}", "code", code, "message", message);
	/* Nobody promised that a message, which may quote anything, is UTF-8. */
	if (!answer.error)
		answer.error = json_pack("{s:s, s:s}", "code", code, "message",
		    "see standard error: it cannot be written in JSON");
	if (*hint)
		json_object_set_new(answer.error, "hint", json_string(hint));
}

void answer_failed(int status, const char *message)
{
	const char *code = status < 0 ? strerrorname_np(-status) : NULL;
	answer_refused(code ? code : "EIO", message, "");
}

json_t *answer_error(void)
{
	return json_incref(answer.error);
}

void answer_end(void)
{
	if (answer.printed)
		return;
	if (!answer.error)
		answer_refused("EINVAL", "see standard error", "");
	json_t *json = json_pack("{s:s, s:O}", "schema", "error/1", "error", answer.error);
	answer_json(json, JSON_INDENT(2));
	json_decref(json);
}
