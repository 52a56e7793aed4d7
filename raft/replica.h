/* One member of the raft group, as a pure machine around libraft's raft_step().
 *
 * Events go in together with their time; what must happen comes out through
 * three ports: the disk (disk.h), the messenger and the machine (machine.h).
 * There is no thread, clock, socket or file in here, so that the daemon and
 * the simulator run the very same core. Times are monotonic milliseconds of
 * this member alone; they are never compared with another member's.
 *
 * Not re-entrant: a port must not call back into the replica, except that
 * `answered` may propose again. */
#ifndef RAFT_REPLICA_H
#define RAFT_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"
#include "raft/disk.h"
#include "raft/machine.h"

#define REPLICA_MEMBERS_MAX   128
#define REPLICA_ADDRESS_MAX   128 /* bytes, with the zero behind it */
#define REPLICA_OPERATION_MAX (2u << 20) /* bytes of one operation */
#define REPLICA_SNAPSHOT_MAX  (256u << 20) /* bytes of a snapshot taken from another */
/* Terms of one generation. Elections never get to its end: a recovery (recover.h) begins the next
 * one. A member in a term of a later generation than its last entry has heard of a recovery that
 * its log does not have: it is never elected, and so follows. */
#define REPLICA_GENERATION  UINT64_C(1000000000)
#define REPLICA_MESSAGE_MAX (3u << 20) /* bytes of one message: none given to send is larger */

enum replica_role {
	REPLICA_FOLLOWER = 1,
	REPLICA_CANDIDATE,
	REPLICA_LEADER,
	REPLICA_FAILED, /* stopped: see replica_failure() */
};

enum member_role { /* as libraft numbers them */
	MEMBER_STANDBY = 0, /* has the log, no vote */
	MEMBER_VOTER = 1,
	MEMBER_SPARE = 2, /* has nothing yet */
};

struct replica_options {
	uint64_t id;
	const char *address; /* copied */
	unsigned heartbeat_ms;
	unsigned election_ms; /* a follower waits one to two of it, and promises so much */
	unsigned lease_ms; /* < election_ms: see replica_lease_left() */
	uint32_t seed; /* for the random part of elections */
	size_t snapshot_log_bytes; /* take a snapshot when the log holds more than this (and more
				       than the last snapshot); 0: 8 MiB */
	unsigned proposal_limit; /* operations waiting for their turn; more: -EAGAIN. 0: 4096 */
};

struct replica_ports {
	struct disk disk;
	struct machine machine;
	void *data; /* for the functions below */
	/* Send bytes to a member; may be lost, late, doubled, out of order. bytes are the
	 * caller's and gone after the call. */
	void (*send)(void *data, uint64_t to, const uint8_t *bytes, size_t size);
	/* A proposal or a read was decided. result: what the machine answered, or -ENOTCONN
	 * (no leader until the deadline: not done), -ETIMEDOUT (unknown: it may have been
	 * done), -EAGAIN (too many waiting: not done), -EMSGSIZE. index: where it was applied. */
	void (*answered)(void *data, uint64_t request, int result, uint64_t index);
	/* Role, term or leader changed. */
	void (*changed)(void *data);
};

struct replica;

/* A member from what its disk holds; state may be all zero for one that has
 * not been configured yet and waits for its leader. The snapshot and every
 * entry are copied. Returns NULL with err when the state cannot be right. */
struct replica *replica_new(const struct replica_options *options,
    const struct replica_ports *ports, const struct disk_state *state, uint64_t now_ms,
    struct err *err);
/* Requests that the disk has not answered go with it: close the disk first. What has no answer
 * yet gets none. */
void replica_free(struct replica *r);
/* What the disk of a group's first member holds before it is ever started: append to out the
 * data of the entry with index 1, term 1 and type DISK_CHANGE that makes it the only voter.
 * Returns 0, or -EINVAL: the id or the address cannot be one. */
int replica_first_entry(uint64_t id, const char *address, struct buffer *out);

/* Events. */
void replica_tick(struct replica *r, uint64_t now_ms); /* call at replica_timeout() */
void replica_receive(struct replica *r, uint64_t from, const uint8_t *bytes, size_t size,
    uint64_t now_ms); /* any bytes: what does not decode is counted and dropped */
void replica_written(struct replica *r, uint64_t ticket, int status, uint64_t now_ms);
/* The process of a member is gone: its kernel closed the connection (FIN or RST). If it
 * was the leader, the election is called early (staggered by id, with pre-vote) instead of
 * waiting for the time-out. This breaks the promise that the leader's lease stands on, so it
 * is the caller's duty to call it for nothing less: not when we closed, not when nothing
 * was heard. A leader that closes a connection itself calls it too, and no longer counts on
 * what that member promised. */
void replica_lost(struct replica *r, uint64_t member, uint64_t now_ms);
/* End of a loop turn in which any of these was called: everything proposed since the last one goes
 * into one entry; answers, commit index and reads for others go out. */
