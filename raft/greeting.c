#include "raft/greeting.h"

#include <errno.h>
#include <string.h>

void greeting_encode(enum greeting greeting, struct buffer *out)
{
	if (greeting != GREETING_WELCOME)
		buffer_append_u8(out, (uint8_t)greeting);
}

int greeting_decode(const uint8_t *bytes, size_t size, enum greeting *greeting)
{
	*greeting = GREETING_WELCOME;
	if (size == 0)
		return 0;
	if (size > 1 || (bytes[0] != GREETING_WHERE && bytes[0] != GREETING_REMOVED))
		return -EBADMSG;
	*greeting = (enum greeting)bytes[0];
	return 0;
}

int greeting_address(const uint8_t *bytes, size_t size, char address[ENDPOINT_SIZE])
{
	struct endpoint endpoint;
	memset(address, 0, ENDPOINT_SIZE);
	if (size == 0 || size >= ENDPOINT_SIZE || memchr(bytes, 0, size))
		return -EBADMSG;
	memcpy(address, bytes, size);
	if (endpoint_parse(address, &endpoint, NULL) == 0)
		return 0;
	memset(address, 0, ENDPOINT_SIZE);
	return -EBADMSG;
}
