/* The log as the daemon holds it: the replica, its disk, and who waits for what.
 *
 * Everything here runs in the loop and returns at once. When the disk fails the
 * replica stops, the files are closed and opened again off the loop until that
 * succeeds, and the node is a follower again; meanwhile ledger_replica() is NULL.
 * Whoever waited then is answered -ETIMEDOUT: nobody can say whether it was done. */
#ifndef NODE_MEMBER_LEDGER_H
#define NODE_MEMBER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "fsm/cluster.h"
#include "node/operation/context.h"
#include "raft/replica.h"
#include "raft/wal.h"

/* Operations of this daemon's own under way; a session remembers so many (session.h). */
#define LEDGER_OWN_MAX 48
/* Everything of this daemon's under way, membership as well. */
#define LEDGER_REQUESTS_MAX 4096
/* Numbers of requests that programs make in their own name are below this. */
#define LEDGER_PROGRAM_MAX 65536

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
	/* The answer to ledger_program_propose and _read. */
	void (*program_answered)(void *data, uint64_t request, int result, uint64_t index);
	void *data;
};

/* Open the log and bring the value to where the disk is. Blocks: only at start.
 * -EBADMSG: damaged; -ENODATA: it was there and is gone; -ENOTSUP: of a newer version. Nothing was
 * changed, err says where; the loop still has to run on. */
int ledger_open(struct ledger **ledger, const struct ledger_options *options, struct err *err);
/* Waits for the disk. Whoever still waits is answered -ETIMEDOUT; freed once the loop has run. */
void ledger_close(struct ledger *ledger);

struct replica *ledger_replica(const struct ledger *ledger); /* NULL: closed for now */
/* Why it is closed, or was last; "" if it never was. */
const char *ledger_trouble(const struct ledger *ledger);
void ledger_wal_status(const struct ledger *ledger, struct wal_status *status);

/* Once at the end of every turn of the loop: time passes, what was proposed goes
 * into one entry. Returns when it must be called again at the latest. */
uint64_t ledger_turn(struct ledger *ledger, uint64_t now_ms);

/* The port for context.h; data is the ledger. */
void ledger_propose(
    void *data, struct command *command, unsigned timeout_ms, context_done done, void *done_data);

/* For programs, which bring encoded operations with a client and sequence of their own
 * and number their requests themselves: nothing is kept of them here but that they wait.
 * Each is answered once through program_answered, perhaps within the call. -EPERM: an operation
 * that people do not ask for, or one without a client. */
#define LEDGER_PROGRAM_TIMEOUT_MS 10000
void ledger_program_propose(void *data, uint64_t request, const uint8_t *operation, size_t size);
void ledger_program_read(void *data, uint64_t request);
void ledger_program_read_by_round(void *data, uint64_t request);

/* Change raft's configuration, as replica_member_set and _remove. */
struct member_change;
void ledger_change_member(struct ledger *ledger, const struct member_change *change);

#endif
