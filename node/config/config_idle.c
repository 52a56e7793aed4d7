#include "node/config/config_idle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/config/config_key.h"

static const char *const idle[] = {
#define IDLE(key) #key,
#include "node/config/config_idle.def"
};

#define PATH_MAX_SIZE 256

static bool is_idle(const char *path)
{
	for (size_t i = 0; i < sizeof(idle) / sizeof(*idle); i++)
		if (!strcmp(path, idle[i]))
			return true;
	return false;
}

/* The step's key with those of the groups around it; names is of all levels so far. */
static void path_print(
    const char *names[CONFIG_DEPTH_MAX], const struct config_step *step, char path[PATH_MAX_SIZE])
{
	size_t used = 0;
	names[step->depth] = step->key->name;
	*path = '\0';
	for (unsigned i = 0; i <= step->depth && used < PATH_MAX_SIZE; i++)
		used += (size_t)snprintf(
		    path + used, PATH_MAX_SIZE - used, "%s%s", i ? "." : "", names[i]);
}

static bool is_given(const struct config_step *step, const void *preset)
{
	struct buffer given = {0}, before = {0};
	if (step->key->kind == CONFIG_LIST)
		return *config_list_count(step->key, step->value) > 0;
	config_value_print(step->key, step->value, &given);
	config_value_print(step->key, preset, &before);
	bool same = given.size == before.size && !memcmp(given.data, before.data, given.size);
	buffer_close(&given);
	buffer_close(&before);
	return !same;
}

void config_idle_each(const struct config *c, void (*each)(void *data, const char *key), void *data)
{
	const struct config_key *keys = config_file_keys()->keys();
	struct config *preset = must_alloc(sizeof(*preset));
	const char *names[CONFIG_DEPTH_MAX];
	char path[PATH_MAX_SIZE];
	struct config_walk w;
	struct config_step step;
	config_record_init(keys, preset);
	/* The walk serves writers, too; nothing is written here. */
	config_walk_begin(&w, keys, (void *)(uintptr_t)c);
	while (config_walk_next(&w, &step)) {
		path_print(names, &step, path);
		size_t offset = (size_t)((const char *)step.value - (const char *)c);
		if (is_idle(path) && is_given(&step, (const char *)preset + offset))
			each(data, path);
	}
	free(preset);
}
