#include "node/mask.h"

#include <string.h>
#include <strings.h>

#define MASK "***"

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Of the name that ends here. */
static bool names_password(const uint8_t *bytes, size_t end)
{
	static const char *const names[] = {"passwd", "password"};
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t size = strlen(names[i]);
		if (end >= size && !strncasecmp((const char *)bytes + end - size, names[i], size))
			return true;
	}
	return false;
}

/* Where the quoted text begins that the '=' at this place gives to a password; 0: to none. */
static size_t value_at(const uint8_t *bytes, size_t size, size_t equals)
{
	size_t end = equals, at = equals + 1;
	while (end > 0 && is_space(bytes[end - 1]))
		end--;
	while (at < size && is_space(bytes[at]))
		at++;
	bool quoted = at < size && (bytes[at] == '\'' || bytes[at] == '"');
	return quoted && names_password(bytes, end) ? at + 1 : 0;
}

void mask_passwords(const uint8_t *bytes, size_t size, struct buffer *out)
{
	size_t from = 0;
	for (size_t at = 0; at < size; at++) {
		size_t value = bytes[at] == '=' ? value_at(bytes, size, at) : 0;
		if (!value)
			continue;
		buffer_append(out, bytes + from, value - from);
		buffer_append(out, MASK, strlen(MASK));
		const uint8_t *end = memchr(bytes + value, bytes[value - 1], size - value);
		from = end ? (size_t)(end - bytes) : size;
		at = from;
	}
	if (from < size)
		buffer_append(out, bytes + from, size - from);
}
