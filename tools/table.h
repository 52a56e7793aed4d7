/* Text in columns, for people.
 *
 * Cells are kept until all are there, because a column is as wide as its widest
 * cell. Words that say how something is doing have a colour; colours are used
 * on a terminal without NO_COLOR only. */
#ifndef TOOLS_TABLE_H
#define TOOLS_TABLE_H

#include <stdbool.h>
#include <stdio.h>

struct text_table;

struct text_table *text_table_new(unsigned columns);
void text_table_free(struct text_table *t);

/* The next cell, row by row; the first row is the heading. Copied. */
void text_table_add(struct text_table *t, const char *text);
/* Numbers stand on the right. */
void text_table_align_right(struct text_table *t, unsigned column);

enum table_colours { TABLE_PLAIN, TABLE_COLOURED };
/* For output to this stream, by the terminal, NO_COLOR and TERM. */
enum table_colours table_colours(FILE *stream);

void text_table_print(const struct text_table *t, enum table_colours colours, FILE *out);

/* text, in the colour that the word has, if it has one. */
void table_word(const char *text, enum table_colours colours, FILE *out);

#endif
