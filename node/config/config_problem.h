/* What is wrong in a configuration file, collected while it is read, and where
 * in the file each value stood.
 *
 * All problems are told at once and in the order of the file, whatever the
 * order in which they are found. */
#ifndef NODE_CONFIG_CONFIG_PROBLEM_H
#define NODE_CONFIG_CONFIG_PROBLEM_H

#include "node/config/config.h"

#define CONFIG_PROBLEMS_MAX 100 /* more are counted */

struct config_place {
	const void *value; /* in the configuration */
	const void *key; /* a part has the address of its first key: this tells them apart */
	unsigned line, column;
	bool refused; /* what stood there was not taken */
};

struct config_problems {
	struct config_problem *list;
	unsigned count, more;
	struct config_place *places;
	unsigned places_count;
};

void config_problems_close(struct config_problems *p);

/* Lines and columns count from 1. */
void config_problem(struct config_problems *p, unsigned line, unsigned column, const char *format,
    ...) __attribute__((format(printf, 4, 5)));

/* A problem with a value that was understood; at the start of the file when
 * it was not given. */
void config_problem_at(struct config_problems *p, const void *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Is one of the first `among` problems found on this line? */
bool config_problem_on(const struct config_problems *p, unsigned among, unsigned line);

/* Remember where a value stood. */
void config_place_add(struct config_problems *p, const struct config_place *place);

/* The place of a value, or NULL. key NULL: whichever was given last. */
struct config_place *config_place_find(
    const struct config_problems *p, const void *value, const void *key);

/* Append the problems, a line each. Returns 0 or -EINVAL. */
int config_problems_print(struct config_problems *p, const char *file_name, struct buffer *out);

/* config_yaml.c: read text into c, which holds the defaults. Returns false when
 * it could not be read to its end, so that nothing is known of what is missing. */
bool config_yaml_read(struct config *c, const char *text, size_t size, struct config_problems *p);

/* config_rules.c: what must hold between values. */
void config_rules_check(const struct config *c, struct config_problems *p);

#endif
