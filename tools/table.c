#include "tools/table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "fsm/text.h"

#define COLUMNS_MAX 32
#define GAP	    2

struct text_table {
	unsigned columns;
	bool right[COLUMNS_MAX];
	char **cells; /* owned, and each of them */
	size_t count, capacity;
};

#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define RED    "\033[31m"
#define BOLD   "\033[1m"
#define PLAIN  "\033[0m"

static const struct {
	const char *word, *colour;
} words[] = {
    {"healthy", GREEN},
    {"degraded", YELLOW},
    {"critical", RED},
    {"run", GREEN},
    {"running", GREEN},
    {"primary", GREEN},
    {"ok", GREEN},
    {"leader", GREEN},
    {"init", YELLOW},
    {"shutdown", YELLOW},
    {"takeover", YELLOW},
    {"relinquish", YELLOW},
    {"candidate", YELLOW},
    {"flush", YELLOW},
    {"flushed", YELLOW},
    {"unflush", YELLOW},
    {"paused", YELLOW},
    {"stuck", YELLOW},
    {"unobservable", YELLOW},
    {"maintenance", YELLOW},
    {"warning", YELLOW},
    {"dead", RED},
    {"fenced", RED},
    {"fail", RED},
    {"failed", RED},
    {"crashed", RED},
    {"fence-flush", RED},
};

struct text_table *text_table_new(unsigned columns)
{
	struct text_table *t = must_alloc(sizeof(*t));
	t->columns = columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
	return t;
}

void text_table_free(struct text_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

void text_table_add(struct text_table *t, const char *text)
{
	if (t->count == t->capacity) {
		t->capacity = t->capacity ? t->capacity * 2 : 64;
		t->cells = must_realloc(t->cells, t->capacity * sizeof(*t->cells));
	}
	size_t size = strlen(text) + 1;
	char *copy = must_alloc(size);
	memcpy(copy, text, size);
	/* A cell is one line, and no terminal's business. */
	text_clean(copy, ' ');
	t->cells[t->count++] = copy;
}

void text_table_align_right(struct text_table *t, unsigned column)
{
	if (column < t->columns)
		t->right[column] = true;
}

enum table_colours table_colours(FILE *stream)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	if ((no && *no) || !term || !strcmp(term, "dumb") || !isatty(fileno(stream)))
		return TABLE_PLAIN;
	return TABLE_COLOURED;
}

void table_word(const char *text, enum table_colours colours, FILE *out)
{
	const char *colour = NULL;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(words[i].word, text))
			colour = words[i].colour;
	if (colour && colours == TABLE_COLOURED)
		fprintf(out, "%s%s" PLAIN, colour, text);
	else
		fputs(text, out);
}

/* Characters, not bytes, of UTF-8. */
static size_t width_of(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void pad(size_t n, FILE *out)
{
	while (n-- > 0)
		fputc(' ', out);
}

/* The last cell that has something in it: nothing is padded after it. */
static unsigned last_filled(const struct text_table *t, char *const *cells)
{
	unsigned last = t->columns - 1;
	while (last > 0 && !*cells[last])
		last--;
	return last;
}

static void print_cells(const struct text_table *t, char *const *cells, const size_t widths[],
    enum table_colours colours, FILE *out)
{
	unsigned last = last_filled(t, cells);
	for (unsigned column = 0; column <= last; column++) {
		size_t space = widths[column] - width_of(cells[column]);
		if (t->right[column])
			pad(space, out);
		table_word(cells[column], colours, out);
		if (!t->right[column] && column != last)
			pad(space, out);
		if (column != last)
			pad(GAP, out);
	}
}

void text_table_print(const struct text_table *t, enum table_colours colours, FILE *out)
{
	size_t widths[COLUMNS_MAX] = {0};
	size_t rows = t->count / t->columns;
	for (size_t i = 0; i < rows * t->columns; i++) {
		size_t width = width_of(t->cells[i]);
		if (width > widths[i % t->columns])
			widths[i % t->columns] = width;
	}
	for (size_t row = 0; row < rows; row++) {
		bool bold = row == 0 && colours == TABLE_COLOURED;
		fputs(bold ? BOLD : "", out);
		print_cells(t, t->cells + row * t->columns, widths, colours, out);
		fputs(bold ? PLAIN "\n" : "\n", out);
	}
}
