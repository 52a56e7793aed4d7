/* Words of a command line to a call, by the table. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/guess.h"
#include "node/operation/operation.h"

#define WAIT_TIMEOUT_MS 120000
#define WORDS_MAX	3 /* of an operation's name */

/* What every operation of a kind has on the command line, and no other way in has. */
enum { LINE_WAIT, LINE_TIMEOUT, LINE_YES, LINE_FOLLOW, LINE_NONE };
static const char *const line_names[] = {"wait", "timeout", "yes", "follow", NULL};

static bool line_has(const struct operation *o, int option)
{
	switch (option) {
	case LINE_WAIT:
		return o->progress && !o->waits_ms;
	case LINE_TIMEOUT:
		return o->progress != NULL;
	case LINE_YES:
		return o->confirm != NULL;
	case LINE_FOLLOW:
		return o->follow;
	default:
		return false;
	}
}

struct line {
	const char *const *words;
	unsigned n, at;
	struct operation_call *call;
	const struct operation_argument *positional; /* the next one */
};

unsigned operation_words(const char *name, const char *const *words, unsigned n)
{
	unsigned used = 0;
	while (used < n) {
		size_t length = strlen(words[used]);
		if (strncmp(name, words[used], length) != 0)
			return 0;
		used++;
		if (!name[length])
			return used;
		if (name[length] != ' ')
			return 0;
		name += length + 1;
	}
	return 0;
}

unsigned operation_match(const char *const *words, unsigned n, const struct operation **found)
{
	for (const struct operation *o = operations; o->name; o++) {
		unsigned used = operation_words(o->name, words, n);
		if (!used)
			continue;
		*found = o;
		return used;
	}
	return 0;
}

/* "vm strat": the words as far as names go, against every name. */
static int unknown(const char *const *words, unsigned n, struct err *err)
{
	char text[WORDS_MAX][128] = {"", "", ""};
	struct err guessed[WORDS_MAX];
	for (unsigned used = 1; used <= WORDS_MAX && used <= n; used++) {
		for (unsigned i = 0; i < used; i++) {
			size_t length = strlen(text[used - 1]);
			snprintf(text[used - 1] + length, sizeof(text[0]) - length, "%s%s",
			    i ? " " : "", words[i]);
		}
		struct guess guess = guess_of(text[used - 1]);
		for (const struct operation *o = operations; o->name; o++)
			guess_offer(&guess, o->name);
		err_set(&guessed[used - 1], 0, "there is no command '%s'", text[used - 1]);
		guess_append(&guess, guessed[used - 1].text, sizeof(guessed[0].text));
		if (guess.best) {
			*err = guessed[used - 1];
			return -EINVAL;
		}
	}
	return err_set(err, -EINVAL, "there is no command '%s'", text[n < 2 ? 0 : 1]);
}

static const struct operation_argument *next_positional(const struct operation_argument *a)
{
	while (a->name && !operation_positional(a))
		a++;
	return a;
}

static bool same_name(const char *name, const char *word, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((name[i] == '_' ? '-' : name[i]) != word[i])
			return false;
	return name[size] == 0;
}

static int set_value(
    struct line *l, const struct operation_argument *a, const char *word, struct err *err)
{
	json_t *value;
	if (a->type == TYPE_NUMBER) {
		size_t digits = strspn(word, "0123456789");
		if (!digits || word[digits] || digits > 18)
			return err_set(err, -EINVAL, "%s: '%.64s' is not a number", a->name, word);
		value = json_integer(strtoll(word, NULL, 10));
	} else {
		value = json_string(word);
	}
	if (!value)
		return err_set(err, -EINVAL, "%s: the text is not UTF-8", a->name);
	if (json_object_get(l->call->arguments, a->name)) {
		json_decref(value);
		return err_set(err, -EINVAL, "%s is given twice", a->name);
	}
	json_object_set_new(l->call->arguments, a->name, value);
	return 0;
}

/* The value of --name=VALUE or --name VALUE; NULL with err when there is none. */
static const char *value_of(struct line *l, const char *inside, struct err *err)
{
	if (inside)
		return inside + 1;
	if (l->at + 1 < l->n)
		return l->words[++l->at];
	err_set(err, -EINVAL, "%.64s wants a value", l->words[l->at]);
	return NULL;
}

static int line_option(struct line *l, int option, const char *inside, struct err *err)
{
	struct operation_call *call = l->call;
	if (option != LINE_TIMEOUT && inside)
		return err_set(err, -EINVAL, "--%s takes no value", line_names[option]);
	switch (option) {
	case LINE_WAIT:
		call->wait = true;
		return 0;
	case LINE_YES:
		call->yes = true;
		return 0;
	case LINE_FOLLOW:
		call->follow = true;
		return 0;
	default:
		break;
	}
	const char *value = value_of(l, inside, err);
	if (!value)
		return -EINVAL;
	if (operation_duration(value, &call->timeout_ms))
		return err_set(err, -EINVAL, "--timeout: '%.64s' is not a time such as 90s", value);
	return 0;
}

