/* Completion: the shells ask the binary itself, so they always know what it knows. */
#include <stdio.h>
#include <string.h>

#include "tools/applet.h"
#include "tools/cli.h"
#include "tools/client.h"
#include "tools/help.h"

static const char bash_script[] = "# Completion of pvc for bash; made by: pvc completion bash\n"
				  "_pvc()\n"
				  "{\n"
				  "\tmapfile -t COMPREPLY < <(\"${COMP_WORDS[0]}\" complete "
				  "\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
				  "}\n"
				  "complete -o default -F _pvc pvc\n";

static const char zsh_script[] =
    "#compdef pvc\n"
    "# Completion of pvc for zsh; made by: pvc completion zsh\n"
    "local -a candidates\n"
    "candidates=(\"${(@f)$(\"${words[1]}\" complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
    "if [[ -n \"${candidates[1]}\" ]]; then\n"
    "\tcompadd -- \"${candidates[@]}\"\n"
    "else\n"
    "\t_files\n"
    "fi\n";

int applet_completion(int argc, char **argv)
{
	const char *shell = argc == 2 ? argv[1] : "";
	if (!strcmp(shell, "bash"))
		fputs(bash_script, stdout);
	else if (!strcmp(shell, "zsh"))
		fputs(zsh_script, stdout);
	else
		fputs(
		    "usage: pvc completion bash|zsh\n", strcmp(shell, "--help") ? stderr : stdout);
	return !strcmp(shell, "bash") || !strcmp(shell, "zsh") || !strcmp(shell, "--help")
		   ? CLI_DONE
		   : CLI_USAGE;
}

static void offer(const char *candidate, const char *begun)
{
	if (!strncmp(candidate, begun, strlen(begun)))
		puts(candidate);
}

/* Names of nodes or VMs, if the daemon tells, behind the bytes of begun that are kept. */
static void offer_names(const char *socket, const char *operation, const char *begun, int kept)
{
	struct client *client;
	struct client_answer answer = {0};
	struct operation_call call;
	struct err err;
	size_t i;
	const json_t *item;
	if (client_open(&client, socket, &err))
		return;
	if (operation_read(operation, NULL, &call, &err) == 0) {
		client_ask(client, &call, &answer, &err);
		json_array_foreach(answer.result, i, item)
		{
			const char *name = json_string_value(json_object_get(item, "name"));
			if (name && !strncmp(name, begun + kept, strlen(begun + kept)))
				printf("%.*s%s\n", kept, begun, name);
		}
		client_answer_close(&answer);
		operation_call_close(&call);
	}
	client_close(client);
}

static void offer_values(const struct cli *cli, enum argument_type type, const char *begun)
{
	const char *const *choices = operation_choices(type);
	const char *comma = operation_type_is_list(type) ? strrchr(begun, ',') : NULL;
	int kept = comma ? (int)(comma + 1 - begun) : 0;
	for (unsigned i = 0; choices && choices[i]; i++)
		offer(choices[i], begun);
	if (type == TYPE_NODE || type == TYPE_NODES)
		offer_names(cli->socket, "node list", begun, kept);
	if (type == TYPE_VM)
		offer_names(cli->socket, "vm list", begun, 0);
}

static void offer_options(const struct operation *o, const char *begun)
{
	char option[64];
	for (const struct operation_argument *a = o->arguments; a->name; a++)
		if (!operation_positional(a))
			offer(help_option(a->name, option), begun);
	if (o->progress) {
		if (!o->waits_ms)
			offer("--wait", begun);
		offer("--timeout", begun);
	}
	if (o->confirm)
		offer("--yes", begun);
	if (o->follow)
		offer("--follow", begun);
	for (const struct applet *a = applets; a->words; a++)
		if (a->needs && a->shape != o && !strcmp(a->words, o->name))
			for (const char *at = a->needs; (at = applet_need(at, option));)
				offer(option, begun);
	offer("--format", begun);
	offer("--help", begun);
}

/* The option of o that this word is and that wants a value, or NULL. */
static const struct operation_argument *wants_value(const struct operation *o, const char *word)
{
	char option[64];
	for (const struct operation_argument *a = o->arguments; a->name; a++)
		if (a->kind == ARGUMENT_OPTION && !strcmp(help_option(a->name, option), word))
			return a;
	return NULL;
}

static const struct operation_argument *positional(const struct operation *o, unsigned which)
{
	for (const struct operation_argument *a = o->arguments; a->name; a++) {
		if (!operation_positional(a))
			continue;
		if (which-- == 0 || a->kind == ARGUMENT_MANY)
			return a;
	}
	return NULL;
}

/* After the operation's name: words between it and what is begun are given. */
static void offer_arguments(const struct cli *cli, const struct operation *o, unsigned used)
{
	const char *begun = cli->words[cli->count - 1];
	const struct operation_argument *value = NULL;
	unsigned given = 0;
	for (unsigned i = used; i + 1 < cli->count; i++) {
		bool is_value = value != NULL;
		value = is_value ? NULL : wants_value(o, cli->words[i]);
		given += !is_value && cli->words[i][0] != '-';
	}
	const struct operation_argument *next = positional(o, given);
	if (value)
		offer_values(cli, value->type, begun);
	else if (begun[0] == '-')
		offer_options(o, begun);
	else if (next)
		offer_values(cli, next->type, begun);
}

/* The word of name that follows the first n words of the line; NULL: it is another name. */
static const char *next_word(const char *name, const struct cli *cli, char word[64])
{
	for (unsigned i = 0; i + 1 < cli->count; i++) {
		size_t length = strlen(cli->words[i]);
		if (strncmp(name, cli->words[i], length) != 0 || name[length] != ' ')
			return NULL;
		name += length + 1;
	}
	snprintf(word, 64, "%.*s", (int)strcspn(name, " "), name);
	return word;
}

/* The first words of many names are the same: each is offered once. */
static void offer_words(const struct cli *cli)
{
	char words[64][64];
	unsigned count = 0;
	const char *names[256];
	unsigned names_count = 0;
	for (const struct operation *o = operations; o->name && names_count < 256; o++)
		names[names_count++] = o->name;
	for (const struct applet *a = applets; a->words && names_count < 256; a++)
		if (a->help)
			names[names_count++] = a->words;
	for (unsigned i = 0; i < names_count && count < 64; i++) {
		unsigned known = 0;
		if (!next_word(names[i], cli, words[count]))
			continue;
		while (strcmp(words[known], words[count]) != 0)
			known++;
		if (known != count)
			continue;
		offer(words[count++], cli->words[cli->count - 1]);
	}
}

/* What the line is about, by its whole words: an operation, or an applet that has the shape of
 * one. Returns how many words name it, 0 for nothing. */
static unsigned match(const struct cli *cli, const struct operation **o)
{
	for (const struct applet *a = applets; a->words; a++) {
		unsigned n = cli->count - 1;
		unsigned used = operation_words(a->words, cli->words, n);
		if (!used || !a->shape || !applet_asked(a, cli->words + used, n - used))
			continue;
		*o = a->shape;
		return used;
	}
	return operation_match(cli->words, cli->count - 1, o);
}

int applet_complete(int argc, char **argv)
{
	struct cli cli;
	const struct operation *o = NULL;
	struct err err;
	if (argc < 2 || cli_read(&cli, argc, argv, &err) || cli.count == 0)
		return CLI_USAGE;
	unsigned used = match(&cli, &o);
	if (used)
		offer_arguments(&cli, o, used);
	else
		offer_words(&cli);
	return CLI_DONE;
}
