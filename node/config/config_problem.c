#include "node/config/config_problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct config_problem {
	unsigned line, column;
	unsigned order; /* qsort keeps none */
	char text[400];
};

void config_problems_close(struct config_problems *p)
{
	free(p->list);
	free(p->places);
	*p = (struct config_problems){0};
}

static void problem_add(
    struct config_problems *p, unsigned line, unsigned column, const char *format, va_list args)
{
	if (p->count == CONFIG_PROBLEMS_MAX) {
		p->more++;
		return;
	}
	if (!p->list)
		p->list = must_alloc(CONFIG_PROBLEMS_MAX * sizeof(*p->list));
	struct config_problem *problem = &p->list[p->count];
	problem->line = line;
	problem->column = column;
	problem->order = p->count++;
	vsnprintf(problem->text, sizeof(problem->text), format, args);
}

void config_problem(
    struct config_problems *p, unsigned line, unsigned column, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	problem_add(p, line, column, format, args);
	va_end(args);
}

void config_problem_at(struct config_problems *p, const void *value, const char *format, ...)
{
	const struct config_place *place = config_place_find(p, value, NULL);
	va_list args;
	va_start(args, format);
	problem_add(p, place ? place->line : 1, place ? place->column : 1, format, args);
	va_end(args);
}

bool config_problem_on(const struct config_problems *p, unsigned among, unsigned line)
{
	for (unsigned i = 0; i < among; i++)
		if (p->list[i].line == line)
			return true;
	return false;
}

void config_place_add(struct config_problems *p, const struct config_place *place)
{
	/* Room is made in powers of two: when the count is one, it is used up. */
	if ((p->places_count & (p->places_count - 1)) == 0) {
		size_t room = p->places_count ? p->places_count * 2u : 1;
		p->places = must_realloc(p->places, room * sizeof(*p->places));
	}
	p->places[p->places_count++] = *place;
}

struct config_place *config_place_find(
    const struct config_problems *p, const void *value, const void *key)
{
	for (unsigned i = p->places_count; i-- > 0;)
		if (p->places[i].value == value && (!key || p->places[i].key == key))
			return &p->places[i];
	return NULL;
}

static int problem_compare(const void *left, const void *right)
{
	const struct config_problem *a = left, *b = right;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

int config_problems_print(struct config_problems *p, const char *file_name, struct buffer *out)
{
	if (p->count == 0)
		return 0;
	qsort(p->list, p->count, sizeof(*p->list), problem_compare);
	for (unsigned i = 0; i < p->count; i++)
		buffer_print(out, "%s:%u:%u: %s\n", file_name, p->list[i].line, p->list[i].column,
		    p->list[i].text);
	if (p->more)
		buffer_print(out, "%s: and %u more problems\n", file_name, p->more);
	return -EINVAL;
}
