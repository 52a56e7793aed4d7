/* Term, vote and promise as bytes of metadata-1 and metadata-2. Pure. */
#ifndef RAFT_METADATA_H
#define RAFT_METADATA_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/err.h"

#define METADATA_SIZE 48

struct metadata {
	uint64_t version; /* rises with every write; the higher one counts */
	uint64_t term;
	uint64_t vote; /* 0: nobody */
	uint32_t promise_ms; /* see disk.h; 0: nothing was promised */
};

void metadata_encode(const struct metadata *m, uint8_t out[METADATA_SIZE]);
/* 0, or -EBADMSG with what is wrong in err. */
int metadata_decode(const uint8_t *bytes, size_t size, struct metadata *m, struct err *err);

#endif
