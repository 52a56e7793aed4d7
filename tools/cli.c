#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fsm/buffer.h"
#include "node/guess.h"
#include "node/operation/json.h"
#include "node/operation/operation.h"
#include "tools/answer.h"
#include "tools/applet.h"
#include "tools/client.h"
#include "tools/help.h"
#include "tools/progress.h"
#include "tools/view.h"

#define FILE_MAX     (1u << 20)
#define FOLLOW_MS    250
#define PROGRESS_MS  1000 /* the line is brought up to date at least so often */
#define RECONNECT_MS 200

#define APPLET_WORDS_MAX 3

static bool is_format(const char *word)
{
	return !strcmp(word, "json") || !strcmp(word, "table");
}

/* -f json, -fjson, --format=json. Returns how many arguments it is made of, 0 for none, or
 * -EINVAL. `-f` with another word is the operation's own (pvc node log N -f). */
static int read_format(struct cli *cli, const char *word, const char *next, struct err *err)
{
	const char *value = NULL;
	int used = 1;
	if (!strncmp(word, "--format=", 9))
		value = word + 9;
	else if (!strncmp(word, "-f", 2) && word[2])
		value = word + 2;
	else if (!strcmp(word, "--format") || (!strcmp(word, "-f") && next && is_format(next)))
		value = next, used = 2;
	else
		return 0;
	if (!value || !is_format(value))
		return err_set(err, -EINVAL, "%s wants json or table", word);
	cli->format = !strcmp(value, "json") ? CLI_JSON : CLI_TABLE;
	return used;
}

/* Options that stand before the command. Returns as read_format. */
static int read_leading(struct cli *cli, const char *word, const char *next, struct err *err)
{
	if (!strcmp(word, "--version")) {
		cli->what = CLI_VERSION;
		return 1;
	}
	if (!strncmp(word, "--socket=", 9)) {
		cli->socket = word + 9;
		return 1;
	}
	if (strcmp(word, "-s") != 0 && strcmp(word, "--socket") != 0)
		return 0;
	if (!next)
		return err_set(err, -EINVAL, "%s wants the path of a socket", word);
	cli->socket = next;
	return 2;
}

static int read_option(struct cli *cli, const char *word, const char *next, struct err *err)
{
	if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
		cli->what = CLI_HELP;
		return 1;
	}
	int used = cli->count ? 0 : read_leading(cli, word, next, err);
	if (!used)
		used = read_format(cli, word, next, err);
	return used;
}

int cli_read(struct cli *cli, int argc, char **argv, struct err *err)
{
	const char *socket = getenv("PVC_SOCKET");
	*cli = (struct cli){.socket = socket && *socket ? socket : CLIENT_SOCKET};
	bool options = true;
	for (int i = 1; i < argc;) {
		options = options && strcmp(argv[i], "--") != 0;
		int used =
		    options ? read_option(cli, argv[i], i + 1 < argc ? argv[i + 1] : NULL, err) : 0;
		if (used < 0)
			return used;
		if (!used && cli->count == CLI_WORDS_MAX)
			return err_set(err, -EINVAL, "more than %u words", CLI_WORDS_MAX);
		if (!used)
			cli->words[cli->count++] = argv[i];
		i += used ? used : 1;
	}
	return 0;
}

bool cli_wants_json(int argc, char **argv)
{
	struct cli cli = {.format = CLI_TABLE};
	struct err err;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		read_format(&cli, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &err);
	return cli.format == CLI_JSON;
}

static int complain(enum cli_exit status, int code, const char *message)
{
	fprintf(stderr, "pvc: %s\n", message);
	answer_failed(code, message);
	return status;
}

