#include "tools/raft/redact.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX    256
#define SECRET_LEAST 4
#define MASK	     "***"

struct word {
	char *text; /* owned */
	char stands_for[48];
};

struct redact {
	enum redact_depth depth;
	struct word *words;
	size_t count, capacity;
	char **secrets; /* owned, and each of them */
	size_t secrets_count;
};

struct redact *redact_new(enum redact_depth depth)
{
	struct redact *r = must_alloc(sizeof(*r));
	r->depth = depth;
	return r;
}

void redact_free(struct redact *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->words[i].text);
	for (size_t i = 0; i < r->secrets_count; i++) {
		explicit_bzero(r->secrets[i], strlen(r->secrets[i]));
		free(r->secrets[i]);
	}
	free(r->words);
	free(r->secrets);
	free(r);
}

static char *copy(const char *text, size_t size)
{
	char *own = must_alloc(size + 1);
	memcpy(own, text, size);
	own[size] = '\0';
	return own;
}

void redact_secret(struct redact *r, const char *secret)
{
	size_t size = strlen(secret);
	if (size < SECRET_LEAST)
		return;
	r->secrets = must_realloc(r->secrets, (r->secrets_count + 1) * sizeof(*r->secrets));
	r->secrets[r->secrets_count++] = copy(secret, size);
}

/* Words, and what stands for them. */

static const char *find(const struct redact *r, const char *text, size_t size)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strncasecmp(r->words[i].text, text, size) && !r->words[i].text[size])
			return r->words[i].stands_for;
	return NULL;
}

static const char *learn(struct redact *r, const char *kind, const char *text, size_t size)
{
	unsigned number = 1;
	size_t length = strlen(kind);
	const char *known = find(r, text, size);
	if (known)
		return known;
	for (size_t i = 0; i < r->count; i++)
		number += !strncmp(r->words[i].stands_for, kind, length) &&
			  r->words[i].stands_for[length] == '-';
	if (r->count == r->capacity) {
		r->capacity = r->capacity ? r->capacity * 2 : 64;
		r->words = must_realloc(r->words, r->capacity * sizeof(*r->words));
	}
	struct word *word = &r->words[r->count++];
	word->text = copy(text, size);
	snprintf(word->stands_for, sizeof(word->stands_for), "%.30s-%u", kind, number);
	return word->stands_for;
}

void redact_name(struct redact *r, const char *kind, const char *name)
{
	if (r->depth == REDACT_NAMES && *name)
		learn(r, kind, name, strlen(name));
}

/* What is known by its looks. */

static bool matches(const char *pattern, const char *text, size_t size)
{
	if (strlen(pattern) != size)
		return false;
	for (size_t i = 0; i < size; i++)
		if (pattern[i] == 'x' ? !isxdigit((unsigned char)text[i]) : pattern[i] != text[i])
			return false;
	return true;
}

/* The placeholder of a token or a part of one; NULL: it may stay. */
static const char *placeholder(struct redact *r, const char *text, size_t size)
{
	char whole[TOKEN_MAX];
	unsigned char address[16];
	const char *known = find(r, text, size);
	if (known || size >= sizeof(whole))
		return known;
	if (matches("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", text, size))
		return learn(r, "uuid", text, size);
	if (matches("xx:xx:xx:xx:xx:xx", text, size))
		return learn(r, "mac", text, size);
	memcpy(whole, text, size);
	whole[size] = '\0';
	if (inet_pton(AF_INET, whole, address) == 1 || inet_pton(AF_INET6, whole, address) == 1)
		return learn(r, "address", text, size);
	return NULL;
}

static void put(struct buffer *out, const char *text)
{
	buffer_append(out, text, strlen(text));
}

static bool is_separator(char c)
{
	return c == '.' || c == ':';
}

/* A token, or its parts: HOST.DOMAIN, ADDRESS:PORT. */
static void put_token(struct redact *r, const char *text, size_t size, struct buffer *out)
{
	for (size_t at = 0; at < size;) {
		const char *stands_for = NULL;
		size_t end = size;
		for (; end > at && !stands_for; end--)
			if (end == size || is_separator(text[end]))
				stands_for = placeholder(r, text + at, end - at);
		if (stands_for) {
			put(out, stands_for);
			at = end + 1;
			continue;
		}
		do
			buffer_append_u8(out, (uint8_t)text[at++]);
		while (at < size && !is_separator(text[at - 1]));
	}
}

/* The scanner: each of these takes what begins at text and says how much that was, 0 for
 * nothing. */

static size_t take_key(const char *text, struct buffer *out)
{
	static const char end[] = "PRIVATE KEY-----";
	if (strncmp(text, "-----BEGIN ", 11) != 0)
		return 0;
	const char *first = strstr(text, end), *newline = strpbrk(text, "\n\\");
	if (!first || (newline && newline < first))
		return 0;
	const char *last = strstr(first + 1, end);
	put(out, "(private key)");
	return last ? (size_t)(last - text) + strlen(end) : strlen(text);
}

static bool is_token_letter(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-", c));
}

static size_t take_join_token(const char *text, struct buffer *out)
{
	size_t size = 5;
	if (strncmp(text, "pvc1.", size) != 0)
		return 0;
	while (is_token_letter(text[size]))
		size++;
	if (size < 20)
		return 0;
	put(out, "pvc1." MASK);
	return size;
}

