/* Bytes that came from a log, in any of the shapes that they have there, as JSON. */
#ifndef TOOLS_RAFT_DECODE_H
#define TOOLS_RAFT_DECODE_H

#include <jansson.h>

#include "fsm/buffer.h"
#include "tools/raft/command.h"

/* {"schema", "what", "operations": [...]} of an entry with its header, an operation, a batch or
 * a configuration; NULL: it is none of them. Any bytes may be given. */
json_t *decode_bytes(const uint8_t *bytes, size_t size);
/* The same of hex digits, or of the bytes themselves. */
json_t *decode_text(const struct buffer *text);

#endif
