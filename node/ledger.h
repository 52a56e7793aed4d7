/* The log as the daemon holds it: the replica, its disk, and who waits for what.
 *
 * Everything here runs in the loop and returns at once. When the disk fails the
 * replica stops, the files are closed and opened again off the loop until that
 * succeeds, and the node is a follower again; meanwhile ledger_replica() is NULL.
 * Whoever waited then is answered -ETIMEDOUT: nobody can say whether it was done. */
#ifndef NODE_LEDGER_H
#define NODE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "fsm/cluster.h"
#include "node/context.h"
#include "raft/replica.h"
#include "raft/wal.h"

/* Operations of this daemon's own under way; a session remembers so many (session.h). */
#define LEDGER_OWN_MAX 48
/* Everything under way, also what programs ask for in their own name. */
#define LEDGER_REQUESTS_MAX 8192

struct journal;
struct ledger;

struct ledger_options {
	uv_loop_t *loop;
	const char *directory; /* of the log's files; exists */
	struct replica_options replica;
	struct cluster *cluster; /* initialised; the ledger alone changes it */
	struct journal *journal; /* may be NULL */
	/* Send to a member. */
	void (*send)(void *data, uint64_t to, const uint8_t *bytes, size_t size);
	/* Something changed that somebody may want to look at: the loop should turn. */
	void (*stirred)(void *data);
	void *data;
};

/* Open the log and bring the value to where the disk is. Blocks: only at start.
 * -EBADMSG: damaged; nothing was changed, err says where. */
int ledger_open(struct ledger **ledger, const struct ledger_options *options, struct err *err);
/* Waits for the disk. Nobody who still waits is answered. */
void ledger_close(struct ledger *ledger);

struct replica *ledger_replica(const struct ledger *ledger); /* NULL: closed for now */
/* Why it is closed, or was last; "" if it never was. */
const char *ledger_trouble(const struct ledger *ledger);
void ledger_wal_status(const struct ledger *ledger, struct wal_status *status);

/* Once at the end of every turn of the loop: time passes, what was proposed goes
 * into one entry, watches are told. Returns when it must be called again at the latest. */
uint64_t ledger_turn(struct ledger *ledger, uint64_t now_ms);

/* The port for context.h; data is the ledger. */
void ledger_propose(void *data, struct command *command, unsigned timeout_ms, context_done done,
    void *done_data);
void ledger_read(void *data, unsigned timeout_ms, context_done done, void *done_data);
void ledger_read_by_round(void *data, unsigned timeout_ms, context_done done, void *done_data);
void ledger_watch(void *data, uint64_t index, context_done done, void *done_data);
/* An operation that is encoded already, with a client and sequence of its own. */
void ledger_propose_bytes(void *data, const uint8_t *operation, size_t size, unsigned timeout_ms,
    context_done done, void *done_data);
/* Change raft's configuration, as replica_member_set and _remove. */
struct member_change;
void ledger_change_member(struct ledger *ledger, const struct member_change *change);

#endif
