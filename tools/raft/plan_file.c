#include "tools/raft/plan_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/states.h"
#include "node/file.h"

#define PLAN_BYTES_MAX (16u << 20)

static void plan_id(const json_t *plan, char id[PLAN_ID_SIZE])
{
	char hex[IDENTITY_HEX_SIZE];
	json_t *rest = json_copy((json_t *)plan);
	json_object_del(rest, "id");
	char *text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
	identity_sha256_hex(text, strlen(text), hex);
	snprintf(id, PLAN_ID_SIZE, "%.*s", PLAN_ID_SIZE - 1, hex);
	free(text);
	json_decref(rest);
}

void plan_seal(json_t *plan)
{
	char id[PLAN_ID_SIZE];
	json_object_set_new(plan, "schema", json_string(PLAN_SCHEMA));
	plan_id(plan, id);
	json_object_set_new(plan, "id", json_string(id));
}

int plan_write(const char *path, const json_t *plan, struct err *err)
{
	struct buffer text = {0};
	char *dump = json_dumps(plan, JSON_INDENT(2));
	if (!dump)
		abort();
	buffer_append(&text, dump, strlen(dump));
	buffer_append_u8(&text, '\n');
	int result = file_make(path, text.data, text.size);
	free(dump);
	buffer_close(&text);
	if (result == -EEXIST)
		return err_set(err, result, "%s is there already: name another file", path);
	return result ? err_set(err, result, "%s: %s", path, strerror(-result)) : 0;
}

int plan_read(const char *path, json_t **plan, struct err *err)
{
	json_error_t why;
	char id[PLAN_ID_SIZE];
	struct buffer read = {0};
	int result = file_read(path, PLAN_BYTES_MAX, &read);
	*plan = result
		    ? NULL
		    : json_loadb((const char *)read.data, read.size, JSON_REJECT_DUPLICATES, &why);
	buffer_close(&read);
	if (result)
		return err_set(err, result, "%s: %s", path,
		    result == -EINVAL ? "it is no file" : strerror(-result));
	if (!*plan)
		return err_set(err, -EBADMSG, "%s: line %d: %s", path, why.line, why.text);
	const char *schema = json_string_value(json_object_get(*plan, "schema"));
	const char *its = json_string_value(json_object_get(*plan, "id"));
	if (!schema || strcmp(schema, PLAN_SCHEMA) != 0) {
		result = err_set(err, -EBADMSG, "%s is no plan of `pvc raft recover plan`", path);
	} else {
		plan_id(*plan, id);
		if (!its || strcmp(its, id) != 0)
			result = err_set(err, -EBADMSG,
			    "%s was changed after it was made: its id does not fit", path);
	}
	if (result) {
		json_decref(*plan);
		*plan = NULL;
	}
	return result;
}

static uint64_t number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value ? value : "";
}

static int read_members(const json_t *plan, struct configuration *members)
{
	size_t i;
	const json_t *one;
	members->n = 0;
	json_array_foreach(json_object_get(plan, "members"), i, one)
	{
		int role = state_value(member_role_names, text(one, "role"));
		if (role < 0 || configuration_set(members, number(one, "id"), text(one, "address"),
				    (enum member_role)role))
			return -EBADMSG;
	}
	return configuration_voters(members) == 1 ? 0 : -EBADMSG;
}

int plan_step(const json_t *plan, uint64_t id, struct recover_step *step,
    struct configuration *members, struct err *err)
{
	size_t i;
	const json_t *one;
	json_array_foreach(json_object_get(plan, "survivors"), i, one)
	{
		if (number(one, "id") != id)
			continue;
		*step = (struct recover_step){.id = id,
		    .chosen = number(plan, "chosen"),
		    .term = number(plan, "term"),
		    .last = number(one, "last_index"),
		    .seen_term = number(one, "term"),
		    .seen_vote = number(one, "vote"),
		    .members = members,
		    .before = text(one, "before"),
		    .after = text(one, "after")};
		if (read_members(plan, members) || !step->term || !step->chosen)
			return err_set(err, -EBADMSG, "the plan does not make sense");
		return 0;
	}
	return err_set(err, -ENOENT, "node %" PRIu64 " is none of the plan's survivors", id);
}
