/* What raft_load says to raft_bare: fixed sizes in the machine's own byte order, no framing. */
#ifndef TESTS_BENCH_RAFT_BARE_H
#define TESTS_BENCH_RAFT_BARE_H

#include <stdint.h>

enum bare_op { BARE_PUT = 1, BARE_READ = 2 };

struct bare_request { /* BARE_PUT is followed by LOAD_VALUE_SIZE bytes */
	uint64_t tag;
	uint32_t op;
	uint32_t key;
};

struct bare_answer { /* a BARE_READ that is ok is followed by LOAD_VALUE_SIZE bytes */
	uint64_t tag;
	uint32_t op;
	uint32_t ok;
};

#endif