/* passwd='...' of a graphics device, also with quotes that JSON has escaped. */
static size_t take_password(const char *text, struct buffer *out)
{
	if (strncmp(text, "passwd=", 7) != 0)
		return 0;
	size_t quote = text[7] == '\\' ? 8 : 7;
	if (text[quote] != '\'' && text[quote] != '"')
		return 0;
	const char *end = strchr(text + quote + 1, text[quote]);
	buffer_append(out, text, quote + 1);
	put(out, MASK);
	size_t size = end ? (size_t)(end - text) : strlen(text);
	/* The quote behind it is escaped as well. */
	return size - (end && end[-1] == '\\');
}

/* Up to the end of a JSON string or of a line. */
static size_t take_xml(const char *text, struct buffer *out)
{
	size_t size = 0;
	if (text[0] != '<' || !(isalpha((unsigned char)text[1]) || text[1] == '?'))
		return 0;
	while (text[size] && text[size] != '"' && text[size] != '\n')
		size += text[size] == '\\' && text[size + 1] ? 2 : 1;
	put(out, "(XML)");
	return size;
}

/* The text of an operation on a fact: its key and value are somebody's own. */
static size_t take_fact(const char *text, struct buffer *out)
{
	static const char *const begins[] = {"\"fact key=", "\"key\": \"", "\"value\": \""};
	for (unsigned i = 0; i < sizeof(begins) / sizeof(*begins); i++) {
		size_t size = strlen(begins[i]);
		if (strncmp(text, begins[i], size) != 0)
			continue;
		put(out, begins[i]);
		put(out, MASK);
		while (text[size] && text[size] != '"')
			size += text[size] == '\\' && text[size + 1] ? 2 : 1;
		return size;
	}
	return 0;
}

static size_t take_special(struct redact *r, const char *text, struct buffer *out)
{
	size_t size = take_key(text, out);
	size = size ? size : take_join_token(text, out);
	if (r->depth == REDACT_NAMES) {
		size = size ? size : take_fact(text, out);
		size = size ? size : take_xml(text, out);
	}
	return size ? size : take_password(text, out);
}

static size_t token_size(const char *text)
{
	size_t size = 0;
	while (is_token_letter(text[size]) || (text[size] && is_separator(text[size])))
		size++;
	return size;
}

/* "name": is a key of JSON. */
static bool is_key(const char *begin, const char *text, size_t size)
{
	return text > begin && text[-1] == '"' && !strncmp(text + size, "\":", 2);
}

/* Wherever they stand, in the middle of a word as well. */
static void mask_secrets(const struct redact *r, const char *text, struct buffer *out)
{
	while (*text) {
		size_t size = 0;
		for (size_t i = 0; i < r->secrets_count && !size; i++)
			if (!strncmp(text, r->secrets[i], strlen(r->secrets[i])))
				size = strlen(r->secrets[i]);
		buffer_append(out, size ? MASK : text, size ? strlen(MASK) : 1);
		text += size ? size : 1;
	}
	buffer_append_u8(out, 0);
}

static void scan(struct redact *r, const char *text, struct buffer *out)
{
	const char *begin = text;
	while (*text) {
		size_t size = take_special(r, text, out);
		size_t token = size ? 0 : token_size(text);
		if (size) {
			text += size;
		} else if (!token) {
			/* What is escaped is no letter of the word behind it. */
			size = text[0] == '\\' && text[1] ? 2 : 1;
			buffer_append(out, text, size);
			text += size;
		} else {
			if (r->depth == REDACT_SECRETS || is_key(begin, text, token))
				buffer_append(out, text, token);
			else
				put_token(r, text, token, out);
			text += token;
		}
	}
}

void redact_text(struct redact *r, const char *text, struct buffer *out)
{
	struct buffer masked = {0};
	mask_secrets(r, text, &masked);
	scan(r, (const char *)masked.data, out);
	buffer_append_u8(out, 0);
	out->size--;
	buffer_close(&masked);
}

/* Learning. */

static const struct {
	const char *key, *kind; /* kind NULL: the caller's */
} keys[] = {
    {"name", NULL},
    {"node", "node"},
    {"leader", "node"},
    {"last_node", "node"},
    {"coordinator", "node"},
    {"vm", "vm"},
    {"cluster", "cluster"},
    {"who", "person"},
};

static void learn_value(
    struct redact *r, const char *kind, const char *key, size_t key_size, const char *value)
{
	size_t size = strcspn(value, "\"\\");
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (size && strlen(keys[i].key) == key_size && !strncmp(keys[i].key, key, key_size))
			learn(r, keys[i].kind ? keys[i].kind : kind, value, size);
}

void redact_learn(struct redact *r, const char *kind, const char *json)
{
	if (r->depth == REDACT_SECRETS)
		return;
	for (const char *at = json; (at = strstr(at, "\": \"")); at += 4) {
		size_t size = 0;
		while (at - size > json && at[-(ptrdiff_t)size - 1] != '"')
			size++;
		learn_value(r, kind, at - size, size, at + 4);
	}
}
