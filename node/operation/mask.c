#include "node/operation/mask.h"

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

static bool ends_with(const uint8_t *bytes, size_t size, const char *text)
{
	size_t length = strlen(text);
	return size >= length && !memcmp(bytes + size - length, text, length);
}

/* Of <qemu:arg value='...'/> and <qemu:env name='...' value='...'/>, whatever the prefix is: what
 * is handed on to QEMU as it stands may be anything. */
static bool names_argument(const uint8_t *bytes, size_t end)
{
	const uint8_t *tag = memrchr(bytes, '<', end);
	if (!tag || !ends_with(bytes, end, "value"))
		return false;
	size_t size = 0, left = end - (size_t)(tag - bytes);
	while (size < left && !is_space(tag[size]))
		size++;
	return ends_with(tag, size, ":arg") || ends_with(tag, size, ":env");
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
	bool secret = names_password(bytes, end) || names_argument(bytes, end);
	return quoted && secret ? at + 1 : 0;
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
