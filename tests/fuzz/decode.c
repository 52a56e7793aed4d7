/* Any bytes on the standard input of `pvc raft decode`: told, or none of what there is. */
#include <stdlib.h>
#include <string.h>

#include "tools/raft/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int right)
{
	if (!right)
		abort();
}

/* What is told can be printed, and has a text for each operation. */
static void look(json_t *json)
{
	size_t i;
	const json_t *operation;
	if (!json)
		return;
	char *text = json_dumps(json, JSON_COMPACT);
	check(text != NULL);
	free(text);
	check(json_is_string(json_object_get(json, "what")));
	json_array_foreach(json_object_get(json, "operations"), i, operation)
	    check(json_is_string(json_object_get(operation, "text")));
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer text = {0};
	look(decode_bytes(data, size));
	buffer_append(&text, data, size);
	look(decode_text(&text));
	buffer_close(&text);
	return 0;
}
