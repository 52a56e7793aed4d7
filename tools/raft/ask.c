#include "tools/raft/ask.h"

#include <errno.h>
#include <string.h>

int ask_daemon(
    struct client *client, const char *words, json_t *arguments, json_t **result, struct err *err)
{
	struct client_answer answer;
	struct operation_call call;
	*result = NULL;
	if (operation_read(words, arguments, &call, err))
		return -EIO;
	int asked = client_ask(client, &call, &answer, err);
	operation_call_close(&call);
	if (asked)
		return -EHOSTDOWN;
	int status = 0;
	if (*answer.code)
		status = err_set(
		    err, strcmp(answer.code, "EMSGSIZE") ? -EIO : -EMSGSIZE, "%s", answer.message);
	else
		*result = json_incref(answer.result);
	client_answer_close(&answer);
	return status;
}
