/* The port to a member's disk: what raft must never forget.
 *
 * The replica gives requests; whoever is behind the port carries them out in
 * the order given, makes each durable before the next is answered, and answers
 * each once through replica_written() with the request's ticket. A snapshot taken
 * here alone may be carried out, and answered, later than what comes behind it, but for another
 * snapshot: it can be large, and votes and entries must not wait for it. Once one failed
 * every later one fails too: entries after a gap would be found at the next start. The daemon
 * puts wal.h behind it, the simulator a disk that fails as it is told to. */
#ifndef RAFT_DISK_H
#define RAFT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_entry_type { /* as libraft numbers them */
	DISK_COMMAND = 1,
	DISK_BARRIER = 2,
	DISK_CHANGE = 3,
};

struct disk_entry {
	uint64_t term;
	enum disk_entry_type type;
	uint32_t size;
	const uint8_t *data;
};

enum disk_request_type {
	DISK_VOTE, /* replace term, vote and promise */
	DISK_APPEND, /* drop every entry at index and after, then append n entries */
	DISK_SNAPSHOT, /* keep this snapshot instead of older ones */
};

struct disk_snapshot {
	uint64_t index; /* of the last entry in it */
	uint64_t term;
	uint64_t configuration_index;
	const uint8_t *configuration; /* encoded by libraft */
	size_t configuration_size;
	const uint8_t *data; /* the machine's, as it gave it */
	size_t size;
};

struct disk_request {
	enum disk_request_type type;
	uint64_t ticket; /* rises by one with every request */
	union {
		struct {
			uint64_t term;
			uint64_t vote; /* 0: nobody */
			/* The longest that a promise to a leader can still last (replica.h). */
			uint32_t promise_ms;
		} vote;
		struct {
			uint64_t index;
			const struct disk_entry *entries;
			unsigned n;
		} append;
		struct {
			struct disk_snapshot snapshot;
			/* Installed from a leader: the whole log before and after goes. Taken
			 * here: entries from keep_from on stay. */
			bool installed;
			uint64_t keep_from;
		} snapshot;
	};
};

struct disk {
	void *data;
	/* The memory behind the request stays as it is until it is answered. */
	void (*submit)(void *data, const struct disk_request *request);
};

/* What was on the disk when it was opened. */
struct disk_state {
	uint64_t term;
	uint64_t vote;
	uint32_t promise_ms; /* 0: none was made */
	bool has_snapshot;
	struct disk_snapshot snapshot;
	uint64_t first; /* index of entries[0]; only meaningful when n > 0 */
	struct disk_entry *entries;
	unsigned n;
};

#endif
