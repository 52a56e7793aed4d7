#include "tools/help.h"

#include <errno.h>
#include <string.h>

#include "tools/applet.h"

#define NAME_WIDTH 22

const char *help_option(const char *name, char text[64])
{
	snprintf(text, 64, "--%s", name);
	for (char *c = text; *c; c++)
		if (*c == '_')
			*c = '-';
	return text;
}

static const char *upper(const struct operation_argument *a, char text[64])
{
	const char *type = operation_type_text(a->type);
	/* Of two nodes each has a name of its own. */
	bool named = a->type == TYPE_TEXT || a->type == TYPE_NODE;
	snprintf(text, 64, "%s", named ? a->name : type);
	for (char *c = text; *c; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	return text;
}

static void usage_argument(const struct operation_argument *a, FILE *out)
{
	char option[64], value[64];
	switch (a->kind) {
	case ARGUMENT_NEEDED:
		fprintf(out, " %s", upper(a, value));
		return;
	case ARGUMENT_MAYBE:
		fprintf(out, " [%s]", upper(a, value));
		return;
	case ARGUMENT_MANY:
		fprintf(out, " %s...", upper(a, value));
		return;
	case ARGUMENT_OPTION:
		fprintf(out, " [%s %s]", help_option(a->name, option), upper(a, value));
		return;
	case ARGUMENT_DEMAND:
		fprintf(out, " %s", help_option(a->name, option));
		return;
	case ARGUMENT_FLAG:
		fprintf(out, " [%s]", help_option(a->name, option));
		return;
	}
}

void help_usage(const struct operation *o, FILE *out)
{
	fprintf(out, "usage: pvc %s", o->name);
	for (const struct operation_argument *a = o->arguments; a->name; a++)
		usage_argument(a, out);
	if (o->progress)
		fputs(o->waits_ms ? " [--timeout TIME]" : " [--wait] [--timeout TIME]", out);
	if (o->confirm)
		fputs(" [--yes]", out);
	if (o->follow)
		fputs(" [-f]", out);
	fputs(" [-f json]\n", out);
}

static void line(FILE *out, const char *name, const char *help)
{
	if (strlen(name) > NAME_WIDTH)
		fprintf(out, "  %s\n  %-*s  %s\n", name, NAME_WIDTH, "", help);
	else
		fprintf(out, "  %-*s  %s\n", NAME_WIDTH, name, help);
}

static void print_argument(const struct operation_argument *a, FILE *out)
{
	char name[160], help[400], option[64], value[64];
	const char *const *choices = operation_choices(a->type);
	bool positional = operation_positional(a);
	if (positional)
		snprintf(name, sizeof(name), "%s", upper(a, value));
	else
		snprintf(name, sizeof(name), "%s%s%s", help_option(a->name, option),
		    a->kind == ARGUMENT_OPTION ? " " : "",
		    a->kind == ARGUMENT_OPTION ? upper(a, value) : "");
	int used = snprintf(help, sizeof(help), "%s", a->help);
	for (unsigned i = 0; choices && choices[i]; i++)
		used += snprintf(
		    help + used, sizeof(help) - (size_t)used, "%s%s", i ? " " : ": ", choices[i]);
	if (a->preset)
		snprintf(help + used, sizeof(help) - (size_t)used, " (default %s)", a->preset);
	line(out, name, help);
}

void help_operation(const struct operation *o, FILE *out)
{
	help_usage(o, out);
	fprintf(out, "\n%s.\n\n", o->help);
	for (const struct operation_argument *a = o->arguments; a->name; a++)
		print_argument(a, out);
	if (o->progress && !o->waits_ms)
		line(out, "--wait", "come back only when it has come about");
	if (o->progress) {
		char text[64];
		snprintf(text, sizeof(text), "wait that long at most (default %us)",
		    o->waits_ms ? (unsigned)(o->waits_ms / 1000) : 120);
		line(out, "--timeout TIME", text);
	}
	if (o->confirm)
		line(out, "--yes", "do not ask to type the name again");
	if (o->follow)
		line(out, "-f, --follow", "go on with what is new");
	line(out, "-f json", "for programs");
	for (const struct applet *a = applets; a->words; a++)
		if (a->needs && a->shape != o && !strcmp(a->words, o->name))
			line(out, a->needs, a->help);
}

/* What of the name follows these words; NULL: they do not begin it. Whole words only. */
static const char *rest_of(const char *name, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		size_t length = strlen(words[i]);
		if (strncmp(name, words[i], length) != 0)
			return NULL;
		name += length;
		if (*name && *name != ' ')
			return NULL;
		name += *name == ' ';
	}
	return name;
}

static bool begins(const char *name, const char *const *words, unsigned n)
{
	return rest_of(name, words, n) != NULL;
}

bool help_is_area(const char *const *words, unsigned n)
{
	const struct operation *found;
	if (operation_match(words, n, &found))
		return false;
	for (const struct operation *o = operations; o->name; o++)
		if (begins(o->name, words, n))
			return true;
	for (const struct applet *a = applets; a->words; a++) {
		const char *rest = a->help ? rest_of(a->words, words, n) : NULL;
		if (rest && *rest)
			return true;
	}
	return false;
}

static void print_names(const char *const *words, unsigned n, FILE *out)
{
	for (const struct operation *o = operations; o->name; o++)
		if (begins(o->name, words, n))
			line(out, o->name, o->help);
	for (const struct applet *a = applets; a->words; a++)
		if (a->help && begins(a->words, words, n)) {
			char name[64];
			snprintf(name, sizeof(name), "%s%s%s", a->words, a->needs ? " " : "",
			    a->needs ? a->needs : "");
			line(out, name, a->help);
		}
}

static void print_everything(FILE *out)
{
	fputs("usage: pvc [-s SOCKET] COMMAND [ARGUMENTS] [-f json]\n\n", out);
	print_names(NULL, 0, out);
	fputs(
	    "\npvc COMMAND --help tells more. Exit status: 0 done, 1 refused or failed, 2 usage,\n"
	    "3 the daemon cannot be reached. PVC_SOCKET, or -s, names its socket.\n",
	    out);
}

int help_print(const char *const *words, unsigned n, FILE *out)
{
	const struct operation *found;
	if (n == 0) {
		print_everything(out);
		return 0;
	}
	if (operation_match(words, n, &found)) {
		help_operation(found, out);
		fprintf(out, "\nExit status: %s, 3 the daemon cannot be reached.\n",
		    found->exits ? found->exits : "0 done, 1 refused or failed, 2 usage");
		return 0;
	}
	for (const struct applet *a = applets; a->words; a++) {
		if (!a->help || !begins(a->words, words, n) || help_is_area(words, n))
			continue;
		if (a->shape)
			help_operation(a->shape, out);
		else
			fprintf(out, "pvc %s: %s.\npvc %s --help tells more.\n", a->words, a->help,
			    a->words);
		return 0;
	}
	if (!help_is_area(words, n))
		return -ENOENT;
	fputs("usage: pvc", out);
	for (unsigned i = 0; i < n; i++)
		fprintf(out, " %s", words[i]);
	fputs(" COMMAND [ARGUMENTS]\n\n", out);
	print_names(words, n, out);
	return 0;
}
