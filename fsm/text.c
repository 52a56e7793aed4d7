#include "fsm/text.h"

#include <stdint.h>
#include <string.h>

/* RFC 3629: how many bytes, and the smallest number that may be written in so many. */
static const struct {
	uint8_t mask, mark;
	uint32_t least;
} shapes[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

static const struct {
	uint32_t first, last;
} hidden[] = {
    {0, 0x1f}, /* C0 */
    {0x7f, 0x9f}, /* DEL and C1 */
    {0x61c, 0x61c}, /* marks of direction */
    {0x200e, 0x200f},
    {0x2028, 0x2029}, /* line and paragraph */
    {0x202a, 0x202e}, /* embedding and overriding of direction */
    {0x2066, 0x2069}, /* isolation of it */
    {0xd800, 0xdfff}, /* halves of characters in UTF-16 */
    {0xfeff, 0xfeff}, /* byte order */
    {0xfff9, 0xfffb}, /* annotation */
    {0x110000, UINT32_MAX},
};

static bool is_hidden(uint32_t number)
{
	for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
		if (number >= hidden[i].first && number <= hidden[i].last)
			return true;
	return false;
}

size_t text_character(const char *text)
{
	const uint8_t *t = (const uint8_t *)text;
	size_t more = 0;
	while (more < 4 && (t[0] & shapes[more].mask) != shapes[more].mark)
		more++;
	if (more == 4)
		return 0;
	uint32_t number = t[0] & (uint8_t)~shapes[more].mask;
	for (size_t i = 1; i <= more; i++) {
		if ((t[i] & 0xc0) != 0x80)
			return 0;
		number = number << 6 | (t[i] & 0x3f);
	}
	return number < shapes[more].least || is_hidden(number) ? 0 : more + 1;
}

bool text_is_plain(const char *text)
{
	while (*text) {
		size_t size = text_character(text);
		if (!size)
			return false;
		text += size;
	}
	return true;
}

bool text_is_vm_name(const char *text)
{
	return *text && text_is_plain(text) && !strchr(text, '/') && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0;
}

#define DIGITS	"0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

bool text_is_node_name(const char *text)
{
	return *text && strchr(DIGITS LETTERS, *text) && !text[strspn(text, DIGITS LETTERS "-_.")];
}

bool text_is_uuid(const char *text)
{
	static const size_t groups[] = {8, 4, 4, 4, 12};
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		if (i && *text++ != '-')
			return false;
		if (strspn(text, DIGITS "abcdef") != groups[i])
			return false;
		text += groups[i];
	}
	return !*text;
}

void text_clean(char *text, char instead)
{
	char *out = text;
	while (*text) {
		size_t size = text_character(text);
		if (size) {
			memmove(out, text, size);
			out += size;
			text += size;
			continue;
		}
		*out++ = instead;
		text++;
		/* What continued a character that may not be shown. */
		while ((*text & 0xc0) == 0x80)
			text++;
	}
	*out = '\0';
}
