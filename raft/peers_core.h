/* What the sources of peers.h share. Only for raft/peers*.c. */
#ifndef RAFT_PEERS_CORE_H
#define RAFT_PEERS_CORE_H

#include "raft/greeting.h"
#include "raft/peers.h"
#include "raft/peers_channel.h"
#include "raft/peers_listener.h"
#include "raft/strangers.h"

enum link_kind {
	LINK_DIALLED, /* by us, to a member; it is greeted (greeting.h) */
	LINK_UNKNOWN, /* accepted; has not said who it is */
	LINK_YOUNGER, /* accepted, unknown but for its certificate; was asked where it listens */
	LINK_MEMBER, /* accepted, from a member */
	LINK_GUEST, /* accepted, from somebody who wants to join */
};

struct member;

struct link { /* freed when its channel is gone */
	struct channel channel;
	struct peers *peers;
	enum link_kind kind;
	struct member *member; /* DIALLED, MEMBER; NULL once it lost its place there */
	uint64_t guest; /* GUEST */
	unsigned generation; /* of the identity that it began with */
	uint64_t welcomed_ms; /* DIALLED: when the other side took us in; 0: not yet */
	char address[ENDPOINT_SIZE]; /* of the other side, in numbers */
};

struct member {
	struct peers *peers;
	struct peers_member who;
	struct link *out, *in; /* the standing ones; out also while it is being dialled */
	uv_timer_t timer; /* for the next dial */
	uv_getaddrinfo_t query;
	enum { MEMBER_IDLE, MEMBER_RESOLVING, MEMBER_OUTDATED } resolver;
	enum { MEMBER_STAYS, MEMBER_LEAVES } fate;
	/* Connections stood since its last loss: the next that breaks is news. */
	enum { MEMBER_SILENT, MEMBER_ALIVE } life;
	/* While it is dialled anew, on purpose: what is sent meanwhile, as frames. */
	enum { MEMBER_NOT_ANEW, MEMBER_ANEW } dialling;
	struct buffer held;
	unsigned retry_ms;
	unsigned attempt;
	uint64_t since_ms, bytes_in, bytes_out, dropped;
	char error[128];
	bool refused; /* the last time that we dialled */
	bool removed; /* it says that we were, since it last took us for a member */
};

struct peers {
	uv_loop_t *loop;
	struct peers_handlers handlers;
	struct identity identity;
	char address[ENDPOINT_SIZE];
	struct tls_context *tls;
	/* What we are and trust now, and since which generation of it a CA is trusted no more:
	 * connections from before that are made anew, one after another. */
	struct identity_authority trusted[IDENTITY_AUTHORITIES_MAX];
	unsigned n_trusted, generation, anew_since;
	uint64_t anew_until_ms; /* then those are closed that the others did not make anew */
	uv_timer_t refresher;
	uint64_t next_id; /* no id from this on was ever given out; 0: not known */
	unsigned user_timeout_ms, handshake_ms, anew_ms;
	size_t queue_max;
	struct listener listener;
	uv_prepare_t flusher;
	uv_idle_t awake; /* keeps the loop from sleeping on what was sent after the flusher ran */
	enum { QUEUES_EMPTY, QUEUES_FILLED } queues;
	enum { PEERS_OPEN, PEERS_CLOSING } state;
	unsigned living; /* handles, members and links that are not gone yet */
	void (*done)(void *data);
	void *done_data;
	struct member *members[PEERS_MEMBERS_MAX]; /* by id */
	unsigned n_members;
	struct link *unknown[PEERS_HALF_OPEN_MAX]; /* and younger ones; oldest first */
	unsigned n_unknown;
	struct link *guests[PEERS_GUESTS_MAX];
	uint64_t last_guest;
	struct strangers strangers;
	struct channel_scratch scratch;
};

struct member *peers_find(const struct peers *p, uint64_t id); /* NULL: not a member */

void link_close(struct link *l, enum channel_farewell farewell);
void member_dial_now(struct member *m);

/* What was sent while a member is dialled anew: forgotten, or sent. */
void held_end(struct member *m);
void held_release(struct member *m);

/* Whether the other side of a connection that has just been opened is whom we talk to:
 * 0, or -errno with err for a log line. -EKEYREVOKED: it was a member. */
int who_was_dialled(const struct link *l, struct err *err);
int who_has_dialled(const struct link *l, struct member **member, struct err *err);
/* Whether it is nobody that we know, and may be a member that we have yet to hear of: then who is
 * filled in but for its address. */
bool who_is_younger(const struct link *l, struct peers_member *who);
/* Whether it still is, after the member is known better. */
bool who_stays(const struct link *l, const struct member *m);

#endif
