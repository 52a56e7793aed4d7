/* What the files of a replica share: its state, and what each of them does for the others.
 *
 *   replica.c     life, the events from outside, what can be asked
 *   start.c       a member from what its disk holds
 *   step.c        libraft's raft_step(): what goes in, what comes out, and what must not go in
 *   election.c    elections that need not wait for a time-out
 *   writes.c      the disk, and messages that wait for a vote to be on it
 *   proposals.c   operations: from the proposer to the leader, into an entry, and the answer back
 *   reads.c       rounds of pings, the lease, linearizable reads
 *   install.c     snapshots: taking, sending, receiving
 *   membership.c  changes of the configuration, transfer of leadership
 *
 * The order of things, always: an event goes through core_step() into libraft, its consequences
 * are carried out, and then core_settle() applies what is committed, lets each file look
 * at the new state, and gives the answers. No port is called that could call back in between. */
#ifndef RAFT_CORE_H
#define RAFT_CORE_H

#include <raft.h>
#include <stdarg.h>

#include "fsm/buffer.h"
#include "raft/batch.h"
#include "raft/configuration.h"
#include "raft/entries.h"
#include "raft/message.h"
#include "raft/replica.h"

#define ENTRY_BYTES	  (256u << 10) /* of operations in one entry, unless one alone is larger */
#define ENTRIES_IN_FLIGHT 3 /* uncommitted: more wait, and so make larger batches */
#define APPEND_BYTES	  (1u << 20) /* of entries in one message, unless one alone is larger */
#define CHUNK_BYTES	  (64u << 10) /* of a snapshot in one message */
#define CHUNKS_IN_FLIGHT  2
#define PENDING_BYTES	  (64u << 20) /* of operations that wait for an answer */
#define WRITE_MS_MAX	  1500 /* a leader whose write takes longer gives up */
#define NOBODY		  UINT64_MAX /* an id that no member has */

/* A snapshot in memory: the last one taken or installed. */
struct image {
	unsigned references;
	uint64_t index, term, configuration_index, hash; /* hash 0: not known yet */
	size_t configuration_size;
	struct buffer bytes; /* the configuration, and the machine's behind it */
};

struct sending { /* a snapshot on its way to a member */
	struct image *image; /* NULL: none is */
	size_t sent, acknowledged;
	uint64_t resend_ms;
};

struct member {
	uint64_t id;
	enum member_role role;
	uint64_t heard_ms; /* any message since it was last lost; 0: none */
	uint64_t contact_ms; /* any message; 0: never */
	uint64_t sent; /* the last index any append to it held */
	uint64_t told; /* the commit index it was told of, and could believe */
	/* Its last pong: until promised_until_ms by our clock it votes for nobody else. */
	uint64_t promised_until_ms, round;
	uint64_t lost_ms; /* pings from before are not believed */
	/* Operations from it. */
	uint64_t incarnation, attempt, sequence;
	struct buffer answers;
	uint64_t n_answers;
	struct sending sending;
};

struct write {
	struct write *next;
	struct disk_request request;
	uint64_t since_ms;
	struct disk_entry *entries;
	struct payload **payloads;
	struct image *image;
};

struct held { /* a message that waits for a vote to be on the disk */
	struct held *next;
	uint64_t to, ticket;
	struct buffer bytes;
};

struct pending { /* an operation of ours without an answer */
	uint64_t request, deadline_ms;
	enum { PENDING_NEW, PENDING_SENT, PENDING_DECIDED, PENDING_ANSWERED } state;
	int result;
	uint64_t index;
	size_t size;
	uint8_t *bytes;
};

struct mark { /* whose an operation is */
	uint64_t origin, serial;
};

struct turn { /* operations that become, or became, one entry */
	struct turn *next;
	struct batch batch;
	struct mark *marks;
	unsigned capacity;
	uint64_t index, term; /* once submitted */
};

struct proposals {
	/* Ours. serial first + i is at ring[(head + i) % capacity]. */
	struct pending *ring;
	unsigned head, n, capacity;
	uint64_t first, next_send;
	size_t bytes;
	unsigned decided; /* wait for being applied here */
	uint64_t incarnation, attempt, sequence, resend_ms, resend_after_ms;
	/* As leader. */
	struct turn *queue, *queue_last;
	size_t queued_bytes;
	struct turn *flight, *flight_last;
};

struct read {
	uint64_t request, deadline_ms, serial;
	bool by_round, indexed;
	uint64_t index;
};

