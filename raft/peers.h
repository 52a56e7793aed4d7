/* The members' connections: TLS 1.3 on libuv, frames in, frames out.
 *
 * One connection for each direction: a member sends on the connection that it
 * dialled and receives on those that it accepted. So there is never a second connection to
 * choose between, and a connection that closes always means something.
 *
 * Nobody is heard who does not show a certificate of the cluster's CA that names this
 * cluster and a member (when dialling: the one dialled) and is of that member's key, with two
 * exceptions: somebody who wants to join (guest.h) may send one small request, and be answered; and
 * a member that we have yet to hear of is asked where it listens (greeting.h), and may become one
 * by that.
 *
 * Delivery is what raft needs and no more: in order while a connection lasts, not at all
 * without one. Everything sent in one turn of the loop leaves together, before the loop sleeps. */
#ifndef RAFT_PEERS_H
#define RAFT_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "fsm/err.h"
#include "raft/endpoint.h"
#include "raft/guest.h"
#include "raft/identity.h"

#define PEERS_FRAME_MAX	    ((3u << 20) + (64u << 10)) /* bytes; raft's largest message and more */
#define PEERS_MEMBERS_MAX   128
#define PEERS_HALF_OPEN_MAX 64 /* connections that have not said who they are */
#define PEERS_GUESTS_MAX    8

struct peers_member {
	uint64_t id;
	char name[IDENTITY_NAME_SIZE]; /* that its certificate must say; "": any */
	/* The key that its certificate must be of (identity_incarnation); "": any. Who was a
	 * coordinator and keeps the CA's key can sign what it likes, but has no member's key. */
	char incarnation[IDENTITY_INCARNATION_SIZE];
	char address[ENDPOINT_SIZE]; /* host:port */
};

/* Called from the loop. They may call anything below but peers_open(). */
struct peers_handlers {
	void *data;
	/* A frame of a member. The bytes are gone after the call. */
	void (*received)(void *data, uint64_t from, const uint8_t *bytes, size_t size);
	/* A member's kernel closed or reset a connection that stood, and the member had not said
	 * that it would: in all likelihood its process is gone. Once for each time, however many
	 * connections broke; never for a time-out or a connection that did not come about. A
	 * hint, not a proof: a firewall can reset a connection too. */
	void (*lost)(void *data, uint64_t member);
	/* Somebody was turned away, for a log line: address is theirs, why a phrase. Ten at once,
	 * then one every five seconds; why says how many were not told. */
	void (*stranger)(void *data, const char *address, const char *why);
	/* Somebody wants to join. Answer with peers_guest_answer(), now or later. The
	 * secret has not been checked; the request is gone after the call. */
	void (*joined)(void *data, uint64_t guest, const struct guest_request *request);
	/* Somebody shows a certificate of this cluster whose id is not known to be given out
	 * (peers_given_out): in all likelihood a member that joined while this one was away. who is
	 * what its certificate says, and where it says that it listens. It is heard if it is among
	 * peers_members() after the call, as only its own key will be. NULL: nobody is. */
	void (*younger)(void *data, const struct peers_member *who);
};

struct peers_options {
	uv_loop_t *loop;
	const struct identity_files *files; /* need not outlive peers_open() */
	const char *address; /* where the others reach us, for who never heard of us; NULL: nobody
				asks */
	const char *listen_address; /* a number: "10.0.0.1", "::" */
	uint16_t port; /* 0: any, see peers_port() */
	unsigned user_timeout_ms; /* how long the other kernel may owe an acknowledgement;
					       a few election time-outs. 0: 2000 */
	unsigned handshake_ms; /* how long somebody may take to say who they are;
					       0: 5000 */
	unsigned anew_ms; /* how long members have to dial anew once a CA is trusted no more;
					       0: 30000 */
	size_t queue_max; /* bytes waiting for one member; 0: 32 MiB */
	struct peers_handlers handlers;
};

struct peers;

/* Who we are comes from the files. Returns 0 and listens, or negative errno with err. */
int peers_open(struct peers **peers, const struct peers_options *options, struct err *err);
/* Close everything; done(data) comes from the loop when nothing is left, and only then are peers
 * and the handlers' data free to go. No handler is called any more. The others take it for
 * the death of this process, which it is about to be. */
void peers_close(struct peers *peers, void (*done)(void *data), void *data);

/* From now on we are these files: new connections show the new certificate and trust the new
 * authorities, the standing ones go on. The id stays. Of an authority that is trusted no more
 * nothing is left in the end: what stands from before is made anew, one connection after another,
 * and what members did not make anew themselves is closed after anew_ms. Returns 0, or
 * -errno with err and all is as it was. */
int peers_identity(struct peers *peers, const struct identity_files *files, struct err *err);

/* From now on these are the members, ourselves among them or not: they may connect, and are
 * dialled until they answer. Connections with others are closed, with word that it is no death.
 * Call it again at each change; what stays the same is not disturbed. */
void peers_members(struct peers *peers, const struct peers_member *members, unsigned n);

/* Ids below next_id were given out: who shows one and is no member was removed, and is told
 * so. */
void peers_given_out(struct peers *peers, uint64_t next_id);

/* Send a frame. Copied, or dropped (and counted) when there is no connection or the queue is
 * full. size <= PEERS_FRAME_MAX. */
void peers_send(struct peers *peers, uint64_t to, const void *bytes, size_t size);
/* Have everything out that was sent; happens by itself before the loop sleeps. */
void peers_flush(struct peers *peers);

/* Answer a guest and forget the handle. -ENOENT: it is gone. The answer is not kept. */
int peers_guest_answer(struct peers *peers, uint64_t guest, const struct guest_answer *answer);

struct peers_status {
	uint64_t id;
	char address[ENDPOINT_SIZE];
	bool sending; /* the connection that we dialled stands */
	bool receiving; /* the one that they dialled */
	bool refused; /* they do not take us for a member, or did not when we last asked */
	bool removed; /* they said that we were removed, and did not take us for a member since */
	uint64_t since_ms; /* uv_now() when sending last changed */
	uint64_t bytes_in, bytes_out; /* on the wire, since peers_open() */
	uint64_t dropped; /* frames that were not sent */
	size_t queued; /* bytes */
	uint32_t rtt_us; /* 0: unknown */
	char error[128]; /* why it does not stand; "" when it does */
};
/* By id; how many were filled in. */
unsigned peers_status(const struct peers *peers, struct peers_status *status, unsigned max);
uint16_t peers_port(const struct peers *peers);

#endif
