#include "tools/newcomer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/operation/json.h"
#include "tools/answer.h"
#include "tools/cli.h"
#include "tools/table.h"

static const char *const names[] = {"bootstrap", "join"};
static const char *const usages[] = {
    "usage: pvc cluster bootstrap [--config FILE] [--plan] [-f json]\n"
    "Make this machine the first node of a new cluster: data directory, certificate\n"
    "authority, certificate and log. The machine is looked at first. --plan shows what is\n"
    "found and what would be made, and changes nothing. What is there is never overwritten.\n"
    "Exit status: 0 done, 1 refused or failed, 2 usage or configuration.\n",
    "usage: pvc cluster join TOKEN [--config FILE] [--plan] [-f json]\n"
    "Make this machine a node of the cluster that gave the token (pvc cluster token). The\n"
    "machine is looked at first. --plan shows what is found and what would be made, asks\n"
    "nobody to be let in and changes nothing. A join that was cut off can be repeated with\n"
    "the same token. What is there is never overwritten.\n"
    "Exit status: 0 done, 1 refused or failed, 2 usage or configuration.\n",
};

static int usage(const struct newcomer *n, FILE *out, int status)
{
	fputs(usages[n->kind], out);
	return status;
}

static int complain(const struct newcomer *n, int status)
{
	fprintf(stderr, "pvc cluster %s: %s\n", names[n->kind], n->err.text);
	answer_failed(status, n->err.text);
	return CLI_REFUSED;
}

/* One word of the command line. -EINVAL: it is none. */
static int read_word(struct newcomer *n, const struct cli *cli, unsigned *at)
{
	const char *word = cli->words[*at];
	bool joins = n->kind == NEWCOMER_JOIN;
	if (!strncmp(word, "--config=", 9))
		n->config_path = word + 9;
	else if ((!strcmp(word, "--config") || !strcmp(word, "-c")) && *at + 1 < cli->count)
		n->config_path = cli->words[++*at];
	else if (!strcmp(word, "--plan"))
		n->plan = true;
	else if (joins && word[0] != '-' && !n->token_text)
		n->token_text = word;
	else
		return -EINVAL;
	return 0;
}

static int read_words(struct newcomer *n, int argc, char **argv)
{
	struct cli cli;
	if (cli_read(&cli, argc, argv, &n->err)) {
		complain(n, -EINVAL);
		return CLI_USAGE;
	}
	if (cli.what == CLI_HELP)
		return usage(n, stdout, CLI_DONE);
	n->json = cli.format == CLI_JSON;
	for (unsigned i = 0; i < cli.count; i++)
		if (read_word(n, &cli, &i))
			return usage(n, stderr, CLI_USAGE);
	if (n->kind == NEWCOMER_JOIN && !n->token_text)
		return usage(n, stderr, CLI_USAGE);
	n->config_path = config_path(n->config_path);
	return -1;
}

static int read_config(struct newcomer *n)
{
	struct buffer problems = {0};
	int result = config_load(&n->config, n->config_path, &problems);
	fprintf(stderr, "%.*s", (int)problems.size, (const char *)problems.data);
	buffer_append_u8(&problems, 0);
	problems.data[strcspn((const char *)problems.data, "\n")] = 0;
	if (result)
		answer_failed(-EINVAL, (const char *)problems.data);
	buffer_close(&problems);
	return result ? CLI_USAGE : -1;
}

bool newcomer_is_coordinator(const struct newcomer *n)
{
	for (unsigned i = 0; i < n->config.cluster.coordinators_count; i++)
		if (!strcmp(n->config.cluster.coordinators[i], n->config.node))
			return true;
	return false;
}