struct waiter { /* a question for an index to read at, on the leader */
	uint64_t origin, serial, index, round;
};

struct reads {
	struct read *list; /* ours, in order of serial */
	unsigned n, capacity;
	uint64_t serial; /* the last given */
	uint64_t asked, ask_again_ms; /* asked: the serial that is asked for; 0: none is */
	/* As leader. */
	struct waiter *waiters;
	unsigned n_waiters, waiters_capacity;
	uint64_t round, round_ms, confirmed;
};

struct receiving { /* a snapshot on its way to us */
	uint64_t from, term, index, index_term, configuration_index;
	size_t configuration_size, size;
	uint64_t hash;
	struct buffer bytes;
	bool active;
};

struct change { /* of the membership, as leader */
	enum { CHANGE_NONE, CHANGE_WAIT, CHANGE_CATCH_UP, CHANGE_COMMIT } stage;
	uint64_t request, deadline_ms, index;
	bool remove, submitted;
	struct configuration_member member;
};

struct answer {
	uint64_t request, index;
	int result;
};

struct replica {
	struct raft raft;
	struct replica_options options;
	char address[REPLICA_ADDRESS_MAX];
	struct replica_ports ports;
	uint64_t now_ms;
	bool failed;
	char failure[ERR_TEXT_MAX];

	struct entries log;
	struct image *image;
	uint64_t applied;
	/* The configuration as of the last applied change. */
	struct buffer configuration;
	uint64_t configuration_index;

	struct member members[REPLICA_MEMBERS_MAX];
	unsigned n_members;

	uint64_t seen_term, seen_leader, leader_since_ms;
	enum replica_role seen_role;
	uint64_t heard_ms, leader_commit, bad_messages;
	bool answers_unwanted; /* to an append, unless it is refused */

	uint64_t beat_ms; /* when the leader's next heartbeat is due */
	uint64_t term_start; /* index of the first entry of this leader's term; 0: none yet */
	uint64_t free_ms; /* as leader: see replica_status */
	bool whole; /* it has held the lease in this term */
	/* See promises_change() in reads.c. */
	uint32_t promise_ms,
	    promise_before_ms; /* how long ours last; those of an earlier life did */
	uint64_t promised_to, promised_until_ms, owed_until_ms;
	uint64_t vote_after_ms; /* a restarted member forgot what it promised: no vote before */
	uint64_t campaign_ms; /* when to call an election early; 0: not */
	uint64_t ask_ms; /* as a candidate: when to ask for votes again */
	bool transferring, transfer_sent;

	uint64_t ticket;
	struct write *writes, *writes_last;
	uint64_t write_ms_max;
	bool disk_failed;
	struct err disk_error;
	uint64_t fail_ms; /* give up leading at the latest */
	uint64_t vote_ticket, vote_written;
	struct held *held, *held_last;

	bool taking, installing;
	struct raft_snapshot_metadata installed; /* owned while installing */
	struct receiving receiving;

	struct proposals proposals;
	struct reads reads;
	struct change change;

	struct answer *answers;
	unsigned n_answers, answers_capacity;
	uint64_t deadline_ms; /* no deadline is before it */
	bool changed, answering;
};

/* start.c */
int core_start(struct replica *r, const struct disk_state *state, struct err *err);

/* step.c */
/* Returns libraft's code; anything but 0 left libraft as it was, or the replica failed. */
int core_step(struct replica *r, struct raft_event *event);
int core_submit(struct replica *r, enum disk_entry_type type, const void *bytes, size_t size);
void core_settle(struct replica *r);
/* Go to the next term as anyone may at any time; a leader steps down by it. */
void core_bump_term(struct replica *r);
void core_timeout(struct replica *r);
void core_receive(struct replica *r, uint64_t from, const struct message *m);
/* A whole snapshot; its bytes stay in s. */
void core_receive_snapshot(struct replica *r, struct receiving *s);
/* Tell a member what is committed as soon as it is: libraft does with the next heartbeat only.
 * Or its next entry, when libraft waits with that for a heartbeat (its probe state). */
void core_push(struct replica *r, struct member *member);
uint64_t core_term_of(const struct replica *r, uint64_t index);

