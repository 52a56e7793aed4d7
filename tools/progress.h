/* The line on which a person who waits sees how far it has come.
 *
 * On a terminal it is one line that changes, with a bar while a VM's memory is copied. Elsewhere,
 * such as in a log, there is a line for each text that is another one, and no figures. */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress_line {
	FILE *out;
	bool terminal;
	uint64_t begun_ms;
	char said[512];
};

/* movement: the member of that name of what a daemon answers to the question for progress, or
 * NULL. now_ms: of the same clock as begun_ms. */
void progress_show(
    struct progress_line *line, const char *text, const json_t *movement, uint64_t now_ms);

/* Take the line away, so that what is printed next stands in its place. */
void progress_end(struct progress_line *line);

#define PROGRESS_BAR_MAX 128
/* "[######--------------]  30 %, 1200M left, 110 MiB/s, down 300 ms" */
void progress_bar(const json_t *movement, char text[PROGRESS_BAR_MAX]);

#endif