static json_t *begin_json(struct newcomer *n)
{
	enum founding_role role = n->kind == NEWCOMER_BOOTSTRAP ? FOUNDING_FIRST
				  : newcomer_is_coordinator(n)	? FOUNDING_COORDINATOR
								: FOUNDING_OTHER;
	struct buffer text = {0};
	config_print(&n->config, &text);
	json_t *json =
	    json_pack("{s:o, s:b, s:b, s:n, s:{s:o, s:n, s:o}, s:{s:o, s:n}, s:o, s:o, s:o, s:[]}",
		"schema", json_sprintf("cluster-%s/1", names[n->kind]), "plan", (int)n->plan,
		"done", 0, "error", "node", "name", json_text(n->config.node), "id", "address",
		json_text(n->peer), "cluster", "name", json_text(n->config.cluster.name), "id",
		"checks", survey_json(&n->survey), "makes", founding_plan(&n->founding, role),
		"configuration", json_bytes(text.data, text.size), "next");
	buffer_close(&text);
	return json;
}

static int look_around(struct newcomer *n)
{
	struct survey_subject subject = {
	    .config = &n->config,
	    .config_path = n->config_path,
	    .token = n->kind == NEWCOMER_JOIN ? &n->token : NULL,
	};
	int result = 0;
	if (n->kind == NEWCOMER_JOIN)
		result = token_decode(n->token_text, strlen(n->token_text), &n->token, &n->err);
	if (!result)
		result = founding_look(&n->founding, &n->err);
	if (result)
		return complain(n, result);
	survey_run(&subject, &n->survey);
	if (!n->json)
		survey_print(&n->survey, stdout);
	fflush(stdout);
	return -1;
}

int newcomer_begin(struct newcomer *n, int argc, char **argv)
{
	int status = read_words(n, argc, argv);
	if (status < 0)
		status = read_config(n);
	if (status >= 0)
		return status;
	umask(0077);
	config_peer(&n->config, n->peer);
	founding_of(&n->founding, &n->config);
	status = look_around(n);
	if (status >= 0)
		return status;
	n->said = begin_json(n);
	if (survey_verdict(&n->survey) != SURVEY_FAILED)
		return -1;
	int result =
	    err_set(&n->err, -EINVAL, "this machine is not fit to be a node yet; nothing was done");
	return newcomer_end(n, result, "");
}

void newcomer_next(struct newcomer *n, const char *format, ...)
{
	char line[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	json_array_append_new(json_object_get(n->said, "next"), json_text(line));
}

static const char *text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void show_plan(const struct newcomer *n)
{
	struct text_table *t = text_table_new(3);
	const json_t *one;
	size_t i;
	text_table_add(t, "MODE");
	text_table_add(t, "WOULD MAKE");
	text_table_add(t, "WHAT");
	json_array_foreach(json_object_get(n->said, "makes"), i, one)
	{
		text_table_add(t, text_of(one, "mode"));
		text_table_add(t, text_of(one, "path"));
		text_table_add(t, text_of(one, "what"));
	}
	fputc('\n', stdout);
	text_table_print(t, table_colours(stdout), stdout);
	text_table_free(t);
}

/* What was done beside the rest. */
static void show_aside(const struct newcomer *n)
{
	const char *aside = text_of(n->said, "log_set_aside");
	if (aside)
		printf("A log that was there, and nobody's, is kept in %s.\n", aside);
}

static void show_next(const struct newcomer *n)
{
	const json_t *next = json_object_get(n->said, "next"), *one;
	size_t i;
	if (json_array_size(next))
		puts("Next:");
	json_array_foreach(next, i, one) printf("  %s\n", json_string_value(one));
}

int newcomer_end(struct newcomer *n, int result, const char *headline)
{
	if (result < 0)
		answer_failed(result, n->err.text);
	if (result < 0)
		json_object_set_new(n->said, "error", answer_error());
	else
		json_object_set_new(n->said, "done", json_boolean(!n->plan));
	if (n->founding.log_set_aside)
		json_object_set_new(n->said, "log_set_aside",
		    json_sprintf("%s/%s", n->founding.log, n->founding.aside));
	if (n->json) {
		answer_json(n->said, JSON_INDENT(2));
	} else {
		if (n->plan)
			show_plan(n);
		if (*headline)
			printf("\n%s\n", headline);
		show_aside(n);
		if (result >= 0)
			show_next(n);
		if (n->plan)
			puts("\nNothing was done.");
	}
	fflush(stdout);
	json_decref(n->said);
	n->said = NULL;
	return result < 0 ? complain(n, result) : CLI_DONE;
}
