#include "node/config/config_key.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "node/guess.h"

static bool text_is(const char *text, const char *extra)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(extra, *text))
			return false;
	return true;
}

static const char *check_name(const char *text)
{
	bool good = isalnum((unsigned char)*text) && text_is(text, "-_");
	return good ? NULL : "a name of letters, digits, '-' and '_'";
}

static const char *check_domain(const char *text)
{
	bool good = isalnum((unsigned char)*text) && text_is(text, "-_.");
	return good ? NULL : "a domain name";
}

static const char *check_host(const char *text)
{
	struct cidr address;
	bool name = isalnum((unsigned char)*text) && text_is(text, "-_.");
	bool good = name || cidr_parse_address(&address, text) == 0;
	return good ? NULL : "a host name or an address";
}

static const char *check_device(const char *text)
{
	bool good = text_is(text, "-_.@") && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
	return good ? NULL : "the name of a network device";
}

static const char *check_path(const char *text)
{
	return *text == '/' ? NULL : "an absolute path";
}

static const char *check_uri(const char *text)
{
	bool good = strchr(text, ':') || *text == '/';
	return good ? NULL : "a URI as qemu:///system, or a directory for sim";
}

static const char *check_ip(const char *text)
{
	struct cidr address;
	return cidr_parse_address(&address, text) == 0 ? NULL : "an address as 10.0.0.1";
}

static const char *check_cidr(const char *text)
{
	struct cidr address;
	bool good = cidr_parse(&address, text) == 0;
	return good ? NULL : "an address with its prefix as 10.0.0.1/24";
}

static const char *check_cidr_or_by_id(const char *text)
{
	bool good = !strcmp(text, "by-id") || !check_cidr(text);
	return good ? NULL : "by-id or an address with its prefix as 10.0.0.1/24";
}

static const char *check_network(const char *text)
{
	struct cidr network;
	bool good = cidr_parse(&network, text) == 0 && cidr_is_network(&network);
	return good ? NULL : "a network with its prefix as 10.0.0.0/24";
}

#define NAME(value, text)  [value] = text,
#define CHOICES(name, ...) const char *const name##_names[] = {__VA_ARGS__ NULL};
#define RECORD(name, ...)
#include "node/config/config.def"