void replica_flush(struct replica *r, uint64_t now_ms);
/* When to call replica_tick() at the latest, in the time of now_ms. */
uint64_t replica_timeout(const struct replica *r);

/* Ask for an operation to be committed, from any member: it is forwarded to the
 * leader and sent again when the leader changes, so operation must carry its
 * own at-most-once mark. Answered once, with request, when it was applied
 * HERE (or refused, or at deadline_ms). The bytes are copied. The leader puts into the log what
 * any member asks for, unless the machine does not let that one ask for it (machine.h: admit;
 * fsm/proposer.h says who is trusted with what). */
void replica_propose(struct replica *r, uint64_t request, const uint8_t *operation, size_t size,
    uint64_t deadline_ms, uint64_t now_ms);

/* Linearizable read (thesis 6.4): answered with 0 when the value here is at least as new as
 * everything that was committed when this was called. By lease at once on a leader that
 * holds one, else by one round to a majority; many share a round. */
void replica_read(struct replica *r, uint64_t request, uint64_t deadline_ms, uint64_t now_ms);
/* The same, but never by lease: for comparison in the bench. */
void replica_read_by_round(
    struct replica *r, uint64_t request, uint64_t deadline_ms, uint64_t now_ms);

/* Membership, leader only; one change at a time. MEMBER_VOTER catches the member
 * up first; one that is new becomes a stand-by on the way. An id of a lost data directory is never
 * used again. Answered like a proposal (-EBUSY: another change is under way; -ENOTCONN: not
 * the leader; -ETIMEDOUT: may still happen; -EINVAL: the last voter would go, the address is
 * another's or not what it was, or it is the leader itself: transfer first). */
void replica_member_set(struct replica *r, uint64_t request, uint64_t id, const char *address,
    enum member_role role, uint64_t deadline_ms, uint64_t now_ms);
void replica_member_remove(
    struct replica *r, uint64_t request, uint64_t id, uint64_t deadline_ms, uint64_t now_ms);

/* Hand leadership to a voter (0: the one most up to date). Gives up the lease at once.
 * Returns 0 when begun, -ENOTCONN, -EINVAL, -EBUSY, -EHOSTDOWN: that one was not heard of late. */
int replica_transfer(struct replica *r, uint64_t to, uint64_t now_ms);

/* How long from now_ms on this leader can be sure that no other leader exists, in ms; 0 when
 * it is not leader, has not applied an entry of its own term, or is handing over. Based on when
 * the messages were SENT that a majority answered (thesis 6.4.1), and on what each said about
 * how long it had been waiting by then. A member that starts keeps the promise it may
 * have made before it went down: it does not vote for an election time-out. */
uint64_t replica_lease_left(const struct replica *r, uint64_t now_ms);

/* Be more or less patient from now on than the options say, but never less than the lease. The
 * lease does not change, and members need not agree. */
void replica_set_election(struct replica *r, unsigned election_ms);

struct replica_status {
	enum replica_role role;
	uint64_t id, term, vote, leader; /* leader 0: none known */
	uint64_t leader_since_ms; /* when leader last changed */
	uint64_t heard_ms; /* when the leader was last heard; now on the leader itself */
	uint64_t first, last, commit, applied, snapshot_index, snapshot_term;
	uint64_t leader_commit; /* highest commit index a leader told of */
	size_t log_bytes, snapshot_bytes;
	unsigned voters, standbys, voters_seen; /* heard within an election time-out; leader only */
	uint64_t bad_messages;
	uint64_t write_ms_max; /* slowest disk write so far, but for snapshots taken (disk.h) */
	uint64_t write_since_ms; /* when the oldest unanswered of those was begun; 0: none is */
	unsigned election_ms; /* at present */
	unsigned heartbeat_ms, lease_ms;
	bool transferring; /* handing leadership over */
	/* Leader only, once it holds the lease: from then on no leader before it can hold one,
	 * even if the connections of its followers broke while its process went on. */
	uint64_t free_ms;
};
struct replica_member {
	uint64_t id;
	enum member_role role;
	char address[REPLICA_ADDRESS_MAX];
	/* On the leader only, else 0. Next: the entry to be sent next. Heard: since its connection
	 * was last lost, contact: ever. */
	uint64_t match, next, heard_ms, contact_ms;
};
void replica_status(const struct replica *r, struct replica_status *status);
unsigned replica_members(const struct replica *r, struct replica_member *members, unsigned max);
/* The entry at index; its bytes are the replica's, until its next event. 0, or -ENOENT: it is in
 * the snapshot, or not there yet. */
int replica_entry(const struct replica *r, uint64_t index, struct disk_entry *entry);
/* Why the role is REPLICA_FAILED: disk or a contradiction; "" when it is not. */
const char *replica_failure(const struct replica *r);

/* The version of libraft, "0.22.1". */
const char *replica_library_version(void);

#endif
