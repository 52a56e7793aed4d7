#include "tools/raft/command.h"

#include <errno.h>
#include <stdio.h>

#include "tools/answer.h"
#include "tools/applet.h"
#include "tools/cli.h"
#include "tools/help.h"
#include "tools/view.h"

static int run(const struct raft_command *command, int argc, char **argv);

#include "node/operation/operation_arguments.def"
#define RAFT(identifier, words, needs, what, exit, traits, ...)                                    \
	static const struct operation_argument identifier##_arguments[] = {__VA_ARGS__{0}};        \
	const struct raft_command raft_##identifier##_command = {                                  \
	    .operation = {.name = words,                                                           \
		.help = what,                                                                      \
		.arguments = identifier##_arguments,                                               \
		traits},                                                                           \
	    .exits = exit,                                                                         \
	    .run = raft_##identifier,                                                              \
	};                                                                                         \
	int applet_raft_##identifier(int argc, char **argv)                                        \
	{                                                                                          \
		return run(&raft_##identifier##_command, argc, argv);                              \
	}
#include "tools/raft/command.def"
#undef RAFT

/* Entries are counted from 1, and nobody asks for none of them. */
static int check_numbers(const struct operation_call *call, struct err *err)
{
	for (const struct operation_argument *a = call->operation->arguments; a->name; a++) {
		const json_t *number = json_object_get(call->arguments, a->name);
		if (json_is_integer(number) && !json_integer_value(number))
			return err_set(err, -EINVAL, "--%s is counted from 1", a->name);
	}
	return 0;
}

static int parse(
    const struct operation *o, const struct cli *cli, struct operation_call *call, struct err *err)
{
	int result = operation_parse_arguments(o, cli->words, cli->count, call, err);
	if (result)
		return result;
	result = check_numbers(call, err);
	if (result)
		operation_call_close(call);
	return result;
}

static int run(const struct raft_command *command, int argc, char **argv)
{
	const struct operation *o = &command->operation;
	struct operation_call parsed;
	struct cli cli;
	struct err err;
	int result = cli_read(&cli, argc, argv, &err);
	if (!result && cli.what == CLI_HELP) {
		help_operation(o, stdout);
		printf("\nExit status: %s.\n", command->exits);
		return CLI_DONE;
	}
	if (!result)
		result = parse(o, &cli, &parsed, &err);
	if (result) {
		fprintf(stderr, "pvc: %s\n", err.text);
		answer_failed(result, err.text);
		help_usage(o, stderr);
		return CLI_USAGE;
	}
	struct raft_call call = {
	    .command = command,
	    .arguments = parsed.arguments,
	    .socket = cli.socket,
	    .follow = parsed.follow,
	    .json = cli.format == CLI_JSON,
	};
	int status = command->run(&call);
	operation_call_close(&parsed);
	return status;
}

const char *raft_text(const struct raft_call *call, const char *name)
{
	return json_string_value(json_object_get(call->arguments, name));
}

uint64_t raft_number(const struct raft_call *call, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(call->arguments, name));
}

int raft_fail(const struct raft_call *call, int status, const struct err *err)
{
	fprintf(stderr, "pvc %s: %s\n", call->command->operation.name, err->text);
	answer_failed(status, err->text);
	return status == -EHOSTDOWN ? CLI_UNREACHABLE : CLI_REFUSED;
}

static void show(
    const struct raft_call *call, const char *view, const json_t *seen, const json_t *json)
{
	if (call->json)
		answer_json(json, JSON_INDENT(2));
	else
		view_print(view, seen, table_colours(stdout), stdout);
	fflush(stdout);
}

void raft_show(const struct raft_call *call, const char *view, json_t *json)
{
	show(call, view, json, json);
	json_decref(json);
}

void raft_show_part(const struct raft_call *call, const char *view, const char *field, json_t *json)
{
	show(call, view, json_object_get(json, field), json);
	json_decref(json);
}