/* The record's own type has no name within its list of keys: `here` is it. */
#define NAME(value, text)
#define CHOICES(name, ...)
#define RECORD(record, ...)                                                                        \
	const struct config_key *record##_keys(void);                                              \
	const struct config_key *record##_keys(void)                                               \
	{                                                                                          \
		typedef struct record here;                                                        \
		static const struct config_key keys[] = {__VA_ARGS__{0}};                          \
		_Static_assert(sizeof(keys) / sizeof(keys[0]) <= CONFIG_KEYS_MAX, #record);        \
		return keys;                                                                       \
	}
#define KEY(kind_, member)                                                                         \
	.kind = kind_, .name = #member, .offset = offsetof(here, member),                          \
	.size = sizeof(((here *)0)->member)
#define FLAG(member, text) {KEY(CONFIG_FLAG, member), .fallback = text},
#define NUMBER(member, text, low, high)                                                            \
	{KEY(CONFIG_NUMBER, member), .fallback = text, .least = low, .most = high},
#define NUMBER_OR_0(member, text, low, high)                                                       \
	{KEY(CONFIG_NUMBER, member), .fallback = text, .least = low, .most = high, .or_0 = true},
#define CHOICE(member, type, text)                                                                 \
	{KEY(CONFIG_CHOICE, member), .fallback = text, .choices = type##_names},
#define TEXT(member, bytes, text, rule) {KEY(CONFIG_TEXT, member), .fallback = text, .check = rule},
#define REQUIRED(member, bytes, rule)	{KEY(CONFIG_TEXT, member), .check = rule},
#define SECRET(member, bytes)		{KEY(CONFIG_SECRET, member), .fallback = ""},
#define PART(member, record)		{KEY(CONFIG_PART, member), .keys = record##_keys},
#define ITEMS(member)                                                                              \
	.size = sizeof(((here *)0)->member[0]), .count_offset = offsetof(here, member##_count)
#define TEXTS(member, bytes, high, low, rule)                                                      \
	{.kind = CONFIG_TEXTS,                                                                     \
	    .name = #member,                                                                       \
	    .offset = offsetof(here, member),                                                      \
	    ITEMS(member),                                                                         \
	    .least = low,                                                                          \
	    .most = high,                                                                          \
	    .check = rule},
#define LIST(member, record, high)                                                                 \
	{.kind = CONFIG_LIST,                                                                      \
	    .name = #member,                                                                       \
	    .offset = offsetof(here, member),                                                      \
	    ITEMS(member),                                                                         \
	    .most = high,                                                                          \
	    .keys = record##_keys},
#include "node/config/config.def"

void config_walk_begin(struct config_walk *w, const struct config_key *keys, void *base)
{
	w->depth = 1;
	w->last = (struct config_step){0};
	w->frames[0] = (struct config_frame){.keys = keys, .next = keys, .base = base, .count = 1};
}

/* Go into the part or list that was given last. */
static void walk_enter(struct config_walk *w)
{
	const struct config_key *key = w->last.key;
	if (!key || (key->kind != CONFIG_PART && key->kind != CONFIG_LIST))
		return;
	assert(w->depth < CONFIG_DEPTH_MAX);
	bool list = key->kind == CONFIG_LIST;
	unsigned lists = w->last.lists + (list ? 1 : 0);
	w->frames[w->depth++] = (struct config_frame){
	    .keys = key->keys(),
	    .next = key->keys(),
	    .base = w->last.value,
	    .count = list ? *config_list_count(key, w->last.value) : 1,
	    .lists = lists,
	    .item_size = key->size,
	};
}

/* Go out of what is finished: to the next item, or to the group around it. */
static bool walk_leave(struct config_walk *w)
{
	while (w->depth) {
		struct config_frame *f = &w->frames[w->depth - 1];
		if (f->item < f->count && f->next->kind != CONFIG_END)
			return true;
		if (f->item + 1 < f->count) {
			f->item++;
			f->next = f->keys;
			f->base += f->item_size;
			return true;
		}
		w->depth--;
	}
	return false;
}

bool config_walk_next(struct config_walk *w, struct config_step *step)
{
	walk_enter(w);
	if (!walk_leave(w))
		return false;
	struct config_frame *f = &w->frames[w->depth - 1];
	w->last = (struct config_step){
	    .key = f->next,
	    .value = f->base + f->next->offset,
	    .depth = w->depth - 1,
	    .lists = f->lists,
	    .item_first = w->depth > 1 && f->next == f->keys &&
			  w->frames[w->depth - 2].next[-1].kind == CONFIG_LIST,
	    .item = f->item,
	};
	f->next++;
	*step = w->last;
	return true;
}

unsigned *config_list_count(const struct config_key *key, void *value)
{
	return (unsigned *)((char *)value - key->offset + key->count_offset);
}

void config_record_init(const struct config_key *keys, void *base)
{
	struct config_walk w;
	struct config_step step;
	config_walk_begin(&w, keys, base);
	while (config_walk_next(&w, &step)) {
		const char *text = step.key->fallback;
		char expected[128];
		if (text && config_value_set(step.key, step.value, text, strlen(text), expected))
			assert(!"a default of config.def is out of its limits");
	}
}

static const char *flag_set(bool *flag, const char *text)
{
	/* The words of YAML 1.1: the files of this system have used True and False. */
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"yes", true}, {"no", false}, {"true", true}, {"false", false}, {"on", true},
	    {"off", false}};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(text, words[i].word)) {
			*flag = words[i].value;
			return NULL;
		}
	return "yes or no";
}

static const char *number_set(
    const struct config_key *key, uint32_t *number, const char *text, char *expected)
{
	snprintf(expected, 128, "%sa number from %u to %u", key->or_0 ? "0 or " : "", key->least,
	    key->most);
	size_t digits = strspn(text, "0123456789");
	/* A leading zero means octal to YAML 1.1 and nothing to YAML 1.2. */
	if (digits == 0 || digits > 9 || text[digits] || (text[0] == '0' && digits > 1))
		return expected;
	uint32_t value = (uint32_t)strtoul(text, NULL, 10);
	bool good = (value >= key->least && value <= key->most) || (key->or_0 && value == 0);
	if (!good)
		return expected;
	*number = value;
	return NULL;
}

static const char *choice_set(
    const struct config_key *key, void *choice, const char *text, char *expected)
{
	size_t used = (size_t)snprintf(expected, 128, "one of");
	for (unsigned i = 0; key->choices[i]; i++) {
		if (!strcasecmp(key->choices[i], text)) {
			memcpy(choice, &i, sizeof(i)); /* an enum without negative values */
			return NULL;
		}
		used += (size_t)snprintf(
		    expected + used, 128 - used, "%s %s", i ? "," : "", key->choices[i]);
		assert(used < 128);
	}
	return expected;
}

/* Control characters, and what YAML takes for a line break or never shows:
 * C1 controls, U+2028, U+2029, the byte order mark. */
static bool text_has_control(const char *text, size_t size)
{
	const unsigned char *t = (const unsigned char *)text;
	for (size_t i = 0; i < size; i++) {
		unsigned char second = i + 1 < size ? t[i + 1] : 0;
		unsigned char third = i + 2 < size ? t[i + 2] : 0;
		if (t[i] < 0x20 || t[i] == 0x7f || (t[i] == 0xc2 && second < 0xa0) ||
		    (t[i] == 0xe2 && second == 0x80 && (third == 0xa8 || third == 0xa9)) ||
		    (t[i] == 0xef && second == 0xbb && third == 0xbf) ||
		    (t[i] == 0xef && second == 0xbf && third >= 0xbe))
			return true;
	}
	return false;
}

static const char *text_set(
    const struct config_key *key, char *out, const char *text, size_t size, char *expected)
{
	if (text_has_control(text, size))
		return "a text without control characters and line breaks";
	if (size == 0 && !key->fallback)
		return "a text that is not empty";
	if (size >= key->size) {
		snprintf(expected, 128, "at most %zu bytes long", key->size - 1);
		return expected;
	}
	const char *wanted = size && key->check ? key->check(text) : NULL;
	if (wanted)
		return wanted;
	memcpy(out, text, size);
	out[size] = '\0';
	return NULL;
}

const char *config_value_set(
    const struct config_key *key, void *value, const char *text, size_t size, char expected[128])
{
	bool is_text =
	    key->kind == CONFIG_TEXT || key->kind == CONFIG_SECRET || key->kind == CONFIG_TEXTS;
	if (is_text)
		return text_set(key, value, text, size, expected);
	if (strlen(text) != size)
		return "a word without NUL bytes";
	if (key->kind == CONFIG_FLAG)
		return flag_set(value, text);
	if (key->kind == CONFIG_NUMBER)
		return number_set(key, value, text, expected);
	assert(key->kind == CONFIG_CHOICE);
	return choice_set(key, value, text, expected);
}

/* Would a YAML reader, ours or another, take it for this very text? */
static bool text_is_plain(const char *text)
{
	static const char *const words[] = {
	    "yes", "no", "true", "false", "on", "off", "null", "none", "y", "n"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(text, words[i]))
			return false;
	if (!isalpha((unsigned char)text[0]) && text[0] != '/')
		return false;
	return text_is(text, "-_./:@=+") && text[strlen(text) - 1] != ':';
}

static void text_print(const char *text, struct buffer *out)
{
	if (text_is_plain(text)) {
		buffer_print(out, "%s", text);
		return;
	}
	buffer_print(out, "\"");
	for (; *text; text++)
		buffer_print(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	buffer_print(out, "\"");
}

void config_value_print(const struct config_key *key, const void *value, struct buffer *out)
{
	unsigned choice;
	switch (key->kind) {
	case CONFIG_FLAG:
		buffer_print(out, "%s", *(const bool *)value ? "yes" : "no");
		break;
	case CONFIG_NUMBER:
		buffer_print(out, "%u", *(const uint32_t *)value);
		break;
	case CONFIG_CHOICE:
		memcpy(&choice, value, sizeof(choice));
		buffer_print(out, "%s", state_name(key->choices, choice));
		break;
	case CONFIG_SECRET:
		text_print(*(const char *)value ? CONFIG_SECRET_MASK : "", out);
		break;
	default:
		text_print(value, out);
	}
}

const char *config_key_guess(const struct config_key *keys, const char *name)
{
	struct guess guess = guess_of(name);
	for (; keys->kind != CONFIG_END; keys++)
		guess_offer(&guess, keys->name);
	return guess.best;
}