static int read_all(int fd, struct buffer *text)
{
	char bytes[16384];
	ssize_t n;
	while ((n = read(fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buffer_append(text, bytes, (size_t)n);
		if (text->size > FILE_MAX)
			return -EFBIG;
	}
	return 0;
}

/* The text of the file that is named, as the argument; 0 or -errno with err. */
static int read_file(json_t *arguments, const char *name, struct err *err)
{
	const char *path = json_string_value(json_object_get(arguments, name));
	bool piped = !strcmp(path, "-");
	struct buffer text = {0};
	int fd = piped ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int result = fd < 0 ? -errno : read_all(fd, &text);
	if (fd >= 0 && !piped)
		close(fd);
	if (result)
		err_set(err, result, "%s: %s", path, strerror(-result));
	json_t *value = result ? NULL : json_stringn((const char *)text.data, text.size);
	if (!result && !text.size)
		result = err_set(err, -EINVAL, "%s: is empty", path);
	else if (!result && !value)
		result = err_set(err, -EINVAL, "%s: is not UTF-8", path);
	buffer_close(&text);
	if (result)
		json_decref(value);
	else
		json_object_set_new(arguments, name, value);
	return result;
}

static int read_files(struct operation_call *call, struct err *err)
{
	for (const struct operation_argument *a = call->operation->arguments; a->name; a++) {
		if (a->type != TYPE_FILE || !json_object_get(call->arguments, a->name))
			continue;
		int result = read_file(call->arguments, a->name, err);
		if (result)
			return result;
	}
	return 0;
}

/* Some things are not done before a person has typed the name again. */
static bool confirmed(const struct operation_call *call)
{
	const struct operation *o = call->operation;
	char line[256];
	if (!o->confirm || call->yes)
		return true;
	const char *name = json_string_value(json_object_get(call->arguments, o->confirm));
	fprintf(stderr, "pvc %s %s: %s\n%s\nType the name to go on: ", o->name, name, o->help,
	    o->warning);
	fflush(stderr);
	if (!fgets(line, sizeof(line), stdin))
		return false;
	line[strcspn(line, "\n")] = 0;
	return !strcmp(line, name);
}

/* Of what only reads, nothing can be invalid but what was typed. */
static int refused(const struct operation *o, const struct client_answer *answer)
{
	bool mistyped = o->access == ACCESS_READ && !strcmp(answer->code, "EINVAL");
	answer_refused(answer->code, answer->message, answer->hint);
	fprintf(stderr, "pvc: %s\n", answer->message);
	if (*answer->hint)
		fprintf(stderr, "     %s\n", answer->hint);
	return mistyped ? CLI_USAGE : CLI_REFUSED;
}

static void show(const struct cli *cli, const char *operation, const json_t *result)
{
	if (cli->format == CLI_JSON)
		answer_json(result, JSON_INDENT(2) | JSON_SHORT | JSON_ENCODE_ANY);
	else
		view_print(operation, result, table_colours(stdout), stdout);
	fflush(stdout);
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A daemon that is started again meanwhile is no reason to give up. */
static int wait_again(struct client **client, const struct cli *cli, struct err *err)
{
	client_close(*client);
	*client = NULL;
	poll(NULL, 0, RECONNECT_MS);
	return client_open(client, cli->socket, err);
}

enum waited { WAITED_PENDING, WAITED_DONE, WAITED_FAILED, WAITED_LOST };

/* What is known of it so far. */
struct waiting {
	char text[ERR_TEXT_MAX];
	json_t *movement; /* owned; NULL: no memory is copied */
};

static void waiting_close(struct waiting *w)
{
	json_decref(w->movement);
	w->movement = NULL;
}

/* Ask once; w gets what is to be said. */
static enum waited wait_look(
    struct client *client, const struct operation_call *call, struct waiting *w)
{
	struct client_answer answer;
	struct err err;
	enum waited state = WAITED_PENDING;
	waiting_close(w);
	if (client_ask_progress(client, call, &answer, &err)) {
		snprintf(w->text, sizeof(w->text), "%s", err.text);
		return WAITED_LOST;
	}
	const char *its = json_string_value(json_object_get(answer.result, "state"));
	const char *said = json_string_value(json_object_get(answer.result, "text"));
	snprintf(w->text, sizeof(w->text), "%.*s", ERR_TEXT_MAX - 1, said ? said : answer.message);
	w->movement = json_incref(json_object_get(answer.result, "movement"));
	if (!its || !strcmp(its, "failed"))
		state = WAITED_FAILED;
	else if (!strcmp(its, "done"))
		state = WAITED_DONE;
	client_answer_close(&answer);
	return state;
}

/* Until it has come about, can no longer, or the time is over. The client may be another one
 * afterwards. */
static enum waited wait_for(struct client **client, const struct cli *cli,
    const struct operation_call *call, struct waiting *w)
{
	struct progress_line line = {
	    .out = stderr, .terminal = isatty(STDERR_FILENO), .begun_ms = now_ms()};
	uint64_t deadline_ms = line.begun_ms + call->timeout_ms;
	enum waited state;
	for (;;) {
		struct err err;
		state = *client ? wait_look(*client, call, w) : WAITED_LOST;
		if (state == WAITED_DONE || state == WAITED_FAILED || now_ms() >= deadline_ms)
			break;
		progress_show(&line, w->text, w->movement, now_ms());
		uint64_t left_ms = deadline_ms - now_ms();
		if (state == WAITED_LOST && wait_again(client, cli, &err))
			snprintf(w->text, sizeof(w->text), "%s", err.text);
		else if (state == WAITED_PENDING)
			client_wait(
			    *client, left_ms < PROGRESS_MS ? (unsigned)left_ms : PROGRESS_MS, &err);
	}
	progress_end(&line);
	return state;
}

static int wait_and_say(
    struct client **client, const struct cli *cli, const struct operation_call *call)
{
	struct waiting w = {0};
	struct err late;
	enum waited state = wait_for(client, cli, call, &w);
	waiting_close(&w);
	switch (state) {
	case WAITED_DONE:
		if (cli->format == CLI_TABLE)
			printf("%s\n", w.text);
		return CLI_DONE;
	case WAITED_FAILED:
		return complain(CLI_REFUSED, -ECANCELED, w.text);
	case WAITED_LOST:
		return complain(CLI_UNREACHABLE, -ECONNRESET, w.text);
	case WAITED_PENDING:
		break;
	}
	err_set(&late, 0, "not yet after %u s: %s", (unsigned)(call->timeout_ms / 1000), w.text);
	return complain(CLI_REFUSED, -ETIMEDOUT, late.text);
}

/* The part of an answer that more of can follow: lines, or entries. */
static const json_t *more_of(const json_t *result)
{
	const json_t *lines = json_object_get(result, "lines");
	return lines ? lines : json_object_get(result, "entries");
}

/* For programs an entry is a line, and a line of text is one too. */
static void show_more(const struct cli *cli, const char *operation, const json_t *result)
{
	size_t i;
	const json_t *one;
	if (cli->format == CLI_TABLE)
		view_print_more(operation, result, stdout);
	else if (json_object_get(result, "lines"))
		answer_json(result, JSON_INDENT(2) | JSON_SHORT);
	else
		json_array_foreach(more_of(result), i, one)
		{
			answer_json(one, JSON_COMPACT | JSON_SHORT);
		}
	fflush(stdout);
}

/* Ask the same again for what is new, until the daemon or the reader goes away. */
static int follow(struct client *client, const struct cli *cli, struct operation_call *call,
    struct client_answer *answer)
{
	for (;;) {
		struct err err;
		json_t *newest = json_incref(json_object_get(answer->result, "newest"));
		json_object_set_new(call->arguments, "after", newest);
		json_object_set_new(call->arguments, "last", json_integer(100000));
		bool more = json_is_true(json_object_get(answer->result, "more"));
		client_answer_close(answer);
		if (!more)
			poll(NULL, 0, FOLLOW_MS);
		if (client_ask(client, call, answer, &err))
			return complain(CLI_UNREACHABLE, -ECONNRESET, err.text);
		if (!answer->result)
			return refused(call->operation, answer);
		if (json_array_size(more_of(answer->result)))
			show_more(cli, call->operation->name, answer->result);
		if (ferror(stdout))
			return CLI_DONE;
	}
}

static bool operation_has(const struct operation *o, const char *name)
{
	for (const struct operation_argument *a = o->arguments; a->name; a++)
		if (!strcmp(a->name, name))
			return true;
	return false;
}

/* Programs get every tick, people no more rows than they can read. */
static void ask_for_people(const struct cli *cli, const struct operation_call *call)
{
	if (cli->format == CLI_TABLE && !json_object_get(call->arguments, "type") &&
	    operation_has(call->operation, "fold"))
		json_object_set_new(call->arguments, "fold", json_true());
}

/* For programs it is all one document. */
static int wait_and_show(struct client **client, const struct cli *cli,
    const struct operation_call *call, json_t *result)
{
	int status = wait_and_say(client, cli, call);
	json_t *error = answer_error();
	if (error)
		json_object_set_new(result, "error", error);
	show(cli, call->operation->name, result);
	return status;
}

/* What people are shown before what they wait for has come about, which is the last word: of a VM
 * that tells its state anew just the warning, else all that is more than a message. */
static void show_accepted(const struct cli *cli, const char *operation, const json_t *result)
{
	const char *warning = json_string_value(json_object_get(result, "warning"));
	size_t plain = 1 + (json_object_get(result, "schema") != NULL);
	bool state = json_object_get(result, "state") != NULL;
	if (state && warning)
		printf("warning: %s\n", warning);
	else if (!state && json_object_size(result) > plain)
		show(cli, operation, result);
}

static int ask(struct client **client, const struct cli *cli, struct operation_call *call)
{
	struct client_answer answer;
	struct err err;
	int status = CLI_DONE;
	ask_for_people(cli, call);
	/* What may still be taken back is not shown to one that goes on. */
	if (call->follow)
		json_object_set_new(call->arguments, "after", json_integer(0));
	if (client_ask(*client, call, &answer, &err))
		return complain(CLI_UNREACHABLE, -ECONNRESET, err.text);
	if (*answer.code) {
		status = refused(call->operation, &answer);
	} else {
		status = (int)json_integer_value(json_object_get(answer.result, "exit_status"));
		bool json = cli->format == CLI_JSON;
		if (call->follow && json)
			show_more(cli, call->operation->name, answer.result);
		else if (!call->wait)
			show(cli, call->operation->name, answer.result);
		else if (!json)
			show_accepted(cli, call->operation->name, answer.result);
		if (call->wait && json)
			status = wait_and_show(client, cli, call, answer.result);
		else if (call->wait)
			status = wait_and_say(client, cli, call);
		else if (call->follow)
			status = follow(*client, cli, call, &answer);
	}
	client_answer_close(&answer);
	return status;
}

/* Some of what the daemon tells is in its files, too. */
static int unreachable(const struct operation *o, int code, const struct err *err)
{
	complain(CLI_UNREACHABLE, code, err->text);
	for (const struct applet *a = applets; a->words; a++)
		if (a->needs && a->shape != o && !strcmp(a->words, o->name))
			fprintf(stderr, "     its files can be read: pvc %s --data DIR\n", o->name);
	return CLI_UNREACHABLE;
}

static int run(const struct cli *cli, struct operation_call *call)
{
	struct client *client = NULL;
	struct err err;
	int result = read_files(call, &err);
	if (result)
		return complain(CLI_REFUSED, result, err.text);
	if (!confirmed(call))
		return complain(CLI_REFUSED, -ECANCELED, "not confirmed: nothing was done");
	result = client_open(&client, cli->socket, &err);
	if (result)
		return unreachable(call->operation, result, &err);
	int status = ask(&client, cli, call);
	client_close(client);
	return status;
}

static int usage(const struct cli *cli, const char *message)
{
	complain(CLI_USAGE, -EINVAL, message);
	const struct operation *o = NULL;
	if (operation_match(cli->words, cli->count, &o))
		help_usage(o, stderr);
	else
		fputs("pvc --help lists the commands\n", stderr);
	return CLI_USAGE;
}

/* The words may have been meant for an applet. */
static void guess_applet(const struct cli *cli, struct err *err)
{
	char written[APPLET_WORDS_MAX][64];
	struct guess best = {0};
	for (unsigned n = 0; n < APPLET_WORDS_MAX && n < cli->count; n++) {
		snprintf(written[n], sizeof(written[n]), "%s%s%.20s", n ? written[n - 1] : "",
		    n ? " " : "", cli->words[n]);
		struct guess guess = guess_of(written[n]);
		for (const struct applet *a = applets; a->words; a++)
			if (a->help)
				guess_offer(&guess, a->words);
		if (guess.best)
			best = guess;
	}
	if (!strstr(err->text, "did you mean"))
		guess_append(&best, err->text, sizeof(err->text));
}

int cli_main(int argc, char **argv)
{
	struct cli cli;
	struct operation_call call;
	struct err err;
	if (cli_read(&cli, argc, argv, &err))
		return usage(&cli, err.text);
	if (cli.what == CLI_VERSION) {
		puts("pvc " PVC_VERSION);
		return CLI_DONE;
	}
	if (cli.count && !strcmp(cli.words[0], "help")) {
		cli.what = CLI_HELP;
		cli.count--;
		memmove(cli.words, cli.words + 1, cli.count * sizeof(*cli.words));
	} else if (cli.count > 1 && !strcmp(cli.words[cli.count - 1], "help") &&
		   help_is_area(cli.words, cli.count - 1)) {
		cli.what = CLI_HELP;
		cli.count--;
	}
	if (cli.what == CLI_HELP && !help_print(cli.words, cli.count, stdout))
		return CLI_DONE;
	if (cli.count == 0) {
		help_print(NULL, 0, stderr);
		return CLI_USAGE;
	}
	if (cli.what == CLI_RUN && help_is_area(cli.words, cli.count)) {
		help_print(cli.words, cli.count, stderr);
		return CLI_USAGE;
	}
	if (operation_parse(cli.words, cli.count, &call, &err)) {
		const struct operation *found;
		if (!operation_match(cli.words, cli.count, &found))
			guess_applet(&cli, &err);
		return usage(&cli, err.text);
	}
	int status = run(&cli, &call);
	operation_call_close(&call);
	return status;
}
