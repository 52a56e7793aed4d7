#include "tools/progress.h"

#include <string.h>

#define BAR_WIDTH 20

static json_int_t number(const json_t *movement, const char *name)
{
	return json_integer_value(json_object_get(movement, name));
}

void progress_bar(const json_t *movement, char text[PROGRESS_BAR_MAX])
{
	char bar[BAR_WIDTH + 1];
	json_int_t percent = number(movement, "percent");
	percent = percent < 0 ? 0 : percent > 100 ? 100 : percent;
	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < percent * BAR_WIDTH / 100 ? '#' : '-';
	bar[BAR_WIDTH] = 0;
	snprintf(text, PROGRESS_BAR_MAX,
	    "[%s] %3" JSON_INTEGER_FORMAT " %%, %" JSON_INTEGER_FORMAT
	    " MiB left, %" JSON_INTEGER_FORMAT " MiB/s, down %" JSON_INTEGER_FORMAT " ms",
	    bar, percent, number(movement, "left_mib"), number(movement, "rate_mib_s"),
	    number(movement, "downtime_ms"));
}

void progress_show(
    struct progress_line *line, const char *text, const json_t *movement, uint64_t now_ms)
{
	unsigned seconds = (unsigned)((now_ms - line->begun_ms) / 1000);
	char bar[PROGRESS_BAR_MAX] = "";
	if (movement)
		progress_bar(movement, bar);
	if (line->terminal)
		fprintf(line->out, "\r\033[K%s%s%s (%u s)", text, *bar ? " " : "", bar, seconds);
	else if (strcmp(line->said, text) != 0)
		fprintf(line->out, "%s\n", text);
	snprintf(line->said, sizeof(line->said), "%s", text);
	fflush(line->out);
}

void progress_end(struct progress_line *line)
{
	if (line->terminal)
		fputs("\r\033[K", line->out);
}
