/* Any bytes from a peer: refused, or a message that encodes to the very same bytes. */
#include <stdlib.h>
#include <string.h>

#include "raft/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message m;
	struct buffer again = {0};
	if (message_decode(data, size, &m) != 0)
		return 0;
	message_encode(&m, &again);
	if (again.size != size || memcmp(again.data, data, size) != 0)
		abort();
	buffer_close(&again);
	return 0;
}