/* replica.c */
enum replica_role core_role(const struct replica *r);
bool core_leads(const struct replica *r);
uint64_t core_leader(const struct replica *r); /* 0: none known */
struct member *core_member(struct replica *r, uint64_t id);
unsigned core_voters(const struct replica *r);
bool core_heard(const struct replica *r, const struct member *m); /* of late */
uint64_t core_match(const struct replica *r, uint64_t id);
void core_send(struct replica *r, uint64_t to, const struct message *m);
void core_answer(struct replica *r, uint64_t request, int result, uint64_t index);
void core_deadline(struct replica *r, uint64_t deadline_ms);
/* Stop for good. */
void core_fail(struct replica *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes the bytes; the numbers are filled in by the caller. */
struct image *image_new(struct buffer *bytes, size_t configuration_size);
struct image *image_hold(struct image *image);
void image_drop(struct image *image);

/* election.c */
/* There is a leader, and as far as we know it has just ceased to be one: call an election soon, the
 * voters one after another. */
void election_leader_gone(struct replica *r);
void election_forget_silent_leader(struct replica *r);
void election_tick(struct replica *r);
uint64_t election_timeout(const struct replica *r);

/* writes.c */
void writes_vote(struct replica *r);
void writes_append(struct replica *r, uint64_t index, unsigned n);
/* keep_from 0: it was installed, no entry stays. */
void writes_snapshot(struct replica *r, struct image *image, uint64_t keep_from);
void writes_done(struct replica *r, uint64_t ticket, int status);
/* Since when the oldest write waits that must not wait for long; UINT64_MAX: none does. */
uint64_t writes_since_ms(const struct replica *r);
void writes_tick(struct replica *r);
uint64_t writes_timeout(const struct replica *r);
void writes_close(struct replica *r);
/* Send now, or when the vote before it is on the disk. Takes the bytes. */
void writes_send(struct replica *r, uint64_t to, struct buffer *bytes);

/* proposals.c */
void proposals_add(struct replica *r, uint64_t request, const uint8_t *operation, size_t size,
    uint64_t deadline_ms);
void proposals_receive(struct replica *r, uint64_t from, const struct message *m);
void proposals_receive_answers(struct replica *r, const struct message *m);
void proposals_apply(struct replica *r, uint64_t index, const struct entry *entry);
void proposals_applied(struct replica *r);
void proposals_leader_changed(struct replica *r);
void proposals_flush(struct replica *r);
void proposals_tick(struct replica *r);
uint64_t proposals_timeout(const struct replica *r);
void proposals_fail(struct replica *r);
uint64_t proposals_expire(struct replica *r); /* returns the next deadline */
void proposals_close(struct replica *r);

/* reads.c */
void reads_add(struct replica *r, uint64_t request, bool by_round, uint64_t deadline_ms);
void reads_receive(struct replica *r, uint64_t from, const struct message *m);
void reads_applied(struct replica *r);
void reads_leader_changed(struct replica *r);
void reads_flush(struct replica *r);
void reads_beat(struct replica *r);
uint64_t reads_timeout(const struct replica *r);
void reads_fail(struct replica *r);
uint64_t reads_expire(struct replica *r);
void reads_close(struct replica *r);
uint64_t reads_lease_left(const struct replica *r, uint64_t now_ms);
/* This member follows another leader than before, or leads itself. */
void reads_promise_to(struct replica *r, uint64_t leader);
/* It ceased to lead. */
void reads_lease_given_up(struct replica *r);

/* install.c */
void install_maybe_take(struct replica *r);
void install_taken(struct replica *r, struct image *image, uint64_t keep_from);
void install_send(struct replica *r, uint64_t to);
void install_receive(struct replica *r, uint64_t from, const struct message *m);
void install_acknowledged(struct replica *r, uint64_t from, const struct message *m);
void install_tick(struct replica *r);
uint64_t install_timeout(const struct replica *r);
void install_stop_sending(struct member *m);
/* libraft wants a snapshot put on the disk; takes the metadata. */
void install_begin(struct replica *r, struct raft_snapshot_metadata *metadata);
void install_done(struct replica *r);

/* membership.c */
void membership_begin(struct replica *r, const struct change *change);
void membership_beat(struct replica *r);
void membership_settle(struct replica *r);
void membership_applied(struct replica *r, uint64_t index);
void membership_fail(struct replica *r);
void membership_appended(struct replica *r, uint64_t from);
uint64_t membership_expire(struct replica *r);
int membership_transfer(struct replica *r, uint64_t to);
/* The voter to hand over to: the one with the longest log among those that are heard; 0: none. */
uint64_t membership_successor(struct replica *r);

#endif