static int unknown_option(struct line *l, const char *word, size_t size, struct err *err)
{
	const struct operation *o = l->call->operation;
	char written[128], names[32][64];
	unsigned n = 0;
	snprintf(written, sizeof(written), "--%.*s", (int)size, word);
	struct guess guess = guess_of(written);
	for (const struct operation_argument *a = o->arguments; a->name && n < 28; a++) {
		if (operation_positional(a))
			continue;
		snprintf(names[n], sizeof(names[n]), "--%s", a->name);
		for (char *c = names[n]; *c; c++)
			*c = *c == '_' ? '-' : *c;
		n++;
	}
	for (int option = 0; option < LINE_NONE; option++)
		if (line_has(o, option))
			snprintf(names[n++], sizeof(names[0]), "--%s", line_names[option]);
	for (unsigned i = 0; i < n; i++)
		guess_offer(&guess, names[i]);
	err_set(err, 0, "%s has no option %s", o->name, written);
	if (err)
		guess_append(&guess, err->text, sizeof(err->text));
	return -EINVAL;
}

/* word is what stands after the dashes. */
static int long_option(struct line *l, const char *word, struct err *err)
{
	const struct operation *o = l->call->operation;
	const char *inside = strchr(word, '=');
	size_t size = inside ? (size_t)(inside - word) : strlen(word);
	for (const struct operation_argument *a = o->arguments; a->name; a++) {
		if (!same_name(a->name, word, size))
			continue;
		if (a->kind == ARGUMENT_FLAG || a->kind == ARGUMENT_DEMAND) {
			if (inside)
				return err_set(
				    err, -EINVAL, "--%.*s takes no value", (int)size, word);
			return json_object_set_new(l->call->arguments, a->name, json_true());
		}
		if (a->kind != ARGUMENT_OPTION)
			break;
		const char *value = value_of(l, inside, err);
		return value ? set_value(l, a, value, err) : -EINVAL;
	}
	for (int option = 0; option < LINE_NONE; option++)
		if (line_has(o, option) && same_name(line_names[option], word, size))
			return line_option(l, option, inside, err);
	return unknown_option(l, word, size, err);
}

static int short_option(struct line *l, const char *word, struct err *err)
{
	const struct operation *o = l->call->operation;
	for (const struct operation_argument *a = o->arguments; a->name; a++)
		if (a->letter && a->letter == word[1] && !word[2])
			return json_object_set_new(l->call->arguments, a->name, json_true());
	if (o->follow && !strcmp(word, "-f"))
		return line_option(l, LINE_FOLLOW, NULL, err);
	if (!strcmp(word, "-s"))
		return err_set(
		    err, -EINVAL, "-s stands before the command: pvc -s SOCKET %s", o->name);
	if (!strcmp(word, "-f"))
		return err_set(err, -EINVAL, "-f wants json or table");
	return err_set(err, -EINVAL, "%s has no option %.64s", o->name, word);
}

static int add_value(
    struct line *l, const struct operation_argument *a, const char *word, struct err *err)
{
	json_t *list = json_object_get(l->call->arguments, a->name), *value = json_string(word);
	if (!value)
		return err_set(err, -EINVAL, "%s: the text is not UTF-8", a->name);
	if (!list) {
		list = json_array();
		json_object_set_new(l->call->arguments, a->name, list);
	}
	return json_array_append_new(list, value);
}

static int positional(struct line *l, const char *word, struct err *err)
{
	const struct operation_argument *a = next_positional(l->positional);
	if (!a->name)
		return err_set(err, -EINVAL, "%s: '%.64s' is one word too many",
		    l->call->operation->name, word);
	if (a->kind == ARGUMENT_MANY)
		return add_value(l, a, word, err);
	l->positional = a + 1;
	return set_value(l, a, word, err);
}

static int line_parse(struct line *l, struct err *err)
{
	bool options = true;
	for (; l->at < l->n; l->at++) {
		const char *word = l->words[l->at];
		int result;
		if (options && !strcmp(word, "--")) {
			options = false;
			continue;
		}
		if (options && word[0] == '-' && word[1] == '-')
			result = long_option(l, word + 2, err);
		else if (options && word[0] == '-' && word[1])
			result = short_option(l, word, err);
		else
			result = positional(l, word, err);
		if (result)
			return result;
	}
	return 0;
}

int operation_parse_arguments(const struct operation *o, const char *const *words, unsigned n,
    struct operation_call *call, struct err *err)
{
	*call = (struct operation_call){.operation = o,
	    .wait = o->waits_ms > 0,
	    .timeout_ms = o->waits_ms ? o->waits_ms : WAIT_TIMEOUT_MS,
	    .arguments = json_object()};
	struct line line = {.words = words, .n = n, .call = call, .positional = o->arguments};
	int result = line_parse(&line, err);
	if (!result)
		result = operation_check(o, call->arguments, err);
	if (result)
		operation_call_close(call);
	return result;
}

int operation_parse(
    const char *const *words, unsigned n, struct operation_call *call, struct err *err)
{
	const struct operation *o;
	unsigned used = operation_match(words, n, &o);
	*call = (struct operation_call){0};
	if (!used)
		return unknown(words, n, err);
	return operation_parse_arguments(o, words + used, n - used, call, err);
}
